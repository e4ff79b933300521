/**
 * A finished span in the form in which it is written fastest: ids as words, attributes flat. `RecorderSpan` has it by
 * itself, SpanRecords are brought into it; `SpanEncoder` writes it.
 *
 * @since 0.1.0
 */
import * as Hex from "./Hex.ts"
import type * as SpanRecord from "./SpanRecord.ts"

/**
 * A trace id as four words of 32 bits, the first one first.
 *
 * @since 0.1.0
 */
export interface TraceWords {
  readonly word0: number
  readonly word1: number
  readonly word2: number
  readonly word3: number
}

/**
 * Attributes as a flat list: key, value, key, value. A later value of a key replaces an earlier one.
 *
 * @since 0.1.0
 */
export type FlatAttributes = ReadonlyArray<string | SpanRecord.AttributeValue>

/**
 * A finished span in the form in which it is written fastest.
 *
 * @since 0.1.0
 */
export interface EncodableSpan {
  readonly trace: TraceWords
  /** The span id as two words of 32 bits. */
  readonly id0: number
  readonly id1: number
  /** The parent's span id, both 0 for a root. */
  readonly parentId0: number
  readonly parentId1: number
  readonly parentIsRemote: boolean
  readonly flags: number
  readonly traceState: string
  readonly name: string
  readonly kind: SpanRecord.SpanKind
  readonly startTimeUnixNano: bigint
  readonly endTimeUnixNano: bigint
  readonly flatAttributes: FlatAttributes
  /** How many different keys are written; those of `endAttributes` always are. */
  readonly attributeLimit: number
  readonly endAttributes: FlatAttributes
  readonly flatEvents: ReadonlyArray<EncodableEvent>
  readonly flatLinks: ReadonlyArray<EncodableLink>
  readonly endStatus: SpanRecord.SpanStatus
  /** What the limits cut off before; attributes beyond `attributeLimit` are added. */
  readonly droppedAttributes: number
  readonly droppedEvents: number
  readonly droppedLinks: number
  readonly resource: SpanRecord.Resource
  readonly scope: SpanRecord.InstrumentationScope
}

/**
 * An event in the form in which it is written fastest.
 *
 * @since 0.1.0
 */
export interface EncodableEvent {
  readonly name: string
  readonly timeUnixNano: bigint
  readonly flatAttributes: FlatAttributes
  readonly droppedAttributes: number
}

/**
 * A link in the form in which it is written fastest.
 *
 * @since 0.1.0
 */
export interface EncodableLink {
  readonly traceId: string
  readonly spanId: string
  readonly flags: number
  readonly traceState: string
  readonly flatAttributes: FlatAttributes
  readonly droppedAttributes: number
}

/**
 * Reads a trace id in hex as words.
 *
 * @since 0.1.0
 */
export const traceWords = (traceId: string): TraceWords => ({
  word0: Hex.toWord(traceId, 0),
  word1: Hex.toWord(traceId, 1),
  word2: Hex.toWord(traceId, 2),
  word3: Hex.toWord(traceId, 3)
})

/**
 * Lists attributes flat.
 *
 * @since 0.1.0
 */
export const flatten = (attributes: SpanRecord.Attributes): FlatAttributes => Object.entries(attributes).flat(1)

/**
 * Presents a SpanRecord in the form in which spans are written.
 *
 * @since 0.1.0
 */
export const fromRecord = (span: SpanRecord.SpanRecord): EncodableSpan => ({
  trace: traceWords(span.traceId),
  id0: Hex.toWord(span.spanId, 0),
  id1: Hex.toWord(span.spanId, 1),
  parentId0: span.parentSpanId === undefined ? 0 : Hex.toWord(span.parentSpanId, 0),
  parentId1: span.parentSpanId === undefined ? 0 : Hex.toWord(span.parentSpanId, 1),
  parentIsRemote: span.parentIsRemote,
  flags: span.flags,
  traceState: span.traceState,
  name: span.name,
  kind: span.kind,
  startTimeUnixNano: span.startTimeUnixNano,
  endTimeUnixNano: span.endTimeUnixNano,
  flatAttributes: flatten(span.attributes),
  attributeLimit: Infinity,
  endAttributes: [],
  flatEvents: span.events.map((event) => ({
    name: event.name,
    timeUnixNano: event.timeUnixNano,
    flatAttributes: flatten(event.attributes),
    droppedAttributes: event.droppedAttributesCount
  })),
  flatLinks: span.links.map((link) => ({
    ...link,
    flatAttributes: flatten(link.attributes),
    droppedAttributes: link.droppedAttributesCount
  })),
  endStatus: span.status,
  droppedAttributes: span.droppedAttributesCount,
  droppedEvents: span.droppedEventsCount,
  droppedLinks: span.droppedLinksCount,
  resource: span.resource,
  scope: span.scope
})
