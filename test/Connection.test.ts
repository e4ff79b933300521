// Ports of real workers, and of the Web.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Queue } from "effect"
import { Worker } from "node:worker_threads"
import * as Bridge from "../src/Bridge.ts"
import * as Connection from "../src/Connection.ts"
import * as EventBus from "../src/EventBus.ts"
import * as Testing from "../src/Testing.ts"

const doubler = Effect.acquireRelease(
  Effect.sync(() => new Worker(new URL("programs/worker.ts", import.meta.url))),
  (worker) => Effect.promise(() => worker.terminate())
)

describe("Connection.fromPort", () => {
  it.live("leads a trace through an agent in a worker, and back", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const connection = yield* Connection.fromPort(yield* doubler)
        yield* Effect.forkScoped(Bridge.serve(connection))
        const results = yield* Queue.unbounded<unknown>()
        yield* EventBus.agent("sink", {
          topics: ["doubled"],
          onEvent: ({ payload }) => Queue.offer(results, payload)
        })
        yield* Effect.withSpan(EventBus.publish("numbers", { type: "number", payload: 21 }), "source")
        return yield* Queue.take(results)
      })
      const { exit, trace } = yield* Testing.record(Effect.scoped(Effect.provide(program, EventBus.layerMemory)), {
        clock: "live",
        // The worker's own spans are not here.
        allow: ["orphans"]
      })
      assert.deepStrictEqual(exit, Exit.succeed(42))
      const names = trace.spans.map(({ name }) => name)
      assert.deepStrictEqual(
        ["source", "bridge.publish", "eventbus.publish", "bridge.forward", "agent.on_event"].map(
          (name) => names.filter((one) => one === name).length
        ),
        [1, 1, 2, 1, 1]
      )
    })
  )

  it.live("says that a worker has gone, and what cannot be sent", () =>
    Effect.gen(function* () {
      const worker = yield* doubler
      const { receive, send } = yield* Connection.fromPort(worker)
      assert.match((yield* Effect.flip(send(() => 1))).message, /^Cannot send the message: \w*Error/)
      yield* Effect.promise(() => worker.terminate())
      assert.match((yield* Effect.flip(receive)).message, /^The other side is gone: it /)
    }).pipe(Effect.scoped)
  )

  it.live("speaks with ports of the Web", () =>
    Effect.gen(function* () {
      const { port1, port2 } = new MessageChannel()
      yield* Effect.addFinalizer(() => Effect.sync(() => port1.close()))
      const left = yield* Connection.fromPort({
        postMessage: (message) => port1.postMessage(message),
        addEventListener: port1.addEventListener.bind(port1),
        removeEventListener: port1.removeEventListener.bind(port1),
        start: () => port1.start()
      })
      const right = yield* Connection.fromPort(port2)
      yield* right.send({ a: [1, "b"] })
      assert.deepStrictEqual(yield* left.receive, { a: [1, "b"] })
    }).pipe(Effect.scoped)
  )
})
