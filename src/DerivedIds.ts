/**
 * Ids that are a pure function of what they stand for, so that whoever does a piece of work again, in whatever process, names
 * it as before: the first digits of a SHA-256. It is computed here, as the platform's takes a Promise.
 *
 * @since 0.1.0
 */
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
const digits = (key: ReadonlyArray<string | number>, words: number): string =>
  Array.from(sha256(new TextEncoder().encode(JSON.stringify(key))).subarray(0, words), (word) =>
    // All zero means "no id" (W3C Trace Context §3.2.2.3).
    Hex.ofWord(word || 1)
  ).join("")

/**
 * The eight words of a SHA-256 (FIPS 180-4 §6.2).
 *
 * @since 0.1.0
 */
export const sha256 = (message: Uint8Array): Int32Array => {
  // One bit, zeros, and the length in bits as 64 (§5.1.1).
  const padded = new DataView(new ArrayBuffer(Math.ceil((message.length + 9) / 64) * 64))
  message.forEach((byte, at) => padded.setUint8(at, byte))
  padded.setUint8(message.length, 0x80)
  padded.setBigUint64(padded.byteLength - 8, BigInt(message.length) * 8n)
  const hash = Int32Array.from(initial)
  const schedule = new Int32Array(64)
  for (let block = 0; block < padded.byteLength; block += 64) {
    for (let t = 0; t < 16; t++) schedule[t] = padded.getInt32(block + t * 4)
    for (let t = 16; t < 64; t++) {
      const w15 = schedule[t - 15]!
      const w2 = schedule[t - 2]!
      const s0 = turned(w15, 7) ^ turned(w15, 18) ^ (w15 >>> 3)
      const s1 = turned(w2, 17) ^ turned(w2, 19) ^ (w2 >>> 10)
      schedule[t] = schedule[t - 16]! + s0 + schedule[t - 7]! + s1
    }
    let [a, b, c, d, e, f, g, h] = hash as unknown as Eight
    for (let t = 0; t < 64; t++) {
      const s1 = turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + constants[t]! + schedule[t]!) | 0
      const s0 = turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
      ;[h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0]
    }
    for (const [at, word] of [a, b, c, d, e, f, g, h].entries()) hash[at] = hash[at]! + word
  }
  return hash
}

type Eight = [number, number, number, number, number, number, number, number]

const turned = (word: number, by: number): number => (word >>> by) | (word << (32 - by))

const primes = Array.from({ length: 312 }, (_, n) => n).filter(
  (n) =>
    n > 1 && !Array.from({ length: n }, (_, divisor) => divisor).some((divisor) => divisor > 1 && n % divisor === 0)
)

/** The first 32 bits of a root's fraction. */
const fraction = (root: number): number => ((root % 1) * 2 ** 32) | 0

const initial = primes.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)))
const constants = primes.map((prime) => fraction(Math.cbrt(prime)))
