// `npm run bench`: what recording costs. A handoff step (an agent of five primitives, two attributes, inside of a pipeline)
// runs under each kind of tracing, interleaved over rounds in one process; medians of CPU time, so the load of the machine
// hardly matters. `--json` prints numbers for tools.
import { Effect, Tracer } from "effect"
import { Agent, Pipeline, Recorder } from "../src/index.ts"

const steps = 2_000
const rounds = 15

const step = Agent.make("step", {
  run: (n: number) =>
    Effect.gen(function* () {
      yield* Effect.annotateCurrentSpan({ n, photo: "a.jpg" })
      let sum = n
      for (let i = 0; i < 5; i++) sum = yield* Effect.succeed(sum + i)
      return sum
    })
})
/** The same work with no agent around it. */
const plain = (n: number) =>
  Effect.gen(function* () {
    yield* Effect.annotateCurrentSpan({ n, photo: "a.jpg" })
    let sum = n
    for (let i = 0; i < 5; i++) sum = yield* Effect.succeed(sum + i)
    return sum
  })

const pipelineOf = (work: (n: number) => Effect.Effect<number>) =>
  Pipeline.make("bench", () =>
    Effect.gen(function* () {
      for (let n = 0; n < steps; n++) yield* work(n)
    })
  )

let recorded = 0
const tracers = {
  "no handoff": undefined,
  noop: Recorder.makeNoop(),
  "Effect's native tracer": Tracer.nativeTracer,
  "Handspan's recorder": Recorder.make({ onEnd: () => void recorded++ })
}

const microsPerStep = (name: keyof typeof tracers): number => {
  const pipeline = pipelineOf(name === "no handoff" ? plain : step)
  const before = process.cpuUsage()
  Effect.runSync(Effect.withTracer(pipeline(), tracers[name] ?? Tracer.nativeTracer))
  const { system, user } = process.cpuUsage(before)
  return (user + system) / steps
}

const names = Object.keys(tracers) as Array<keyof typeof tracers>
const samples = new Map(names.map((name) => [name, [] as Array<number>]))
for (let round = -5; round < rounds; round++) {
  for (const name of names) {
    const micros = microsPerStep(name)
    if (round >= 0) samples.get(name)?.push(micros)
  }
}
if (recorded !== (rounds + 5) * (steps + 1)) throw new Error(`Expected every span recorded, got ${recorded}`)

const median = (name: keyof typeof tracers): number =>
  (samples.get(name) ?? []).toSorted((a, b) => a - b)[Math.floor(rounds / 2)] ?? Number.NaN
const perHandoff = median("Handspan's recorder") - median("no handoff")
// The request of the GoalGen report that the row of the acceptance list names: five spans in 25,949 ms.
const shareOfRequest = (5 * perHandoff) / 25_949_000
const runtime = process.versions["deno"] === undefined ? "Node" : "Deno"

if (process.argv.includes("--json")) {
  const results = names.map((name) => ({ id: `step.${name}`, runtime, unit: "us", value: median(name) }))
  console.log(JSON.stringify([...results, { id: "share-of-request", runtime, unit: "ratio", value: shareOfRequest }]))
} else {
  console.log(`${runtime}: CPU time of one step, in microseconds`)
  for (const name of names) console.log(`  ${name.padEnd(24)} ${median(name).toFixed(2).padStart(6)}`)
  console.log(`  a recorded handoff adds ${perHandoff.toFixed(2)} us`)
  console.log(`  five in a request of 25,949 ms are ${(shareOfRequest * 100).toFixed(6)} % of it`)
}
