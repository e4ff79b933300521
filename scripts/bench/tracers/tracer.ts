// What is compared: every way to trace an Effect program under one interface, with spans going nowhere or to a receiver.
import { Effect, Layer, Logger, ManagedRuntime, Tracer } from "effect"
import * as Handspan from "../handspan.ts"
import { effectOtlp } from "./effect-otlp.ts"
import { otelTracer } from "./otel-tracer.ts"

/** `none` stands for a program that has no spans at all, `tracing off` for one whose spans Effect was told to leave out. */
export type TracerName =
  | "none"
  | "native"
  | "tracing off"
  | "Handspan"
  | "Handspan console"
  | "Handspan, async"
  | "Effect Otlp"
  | "OtelTracer"
  | "OtelTracer + ALS"

/** Where spans go. Without one they are made, and encoded where the tracer encodes by itself, and sent nowhere. */
export interface Destination extends Handspan.Destination {
  /** OTLP JSON in place of protobuf, for tracers that have both. */
  readonly json?: boolean | undefined
}

/** A tracer as its own makers assemble it. */
export interface Assembly<R, E> {
  readonly layer: Layer.Layer<R, E>
  /** Returns when every span that ended before has been sent or given up. */
  readonly flush: Effect.Effect<void, never, R>
  readonly account?: Effect.Effect<Effect.Effect<Handspan.Account>, never, R>
}

/** A tracer in place. */
export interface Opened {
  readonly run: <A>(effect: Effect.Effect<A>) => Promise<A>
  readonly flush: () => Promise<void>
  readonly close: () => Promise<void>
  /** The ledger, also after `close`, of tracers that keep one. */
  readonly account: () => Handspan.Account | undefined
}

/** Puts a tracer in place. */
export const open = (name: TracerName, to?: Destination): Promise<Opened> => {
  switch (name) {
    case "none":
    case "native":
      return start({ layer: Layer.empty, flush: Effect.void })
    case "tracing off":
      return start({ layer: Layer.succeed(Tracer.Tracer, Tracer.nativeTracer), flush: Effect.void }, withoutTracing)
    case "Handspan":
      return to === undefined ? start(encoding) : start(delivering(Handspan.layerOtlp(to)))
    case "Handspan, async":
      return start({ layer: Layer.effect(Tracer.Tracer, Handspan.asyncTracer), flush: Effect.void })
    case "Handspan console":
      return start(delivering(Handspan.layerConsole()))
    case "Effect Otlp":
      return start(effectOtlp(to))
    case "OtelTracer":
      return otelTracer(to).then(start)
    case "OtelTracer + ALS":
      return otelTracer(to, { asyncLocalStorage: true }).then(start)
  }
}

const encoding: Assembly<never, never> = {
  layer: Layer.sync(Tracer.Tracer, Handspan.encodingTracer),
  flush: Effect.void
}

const delivering = (layer: ReturnType<typeof Handspan.layerConsole>) => ({
  layer,
  flush: Effect.flatMap(Handspan.deliveries, ({ flush }) => flush),
  account: Effect.map(Handspan.deliveries, ({ account }) => account)
})

/** Logs are formatted for nobody, and are events of their spans as ever. */
const logs = Logger.layer([Logger.map(Logger.formatLogFmt, () => {}), Logger.tracerLogger])

const withoutTracing = Effect.withTracerEnabled(false)

const start = async <R, E>(
  { account, flush, layer }: Assembly<R, E>,
  around: <A>(effect: Effect.Effect<A>) => Effect.Effect<A> = (effect) => effect
): Promise<Opened> => {
  const runtime = ManagedRuntime.make(Layer.provideMerge(layer, logs))
  const reading = account === undefined ? undefined : await runtime.runPromise(account)
  await runtime.runPromise(Effect.void)
  return {
    run: (effect) => runtime.runPromise(around(effect)),
    flush: () => runtime.runPromise(flush),
    close: () => runtime.dispose(),
    account: () => (reading === undefined ? undefined : Effect.runSync(reading))
  }
}
