/**
 * Reads lengths of time that programs give, and is stricter than `Duration` itself, which takes `NaN` for nothing at all.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

/**
 * Reads a `Duration.Input`; gives `undefined` for what is none, for `NaN` and for less than nothing. Never throws.
 *
 * @since 0.1.0
 */
export const read = (input: unknown): Duration.Duration | undefined => {
  if (partsOf(input).some((part) => typeof part !== "number" || Number.isNaN(part))) return undefined
  const duration = Option.getOrUndefined(Duration.fromInput(input as Duration.Input))
  return duration === undefined || Duration.isNegative(duration) ? undefined : duration
}

/** The numbers that must be some; one that is none where an object has none of the units. */
const partsOf = (input: unknown): ReadonlyArray<unknown> => {
  if (typeof input === "number" || Array.isArray(input)) return [input].flat()
  if (typeof input !== "object" || input === null || Duration.isDuration(input)) return []
  const parts = units.flatMap((unit) => (input as Readonly<Record<string, unknown>>)[unit] ?? [])
  return parts.length === 0 ? [Number.NaN] : parts
}

const units = ["weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds"]
