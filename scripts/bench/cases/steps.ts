// What tracing adds to the steps of a program, without any network: handoffs, primitives, unsampled and failing spans.
// Each candidate has a process of its own, in which its steps take turns with those that it is held against.
import type { Input, Output, Program, Variant } from "../programs/steps.ts"
import type { WorkName } from "../programs/works.ts"
import { runProgram, type RuntimeName } from "../runtime.ts"
import type { TracerName } from "../tracers/tracer.ts"
import { type Case, inTurns, type Measurement, medians, ratio } from "./case.ts"

/** A work of six primitives to the step, unless another size is given. */
export const variant = (tracer: TracerName, work: WorkName, size = 6): Variant => ({ tracer, work, size })

/** Measures the same variants for Handspan and its peers. */
export const measureSteps = <Label extends string>(
  runtime: RuntimeName,
  peers: ReadonlyArray<TracerName>,
  variants: (tracer: TracerName) => Readonly<Record<Label, Variant>>,
  input: Omit<Input<Label>, "variants" | "millis"> = {}
): Promise<ReadonlyMap<TracerName, ReadonlyArray<Output<Label>>>> =>
  inTurns(["Handspan", ...peers], (tracer) =>
    runProgram<Program<Label>>(runtime, "steps", { ...input, variants: variants(tracer), millis: 600 })
  )

/** The request of the GoalGen report that the share is of: five spans in so many microseconds. */
const requestMicros = 25_949_000

export const handoffs: Case = {
  ids: ["record", "share-of-request"],
  measure: async (runtime, wanted) => {
    const measurements: Array<Measurement> = []
    const peers: ReadonlyArray<TracerName> = ["Effect Otlp", "OtelTracer", "OtelTracer + ALS"]
    const outputs = await measureSteps(runtime, wanted.has("record") ? peers : [], (tracer) => ({
      plain: variant("none", "plain"),
      native: variant("native", "agents"),
      traced: variant(tracer, "agents")
    }))
    if (wanted.has("record")) measurements.push(ratio("record", outputs, ({ native, traced }) => traced / native))
    if (wanted.has("share-of-request")) {
      const { handspan: share } = medians(outputs, ({ plain, traced }) => (5 * (traced - plain)) / requestMicros)
      measurements.push({ id: "share-of-request", handspan: share * 100, peers: {}, ratio: share })
    }
    return measurements
  }
}

export const spans: Case = {
  ids: ["record.withSpan"],
  measure: async (runtime) => {
    const outputs = await measureSteps(runtime, ["Effect Otlp", "OtelTracer", "OtelTracer + ALS"], (tracer) => ({
      native: variant("native", "spans"),
      traced: variant(tracer, "spans")
    }))
    return [ratio("record.withSpan", outputs, ({ native, traced }) => traced / native)]
  }
}

export const primitives: Case = {
  ids: ["primitive"],
  measure: async (runtime) => {
    const outputs = await measureSteps(runtime, ["Handspan, async", "OtelTracer", "OtelTracer + ALS"], (tracer) => ({
      plainFew: variant("none", "plain"),
      plainMany: variant("none", "plain", 51),
      few: variant(tracer, "spans"),
      many: variant(tracer, "spans", 51)
    }))
    return [ratio("primitive", outputs, ({ few, many, plainFew, plainMany }) => (many - few) / (plainMany - plainFew))]
  }
}

export const unsampled: Case = {
  ids: ["unsampled"],
  measure: async (runtime) => {
    const outputs = await measureSteps(runtime, ["OtelTracer", "tracing off"], (tracer) => ({
      plain: variant("none", "plain"),
      unsampled: variant(tracer, "unsampled")
    }))
    return [ratio("unsampled", outputs, ({ plain, unsampled }) => unsampled / plain)]
  }
}

export const failing: Case = {
  ids: ["failing"],
  measure: async (runtime) => {
    const outputs = await measureSteps(runtime, ["native", "Effect Otlp", "OtelTracer"], (tracer) => ({
      plain: variant("none", "plainFailing"),
      traced: variant(tracer, "failing")
    }))
    const added = medians(outputs, ({ plain, traced }) => traced - plain)
    return [{ id: "failing", ...added, ratio: medians(outputs, ({ plain, traced }) => traced / plain).handspan }]
  }
}
