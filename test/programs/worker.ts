// An agent in a worker, of Node's or of the Web: it doubles what it is sent, and tells the spans that it has recorded.
import { Effect, Fiber } from "effect"
import { parentPort } from "node:worker_threads"
import * as Bridge from "../../src/Bridge.ts"
import * as Connection from "../../src/Connection.ts"
import * as EventBus from "../../src/EventBus.ts"
import * as Memory from "../../src/exporter/Memory.ts"
import * as OtlpJson from "../../src/OtlpJson.ts"
import * as Tracing from "../../src/Tracing.ts"

const double = EventBus.agent("doubler", {
  topics: ["numbers"],
  onEvent: ({ payload }) => EventBus.publish("doubled", { type: "result", payload: Number(payload) * 2 })
})
const report = EventBus.agent("reporter", {
  topics: ["questions"],
  onEvent: () =>
    Effect.gen(function* () {
      const spans = yield* (yield* Memory.Spans).all
      yield* EventBus.publish("reports", { type: "spans", payload: JSON.stringify(OtlpJson.encode(spans)) })
    })
})

const main = Effect.flatMap(
  Connection.fromPort(parentPort ?? (globalThis as unknown as Connection.Port)),
  (connection) =>
    Effect.flatMap(Effect.all([double, report]), Fiber.joinAll).pipe(
      Effect.provide(Bridge.layer("doubler", connection))
    )
)
await Effect.runPromise(Effect.ignore(Effect.scoped(Effect.provide(main, Tracing.layerInMemory))))
