/**
 * The sampler that is in place: from settings, from code, or as a service that can be changed while the program runs.
 * What samplers do is Sampler's and SamplingRules'.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Sampler from "./Sampler.ts"
import * as SamplingRules from "./SamplingRules.ts"
import type { Settings } from "./Settings.ts"

/**
 * Decides which traces are recorded, in place of settings, and may be changed at any time: the next trace goes by what is
 * then there. Provide it to a Layer of `Tracing`.
 *
 * **Gotchas**: a sampler that is also asked inside of traces, such as rules, has its say in those that are running.
 *
 * @example
 * ```ts
 * import { Effect, Layer, SubscriptionRef } from "effect"
 * import { Memory, Sampler, Sampling, Tracing } from "handspan"
 *
 * const program = Effect.gen(function* () {
 *   const { sampler } = yield* Sampling.Sampling
 *   yield* Effect.withSpan(Effect.void, "first")
 *   yield* SubscriptionRef.set(sampler, Sampler.never)
 *   yield* Effect.withSpan(Effect.void, "second")
 *   return yield* (yield* Memory.Spans).all
 * })
 * const tracing = Tracing.layerInMemory.pipe(Layer.provideMerge(Sampling.layer(Sampler.always)))
 * const spans = await Effect.runPromise(Effect.provide(program, tracing))
 * if (spans.map(({ name }) => name).join() !== "first") throw new Error("expected the first alone")
 * ```
 *
 * @since 0.1.0
 */
export class Sampling extends Context.Service<
  Sampling,
  { readonly sampler: SubscriptionRef.SubscriptionRef<Sampler.Sampler> }
>()("handspan/Sampling/Sampling") {}

/**
 * Begins with a sampler.
 *
 * @since 0.1.0
 */
export const layer = (sampler: Sampler.Sampler): Layer.Layer<Sampling> =>
  Layer.effect(
    Sampling,
    Effect.map(SubscriptionRef.make(sampler), (sampler) => ({ sampler }))
  )

/**
 * The sampler that settings ask for; `undefined` where every trace is to be recorded that no caller turned down, which
 * needs nobody to ask.
 *
 * @since 0.1.0
 */
export const fromSettings = (
  settings: Pick<Settings, "sampler" | "samplerRatio" | "samplingRules">
): Sampler.Sampler | undefined => {
  // Settings have looked at the text: what cannot be read does not come as far as this.
  const rules = Result.getOrElse(SamplingRules.parse(settings.samplingRules.value), () => [])
  const named = bySettingsName(settings.sampler.value, settings.samplerRatio.value)
  return rules.length > 0 ? SamplingRules.make(rules, named ?? Sampler.byDefault) : named
}

const bySettingsName = (name: Settings["sampler"]["value"], share: number): Sampler.Sampler | undefined => {
  switch (name) {
    case "always_on":
      return Sampler.always
    case "always_off":
      return Sampler.never
    case "traceidratio":
      return Sampler.ratio(share)
    case "parentbased_always_on":
      return undefined
    case "parentbased_always_off":
      return Sampler.parentBased({ root: Sampler.never })
    case "parentbased_traceidratio":
      return Sampler.parentBased({ root: Sampler.ratio(share) })
  }
}
