/**
 * Workflows of handoffs: a pipeline is one span over all its handoffs, and stages (agents, pipelines, plain functions)
 * combine in sequence, in parallel, by a route, in a loop or in a race. Everything here returns plain Effects, so
 * `Effect.gen` over agents is a pipeline too. What an agent is, `Agent` says.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import { EventName, Key, Operation, pipelineSpanName } from "./Conventions.ts"
import type * as Handoff from "./Handoff.ts"
import * as HandoffContent from "./HandoffContent.ts"
import * as HandoffMetrics from "./HandoffMetrics.ts"
import * as HandoffSpan from "./HandoffSpan.ts"
import * as SpanEnd from "./SpanEnd.ts"
import { type Mode, modeOf, type Stage } from "./Stage.ts"

export {
  type Concurrency,
  fanIn,
  forEach,
  loop,
  LoopUnfinished,
  type Mode,
  parallel,
  race,
  route,
  sequence,
  type Stage
} from "./Stage.ts"

/**
 * A named workflow. Calling it runs it, as one span over all its handoffs.
 *
 * @since 0.1.0
 */
export interface Pipeline<in Input, out Output, out Error = never, out Requirements = never> extends Stage<
  Input,
  Output,
  Error,
  Requirements
> {
  readonly name: string
  readonly mode: Mode
}

/**
 * Makes a pipeline: a span named `pipeline.{name}` over the handoffs of one stage, be it a combination of agents or a
 * function that calls them.
 *
 * **Details**: `mode` is that of the combinator the stage was made by, and `sequential` for a function, unless given.
 * The span has the events `pipeline.started` and `pipeline.completed`, the latter on every ending, with
 * `pipeline.outcome`: `completed`, `terminated`, `failed` or `interrupted`.
 *
 * **Fails with** what its stage fails with; `Terminated`, an early stop on purpose, leaves the span OK.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Agent, Pipeline } from "handspan"
 *
 * const double = Agent.make("double", { run: (n: number) => Effect.succeed(n * 2) })
 * const describe = Agent.make("describe", { run: (n: number) => Effect.succeed(`got ${n}`) })
 *
 * const report = Pipeline.make("report", Pipeline.sequence(double, describe))
 * if (Effect.runSync(report(21)) !== "got 42") throw new Error("expected got 42")
 * ```
 *
 * @since 0.1.0
 */
export const make = <A, E, R, I = void>(
  name: string,
  stage: Stage<I, A, E, R>,
  options?: {
    /** How the work is passed on, where the stage is a function and not sequential. */
    readonly mode?: Mode | undefined
    /** What is recorded of its input and output, as for an agent. Default: nothing, unless `captureContent` asks for all. */
    readonly capture?: HandoffContent.Capture<NoInfer<I>, NoInfer<A>> | undefined
  }
): Pipeline<I, A, E, Exclude<R, Tracer.ParentSpan>> => {
  const mode = options?.mode ?? modeOf(stage)
  const spanName = pipelineSpanName(name)
  const measure = HandoffMetrics.make("pipeline", name)
  const content = HandoffContent.make({
    capture: options?.capture,
    event: EventName.pipelineContent,
    facts: { [Key.workflowName]: name }
  })
  const facts = [Key.operationName, Operation.invokeWorkflow, Key.workflowName, name, Key.pipelineMode, mode]
  const call = (input: I) =>
    HandoffSpan.withSpan<A, E, R>({
      name,
      kind: "pipeline",
      spanName,
      measure,
      content,
      input,
      factsOf: () => facts,
      onStart: (span, now) => span.event(EventName.pipelineStarted, now()),
      run: () => stage(input),
      onEnd: (exit, span, _, now) => {
        span.event(EventName.pipelineCompleted, now(), { [Key.pipelineOutcome]: outcome(exit) })
      }
    })
  Object.defineProperty(call, "name", { value: name })
  return Object.assign(call, { mode })
}

const outcome = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isSuccess(exit)
    ? "completed"
    : Cause.hasInterruptsOnly(exit.cause)
      ? "interrupted"
      : SpanEnd.terminationOf(exit.cause) === undefined
        ? "failed"
        : "terminated"

/**
 * Stops the workflow here, on purpose: fails with `Terminated`, and every span it passes through ends OK with
 * `termination.reason`.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Pipeline } from "handspan"
 *
 * const nothingToDo = Pipeline.make("nightly", () => Pipeline.terminate("no photos"))
 * const stop = Effect.runSync(Effect.flip(nothingToDo()))
 * if (stop.reason !== "no photos") throw new Error("expected an early stop")
 * ```
 *
 * @since 0.1.0
 */
export const terminate = (reason: string): Effect.Effect<never, SpanEnd.Terminated> =>
  Effect.fail(new SpanEnd.Terminated({ reason }))

/**
 * The end of a streamed pipeline: what it gave as a whole.
 *
 * @since 0.1.0
 */
export interface Completed<out A> {
  readonly _tag: "PipelineCompleted"
  readonly pipeline: string
  readonly output: A
}

/**
 * Runs a pipeline and emits the output of each handoff as it ends, agents called by agents included, then
 * `PipelineCompleted` with the output of the whole.
 *
 * **Details**: the pipeline runs as fast as it can, ahead of a slow consumer; ending the stream early interrupts it.
 *
 * **Fails with** what the pipeline fails with, after the outputs before it.
 *
 * @example
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Agent, Pipeline } from "handspan"
 *
 * const double = Agent.make("double", { run: (n: number) => Effect.succeed(n * 2) })
 * const twice = Pipeline.make("twice", Pipeline.sequence(double, double))
 * const outputs = await Effect.runPromise(Stream.runCollect(Pipeline.stream(twice, 1)))
 * if (outputs.map(({ output }) => output).join() !== "2,4,4") throw new Error("expected 2,4 and the whole")
 * ```
 *
 * @since 0.1.0
 */
export const stream = <I, A, E, R>(
  pipeline: Pipeline<I, A, E, R>,
  input: I
): Stream.Stream<Handoff.Output | Completed<A>, E, R> =>
  Stream.callback<Handoff.Output | Completed<A>, E, R>((queue) =>
    HandoffSpan.emittingTo((output) => void Queue.offerUnsafe(queue, output), pipeline(input)).pipe(
      Effect.flatMap((output) =>
        Queue.offer(queue, { _tag: "PipelineCompleted", pipeline: pipeline.name, output } as const)
      ),
      Effect.matchCauseEffect({
        onSuccess: () => Queue.end(queue),
        onFailure: (cause) => Queue.failCause(queue, cause)
      })
    )
  )

/**
 * Tells the outputs of one agent from all others in a stream, and types them.
 *
 * @example
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Agent, Pipeline } from "handspan"
 *
 * const double = Agent.make("double", { run: (n: number) => Effect.succeed(n * 2) })
 * const twice = Pipeline.make("twice", Pipeline.sequence(double, double))
 * const doubles = Pipeline.stream(twice, 1).pipe(Stream.filter(Pipeline.isOutputOf(double)), Stream.map(({ output }) => output + 0))
 * if ((await Effect.runPromise(Stream.runSum(doubles))) !== 6) throw new Error("expected 2 + 4")
 * ```
 *
 * @since 0.1.0
 */
export const isOutputOf =
  <A>(agent: Stage<any, A, any, any> & { readonly name: string }) =>
  (element: Handoff.Output | Completed<unknown>): element is Handoff.Output<A> =>
    element._tag === "HandoffOutput" && element.agent === agent.name
