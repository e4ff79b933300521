/**
 * Assertions about a trace as plain functions, for any test runner. For vitest the same stand on `expect`: see `handspan/testing/vitest`.
 *
 * @since 0.1.0
 */
import type * as TraceTree from "../TraceTree.ts"
import { type Assertions, type Check, checks } from "./Checks.ts"

/**
 * A trace that is not as expected. The message is for people.
 *
 * @since 0.1.0
 */
export class TraceAssertionError extends Error {
  override readonly name = "AssertionError"
}

/**
 * What can be said of a trace, in sentences that go on.
 *
 * @since 0.1.0
 */
export interface TraceExpectation extends Assertions<TraceExpectation> {
  /** The next assertion must not hold. */
  readonly not: Assertions<TraceExpectation>
}

/**
 * Says what a trace must be; throws a `TraceAssertionError` with a text for people where it is not.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Agent, Pipeline } from "handspan"
 * import * as Testing from "handspan/testing"
 *
 * const writer = Agent.make("writer", { run: (topic: string) => Effect.succeed(`On ${topic}`) })
 * const critic = Agent.make("critic", { run: (poem: string) => Effect.succeed(`${poem}, improved`) })
 * const studio = Pipeline.make("studio", Pipeline.sequence(writer, critic))
 *
 * const { trace } = await Effect.runPromise(Testing.record(studio("tides")))
 * Testing.expectTrace(trace)
 *   .toMatchTree(Testing.Tree.pipeline("studio", [Testing.Tree.handoff("writer"), Testing.Tree.handoff("critic")]))
 *   .toRunBefore("writer", "critic")
 *   .not.toHaveRun("printer")
 * ```
 *
 * @since 0.1.0
 */
export const expectTrace = (trace: TraceTree.Trace): TraceExpectation => {
  const assertions = (expected: boolean): Assertions<TraceExpectation> =>
    Object.fromEntries(
      Object.entries(checks).map(([name, check]) => [
        name,
        (...args: ReadonlyArray<never>) => {
          const { holds, message } = (check as (trace: TraceTree.Trace, ...args: ReadonlyArray<never>) => Check)(
            trace,
            ...args
          )
          if (holds !== expected) throw new TraceAssertionError(message())
          return expectation
        }
      ])
    ) as never
  const expectation: TraceExpectation = { ...assertions(true), not: assertions(false) }
  return expectation
}
