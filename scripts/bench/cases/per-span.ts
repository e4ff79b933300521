// What a span adds by the exporter that it goes to, its way there included.
import { withReceiver } from "../receiver.ts"
import type { Id } from "../rows.ts"
import type { RuntimeName } from "../runtime.ts"
import type { TracerName } from "../tracers/tracer.ts"
import { type Case, type Measurement, medians } from "./case.ts"
import { measureSteps, variant } from "./steps.ts"

const measureAdded = (
  runtime: RuntimeName,
  id: Id,
  candidate: TracerName,
  peers: ReadonlyArray<TracerName>
): Promise<Measurement> =>
  withReceiver(async ({ port }) => {
    const outputs = await measureSteps(
      runtime,
      peers,
      (tracer) => ({
        plain: variant("none", "plainTraces", 100),
        traced: variant(tracer === "Handspan" ? candidate : tracer, "traces", 100)
      }),
      { to: { port } }
    )
    const added = medians(outputs, ({ plain, traced }) => traced - plain)
    return { id, ...added, ratio: medians(outputs, ({ plain, traced }) => traced / plain).handspan }
  })

export const perSpan: Case = {
  ids: ["per-span.console", "per-span.otlp"],
  measure: async (runtime, wanted) => {
    const measurements: Array<Measurement> = []
    if (wanted.has("per-span.console")) {
      measurements.push(await measureAdded(runtime, "per-span.console", "Handspan console", []))
    }
    if (wanted.has("per-span.otlp")) {
      measurements.push(await measureAdded(runtime, "per-span.otlp", "Handspan", ["Effect Otlp", "OtelTracer"]))
    }
    return measurements
  }
}
