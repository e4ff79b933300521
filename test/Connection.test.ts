// Ports of real workers, and of the Web.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue, type Scope } from "effect"
import { Worker } from "node:worker_threads"
import * as Bridge from "../src/Bridge.ts"
import * as Connection from "../src/Connection.ts"
import * as EventBus from "../src/EventBus.ts"
import * as OtlpJson from "../src/OtlpJson.ts"
import * as Testing from "../src/Testing.ts"
import * as TraceTree from "../src/TraceTree.ts"

const program = new URL("programs/worker.ts", import.meta.url)

const doubler = Effect.acquireRelease(
  Effect.sync(() => new Worker(program)),
  (worker) => Effect.promise(() => worker.terminate())
)

/** A worker of the Web, where the runtime has them: Deno does. */
const webDoubler = Effect.acquireRelease(
  Effect.sync(() => {
    const WebWorker = (globalThis as unknown as { Worker: new (url: URL, options: object) => WebPort }).Worker
    return new WebWorker(program, { type: "module" })
  }),
  (worker) => Effect.sync(() => worker.terminate())
)

type WebPort = Connection.Port & { readonly terminate: () => void }

const workers: ReadonlyArray<readonly [string, Effect.Effect<Connection.Port, never, Scope.Scope>]> = [
  ["a worker of node:worker_threads", doubler],
  ...("Deno" in globalThis ? [["a worker of the Web", webDoubler] as const] : [])
]

describe("Connection.fromPort", () => {
  it.live.each(workers)("leads a trace through an agent in %s, and back", ([, worker]) =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const connection = yield* Connection.fromPort(yield* worker)
        yield* Effect.forkScoped(Bridge.serve(connection))
        const results = yield* Queue.unbounded<unknown>()
        const keep = ({ payload }: EventBus.Event) => Queue.offer(results, payload)
        yield* EventBus.agent("sink", { topics: ["doubled", "reports"], onEvent: keep })
        yield* Effect.withSpan(EventBus.publish("numbers", { type: "number", payload: 21 }), "source")
        const doubled = yield* Queue.take(results)
        yield* EventBus.publish("questions", { type: "question", payload: null })
        return { doubled, report: String(yield* Queue.take(results)) }
      })
      const { exit, traces } = yield* Testing.record(Effect.scoped(Effect.provide(program, EventBus.layerMemory)), {
        clock: "live",
        // The worker's own spans come by another way.
        allow: ["orphans"]
      })
      const { doubled, report } = yield* exit
      assert.strictEqual(doubled, 42)
      const theirs = yield* Effect.fromResult(OtlpJson.decodeText(report))
      const spans = traces.flatMap((trace) => trace.spans)
      const source = spans.find(({ name }) => name === "source")
      const all = [...spans, ...theirs].filter(({ traceId }) => traceId === source?.traceId)
      const [trace, ...others] = TraceTree.fromSpans(all)
      assert.deepStrictEqual(others, [])
      assert.deepStrictEqual(trace?.problems, [])
      const { span } = Testing.Tree
      Testing.expectTrace(trace!).toMatchTree(
        span("source", [
          span("eventbus.publish", [
            span("bridge.forward", [
              span("agent.on_event", [span("bridge.publish", [span("eventbus.publish", [span("agent.on_event")])])])
            ])
          ])
        ])
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
