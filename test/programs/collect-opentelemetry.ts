// A program that knows nothing of Handspan: OpenTelemetry's own SDK, which reads the environment.
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http"
import { BasicTracerProvider, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"

const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(new OTLPTraceExporter())] })
provider.getTracer("plain").startSpan("plain work").end()
await provider.shutdown()
