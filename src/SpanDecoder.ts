/**
 * Reads one span of OTLP protobuf: the way back from `SpanEncoder`. The document around it is read by `OtlpProtobuf`,
 * protobuf's wire format by `ProtobufReader`.
 *
 * The tags (`field number << 3 | wire type`) are those of OTLP 1.11, trace.proto and common.proto. A known field of another
 * wire type has another tag, so it is skipped like an unknown one, as protobuf's own parsers do.
 *
 * @since 0.1.0
 */
import { flat } from "./OtlpJson.ts"
import type { ProtobufReader } from "./ProtobufReader.ts"
import type * as SpanRecord from "./SpanRecord.ts"

// The enum starts at 1; 0 is "unspecified", which OTLP lets receivers read as internal.
const spanKinds: ReadonlyArray<SpanRecord.SpanKind> = ["internal", "server", "client", "producer", "consumer"]
const statusCodes = ["unset", "ok", "error"] as const

// OTLP trace.proto, SpanFlags: the low byte is W3C's, then "the next bit is known" and "the parent is remote".
const traceFlagsMask = 0xff
const remoteMask = 0x300

// Real values nest a few levels. The bound keeps a hostile document from overflowing the stack.
const maxNesting = 64

type Mutable<A> = { -readonly [K in keyof A]: A[K] }
type Plain = string | number | bigint | boolean | null | ReadonlyArray<Plain> | { readonly [key: string]: Plain }

/**
 * Attributes before the first one was read: one object for all, as a hostile document could ask for millions.
 *
 * @since 0.1.0
 */
export const noAttributes: SpanRecord.Attributes = Object.freeze({})

/**
 * Reads the `Span` that the reader's field holds. Whether it could be read, the reader knows.
 *
 * @since 0.1.0
 */
export const readSpan = (
  reader: ProtobufReader,
  resource: SpanRecord.Resource,
  scope: SpanRecord.InstrumentationScope
): SpanRecord.SpanRecord => {
  const start = reader.fieldAt
  const events: Array<SpanRecord.SpanEvent> = []
  const links: Array<SpanRecord.SpanLink> = []
  const status = { code: 0, message: "" }
  const span: Mutable<SpanRecord.SpanRecord> = {
    traceId: "",
    spanId: "",
    parentSpanId: undefined,
    parentIsRemote: false,
    flags: 0,
    traceState: "",
    name: "",
    kind: "internal",
    startTimeUnixNano: 0n,
    endTimeUnixNano: 0n,
    attributes: noAttributes,
    events,
    links,
    status: { code: "unset" },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
    resource,
    scope
  }
  for (const outer = reader.open(); reader.next(outer);) {
    const { tag } = reader
    if (tag === 0x4a) span.attributes = readAttribute(reader, span.attributes)
    else if (tag === 0x0a) span.traceId = reader.id(16, false)
    else if (tag === 0x12) span.spanId = reader.id(8, false)
    else if (tag === 0x1a) span.traceState = reader.text()
    else if (tag === 0x22) span.parentSpanId = reader.id(8, true) || undefined
    else if (tag === 0x2a) span.name = reader.text()
    else if (tag === 0x30) span.kind = spanKinds[reader.varint() - 1] ?? "internal"
    else if (tag === 0x39) span.startTimeUnixNano = reader.fixed64()
    else if (tag === 0x41) span.endTimeUnixNano = reader.fixed64()
    else if (tag === 0x50) span.droppedAttributesCount = reader.uint32()
    else if (tag === 0x5a) events.push(readEvent(reader))
    else if (tag === 0x60) span.droppedEventsCount = reader.uint32()
    else if (tag === 0x6a) links.push(readLink(reader))
    else if (tag === 0x70) span.droppedLinksCount = reader.uint32()
    else if (tag === 0x7a) readStatus(reader, status)
    else if (tag === 0x85) {
      const flags = reader.fixed32()
      span.flags = flags & traceFlagsMask
      span.parentIsRemote = (flags & remoteMask) === remoteMask
    } else reader.skip()
  }
  if (span.traceId === "" || span.spanId === "") reader.refuse("a span with a trace id and a span id", start)
  if (span.endTimeUnixNano < span.startTimeUnixNano) span.endTimeUnixNano = span.startTimeUnixNano
  const code = statusCodes[status.code] ?? "unset"
  span.status = code === "error" ? { code, message: status.message } : { code }
  return span
}

const readStatus = (reader: ProtobufReader, into: { code: number; message: string }): void => {
  for (const outer = reader.open(); reader.next(outer);) {
    const { tag } = reader
    if (tag === 0x12) into.message = reader.text()
    else if (tag === 0x18) into.code = reader.varint()
    else reader.skip()
  }
}

const readEvent = (reader: ProtobufReader): SpanRecord.SpanEvent => {
  const event = { name: "", timeUnixNano: 0n, attributes: noAttributes, droppedAttributesCount: 0 }
  for (const outer = reader.open(); reader.next(outer);) {
    const { tag } = reader
    if (tag === 0x09) event.timeUnixNano = reader.fixed64()
    else if (tag === 0x12) event.name = reader.text()
    else if (tag === 0x1a) event.attributes = readAttribute(reader, event.attributes)
    else if (tag === 0x20) event.droppedAttributesCount = reader.uint32()
    else reader.skip()
  }
  return event
}

const readLink = (reader: ProtobufReader): SpanRecord.SpanLink => {
  const start = reader.fieldAt
  const link = {
    traceId: "",
    spanId: "",
    flags: 0,
    traceState: "",
    attributes: noAttributes,
    droppedAttributesCount: 0
  }
  for (const outer = reader.open(); reader.next(outer);) {
    const { tag } = reader
    if (tag === 0x0a) link.traceId = reader.id(16, false)
    else if (tag === 0x12) link.spanId = reader.id(8, false)
    else if (tag === 0x1a) link.traceState = reader.text()
    else if (tag === 0x22) link.attributes = readAttribute(reader, link.attributes)
    else if (tag === 0x28) link.droppedAttributesCount = reader.uint32()
    else if (tag === 0x35) link.flags = reader.fixed32() & traceFlagsMask
    else reader.skip()
  }
  if (link.traceId === "" || link.spanId === "") reader.refuse("a link with a trace id and a span id", start)
  return link
}

/**
 * Reads the `KeyValue` that the reader's field holds, and says what the attributes are with it. Their object is made with
 * the first one; the same key again replaces the value.
 *
 * @since 0.1.0
 */
export const readAttribute = (reader: ProtobufReader, before: SpanRecord.Attributes): SpanRecord.Attributes => {
  const attributes: Mutable<SpanRecord.Attributes> = before === noAttributes ? {} : before
  readEntry(reader, attributes, 0)
  return attributes
}

/** Reads a `KeyValue`: an attribute, which is flat, at depth 0, and an entry of a map that is a value below. */
const readEntry = (reader: ProtobufReader, into: Record<string, Plain>, depth: number): void => {
  let key = ""
  let value: Plain = null
  for (const outer = reader.open(); reader.next(outer);) {
    const { tag } = reader
    if (tag === 0x0a) key = reader.text()
    else if (tag === 0x12) value = readValue(reader, depth)
    else reader.skip()
  }
  if (depth === 0) value = Array.isArray(value) ? value.map(flat) : flat(value)
  if (key !== "__proto__") into[key] = value
  // Assigned, this one key would set the prototype.
  else Object.defineProperty(into, key, { value, configurable: true, enumerable: true, writable: true })
}

const readValue = (reader: ProtobufReader, depth: number): Plain => {
  if (depth > maxNesting) reader.refuse(`at most ${maxNesting} levels of nesting`)
  let value: Plain = null
  for (const outer = reader.open(); reader.next(outer);) {
    const { tag } = reader
    if (tag === 0x0a) value = reader.text()
    else if (tag === 0x10) value = reader.varint() !== 0
    else if (tag === 0x18) value = reader.int64()
    else if (tag === 0x21) value = reader.double()
    else if (tag === 0x2a) value = readList(reader, depth + 1)
    else if (tag === 0x32) value = readMap(reader, depth + 1)
    else if (tag === 0x3a) value = reader.base64()
    else reader.skip()
  }
  return value
}

const readList = (reader: ProtobufReader, depth: number): ReadonlyArray<Plain> => {
  const items: Array<Plain> = []
  for (const outer = reader.open(); reader.next(outer);) {
    if (reader.tag === 0x0a) items.push(readValue(reader, depth))
    else reader.skip()
  }
  return items
}

const readMap = (reader: ProtobufReader, depth: number): Plain => {
  const entries: Record<string, Plain> = {}
  for (const outer = reader.open(); reader.next(outer);) {
    if (reader.tag === 0x0a) readEntry(reader, entries, depth)
    else reader.skip()
  }
  return entries
}
