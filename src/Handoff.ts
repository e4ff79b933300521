/**
 * What a program can ask and be told about handoffs: whose work is running, and what each handoff gave. Making handoffs is
 * `Agent`'s and `Pipeline`'s.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"

/**
 * What one handoff gave, as `Pipeline.stream` emits it.
 *
 * @since 0.1.0
 */
export interface Output<out A = unknown> {
  readonly _tag: "HandoffOutput"
  /** The agent that gave it. */
  readonly agent: string
  /** The agent or pipeline that asked for it. */
  readonly from: string
  readonly output: A
}

/**
 * The work that is running now: the agent or pipeline that a handoff would come from.
 *
 * @since 0.1.0
 */
export interface Current {
  readonly name: string
}

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
export const current: Context.Reference<Current | undefined> = Context.Reference<Current | undefined>(
  "handspan/Handoff/current",
  { defaultValue: () => undefined }
)
