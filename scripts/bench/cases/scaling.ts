// Whether a span stays as cheap where there are many: open at once, one in the other, side by side, or with attributes.
import type { TracerName } from "../tracers/tracer.ts"
import { type Case, medians, ratio } from "./case.ts"
import { measureSteps, variant } from "./steps.ts"

const peers: ReadonlyArray<TracerName> = ["native", "Effect Otlp", "OtelTracer"]

const oneSpan = (tracer: TracerName) => ({ span: variant(tracer, "spans", 1) })

export const openSpans: Case = {
  ids: ["scaling.open"],
  measure: async (runtime) => {
    // In processes of their own: what is open stays on the heap.
    const few = medians(await measureSteps(runtime, ["native"], oneSpan, { openSpans: 10 }), ({ span }) => span)
    const many = medians(await measureSteps(runtime, ["native"], oneSpan, { openSpans: 1_000_000 }), ({ span }) => span)
    const handspan = many.handspan / few.handspan
    const native = (many.peers["native"] ?? Number.NaN) / (few.peers["native"] ?? Number.NaN)
    return [{ id: "scaling.open", handspan, peers: { native }, ratio: handspan }]
  }
}

export const depth: Case = {
  ids: ["scaling.depth"],
  measure: async (runtime) => {
    const outputs = await measureSteps(runtime, peers, (tracer) => ({
      alone: variant(tracer, "depth", 1),
      deep: variant(tracer, "depth", 1_000)
    }))
    return [ratio("scaling.depth", outputs, ({ alone, deep }) => deep / alone)]
  }
}

export const fanout: Case = {
  ids: ["scaling.fanout"],
  measure: async (runtime) => {
    const outputs = await measureSteps(runtime, peers, (tracer) => ({
      plainAlone: variant("none", "plainFanout", 1),
      plainWide: variant("none", "plainFanout", 10_000),
      alone: variant(tracer, "fanout", 1),
      wide: variant(tracer, "fanout", 10_000)
    }))
    return [
      ratio(
        "scaling.fanout",
        outputs,
        ({ alone, plainAlone, plainWide, wide }) => (wide - plainWide) / (alone - plainAlone)
      )
    ]
  }
}

export const attributes: Case = {
  ids: ["scaling.attributes"],
  measure: async (runtime) => {
    const outputs = await measureSteps(runtime, ["Effect Otlp", "OtelTracer"], (tracer) => ({
      native: variant("native", "attributes", 128),
      traced: variant(tracer, "attributes", 128)
    }))
    return [ratio("scaling.attributes", outputs, ({ native, traced }) => traced / native)]
  }
}
