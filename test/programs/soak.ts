// A program that records at a steady rate for so many seconds. It prints how much heap is in use, each second, after a
// collection, and at the end its ledger.
import { writeSync } from "node:fs"
import { Clock, Effect, Layer, Logger } from "effect"
import { Agent, Delivery, Ledger, Pipeline, Tracing } from "../../src/index.ts"

const [otlpEndpoint = "", seconds = "10", tracesPerSecond = "200"] = process.argv.slice(2)
const { gc } = globalThis as unknown as { readonly gc: () => void }

const step = Agent.make("step", {
  run: (n: number) => (n % 50 === 0 ? Effect.fail("every fiftieth" as const) : Effect.log(`step ${n}`))
})
const trip = Pipeline.make("trip", (n: number) =>
  Effect.forEach([1, 2, 3, 4], (part) => Effect.exit(step(n * 4 + part)), { discard: true })
)

const program = Effect.gen(function* () {
  const deliveries = yield* Delivery.Deliveries
  const start = yield* Clock.currentTimeMillis
  for (let second = 0; second < Number(seconds); second++) {
    for (let n = 0; n < Number(tracesPerSecond); n++) {
      yield* trip(n)
      if (n % 10 === 0) yield* Effect.yieldNow
    }
    yield* Effect.sleep(Math.max(start + (second + 1) * 1000 - (yield* Clock.currentTimeMillis), 0))
    gc()
    const [ledger] = yield* deliveries.ledgers
    if (ledger === undefined || !Ledger.isBalanced(ledger)) throw new Error(`No sum: ${JSON.stringify(ledger)}`)
    writeSync(1, `heap ${process.memoryUsage().heapUsed} waiting ${ledger.queued + ledger.inFlight}\n`)
  }
  yield* deliveries.flush
  writeSync(1, `ledger ${JSON.stringify((yield* deliveries.ledgers)[0])}\n`)
})

// Logs become events of their spans, and are not printed.
const tracing = Layer.orDie(Tracing.layerOtlp({ otlpEndpoint, logFormat: "none" }))
await Effect.runPromise(program.pipe(Effect.provide(Layer.merge(tracing, Logger.layer([Logger.tracerLogger])))))
