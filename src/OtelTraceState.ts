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

/**
 * Reads the random number that a caller gave a trace (`rv`), where its id is not to be taken for one; `undefined` where
 * there is none, or it is not valid.
 *
 * @since 0.1.0
 */
export const randomness = (traceState: string): bigint | undefined => {
  const text = read(traceState)?.get("rv")
  return text !== undefined && /^[0-9a-f]{14}$/.test(text) ? BigInt(`0x${text}`) : undefined
}

/**
 * Reads how many of 2^56 traces were turned down where this one was taken (`th`); `undefined` where nobody knows.
 *
 * @since 0.1.0
 */
export const threshold = (traceState: string): bigint | undefined => {
  const text = read(traceState)?.get("th")
  return text !== undefined && /^[0-9a-f]{1,14}$/.test(text) ? BigInt(`0x${text.padEnd(digits, "0")}`) : undefined
}

/**
 * Says in a `tracestate` at which threshold a trace was taken, or takes out what stood there where nobody knows. What
 * others have written stays, in its order, behind an entry that was changed (W3C Trace Context §3.3.1.4).
 *
 * @since 0.1.0
 */
export const withThreshold = (traceState: string, threshold: bigint | undefined): string => {
  const fields = new Map(read(traceState))
  const before = fields.get("th")
  const text = threshold === undefined || threshold >= range ? undefined : format(threshold)
  if (text === before) return traceState
  fields.delete("th")
  const written = [
    ...(text === undefined ? [] : [`th:${text}`]),
    ...Array.from(fields, (field) => field.join(":"))
  ].join(";")
  const others = members(traceState).filter((member) => !member.startsWith("ot="))
  return [...(written === "" || written.length > maxLength ? [] : [`ot=${written}`]), ...others].join(",")
}

/** Zeros at the end say nothing; all of them are one. */
const format = (threshold: bigint): string => threshold.toString(16).padStart(digits, "0").replace(/0+$/, "") || "0"

const members = (traceState: string): ReadonlyArray<string> => (traceState === "" ? [] : traceState.split(","))

const read = (traceState: string): ReadonlyMap<string, string> | undefined => {
  const own = members(traceState).find((member) => member.startsWith("ot="))
  if (own === undefined) return undefined
  const fields = own.slice("ot=".length).split(";")
  return new Map(
    fields.flatMap((field) => {
      const colon = field.indexOf(":")
      return colon < 1 ? [] : [[field.slice(0, colon), field.slice(colon + 1)] as const]
    })
  )
}
