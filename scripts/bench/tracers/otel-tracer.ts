// OpenTelemetry's SDK under Effect, as `@effect/opentelemetry` assembles it. Its processor may queue a million spans and
// send as many batches at once as it likes, so that what is measured is its cost and not its default limits, except
// where losses are what is measured.
import { Effect, Layer } from "effect"
import { load } from "./load.ts"
import { otlpExporter, batchProcessor, type SpanProcessor } from "./opentelemetry.ts"
import type { Assembly, Destination } from "./tracer.ts"

interface NodeSdk {
  readonly layer: (
    configure: () => {
      readonly resource: { readonly serviceName: string }
      readonly spanProcessor: SpanProcessor
    }
  ) => Layer.Layer<never>
}

interface Api {
  readonly context: { readonly setGlobalContextManager: (manager: object) => boolean }
}

interface ContextHooks {
  readonly AsyncLocalStorageContextManager: new () => { readonly enable: () => object }
}

/** Exports to a receiver, or to nobody, who is not worth encoding for. */
export const otelTracer = async (
  to: Destination | undefined,
  options: { readonly asyncLocalStorage?: boolean } = {}
): Promise<Assembly<never, never>> => {
  if (options.asyncLocalStorage === true) {
    const { context } = await load<Api>("@opentelemetry/api")
    const { AsyncLocalStorageContextManager } = await load<ContextHooks>("@opentelemetry/context-async-hooks")
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  }
  const { layer } = await load<NodeSdk>("@effect/opentelemetry/NodeSdk")
  const processor = await batchProcessor(to === undefined ? nobody : await otlpExporter(to), to?.queueSize)
  return {
    layer: Layer.suspend(() => layer(() => ({ resource: { serviceName: "bench" }, spanProcessor: processor }))),
    flush: Effect.promise(() => processor.forceFlush())
  }
}

const nobody = {
  export: (_spans: ReadonlyArray<unknown>, done: (result: { readonly code: 0 }) => void) => done({ code: 0 }),
  shutdown: () => Promise.resolve()
}
