/**
 * Writes finished spans as OTLP protobuf, each once, when it ends: from then on its bytes are what is queued, sent,
 * spooled and replayed, and nothing of the program is kept alive. The way back is `OtlpProtobuf.decode`.
 *
 * This is the hot path of recording. Everything goes into one buffer that is used again and again, lengths are written
 * once what they measure is there, and attribute keys are looked up in a table that holds their bytes.
 *
 * @since 0.1.0
 */
import * as SpanRecord from "./SpanRecord.ts"

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
 * A span that was just written: the first `length` of `bytes` are one `spans` entry of a `ScopeSpans` message, tag and
 * length included. They hold until the next span is written; whoever keeps them copies them.
 *
 * @since 0.1.0
 */
export interface EncodedSpan {
  readonly bytes: Uint8Array
  readonly length: number
  readonly resource: SpanRecord.Resource
  readonly scope: SpanRecord.InstrumentationScope
}

/** An attribute key with its bytes: the `key` field of a `KeyValue`, tag and length included. */
interface Key {
  readonly bytes: Uint8Array
  /** In which list of attributes the key was seen last, and where: a key that comes again replaces its value. */
  list: number
  position: number
}

// Field numbers and enums are those of OTLP 1.11, trace.proto and common.proto. A tag is `number << 3 | wire type`.
const spanKinds: Readonly<Record<SpanRecord.SpanKind, number>> = {
  internal: 1,
  server: 2,
  client: 3,
  producer: 4,
  consumer: 5
}
const statusCodes = { unset: 0, ok: 1, error: 2 } as const
const spanAttributes = 0x4a
const eventAttributes = 0x1a
const linkAttributes = 0x22

// trace.proto, SpanFlags: the low byte is W3C's, then "the next bit is known" and "the parent is remote".
const hasIsRemote = 0x100
const isRemote = 0x200

/** Programs use a few dozen keys. One that makes keys up must not fill the memory; each costs more than its bytes. */
const maxKeysSize = 512 * 1024
const keyOverhead = 128
/** Longer texts are written faster by the platform than by a loop. */
const shortText = 64
const initialSize = 4096
const maxKept = 1024 * 1024
/** What the fields of fixed size need that follow a text. */
const fixedFields = 32
const noAttributes: FlatAttributes = []
const utf8 = new TextEncoder()

/**
 * Writes spans into a buffer of its own, one after the other, each in the place of the last.
 *
 * @since 0.1.0
 */
export class SpanEncoder implements EncodedSpan {
  bytes = new Uint8Array(initialSize)
  length = 0
  resource = SpanRecord.emptyResource
  scope = SpanRecord.defaultScope
  private view = new DataView(this.bytes.buffer)
  private at = 0
  private readonly keys = new Map<string, Key>()
  private keysSize = 0
  private list = 0
  private readonly listKeys: Array<Key> = []
  private readonly listValues: Array<SpanRecord.AttributeValue> = []

  /** Writes a span. Never fails, whatever the texts are: half characters become U+FFFD. */
  encode(span: EncodableSpan): EncodedSpan {
    this.resource = span.resource
    this.scope = span.scope
    if (this.keysSize > maxKeysSize) this.forgetKeys()
    // One that a huge span has grown goes.
    if (this.bytes.length > maxKept) this.use(new Uint8Array(initialSize))
    this.at = 0
    this.reserve(256)
    const start = this.openLong(0x12)
    this.traceId(span.trace)
    this.spanId(0x12, span.id0, span.id1)
    if (span.traceState !== "") this.text(0x1a, span.traceState)
    this.reserve(fixedFields)
    if (span.parentId0 !== 0 || span.parentId1 !== 0) this.spanId(0x22, span.parentId0, span.parentId1)
    this.text(0x2a, span.name)
    this.reserve(fixedFields)
    this.small(0x30, spanKinds[span.kind])
    this.time(0x39, span.startTimeUnixNano)
    this.time(0x41, span.endTimeUnixNano)
    const dropped =
      span.droppedAttributes +
      this.attributes(spanAttributes, span.flatAttributes, span.attributeLimit, span.endAttributes)
    if (dropped !== 0) this.small(0x50, dropped)
    for (const event of span.flatEvents) this.event(event)
    if (span.droppedEvents !== 0) this.small(0x60, span.droppedEvents)
    for (const link of span.flatLinks) this.link(link)
    if (span.droppedLinks !== 0) this.small(0x70, span.droppedLinks)
    this.status(span.endStatus)
    this.flags(0x85, 0x01, (span.flags & 0xff) | hasIsRemote | (span.parentIsRemote ? isRemote : 0))
    this.closeLong(start)
    this.length = this.at
    return this
  }

  /** Gives the `resource` field of a `ResourceSpans` message. */
  resourceField(resource: SpanRecord.Resource): Uint8Array {
    this.at = 0
    const start = this.open(0x0a)
    this.attributes(0x0a, flatten(resource.attributes), Infinity, noAttributes)
    this.close(start)
    return this.bytes.slice(0, this.at)
  }

  /** Gives the `scope` field of a `ScopeSpans` message. */
  scopeField(scope: SpanRecord.InstrumentationScope): Uint8Array {
    this.at = 0
    const start = this.open(0x0a)
    this.text(0x0a, scope.name)
    if (scope.version !== "") this.text(0x12, scope.version)
    this.close(start)
    return this.bytes.slice(0, this.at)
  }

  private event(event: EncodableEvent): void {
    this.reserve(64)
    const start = this.openLong(0x5a)
    this.time(0x09, event.timeUnixNano)
    this.text(0x12, event.name)
    this.attributes(eventAttributes, event.flatAttributes, Infinity, noAttributes)
    if (event.droppedAttributes !== 0) this.small(0x20, event.droppedAttributes)
    this.closeLong(start)
  }

  private link(link: EncodableLink): void {
    this.reserve(64)
    const start = this.open(0x6a)
    this.traceId(traceWords(link.traceId))
    this.spanId(0x12, word(link.spanId, 0), word(link.spanId, 1))
    if (link.traceState !== "") this.text(0x1a, link.traceState)
    this.attributes(linkAttributes, link.flatAttributes, Infinity, noAttributes)
    if (link.droppedAttributes !== 0) this.small(0x28, link.droppedAttributes)
    // A link does not know whether its span is remote, so the two remote bits stay 0: "unknown".
    this.flags(0x35, undefined, link.flags & 0xff)
    this.close(start)
  }

  private status(status: SpanRecord.SpanStatus): void {
    if (status.code === "unset") return
    this.reserve(16)
    const start = this.open(0x7a)
    if (status.code === "error" && status.message !== "") this.text(0x12, status.message)
    this.small(0x18, statusCodes[status.code])
    this.close(start)
  }

  /** Writes attributes, each key once with its last value, and counts the keys that the limit left out. */
  private attributes(tag: number, flat: FlatAttributes, limit: number, unlimited: FlatAttributes): number {
    const list = ++this.list
    const keys = this.listKeys
    const values = this.listValues
    const ordinary = flat.length
    let count = 0
    let dropped = 0
    for (let i = 0, all = ordinary + unlimited.length; i < all; i += 2) {
      const source = i < ordinary ? flat : unlimited
      const index = i < ordinary ? i : i - ordinary
      const key = this.key(source[index] as string)
      const value = source[index + 1]!
      if (key.list === list) {
        values[key.position] = value
      } else if (count >= limit && i < ordinary) {
        dropped++
      } else {
        key.list = list
        key.position = count
        keys[count] = key
        values[count++] = value
      }
    }
    for (let i = 0; i < count; i++) {
      this.attribute(tag, keys[i]!.bytes, values[i]!)
      values[i] = ""
    }
    return dropped
  }

  private key(key: string): Key {
    const known = this.keys.get(key)
    if (known !== undefined) return known
    const made: Key = { bytes: field(0x0a, utf8.encode(key)), list: 0, position: 0 }
    this.keys.set(key, made)
    this.keysSize += keyOverhead + made.bytes.length
    return made
  }

  private forgetKeys(): void {
    this.keys.clear()
    this.listKeys.length = 0
    this.keysSize = 0
  }

  private attribute(tag: number, key: Uint8Array, value: SpanRecord.AttributeValue): void {
    this.reserve(key.length + 32)
    const start = this.open(tag)
    const { bytes } = this
    let at = this.at
    for (let i = 0; i < key.length; i++) bytes[at++] = key[i]!
    bytes[at++] = 0x12
    this.at = at
    this.value(value)
    this.close(start)
  }

  /** Writes an `AnyValue` with its length; the tag before it is the caller's. */
  private value(value: SpanRecord.AttributeValue): void {
    const start = this.openLength()
    switch (typeof value) {
      case "string":
        this.text(0x0a, value)
        break
      case "boolean":
        this.small(0x10, value ? 1 : 0)
        break
      case "number":
        this.number(value)
        break
      case "bigint":
        if (BigInt.asIntN(64, value) === value) this.integer(value)
        else this.text(0x0a, String(value))
        break
      default: {
        const items = this.open(0x2a)
        for (const item of value) {
          this.reserve(32)
          this.bytes[this.at++] = 0x0a
          this.value(item)
        }
        this.close(items)
      }
    }
    this.close(start)
  }

  private number(value: number): void {
    if (!Number.isSafeInteger(value)) {
      this.bytes[this.at] = 0x21
      this.view.setFloat64(this.at + 1, value, true)
      this.at += 9
    } else if (value >= 0 && value < 0x8000_0000) {
      this.small(0x18, value)
    } else {
      this.integer(BigInt(value))
    }
  }

  private integer(value: bigint): void {
    this.bytes[this.at++] = 0x18
    let rest = BigInt.asUintN(64, value)
    while (rest > 0x7fn) {
      this.bytes[this.at++] = Number(rest & 0x7fn) | 0x80
      rest >>= 7n
    }
    this.bytes[this.at++] = Number(rest)
  }

  private text(tag: number, text: string): void {
    const { length } = text
    if (length < shortText) {
      this.reserve(length + 8)
      const { bytes } = this
      let at = this.at
      bytes[at++] = tag
      bytes[at++] = length
      let i = 0
      for (; i < length; i++) {
        const code = text.charCodeAt(i)
        if (code > 0x7f) break
        bytes[at++] = code
      }
      if (i === length) {
        this.at = at
        return
      }
    }
    this.reserve(length * 3 + 8)
    this.bytes[this.at++] = tag
    const start = this.openLength()
    this.at += utf8.encodeInto(text, this.bytes.subarray(this.at)).written
    this.close(start)
  }

  private traceId({ word0, word1, word2, word3 }: TraceWords): void {
    const { at, view } = this
    this.bytes[at] = 0x0a
    this.bytes[at + 1] = 16
    view.setInt32(at + 2, word0)
    view.setInt32(at + 6, word1)
    view.setInt32(at + 10, word2)
    view.setInt32(at + 14, word3)
    this.at = at + 18
  }

  private spanId(tag: number, id0: number, id1: number): void {
    const { at, view } = this
    this.bytes[at] = tag
    this.bytes[at + 1] = 8
    view.setInt32(at + 2, id0)
    view.setInt32(at + 6, id1)
    this.at = at + 10
  }

  private time(tag: number, nanos: bigint): void {
    this.bytes[this.at] = tag
    this.view.setBigUint64(this.at + 1, nanos, true)
    this.at += 9
  }

  private flags(tag: number, tagRest: number | undefined, flags: number): void {
    this.reserve(8)
    this.bytes[this.at++] = tag
    if (tagRest !== undefined) this.bytes[this.at++] = tagRest
    this.view.setUint32(this.at, flags, true)
    this.at += 4
  }

  /** Writes a number below 2^31 as a varint. There is room for it after `reserve`, `open` and the like. */
  private small(tag: number, value: number): void {
    this.reserve(8)
    const { bytes } = this
    let at = this.at
    bytes[at++] = tag
    let rest = value
    while (rest > 0x7f) {
      bytes[at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    bytes[at++] = rest
    this.at = at
  }

  private open(tag: number): number {
    this.bytes[this.at++] = tag
    return this.openLength()
  }

  /** Leaves one byte for a length that is not known yet, and says where what it measures begins. */
  private openLength(): number {
    return ++this.at
  }

  /** Writes the length of what began at `start`; where one byte is not enough, what was written moves up. */
  private close(start: number): void {
    const length = this.at - start
    if (length < 0x80) this.bytes[start - 1] = length
    else this.closeWith(start, 1, length)
  }

  /** As `open`, with two bytes for the length of what mostly needs them. */
  private openLong(tag: number): number {
    this.bytes[this.at] = tag
    this.at += 3
    return this.at
  }

  private closeLong(start: number): void {
    const length = this.at - start
    if (length < 0x4000) {
      this.bytes[start - 2] = (length & 0x7f) | 0x80
      this.bytes[start - 1] = length >>> 7
    } else {
      this.closeWith(start, 2, length)
    }
  }

  private closeWith(start: number, room: number, length: number): void {
    const size = varint(length)
    const extra = size.length - room
    this.reserve(extra)
    this.bytes.copyWithin(start + extra, start, this.at)
    this.bytes.set(size, start - room)
    this.at += extra
  }

  private reserve(bytes: number): void {
    if (this.at + bytes <= this.bytes.length) return
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.at + bytes))
    grown.set(this.bytes.subarray(0, this.at))
    this.use(grown)
  }

  private use(bytes: Uint8Array<ArrayBuffer>): void {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer)
  }
}

/** A number as protobuf writes lengths: seven bits in each byte, the lowest first. */
const varint = (value: number): ReadonlyArray<number> =>
  value < 0x80 ? [value] : [(value % 0x80) | 0x80, ...varint(Math.floor(value / 0x80))]

/**
 * A field that is measured in bytes: its tag, its length and its content, of which the last `rest` bytes are still to
 * come.
 *
 * @since 0.1.0
 */
export const field = (tag: number, content: Uint8Array, rest = 0): Uint8Array => {
  const head = [tag, ...varint(content.length + rest)]
  const bytes = new Uint8Array(head.length + content.length)
  bytes.set(head)
  bytes.set(content, head.length)
  return bytes
}

/**
 * Reads word number `index` of an id in hex; a word is 8 digits.
 *
 * @since 0.1.0
 */
export const word = (hex: string, index: number): number => Number.parseInt(hex.slice(index * 8, index * 8 + 8), 16) | 0

/**
 * Reads a trace id in hex as words.
 *
 * @since 0.1.0
 */
export const traceWords = (traceId: string): TraceWords => ({
  word0: word(traceId, 0),
  word1: word(traceId, 1),
  word2: word(traceId, 2),
  word3: word(traceId, 3)
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
  id0: word(span.spanId, 0),
  id1: word(span.spanId, 1),
  parentId0: span.parentSpanId === undefined ? 0 : word(span.parentSpanId, 0),
  parentId1: span.parentSpanId === undefined ? 0 : word(span.parentSpanId, 1),
  parentIsRemote: span.parentIsRemote,
  flags: span.flags,
  traceState: span.traceState,
  name: span.name,
  kind: span.kind,
  startTimeUnixNano: span.startTimeUnixNano,
  endTimeUnixNano: span.endTimeUnixNano,
  flatAttributes: flatten(span.attributes),
  attributeLimit: Infinity,
  endAttributes: noAttributes,
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
