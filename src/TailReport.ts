/**
 * Tells what tail sampling does, where people look: a metric of the traces that were decided, and warnings in the log. Who
 * decides is TailSampler.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as References from "effect/References"
import * as SpanEnd from "./SpanEnd.ts"
import type { Decision } from "./TailOptions.ts"

/**
 * The names of the metrics, and what they mean.
 *
 * @since 0.1.0
 */
export const names = {
  /**
   * Traces that were decided, with `verdict` (`kept` or `dropped`), `rule`, the name of the one that decided, and `early`:
   * `true` where spans of it were open, because its time was up or there was no room.
   */
  traces: "handspan.tail.traces"
} as const

/**
 * What a TailSampler is to tell, and how it is passed on.
 *
 * @since 0.1.0
 */
export interface TailReport {
  readonly onDecision: (decision: Decision) => void
  readonly onProblem: (rule: string, problem: unknown) => void
  /** Warns of traces for which there was no room since it was last asked: one line for all of them. */
  readonly tell: Effect.Effect<void>
}

/**
 * Makes what tells of one TailSampler.
 *
 * @since 0.1.0
 */
export const make: Effect.Effect<TailReport> = Effect.gen(function* () {
  const context = yield* Effect.context()
  const counters = new Map<string, Metric.Counter<number>>()
  let crowdedOut = 0

  const counterOf = ({ early, isKept, rule }: Decision): Metric.Counter<number> => {
    const attributes = { verdict: isKept ? "kept" : "dropped", rule, early: String(early !== undefined) }
    const key = JSON.stringify(attributes)
    const known = counters.get(key) ?? Metric.counter(names.traces, { attributes, incremental: true })
    counters.set(key, known)
    return known
  }

  return {
    onDecision: (decision) => {
      if (decision.early === "overflow") crowdedOut++
      counterOf(decision).updateUnsafe(1, context)
    },
    onProblem: (rule, problem) => {
      const told = `The tail rule "${rule}" is broken, and keeps its traces: ${SpanEnd.describe(problem).message}`
      Effect.runForkWith(context)(Effect.logWarning(told))
    },
    tell: Effect.suspend(() => {
      const count = crowdedOut
      crowdedOut = 0
      if (count === 0) return Effect.void
      const what = count === 1 ? "1 trace" : `${count} traces`
      const remedy = "raise maxTraces, maxSpans or maxBytes, or shorten age and openAge"
      return Effect.logWarning(`Tail sampling has no room: decided ${what} before the end; ${remedy}`)
      // What is marked as told must be told.
    }).pipe(Effect.uninterruptible, Effect.provideService(References.TracerEnabled, false))
  }
})
