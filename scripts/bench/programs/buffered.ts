// Measures the memory of spans that wait for a receiver that never answers.
import { open, type Destination, type TracerName } from "../tracers/tracer.ts"
import { finish, input } from "./program.ts"
import { works } from "./works.ts"

interface Input {
  readonly tracer: TracerName
  readonly spans: number
  readonly to: Destination
}

export interface Program {
  readonly input: Input
  readonly output: Output
}

export interface Output {
  readonly bytesPerSpan: number
}

/** Made by the flag that every program is started with. */
declare const gc: () => void

const usedBytes = async (): Promise<number> => {
  // Twice with a turn of the event loop between: what waits to be finalized is gone only then.
  gc()
  await new Promise((resolve) => setTimeout(resolve, 100))
  gc()
  const { external, heapUsed } = process.memoryUsage()
  return heapUsed + external
}

const { spans, to, tracer } = input() as Input
const { run } = await open(tracer, to)
const slice = 1_000
const make = () => run(works.traces(slice / 10).effect)

for (let made = 0; made < spans / 10; made += slice) await make()
const before = await usedBytes()
for (let made = 0; made < spans; made += slice) await make()
const after = await usedBytes()

finish({ bytesPerSpan: (after - before) / spans } satisfies Output)
