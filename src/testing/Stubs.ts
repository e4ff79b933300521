/**
 * Stand-ins for agents: a pipeline is tested without the models, tools and services that its agents call.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Agent } from "../Agent.ts"
import * as HandoffSpan from "../HandoffSpan.ts"

/**
 * What stands in for an agent, which would have required `R`.
 *
 * @since 0.1.0
 */
export interface Stub<out R = never> {
  readonly agent: string
  readonly run: (input: unknown, call: number) => Effect.Effect<unknown, unknown>
  /** Never there: it carries the type alone. */
  readonly _R?: (() => R) | undefined
}

/**
 * What a stub does at each call: give an output, fail, or die, now or after a time; or what a function says, which is
 * given the input and the number of the call, from 1.
 *
 * @since 0.1.0
 */
export type Behaviour<I, A, E> =
  | ({ readonly delay?: Duration.Input | undefined } & (
      | { readonly output: A }
      | { readonly failure: E }
      | { readonly defect: unknown }
    ))
  | ((input: I, call: number) => Effect.Effect<A, E>)

/**
 * Makes a stand-in for an agent, by the agent itself, which types its output and failure, or by its name.
 *
 * **Details**: the handoff is recorded as ever. Schemas of the agent still check input and output, and its retry makes
 * failed attempts again.
 *
 * @since 0.1.0
 */
export const stub: {
  <I, A, E, R>(agent: Agent<I, A, E, R>, behaviour: Behaviour<I, NoInfer<A>, NoInfer<E>>): Stub<R>
  (agent: string, behaviour: Behaviour<unknown, unknown, unknown>): Stub
} = (agent: { readonly name: string } | string, behaviour: Behaviour<never, unknown, unknown>): Stub => ({
  agent: typeof agent === "string" ? agent : agent.name,
  run: typeof behaviour === "function" ? (behaviour as Stub["run"]) : () => acting(behaviour)
})

const acting = (behaviour: Exclude<Behaviour<never, unknown, unknown>, Function>): Effect.Effect<unknown, unknown> => {
  const { delay = Duration.zero } = behaviour
  const outcome =
    "output" in behaviour
      ? Effect.succeed(behaviour.output)
      : "failure" in behaviour
        ? Effect.fail(behaviour.failure)
        : Effect.die(behaviour.defect)
  return Duration.isZero(Duration.fromInputUnsafe(delay)) ? outcome : Effect.delay(outcome, delay)
}

/**
 * Runs a pipeline with stand-ins for its agents. A call of an agent that has none is a defect that names it, unless
 * `others` lets those run.
 *
 * **Gotchas**: what stubbed agents require is not required any more, where they are stubbed by the agent itself and not by
 * its name. A pipeline that uses one of their services by itself must be given that, though its type does not say so.
 *
 * @example
 * ```ts
 * import { Context, Effect } from "effect"
 * import { Agent, Pipeline } from "handspan"
 * import * as Testing from "handspan/testing"
 *
 * class Model extends Context.Service<Model, { readonly ask: (prompt: string) => Effect.Effect<string> }>()("Model") {}
 * const writer = Agent.make("writer", { run: (topic: string) => Effect.flatMap(Model, ({ ask }) => ask(topic)) })
 * const studio = Pipeline.make("studio", writer)
 *
 * const program = Testing.pipeline(studio("tides"), [Testing.stub(writer, { output: "a poem" })])
 * if ((await Effect.runPromise(program)) !== "a poem") throw new Error("expected the stub's poem")
 * ```
 *
 * @since 0.1.0
 */
export const pipeline = <A, E, R, const Stubs extends ReadonlyArray<Stub<unknown>>>(
  program: Effect.Effect<A, E, R>,
  stubs: Stubs,
  options: {
    /** What becomes of agents that have no stub. Default: `refuse`. */
    readonly others?: "refuse" | "run" | undefined
  } = {}
): Effect.Effect<A, E, Exclude<R, RequiredBy<Stubs[number]>>> =>
  Effect.suspend(() => {
    const calls = new Map<string, number>()
    const byName = new Map<string, Stub<unknown>>()
    for (const stub of stubs) {
      if (byName.has(stub.agent)) throw new TypeError(`Agent "${stub.agent}" has two stubs: one is enough`)
      byName.set(stub.agent, stub)
    }
    const runOf = (agent: string) => {
      const stub = byName.get(agent)
      if (stub === undefined) return options.others === "run" ? undefined : () => refusal(agent, stubs)
      return (input: unknown) => {
        const call = (calls.get(agent) ?? 0) + 1
        calls.set(agent, call)
        return stub.run(input, call)
      }
    }
    return HandoffSpan.withStubs(runOf, program)
  }) as Effect.Effect<A, E, Exclude<R, RequiredBy<Stubs[number]>>>

type RequiredBy<S> = S extends Stub<infer R> ? R : never

const refusal = (agent: string, stubs: ReadonlyArray<{ readonly agent: string }>): Effect.Effect<never> => {
  const known = stubs.map((stub) => `"${stub.agent}"`).join(", ")
  return Effect.die(
    new TypeError(`Agent "${agent}" has no stub (there are ${known || "none"}): add one, or set others to "run"`)
  )
}
