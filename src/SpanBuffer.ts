/**
 * Where encoded spans come together until they leave as one batch: a whole OTLP document, which is what a request body
 * is, what a spool stores and what is replayed. Documents joined end to end are one document again.
 *
 * @since 0.1.0
 */
import { field, grown } from "./ProtobufWriter.ts"
import { type EncodedSpan, SpanEncoder } from "./SpanEncoder.ts"
import type { InstrumentationScope, Resource } from "./SpanRecord.ts"

/**
 * Finished spans as one OTLP protobuf document: `TracesData`, which is `ExportTraceServiceRequest` by another name.
 *
 * @since 0.1.0
 */
export interface Batch {
  readonly bytes: Uint8Array
  /** How many spans are in it. */
  readonly count: number
}

/**
 * The batch of no spans.
 *
 * @since 0.1.0
 */
export const emptyBatch: Batch = { bytes: new Uint8Array(), count: 0 }

/**
 * Joins batches to one, in their order.
 *
 * @since 0.1.0
 */
export const join = (batches: ReadonlyArray<Batch>): Batch => {
  const [only] = batches
  if (batches.length === 1 && only !== undefined) return only
  const joined = new Uint8Array(batches.reduce((size, { bytes }) => size + bytes.length, 0))
  let at = 0
  let count = 0
  for (const batch of batches) {
    joined.set(batch.bytes, at)
    at += batch.bytes.length
    count += batch.count
  }
  return { bytes: joined, count }
}

/** Neighbouring spans of one resource and one scope: they stand in the document under one head. */
interface Run {
  readonly resource: Resource
  readonly scope: InstrumentationScope
  readonly start: number
}

/**
 * Gathers encoded spans, side by side, and gives them away as a batch of their size.
 *
 * @since 0.1.0
 */
export class SpanBuffer {
  /** How many spans are in it. */
  count = 0
  /** How many bytes they have, without those that name their resource and scope. */
  length = 0
  private bytes = new Uint8Array(initialSize)
  private runs: Array<Run> = []
  private readonly pool: Array<ArrayBuffer> = []

  /** Copies a span in. */
  append({ bytes, length, resource, scope }: EncodedSpan): void {
    const last = this.runs.at(-1)
    if (last === undefined || last.resource !== resource || last.scope !== scope) {
      this.runs.push({ resource, scope, start: this.length })
    }
    if (this.length + length > this.bytes.length) {
      this.bytes = grown(this.bytes, this.length, this.length + length)
    }
    this.bytes.set(bytes.subarray(0, length), this.length)
    this.length += length
    this.count++
  }

  /** Empties the buffer into a batch. */
  take(): Batch {
    if (this.count === 0) return emptyBatch
    // Written from the last run to the first: a length is known when what it measures is there.
    const parts: Array<Uint8Array> = []
    let end = this.length
    let inResource = 0
    for (let i = this.runs.length - 1; i >= 0; i--) {
      const { resource, scope, start } = this.runs[i]!
      const scopeHead = field(0x12, scopeField(scope), end - start)
      parts.push(this.bytes.subarray(start, end), scopeHead)
      inResource += scopeHead.length + end - start
      end = start
      if (this.runs[i - 1]?.resource === resource) continue
      parts.push(field(0x0a, resourceField(resource), inResource))
      inResource = 0
    }
    const bytes = this.room(parts.reduce((size, part) => size + part.length, 0))
    let at = 0
    for (const part of parts.toReversed()) {
      bytes.set(part, at)
      at += part.length
    }
    const { count } = this
    this.count = 0
    this.length = 0
    this.runs = []
    if (this.bytes.length > maxKept) this.bytes = new Uint8Array(initialSize)
    return { bytes, count }
  }

  /** Takes back the bytes of a batch that nobody reads any more, to write another into them. */
  release(bytes: Uint8Array): void {
    const { buffer } = bytes
    if (buffer.byteLength < leastPooled || this.pool.length >= maxPooled || !(buffer instanceof ArrayBuffer)) return
    this.pool.push(buffer)
  }

  /** Requests are much alike in size, so one that is done mostly has room for the next, and not much more than it needs. */
  private room(size: number): Uint8Array<ArrayBuffer> {
    if (size < leastPooled) return new Uint8Array(size)
    const index = this.pool.findIndex(({ byteLength }) => byteLength >= size && byteLength <= size * maxSlack)
    const [pooled = new ArrayBuffer(Math.ceil(size * slack))] = index < 0 ? [] : this.pool.splice(index, 1)
    if (index < 0) this.pool.length = 0
    return new Uint8Array(pooled, 0, size)
  }
}

const initialSize = 16 * 1024
/** Twice a request, so that one that gathers requests does not start again from nothing each time. */
const maxKept = 2 * 1024 * 1024
/** What the engine would free late: a program at full speed would otherwise carry 50 MB of requests that are long done. */
const leastPooled = 64 * 1024
const maxPooled = 8
const slack = 1.02
const maxSlack = 1.05

// A process has one resource and few scopes, and each is the same object for all its spans.
const resourceFields = new WeakMap<Resource, Uint8Array>()
const scopeFields = new WeakMap<InstrumentationScope, Uint8Array>()

const remember = <K extends object>(fields: WeakMap<K, Uint8Array>, key: K, encode: (key: K) => Uint8Array) => {
  const known = fields.get(key)
  if (known !== undefined) return known
  const made = encode(key)
  fields.set(key, made)
  return made
}

const resourceField = (resource: Resource): Uint8Array =>
  remember(resourceFields, resource, (key) => new SpanEncoder().resourceField(key))

const scopeField = (scope: InstrumentationScope): Uint8Array =>
  remember(scopeFields, scope, (key) => new SpanEncoder().scopeField(key))
