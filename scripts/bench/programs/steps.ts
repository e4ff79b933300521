// Measures the CPU time of a step under several tracers, side by side in one process: slices of each in turn, until the
// time is up, so that whatever else goes on hits all of them alike.
import { Effect } from "effect"
import { type Destination, open, type Opened, type TracerName } from "../tracers/tracer.ts"
import { cpuMicros, median } from "../statistics.ts"
import { finish, input } from "./program.ts"
import { works, type WorkName } from "./works.ts"

/** What is measured: a work of a size, under a tracer. */
export interface Variant {
  readonly tracer: TracerName
  readonly work: WorkName
  readonly size: number
}

export interface Input<Label extends string> {
  readonly variants: Readonly<Record<Label, Variant>>
  readonly millis: number
  /** Spans that are begun before, under the first variant's tracer, and not ended. */
  readonly openSpans?: number
  readonly to?: Destination
}

export interface Program<Label extends string> {
  readonly input: Input<Label>
  readonly output: Output<Label>
}

/** Microseconds of a step of each variant. */
export type Output<Label extends string> = Readonly<Record<Label, number>>

const { millis, openSpans = 0, to, variants } = input() as Input<string>
const warmUpRounds = 5
const leastRounds = 5

const tracers = new Map<TracerName, Opened>()
const measured = []
for (const [label, { size, tracer: name, work }] of Object.entries(variants)) {
  const tracer = tracers.get(name) ?? (await open(name, to))
  tracers.set(name, tracer)
  measured.push({ ...works[work](size), label, tracer, samples: [] as Array<number> })
}

const held = await measured[0]?.tracer.run(
  Effect.forEach(Array.from({ length: openSpans }), () => Effect.makeSpan("open"))
)

let warmUntil = performance.now()
for (let round = 0; round < warmUpRounds + leastRounds || performance.now() - warmUntil < millis; round++) {
  if (round <= warmUpRounds) warmUntil = performance.now()
  for (const { effect, samples, steps, tracer } of measured) {
    const before = cpuMicros()
    await tracer.run(effect)
    await tracer.flush()
    if (round >= warmUpRounds) samples.push((cpuMicros() - before) / steps)
  }
}
if (held?.length !== openSpans) throw new Error("Expected the open spans to be kept")

finish(Object.fromEntries(measured.map(({ label, samples }) => [label, median(samples)])))
