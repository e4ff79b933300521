/**
 * Ties logs to traces: every log inside of a span tells `trace_id`, `span_id` and `agent`, in whatever format the
 * program logs, or as one JSON record a line. Logs are events of their spans as well.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as References from "effect/References"
import type * as Tracer from "effect/Tracer"
import * as Printable from "./analysis/Printable.ts"
import { Key } from "./Conventions.ts"
import * as SpanEnd from "./SpanEnd.ts"
import * as SpanRecord from "./SpanRecord.ts"
import * as TraceContext from "./TraceContext.ts"
import { work } from "./Work.ts"

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
  const agent = fiber.getRef(work)?.agent ?? agentOf(span)
  const ids = { trace_id: context.traceId, span_id: context.spanId }
  return agent === undefined ? ids : { ...ids, agent }
}

/** The agent of the nearest handoff around a span that was opened outside of the fiber. */
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
export const annotated = <Message, Output>(logger: Logger.Logger<Message, Output>): Logger.Logger<Message, Output> => {
  const tied = Logger.make<Message, Output>((options) => {
    const correlation = ofFiber(options.fiber)
    if (correlation === undefined) return logger.log(options)
    // Loggers read annotations from the fiber; this one differs from the real fiber in those alone.
    const annotations = { ...options.fiber.getRef(References.CurrentLogAnnotations), ...correlation }
    const context = Context.add(options.fiber.context, References.CurrentLogAnnotations, annotations)
    return logger.log({ ...options, fiber: Object.create(options.fiber, { context: { value: context } }) })
  })
  if (consoleLoggers.has(logger)) consoleLoggers.add(tied)
  return tied
}

/** What `layerJson` takes the place of, which are Effect's own loggers to the console and what came of them here. */
const consoleLoggers = new WeakSet<object>([
  Logger.defaultLogger,
  Logger.consoleJson,
  Logger.consoleLogFmt,
  Logger.consoleStructured
])

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
  Effect.withFiber((fiber) => Effect.succeed(tiedLoggers(fiber)))
)

/**
 * Logs one JSON record a line, in place of Effect's console loggers: in a span exactly the keys `event`, `trace_id`,
 * `span_id`, `service`, `environment` and `timestamp` (ISO 8601, UTC); outside of spans the two ids are left out.
 *
 * **Details**: an event that is not text is written as JSON; a cause follows its event on lines of its own. Other
 * loggers, such as one to a file, stay and are tied as by `layer`; logs stay events of their spans.
 *
 * **Gotchas**: Effect's console loggers are `Logger.defaultLogger`, `consoleJson`, `consoleLogFmt` and
 * `consoleStructured`. What `Logger.consolePretty()` makes cannot be told from a logger of one's own, so it stays.
 *
 * @since 0.1.0
 */
export const layerJson = (options: { readonly service: string; readonly environment: string }): Layer.Layer<never> => {
  const json = Logger.withConsoleLog(jsonRecord(options))
  consoleLoggers.add(json)
  return Layer.effect(
    Logger.CurrentLoggers,
    Effect.withFiber((fiber) => {
      const others = Array.from(tiedLoggers(fiber)).filter((logger) => !consoleLoggers.has(logger))
      return Effect.succeed(new Set([...others, json]))
    })
  )
}

/**
 * Formats a log as the JSON record of `layerJson`, for a logger of one's own such as one that writes a file.
 *
 * **Details**: what a terminal could obey is written as JSON escapes, so it is still the same record.
 *
 * @since 0.1.0
 */
export const jsonRecord = (options: {
  readonly service: string
  readonly environment: string
}): Logger.Logger<unknown, string> =>
  Logger.make(({ cause, date, fiber, message }) => {
    const correlation = ofFiber(fiber)
    const event = textOf(message)
    const record = {
      event: [event, causeText(cause)].filter((text) => text !== "").join("\n"),
      ...(correlation === undefined ? undefined : { trace_id: correlation.trace_id, span_id: correlation.span_id }),
      service: options.service,
      environment: options.environment,
      timestamp: date.toISOString()
    }
    return Printable.safe(JSON.stringify(record))
  })

/**
 * Writes logs as events of the span they are in, as Effect's own `Logger.tracerLogger` does, whose place it takes. Of a
 * logged cause it writes what a span's own failure would say: error types and messages, and never an error's fields.
 *
 * @since 0.1.0
 */
export const spanEvents: Logger.Logger<unknown, void> = Logger.make(({ cause, fiber, logLevel, message }) => {
  const span = fiber.cache.span
  if (span?._tag !== "Span" || span.status._tag === "Ended") return
  span.event(textOf(message), fiber.getRef(Clock.Clock).currentTimeNanosUnsafe(), {
    ...fiber.getRef(References.CurrentLogAnnotations),
    "effect.fiberId": fiber.id,
    "effect.logLevel": logLevel.toUpperCase(),
    ...(cause.reasons.length === 0 ? undefined : { "effect.cause": causeText(cause) })
  })
})

/** The text of a log. Errors say what a span would say of them, and what cannot be read becomes `!UNENCODABLE`. */
const textOf = (message: unknown): string =>
  (Array.isArray(message) ? message : [message])
    .map((part) => (part instanceof Error ? errorText(part) : SpanRecord.textOf(part, seenLength)))
    .join(" ")

/** As much as the Recorder looks at; it cuts, once secrets are out. */
const seenLength = SpanEnd.defaultTextLength + SpanRecord.reach

const errorText = (error: unknown): string => {
  const { message, type } = SpanEnd.describe(error, seenLength)
  return type === SpanEnd.otherError || message.includes(type) ? message : `${type}: ${message}`
}

const causeText = (cause: Cause.Cause<unknown>): string =>
  cause.reasons
    .map((reason) => {
      if (Cause.isInterruptReason(reason)) return "interrupted"
      return errorText(Cause.isFailReason(reason) ? reason.error : reason.defect)
    })
    .join("\n")

/** Every logger tied, but for the one that writes logs as span events, which needs no ids: it is on the span. */
const tiedLoggers = (fiber: Fiber.Fiber<unknown, unknown>): ReadonlySet<Logger.Logger<unknown, any>> =>
  new Set(
    Array.from(fiber.getRef(Logger.CurrentLoggers), (logger) =>
      logger === Logger.tracerLogger || logger === spanEvents ? spanEvents : annotated(logger)
    )
  )
