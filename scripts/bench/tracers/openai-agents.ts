// The tracing of `@openai/agents`, through its own exporter and batching, with room for a million spans.
import type { Attributes } from "./content.ts"
import type { Foreign, ForeignSpan } from "./foreign.ts"
import { load } from "./load.ts"
import type { Destination } from "./tracer.ts"

interface Part {
  readonly start: () => void
  readonly end: () => void
}

interface Processor {
  readonly forceFlush: () => Promise<void>
}

interface Agents {
  readonly BatchTraceProcessor: new (exporter: object, options: object) => Processor
  readonly OpenAITracingExporter: new (options: object) => object
  readonly createCustomSpan: (options: { readonly data: object }, parent: Part) => Part
  readonly getGlobalTraceProvider: () => { readonly createTrace: (options: { readonly name: string }) => Part }
  readonly setTraceProcessors: (processors: ReadonlyArray<Processor>) => void
  readonly setTracingDisabled: (disabled: boolean) => void
}

export const openaiAgents = async ({ port, queueSize }: Destination): Promise<Foreign> => {
  const agents = await load<Agents>("@openai/agents")
  const exporter = new agents.OpenAITracingExporter({
    apiKey: "none",
    endpoint: `http://127.0.0.1:${port}/traces/ingest`
  })
  const batching = { maxQueueSize: queueSize, maxBatchSize: 1_000, exportTriggerRatio: 1_000 / (queueSize ?? 1_000) }
  const processor = new agents.BatchTraceProcessor(exporter, batching)
  agents.setTraceProcessors([processor])
  agents.setTracingDisabled(false)
  const begin = (name: string, attributes: Attributes, parent: Part): ForeignSpan => {
    const span = agents.createCustomSpan({ data: { name, data: attributes } }, parent)
    span.start()
    return { child: (name, attributes) => begin(name, attributes, span), end: () => span.end() }
  }
  return {
    begin: (name, attributes) => {
      const trace = agents.getGlobalTraceProvider().createTrace({ name })
      trace.start()
      return begin(name, attributes, trace)
    },
    flush: () => processor.forceFlush()
  }
}
