/**
 * Whether tracing is on, and for whom: for all, for pipelines, for agents, for requests, and from one moment to the next.
 * What is off is not recorded, and still passes its caller's trace on, unsampled.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { handoffSpanName, pipelineSpanName } from "./Conventions.ts"
import * as NamePattern from "./NamePattern.ts"
import { ask, leftOut, type Question, type Sampler } from "./Sampler.ts"
import type { Attributes } from "./SpanRecord.ts"
import type { Baggage } from "./TraceContext.ts"

/**
 * What is known of a request when its first span begins.
 *
 * @since 0.1.0
 */
export interface Request {
  readonly baggage: Baggage
  /** What the program said with `Sampler.withHints`. */
  readonly hints: Attributes
}

/**
 * Who is traced.
 *
 * @since 0.1.0
 */
export interface Switches {
  /** Whether anybody is. Default: true. */
  readonly enabled?: boolean | undefined
  /** Pipelines that are not traced, with all they do, by their names; `*` stands for any text. Default: none. */
  readonly pipelinesOff?: ReadonlyArray<string> | undefined
  /** Agents whose handoffs are not traced, with all they do, by their names; `*` stands for any text. Default: none. */
  readonly agentsOff?: ReadonlyArray<string> | undefined
  /** Whether a request is traced, asked at its first span in this process. One that throws is traced. Default: all are. */
  readonly request?: ((request: Request) => boolean) | undefined
}

/**
 * Turns tracing on and off while the program runs: the next trace goes by what is then there, and so do agents and
 * pipelines inside of traces. What was turned down stays so, with all it does. Provide it to a Layer of `Tracing`.
 *
 * **Gotchas**: where tracing is off from the start, by `TRACING_ENABLED=false` or `layerNoop`, there is nothing to turn on;
 * wrappers have given back what they were given.
 *
 * @example
 * ```ts
 * import { Effect, Layer, SubscriptionRef } from "effect"
 * import { Enablement, Memory, Tracing } from "handspan"
 *
 * const program = Effect.gen(function* () {
 *   const { switches } = yield* Enablement.Enablement
 *   yield* Effect.withSpan(Effect.void, "quiet")
 *   yield* SubscriptionRef.set(switches, { enabled: true })
 *   yield* Effect.withSpan(Effect.void, "loud")
 *   return yield* (yield* Memory.Spans).all
 * })
 * const tracing = Tracing.layerInMemory.pipe(Layer.provideMerge(Enablement.layer({ enabled: false })))
 * const spans = await Effect.runPromise(Effect.provide(program, tracing))
 * if (spans.map(({ name }) => name).join() !== "loud") throw new Error("expected what came after the switch")
 * ```
 *
 * @since 0.1.0
 */
export class Enablement extends Context.Service<
  Enablement,
  { readonly switches: SubscriptionRef.SubscriptionRef<Switches> }
>()("handspan/Enablement/Enablement") {}

/**
 * Begins with these switches.
 *
 * @since 0.1.0
 */
export const layer = (switches: Switches = {}): Layer.Layer<Enablement> =>
  Layer.effect(
    Enablement,
    Effect.map(SubscriptionRef.make(switches), (switches) => ({ switches }))
  )

/**
 * Makes a sampler that asks another one about those who are traced, and turns all others down, with all they do.
 *
 * @since 0.1.0
 */
export const gate = (switches: Switches, sampler: Sampler): Sampler => {
  const { agentsOff = [], enabled = true, pipelinesOff = [], request } = switches
  const off = [...agentsOff.map(handoffSpanName), ...pipelinesOff.map(pipelineSpanName)].map(NamePattern.matcher)
  const isOn = (question: Question): boolean => {
    if (!enabled || off.some((meets) => meets(question.name))) return false
    // Inside of a trace its request was asked about already.
    const isFirst = question.parent === undefined || question.parent.isRemote
    return !isFirst || request === undefined || isWanted(request, question)
  }
  return {
    name: sampler.name,
    asksInside: sampler.asksInside ?? (off.length > 0 || !enabled ? "taken" : undefined),
    followsCallers: sampler.followsCallers,
    decide: (question) => (isOn(question) ? ask(sampler, question) : leftOut)
  }
}

const isWanted = (request: (request: Request) => boolean, question: Question): boolean =>
  Result.getOrElse(
    Result.try(() => request(question)),
    () => true
  )
