/**
 * Spans from OTLP protobuf: what OpenTelemetry's tracers send, and what `SpanEncoder` writes. Requests and files live
 * with those who read them, JSON in `OtlpJson`: the two read the same spans from the same document.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { ProtobufReader } from "./ProtobufReader.ts"
import { type Batch, SpanBuffer } from "./SpanBuffer.ts"
import { noAttributes, readAttribute, readSpan } from "./SpanDecoder.ts"
import { fromRecord } from "./EncodableSpan.ts"
import { SpanEncoder } from "./SpanEncoder.ts"
import type * as SpanRecord from "./SpanRecord.ts"

/**
 * Says where bytes are not OTLP protobuf.
 *
 * @since 0.1.0
 */
export class OtlpProtobufError extends Schema.TaggedError<OtlpProtobufError>()("OtlpProtobufError", {
  /** Where the field begins that is wrong, in bytes from the start. */
  offset: Schema.Number,
  /** What is allowed there. */
  expected: Schema.String
}) {
  override get message(): string {
    return `Cannot read OTLP protobuf: byte ${this.offset}: expected ${this.expected}`
  }
}

/**
 * Writes spans as one document, for whoever hands spans of his own to an exporter.
 *
 * **Details**: neighbours of one resource and one scope (the same objects) stand under one head. Never fails.
 *
 * @example
 * ```ts
 * import { Result } from "effect"
 * import { OtlpProtobuf, SpanRecord } from "handspan"
 *
 * const batch = OtlpProtobuf.encode([SpanRecord.make({ name: "pipeline.photo_agency" })])
 * const [span] = Result.getOrThrow(OtlpProtobuf.decode(batch.bytes))
 * if (batch.count !== 1 || span?.name !== "pipeline.photo_agency") throw new Error("expected the span back")
 * ```
 *
 * @since 0.1.0
 */
export const encode = (spans: ReadonlyArray<SpanRecord.SpanRecord>): Batch => {
  const encoder = new SpanEncoder()
  const buffer = new SpanBuffer()
  for (const span of spans) buffer.append(encoder.encode(fromRecord(span)))
  return buffer.take()
}

/**
 * What a receiver says of a request that it did not take in full.
 *
 * @since 0.1.0
 */
export interface PartialSuccess {
  /** How many spans it refused. */
  readonly rejectedSpans: number
  /** Why, `""` where it does not say. Where it refused none, this is a warning. */
  readonly errorMessage: string
}

/**
 * Reads the spans of one document (`TracesData` or `ExportTraceServiceRequest` of OTLP 1.11, which are the same), in
 * document order, for whoever got its bytes from a recorder, a request or a file.
 *
 * **Details**: what a SpanRecord cannot hold is made flat: maps and nested arrays become JSON text, bytes become base64,
 * empty values become `""`. Integers within 2^53 become numbers, larger ones bigints. A span that ends before it starts
 * gets its start as its end. Of a key that comes twice, the last value counts. Unknown fields, schema URLs and the
 * scope's own attributes are not kept; what is not UTF-8 becomes U+FFFD. Resources of the same bytes are one object, and
 * so are scopes of the same name and version: always within a document, mostly across documents. The spans do not keep
 * `bytes` alive.
 *
 * **Fails with** `OtlpProtobufError` at the first place that is not OTLP; nothing of such a document is returned. Values
 * that nest more than 64 levels and documents above 64 MiB fail too, as do groups, which protobuf has given up.
 *
 * @example
 * ```ts
 * import { Result } from "effect"
 * import { OtlpProtobuf } from "handspan"
 *
 * const result = OtlpProtobuf.decode(Uint8Array.of(0x0a, 0x05))
 * if (!Result.isFailure(result)) throw new Error("expected a failure")
 * if (result.failure.expected !== "a field that ends within its message") throw new Error("expected the reason")
 * ```
 *
 * @since 0.1.0
 */
export const decode = (bytes: Uint8Array): Result.Result<ReadonlyArray<SpanRecord.SpanRecord>, OtlpProtobufError> => {
  const reader = new ProtobufReader(bytes)
  if (bytes.length > maxBytes) reader.refuse("a document of at most 64 MiB")
  const spans: Array<SpanRecord.SpanRecord> = []
  while (reader.next(reader.end)) {
    if (reader.tag === 0x0a) readResourceSpans(reader, spans)
    else reader.skip()
  }
  resources.trim()
  scopes.trim()
  return result(reader, spans)
}

/**
 * Reads how many spans a receiver refused, for an exporter that got an `ExportTraceServiceResponse`.
 *
 * **Details**: an answer that does not say, such as an empty one, refused 0 spans; so does a negative number.
 *
 * **Fails with** `OtlpProtobufError` at the first place that is not OTLP.
 *
 * @example
 * ```ts
 * import { Result } from "effect"
 * import { OtlpProtobuf } from "handspan"
 *
 * const answer = Result.getOrThrow(OtlpProtobuf.decodePartialSuccess(Uint8Array.of(0x0a, 0x02, 0x08, 0x03)))
 * if (answer.rejectedSpans !== 3) throw new Error("expected three refused spans")
 * ```
 *
 * @since 0.1.0
 */
export const decodePartialSuccess = (bytes: Uint8Array): Result.Result<PartialSuccess, OtlpProtobufError> => {
  const reader = new ProtobufReader(bytes)
  const response = { rejectedSpans: 0, errorMessage: "" }
  while (reader.next(reader.end)) {
    if (reader.tag === 0x0a) readPartialSuccess(reader, response)
    else reader.skip()
  }
  return result(reader, response)
}

// What OTLP advises for a request. It also bounds each text that is made of one: JSON of control characters is six times
// as long as they are, and an engine holds no text of 2^29.
const maxBytes = 64 * 1024 * 1024

type Mutable<A> = { -readonly [K in keyof A]: A[K] }

const result = <A>(reader: ProtobufReader, read: A): Result.Result<A, OtlpProtobufError> =>
  reader.problem === undefined ? Result.succeed(read) : Result.fail(new OtlpProtobufError(reader.problem))

// Below, the tags (`field number << 3 | wire type`) are those of OTLP 1.11. A known field of another wire type has
// another tag, so it is skipped like an unknown one, as protobuf's own parsers do.

const readPartialSuccess = (reader: ProtobufReader, into: Mutable<PartialSuccess>): void => {
  for (const outer = reader.open(); reader.next(outer);) {
    const { tag } = reader
    if (tag === 0x08) into.rejectedSpans = Math.max(0, Number(reader.int64()))
    else if (tag === 0x12) into.errorMessage = reader.text()
    else reader.skip()
  }
}

// Fields may come in any order, so a first pass looks for what the spans share. It goes over them without reading them.
const readResourceSpans = (reader: ProtobufReader, spans: Array<SpanRecord.SpanRecord>): void => {
  const outer = reader.open()
  const { at, end } = reader
  const found = { attributes: noAttributes }
  let key = ""
  while (reader.next(end)) {
    const start = reader.at
    if (reader.tag === 0x0a) {
      readResource(reader, found)
      key += reader.binary(start)
    } else reader.skip()
  }
  if (reader.problem !== undefined) return
  const resource = resources.get(key, found)
  reader.at = at
  while (reader.next(outer)) {
    if (reader.tag === 0x12) readScopeSpans(reader, resource, spans)
    else reader.skip()
  }
}

const readResource = (reader: ProtobufReader, into: Mutable<SpanRecord.Resource>): void => {
  for (const outer = reader.open(); reader.next(outer);) {
    if (reader.tag === 0x0a) into.attributes = readAttribute(reader, into.attributes)
    else reader.skip()
  }
}

const readScopeSpans = (
  reader: ProtobufReader,
  resource: SpanRecord.Resource,
  spans: Array<SpanRecord.SpanRecord>
): void => {
  const outer = reader.open()
  const { at, end } = reader
  const found = { name: "", version: "" }
  while (reader.next(end)) {
    if (reader.tag === 0x0a) readScope(reader, found)
    else reader.skip()
  }
  if (reader.problem !== undefined) return
  // A name may hold any character, so its length tells it from the version.
  const scope = scopes.get(`${found.name.length} ${found.name}${found.version}`, found)
  reader.at = at
  while (reader.next(outer)) {
    if (reader.tag === 0x12) spans.push(readSpan(reader, resource, scope))
    else reader.skip()
  }
}

const readScope = (reader: ProtobufReader, into: Mutable<SpanRecord.InstrumentationScope>): void => {
  for (const outer = reader.open(); reader.next(outer);) {
    const { tag } = reader
    if (tag === 0x0a) into.name = reader.text()
    else if (tag === 0x12) into.version = reader.text()
    else reader.skip()
  }
}

/** One value for each key, as exporters group spans by identity. Forgets them between documents, once they are many. */
class Shared<A> {
  private readonly values = new Map<string, A>()
  private size = 0

  get(key: string, found: A): A {
    const known = this.values.get(key)
    if (known !== undefined) return known
    this.values.set(key, found)
    this.size += key.length
    return found
  }

  trim(): void {
    if (this.size < 65_536) return
    this.values.clear()
    this.size = 0
  }
}

const resources = new Shared<SpanRecord.Resource>()
const scopes = new Shared<SpanRecord.InstrumentationScope>()
