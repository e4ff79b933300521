/**
 * Any exporter of the OpenTelemetry JavaScript SDK as one of ours: SpanRecords presented as that SDK's spans, and its
 * results as Effects. Which exporter to use and how to set it up is not decided here.
 *
 * @since 0.1.0
 */
import * as Api from "@opentelemetry/api"
import type { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exporter from "../Exporter.ts"
import type * as SpanRecord from "../SpanRecord.ts"
import type { TraceContext } from "../TraceContext.ts"

/**
 * What OpenTelemetry's exporters read of a finished span.
 *
 * @since 0.1.0
 */
// The SDK's types through the one package of it that we depend on.
export type ReadableSpan = Parameters<OTLPTraceExporter["export"]>[0][number]

/**
 * What an exporter of OpenTelemetry's SDK can do.
 *
 * @since 0.1.0
 */
export interface SpanExporter {
  export(spans: Array<ReadableSpan>, done: (result: { readonly code: number; readonly error?: Error }) => void): void
  forceFlush?(): Promise<void>
  shutdown(): Promise<void>
}

/**
 * Makes an exporter of one of OpenTelemetry's SDK.
 *
 * **Details**: the exporter runs with OpenTelemetry's tracing suppressed, so instrumentation of its requests records
 * nothing. It may retry and time out by its own rules; `flush` and `shutdown` wait for it no longer than
 * `shutdownTimeout` (default 3 seconds). A failure counts for the whole batch, as such exporters do not tell parts.
 *
 * **Fails with** `ExportError` when the exporter reports a failure or throws; retryable for the HTTP statuses 429, 502,
 * 503 and 504, the gRPC codes that OTLP lists, and failures without a status, which are mostly the network's.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { OtlpProtobuf, SpanRecord } from "handspan"
 * import * as OpenTelemetry from "handspan/exporter/OpenTelemetry"
 *
 * const names: Array<string> = []
 * const exporter = OpenTelemetry.fromSpanExporter("names", {
 *   export: (spans, done) => {
 *     names.push(...spans.map((span) => span.name))
 *     done({ code: 0 })
 *   },
 *   shutdown: () => Promise.resolve()
 * })
 * Effect.runSync(exporter.export(OtlpProtobuf.encode([SpanRecord.make({ name: "pipeline.photo_agency" })])))
 * if (names[0] !== "pipeline.photo_agency") throw new Error("expected the span's name")
 * ```
 *
 * @since 0.1.0
 */
export const fromSpanExporter = (
  name: string,
  exporter: SpanExporter,
  options: { readonly shutdownTimeout?: Duration.Input | undefined } = {}
): Exporter.Exporter => {
  const bounded = (end: () => Promise<void>): Effect.Effect<void> =>
    Effect.tryPromise(end).pipe(Effect.timeoutOption(options.shutdownTimeout ?? "3 seconds"), Effect.ignore)
  return Exporter.make({
    name,
    export: (spans) =>
      Effect.callback<void, Exporter.ExportError>((resume) => {
        const fail = (error: unknown, retryable: boolean) =>
          resume(
            Effect.fail(
              new Exporter.ExportError({
                exporter: name,
                message: `Cannot export a batch of ${spans.length}: ${reasonOf(error)}`,
                retryable,
                refused: spans.length
              })
            )
          )
        try {
          Api.context.with(untraced(), () =>
            exporter.export(spans.map(toReadableSpan), (result) =>
              result.code === 0 ? resume(Effect.void) : fail(result.error, isRetryable(result.error))
            )
          )
        } catch (error) {
          fail(error, false)
        }
      }),
    flush: bounded(() => exporter.forceFlush?.() ?? Promise.resolve()),
    shutdown: bounded(() => exporter.shutdown())
  })
}

// What instrumentation asks for before it records, Deno's own tracing of node:http included: the key of
// `@opentelemetry/core`. createContextKey gives the same symbol for the same text.
const suppressTracing = Api.createContextKey("OpenTelemetry SDK Context Key SUPPRESS_TRACING")

/**
 * The context in which instrumentation records nothing, for an exporter's own requests.
 *
 * @since 0.1.0
 */
export const untraced = (): Api.Context => Api.context.active().setValue(suppressTracing, true)

// OTLP §Failures: HTTP 429, 502, 503 and 504; gRPC CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE and
// DATA_LOSS.
const retryableCodes = new Set([429, 502, 503, 504, 1, 4, 10, 11, 14, 15])

const isRetryable = (error: unknown): boolean => {
  const { code, name } = (error ?? {}) as { readonly code?: unknown; readonly name?: unknown }
  // NotCapable: Deno refuses a permission, and will again.
  return typeof code === "number" ? retryableCodes.has(code) : name !== "NotCapable"
}

// A receiver says in the body why it refuses, but it may as well answer with a whole page, or write to our terminal.
const maxReasonLength = 300
const controls = /\p{Cc}+/gu

/**
 * Makes a receiver's words fit for a log line: of bounded length, and without what a terminal could obey.
 *
 * @since 0.1.0
 */
export const printable = (words: string): string => words.replaceAll(controls, " ").slice(0, maxReasonLength)

const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return "no reason given"
  const { code, data } = error as { readonly code?: unknown; readonly data?: unknown }
  const words = [typeof code === "number" ? code : "", error.message, data]
  return printable(words.filter((part) => part !== "" && part !== undefined).join(" "))
}

/**
 * OpenTelemetry's numbers for span kinds.
 *
 * @since 0.1.0
 */
export const spanKinds = {
  internal: Api.SpanKind.INTERNAL,
  server: Api.SpanKind.SERVER,
  client: Api.SpanKind.CLIENT,
  producer: Api.SpanKind.PRODUCER,
  consumer: Api.SpanKind.CONSUMER
} as const satisfies Record<SpanRecord.SpanKind, Api.SpanKind>

const statusCodes = {
  unset: Api.SpanStatusCode.UNSET,
  ok: Api.SpanStatusCode.OK,
  error: Api.SpanStatusCode.ERROR
} as const satisfies Record<SpanRecord.SpanStatus["code"], Api.SpanStatusCode>

/**
 * Presents a SpanRecord as a span of OpenTelemetry's SDK.
 *
 * **Details**: attributes are presented as by `toAttributes`; nothing else is lost or rounded.
 *
 * @since 0.1.0
 */
export const toReadableSpan = (span: SpanRecord.SpanRecord): ReadableSpan => {
  const context = toSpanContext(span, false)
  return {
    name: span.name,
    kind: spanKinds[span.kind],
    spanContext: () => context,
    ...(span.parentSpanId === undefined
      ? {}
      : { parentSpanContext: toSpanContext({ ...span, spanId: span.parentSpanId }, span.parentIsRemote) }),
    startTime: toHrTime(span.startTimeUnixNano),
    endTime: toHrTime(span.endTimeUnixNano),
    duration: toHrTime(span.endTimeUnixNano - span.startTimeUnixNano),
    ended: true,
    status: {
      code: statusCodes[span.status.code],
      ...(span.status.code === "error" ? { message: span.status.message } : {})
    },
    attributes: toAttributes(span.attributes),
    events: span.events.map((event) => ({
      name: event.name,
      time: toHrTime(event.timeUnixNano),
      attributes: toAttributes(event.attributes),
      droppedAttributesCount: event.droppedAttributesCount
    })),
    links: span.links.map((link) => ({
      context: toSpanContext(link, false),
      attributes: toAttributes(link.attributes),
      droppedAttributesCount: link.droppedAttributesCount
    })),
    resource: resource(span.resource),
    instrumentationScope: span.scope,
    droppedAttributesCount: span.droppedAttributesCount,
    droppedEventsCount: span.droppedEventsCount,
    droppedLinksCount: span.droppedLinksCount
  }
}

/**
 * Presents a trace context as OpenTelemetry's.
 *
 * @since 0.1.0
 */
export const toSpanContext = (span: TraceContext, isRemote: boolean): Api.SpanContext => ({
  traceId: span.traceId,
  spanId: span.spanId,
  traceFlags: span.flags,
  ...(isRemote ? { isRemote } : {}),
  ...(span.traceState === "" ? {} : { traceState: Api.createTraceState(span.traceState) })
})

/**
 * Presents an instant, or a duration, in nanoseconds as OpenTelemetry's pair of seconds and nanoseconds, exactly.
 *
 * @since 0.1.0
 */
export const toHrTime = (nanos: bigint): Api.HrTime => [Number(nanos / 1_000_000_000n), Number(nanos % 1_000_000_000n)]

/**
 * Presents attributes as OpenTelemetry's.
 *
 * **Details**: whole numbers beyond 2^53, infinities and NaN become text, as they have no exact value there.
 *
 * @since 0.1.0
 */
export const toAttributes = (from: SpanRecord.Attributes): Api.Attributes =>
  Object.fromEntries(
    Object.entries(from).map(([key, value]) => [
      key,
      Array.isArray(value) ? value.map(attributeValue) : attributeValue(value as string)
    ])
  ) as Api.Attributes

// JSON has no NaN, and the encoders write every whole number as an integer of 64 bits, which 1e21 is not.
const attributeValue = (value: string | number | bigint | boolean) => {
  if (typeof value !== "bigint" && typeof value !== "number") return value
  const number = Number(value)
  const isExact = Number.isSafeInteger(number) || (Number.isFinite(number) && !Number.isInteger(number))
  return isExact ? number : String(value)
}

// Exporters group spans by the identity of their resource, so each of ours must always become the same object.
const resources = new WeakMap<SpanRecord.Resource, ReadableSpan["resource"]>()

const resource = (from: SpanRecord.Resource): ReadableSpan["resource"] => {
  const known = resources.get(from)
  if (known !== undefined) return known
  const own = toAttributes(from.attributes)
  const made: ReadableSpan["resource"] = {
    attributes: own,
    merge: (other) => resource({ attributes: { ...from.attributes, ...(other?.attributes as SpanRecord.Attributes) } }),
    getRawAttributes: () => Object.entries(own)
  }
  resources.set(from, made)
  return made
}
