/**
 * The wire format of protobuf, as far as OTLP needs it, written into a buffer that is used again and again: lengths are
 * written once what they measure is there. What the messages are is `SpanEncoder`'s; the way back is `ProtobufReader`.
 *
 * @since 0.1.0
 */

const utf8 = new TextEncoder()
/** Longer texts are written faster by the platform than by a loop. */
const shortText = 64

/**
 * Writes fields one after the other. A tag is `number << 3 | wire type`; those of OTLP's messages have one byte.
 *
 * **Gotchas**: `time`, `open`, `copy` and numbers write without a look at the room there is: `reserve` comes first.
 *
 * @since 0.1.0
 */
export class ProtobufWriter {
  bytes: Uint8Array<ArrayBuffer>
  protected view: DataView
  protected at = 0

  constructor(size: number) {
    this.bytes = new Uint8Array(size)
    this.view = new DataView(this.bytes.buffer)
  }

  protected text(tag: number, text: string): void {
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

  protected number(value: number): void {
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

  protected integer(value: bigint): void {
    this.bytes[this.at++] = 0x18
    let rest = BigInt.asUintN(64, value)
    while (rest > 0x7fn) {
      this.bytes[this.at++] = Number(rest & 0x7fn) | 0x80
      rest >>= 7n
    }
    this.bytes[this.at++] = Number(rest)
  }

  /** Copies what is encoded already. */
  protected copy(from: Uint8Array): void {
    this.bytes.set(from, this.at)
    this.at += from.length
  }

  /** Writes a number below 2^31 as a varint. There is room for it after `reserve`, `open` and the like. */
  protected small(tag: number, value: number): void {
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

  protected time(tag: number, nanos: bigint): void {
    this.bytes[this.at] = tag
    this.view.setBigUint64(this.at + 1, nanos, true)
    this.at += 9
  }

  protected open(tag: number): number {
    this.bytes[this.at++] = tag
    return this.openLength()
  }

  /** Leaves one byte for a length that is not known yet, and says where what it measures begins. */
  protected openLength(): number {
    return ++this.at
  }

  /** Writes the length of what began at `start`; where one byte is not enough, what was written moves up. */
  protected close(start: number): void {
    const length = this.at - start
    if (length < 0x80) this.bytes[start - 1] = length
    else this.closeWith(start, 1, length)
  }

  /** As `open`, with two bytes for the length of what mostly needs them. */
  protected openLong(tag: number): number {
    this.bytes[this.at] = tag
    this.at += 3
    return this.at
  }

  protected closeLong(start: number): void {
    const length = this.at - start
    if (length < 0x4000) {
      this.bytes[start - 2] = (length & 0x7f) | 0x80
      this.bytes[start - 1] = length >>> 7
    } else {
      this.closeWith(start, 2, length)
    }
  }

  protected closeWith(start: number, room: number, length: number): void {
    const size = varint(length)
    const extra = size.length - room
    this.reserve(extra)
    this.bytes.copyWithin(start + extra, start, this.at)
    this.bytes.set(size, start - room)
    this.at += extra
  }

  protected reserve(bytes: number): void {
    if (this.at + bytes <= this.bytes.length) return
    this.use(grown(this.bytes, this.at, this.at + bytes))
  }

  protected use(bytes: Uint8Array<ArrayBuffer>): void {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer)
  }
}

/** A number as protobuf writes lengths: seven bits in each byte, the lowest first. */
const varint = (value: number): ReadonlyArray<number> =>
  value < 0x80 ? [value] : [(value % 0x80) | 0x80, ...varint(Math.floor(value / 0x80))]

/**
 * Gives bytes with room for so many, at least twice as many as there were, of which the first are as before.
 *
 * @since 0.1.0
 */
export const grown = (bytes: Uint8Array<ArrayBuffer>, used: number, needed: number): Uint8Array<ArrayBuffer> => {
  const larger = new Uint8Array(Math.max(bytes.length * 2, needed))
  larger.set(bytes.subarray(0, used))
  return larger
}

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
