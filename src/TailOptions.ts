/**
 * How TailSampler is set: what it may hold, for how long, and whom it tells. Checked when it is made.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Formatter from "effect/Formatter"
import * as Option from "effect/Option"
import * as DurationInput from "./DurationInput.ts"
import type { EncodedSpan } from "./SpanEncoder.ts"
import type { Rule } from "./TailRules.ts"

/**
 * How traces are decided, and how many of them may wait.
 *
 * @since 0.1.0
 */
export interface Options {
  /** Asked in their order; a trace that none keeps is dropped. */
  readonly rules: ReadonlyArray<Rule>
  /** Given the spans that stay, those of a trace in the order in which they ended. The bytes hold during the call. */
  readonly onKeep: (span: EncodedSpan) => void
  /** Told of each trace that is decided. Default: nobody is. */
  readonly onDecision?: ((decision: Decision) => void) | undefined
  /** Told of each rule that throws or gives no number, once. Its traces are kept. */
  readonly onProblem?: ((rule: string, problem: unknown) => void) | undefined
  /** Traces that may wait. Default: 10,000. */
  readonly maxTraces?: number | undefined
  /** Spans that may wait. Default: 100,000. */
  readonly maxSpans?: number | undefined
  /** Bytes that they may have, of which the memory may be twice as much, and 8 KiB for each trace. Default: 64 MiB. */
  readonly maxBytes?: number | undefined
  /**
   * How long a trace that is complete waits whether more of it starts: work in the background, another call of the same
   * caller. Default: 0 seconds, which is decided then and there.
   */
  readonly settle?: Duration.Input | undefined
  /**
   * How long a trace waits for its other spans after its local root has ended; it is then decided by what is known.
   * Default: 30 seconds.
   */
  readonly age?: Duration.Input | undefined
  /**
   * How long a trace may have gone on while its local root is open; it is then decided by what is known. Default: an hour.
   * Work of agents may take as long, and its end is what was waited for; memory is bounded without it, and what is open for
   * ever is the oldest when that is full.
   */
  readonly openAge?: Duration.Input | undefined
  /** Without room, whether rules decide the oldest by what is known of it, or it is kept. Default: `decideOldest`. */
  readonly overflow?: "decideOldest" | "keepOldest" | undefined
  /** Of how many traces it is remembered what was decided, at least, and twice as many at most. Default: 10,000. */
  readonly remembered?: number | undefined
}

/**
 * What was decided about a trace, and by whom.
 *
 * @since 0.1.0
 */
export interface Decision {
  readonly isKept: boolean
  /** The name of the rule that decided, `none` where no rule applied, `overflow` where it was kept for want of room. */
  readonly rule: string
  /** Why it was decided while spans of it were open: its time was up, there was no room, or nobody would wait any more. */
  readonly early: "age" | "overflow" | "flush" | undefined
}

/**
 * The options with their defaults, times in nanoseconds.
 *
 * @since 0.1.0
 */
export interface Bounds {
  readonly maxTraces: number
  readonly maxSpans: number
  readonly maxBytes: number
  readonly settle: bigint
  readonly age: bigint
  readonly openAge: bigint
  readonly remembered: number
  readonly overflow: "decideOldest" | "keepOldest"
}

/**
 * Fills in the defaults. Throws a `RangeError` for what is no bound: without one, nothing would ever be let go.
 *
 * @since 0.1.0
 */
export const boundsOf = (options: Omit<Options, "onKeep" | "rules">): Bounds => ({
  maxTraces: size("maxTraces", options.maxTraces ?? 10_000),
  maxSpans: size("maxSpans", options.maxSpans ?? 100_000),
  maxBytes: size("maxBytes", options.maxBytes ?? 64 * 1024 * 1024),
  settle: nanos("settle", options.settle ?? "0 seconds"),
  age: nanos("age", options.age ?? "30 seconds"),
  openAge: nanos("openAge", options.openAge ?? "1 hour"),
  remembered: count("remembered", options.remembered ?? 10_000),
  overflow: policy(options.overflow ?? "decideOldest")
})

const wrong = (what: string, value: unknown, must: string): never => {
  throw new RangeError(`Cannot sample: ${what} is ${Formatter.format(value)}, and must be ${must}`)
}

const size = (what: string, value: number): number =>
  (Number.isSafeInteger(value) && value >= 0) || value === Infinity
    ? value
    : wrong(what, value, "a whole number from 0, or Infinity")

const count = (what: string, value: number): number =>
  Number.isSafeInteger(value) && value >= 1 ? value : wrong(what, value, "a whole number from 1")

const policy = (value: Bounds["overflow"]): Bounds["overflow"] =>
  value === "decideOldest" || value === "keepOldest" ? value : wrong("overflow", value, "decideOldest or keepOldest")

const nanos = (what: string, value: Duration.Input): bigint => {
  const duration = DurationInput.read(value)
  if (duration === undefined) return wrong(what, value, "a duration from 0 up")
  return Option.getOrElse(Duration.toNanos(duration), () => 2n ** 64n)
}
