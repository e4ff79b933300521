/**
 * How recording and delivery are doing, as Effect metrics under OpenTelemetry's names (`otel.sdk.*`, semantic conventions
 * for SDK metrics), for whatever exports metrics. The counts are the Ledger's; they are written when an export ends.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type { ExportError } from "./Exporter.ts"
import type { DropReason, Ledger } from "./Ledger.ts"

/**
 * The names of the metrics, and what they mean. All carry `otel.component.name`, the exporter's name.
 *
 * @since 0.1.0
 */
export const names = {
  started: "otel.sdk.span.started",
  live: "otel.sdk.span.live",
  queueSize: "otel.sdk.processor.span.queue.size",
  queueCapacity: "otel.sdk.processor.span.queue.capacity",
  /** With `error.type` for those that were dropped before the exporter saw them. */
  processed: "otel.sdk.processor.span.processed",
  inFlight: "otel.sdk.exporter.span.inflight",
  /** With `error.type` for those that the exporter did not take: the rest over all is the success rate. */
  exported: "otel.sdk.exporter.span.exported",
  /** Seconds, with `error.type` where it failed. */
  exportDuration: "otel.sdk.exporter.operation.duration",
  /** Spans that wait on disk. */
  spooled: "handspan.spool.span.size",
  /** Seconds from the end of a batch's oldest span until the receiver had it. */
  age: "handspan.delivery.span.age"
} as const

const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** Those that never came as far as the exporter. */
const droppedBefore: ReadonlyArray<DropReason> = ["queue_full", "too_large", "damaged", "expired", "shutdown"]
const droppedByExporter: ReadonlyArray<DropReason> = ["refused", "retries_exhausted"]

/**
 * What writes the metrics of one exporter.
 *
 * @since 0.1.0
 */
export interface Metrics {
  /** Told of each batch that the exporter took or did not take. */
  readonly onExport: (outcome: ExportOutcome) => Effect.Effect<void>
  /** Told of the ledger when there will be no more batches. */
  readonly onEnd: (ledger: Ledger) => Effect.Effect<void>
}

/**
 * How one attempt to export a batch went.
 *
 * @since 0.1.0
 */
export interface ExportOutcome {
  readonly ledger: Ledger
  /** How long the attempt took, in milliseconds. */
  readonly durationMillis: number
  /** How long its oldest span had waited when the attempt was over, in milliseconds. */
  readonly ageMillis: number
  readonly error: ExportError | undefined
}

/**
 * Makes what writes the metrics of one exporter.
 *
 * @since 0.1.0
 */
export const make = (exporter: string, queueCapacity: number): Metrics => {
  const component = { "otel.component.name": exporter }
  const gauge = (name: string) => Metric.gauge(name, { attributes: component })
  const counter = (name: string, attributes: Record<string, string> = {}) =>
    Metric.counter(name, { attributes: { ...component, ...attributes }, incremental: true })
  const histogram = (name: string, attributes: Record<string, string> = {}) =>
    Metric.histogram(name, { attributes: { ...component, ...attributes }, boundaries: seconds })

  // A counter takes what came since it was last told.
  const totals = new Map<string, number>()
  const count = (name: string, total: number, attributes: Record<string, string> = {}) => {
    const key = name + JSON.stringify(attributes)
    const more = total - (totals.get(key) ?? 0)
    totals.set(key, total)
    return more === 0 ? Effect.void : Metric.update(counter(name, attributes), more)
  }
  const counts = (ledger: Ledger) => {
    const { dropped, exported, started, unsampled } = ledger
    const refused = droppedByExporter.reduce((sum, reason) => sum + dropped[reason], 0)
    return [
      count(names.started, unsampled, { "otel.span.sampling_result": "DROP" }),
      count(names.started, started - unsampled, { "otel.span.sampling_result": "RECORD_AND_SAMPLE" }),
      count(names.processed, exported + refused),
      ...droppedBefore.map((reason) => count(names.processed, dropped[reason], { "error.type": reason })),
      count(names.exported, exported),
      ...droppedByExporter.map((reason) => count(names.exported, dropped[reason], { "error.type": reason }))
    ]
  }
  const onEnd = (ledger: Ledger): Effect.Effect<void> =>
    Effect.all(
      [
        ...counts(ledger),
        Metric.update(gauge(names.live), ledger.live),
        Metric.update(gauge(names.queueSize), ledger.queued),
        Metric.update(gauge(names.queueCapacity), queueCapacity),
        Metric.update(gauge(names.inFlight), ledger.inFlight),
        Metric.update(gauge(names.spooled), ledger.spooled)
      ],
      { discard: true }
    )
  return {
    onEnd,
    onExport: ({ ageMillis, durationMillis, error, ledger }) => {
      const failed: Record<string, string> = error === undefined ? {} : { "error.type": error._tag }
      return Effect.all(
        [
          onEnd(ledger),
          Metric.update(histogram(names.exportDuration, failed), durationMillis / 1000),
          error === undefined ? Metric.update(histogram(names.age), ageMillis / 1000) : Effect.void
        ],
        { discard: true }
      )
    }
  }
}
