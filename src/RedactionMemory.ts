/**
 * What a redactor remembers: which secret of which trace has which placeholder, and which texts it need not look at again.
 *
 * @since 0.1.0
 */

/**
 * Remembers something of short texts that come again and again, such as names of agents and keys of attributes: 1,024 at
 * most, each in the one place where it can stand. To find one there takes less time than a Map or another look.
 *
 * **Details**: what comes only once seldom gets a place. Texts are kept as copies, for a piece of a long text would keep
 * all of that alive.
 *
 * @since 0.1.0
 */
export class Recent<A> {
  private readonly texts: Array<string> = Array.from({ length: 1024 }, () => "")
  private readonly values: Array<A | undefined> = Array.from({ length: 1024 })
  private misses = 0

  get(text: string): A | undefined {
    const place = placeOf(text)
    return this.texts[place] === text ? this.values[place] : undefined
  }

  /** Says what is to be remembered; one of 32 calls is heard, as a copy costs more than a look. */
  offer(text: string, value: A): void {
    if (text.length > 64 || text.length === 0 || (++this.misses & 31) !== 0) return
    const place = placeOf(text)
    // A key of an object is a text by itself, and the very one that a literal of the program is.
    this.texts[place] = Object.keys({ [text]: true })[0]!
    this.values[place] = value
  }
}

/** Keys differ mostly at their ends. */
const placeOf = (text: string): number => {
  const last = text.length - 1
  if (last < 1) return last < 0 ? 0 : text.charCodeAt(0) & 1023
  const ends = text.charCodeAt(last) * 31 + text.charCodeAt(last - 1) * 37
  return (ends + last * 7 + text.charCodeAt(last >> 1) * 97) & 1023
}

/**
 * Remembers which secret of which trace has which placeholder, by a hash whose key nobody knows.
 *
 * @since 0.1.0
 */
export const makePlaceholders = (maxTraces: number, maxSecrets: number) => {
  const [seed0 = 0, seed1 = 0] = crypto.getRandomValues(new Int32Array(2))
  const traces = new Map<string, Map<number, string>>()
  return (traceId: string, label: string, text: string, start: number, end: number): string => {
    const trace = traces.get(traceId) ?? new Map<number, string>()
    // The trace used last is the last one of the Map.
    traces.delete(traceId)
    traces.set(traceId, trace)
    if (traces.size > maxTraces) traces.delete(traces.keys().next().value ?? "")
    // A card is the same however its digits are grouped.
    const card = label === "CARD" ? text.slice(start, end).replace(/\D+/g, "") : undefined
    const hash =
      card === undefined ? hashOf(text, start, end, seed0, seed1) : hashOf(card, 0, card.length, seed0, seed1)
    const known = trace.get(hash)
    if (known !== undefined) return known
    if (trace.size >= maxSecrets) return `[${label}]`
    const begin = `[${label}_`
    let number = 1
    for (const other of trace.values())
      if (other.startsWith(begin) && /^\d+\]$/.test(other.slice(begin.length))) number++
    const made = `${begin}${number}]`
    trace.set(hash, made)
    return made
  }
}

/** Two multiplicative hashes of 32 bits, mixed as in MurmurHash3, of which 53 bits are kept. */
const hashOf = (text: string, start: number, end: number, seed0: number, seed1: number): number => {
  let high = seed0
  let low = seed1
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i)
    high = Math.imul(high ^ code, 2654435761)
    low = Math.imul(low ^ code, 1597334677)
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909)
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909)
  return (low & 0x1fffff) * 4294967296 + (high >>> 0)
}
