/**
 * Writes into spans that wait how probable it was that they stay: the tracestate in their bytes, and nothing else of them.
 * What the tracestate then says is OtelTraceState's.
 *
 * @since 0.1.0
 */
import * as OtelTraceState from "./OtelTraceState.ts"
import { field } from "./ProtobufWriter.ts"
import type { EncodedSpan } from "./SpanEncoder.ts"

/** What becomes of a `tracestate` in the spans of a trace that stays by chance. */
interface Rewrite {
  readonly before: string
  readonly threshold: bigint
  /** How many bytes its field has. */
  readonly length: number
  /** The field in its place, `undefined` where it stays as it is. */
  readonly after: Uint8Array | undefined
}

/**
 * Gives spans as they are where their trace stayed at a threshold. It remembers the last tracestate, as the spans of a trace
 * mostly have the same.
 *
 * @since 0.1.0
 */
export class ThresholdWriter {
  private rewrite: Rewrite | undefined

  /** At 0, or where the span was less probable before, it is the very span that was given. */
  write(span: EncodedSpan, traceState: string, threshold: bigint): EncodedSpan {
    if (threshold === 0n) return span
    if (this.rewrite?.before !== traceState || this.rewrite.threshold !== threshold) {
      this.rewrite = rewriteOf(traceState, threshold)
    }
    return this.rewrite.after === undefined ? span : withTraceState(span, this.rewrite)
  }
}

/** Where nobody knows how probable it was that a span came this far, nobody knows it now. */
const rewriteOf = (before: string, threshold: bigint): Rewrite => {
  const own = OtelTraceState.threshold(before)
  const isTold = own === undefined || own >= threshold
  const after = isTold ? undefined : traceStateField(OtelTraceState.withThreshold(before, threshold))
  return { before, threshold, length: traceStateField(before).length, after }
}

const traceStateField = (traceState: string): Uint8Array => field(0x1a, new TextEncoder().encode(traceState))

/** What SpanEncoder writes begins with both ids, 28 bytes, and then comes the tracestate. */
const withTraceState = (span: EncodedSpan, { after = new Uint8Array(), length }: Rewrite): EncodedSpan => {
  const { bytes, resource, scope } = span
  let ids = 1
  while (bytes[ids++]! > 0x7f);
  const rest = bytes.subarray(ids + 28 + length, span.length)
  const head = field(0x12, bytes.subarray(ids, ids + 28), after.length + rest.length)
  const written = new Uint8Array(head.length + after.length + rest.length)
  written.set(head)
  written.set(after, head.length)
  written.set(rest, head.length + after.length)
  return { bytes: written, length: written.length, resource, scope }
}
