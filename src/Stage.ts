/**
 * How steps of a workflow combine: in sequence, in parallel, by a route, in a loop, in a race, and where branches join.
 * `Pipeline` offers all of it under its own name; a span of its own is what only a pipeline has.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Key } from "./Conventions.ts"
import * as HandoffSpan from "./HandoffSpan.ts"

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

/** A stage that says how it passes work on: what the combinators below make. */
const withMode = <S extends AnyStage>(mode: Mode, stage: S): S => Object.assign(stage, { mode })

/**
 * How a stage passes work on: `sequential` where it does not say.
 *
 * @since 0.1.0
 */
export const modeOf = (stage: AnyStage & { readonly mode?: Mode }): Mode => stage.mode ?? "sequential"

type AnyStage = Stage<any, any, any, any>
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
  withMode("sequential", (input) =>
    rest.reduce(
      (before, stage) => Effect.flatMap(before, stage),
      Effect.suspend(() => first(input))
    )
  )

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
    HandoffSpan.fork(
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
  HandoffSpan.fork(
    Array.from(items, (item) => Effect.suspend(() => stage(item))),
    (branches) => Effect.all(branches, { concurrency: options?.concurrency ?? 1 })
  )

/**
 * Hands what several handoffs gave to one stage: the first handoff of that stage links to every handoff that lies
 * directly upstream, failed ones too, and its parent stays the pipeline. Called without inputs, it makes a stage.
 *
 * **Details**: upstream is what ran last in the current pipeline or agent, and outside of both there is nothing. After
 * `parallel` and `forEach` it is the last handoff of every branch, after `race` that of the winner, after a pipeline its
 * span. Handoffs that run side by side by Effect's own `concurrency` have no branches: one that starts after another has
 * ended counts as coming after it. A span keeps 128 links unless `spanLinkCount` says otherwise, and counts the rest.
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
  const join: AnyStage = (inputs) => HandoffSpan.joining(Effect.suspend(() => args[0](inputs)))
  return args.length === 1 ? join : join(args[1])
}

/**
 * Lets a choice pick the one stage that gets the input. The decision stands as `handspan.route.decision` on the span
 * that is current, mostly the pipeline's, and on every span of the chosen branch.
 *
 * **Details**: `choose` may be a plain function or an agent of its own; its result is a key of `to`, checked by types.
 * Anything else that comes at run time is a defect that names the branches.
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
      Effect.flatMap((decision) => {
        // Types rule it out, but a decision may be what a model wrote.
        if (!Object.hasOwn(to, decision)) {
          const branches = Object.keys(to).join(", ")
          return Effect.die(new RangeError(`Cannot route to "${decision}": the branches are ${branches}`))
        }
        return Effect.annotateSpans(to[decision]!(input), Key.routeDecision, decision)
      })
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
    Effect.suspend(() => {
      let winner: number | undefined
      // Noted in the branch itself: raceAll goes on with the winner's value before it calls its onWinner.
      const branches = stages.map((stage, index) =>
        Effect.tap(
          Effect.suspend(() => stage(input)),
          () =>
            Effect.sync(() => {
              winner ??= index
            })
        )
      )
      return HandoffSpan.fork(branches, Effect.raceAll, () => winner)
    })
  )
