/**
 * The span of a fiber where its program calls out: for Promises, callbacks and async generators of other people's code, and for
 * the Effects that such code runs. Fibers know their span without it. It costs only where a program waits for plain code.
 *
 * @since 0.1.0
 */
import * as Api from "@opentelemetry/api"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import * as Ambient from "./exporter/Ambient.ts"
import { caller, ofFiber, running } from "./ForeignCall.ts"
import * as TraceContext from "./TraceContext.ts"

/**
 * Gives a tracer that also tells plain code which span it is called in, for as long as the scope lives.
 *
 * **Details**: in what a fiber waits for (`Effect.promise`, `Effect.callback`, `Stream.fromAsyncIterable` and all that is made
 * of them), functions wrapped by `Instrument` nest under its span, and so does what is run there by `Effect.runPromise`, under
 * this tracer. The span is OpenTelemetry's active one there too, for instrumentations that look for it, as long as a context
 * manager is registered. Code that a fiber runs without waiting knows it by the fiber.
 *
 * @since 0.1.0
 */
export const follow = (tracer: Tracer.Tracer): Effect.Effect<Tracer.Tracer, never, Scope.Scope> =>
  Effect.as(
    Effect.acquireRelease(Effect.sync(adoptStrays), () => Effect.sync(leaveStrays)),
    // A Recorder is more than a tracer, and stays what it is.
    Object.create(tracer, { context: { value: callOut } })
  )

/** A primitive that calls plain code and waits for it: Effect's `Async`. Its shape is held by a test. */
interface Waiting<X> extends Tracer.EffectPrimitive<X> {
  register?: (
    this: unknown,
    resume: (effect: Effect.Effect<unknown, unknown>) => void,
    signal?: AbortSignal
  ) => Effect.Effect<void> | void
}

const evaluate = "~effect/Effect/evaluate"

const callOut = <X>(primitive: Waiting<X>, fiber: Fiber.Fiber<unknown, unknown>): X => {
  const { register } = primitive
  const { span } = fiber.cache
  if (register === undefined || span === undefined || !fiber.cache.tracerEnabled) return primitive[evaluate](fiber)
  const before = running.getStore()
  const active = Api.context.active()
  const within = contextOf(span, fiber.getRef(TraceContext.CurrentBaggage), active)
  const call = ofFiber(fiber, span, span)
  const entered: Waiting<X> = Object.create(primitive)
  entered.register = function (resume, signal) {
    // What comes after is the fiber's own, and not of the call: the span may be over by then.
    const leave = (effect: Effect.Effect<unknown, unknown>) =>
      running.run(before, () => Api.context.with(active, () => resume(effect)))
    return running.run(call, () => Api.context.with(within, () => register.call(this, leave, signal)))
  }
  return entered[evaluate](fiber)
}

interface Entered {
  readonly active: Api.Context
  readonly baggage: TraceContext.Baggage
  readonly context: Api.Context
}

/** A span calls out more than once, mostly from where it did before. */
const contexts = new WeakMap<Tracer.AnySpan, Entered>()

const contextOf = (span: Tracer.AnySpan, baggage: TraceContext.Baggage, active: Api.Context): Api.Context => {
  const known = contexts.get(span)
  if (known !== undefined && known.active === active && known.baggage === baggage) return known.context
  const context = Ambient.contextWith(span, baggage, active)
  contexts.set(span, { active, baggage, context })
  return context
}

type Native = { span: Tracer.Tracer["span"] }

let followers = 0
let native: Tracer.Tracer["span"] = Tracer.nativeTracer.span

/** What plain code runs by `Effect.runPromise` knows of no tracer: those spans too are of the one that called the code. */
const adoptStrays = (): void => {
  if (followers++ > 0) return
  native = Tracer.nativeTracer.span
  ;(Tracer.nativeTracer as Native).span = (options) => {
    const call = caller()
    const tracer = call === undefined ? Tracer.nativeTracer : Context.get(call.context, Tracer.Tracer)
    return tracer === Tracer.nativeTracer ? native.call(tracer, options) : tracer.span(options)
  }
}

const leaveStrays = (): void => {
  if (--followers === 0) (Tracer.nativeTracer as Native).span = native
}
