/**
 * Tail sampling as a service: which traces stay is decided when they end. What decides is in TailRules, how they wait in
 * TailSampler.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type * as TailSampler from "./TailSampler.ts"

/**
 * Which traces stay, and how many may wait for their end.
 *
 * @since 0.1.0
 */
export type Options = Omit<TailSampler.Options, "onKeep" | "onProblem">

/**
 * Keeps a trace, all of it or nothing, when its end says so. Provide it to a Layer of `Tracing`. Only traces that were taken
 * at their start come as far as this: the sampler is to take what may be kept.
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
 * Decides by these rules.
 *
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<TailSampling> => Layer.succeed(TailSampling, options)
