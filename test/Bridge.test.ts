import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Queue, type Scope } from "effect"
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
  it.live("publishes what comes after a subscription when that is in place", () =>
    Effect.gen(function* () {
      const order: Array<string> = []
      const isReady = yield* Deferred.make<void>()
      const broker: EventBus.Broker = {
        publish: () => Effect.sync(() => void order.push("published")),
        subscribe: () =>
          Effect.andThen(
            Deferred.await(isReady),
            Effect.sync(() => {
              order.push("subscribed")
              return Effect.never
            })
          )
      }
      const { left, right } = yield* pair
      yield* Effect.forkScoped(Effect.provideService(Bridge.serve(left), EventBus.EventBus, broker))
      const event = { id: "1", type: "reading", payload: 20 }
      yield* right.send({ kind: "subscribe", number: 1, topic: "t", group: "g" })
      yield* right.send({ kind: "publish", number: 2, agent: "a", topic: "t", event })
      // Answered at once, so that all before has been heard.
      yield* right.send({ kind: "publish", number: 3, agent: "a", topic: "t" })
      assert.strictEqual(((yield* right.receive) as { readonly number: number }).number, 3)
      assert.deepStrictEqual(order, [])
      yield* Deferred.succeed(isReady, undefined)
      for (const number of [1, 2]) {
        assert.strictEqual(((yield* right.receive) as { readonly number: number }).number, number)
      }
      assert.deepStrictEqual(order, ["subscribed", "published"])
    }).pipe(Effect.scoped)
  )

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

  /** A bridge to this bus, whose other half is written by hand. */
  const byHand = (bus: EventBus.Broker) =>
    Effect.gen(function* () {
      const { close, left, right } = yield* pair
      const serving = Effect.provideService(Bridge.serve(left), EventBus.EventBus, bus)
      return { close, served: yield* Effect.forkScoped(serving), ...right }
    })

  const problemOf = <A>(effect: Effect.Effect<A, EventBus.EventBusError>) =>
    Effect.map(Effect.flip(effect), ({ message, topic }) => [topic, message])

  const memory = Effect.map(Layer.build(EventBus.layerMemory), Context.get(EventBus.EventBus))

  it.live("tells an agent that a subscription is lost, which ends it", () =>
    Effect.gen(function* () {
      const broker: EventBus.Broker = {
        publish: () => Effect.void,
        subscribe: (topic) => Effect.succeed(Effect.fail(new EventBus.EventBusError({ topic, message: "no stream" })))
      }
      const program = Effect.gen(function* () {
        const { bus } = yield* elsewhere("worker")
        const worker = EventBus.agent("worker", { topics: ["jobs"], onEvent: () => Effect.void })
        return yield* Fiber.join(yield* Effect.provide(worker, bus))
      }).pipe(Effect.provideService(EventBus.EventBus, broker))
      assert.deepStrictEqual(yield* problemOf(Effect.scoped(program)), ["jobs", "no stream"])
    })
  )

  it.live("ends the agents of a layer that is closed, and takes no more", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const { left, right } = yield* pair
        yield* Effect.forkScoped(Bridge.serve(left))
        const started = Effect.gen(function* () {
          const bus = yield* EventBus.EventBus
          return { bus, fiber: yield* EventBus.agent("worker", { topics: ["jobs"], onEvent: () => Effect.void }) }
        })
        const { bus, fiber } = yield* Effect.provide(started, Bridge.layer("worker", right))
        const publishing = bus.publish("jobs", { id: "1", type: "job", payload: 1 })
        return [yield* problemOf(Fiber.join(fiber)), yield* problemOf(publishing)]
      })
      const closed = ["jobs", "The bus was closed"]
      const { exit } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.succeed([closed, closed]))
    })
  )

  it.live("says on which topic an event was not taken", () =>
    Effect.gen(function* () {
      const broker: EventBus.Broker = {
        publish: () => Effect.fail(new EventBus.EventBusError({ topic: "", message: "no room" })),
        subscribe: () => Effect.never
      }
      const program = Effect.gen(function* () {
        const { bus } = yield* elsewhere("sensor")
        return yield* Effect.provide(EventBus.publish("jobs", { type: "job", payload: 1 }), bus)
      }).pipe(Effect.provideService(EventBus.EventBus, broker))
      assert.deepStrictEqual(yield* problemOf(Effect.scoped(program)), ["jobs", "no room"])
    })
  )

  it.live("goes on while a bus takes its time, and keeps the order of what was published, to the last", () =>
    Effect.gen(function* () {
      const bus = yield* memory
      const go = yield* Deferred.make<void>()
      const [acknowledged, left] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const published: Array<unknown> = []
      const { close, receive, send, served } = yield* byHand({
        publish: (_, { payload }) =>
          Effect.andThen(
            payload === 1 ? Deferred.await(go) : Effect.void,
            Effect.sync(() => published.push(payload))
          ),
        subscribe: (topic, group) =>
          topic === "away"
            ? Effect.never
            : Effect.addFinalizer(() => Deferred.succeed(left, undefined)).pipe(
                Effect.andThen(bus.subscribe(topic, group)),
                Effect.map(
                  Effect.map((received) => ({
                    ...received,
                    ack: Effect.asVoid(Deferred.succeed(acknowledged, undefined))
                  }))
                )
              )
      })
      yield* bus.publish("jobs", { id: "a", type: "job", payload: null })
      yield* send({ kind: "subscribe", number: 1, topic: "away", group: "worker" })
      for (const number of [2, 3]) {
        const event = { id: `${number}`, type: "job", payload: number - 1 }
        yield* send({ kind: "publish", number, agent: "sensor", topic: "out", event })
      }
      yield* send({ kind: "subscribe", number: 4, topic: "jobs", group: "worker" })
      yield* send({ kind: "next", number: 4 })
      assert.deepStrictEqual(yield* receive, { kind: "done", number: 4 })
      const { delivery } = (yield* receive) as { readonly delivery: number }
      yield* send({ kind: "ack", delivery })
      yield* Deferred.await(acknowledged)
      assert.deepStrictEqual(published, [])
      // What it has taken in of an agent that goes is published all the same.
      yield* close
      yield* Deferred.await(left)
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(served)
      assert.deepStrictEqual(published, [1, 2])
    }).pipe(Effect.scoped)
  )

  it.live("takes a subscription by the number of another in its place", () =>
    Effect.gen(function* () {
      const bus = yield* memory
      const left = yield* Queue.unbounded<string>()
      const { receive, send } = yield* byHand({
        ...bus,
        subscribe: (topic, group) =>
          Effect.andThen(
            Effect.addFinalizer(() => Queue.offer(left, topic)),
            bus.subscribe(topic, group)
          )
      })
      for (const topic of ["old", "new"]) {
        yield* send({ kind: "subscribe", number: 1, topic, group: "worker" })
        assert.deepStrictEqual(yield* receive, { kind: "done", number: 1 })
      }
      assert.strictEqual(yield* Queue.take(left), "old")
      yield* Effect.yieldNow
      yield* bus.publish("new", { id: "a", type: "job", payload: null })
      yield* send({ kind: "next", number: 1 })
      const told = (yield* receive) as { readonly kind: string; readonly event: EventBus.Event }
      assert.deepStrictEqual([told.kind, told.event.id], ["deliver", "a"])
    }).pipe(Effect.scoped)
  )

  it.live("answers what it cannot read where somebody waits for an answer", () =>
    Effect.gen(function* () {
      const { receive, send } = yield* byHand(yield* memory)
      yield* send({ kind: "publish", number: 1, agent: "sensor", topic: "out", event: { id: 7 } })
      yield* send({ kind: "subscribe", number: 2 })
      assert.deepStrictEqual(
        [yield* receive, yield* receive],
        [1, 2].map((number) => ({ kind: "done", number, problem: "The bridge cannot read it" }))
      )
      // JSON leaves out what is undefined.
      yield* send({ kind: "publish", number: 3, agent: "sensor", topic: "out", event: { id: "a", type: "job" } })
      assert.deepStrictEqual(yield* receive, { kind: "done", number: 3 })
    }).pipe(Effect.scoped)
  )

  it.live("answers where the bus throws, and goes on", () =>
    Effect.gen(function* () {
      const thrown = () => {
        throw new Error("no bus")
      }
      const { left, right, close } = yield* pair
      const broker: EventBus.Broker = { publish: thrown, subscribe: thrown }
      const served = yield* Effect.forkScoped(Effect.provideService(Bridge.serve(left), EventBus.EventBus, broker))
      yield* right.send({ kind: "subscribe", number: 1, topic: "jobs", group: "worker" })
      const subscribed = yield* right.receive
      const event = { id: "1", type: "reading", payload: 20 }
      yield* right.send({ kind: "publish", number: 2, agent: "a", topic: "jobs", event })
      assert.deepStrictEqual(
        [subscribed, yield* right.receive],
        [1, 2].map((number) => ({ kind: "done", number, problem: "no bus" }))
      )
      yield* close
      assert.deepStrictEqual(yield* Fiber.await(served), Exit.void)
    }).pipe(Effect.scoped)
  )

  it.live("counts for failed what an agent leaves that is gone, and not what it gives back unbegun", () =>
    Effect.gen(function* () {
      const given: Array<EventBus.Unhandled> = []
      const received = (id: string): EventBus.Received => ({
        event: { id, type: "job", payload: null },
        attempt: 1,
        ack: Effect.void,
        giveBack: (attempt) => Effect.sync(() => void given.push(attempt))
      })
      const broker: EventBus.Broker = {
        publish: () => Effect.void,
        subscribe: () => Effect.succeed(Effect.succeed(received("1")))
      }
      const { left, right, close } = yield* pair
      const served = yield* Effect.forkScoped(Effect.provideService(Bridge.serve(left), EventBus.EventBus, broker))
      const ask = (number: number) =>
        Effect.gen(function* () {
          yield* right.send({ kind: "subscribe", number, topic: "jobs", group: "worker" })
          yield* right.receive
          yield* right.send({ kind: "next", number })
          return (yield* right.receive) as { readonly delivery: number }
        })
      const { delivery } = yield* ask(1)
      yield* right.send({ kind: "giveBack", delivery, has_failed: false, first_attempt: "first" })
      yield* ask(2)
      yield* right.send({ kind: "unsubscribe", number: 2 })
      yield* ask(3)
      yield* close
      yield* Fiber.await(served)
      assert.deepStrictEqual(given, [
        { hasFailed: false, firstAttempt: "first" },
        { hasFailed: false, firstAttempt: undefined },
        { hasFailed: true, firstAttempt: undefined }
      ])
    }).pipe(Effect.scoped)
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
