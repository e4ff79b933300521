/**
 * What the spool is made of: its segments, append-only files of batches that can be read again after anything may have
 * happened to them, and the machine they lie on. Which segments there are, whose, and when they go is the Spool's.
 *
 * **Format**, version 1, numbers little-endian: eight bytes `HSPOOL1\n`, then records.
 * ```
 * marker  4 bytes  f8 53 50 ff   where to go on after damage: f8 and ff are in no UTF-8 text
 * crc     u32                    CRC-32 of all that follows in the record
 * length  u32                    of the payload
 * type    u8                     1 spans, 2 removed; others are skipped
 * payload length bytes           spans: time f64 (ms since epoch), count u32, then the document
 *                                removed: u32, where the record of spans that is gone begins in this file
 * ```
 * The version is in the file's name too, so that what a newer version wrote is known without being opened.
 *
 * @since 0.1.0
 */
import { Buffer } from "node:buffer"
import { crc32 } from "node:zlib"
import type { Batch } from "./SpanBuffer.ts"
import type { Files } from "./SpoolMachine.ts"

/**
 * What a segment begins with.
 *
 * @since 0.1.0
 */
export const header: Uint8Array = Buffer.from("HSPOOL1\n")

/**
 * The most bytes that one batch may have: what OTLP lets a request have (OTLP 1.11 §OTLP/HTTP Request).
 *
 * @since 0.1.0
 */
export const maxBatchBytes = 64 * 1024 * 1024

/**
 * How large a segment may be, in bytes, before the next is begun.
 *
 * @since 0.1.0
 */
export const maxSegmentBytes = 4 * 1024 * 1024

/**
 * The most bytes that a batch takes besides its own.
 *
 * @since 0.1.0
 */
export const overheadBytes = 8 + 13 + 12

const marker = Buffer.from([0xf8, 0x53, 0x50, 0xff])
const headBytes = 13
const spansHeadBytes = 12
const spansType = 1
const removedType = 2

/**
 * Encodes the record of a batch.
 *
 * @since 0.1.0
 */
export const encodeSpans = (time: number, { bytes, count }: Batch): Uint8Array => {
  const record = Buffer.allocUnsafe(headBytes + spansHeadBytes + bytes.length)
  record.writeDoubleLE(time, headBytes)
  record.writeUInt32LE(count, headBytes + 8)
  record.set(bytes, headBytes + spansHeadBytes)
  return seal(record, spansType)
}

/**
 * Encodes the record that says that the spans at an offset are gone.
 *
 * @since 0.1.0
 */
export const encodeRemoved = (offset: number): Uint8Array => {
  const record = Buffer.allocUnsafe(headBytes + 4)
  record.writeUInt32LE(offset, headBytes)
  return seal(record, removedType)
}

const seal = (record: Buffer, type: number): Uint8Array => {
  record.set(marker)
  record.writeUInt32LE(record.length - headBytes, 8)
  record[12] = type
  record.writeUInt32LE(crc32(record.subarray(8)), 4)
  return record
}

interface Frame {
  readonly type: number
  readonly payload: Buffer
  readonly intact: boolean
}

/** The record that begins here: nothing is taken on trust, and nothing is allocated. */
const recordAt = (bytes: Buffer, at: number): Frame | undefined => {
  if (bytes.length - at < headBytes || bytes.compare(marker, 0, 4, at, at + 4) !== 0) return undefined
  const end = at + headBytes + bytes.readUInt32LE(at + 8)
  if (end > bytes.length) return undefined
  const intact = bytes.readUInt32LE(at + 4) === crc32(bytes.subarray(at + 8, end))
  return { type: bytes[at + 12]!, payload: bytes.subarray(at + headBytes, end), intact }
}

/**
 * A record of spans, found in a segment.
 *
 * @since 0.1.0
 */
export interface Found {
  readonly offset: number
  readonly count: number
  /** Of the batch, in bytes. */
  readonly size: number
  /** When it was appended, in ms since epoch. */
  readonly time: number
}

/**
 * What a segment holds.
 *
 * @since 0.1.0
 */
export interface Contents {
  /** What was not removed, in the order it was appended. */
  readonly found: ReadonlyArray<Found>
  /** Records that could not be read, as far as that can be told. */
  readonly damaged: number
  /** Whether something is wrong other than that the last write was cut short, as it is when a process is killed. */
  readonly corrupt: boolean
}

/**
 * After a damaged place it goes on at the next marker, so that damage costs no record but those it touches. Takes time in
 * proportion to the bytes, whatever they are.
 */
const scan = (bytes: Buffer): Contents => {
  const found = new Map<number, Found>()
  let damaged = 0
  let at = header.length
  let corrupt = false
  // A length that is wrong can make many bytes be checked for nothing, again and again.
  let allowance = bytes.length * 16
  if (bytes.length >= header.length && bytes.compare(header, 0, header.length, 0, header.length) !== 0) {
    corrupt = true
    at = bytes.indexOf(marker)
  } else if (bytes.length > 0 && bytes.length < header.length) {
    return { found: [], damaged: 1, corrupt }
  }
  if (at === -1) return { found: [], damaged: 1, corrupt }
  while (at < bytes.length && allowance > 0) {
    const record = recordAt(bytes, at)
    if (record?.intact === true) {
      const { payload, type } = record
      if (type === spansType && payload.length >= spansHeadBytes) {
        corrupt ||= damaged > 0
        const time = payload.readDoubleLE(0)
        found.set(at, { offset: at, count: payload.readUInt32LE(8), size: payload.length - spansHeadBytes, time })
      } else if (type === removedType && payload.length === 4) {
        found.delete(payload.readUInt32LE(0))
      }
      at += headBytes + payload.length
    } else {
      damaged++
      allowance -= record?.payload.length ?? 0
      const next = bytes.indexOf(marker, at + 1)
      at = next === -1 ? bytes.length : next
    }
  }
  return { found: [...found.values()], damaged, corrupt: corrupt || at < bytes.length }
}

/**
 * Appends all the bytes, or throws; then some of them may have been written.
 *
 * @since 0.1.0
 */
export const write = (files: Files, file: number, bytes: Uint8Array): void => {
  for (let at = 0; at < bytes.length;) {
    const written = files.write(file, bytes.subarray(at))
    if (written <= 0) throw new Error("nothing more can be written")
    at += written
  }
}

/**
 * Appends all the bytes to a file that is there, or throws.
 *
 * @since 0.1.0
 */
export const append = (files: Files, path: string, bytes: Uint8Array): void => {
  const file = files.open(path, "append")
  try {
    write(files, file, bytes)
  } finally {
    files.close(file)
  }
}

/** Reads so many bytes from a position on, or throws. */
const read = (files: Files, path: string, position: number, length: number): Buffer => {
  const file = files.open(path, "read")
  try {
    const bytes = Buffer.allocUnsafe(length)
    for (let at = 0; at < length;) {
      const got = files.read(file, bytes.subarray(at), position + at)
      // Not as if the file ended here: what comes after would be lost.
      if (got <= 0) throw new Error("nothing more can be read")
      at += got
    }
    return bytes
  } finally {
    files.close(file)
  }
}

/**
 * Reads a segment and finds all that it holds. What is too large to be one is not read.
 *
 * @since 0.1.0
 */
export const load = (files: Files, path: string): Contents & { readonly size: number } => {
  const { size } = files.stat(path)
  const tooLarge = size > 2 * maxSegmentBytes + maxBatchBytes
  return { size, ...(tooLarge ? { found: [], damaged: 1, corrupt: true } : scan(read(files, path, 0, size))) }
}

/**
 * Reads one batch again: `undefined` when it is damaged.
 *
 * @since 0.1.0
 */
export const readSpans = (files: Files, path: string, { count, offset, size }: Found): Batch | undefined => {
  const record = recordAt(read(files, path, offset, headBytes + spansHeadBytes + size), 0)
  if (record?.intact !== true || record.type !== spansType) return undefined
  const { buffer, byteOffset } = record.payload
  return { bytes: new Uint8Array(buffer, byteOffset + spansHeadBytes, size), count }
}

/**
 * What the name of a file in the spool's folder says, where it is one of the spool's.
 *
 * @since 0.1.0
 */
export type Name =
  | Id
  | { /** A file that says that its run is alive. */ readonly kind: "owner"; readonly owner: string }

/**
 * What the name of a segment says. Names of older ones sort before those of younger ones.
 *
 * @since 0.1.0
 */
export interface Id {
  /** One of this version's; one of a later version's; one that was set aside. */
  readonly kind: "segment" | "newer" | "damaged"
  /** The run that may write to it. */
  readonly owner: string
  /** When it was begun or, if that lies in the future, first taken over, in ms since epoch. */
  readonly born: number
  /** Together with `origin`, its own for ever. */
  readonly sequence: number
  readonly origin: string
}

const namePattern =
  /^(?:(?<born>\d{15})-(?<sequence>\d{6,})-(?<origin>[0-9a-f]{16})\.)?(?<owner>[0-9a-f]*-\d+-[0-9a-f]{16})\.(?<end>owner|damaged|spool\d+)$/

/**
 * Reads the name of a file.
 *
 * @since 0.1.0
 */
export const parseName = (name: string): Name | undefined => {
  const { born, end, origin, owner, sequence } = namePattern.exec(name)?.groups ?? {}
  if (owner === undefined || (origin === undefined) !== (end === "owner")) return undefined
  if (origin === undefined) return { kind: "owner", owner }
  const kind = end === "damaged" ? end : end === "spool1" ? "segment" : "newer"
  return { kind, owner, born: Number(born), sequence: Number(sequence), origin }
}

/**
 * The name of a segment.
 *
 * @since 0.1.0
 */
export const segmentName = ({ born, origin, owner, sequence }: Omit<Id, "kind">): string =>
  `${String(Math.max(Math.trunc(born), 0)).padStart(15, "0")}-${String(sequence).padStart(6, "0")}-${origin}.${owner}.spool1`

/**
 * Where a segment goes that is set aside.
 *
 * @since 0.1.0
 */
export const aside = (path: string): string => path.replace(/spool1$/, "damaged")
