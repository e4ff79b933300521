/**
 * What agents and pipelines share: the span over a piece of named work, who handed off to whom, and which handoffs lie
 * directly upstream. Not a public module: `Agent`, `Pipeline` and `Handoff` are its faces. It speaks only to Effect's own
 * tracing, so it records under any tracer, or none.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
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
  /** Takes the output of each handoff as it ends. */
  readonly emit: ((output: Output) => void) | undefined
  readonly history: History
}

/** What happened before, within one work or one branch of it; what a fan-in links to. */
interface History {
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
export const work: Context.Reference<Work | undefined> = Context.Reference<Work | undefined>(
  "handspan/HandoffSpan/work",
  { defaultValue: () => undefined }
)

/** The name that stands for the program itself where no agent or pipeline hands off. */
const root = "root"

/**
 * Runs work as a span with a name of its own; the common ground of an agent's handoff and a pipeline.
 *
 * **Details**: inside, `current` is this work; when it ends, in whatever way, it stands upstream of what comes next. No
 * stack trace is captured: it is the dearest part of a span, and the name says where the work is.
 *
 * @since 0.1.0
 */
export const withSpan = <A, E, R>(options: {
  readonly name: string
  readonly spanName: string
  readonly attributes: (from: string) => Record<string, unknown>
  readonly run: (span: Tracer.Span) => Effect.Effect<A, E, R>
  /** Called with how the work ended, before the span ends; `outer` is the work it was part of. */
  readonly onEnd: (exit: Exit.Exit<A, E>, span: Tracer.Span, outer: Work | undefined) => Effect.Effect<void>
}): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
  Effect.withFiber((fiber) => {
    const outer = fiber.getRef(work)
    const history = outer?.history ?? { upstream: [], joins: false }
    const atStart = history.upstream
    const links = history.joins ? atStart.map((span) => ({ span, attributes: {} })) : []
    history.joins = false
    const inner: Work = { name: options.name, emit: outer?.emit, history: { upstream: [], joins: false } }
    const attributes = options.attributes(outer?.name ?? root)
    return Effect.useSpan(options.spanName, { attributes, links }, (span) =>
      Effect.suspend(() => options.run(span)).pipe(
        Effect.provideService(work, inner),
        Effect.withParentSpan(span, { captureStackTrace: false }),
        Effect.onExit((exit) => {
          history.upstream = advance(history.upstream, atStart, [span])
          return options.onEnd(exit, span, outer)
        })
      )
    )
  })

/** The heads after some work ended: its own, and those it did not start after, which ran beside it. */
const advance = (
  heads: ReadonlyArray<Tracer.AnySpan>,
  atStart: ReadonlyArray<Tracer.AnySpan>,
  own: ReadonlyArray<Tracer.AnySpan>
): ReadonlyArray<Tracer.AnySpan> => {
  if (heads === atStart) return own
  const superseded = new Set(atStart)
  return [...heads.filter((head) => !superseded.has(head)), ...own]
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
    const outer = fiber.getRef(work)
    if (outer === undefined) return join(branches)
    const { joins, upstream } = outer.history
    outer.history.joins = false
    const histories = branches.map((): History => ({ upstream, joins }))
    const inBranch = (branch: Effect.Effect<A, E, R>, index: number) =>
      Effect.provideService(branch, work, { ...outer, history: histories[index]! })
    return join(branches.map(inBranch)).pipe(
      Effect.onExit(() =>
        Effect.sync(() => {
          const won = winner?.()
          merge(outer.history, upstream, won === undefined ? histories : [histories[won]!])
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
    const outer = fiber.getRef(work)
    if (outer === undefined) return effect
    const { upstream } = outer.history
    const history: History = { upstream, joins: true }
    return Effect.provideService(effect, work, { ...outer, history }).pipe(
      Effect.onExit(() => Effect.sync(() => merge(outer.history, upstream, [history])))
    )
  })

/** Puts what branches left upstream in the place of what was there at their fork. A branch without handoffs left nothing. */
const merge = (into: History, atFork: ReadonlyArray<Tracer.AnySpan>, branches: ReadonlyArray<History>): void => {
  const left = branches.flatMap(({ upstream }) => (upstream === atFork ? [] : upstream))
  if (left.length > 0) into.upstream = advance(into.upstream, atFork, [...new Set(left)])
}

/**
 * Runs an effect and takes the output of each handoff in it as it ends, as whoever does so further out.
 *
 * @since 0.1.0
 */
export const emittingTo = <A, E, R>(
  emit: (output: Output) => void,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const outer = fiber.getRef(work)
    const { history = { upstream: [], joins: false }, name = root } = outer ?? {}
    const emitToBoth = (output: Output): void => {
      emit(output)
      outer?.emit?.(output)
    }
    return Effect.provideService(effect, work, { name, history, emit: emitToBoth })
  })
