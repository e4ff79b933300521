import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Queue, type Scope } from "effect"
import * as Bridge from "../src/Bridge.ts"
import * as EventBus from "../src/EventBus.ts"
import * as JsonLines from "../src/JsonLines.ts"
import * as Testing from "../src/Testing.ts"

const { Tree, expectTrace } = Testing
const { span } = Tree

/** Two connections that are each other's other side, by lines of JSON. */
const pair = Effect.gen(function* () {
  const [left, right] = [yield* pipe, yield* pipe]
  return {
    left: yield* JsonLines.connect({ input: left.input, write: right.write }),
    right: yield* JsonLines.connect({ input: right.input, write: left.write }),
    close: Effect.andThen(left.close, right.close)
  }
})

const pipe = Effect.gen(function* () {
  const lines = yield* Queue.unbounded<string | undefined>()
  const take = Effect.runPromiseWith(yield* Effect.context())
  const input = (async function* () {
    for (;;) {
      const line = await take(Queue.take(lines))
      if (line === undefined) return
      yield line
    }
  })()
  return {
    input,
    write: (line: string) => Effect.asVoid(Queue.offer(lines, line)),
    close: Effect.asVoid(Queue.offer(lines, undefined))
  }
})

/** A bus elsewhere, as an agent of this name sees it. */
const elsewhere = (agent: string) =>
  Effect.gen(function* () {
    const { close, left, right } = yield* pair
    const served = yield* Effect.forkScoped(Bridge.serve(left))
    return { bus: yield* Layer.build(Bridge.layer(agent, right)), close, served }
  })

const record = <A, E>(program: Effect.Effect<A, E, EventBus.EventBus | Scope.Scope>) =>
  Testing.record(Effect.scoped(Effect.provide(program, EventBus.layerMemory)), { clock: "live" })

/** An agent, and what it has handled. */
const handling = (
  id: string,
  topic: string,
  onEvent: (event: EventBus.Event) => Effect.Effect<unknown, unknown, EventBus.EventBus>
) =>
  Effect.gen(function* () {
    const handled = yield* Queue.unbounded<EventBus.Event>()
    const work = (event: EventBus.Event) => Effect.andThen(onEvent(event), Queue.offer(handled, event))
    yield* EventBus.agent(id, { topics: [topic], onEvent: work })
    return Queue.take(handled)
  })

describe("Bridge", () => {
  it.live("keeps one trace from agent to bridge to bus to bridge to agent", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const sensor = yield* elsewhere("sensor")
        const output = yield* elsewhere("output")
        const next = yield* Effect.provide(
          handling("output", "sensor.data", () => Effect.void),
          output.bus
        )
        const emit = EventBus.publish("sensor.data", { type: "reading", payload: { value: 20 } })
        const sent = yield* Effect.provide(Effect.withSpan(emit, "sensor.emit_data"), sensor.bus)
        return { sent, received: yield* next }
      })
      const { exit, trace } = yield* record(program)
      assert.isTrue(Exit.isSuccess(exit))
      if (!Exit.isSuccess(exit)) return
      const { received, sent } = exit.value
      assert.deepStrictEqual([received.id, received.payload], [sent.id, { value: 20 }])
      const facts = { topic: "sensor.data", event_id: sent.id, trace_id: trace.traceId }
      expectTrace(trace).toMatchTree(
        span("sensor.emit_data", [
          span("bridge.publish", {
            attributes: { ...facts, agent_id: "sensor", span_id: trace.roots[0]!.span.spanId },
            children: [
              span("eventbus.publish", [
                span("bridge.forward", {
                  attributes: { ...facts, agent_id: "output" },
                  children: [span("agent.on_event", { attributes: { "agent.id": "output" } })]
                })
              ])
            ]
          })
        ])
      )
    })
  )

  it.live("gives back what an agent had not dealt with when it went", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const first = yield* elsewhere("worker")
        const begun = yield* Queue.unbounded<string>()
        const stuck = handling("worker", "jobs", ({ id }) => Effect.andThen(Queue.offer(begun, id), Effect.never))
        yield* Effect.asVoid(Effect.provide(stuck, first.bus))
        const { id } = yield* EventBus.publish("jobs", { type: "job", payload: 1 })
        yield* Queue.take(begun)
        yield* first.close
        yield* Fiber.join(first.served)
        const second = yield* elsewhere("worker")
        const next = yield* Effect.provide(
          handling("worker", "jobs", () => Effect.void),
          second.bus
        )
        return (yield* next).id === id
      })
      const { exit } = yield* Testing.record(Effect.scoped(Effect.provide(program, EventBus.layerMemory)), {
        clock: "live",
        allow: ["openSpans"]
      })
      assert.deepStrictEqual(exit, Exit.succeed(true))
    })
  )

  it.live("tells an agent that its bridge is gone, and why an event was not taken", () =>
    Effect.gen(function* () {
      const full: EventBus.Broker = {
        publish: (topic) => Effect.fail(new EventBus.EventBusError({ topic, message: "no room" })),
        subscribe: () => Effect.never
      }
      const program = Effect.gen(function* () {
        const { bus, close, served } = yield* elsewhere("sensor")
        const publish = Effect.flip(Effect.provide(EventBus.publish("jobs", { type: "job", payload: 1 }), bus))
        const refused = yield* publish
        yield* close
        yield* Fiber.join(served)
        return [refused.message, (yield* publish).message]
      }).pipe(Effect.provideService(EventBus.EventBus, EventBus.fromBroker(full)))
      const { exit } = yield* Testing.record(Effect.scoped(program), { clock: "live" })
      assert.deepStrictEqual(exit, Exit.succeed(["no room", "The other side is gone: it has ended"]))
    })
  )

  it.live("passes over what is not of its protocol", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const { left, right } = yield* pair
        yield* Effect.forkScoped(Bridge.serve(left))
        const odd = [null, 7, {}, { kind: "publish" }, { kind: "ack", delivery: 99 }, { kind: "toString" }]
        yield* Effect.forEach(odd, (message) => right.send(message), { discard: true })
        const bus = yield* Layer.build(Bridge.layer("sensor", right))
        return (yield* Effect.provide(EventBus.publish("jobs", { type: "job", payload: 1 }), bus)).type
      })
      const { exit } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.succeed("job"))
    })
  )
})

describe("JsonLines.connect", () => {
  it.effect("says what it cannot send, and goes on", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const input = (async function* () {})()
      const { send } = yield* JsonLines.connect({ input, write: (line) => Effect.sync(() => void lines.push(line)) })
      const circle: Record<string, unknown> = {}
      circle["self"] = circle
      for (const message of [undefined, () => 1, 1n, circle, "x".repeat(17 * 1024 * 1024)]) {
        assert.match((yield* Effect.flip(send(message))).message, /^Cannot send the message: /)
      }
      yield* send({ still: "there" })
      assert.deepStrictEqual(lines, ['{"still":"there"}\n'])
    }).pipe(Effect.scoped)
  )

  it.live("takes lines however they come in pieces, and passes over what is no JSON", () =>
    Effect.gen(function* () {
      const text = new TextEncoder().encode('{"a":"é"}\nlistening on port 1\n\n[1]\n"end"')
      const input = (async function* () {
        for (const byte of text) yield Uint8Array.of(byte)
      })()
      const program = Effect.gen(function* () {
        const { receive } = yield* JsonLines.connect({ input, write: () => Effect.void })
        const [first, second] = [yield* receive, yield* receive]
        return [first, second, (yield* Effect.flip(receive)).message]
      })
      assert.deepStrictEqual(yield* Effect.scoped(program), [{ a: "é" }, [1], "The other side is gone: it has ended"])
    })
  )

  it.live("ends with a line that never does", () =>
    Effect.gen(function* () {
      const chunk = "x".repeat(1024 * 1024)
      const input = (async function* () {
        for (;;) yield chunk
      })()
      const program = Effect.flatMap(JsonLines.connect({ input, write: () => Effect.void }), ({ receive }) => receive)
      const { message } = yield* Effect.flip(Effect.scoped(program))
      assert.match(message, /a line of more than 16777216 characters/)
    })
  )
})
