// The tracing of Mastra, through its exporter to its own cloud.
import type { Attributes } from "./content.ts"
import type { Foreign, ForeignSpan } from "./foreign.ts"
import { load } from "./load.ts"
import type { Destination } from "./tracer.ts"

interface SpanOptions {
  readonly type: "agent_run"
  readonly name: string
  readonly metadata: Attributes
}

interface Span {
  readonly createChildSpan: (options: SpanOptions) => Span
  readonly end: () => void
}

interface Observability {
  readonly CloudExporter: new (options: object) => { readonly flush: () => Promise<void> }
  readonly DefaultObservabilityInstance: new (options: object) => { readonly startSpan: (options: SpanOptions) => Span }
}

export const mastra = async ({ port }: Destination): Promise<Foreign> => {
  const { CloudExporter, DefaultObservabilityInstance } = await load<Observability>("@mastra/observability")
  const exporter = new CloudExporter({ accessToken: "none", endpoint: `http://127.0.0.1:${port}` })
  const instance = new DefaultObservabilityInstance({ name: "bench", serviceName: "bench", exporters: [exporter] })
  const wrap = (span: Span): ForeignSpan => ({
    child: (name, metadata) => wrap(span.createChildSpan({ type: "agent_run", name, metadata })),
    end: () => span.end()
  })
  return {
    begin: (name, metadata) => wrap(instance.startSpan({ type: "agent_run", name, metadata })),
    flush: () => exporter.flush()
  }
}
