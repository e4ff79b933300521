// What tracing adds to a pipeline as people write them, where most of the time goes to models, logs and JSON. All tracers
// share one process here: what they add is little beside what the pipeline takes, and processes differ by more.
import type { Costs, Input, Program } from "../programs/pipeline.ts"
import { withReceiver } from "../receiver.ts"
import { runProgram, type RuntimeName } from "../runtime.ts"
import { withServer } from "../server.ts"
import type { TracerName } from "../tracers/tracer.ts"
import { type Case, medians, type Numbers } from "./case.ts"

const candidates: ReadonlyArray<TracerName> = ["Handspan", "Effect Otlp", "OtelTracer"]

const processes = 2

type Load = Omit<Input, "tracers" | "to" | "modelPort">

const unmeasured: Costs = { cpuMicros: Number.NaN, p95Millis: Number.NaN }

/** Measures the pipeline under each tracer, and gives the medians of a number that is made of its costs and others'. */
const measure = async (
  runtime: RuntimeName,
  load: Load,
  bases: ReadonlyArray<TracerName>,
  number: (costs: Costs, plain: Costs, native: Costs) => number
): Promise<Numbers> => {
  const rounds = new Map(candidates.map((name) => [name, [] as Array<number>]))
  for (let round = 0; round < processes; round++) {
    const costs = await withServer("model", ({ port: modelPort }) =>
      withReceiver(({ port }) => {
        const input = { ...load, tracers: [...bases, ...candidates], to: { port }, modelPort }
        return runProgram<Program>(runtime, "pipeline", input)
      })
    )
    const { native = unmeasured, none: plain = unmeasured } = costs
    for (const [name, numbers] of rounds) numbers.push(number(costs[name] ?? unmeasured, plain, native))
  }
  return medians(rounds, (number) => number)
}

export const cpu: Case = {
  ids: ["pipeline.cpu"],
  measure: async (runtime) => {
    const load = { thinkMillis: 0, concurrency: 1, perTurn: 60, millis: 9_000 }
    const added = await measure(
      runtime,
      load,
      ["none", "native"],
      (costs, plain, native) => (costs.cpuMicros - plain.cpuMicros) / (native.cpuMicros - plain.cpuMicros)
    )
    return [{ id: "pipeline.cpu", ...added, ratio: added.handspan }]
  }
}

export const p95: Case = {
  ids: ["pipeline.p95"],
  measure: async (runtime) => {
    const load = { thinkMillis: 20, concurrency: 8, perTurn: 48, millis: 8_000 }
    const added = await measure(
      runtime,
      load,
      ["none"],
      (costs, plain) => (costs.p95Millis / plain.p95Millis - 1) * 100
    )
    return [{ id: "pipeline.p95", ...added, ratio: added.handspan / 100 }]
  }
}
