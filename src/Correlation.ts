/**
 * Ties logs to traces: every log inside of a span tells `trace_id`, `span_id` and `agent`, in whatever format the
 * program logs, or as one JSON record a line. Logs as events of spans are Effect's own and go on as they are.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Formatter from "effect/Formatter"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as References from "effect/References"
import type * as Tracer from "effect/Tracer"
import { Key } from "./Conventions.ts"
import * as TraceContext from "./TraceContext.ts"

/**
 * What a log inside of a span is tied by.
 *
 * @since 0.1.0
 */
export interface Correlation {
  readonly trace_id: string
  readonly span_id: string
  /** The agent that the work belongs to, absent where none does. */
  readonly agent?: string
}

/**
 * Reads what ties a fiber's logs to its trace, `undefined` outside of spans and where the span's ids mean nothing.
 *
 * @since 0.1.0
 */
export const ofFiber = (fiber: Fiber.Fiber<unknown, unknown>): Correlation | undefined => {
  const span = fiber.cache.span
  const context = span === undefined ? undefined : TraceContext.fromSpan(span)
  if (span === undefined || context === undefined) return undefined
  const agent = agentOf(span)
  const ids = { trace_id: context.traceId, span_id: context.spanId }
  return agent === undefined ? ids : { ...ids, agent }
}

/** The agent of the nearest handoff around a span. */
const agentOf = (span: Tracer.AnySpan): string | undefined => {
  let around: Tracer.AnySpan | undefined = span
  while (around?._tag === "Span") {
    const agent = around.attributes.get(Key.agent)
    if (typeof agent === "string") return agent
    around = Option.getOrUndefined(around.parent)
  }
  return undefined
}

/**
 * Makes a logger that logs as another does, with `trace_id`, `span_id` and `agent` among the annotations of every log
 * inside of a span.
 *
 * @since 0.1.0
 */
export const annotated = <Message, Output>(logger: Logger.Logger<Message, Output>): Logger.Logger<Message, Output> =>
  Logger.make((options) => {
    const correlation = ofFiber(options.fiber)
    if (correlation === undefined) return logger.log(options)
    // Loggers read annotations from the fiber; this one differs from the real fiber in those alone.
    const annotations = { ...options.fiber.getRef(References.CurrentLogAnnotations), ...correlation }
    const context = Context.add(options.fiber.context, References.CurrentLogAnnotations, annotations)
    return logger.log({ ...options, fiber: Object.create(options.fiber, { context: { value: context } }) })
  })

/**
 * Ties the logs of all loggers that are in place where the Layer is built.
 *
 * **Gotchas**: a `Logger.layer` provided nearer to the program replaces them; put it below
 * (`Layer.provide(Correlation.layer, Logger.layer([…]))`) or wrap its loggers with `annotated`.
 *
 * @since 0.1.0
 */
export const layer: Layer.Layer<never> = Layer.effect(
  Logger.CurrentLoggers,
  Effect.withFiber((fiber) => Effect.succeed(mapLoggers(fiber, annotated)))
)

/**
 * Logs one JSON record a line, in place of the console loggers: in a span exactly the keys `event`, `trace_id`,
 * `span_id`, `service`, `environment` and `timestamp` (ISO 8601, UTC); outside of spans the two ids are left out.
 *
 * **Details**: an event that is not text is written as JSON; a cause follows its event on lines of its own. Effect's
 * logs as span events stay.
 *
 * @since 0.1.0
 */
export const layerJson = (options: { readonly service: string; readonly environment: string }): Layer.Layer<never> => {
  const json = Logger.withConsoleLog(jsonRecord(options))
  return Layer.effect(
    Logger.CurrentLoggers,
    Effect.withFiber((fiber) => Effect.succeed(mapLoggers(fiber, () => json)))
  )
}

/**
 * Formats a log as the JSON record of `layerJson`, for a logger of one's own such as one that writes a file.
 *
 * @since 0.1.0
 */
export const jsonRecord = (options: {
  readonly service: string
  readonly environment: string
}): Logger.Logger<unknown, string> =>
  Logger.make(({ cause, date, fiber, message }) => {
    const parts = (Array.isArray(message) ? message : [message]).map((part) =>
      typeof part === "string" ? part : Formatter.formatJson(part)
    )
    if (cause.reasons.length > 0) parts.push(`\n${Cause.pretty(cause)}`)
    const correlation = ofFiber(fiber)
    return JSON.stringify({
      event: parts.join(" "),
      ...(correlation === undefined ? undefined : { trace_id: correlation.trace_id, span_id: correlation.span_id }),
      service: options.service,
      environment: options.environment,
      timestamp: date.toISOString()
    })
  })

/** Replaces every logger but the one that writes logs as span events, which needs no ids: it is on the span. */
const mapLoggers = (
  fiber: Fiber.Fiber<unknown, unknown>,
  f: (logger: Logger.Logger<unknown, any>) => Logger.Logger<unknown, any>
): ReadonlySet<Logger.Logger<unknown, any>> =>
  new Set(
    Array.from(fiber.getRef(Logger.CurrentLoggers), (logger) => (logger === Logger.tracerLogger ? logger : f(logger)))
  )
