// Measures a pipeline as people write them: five handoffs, each with two logs, a request to a model with a prompt of two
// kilobytes, which fails once in four and is made again, and an answer to parse. 17.25 spans and 10 log events.
import { Data, Effect } from "effect"
import { Agent, Pipeline } from "../handspan.ts"
import { cpuMicros, median, quantile } from "../statistics.ts"
import { type Destination, open, type TracerName } from "../tracers/tracer.ts"
import { finish, input } from "./program.ts"

export interface Input {
  readonly tracers: ReadonlyArray<TracerName>
  readonly to: Destination
  readonly modelPort: number
  readonly thinkMillis: number
  readonly concurrency: number
  /** Pipelines that run before it is another tracer's turn. */
  readonly perTurn: number
  readonly millis: number
}

export interface Program {
  readonly input: Input
  readonly output: Output
}

export type Output = Readonly<Partial<Record<TracerName, Costs>>>

/** What one pipeline takes. */
export interface Costs {
  readonly cpuMicros: number
  readonly p95Millis: number
}

const { concurrency, millis, modelPort, perTurn, thinkMillis, to, tracers } = input() as Input

const prompt = JSON.stringify({ messages: [{ role: "user", content: "Describe this photo. ".repeat(95) }] })

class Unavailable extends Data.TaggedError("Unavailable") {}

const callModel = async (): Promise<string> => {
  const response = await fetch(`http://127.0.0.1:${modelPort}/?think=${thinkMillis}`, { method: "POST", body: prompt })
  return response.text()
}

const agentNames = ["photo_fetcher", "vision_analyzer", "caption_writer", "critic", "validation_reporter"]

type Span = (name: string) => <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>

const ask = (span: Span, first: boolean) => {
  let failing = first
  const attempt = Effect.flatMap(Effect.promise(callModel), (text) => {
    const fails = failing
    failing = false
    return fails ? Effect.fail(new Unavailable()) : Effect.succeed(text)
  })
  return attempt.pipe(span("model.request"), Effect.retry({ times: 1 }), Effect.orDie)
}

const handoff = (span: Span, fails: boolean) =>
  Effect.gen(function* () {
    yield* Effect.logInfo("Asking the model")
    const text = yield* ask(span, fails)
    const answer = yield* Effect.sync(() => JSON.parse(text) as object).pipe(span("model.parse"))
    yield* Effect.logInfo("The model answered", Object.keys(answer).length)
  })

type Agency = (number: number) => Effect.Effect<void>

const agencyOf = (handoffs: ReadonlyArray<(fails: boolean) => Effect.Effect<void>>): Agency =>
  Effect.fnUntraced(function* (number: number) {
    for (const [index, handoff] of handoffs.entries()) yield* handoff((number * handoffs.length + index) % 4 === 0)
  })

const untraced = agencyOf(agentNames.map(() => (fails) => handoff(() => (effect) => effect, fails)))

const traced = Pipeline.make(
  "photo_agency",
  agencyOf(
    agentNames.map((name) =>
      Agent.make(name, {
        model: "mock",
        run: (fails: boolean) => handoff((name) => (effect) => Effect.withSpan(effect, name), fails)
      })
    )
  )
)

const measured = []
for (const name of tracers) {
  const agency: Agency = name === "none" ? untraced : traced
  measured.push({ name, agency, ...(await open(name, to)), cpu: [] as Array<number>, latencies: [] as Array<number> })
}

const warmUpTurns = 2
let warmUntil = performance.now()
for (let turn = 0; turn < warmUpTurns + 2 || performance.now() - warmUntil < millis; turn++) {
  const warm = turn >= warmUpTurns
  if (!warm) warmUntil = performance.now()
  for (const { agency, cpu, flush, latencies, run } of measured) {
    const timed = (number: number) => {
      const started = performance.now()
      return Effect.andThen(
        agency(number),
        Effect.sync(() => (warm ? latencies.push(performance.now() - started) : 0))
      )
    }
    const numbers = Array.from({ length: perTurn }, (_, number) => number)
    const before = cpuMicros()
    await run(Effect.forEach(numbers, (number) => Effect.suspend(() => timed(number)), { concurrency, discard: true }))
    await flush()
    if (warm) cpu.push((cpuMicros() - before) / perTurn)
  }
}

finish(
  Object.fromEntries(
    measured.map(({ cpu, latencies, name }) => [
      name,
      { cpuMicros: median(cpu), p95Millis: quantile(latencies, 0.95) } satisfies Costs
    ])
  )
)
