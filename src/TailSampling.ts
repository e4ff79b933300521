/**
 * Tail sampling as a service: which traces stay is decided when they end. What decides is in TailRules, how they wait in
 * TailSampler; how rules are written in a variable, in TailRulesText.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import { boundsOf } from "./TailOptions.ts"
import type * as TailSampler from "./TailSampler.ts"

/**
 * Which traces stay, and how many may wait for their end.
 *
 * @since 0.1.0
 */
export type Options = Omit<TailSampler.Options, "onKeep" | "onDecision" | "onProblem">

/**
 * Keeps a trace, all of it or nothing, when its end says so. Provide it to a Layer of `Tracing`. Only traces that were taken
 * at their start come as far as this: the sampler is to take what may be kept.
 *
 * **Details**: it goes before the rules of the setting `tailRules`. `Deliveries.flush`, and whoever reads `Memory.Spans`,
 * first has the traces decided whose local root has ended, also while they settle or spans below are open; those whose root
 * is open wait on. What was decided is counted in the metric `handspan.tail.traces`, by `verdict`, `rule`, and whether it was
 * `early`. Where there is no room, the log says so, once a second at most.
 *
 * **Gotchas**: spans leave when their trace has ended, and those of a trace that is dropped never do: pictures of open
 * spans (`pendingSpans`) are not sent then. In the ledger they are `held`, and `unsampled` once they are dropped.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Memory, TailRules, TailSampling, Tracing } from "handspan"
 *
 * const program = Effect.gen(function* () {
 *   yield* Effect.withSpan(Effect.withSpan(Effect.void, "inside"), "fine")
 *   yield* Effect.ignore(Effect.withSpan(Effect.withSpan(Effect.fail("no"), "inside"), "broken"))
 *   return yield* (yield* Memory.Spans).all
 * })
 * const tail = TailSampling.layer({ rules: [TailRules.errors()] })
 * const spans = await Effect.runPromise(Effect.provide(program, Tracing.layerInMemory.pipe(Layer.provide(tail))))
 * if (spans.map(({ name }) => name).join() !== "inside,broken") throw new Error("expected what failed")
 * ```
 *
 * @since 0.1.0
 */
export class TailSampling extends Context.Service<TailSampling, Options>()("handspan/TailSampling/TailSampling") {}

/**
 * Decides by these rules. Throws a `RangeError` where a bound or a time is none.
 *
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<TailSampling> => {
  boundsOf(options)
  return Layer.succeed(TailSampling, options)
}
