/**
 * The work that a fiber is in: which agent or pipeline, and what its handoffs leave behind. Agents and pipelines write it;
 * logs, which must know their agent also where no span is recorded, read it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Tracer from "effect/Tracer"

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
 * The work that is running now, with what its handoffs leave behind.
 *
 * @since 0.1.0
 */
export interface Work extends Current {
  /** The agent that it belongs to: itself, or the one that called it. */
  readonly agent: string | undefined
  /** Takes the output of each handoff as it ends. */
  readonly emit: ((output: Output) => void) | undefined
  /** What stands in for agents in a test, by the agent's name. */
  readonly stubs: Stubs | undefined
  readonly history: History
}

/**
 * Gives what runs instead of an agent's own `run`, `undefined` where the agent itself does.
 *
 * @since 0.1.0
 */
export type Stubs = (agent: string) => ((input: unknown) => Effect.Effect<unknown, unknown>) | undefined

/**
 * What happened before, within one work or one branch of it; what a fan-in links to.
 *
 * @since 0.1.0
 */
export interface History {
  /**
   * Spans of the handoffs that lie directly upstream of whatever comes next, as the heads of a history: a handoff that
   * ends replaces the ones it started after.
   */
  upstream: ReadonlyArray<Tracer.AnySpan>
  /** Whether the next handoff joins what lies upstream, and links to it. That handoff takes the mark off again. */
  joins: boolean
}

/**
 * The work that a fiber runs in. Nobody else can provide it: what stands here is always whole.
 *
 * @since 0.1.0
 */
export const work: Context.Reference<Work | undefined> = Context.Reference<Work | undefined>("handspan/Work", {
  defaultValue: () => undefined
})
