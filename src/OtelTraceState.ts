/**
 * OpenTelemetry's own entry in a `tracestate`, `ot=th:…;rv:…`: how probable it was that a trace is taken, and its random
 * number (OpenTelemetry TraceState Handling). The rest of the header is TraceContext's.
 *
 * @since 0.1.0
 */

/** One more than the largest random number of a trace: 56 bits (W3C Trace Context level 2 §random-trace-id). */
const range = 2n ** 56n
const digits = 14
/** TraceState Handling §Key-value list: what the whole value must fit in. */
const maxLength = 256
/** W3C Trace Context §3.3.1.1: a list with more is worth nothing to whoever reads it. */
const maxMembers = 32

/**
 * Reads the random number that a caller gave a trace (`rv`), where its id is not to be taken for one; `undefined` where
 * there is none, or it is not valid.
 *
 * @since 0.1.0
 */
export const randomness = (traceState: string): bigint | undefined => {
  const text = valueOf(partsOf(traceState), "rv:")
  return text !== undefined && /^[0-9a-f]{14}$/.test(text) ? BigInt(`0x${text}`) : undefined
}

/**
 * Reads how many of 2^56 traces were turned down where this one was taken (`th`); `undefined` where nobody knows.
 *
 * @since 0.1.0
 */
export const threshold = (traceState: string): bigint | undefined => {
  const text = valueOf(partsOf(traceState), "th:")
  return text !== undefined && /^[0-9a-f]{1,14}$/.test(text) ? BigInt(`0x${text.padEnd(digits, "0")}`) : undefined
}

/**
 * Checks that a number can be such a threshold.
 *
 * @since 0.1.0
 */
export const isThreshold = (value: unknown): value is bigint =>
  typeof value === "bigint" && value >= 0n && value < range

/**
 * The threshold of what two have to take, both by the one random number of the trace: the larger one, `undefined` where
 * either is not known.
 *
 * @since 0.1.0
 */
export const both = (one: bigint | undefined, other: bigint | undefined): bigint | undefined => {
  if (one === undefined || other === undefined) return undefined
  return one > other ? one : other
}

/**
 * Says in a `tracestate` at which threshold a trace was taken, or takes out what stood there, where nobody knows, or the
 * trace is turned down. What others have written stays, in its order, behind an entry that was changed (W3C Trace Context
 * §3.3.1.4).
 *
 * **Details**: where the entry is one too many, the right-most of the others goes (§3.3.1.5). Where it would be too long,
 * it does not say the threshold.
 *
 * @since 0.1.0
 */
export const withThreshold = (traceState: string, threshold: bigint | undefined): string => {
  const parts = partsOf(traceState)
  const text = isThreshold(threshold) ? format(threshold) : undefined
  if (text === valueOf(parts, "th:")) return traceState
  const rest = parts.filter((part) => part !== "" && !part.startsWith("th:")).join(";")
  const written = text === undefined ? rest : `th:${text}${rest === "" ? "" : `;${rest}`}`
  const entry = written.length > maxLength ? rest : written
  if (entry === parts.join(";")) return traceState
  const others = members(traceState).filter((member) => !member.startsWith("ot="))
  return (entry === "" ? others : [`ot=${entry}`, ...others.slice(0, maxMembers - 1)]).join(",")
}

/** Zeros at the end say nothing; all of them are one. */
const format = (threshold: bigint): string => threshold.toString(16).padStart(digits, "0").replace(/0+$/, "") || "0"

const members = (traceState: string): ReadonlyArray<string> => (traceState === "" ? [] : traceState.split(","))

/** The parts of the entry, such as `th:8`. */
const partsOf = (traceState: string): ReadonlyArray<string> => {
  // Most have no such entry, and are asked about with each span.
  if (!traceState.includes("ot=")) return []
  const entry = members(traceState).find((member) => member.startsWith("ot="))
  return entry === undefined ? [] : entry.slice("ot=".length).split(";")
}

const valueOf = (parts: ReadonlyArray<string>, key: string): string | undefined =>
  parts.find((part) => part.startsWith(key))?.slice(key.length)
