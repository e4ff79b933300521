/**
 * What agents and pipelines share: the span over a piece of named work, who handed off to whom, which handoffs lie
 * directly upstream, and the early stop. Users meet `current` and `Terminated`; `Agent` and `Pipeline` do the rest. It
 * speaks only to Effect's own tracing, so it records under any tracer, or none.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type * as Tracer from "effect/Tracer"
import { Key } from "./Conventions.ts"

/**
 * An early stop on purpose: the work is over and nothing failed. Spans that it passes through end OK, with
 * `termination.reason`. Make one with `Pipeline.terminate`; catch it with `Effect.catchTag("Terminated", …)`.
 *
 * @since 0.1.0
 */
export class Terminated extends Schema.TaggedError<Terminated>()("Terminated", {
  /** Why there was nothing more to do, such as `no photos`. */
  reason: Schema.String
}) {
  override get message(): string {
    return `Terminated: ${this.reason}`
  }
}

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
  /**
   * Spans of the handoffs that lie directly upstream of whatever comes next, as the heads of a history: a handoff that
   * ends replaces the ones it started after. A fan-in links to these.
   */
  upstream: ReadonlyArray<Tracer.AnySpan>
  /** Whether the next handoff joins what lies upstream, and links to it. That handoff takes the mark off again. */
  joins: boolean
  /** Takes the output of each handoff as it ends. */
  readonly emit: ((output: Output) => void) | undefined
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

/** The name that stands for the program itself where no agent or pipeline hands off. */
const root = "root"

/**
 * Runs work as a span with a name of its own; the common ground of an agent's handoff and a pipeline.
 *
 * **Details**: inside, `current` is this work; when it ends, in whatever way, it stands upstream of what comes next. A
 * `Terminated` failure ends the span OK. No stack trace is captured: it is the dearest part of a span, and the name says
 * where the work is.
 *
 * @since 0.1.0
 */
export const withSpan = <A, E, R>(options: {
  readonly name: string
  readonly spanName: string
  readonly attributes: (from: string) => Record<string, unknown>
  readonly run: (span: Tracer.Span) => Effect.Effect<A, E, R>
  /** Called with how the work ended, before the span ends; `outer` is the work it was part of. */
  readonly onEnd: (exit: Exit.Exit<A, E>, span: Tracer.Span, outer: Current | undefined) => Effect.Effect<void>
}): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
  Effect.withFiber((fiber) => {
    const outer = fiber.getRef(current)
    const from = outer?.name ?? root
    const upstreamAtStart = outer?.upstream ?? []
    const inner: Current = { name: options.name, upstream: [], joins: false, emit: outer?.emit }
    const links = outer?.joins === true ? upstreamAtStart.map((span) => ({ span, attributes: {} })) : []
    if (outer !== undefined) outer.joins = false
    const spanOptions = { attributes: options.attributes(from), links }
    return Effect.useSpan(options.spanName, spanOptions, (span) =>
      Effect.suspend(() => options.run(span)).pipe(
        Effect.provideService(current, inner),
        Effect.withParentSpan(span, { captureStackTrace: false }),
        Effect.onExit((exit) => {
          if (outer !== undefined) outer.upstream = advance(outer.upstream, upstreamAtStart, [span])
          return options.onEnd(exit, span, outer)
        }),
        Effect.exit,
        Effect.flatMap((exit) => endsOk(exit, span))
      )
    ).pipe(Effect.flatten)
  })

/** The heads after some work ended: its own, and those it did not start after, which ran beside it. */
const advance = (
  heads: ReadonlyArray<Tracer.AnySpan>,
  upstreamAtStart: ReadonlyArray<Tracer.AnySpan>,
  own: ReadonlyArray<Tracer.AnySpan>
): ReadonlyArray<Tracer.AnySpan> => {
  if (heads === upstreamAtStart) return own
  const superseded = new Set(upstreamAtStart)
  return [...heads.filter((head) => !superseded.has(head)), ...own]
}

/**
 * Keeps an early stop out of the span's exit: the span sees a success, the caller gets the failure back as a value.
 * Every other failure passes through, and ends the span as what it is.
 */
const endsOk = <A, E>(exit: Exit.Exit<A, E>, span: Tracer.Span): Effect.Effect<Exit.Exit<A, E>, E> => {
  if (Exit.isSuccess(exit)) return Effect.succeed(exit)
  const stop = terminationOf(exit.cause)
  if (stop === undefined) return Effect.failCause(exit.cause)
  span.attribute(Key.terminationReason, stop.reason)
  return Effect.succeed(exit)
}

/**
 * The early stop that a cause consists of, `undefined` where it holds any other failure. Branches that the stop
 * interrupted do not count against it.
 *
 * @since 0.1.0
 */
export const terminationOf = (cause: Cause.Cause<unknown>): Terminated | undefined => {
  let stop: Terminated | undefined
  for (const reason of cause.reasons) {
    if (Cause.isInterruptReason(reason)) continue
    if (!Cause.isFailReason(reason) || !(reason.error instanceof Terminated)) return undefined
    stop ??= reason.error
  }
  return stop
}

/**
 * Runs effects as branches of the current work: each sees what was upstream at the fork, and what they leave upstream
 * is joined, in the order given, once all have ended.
 *
 * @since 0.1.0
 */
export const fork = <A, E, R, B, E2, R2>(
  branches: ReadonlyArray<Effect.Effect<A, E, R>>,
  join: (branches: ReadonlyArray<Effect.Effect<A, E, R>>) => Effect.Effect<B, E2, R2>,
  /** The one branch that counts, once it is known: the winner of a race. */
  winner?: () => number | undefined
): Effect.Effect<B, E2, R2> =>
  Effect.withFiber((fiber) => {
    const outer = fiber.getRef(current)
    if (outer === undefined) return join(branches)
    const { joins, upstream } = outer
    outer.joins = false
    const inners = branches.map((): Current => ({ ...outer, upstream, joins }))
    return join(branches.map((branch, index) => Effect.provideService(branch, current, inners[index]))).pipe(
      Effect.onExit(() =>
        Effect.sync(() => {
          const won = winner?.()
          merge(outer, upstream, won === undefined ? inners : [inners[won]!])
        })
      )
    )
  })

/**
 * Runs an effect as a branch whose first handoff joins what lies upstream: its span links to each of those.
 *
 * @since 0.1.0
 */
export const joining = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const outer = fiber.getRef(current)
    if (outer === undefined) return effect
    const { upstream } = outer
    const inner: Current = { ...outer, joins: true }
    return Effect.provideService(effect, current, inner).pipe(
      Effect.onExit(() => Effect.sync(() => merge(outer, upstream, [inner])))
    )
  })

/** Puts what branches left upstream in the place of what was there at their fork. A branch without handoffs left nothing. */
const merge = (outer: Current, atFork: ReadonlyArray<Tracer.AnySpan>, branches: ReadonlyArray<Current>): void => {
  const left = branches.flatMap(({ upstream }) => (upstream === atFork ? [] : upstream))
  if (left.length > 0) outer.upstream = advance(outer.upstream, atFork, [...new Set(left)])
}

/**
 * Runs an effect and takes the output of each handoff in it as it ends.
 *
 * @since 0.1.0
 */
export const emittingTo = <A, E, R>(
  emit: (output: Output) => void,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const outer = fiber.getRef(current) ?? { name: root, upstream: [], joins: false, emit: undefined }
    return Effect.provideService(effect, current, { ...outer, emit })
  })
