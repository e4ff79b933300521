// OpenTelemetry's SDK by itself, parents given by hand, which spares it AsyncLocalStorage.
import type { Attributes } from "./content.ts"
import type { Foreign, ForeignSpan } from "./foreign.ts"
import { load } from "./load.ts"
import { batchProcessor, otlpExporter, type SpanProcessor } from "./opentelemetry.ts"
import type { Destination } from "./tracer.ts"

interface Span {
  readonly end: () => void
}

interface Api {
  readonly ROOT_CONTEXT: object
  readonly trace: { readonly setSpan: (context: object, span: Span) => object }
}

interface Sdk {
  readonly BasicTracerProvider: new (options: { readonly spanProcessors: ReadonlyArray<SpanProcessor> }) => {
    readonly getTracer: (name: string) => {
      readonly startSpan: (name: string, options: { readonly attributes: Attributes }, context: object) => Span
    }
  }
}

export const rawOpenTelemetry = async (to: Destination): Promise<Foreign> => {
  const { ROOT_CONTEXT, trace } = await load<Api>("@opentelemetry/api")
  const { BasicTracerProvider } = await load<Sdk>("@opentelemetry/sdk-trace-base")
  const processor = await batchProcessor(await otlpExporter(to), to.queueSize)
  const tracer = new BasicTracerProvider({ spanProcessors: [processor] }).getTracer("bench")
  const begin = (name: string, attributes: Attributes, parent: object): ForeignSpan => {
    const span = tracer.startSpan(name, { attributes }, parent)
    return {
      child: (name, attributes) => begin(name, attributes, trace.setSpan(parent, span)),
      end: () => span.end()
    }
  }
  return { begin: (name, attributes) => begin(name, attributes, ROOT_CONTEXT), flush: () => processor.forceFlush() }
}
