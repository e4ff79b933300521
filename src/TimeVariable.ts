/**
 * What the text of a variable that is a length of time may be: OpenTelemetry's have whole milliseconds, ours a unit. The
 * other parsers are Variable's.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as DurationInput from "./DurationInput.ts"
import type { Parser } from "./Variable.ts"

type Time = Parser<Duration.Duration>

const read = (input: unknown): Duration.Duration | undefined => {
  const duration = DurationInput.read(input)
  return duration !== undefined && Duration.isFinite(duration) ? duration : undefined
}

/**
 * Takes durations with their unit, as Effect writes them.
 *
 * @since 0.1.0
 */
export const duration: Time = {
  allowed: 'a duration such as "5 seconds"',
  parse: (text) => (/^\d+(\.\d+)? \w+$/.test(text) ? read(text) : undefined),
  accept: read
}

const isInfinity = (text: string): boolean => text.toLowerCase() === "infinity"

/**
 * Takes durations with their unit, and `Infinity` for one without an end.
 *
 * @since 0.1.0
 */
export const durationOrInfinity: Time = {
  allowed: `${duration.allowed}, or Infinity`,
  parse: (text) => (isInfinity(text) ? Duration.infinity : duration.parse(text)),
  accept: DurationInput.read
}

/** The longest time that a timer of JavaScript takes, which is 24 days. */
const noLimit = Duration.millis(2 ** 31 - 1)

const withinTimer = (time: Duration.Duration | undefined): Duration.Duration | undefined =>
  time !== undefined && (Duration.isZero(time) || Duration.isGreaterThan(time, noLimit)) ? noLimit : time

/**
 * Takes durations with their unit, and `Infinity` or nothing for no limit.
 *
 * **Details**: no limit is 2³¹ - 1 ms.
 *
 * @since 0.1.0
 */
export const timeLimit: Time = {
  allowed: `${duration.allowed}, or Infinity for no limit`,
  parse: (text) => withinTimer(durationOrInfinity.parse(text)),
  accept: (value) => withinTimer(DurationInput.read(value))
}

// "SHOULD generate a warning and gracefully ignore the setting" (OpenTelemetry Environment Variables §Numeric).
const ignored = () => undefined

/**
 * Takes whole numbers of milliseconds, as OpenTelemetry's variables have them.
 *
 * @since 0.1.0
 */
export const millis: Time = {
  allowed: "a whole number of milliseconds",
  parse: (text) => (/^\d{1,15}$/.test(text) ? Duration.millis(Number(text)) : undefined),
  accept: duration.accept,
  allowedInCode: duration.allowed,
  salvage: ignored
}

/**
 * Takes whole numbers of milliseconds, and 0 for no limit (OpenTelemetry Common Configuration §Timeout).
 *
 * **Details**: no limit is 2³¹ - 1 ms.
 *
 * @since 0.1.0
 */
export const timeout: Time = {
  allowed: `${millis.allowed}, 0 for no limit`,
  parse: (text) => withinTimer(millis.parse(text)),
  accept: timeLimit.accept,
  allowedInCode: timeLimit.allowed,
  salvage: ignored
}
