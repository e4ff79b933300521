/**
 * The span of a fiber where its program calls out: for Promises, callbacks and async generators of other people's code, and for
 * the Effects that such code runs. Fibers know their span without it. It costs only where a fiber waits.
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
import { begunIn, ofFiber, running, withCaller } from "./ForeignCall.ts"
import * as TraceContext from "./TraceContext.ts"
import { tracerView } from "./TracerView.ts"

/**
 * Gives a tracer that also tells plain code which span it is called in, for as long as the scope lives.
 *
 * **Details**: in what a fiber waits for (`Effect.promise`, `Effect.callback`, `Stream.fromAsyncIterable` and all that is made
 * of them), functions wrapped by `Instrument` nest under its span, and so does what is run there by `Effect.runPromise`, under
 * this tracer. The span is OpenTelemetry's active one there too, for instrumentations that look for it, as long as a context
 * manager is registered. Code that a fiber runs without waiting knows it by the fiber. What was begun there and lives on, such as
 * a server, is part of it until the span has ended, then of the next span around that which has not, and in the end of none.
 *
 * @since 0.1.0
 */
export const follow = (tracer: Tracer.Tracer): Effect.Effect<Tracer.Tracer, never, Scope.Scope> =>
  Effect.as(
    Effect.acquireRelease(Effect.sync(adoptStrays), () => Effect.sync(leaveStrays)),
    tracerView(tracer, { context: callOut })
  )

/** A primitive by which a fiber waits for others, plain code among them: Effect's `Async`. */
interface Waiting<X> extends Tracer.EffectPrimitive<X> {
  readonly register?: unknown
}

const evaluate = "~effect/Effect/evaluate"

/** A fiber goes on in the place that it waited in, so what is entered here is left by itself. */
const callOut = <X>(primitive: Waiting<X>, fiber: Fiber.Fiber<unknown, unknown>): X => {
  const { span } = fiber.cache
  if (primitive.register === undefined || span === undefined || !fiber.cache.tracerEnabled) {
    return primitive[evaluate](fiber)
  }
  const within = contextOf(span, fiber.getRef(TraceContext.CurrentBaggage), Api.context.active())
  const before = running.getStore()
  const outer = before?.endsWithSpan === true ? before.outer : before
  const call = { ...ofFiber(fiber, span, span), endsWithSpan: true, outer }
  return running.run(call, () => Api.context.with(within, () => primitive[evaluate](fiber)))
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
    // Also where its span has ended: then this one begins a trace.
    const call = begunIn()
    const tracer = call === undefined ? undefined : Context.get(call.context, Tracer.Tracer)
    if (tracer?.context !== callOut) return native.call(Tracer.nativeTracer, options)
    const adopted = withCaller(options)
    // That tracer may itself hand spans on to this one.
    return running.run(undefined, () => tracer.span(adopted))
  }
}

const leaveStrays = (): void => {
  if (--followers === 0) (Tracer.nativeTracer as Native).span = native
}
