/**
 * Spans over code that is not an agent: functions, Promises and blocks, of Effect programs and of plain TypeScript.
 * Inside of Effects, Effect's own `withSpan` and `annotateCurrentSpan` do most of it; this adds what they lack.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Tracer from "effect/Tracer"
import { EventName, Key } from "./Conventions.ts"
import { contextWithin, running, spanWithin } from "./ForeignCall.ts"
import * as SpanRecord from "./SpanRecord.ts"
import * as TraceContext from "./TraceContext.ts"
import { tracerView } from "./TracerView.ts"

/**
 * Adds an event to the current span, at the time of the clock; does nothing outside of spans.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Instrument, Memory, Tracing } from "handspan"
 *
 * const program = Effect.gen(function* () {
 *   yield* Effect.withSpan(Instrument.addEvent("cache.miss", { key: "photo-1" }), "lookup")
 *   return yield* (yield* Memory.Spans).all
 * }).pipe(Effect.provide(Tracing.layerInMemory))
 *
 * const [lookup] = await Effect.runPromise(program)
 * if (lookup?.events[0]?.name !== "cache.miss") throw new Error("expected the event")
 * ```
 *
 * @since 0.1.0
 */
export const addEvent = (name: string, attributes?: Record<string, unknown>): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const span = fiber.cache.span
    if (span?._tag === "Span") {
      span.event(name, fiber.getRef(Clock.Clock).currentTimeNanosUnsafe(), attributes)
    }
    return Effect.void
  })

/**
 * Warns of work that takes longer than it should: a warning in the log, and an event `performance.slow` on the span that the
 * work is in, with both times. However it ends, and it is not held up. Throws at once where the threshold is no duration.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Instrument } from "handspan"
 * import * as Testing from "handspan/testing"
 *
 * const search = Effect.sleep("2 seconds").pipe(Instrument.warnIfSlower("search", "1 second"), Effect.withSpan("search"))
 * const { trace } = await Effect.runPromise(Testing.record(search, { advance: "1 minute" }))
 * const [warning] = trace.spans[0]?.events.filter(({ name }) => name === "performance.slow") ?? []
 * if (warning?.attributes["handspan.took_ms"] !== 2000) throw new Error("expected the warning")
 * ```
 *
 * @since 0.1.0
 */
export const warnIfSlower = (name: string, threshold: Duration.Input) => {
  const limit = Duration.fromInputUnsafe(threshold)
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Clock.currentTimeMillis, (start) =>
      Effect.onExit(effect, () =>
        Effect.gen(function* () {
          const took = (yield* Clock.currentTimeMillis) - start
          if (took <= Duration.toMillis(limit)) return
          yield* addEvent(EventName.slow, {
            [Key.thresholdMillis]: Duration.toMillis(limit),
            [Key.tookMillis]: took
          })
          const told = `${Duration.format(Duration.millis(took))}, longer than ${Duration.format(limit)}`
          yield* Effect.logWarning(`${JSON.stringify(name)} took ${told}`)
        })
      )
    )
}

/**
 * Names the component that the spans of an effect belong to: their instrumentation scope, such as `agency/vision`.
 *
 * @since 0.1.0
 */
export const withScope =
  (name: string, version = "") =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Effect.tracer, (base) => {
      const scope = { name: SpanRecord.textOf(name), version: SpanRecord.textOf(version) }
      const span: Tracer.Tracer["span"] = (options) =>
        base.span({ ...options, annotations: Context.add(options.annotations, SpanRecord.Scope, scope) })
      return Effect.withTracer(effect, tracerView(base, { span }))
    })

/**
 * A span that the caller ends by hand.
 *
 * @since 0.1.0
 */
export interface SpanHandle {
  readonly traceId: string
  readonly spanId: string
  /** How long the span has taken so far, or took, in milliseconds with fractions. */
  readonly durationMillis: () => number
  readonly setAttributes: (attributes: Record<string, unknown>) => void
  readonly addEvent: (name: string, attributes?: Record<string, unknown>) => void
  /** Ends the span well. Only the first ending counts. */
  readonly end: () => void
  /** Ends the span with an error. */
  readonly fail: (error: unknown) => void
}

/**
 * Traces plain TypeScript under the tracing of the Effect that made it.
 *
 * @since 0.1.0
 */
export interface Instrument {
  /**
   * Wraps a function, sync, async or giving an Effect, or an Effect itself, in a span. The wrapper keeps `this`, name and
   * arity. Where tracing is off it *is* the function, unless there is a caller whose trace passes through it. A Promise is
   * followed to its end; any other thenable, such as a lazy query, and a generator end their span with the call.
   */
  readonly traceSpan: (
    name: string,
    /** On every span; a function of the call's arguments adds what differs from call to call. */
    attributes?: Record<string, unknown> | ((...args: ReadonlyArray<any>) => Record<string, unknown>)
  ) => <Target extends ((this: any, ...args: Array<any>) => any) | Effect.Effect<any, any, any>>(
    target: Target
  ) => Target
  /** Starts a span that the caller ends. Its parent is the innermost span or wrapped function that it is in. */
  readonly startSpan: (name: string, attributes?: Record<string, unknown>) => SpanHandle
}

/**
 * Makes an Instrument for plain TypeScript out of the tracing that is in place, its spans children of the current one.
 *
 * **Details**: spans of wrapped functions nest, across `await` and timers too, by the platform's `AsyncLocalStorage`
 * (Node and Deno have it; elsewhere only calls nest that do not wait). Make one where it is used, in an agent's `run`
 * say: that is cheap, and gives the right parent.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Agent, Instrument, Memory, Tracing } from "handspan"
 *
 * const fetcher = Agent.make("fetcher", {
 *   run: (url: string) =>
 *     Effect.gen(function* () {
 *       const { traceSpan } = yield* Instrument.make
 *       const download = traceSpan("download", (url) => ({ url }))(async (url: string) => url.length)
 *       return yield* Effect.promise(() => download(url))
 *     })
 * })
 *
 * const program = Effect.gen(function* () {
 *   yield* fetcher("photo.jpg")
 *   return yield* (yield* Memory.Spans).all
 * }).pipe(Effect.provide(Tracing.layerInMemory))
 *
 * const [download, handoff] = await Effect.runPromise(program)
 * if (download?.parentSpanId !== handoff?.spanId) throw new Error("expected a child of the handoff")
 * ```
 *
 * @since 0.1.0
 */
export const make: Effect.Effect<Instrument> = Effect.withFiber((fiber) => {
  const tracer = fiber.getRef(Tracer.Tracer)
  const clock = fiber.getRef(Clock.Clock)
  const around = fiber.cache.span
  const enabled = fiber.cache.tracerEnabled && fiber.getRef(TraceContext.TracingEnabled)
  const attributesOfAll = fiber.getRef(References.TracerSpanAnnotations)
  const own = fiber.context
  // Where plain code opens a span there may be no fiber that samplers could ask.
  const annotationsOf = (context: Context.Context<never>) =>
    Context.make(SpanRecord.Hints, Context.get(context, SpanRecord.Hints)).pipe(
      Context.add(TraceContext.CurrentBaggage, Context.get(context, TraceContext.CurrentBaggage)),
      Context.add(Clock.Clock, clock)
    )
  const ownAnnotations = annotationsOf(own)

  const open = (
    name: string,
    startTime: bigint,
    parent: Tracer.AnySpan | undefined,
    context: Context.Context<never>
  ): Tracer.Span => {
    const options: Parameters<Tracer.Tracer["span"]>[0] = {
      name,
      parent: Option.fromUndefinedOr(parent),
      annotations: context === own ? ownAnnotations : annotationsOf(context),
      links: [],
      startTime,
      kind: "internal",
      root: false,
      sampled: enabled && (parent?.sampled ?? true)
    }
    // It opens inside of its own call, which must not be taken for its parent.
    const span = parent === undefined ? running.run(undefined, () => tracer.span(options)) : tracer.span(options)
    setAttributes(span, attributesOfAll)
    return span
  }

  const startSpan = (name: string, attributes?: Record<string, unknown>): SpanHandle => {
    const span = open(name, clock.currentTimeNanosUnsafe(), spanWithin(around)(), contextWithin(own))
    setAttributes(span, attributes)
    return {
      traceId: span.traceId,
      spanId: span.spanId,
      durationMillis: () => {
        const end = span.status._tag === "Ended" ? span.status.endTime : clock.currentTimeNanosUnsafe()
        return Number(end - span.status.startTime) / 1e6
      },
      setAttributes: (attributes) => setAttributes(span, attributes),
      addEvent: (name, attributes) => span.event(name, clock.currentTimeNanosUnsafe(), attributes),
      end: () => span.end(clock.currentTimeNanosUnsafe(), Exit.void),
      fail: (error) => span.end(clock.currentTimeNanosUnsafe(), Exit.fail(error))
    }
  }

  const wrap = (
    name: string,
    attributesOf: (args: ReadonlyArray<unknown>) => Record<string, unknown>,
    target: (this: unknown, ...args: Array<unknown>) => unknown
  ) => {
    const traced = function (this: unknown, ...args: Array<unknown>): unknown {
      const startTime = clock.currentTimeNanosUnsafe()
      const parent = spanWithin(around)
      const context = contextWithin(own)
      let span: Tracer.Span | undefined
      // The span opens with its first child, or when the function gave a value: one that gives an Effect has not begun.
      const opened = (): Tracer.Span => {
        if (span === undefined) {
          span = open(name, startTime, parent(), context)
          setAttributes(span, attributesOf(args))
        }
        return span
      }
      const end = (exit: Exit.Exit<unknown, unknown>) => opened().end(clock.currentTimeNanosUnsafe(), exit)
      // The wrapped function's own exception goes on as it is: this is plain code, not an Effect.
      let result: unknown
      try {
        result = running.run({ opened, around, fiberId: Fiber.getCurrent()?.id, context }, () =>
          target.apply(this, args)
        )
      } catch (error) {
        end(Exit.die(error))
        throw error
      }
      if (Effect.isEffect(result)) {
        // A child opened the span of the call itself, which is over; each run of the Effect is a span of its own.
        if (span !== undefined) end(Exit.void)
        return Effect.withSpan(result, name, { attributes: attributesOf(args) })
      }
      if (!(result instanceof Promise)) {
        end(Exit.void)
        return result
      }
      // Followed, not only observed: a rejection that nobody handles must stay one.
      return result.then(
        (value: unknown) => {
          end(Exit.void)
          return value
        },
        (error: unknown) => {
          end(Exit.die(error))
          throw error
        }
      )
    }
    return named(traced, target)
  }

  /** Without a span of its own, what it calls is told the trace of whoever calls it. */
  const pass = (caller: Tracer.AnySpan, target: (this: unknown, ...args: Array<unknown>) => unknown) =>
    named(function (this: unknown, ...args: Array<unknown>): unknown {
      const passed = spanWithin(caller)() ?? caller
      const call = { opened: () => passed, around, fiberId: Fiber.getCurrent()?.id, context: contextWithin(own) }
      return running.run(call, () => target.apply(this, args))
    }, target)

  const traceSpan: Instrument["traceSpan"] = (name, attributes) => {
    // A function of the user's that fails here must not fail the call that it describes.
    const attributesOf = (args: ReadonlyArray<unknown>) =>
      typeof attributes === "function"
        ? Result.getOrElse(
            Result.try(() => attributes(...args)),
            () => ({})
          )
        : (attributes ?? {})
    return (target) => {
      if (!enabled)
        return around === undefined || Effect.isEffect(target) ? target : (pass(around, target as never) as never)
      if (Effect.isEffect(target)) return Effect.withSpan(target, name, { attributes: attributesOf([]) }) as never
      return wrap(name, attributesOf, target as never) as never
    }
  }

  return Effect.succeed({ traceSpan, startSpan })
})

const setAttributes = (span: Tracer.Span, attributes: Record<string, unknown> | undefined): void => {
  for (const [key, value] of SpanRecord.entries(attributes ?? {})) span.attribute(key, value)
}

const named = <Target extends (...args: Array<any>) => unknown>(
  target: Target,
  as: (...args: Array<any>) => unknown
): Target => {
  Object.defineProperty(target, "name", { value: as.name })
  Object.defineProperty(target, "length", { value: as.length })
  return target
}
