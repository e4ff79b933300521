// The parts of OpenTelemetry's SDK that its own users and `@effect/opentelemetry` share: exporter and processor.
import { load } from "./load.ts"
import type { Destination } from "./tracer.ts"

/** What the bench needs to know of a processor. */
export interface SpanProcessor {
  readonly forceFlush: () => Promise<void>
}

interface Sdk {
  readonly BatchSpanProcessor: new (exporter: object, options?: object) => SpanProcessor
}

interface Exporters {
  readonly OTLPTraceExporter: new (options: object) => object
}

/** OpenTelemetry's exporter to a receiver. */
export const otlpExporter = async ({ compression, json = false, port, queueSize }: Destination): Promise<object> => {
  const { OTLPTraceExporter } = await load<Exporters>(`@opentelemetry/exporter-trace-otlp-${json ? "http" : "proto"}`)
  return new OTLPTraceExporter({
    url: `http://127.0.0.1:${port}/v1/traces`,
    compression: compression === "gzip" ? "gzip" : "none",
    // Its default of 30 makes it fail all further batches of a flush.
    ...(queueSize === undefined ? {} : { concurrencyLimit: queueSize })
  })
}

/** OpenTelemetry's batching, with its own limits unless others are given. */
export const batchProcessor = async (exporter: object, queueSize: number | undefined): Promise<SpanProcessor> => {
  const { BatchSpanProcessor } = await load<Sdk>("@opentelemetry/sdk-trace-base")
  return queueSize === undefined
    ? new BatchSpanProcessor(exporter)
    : new BatchSpanProcessor(exporter, { maxQueueSize: queueSize, maxExportBatchSize: 2048 })
}
