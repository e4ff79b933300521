// The tracing of Langfuse, through its own processor as it comes.
import type { Attributes } from "./content.ts"
import type { Foreign, ForeignSpan } from "./foreign.ts"
import { load } from "./load.ts"
import type { SpanProcessor } from "./opentelemetry.ts"
import type { Destination } from "./tracer.ts"

interface Observation {
  readonly startObservation: (name: string, options: object, kind: { readonly asType: "agent" }) => Observation
  readonly end: () => void
}

interface Tracing {
  readonly setLangfuseTracerProvider: (provider: object) => void
  readonly startObservation: Observation["startObservation"]
}

interface Otel {
  readonly LangfuseSpanProcessor: new (options: object) => SpanProcessor
}

interface Sdk {
  readonly BasicTracerProvider: new (options: { readonly spanProcessors: ReadonlyArray<SpanProcessor> }) => object
}

export const langfuse = async ({ port }: Destination): Promise<Foreign> => {
  const { setLangfuseTracerProvider, startObservation } = await load<Tracing>("@langfuse/tracing")
  const { LangfuseSpanProcessor } = await load<Otel>("@langfuse/otel")
  const { BasicTracerProvider } = await load<Sdk>("@opentelemetry/sdk-trace-base")
  const processor = new LangfuseSpanProcessor({
    publicKey: "none",
    secretKey: "none",
    baseUrl: `http://127.0.0.1:${port}`
  })
  setLangfuseTracerProvider(new BasicTracerProvider({ spanProcessors: [processor] }))
  const begin = (start: Observation["startObservation"], name: string, metadata: Attributes): ForeignSpan => {
    const observation = start(name, { metadata }, { asType: "agent" })
    return {
      child: (name, attributes) => begin(observation.startObservation.bind(observation), name, attributes),
      end: () => observation.end()
    }
  }
  return {
    begin: (name, attributes) => begin(startObservation, name, attributes),
    flush: () => processor.forceFlush()
  }
}
