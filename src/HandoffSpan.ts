/**
 * What agents and pipelines share: the span over a piece of named work, who handed off to whom, and which handoffs lie
 * directly upstream. Not a public module: `Agent`, `Pipeline` and `Handoff` are its faces. It speaks only to Effect's own
 * tracing, so it records under any tracer, or none.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Tracer from "effect/Tracer"
import { Backpressure } from "./Backpressure.ts"
import { WantedContent } from "./Content.ts"
import type * as HandoffContent from "./HandoffContent.ts"
import type { Measure } from "./HandoffMetrics.ts"
import * as OpenSpan from "./OpenSpan.ts"
import type { Facts } from "./SpanRecord.ts"
import { type History, type Output, type Stubs, type Work, work } from "./Work.ts"

/** The name that stands for the program itself where no agent or pipeline hands off. */
const root = "root"

/**
 * Runs work as a span with a name of its own; the common ground of an agent's handoff and a pipeline.
 *
 * **Details**: inside, `current` is this work; when it ends, in whatever way, it stands upstream of what comes next. Where
 * nobody records, there is no span, and what would be written on it goes nowhere.
 *
 * @since 0.1.0
 */
export const withSpan = <A, E, R>(options: {
  readonly name: string
  readonly kind: "agent" | "pipeline"
  readonly spanName: string
  /** Told how long it took, whoever records it. */
  readonly measure: Measure
  /** Records what it got and what it gives, where that is wanted. */
  readonly content: HandoffContent.Begin
  readonly input: unknown
  /** What the Recorder is to know of the span before it begins. Default: nothing. */
  readonly annotations?: Context.Context<never> | undefined
  /** What always stands on its spans; `from` is whose work hands off. */
  readonly factsOf: (from: string) => Facts
  /** Writes on the span what else there is when it begins. Default: nothing. */
  readonly onStart?: ((span: WritableSpan, now: () => bigint) => void) | undefined
  readonly run: (span: WritableSpan, work: Work) => Effect.Effect<A, E, R>
  /** Called with how the work ended, before the span ends; `outer` is the work it was part of. */
  readonly onEnd: (exit: Exit.Exit<A, E>, span: WritableSpan, outer: Work | undefined, now: () => bigint) => void
}): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
  Effect.suspend(() => {
    let finish: ((exit: Exit.Exit<A, E>) => void) | undefined
    const begin = (fiber: Fiber.Fiber<unknown, unknown>): Effect.Effect<A, E, R> => {
      const outer = fiber.getRef(work)
      const history = outer?.history ?? { upstream: [], joins: false }
      const atStart = history.upstream
      const links = history.joins ? atStart.map((span) => ({ span, attributes: {} })) : noLinks
      history.joins = false
      const { kind, name } = options
      const agent = kind === "agent" ? name : outer?.agent
      const inner: Work = {
        name,
        agent,
        emit: outer?.emit,
        stubs: outer?.stubs,
        history: { upstream: [], joins: false }
      }
      const opened = OpenSpan.open(fiber, options.spanName, links, options.annotations)
      const isMeasured = fiber.cache.tracerEnabled
      const startMillis = isMeasured ? millis(fiber) : 0
      const span = opened ?? nowhere
      const now = () => OpenSpan.now(fiber)
      if (opened !== undefined) {
        OpenSpan.addFacts(opened, options.factsOf(outer?.name ?? root))
        options.onStart?.(opened, now)
      }
      const tellContent =
        opened?.sampled === true ? options.content(opened, fiber.getRef(WantedContent), options.input) : undefined
      finish = (exit) => {
        if (opened !== undefined) history.upstream = advance(history.upstream, atStart, [opened])
        tellContent?.(exit, now())
        options.onEnd(exit, span, outer, now)
        if (isMeasured) options.measure(millis(fiber) - startMillis, exit, fiber.context)
        opened?.end(now(), exit)
      }
      const inside = Context.add(fiber.context, work, inner)
      const context = opened === undefined ? inside : Context.add(inside, Tracer.ParentSpan, opened)
      return Effect.updateContext(
        Effect.suspend(() => options.run(span, inner)),
        // What the fiber has, and two services more.
        () => context as Context.Context<R>
      )
    }
    // Around the opening, so that no interruption comes between a span's beginning and its end.
    return Effect.onExit(
      Effect.withFiber((fiber) => {
        const hold = fiber.getRef(Backpressure)
        return hold === undefined ? begin(fiber) : Effect.andThen(hold, Effect.withFiber(begin))
      }),
      (exit) => {
        finish?.(exit)
        return Effect.void
      }
    )
  }) as Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>>

/** Good enough for a histogram, and cheaper than nanoseconds where there is no span that needs those. */
const millis = (fiber: Fiber.Fiber<unknown, unknown>): number => fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()

/** Mostly an agent is called from one place or two, and makes few attempts. */
const maxRememberedFacts = 16

/**
 * Gives the same facts for the same thing, such as a caller, so that they need not be looked at anew.
 *
 * @since 0.1.0
 */
export const rememberingFacts = <A>(make: (of: A) => Facts): ((of: A) => Facts) => {
  const known = new Map<A, Facts>()
  return (of) => {
    const facts = known.get(of) ?? make(of)
    if (known.size < maxRememberedFacts) known.set(of, facts)
    return facts
  }
}

/**
 * What can be written on a span while it is open.
 *
 * @since 0.1.0
 */
export type WritableSpan = Pick<Tracer.Span, "attribute" | "event">

const nowhere: WritableSpan = { attribute: () => undefined, event: () => undefined }
const noLinks: ReadonlyArray<Tracer.SpanLink> = []

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
    const { agent, history = { upstream: [], joins: false }, name = root, stubs } = outer ?? {}
    const emitToBoth = (output: Output): void => {
      emit(output)
      outer?.emit?.(output)
    }
    return Effect.provideService(effect, work, { name, agent, history, stubs, emit: emitToBoth })
  })

/**
 * Runs an effect with stand-ins for agents.
 *
 * @since 0.1.0
 */
export const withStubs = <A, E, R>(stubs: Stubs, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const { agent, emit, history = { upstream: [], joins: false }, name = root } = fiber.getRef(work) ?? {}
    return Effect.provideService(effect, work, { name, agent, emit, history, stubs })
  })
