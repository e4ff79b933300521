/**
 * How recording holds a program that makes spans faster than they can leave, where a setting asks for it: agents and
 * pipelines wait here before they begin. Recording provides it and authoring asks it; neither knows the other.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

/**
 * What to wait for before more work begins; `undefined`, the default, is nothing.
 *
 * @since 0.1.0
 */
export const Backpressure: Context.Reference<Effect.Effect<void> | undefined> = Context.Reference<
  Effect.Effect<void> | undefined
>("handspan/Backpressure", { defaultValue: () => undefined })
