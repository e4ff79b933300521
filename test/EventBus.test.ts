import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Logger, Metric, Queue, Random, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Bridge from "../src/Bridge.ts"
import type * as Connection from "../src/Connection.ts"
import * as EventBus from "../src/EventBus.ts"
import * as Propagator from "../src/Propagator.ts"
import * as Testing from "../src/Testing.ts"

const { Tree, expectTrace } = Testing
const { span } = Tree

/** An agent that runs beside the program, and what it has handled. */
const running = <E>(
  id: string,
  topic: string,
  onEvent: (event: EventBus.Event) => Effect.Effect<unknown, E, EventBus.EventBus>,
  maxAttempts?: number
) =>
  Effect.gen(function* () {
    const handled = yield* Queue.unbounded<EventBus.Event>()
    const work = (event: EventBus.Event) => Effect.andThen(onEvent(event), Queue.offer(handled, event))
    const fiber = yield* EventBus.agent(id, { topics: [topic], onEvent: work, maxAttempts })
    return { fiber, next: Queue.take(handled) }
  })

const record = <A, E>(program: Effect.Effect<A, E, EventBus.EventBus | Scope.Scope>) =>
  Testing.record(Random.withSeed(Effect.scoped(Effect.provide(program, EventBus.layerMemory)), "seed"))

const reading = { type: "reading", payload: 20 }

describe("EventBus", () => {
  it.effect("takes a trace from who publishes over each agent that passes it on", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        yield* running("processor", "sensor.data", ({ payload }) =>
          EventBus.publish("processed.data", { type: "result", payload: Number(payload) * 1.5 })
        )
        const output = yield* running("output", "processed.data", () => Effect.void)
        const sent = yield* Effect.withSpan(
          EventBus.publish("sensor.data", { ...reading, thread_id: "t-1" }),
          "sensor.emit_data"
        )
        return { sent, received: yield* output.next }
      })
      const { exit, trace } = yield* record(program)
      const facts = { "event.type": "reading", thread_id: "t-1", topic: "sensor.data" }
      expectTrace(trace).toMatchTree(
        span("sensor.emit_data", [
          span("eventbus.publish", {
            kind: "producer",
            attributes: facts,
            children: [
              span("agent.on_event", {
                kind: "consumer",
                attributes: { ...facts, "agent.id": "processor", "handspan.attempt.number": 1 },
                children: [
                  span("eventbus.publish", [
                    span("agent.on_event", {
                      attributes: { "agent.id": "output", "event.type": "result", thread_id: "t-1" }
                    })
                  ])
                ]
              })
            ]
          })
        ])
      )
      assert.isTrue(Exit.isSuccess(exit))
      if (Exit.isSuccess(exit)) {
        const { received, sent } = exit.value
        assert.deepStrictEqual(
          [received.payload, received.sender, received.thread_id, received.correlation_id],
          [30, "processor", "t-1", sent.id]
        )
        assert.match(sent.id, /^[0-9a-f]{32}$/)
        assert.notProperty(sent, "sender")
      }
    })
  )

  it.effect("says how long an event was under way, over a Bridge too", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const [there, back] = [yield* Queue.unbounded<unknown>(), yield* Queue.unbounded<unknown>()]
        const over = (out: Queue.Queue<unknown>, into: Queue.Queue<unknown>): Connection.Connection => ({
          send: (message) => Effect.asVoid(Queue.offer(out, message)),
          receive: Queue.take(into)
        })
        yield* Effect.forkScoped(Bridge.serve(over(back, there)))
        const far = yield* Layer.build(Bridge.layer("far", over(there, back)))
        yield* EventBus.publish("to.far", reading)
        yield* Effect.provide(EventBus.publish("to.near", reading), far)
        yield* Effect.sleep("2 seconds")
        yield* (yield* running("near", "to.near", () => Effect.void)).next
        yield* (yield* Effect.provide(
          running("far", "to.far", () => Effect.void),
          far
        )).next
      })
      const { traces } = yield* Testing.record(Effect.scoped(Effect.provide(program, EventBus.layerMemory)), {
        advance: "1 minute"
      })
      const handled = traces.flatMap(({ spans }) => spans.filter(({ name }) => name === "agent.on_event"))
      assert.deepStrictEqual(
        handled.map(({ attributes }) => attributes["handspan.message.wait_ms"]),
        [2000, 2000]
      )
    })
  )

  it.effect("hands an event out again where its handler failed, and links the attempts", () =>
    Effect.gen(function* () {
      let calls = 0
      const program = Effect.gen(function* () {
        const flaky = yield* running("flaky", "jobs", () => (++calls < 3 ? Effect.fail("busy") : Effect.void))
        yield* Effect.withSpan(EventBus.publish("jobs", reading), "send")
        return yield* flaky.next
      })
      const { trace } = yield* record(program)
      const attempt = (number: number, more: object) =>
        span("agent.on_event", { attributes: { "handspan.attempt.number": number }, ...more })
      expectTrace(trace).toMatchTree(
        span("send", [
          span("eventbus.publish", [
            attempt(1, { status: "error", links: [] }),
            attempt(2, { status: "error", links: ["agent.on_event"] }),
            attempt(3, { status: "ok", links: ["agent.on_event"] })
          ])
        ])
      )
      const [first, second, third] = trace.spans.filter(({ name }) => name === "agent.on_event")
      assert.deepStrictEqual(
        [second, third].map((span) => span?.links[0]?.spanId),
        [first?.spanId, first?.spanId]
      )
    })
  )

  it.effect("takes a handler that throws for one that fails, and attempts of which nothing was heard, too", () =>
    Effect.gen(function* () {
      const settled: Array<string> = []
      const published: Array<unknown> = []
      const given = yield* Queue.unbounded<EventBus.Received>()
      const broker: EventBus.Broker = {
        publish: (topic, { payload }) => Effect.sync(() => void published.push([topic, (payload as any).problem])),
        subscribe: () => Effect.succeed(Queue.take(given))
      }
      const hand = (attempt: number): EventBus.Received => ({
        event: { id: "1", type: "reading", payload: {} },
        attempt,
        ack: Effect.sync(() => void settled.push(`ack ${attempt}`)),
        giveBack: () => Effect.sync(() => void settled.push(`back ${attempt}`))
      })
      let calls = 0
      const onEvent = ({ payload }: EventBus.Event) => {
        calls++
        return Effect.succeed((payload as any).reading.value)
      }
      const program = Effect.gen(function* () {
        yield* EventBus.agent("a", { topics: ["t"], maxAttempts: 2, onEvent })
        for (const attempt of [1, 2, 3]) yield* Queue.offer(given, hand(attempt))
        yield* Effect.sleep("1 second")
      })
      const scoped = Effect.scoped(Effect.provideService(program, EventBus.EventBus, broker))
      yield* Testing.record(scoped, { advance: "1 minute" })
      assert.deepStrictEqual([calls, settled], [2, ["back 1", "ack 2", "ack 3"]])
      assert.deepStrictEqual(published, [
        ["t.dead", "Cannot read properties of undefined (reading 'value')"],
        ["t.dead", "It is unsettled after 2 attempts"]
      ])
    })
  )

  it.effect("puts with the dead as a text what is too long as a whole, and leaves a bus that refuses in peace", () =>
    Effect.gen(function* () {
      const published: Array<any> = []
      const program = (longest: number, payload: unknown) =>
        Effect.gen(function* () {
          const { publish, subscribe } = yield* EventBus.EventBus
          const small: EventBus.Broker = {
            subscribe,
            publish: (topic, event) => {
              if (!topic.endsWith(".dead")) return publish(topic, event)
              const length = typeof payload === "bigint" ? 1 : JSON.stringify(event).length
              published.push(event.payload)
              return length <= longest ? Effect.void : new EventBus.EventBusError({ topic, message: "too long" })
            }
          }
          yield* publish("jobs", { id: "1", type: "job", payload })
          const calls = yield* Queue.unbounded<void>()
          const onEvent = () => Effect.andThen(Queue.offer(calls, undefined), Effect.fail("busy"))
          const agent = EventBus.agent("a", { topics: ["jobs"], onEvent, maxAttempts: 2 })
          yield* Effect.provideService(agent, EventBus.EventBus, small)
          yield* Effect.sleep("4500 millis")
          return yield* Queue.size(calls)
        })
      const run = (longest: number, payload: unknown = "x".repeat(300_000)) =>
        Testing.record(Effect.scoped(Effect.provide(program(longest, payload), EventBus.layerMemory)), {
          advance: "1 minute"
        })
      assert.deepStrictEqual((yield* run(200_000)).exit, Exit.succeed(2))
      assert.deepStrictEqual(
        published.map(({ event, problem }) => [typeof event, event.length ?? event.payload.length, problem]),
        [
          ["object", 300_000, "busy"],
          ["string", 100_000, "busy"]
        ]
      )
      published.length = 0
      assert.deepStrictEqual((yield* run(0)).exit, Exit.succeed(2))
      // The whole and the text, once a second.
      assert.strictEqual(published.length, 10)
      published.length = 0
      // JSON has no text for it.
      assert.deepStrictEqual((yield* run(0, 1n)).exit, Exit.succeed(2))
      assert.strictEqual(published.length, 5)
    })
  )

  it.effect("puts an event with the dead that no attempt could handle, and goes on with the next", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const picky = yield* running(
          "picky",
          "jobs",
          ({ payload }) => (payload === "poison" ? Effect.die(new TypeError("no")) : Effect.void),
          2
        )
        const undertaker = yield* running("undertaker", "jobs.dead", () => Effect.void)
        yield* Effect.withSpan(
          Effect.andThen(
            EventBus.publish("jobs", { type: "job", payload: "poison" }),
            EventBus.publish("jobs", { type: "job", payload: "food" })
          ),
          "send"
        )
        return { dead: (yield* undertaker.next).payload, next: (yield* picky.next).payload }
      })
      const { exit, trace } = yield* record(program)
      assert.isTrue(Exit.isSuccess(exit))
      if (Exit.isSuccess(exit)) {
        const { dead, next } = exit.value as { dead: { event: EventBus.Event; problem: string }; next: string }
        assert.deepStrictEqual([dead.event.payload, dead.problem, next], ["poison", "no", "food"])
      }
      expectTrace(trace).toMatchTree(
        span("send", [
          span("eventbus.publish", [
            span("agent.on_event", { status: "error" }),
            span("agent.on_event", {
              status: "error",
              children: [
                span("eventbus.publish", { attributes: { topic: "jobs.dead" }, children: [span("agent.on_event")] })
              ]
            })
          ]),
          span("eventbus.publish", [span("agent.on_event")])
        ])
      )
    })
  )

  it.effect("hands each event to one agent of an id, and to every id", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const seen: Array<string> = []
        const note = (name: string) => (event: EventBus.Event) =>
          Effect.sync(() => seen.push(`${name} ${String(event.payload)}`))
        yield* running("worker", "jobs", note("worker"))
        yield* running("worker", "jobs", note("worker"))
        const audit = yield* running("audit", "jobs", note("audit"))
        yield* Effect.forEach([1, 2, 3], (payload) => EventBus.publish("jobs", { type: "job", payload }))
        yield* Effect.all([audit.next, audit.next, audit.next])
        yield* TestClock.adjust(0)
        return seen.toSorted((a, b) => (a < b ? -1 : 1))
      })
      const { exit } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.succeed(["audit 1", "audit 2", "audit 3", "worker 1", "worker 2", "worker 3"]))
    })
  )

  it.effect("handles as many events of a topic side by side as it is told, and no more", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const begun = yield* Queue.unbounded<unknown>()
        const go = yield* Deferred.make<void>()
        const onEvent = ({ payload }: EventBus.Event) => Effect.andThen(Queue.offer(begun, payload), Deferred.await(go))
        yield* EventBus.agent("worker", { topics: ["jobs"], onEvent, concurrency: 3 })
        yield* Effect.forEach([1, 2, 3, 4], (payload) => EventBus.publish("jobs", { type: "job", payload }))
        yield* TestClock.adjust(0)
        const atOnce = yield* Queue.takeAll(begun)
        yield* Deferred.succeed(go, undefined)
        return { atOnce, next: yield* Queue.take(begun) }
      })
      const { exit } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.succeed({ atOnce: [1, 2, 3], next: 4 }))
    })
  )

  it.effect("keeps what comes before anybody listens, and gives back what was interrupted", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        yield* EventBus.publish("jobs", reading)
        const begun = yield* Deferred.make<void>()
        const slow = yield* running("worker", "jobs", () =>
          Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)
        )
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(slow.fiber)
        const quick = yield* running("worker", "jobs", () => Effect.void)
        return (yield* quick.next).payload
      })
      const { exit, traces } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.succeed(20))
      const attempts = traces.flatMap(({ spans }) => spans).filter(({ name }) => name === "agent.on_event")
      assert.deepStrictEqual(
        attempts.map(({ attributes }) => attributes["handspan.attempt.number"]),
        [1, 1]
      )
    })
  )

  it.effect("trusts who publishes as it is told", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const output = yield* running("output", "jobs", () => Effect.void)
        yield* Effect.withSpan(EventBus.publish("jobs", reading), "send")
        yield* output.next
      }).pipe(Effect.provideService(Propagator.CurrentTrust, "link"))
      const { traces } = yield* record(program)
      assert.deepStrictEqual(
        traces.map(({ roots }) => roots.map(({ span }) => span.name)),
        [["agent.on_event"], ["send"]]
      )
    })
  )

  it.effect("agent ends where one of its topics is lost", () =>
    Effect.gen(function* () {
      const lost = new EventBus.EventBusError({ topic: "a", message: "the server is gone" })
      const broker: EventBus.Broker = {
        publish: () => Effect.void,
        subscribe: (topic) => Effect.succeed(topic === "a" ? Effect.fail(lost) : Effect.never)
      }
      const fiber = yield* EventBus.agent("worker", { topics: ["a", "b"], onEvent: () => Effect.void }).pipe(
        Effect.provideService(EventBus.EventBus, broker)
      )
      assert.strictEqual(yield* Effect.flip(Fiber.join(fiber)), lost)
    })
  )

  it.effect("agent is a member of nothing where it cannot subscribe to all of its topics", () =>
    Effect.gen(function* () {
      const refused = new EventBus.EventBusError({ topic: "b", message: "no" })
      const members = new Set<string>()
      const broker: EventBus.Broker = {
        publish: () => Effect.void,
        subscribe: (topic) =>
          topic === "b"
            ? Effect.fail(refused)
            : Effect.as(
                Effect.acquireRelease(
                  Effect.sync(() => members.add(topic)),
                  () => Effect.sync(() => members.delete(topic))
                ),
                Effect.never
              )
      }
      const error = yield* EventBus.agent("worker", { topics: ["a", "b"], onEvent: () => Effect.void }).pipe(
        Effect.provideService(EventBus.EventBus, broker),
        Effect.flip
      )
      assert.strictEqual(error, refused)
      assert.deepStrictEqual(members, new Set())
    })
  )

  it.effect("publish sends null for what is undefined, as JSON would have it", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const { payload } = yield* EventBus.publish("jobs", { type: "job", payload: undefined })
        const worker = yield* running("worker", "jobs", () => Effect.void)
        return [payload, (yield* worker.next).payload]
      })
      const { exit } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.succeed([null, null]))
    })
  )

  /** What a group is handed out, up to the event that is published now. */
  const waitingFor = (topic: string, group: string) =>
    Effect.gen(function* () {
      const bus = yield* EventBus.EventBus
      const take = yield* bus.subscribe(topic, group)
      yield* EventBus.publish(topic, { type: "job", payload: "last" })
      const waiting: Array<unknown> = []
      for (;;) {
        const { event } = yield* take
        if (event.payload === "last") return waiting
        waiting.push(event.payload)
      }
    })

  const joinAndLeave = (topic: string, group: string) =>
    Effect.asVoid(Effect.scoped(Effect.flatMap(EventBus.EventBus, (bus) => bus.subscribe(topic, group))))

  const publishNumbers = (topic: string, count: number) =>
    Effect.forEach(
      Array.from({ length: count }, (_, at) => at),
      (payload) => EventBus.publish(topic, { type: "job", payload }),
      { discard: true }
    )

  /** How many events of a topic were dropped, by the metric. */
  const dropped = (topic: string) =>
    Effect.map(Metric.snapshot, (snapshots) =>
      snapshots
        .filter(({ attributes, id }) => id === EventBus.droppedMetric && attributes?.["topic"] === topic)
        .map(({ state }) => ("count" in state ? state.count : undefined))
    )

  it.effect("layerMemory keeps the last 10,000 events for a group, and tells of those that it drops", () => {
    const warnings: Array<unknown> = []
    const logger = Logger.make(({ message }) => warnings.push(message))
    return Effect.gen(function* () {
      yield* joinAndLeave("jobs", "worker")
      yield* publishNumbers("jobs", 10_005)
      const waiting = yield* waitingFor("jobs", "worker")
      // The last goes in the place of one more.
      assert.deepStrictEqual([waiting.length, waiting[0]], [9999, 6])
      yield* publishNumbers("unheard", 10_001)
      assert.deepStrictEqual([yield* dropped("jobs"), yield* dropped("unheard")], [[6], [1]])
      const remedy = "handspan.eventbus.dropped counts them. Handle them faster, or use a bus that keeps more"
      assert.deepStrictEqual(
        warnings,
        ["jobs", "unheard"].map((topic) => [`The bus in memory drops events of "${topic}": ${remedy}`])
      )
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.merge(EventBus.layerMemory, Logger.layer([logger]))),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
  })

  it.effect("layerMemory counts what is dropped for what was given back, and with its group", () =>
    Effect.gen(function* () {
      const bus = yield* EventBus.EventBus
      const take = yield* bus.subscribe("jobs", "worker")
      yield* publishNumbers("jobs", 1)
      const { giveBack } = yield* take
      yield* publishNumbers("jobs", 10_000)
      yield* giveBack({ hasFailed: true })
      assert.deepStrictEqual(yield* dropped("jobs"), [1])
      yield* joinAndLeave("news", "reader")
      yield* publishNumbers("news", 3)
      const sessions = Array.from({ length: 100 }, (_, at) => `session ${at}`)
      yield* Effect.forEach(sessions, (session) => joinAndLeave("news", session))
      assert.deepStrictEqual(yield* dropped("news"), [3])
      // There is nobody any more to whom it could be given back.
      const holding = yield* Scope.make()
      yield* EventBus.publish("late", { type: "job", payload: 1 })
      const held = yield* yield* Scope.provide(bus.subscribe("late", "worker"), holding)
      yield* Scope.close(holding, Exit.void)
      yield* Effect.forEach(sessions, (session) => joinAndLeave("late", session))
      yield* held.giveBack({ hasFailed: true })
      assert.deepStrictEqual(yield* dropped("late"), [1])
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.merge(EventBus.layerMemory, Logger.layer([]))),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
  )

  it.effect("layerMemory forgets the groups that were left first, and none that has members", () =>
    Effect.gen(function* () {
      const bus = yield* EventBus.EventBus
      const staying = yield* bus.subscribe("jobs", "staying")
      yield* joinAndLeave("jobs", "staying")
      yield* joinAndLeave("jobs", "back")
      const sessions = Array.from({ length: 103 }, (_, at) => `session ${at}`)
      yield* Effect.forEach(sessions.slice(0, 101), (session) => joinAndLeave("jobs", session))
      // It was left among the first, and then among the last.
      yield* joinAndLeave("jobs", "session 2")
      yield* Effect.forEach(sessions.slice(101), (session) => joinAndLeave("jobs", session))
      yield* publishNumbers("jobs", 1)
      const groups = ["back", ...sessions.slice(0, 5)]
      const waiting = yield* Effect.forEach(groups, (group) => waitingFor("jobs", group))
      assert.deepStrictEqual([...waiting, (yield* staying).event.payload], [[], [], [], [0], [], [0], 0])
    }).pipe(Effect.scoped, Effect.provide(EventBus.layerMemory))
  )
})
