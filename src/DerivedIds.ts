/**
 * Ids that are a pure function of what they stand for, so that whoever does a piece of work again, in whatever process, names
 * it as before: the first digits of a SHA-256. The platform's own takes a Promise, and spans open at once.
 *
 * @since 0.1.0
 */
import { sha256 } from "@noble/hashes/sha2.js"
import { utf8ToBytes } from "@noble/hashes/utils.js"
import * as Hex from "./Hex.ts"

/**
 * Gives the trace id for a key, all of it as good as random (W3C Trace Context level 2, random flag).
 *
 * @since 0.1.0
 */
export const traceId = (...key: ReadonlyArray<string | number>): string => digits(["trace", ...key], 4)

/**
 * Gives the span id for a key.
 *
 * @since 0.1.0
 */
export const spanId = (...key: ReadonlyArray<string | number>): string => digits(["span", ...key], 2)

/** JSON keeps the parts of a key apart. */
const digits = (key: ReadonlyArray<string | number>, words: number): string => {
  const { buffer, byteOffset } = sha256(utf8ToBytes(JSON.stringify(key)))
  const hash = new DataView(buffer, byteOffset)
  // All zero means "no id" (W3C Trace Context §3.2.2.3).
  return Array.from({ length: words }, (_, word) => Hex.ofWord(hash.getInt32(word * 4) || 1)).join("")
}
