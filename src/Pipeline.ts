/**
 * Workflows of handoffs: a pipeline is one span over all its handoffs, and stages (agents, pipelines, plain functions)
 * combine in sequence, in parallel, by a route, in a loop or in a race. Everything here returns plain Effects, so
 * `Effect.gen` over agents is a pipeline too. What an agent is, `Agent` says.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import { EventName, Key, Operation, pipelineSpanName } from "./Conventions.ts"
import * as Handoff from "./Handoff.ts"

/**
 * A step of a workflow: an agent, a pipeline, or any function that returns an Effect.
 *
 * @since 0.1.0
 */
export type Stage<in Input, out Output, out Error = never, out Requirements = never> = (
  input: Input
) => Effect.Effect<Output, Error, Requirements>

/**
 * How a pipeline passes work on, as `pipeline.mode` says it on the span.
 *
 * @since 0.1.0
 */
export type Mode = "sequential" | "parallel" | "routed" | "looped" | "raced"

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

/** A stage that says how it passes work on: what the combinators below make. */
const withMode = <S extends AnyStage>(mode: Mode, stage: S): S => Object.assign(stage, { mode })
const modeOf = (stage: AnyStage & { readonly mode?: Mode }): Mode => stage.mode ?? "sequential"

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
  }
): Pipeline<I, A, E, Exclude<R, Tracer.ParentSpan>> => {
  const mode = options?.mode ?? modeOf(stage)
  const attributes = () => ({
    [Key.operationName]: Operation.invokeWorkflow,
    [Key.workflowName]: name,
    [Key.pipelineMode]: mode
  })
  const call = (input: I) =>
    Handoff.withSpan<A, E, R>({
      name,
      spanName: pipelineSpanName(name),
      attributes,
      run: (span) => Effect.andThen(note(span, EventName.pipelineStarted), () => stage(input)),
      onEnd: (exit, span) => note(span, EventName.pipelineCompleted, { [Key.pipelineOutcome]: outcome(exit) })
    })
  Object.defineProperty(call, "name", { value: name })
  return Object.assign(call, { mode })
}

const note = (span: Tracer.Span, name: string, attributes?: Record<string, unknown>): Effect.Effect<void> =>
  Effect.map(Clock.currentTimeNanos, (now) => span.event(name, now, attributes))

const outcome = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isSuccess(exit)
    ? "completed"
    : Cause.hasInterruptsOnly(exit.cause)
      ? "interrupted"
      : Handoff.terminationOf(exit.cause) === undefined
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
export const terminate = (reason: string): Effect.Effect<never, Handoff.Terminated> =>
  Effect.fail(new Handoff.Terminated({ reason }))

type AnyStage = Stage<any, any, any, any>
type InputOf<S> = S extends (input: infer I) => unknown ? I : never
type OutputOf<S> = S extends (input: any) => Effect.Effect<infer A, any, any> ? A : never
type ErrorOf<S> = S extends (input: any) => Effect.Effect<any, infer E, any> ? E : never
type RequirementsOf<S> = S extends (input: any) => Effect.Effect<any, any, infer R> ? R : never
/** The input that suits every one of several stages: function parameters infer to the intersection. */
type SharedInput<S> = (S extends (input: infer I) => unknown ? (input: I) => void : never) extends (
  input: infer I
) => void
  ? I
  : never

/**
 * Runs stages one after the other, each with the output of the one before.
 *
 * @since 0.1.0
 */
export const sequence: {
  <I, A, E1, R1, B, E2, R2>(first: Stage<I, A, E1, R1>, second: Stage<A, B, E2, R2>): Stage<I, B, E1 | E2, R1 | R2>
  <I, A, E1, R1, B, E2, R2, C, E3, R3>(
    first: Stage<I, A, E1, R1>,
    second: Stage<A, B, E2, R2>,
    third: Stage<B, C, E3, R3>
  ): Stage<I, C, E1 | E2 | E3, R1 | R2 | R3>
  <I, A, E1, R1, B, E2, R2, C, E3, R3, D, E4, R4>(
    first: Stage<I, A, E1, R1>,
    second: Stage<A, B, E2, R2>,
    third: Stage<B, C, E3, R3>,
    fourth: Stage<C, D, E4, R4>
  ): Stage<I, D, E1 | E2 | E3 | E4, R1 | R2 | R3 | R4>
  <I, A, E1, R1, B, E2, R2, C, E3, R3, D, E4, R4, F, E5, R5>(
    first: Stage<I, A, E1, R1>,
    second: Stage<A, B, E2, R2>,
    third: Stage<B, C, E3, R3>,
    fourth: Stage<C, D, E4, R4>,
    fifth: Stage<D, F, E5, R5>
  ): Stage<I, F, E1 | E2 | E3 | E4 | E5, R1 | R2 | R3 | R4 | R5>
} = (first: AnyStage, ...rest: ReadonlyArray<AnyStage>): AnyStage =>
  withMode("sequential", (input) => rest.reduce((before, stage) => Effect.flatMap(before, stage), first(input)))

/**
 * Gives one input to several stages at the same time, and their outputs back in the same shape, a tuple or a record.
 *
 * **Details**: all run at once unless `concurrency` bounds them. The first failure interrupts the others; wrap a stage
 * in `Effect.result` where the others shall go on. A fan-in after it links to the handoffs of all branches.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Agent, Pipeline } from "handspan"
 *
 * const low = Agent.make("low", { run: (prices: Array<number>) => Effect.succeed(Math.min(...prices)) })
 * const high = Agent.make("high", { run: (prices: Array<number>) => Effect.succeed(Math.max(...prices)) })
 *
 * const range = Effect.runSync(Pipeline.parallel({ low, high })([1, 4, 3]))
 * if (range.low !== 1 || range.high !== 4) throw new Error("expected both analyses")
 * ```
 *
 * @since 0.1.0
 */
export const parallel: {
  <const S extends readonly [AnyStage, ...Array<AnyStage>]>(
    stages: S,
    options?: Concurrency
  ): Stage<
    SharedInput<S[number]>,
    { -readonly [K in keyof S]: OutputOf<S[K]> },
    ErrorOf<S[number]>,
    RequirementsOf<S[number]>
  >
  <const S extends Readonly<Record<string, AnyStage>>>(
    stages: S,
    options?: Concurrency
  ): Stage<
    SharedInput<S[keyof S]>,
    { -readonly [K in keyof S]: OutputOf<S[K]> },
    ErrorOf<S[keyof S]>,
    RequirementsOf<S[keyof S]>
  >
} = (stages: ReadonlyArray<AnyStage> | Readonly<Record<string, AnyStage>>, options?: Concurrency): AnyStage => {
  const keys = Object.keys(stages)
  return withMode("parallel", (input) =>
    Handoff.fork(
      Object.values(stages).map((stage: AnyStage) => Effect.suspend(() => stage(input))),
      (branches) => Effect.all(branches, { concurrency: options?.concurrency ?? "unbounded" })
    ).pipe(
      Effect.map((outputs) =>
        Array.isArray(stages) ? outputs : Object.fromEntries(keys.map((key, index) => [key, outputs[index]]))
      )
    )
  )
}

/**
 * How many branches run at once: a number, or `unbounded`.
 *
 * @since 0.1.0
 */
export interface Concurrency {
  readonly concurrency?: number | "unbounded" | undefined
}

/**
 * Gives each item to a stage, at most `concurrency` at the same time (default: 1), and the outputs back in the order of
 * the items. Called without items, it makes a stage that takes them.
 *
 * **Details**: the first failure interrupts the other items; wrap the stage in `Effect.result` where they shall go on.
 * A fan-in after it links to the last handoff of every item.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Agent, Pipeline } from "handspan"
 *
 * const double = Agent.make("double", { run: (n: number) => Effect.succeed(n * 2) })
 * const doubled = Effect.runSync(Pipeline.forEach([1, 2, 3], double, { concurrency: 2 }))
 * if (doubled.join() !== "2,4,6") throw new Error("expected 2,4,6")
 * ```
 *
 * @since 0.1.0
 */
export const forEach: {
  <I, A, E, R>(items: Iterable<I>, stage: Stage<I, A, E, R>, options?: Concurrency): Effect.Effect<Array<A>, E, R>
  <I, A, E, R>(stage: Stage<I, A, E, R>, options?: Concurrency): Stage<Iterable<I>, Array<A>, E, R>
} = (...args: ReadonlyArray<any>): any => {
  if (typeof args[0] !== "function") return forEachItem(args[0], args[1], args[2])
  const [stage, options] = args as [AnyStage, Concurrency | undefined]
  const mode = (options?.concurrency ?? 1) === 1 ? "sequential" : "parallel"
  return withMode(mode, (items: Iterable<unknown>) => forEachItem(items, stage, options))
}

const forEachItem = (items: Iterable<unknown>, stage: AnyStage, options: Concurrency | undefined) =>
  Handoff.fork(
    Array.from(items, (item) => Effect.suspend(() => stage(item))),
    (branches) => Effect.all(branches, { concurrency: options?.concurrency ?? 1 })
  )

/**
 * Hands what several handoffs gave to one stage: the first handoff of that stage links to every handoff that lies
 * directly upstream, failed ones too, and its parent stays the pipeline. Called without inputs, it makes a stage.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Agent, Pipeline } from "handspan"
 *
 * const double = Agent.make("double", { run: (n: number) => Effect.succeed(n * 2) })
 * const sum = Agent.make("sum", { run: (all: ReadonlyArray<number>) => Effect.succeed(all.reduce((a, b) => a + b, 0)) })
 *
 * const total = Pipeline.make("total", Pipeline.sequence(Pipeline.forEach(double), Pipeline.fanIn(sum)))
 * if (Effect.runSync(total([1, 2, 3])) !== 12) throw new Error("expected 12")
 * ```
 *
 * @since 0.1.0
 */
export const fanIn: {
  <I, A, E, R>(stage: Stage<I, A, E, R>): Stage<I, A, E, R>
  <I, A, E, R>(stage: Stage<I, A, E, R>, inputs: NoInfer<I>): Effect.Effect<A, E, R>
} = (...args: readonly [AnyStage, unknown?]): any => {
  const join: AnyStage = (inputs) => Handoff.joining(Effect.suspend(() => args[0](inputs)))
  return args.length === 1 ? join : join(args[1])
}

/**
 * Lets a choice pick the one stage that gets the input. The decision stands as `handspan.route.decision` on the span
 * that is current, mostly the pipeline's, and on every span of the chosen branch.
 *
 * **Details**: `choose` may be a plain function or an agent of its own; its result is a key of `to`, checked by types.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Agent, Pipeline } from "handspan"
 *
 * const refund = Agent.make("refund", { run: (_: number) => Effect.succeed("refunded") })
 * const review = Agent.make("review", { run: (_: number) => Effect.succeed("under review") })
 * const handle = Pipeline.route((amount: number) => amount < 100 ? "refund" : "review", { refund, review })
 * if (Effect.runSync(handle(20)) !== "refunded") throw new Error("expected a refund")
 * ```
 *
 * @since 0.1.0
 */
export const route = <I, const To extends Readonly<Record<string, Stage<I, any, any, any>>>, E = never, R = never>(
  choose: (input: I) => (keyof To & string) | Effect.Effect<keyof To & string, E, R>,
  to: To
): Stage<I, OutputOf<To[keyof To]>, E | ErrorOf<To[keyof To]>, R | RequirementsOf<To[keyof To]>> =>
  withMode("routed", (input: I) =>
    Effect.suspend(() => {
      const chosen = choose(input)
      return typeof chosen === "string" ? Effect.succeed(chosen) : chosen
    }).pipe(
      Effect.tap((decision) => Effect.annotateCurrentSpan(Key.routeDecision, decision)),
      Effect.flatMap((decision) => Effect.annotateSpans(to[decision]!(input), Key.routeDecision, decision))
    )
  )

/**
 * A loop that came to its bound before it was done.
 *
 * @since 0.1.0
 */
export class LoopUnfinished extends Schema.TaggedError<LoopUnfinished>()("LoopUnfinished", {
  maxIterations: Schema.Int,
  /** What the last round gave. */
  last: Schema.Unknown
}) {
  override get message(): string {
    return `Loop not done after ${this.maxIterations} iterations: raise maxIterations or loosen until`
  }
}

/**
 * Gives a stage its own output again until it is good enough. Spans inside carry `handspan.loop.iteration`, from 1.
 *
 * **Fails with** what the stage fails with, and with `LoopUnfinished` where `maxIterations` rounds were not enough.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Agent, Pipeline } from "handspan"
 *
 * const refine = Agent.make("refine", { run: (draft: number) => Effect.succeed(draft + 1) })
 * const refined = Pipeline.loop(refine, { until: (draft) => draft >= 3, maxIterations: 5 })
 * if (Effect.runSync(refined(0)) !== 3) throw new Error("expected 3")
 * ```
 *
 * @since 0.1.0
 */
export const loop = <A, E, R>(
  stage: Stage<A, A, E, R>,
  options: {
    /** Says whether an output is good enough. */
    readonly until: (output: A, iteration: number) => boolean
    /** How many rounds there are at most; at least 1. */
    readonly maxIterations: number
  }
): Stage<A, A, E | LoopUnfinished, R> => {
  const { maxIterations, until } = options
  const round = (input: A, iteration: number): Effect.Effect<A, E | LoopUnfinished, R> =>
    Effect.flatMap(Effect.annotateSpans(stage(input), Key.loopIteration, iteration), (output) =>
      until(output, iteration)
        ? Effect.succeed(output)
        : iteration >= maxIterations
          ? Effect.fail(new LoopUnfinished({ maxIterations, last: output }))
          : round(output, iteration + 1)
    )
  return withMode("looped", (input: A) => Effect.suspend(() => round(input, 1)))
}

/**
 * Gives one input to several stages at the same time and takes the first output; the others are interrupted. Fails only
 * when all of them failed.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Agent, Pipeline } from "handspan"
 *
 * const slow = Agent.make("slow", { run: (_: string) => Effect.never })
 * const quick = Agent.make("quick", { run: (question: string) => Effect.succeed(`${question}: 42`) })
 * const answer = await Effect.runPromise(Pipeline.race(slow, quick)("answer"))
 * if (answer !== "answer: 42") throw new Error("expected the quick one")
 * ```
 *
 * @since 0.1.0
 */
export const race = <const S extends readonly [AnyStage, AnyStage, ...Array<AnyStage>]>(
  ...stages: S
): Stage<SharedInput<S[number]>, OutputOf<S[number]>, ErrorOf<S[number]>, RequirementsOf<S[number]>> =>
  withMode("raced", (input: unknown) =>
    Handoff.fork(
      stages.map((stage) => Effect.suspend(() => stage(input))),
      Effect.raceAll
    )
  )

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
    Effect.withFiber((fiber) => {
      const outer = fiber.getRef(Handoff.current)
      const emit = (output: Handoff.Output): void => {
        Queue.offerUnsafe(queue, output)
        outer?.emit?.(output)
      }
      return Handoff.emittingTo(emit, pipeline(input)).pipe(
        Effect.flatMap((output) =>
          Queue.offer(queue, { _tag: "PipelineCompleted", pipeline: pipeline.name, output } as const)
        ),
        Effect.matchCauseEffect({
          onSuccess: () => Queue.end(queue),
          onFailure: (cause) => Queue.failCause(queue, cause)
        })
      )
    })
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
