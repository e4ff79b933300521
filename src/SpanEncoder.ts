/**
 * Writes finished spans as OTLP protobuf, each once, when it ends: from then on its bytes are what is queued, sent,
 * spooled and replayed, and nothing of the program is kept alive. The way back is `OtlpProtobuf.decode`.
 *
 * This is the hot path of recording. Everything goes into one buffer that is used again and again, lengths are written
 * once what they measure is there, and attribute keys are looked up in a table that holds their bytes.
 *
 * @since 0.1.0
 */
import {
  type EncodableEvent,
  type EncodableLink,
  type EncodableSpan,
  type FlatAttributes,
  flatten,
  traceWords,
  type TraceWords
} from "./EncodableSpan.ts"
import * as Hex from "./Hex.ts"
import { field, ProtobufWriter } from "./ProtobufWriter.ts"
import * as SpanRecord from "./SpanRecord.ts"

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

/**
 * Gives the name that a span is written with. Must not throw.
 *
 * @since 0.1.0
 */
export type NameOf = (span: Pick<SpanRecord.SpanRecord, "name" | "kind">) => string

/** An attribute key with what is known of it. */
interface Key {
  readonly text: string
  /** The `key` field of a `KeyValue`, tag and length included. */
  readonly bytes: Uint8Array
  /** A short value that came twice in a row, as many always do, and the whole attribute. */
  value: string | number | undefined
  whole: Uint8Array | undefined
  tag: number
  /** What tells the last short value from most others: the value itself may be a piece of a text that is to go. */
  print: number
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
const initialSize = 4096
const maxKept = 1024 * 1024
/** What the fields of fixed size need that follow a text. */
const fixedFields = 32
const noAttributes: FlatAttributes = []
/** With a key of fewer than 64 bytes, the whole attribute then has fewer than 128. */
const shortValue = 60
const isSmall = (value: unknown): value is number =>
  typeof value === "number" && value >= 0 && value < 128 && Number.isInteger(value)
const utf8 = new TextEncoder()

/**
 * Writes spans into a buffer of its own, one after the other, each in the place of the last.
 *
 * @since 0.1.0
 */
export class SpanEncoder extends ProtobufWriter implements EncodedSpan {
  length = 0
  resource = SpanRecord.emptyResource
  scope = SpanRecord.defaultScope
  private readonly keys = new Map<string, Key>()
  private keysSize = 0
  private list = 0
  private readonly listKeys: Array<Key> = []
  private readonly listValues: Array<SpanRecord.AttributeValue> = []

  /** What spans are called where they go. Default: as they are. */
  private readonly nameOf: NameOf | undefined

  constructor(nameOf?: NameOf) {
    super(initialSize)
    this.nameOf = nameOf
  }

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
    this.text(0x2a, this.nameOf === undefined ? span.name : this.nameOf(span))
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
    this.spanId(0x12, Hex.toWord(link.spanId, 0), Hex.toWord(link.spanId, 1))
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
      const text = source[index] as string
      // Spans of one kind have the same keys in the same order, so the last list tells where to look first.
      const guess = keys[count]
      const key = guess?.text === text ? guess : this.key(text)
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
      this.attribute(tag, keys[i]!, values[i]!)
      values[i] = ""
    }
    return dropped
  }

  private key(key: string): Key {
    const known = this.keys.get(key)
    if (known !== undefined) return known
    const bytes = field(0x0a, utf8.encode(key))
    const made: Key = { text: key, bytes, value: undefined, whole: undefined, tag: 0, print: 0, list: 0, position: 0 }
    this.keys.set(key, made)
    this.keysSize += keyOverhead + made.bytes.length
    return made
  }

  private forgetKeys(): void {
    this.keys.clear()
    this.listKeys.length = 0
    this.keysSize = 0
  }

  private attribute(tag: number, key: Key, value: SpanRecord.AttributeValue): void {
    const start = this.at
    if (typeof value === "string" ? value.length < shortValue : isSmall(value)) {
      if (key.tag === tag && key.value === value && key.whole !== undefined) {
        this.reserve(key.whole.length)
        return this.copy(key.whole)
      }
      this.oneAttribute(tag, key.bytes, value)
      const print = printOf(value as string | number)
      const isAgain = key.print === print && key.tag === tag && this.at - start < 128
      key.value = isAgain ? copyOf(value as string | number) : undefined
      key.whole = isAgain ? this.bytes.slice(start, this.at) : undefined
      key.tag = tag
      key.print = print
    } else {
      this.oneAttribute(tag, key.bytes, value)
    }
  }

  private oneAttribute(tag: number, key: Uint8Array, value: SpanRecord.AttributeValue): void {
    // Most attributes are short: their lengths are known before they are written.
    if (key.length < 64) {
      if (typeof value === "string") {
        if (value.length < shortValue && this.shortText(tag, key, value)) return
      } else if (isSmall(value)) {
        return this.shortNumber(tag, key, value)
      }
    }
    this.reserve(key.length + 32)
    const start = this.open(tag)
    this.copy(key)
    this.bytes[this.at++] = 0x12
    this.value(value)
    this.close(start)
  }

  /** Writes an attribute of fewer than 128 bytes, or nothing where its text is more than ASCII. */
  private shortText(tag: number, key: Uint8Array, value: string): boolean {
    const keyLength = key.length
    const { length } = value
    this.reserve(6 + keyLength + length)
    const { bytes } = this
    let at = this.at
    bytes[at] = tag
    bytes[at + 1] = 4 + keyLength + length
    bytes.set(key, at + 2)
    at += 2 + keyLength
    bytes[at] = 0x12
    bytes[at + 1] = length + 2
    bytes[at + 2] = 0x0a
    bytes[at + 3] = length
    at += 4
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i)
      if (code > 0x7f) return false
      bytes[at++] = code
    }
    this.at = at
    return true
  }

  /** Writes an attribute whose number has seven bits. */
  private shortNumber(tag: number, key: Uint8Array, value: number): void {
    this.reserve(6 + key.length)
    const { bytes } = this
    let at = this.at
    bytes[at] = tag
    bytes[at + 1] = 4 + key.length
    bytes.set(key, at + 2)
    at += 2 + key.length
    bytes[at] = 0x12
    bytes[at + 1] = 2
    bytes[at + 2] = 0x18
    bytes[at + 3] = value
    this.at = at + 4
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

  private flags(tag: number, tagRest: number | undefined, flags: number): void {
    this.reserve(8)
    this.bytes[this.at++] = tag
    if (tagRest !== undefined) this.bytes[this.at++] = tagRest
    this.view.setUint32(this.at, flags, true)
    this.at += 4
  }
}

/** Not the value itself, and yet seldom that of another one: length, ends and middle of a text. */
const printOf = (value: string | number): number => {
  if (typeof value === "number") return value
  const { length } = value
  const ends = value.charCodeAt(0) * 31 + value.charCodeAt(length - 1)
  return ((ends * 31 + value.charCodeAt(length >> 1)) * 61 + length) | 0
}

/** A text by itself: in V8 a piece of a long one would keep all of that alive. A key of an object is always whole. */
const copyOf = (value: string | number): string | number =>
  typeof value === "number" ? value : Object.keys({ [value]: true })[0]!
