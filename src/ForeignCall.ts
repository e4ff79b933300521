/**
 * Which call of plain TypeScript is running, where such code is traced or called by what is: what spans hang under that begin
 * in there. Fibers know their span by themselves. `Instrument`, `Http` and `AsyncContext` say when such a call runs.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import * as TraceContext from "./TraceContext.ts"

/**
 * A call of plain code.
 *
 * @since 0.1.0
 */
export interface ForeignCall {
  /** Gives the span that it is in, and opens that where nobody has needed it so far. */
  readonly opened: () => Tracer.AnySpan
  /** The span around whoever traces it. */
  readonly around: Tracer.AnySpan | undefined
  /** The id of the fiber that called it: those that begin in there are other ones. Not the fiber, which has what came of it. */
  readonly fiberId: number | undefined
  /** What the Effects that belong to it run with, tracer and baggage included. */
  readonly context: Context.Context<never>
  /** Whether nothing belongs to its span any more once that has ended: what it began may live on, such as a server. */
  readonly endsWithSpan?: boolean | undefined
  /** The call that it was made in, to which what is left belongs then. */
  readonly outer?: ForeignCall | undefined
}

/**
 * A value that code sees which runs inside, such as the call that it is part of.
 *
 * @since 0.1.0
 */
export interface Inside<Value> {
  readonly getStore: () => Value | undefined
  readonly run: <A>(value: Value | undefined, f: () => A) => A
}

/** Where the platform has no AsyncLocalStorage, calls nest as long as they do not wait. */
const nested = <Value>(): Inside<Value> => {
  let current: Value | undefined
  return {
    getStore: () => current,
    run: (value, f) => {
      const before = current
      current = value
      try {
        return f()
      } finally {
        current = before
      }
    }
  }
}

const AsyncLocalStorage: (new <Value>() => Inside<Value>) | undefined =
  globalThis.process?.getBuiltinModule?.("node:async_hooks")?.AsyncLocalStorage

/**
 * Makes a place for a value that code sees which runs inside, across `await` and timers too on Node and Deno.
 *
 * @since 0.1.0
 */
export const inside = <Value>(): Inside<Value> =>
  AsyncLocalStorage === undefined ? nested() : new AsyncLocalStorage<Value>()

/**
 * The call that is running.
 *
 * @since 0.1.0
 */
export const running: Inside<ForeignCall> = inside()

/**
 * The call that is running and that anything belongs to still: to its span, or to the first one around that which has not ended.
 *
 * @since 0.1.0
 */
export const ofNow = (): ForeignCall | undefined => {
  const call = running.getStore()
  if (call?.endsWithSpan !== true) return call
  const span = call.opened()
  if (!hasEnded(span)) return call
  const open = openAround(span)
  return open === undefined ? call.outer : { ...call, opened: () => open, context: within(open, call.context) }
}

/** The baggage is of the span that has ended. */
const within = (span: Tracer.AnySpan, context: Context.Context<never>): Context.Context<never> =>
  Context.add(Context.omit(TraceContext.CurrentBaggage)(context), Tracer.ParentSpan, span)

const hasEnded = (span: Tracer.AnySpan): boolean => span._tag === "Span" && span.status._tag === "Ended"

/** The span of a caller elsewhere may have ended for all that is known here. */
const openAround = (span: Tracer.AnySpan): Tracer.AnySpan | undefined => {
  let next: Tracer.AnySpan | undefined = span
  while (next?._tag === "Span" && hasEnded(next)) next = Option.getOrUndefined(next.parent)
  return next?._tag === "Span" ? next : undefined
}

/**
 * The call that the running fiber began in, or plain code that no fiber runs; `undefined` for the fiber that made the call
 * itself, which goes on after it.
 *
 * @since 0.1.0
 */
export const caller = (): ForeignCall | undefined => unlessOwn(ofNow())

/**
 * As `caller`, also where nothing belongs to the call any more.
 *
 * @since 0.1.0
 */
export const begunIn = (): ForeignCall | undefined => unlessOwn(running.getStore())

const unlessOwn = (call: ForeignCall | undefined): ForeignCall | undefined =>
  call?.fiberId !== undefined && call.fiberId === Fiber.getCurrent()?.id ? undefined : call

/**
 * What a fiber has of a service: its own, or else what the call has that it began in.
 *
 * @since 0.1.0
 */
export const serviceOf = <A>(fiber: Fiber.Fiber<unknown, unknown>, key: Context.Reference<A>): A =>
  Context.getOrUndefined(fiber.context, key) ?? Context.get(caller()?.context ?? fiber.context, key)

/**
 * The call of plain code that a fiber makes inside of a span, for whoever traces that code inside of another one.
 *
 * @since 0.1.0
 */
export const ofFiber = (
  { context, id: fiberId }: Fiber.Fiber<unknown, unknown>,
  span: Tracer.AnySpan,
  around: Tracer.AnySpan | undefined
): ForeignCall => ({ opened: () => span, around, fiberId, context })

type SpanOptions = Parameters<Tracer.Tracer["span"]>[0]

/**
 * Makes the span of the call that a fiber began in the parent of its first spans, for tracers to open them by.
 *
 * @since 0.1.0
 */
export const withCaller = (span: SpanOptions): SpanOptions => {
  const call = Option.isNone(span.parent) && !span.root ? caller() : undefined
  if (call === undefined) return span
  const parent = call.opened()
  return { ...span, parent: Option.some(parent), sampled: span.sampled && parent.sampled }
}

/**
 * Finds the innermost span for plain code that runs here and now: that of a fiber, or of a call, or the one that it was traced
 * in. A call opens its span when it is asked for.
 *
 * @since 0.1.0
 */
export const spanWithin = (around: Tracer.AnySpan | undefined): (() => Tracer.AnySpan | undefined) => {
  const call = ofNow()
  const span = fiberWithin(call)?.cache.span
  if (span !== undefined) return () => span
  if (call === undefined) return () => around
  return () => (call.around !== around && isInside(around, call.opened()) ? around : call.opened())
}

/** The fiber that runs here and now, where it began in the call or has nothing to do with it. */
const fiberWithin = (call: ForeignCall | undefined): Fiber.Fiber<unknown, unknown> | undefined => {
  const fiber = Fiber.getCurrent()
  return fiber?.id === call?.fiberId ? undefined : fiber
}

const isInside = (span: Tracer.AnySpan | undefined, outer: Tracer.AnySpan): boolean => {
  let next = span
  while (next !== undefined && next !== outer)
    next = next._tag === "Span" ? Option.getOrUndefined(next.parent) : undefined
  return next !== undefined
}

/**
 * Finds what Effects of plain code run with, here and now: what it was traced with, over that what the call runs with, and over
 * that the fiber. Baggage is that of the span which `spanWithin` finds: nobody gets it of who happened to trace the code.
 *
 * @since 0.1.0
 */
export const contextWithin = (own: Context.Context<never>): Context.Context<never> => {
  const call = ofNow()
  const fiber = fiberWithin(call)
  const around = Context.getOrUndefined(own, Tracer.ParentSpan)
  if (
    call !== undefined &&
    fiber?.cache.span === undefined &&
    call.around !== around &&
    isInside(around, call.opened())
  ) {
    return Context.merge(call.context, own)
  }
  const inner = fiber?.context ?? call?.context
  if (inner === undefined || inner === own) return own
  const isOthers = call === undefined ? fiber?.cache.span !== undefined : call.context !== own
  const base = isOthers ? Context.omit(TraceContext.CurrentBaggage)(own) : own
  const ofCall = call === undefined || call.context === own ? base : Context.merge(base, call.context)
  return fiber === undefined ? ofCall : Context.merge(ofCall, fiber.context)
}
