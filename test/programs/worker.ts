// An agent in a worker thread: it doubles what it is sent.
import { Effect, Fiber } from "effect"
import { parentPort } from "node:worker_threads"
import * as Bridge from "../../src/Bridge.ts"
import * as Connection from "../../src/Connection.ts"
import * as EventBus from "../../src/EventBus.ts"
import * as Recorder from "../../src/Recorder.ts"

const agent = EventBus.agent("doubler", {
  topics: ["numbers"],
  onEvent: ({ payload }) => EventBus.publish("doubled", { type: "result", payload: Number(payload) * 2 })
})

if (parentPort === null) throw new Error("This is to be a worker")
const main = Effect.flatMap(Connection.fromPort(parentPort), (connection) =>
  Effect.provide(Effect.flatMap(agent, Fiber.join), Bridge.layer("doubler", connection))
)
// What it records goes nowhere: what matters is what it passes on.
await Effect.runPromise(
  Effect.ignore(Effect.withTracer(Effect.scoped(main), Recorder.make({ onEnd: () => undefined })))
)
