/**
 * What TailSampler keeps of the spans of one trace: their bytes, as they were written, one after the other. Unlike in a
 * SpanBuffer, which makes a document of them, each comes out by itself.
 *
 * @since 0.1.0
 */
import { grown } from "./ProtobufWriter.ts"
import type { EncodedSpan } from "./SpanEncoder.ts"
import type { InstrumentationScope, Resource } from "./SpanRecord.ts"

/** Neighbouring spans that have this in common. */
interface Run {
  readonly resource: Resource
  readonly scope: InstrumentationScope
  readonly traceState: string
  readonly from: number
}

/**
 * The spans of a trace that waits for its verdict, side by side, each to be given out again as it was.
 *
 * @since 0.1.0
 */
export class HeldSpans {
  /** What a trace of few spans needs. */
  static readonly initialBytes = 2048
  count = 0
  length = 0
  bytes: Uint8Array<ArrayBuffer>
  private readonly ends: Array<number> = []
  private readonly runs: Array<Run> = []

  constructor(bytes = new Uint8Array(HeldSpans.initialBytes)) {
    this.bytes = bytes
  }

  append({ bytes, length, resource, scope }: EncodedSpan, traceState: string): void {
    const last = this.runs.at(-1)
    if (last === undefined || last.resource !== resource || last.scope !== scope || last.traceState !== traceState) {
      this.runs.push({ resource, scope, traceState, from: this.count })
    }
    if (this.length + length > this.bytes.length) {
      this.bytes = grown(this.bytes, this.length, this.length + length)
    }
    this.bytes.set(bytes.subarray(0, length), this.length)
    this.length += length
    this.ends.push(this.length)
    this.count++
  }

  each(give: (span: EncodedSpan, traceState: string) => void): void {
    let start = 0
    for (const [index, { from, resource, scope, traceState }] of this.runs.entries()) {
      for (const end of this.ends.slice(from, this.runs[index + 1]?.from)) {
        give({ bytes: this.bytes.subarray(start, end), length: end - start, resource, scope }, traceState)
        start = end
      }
    }
  }
}
