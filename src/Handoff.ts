/**
 * What a program can ask and be told about handoffs: whose work is running, and what each handoff gave. Making handoffs is
 * `Agent`'s and `Pipeline`'s.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { type Current, work } from "./Work.ts"

export type { Current, Output } from "./Work.ts"

/**
 * The work that is running now, `undefined` outside of any agent or pipeline.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Agent, Handoff } from "handspan"
 *
 * const planner = Agent.make("planner", {
 *   run: () => Effect.map(Handoff.current, (current) => current?.name)
 * })
 * if (Effect.runSync(planner()) !== "planner") throw new Error("expected to run inside of planner")
 * ```
 *
 * @since 0.1.0
 */
export const current: Effect.Effect<Current | undefined> = Effect.withFiber((fiber) =>
  Effect.succeed(fiber.getRef(work))
)
