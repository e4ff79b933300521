// Runs the contract of the event bus on a real Redis and a real NATS server, kills and restarts both while agents are at work,
// and has agents call each other over both. The servers are Debian's packages; they listen on loopback, and end with the tests.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { NodeRedis } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { jetstream } from "@nats-io/jetstream"
import { connect } from "@nats-io/transport-node"
import { Deferred, Duration, Effect, Exit, Fiber, Layer, Logger, Metric, Option, Queue, Scope } from "effect"
import { Redis } from "effect/persistence/Redis"
import { afterAll, beforeAll } from "vitest"
import * as ActionBroker from "../../src/ActionBroker.ts"
import * as Actions from "../../src/bus/Actions.ts"
import * as NatsBus from "../../src/bus/Nats.ts"
import * as RedisBus from "../../src/bus/Redis.ts"
import * as EventBus from "../../src/EventBus.ts"
import * as Propagator from "../../src/Propagator.ts"
import * as TracedRedis from "../../src/Redis.ts"
import * as Testing from "../../src/Testing.ts"
import { installServers } from "./debian.ts"
import { freePort } from "./free-port.ts"

/** A server on a port and a folder of its own, which it finds again when it is started again. */
class Server {
  readonly program: string
  readonly isReady: string
  readonly args: (port: string, folder: string) => ReadonlyArray<string>
  readonly folder = mkdtempSync(join(tmpdir(), "handspan-bus-"))
  port = 0
  kill = async (): Promise<void> => undefined

  constructor(program: string, isReady: string, args: (port: string, folder: string) => ReadonlyArray<string>) {
    this.program = program
    this.isReady = isReady
    this.args = args
  }

  readonly start = async (): Promise<void> => {
    if (this.port === 0) this.port = await freePort()
    const child = spawn(this.program, this.args(String(this.port), this.folder), {
      env: { PATH: `${process.env["PATH"]}:/usr/sbin` }
    })
    const ended = once(child, "exit")
    this.kill = async () => {
      child.kill("SIGKILL")
      await ended
    }
    let output = ""
    await new Promise<void>((ready, fail) => {
      const read = (chunk: Buffer) => {
        output += chunk.toString()
        if (output.includes(this.isReady)) ready()
      }
      child.stdout.on("data", read)
      child.stderr.on("data", read)
      child.on("exit", () => fail(new Error(`${this.program} has ended: ${output}`)))
    })
  }
}

const redis = new Server("redis-server", "Ready to accept connections", (port, folder) => [
  "--bind 127.0.0.1",
  `--port ${port}`,
  `--dir ${folder}`,
  "--appendonly yes",
  "--appendfsync always"
])

const nats = new Server("nats-server", "Server is ready", (port, folder) => [
  "--addr=127.0.0.1",
  `--port=${port}`,
  "--jetstream",
  `--store_dir=${folder}`
])

beforeAll(async () => {
  installServers()
  await Promise.all([redis.start(), nats.start()])
}, 300_000)

afterAll(async () => {
  await Promise.all([redis.kill(), nats.kill()])
  for (const { folder } of [redis, nats]) rmSync(folder, { recursive: true, force: true })
})

const clientOf = (server: Server, pool: Parameters<typeof NodeRedis.layer>[0] = {}) =>
  Layer.suspend(() =>
    NodeRedis.layer({ url: `redis://127.0.0.1:${server.port}`, ...pool }).pipe(
      // It warns of each connection that is lost.
      Layer.provide(Logger.layer([]))
    )
  )

const redisClient = clientOf(redis)

const natsConnection = Effect.acquireRelease(
  Effect.promise(() =>
    connect({ servers: `127.0.0.1:${nats.port}`, maxReconnectAttempts: -1, reconnectTimeWait: 100 })
  ),
  (connection) => Effect.promise(() => connection.close())
)

const ackWait = "1 second"
const maxAge = "3 seconds"

const redisBus = (options: RedisBus.Options) => Layer.provide(RedisBus.layer({ ackWait, ...options }), redisClient)

const natsBus = (options: NatsBus.Options) =>
  Layer.unwrap(
    Effect.map(natsConnection, (connection) => NatsBus.layer(jetstream(connection), { ackWait, ...options }))
  )

/** Times that servers do not know. */
const oddTimes: ReadonlyArray<{ readonly ackWait: Duration.Input; readonly maxAge: Duration.Input }> = [
  { ackWait: 1000 / 3, maxAge: 0 },
  { ackWait: "Infinity", maxAge: "Infinity" }
]

/** An agent that may fail on nothing, what it has handled, and the rounds in which it is stopped. */
const strict = (topic: string) =>
  Effect.map(Queue.unbounded<unknown>(), (handled) => ({
    handled,
    rounds: Array.from({ length: 12 }, (_, at) => at),
    worker: EventBus.agent("worker", {
      topics: [topic],
      maxAttempts: 1,
      onEvent: ({ payload }) => Queue.offer(handled, payload)
    })
  }))

/** What others put beside the bus. */
const addEntry = (topic: string, ...fields: ReadonlyArray<string>) =>
  Effect.flatMap(Redis, ({ send }) =>
    send("XADD", `handspan:events:{${encodeURIComponent(topic)}}`, "*", ...fields)
  ).pipe(Effect.provide(redisClient))

const addMessage = (topic: string, data: string | Uint8Array) =>
  Effect.scoped(
    Effect.flatMap(natsConnection, (connection) =>
      Effect.promise(() => {
        connection.publish(`handspan.${encodeURIComponent(topic).replaceAll("%", "_")}`, data)
        return connection.flush()
      })
    )
  )

const traceId = "0af7651916cd43dd8448eb211c80319c"
const spanId = "b7ad6b7169203331"

/** What others write in the fields of an event, whether their trace goes on all the same, and what cannot be read. */
const harms = {
  "a trace id of garbage": {
    fields: { trace_id: "garbage", span_id: spanId, trace_flags: "01" },
    goesOn: false,
    unreadable: ["traceparent"]
  },
  "a trace id of 100 kB": {
    fields: { trace_id: traceId.padEnd(100_000, "0"), span_id: spanId, trace_flags: "01" },
    goesOn: false,
    unreadable: ["traceparent"]
  },
  "a tracestate of 100 kB": {
    fields: {
      trace_id: traceId,
      span_id: spanId,
      trace_flags: "01",
      tracestate: Array.from({ length: 500 }, (_, n) => `key${n}=${"x".repeat(195)}`).join(",")
    },
    goesOn: true,
    unreadable: ["tracestate"]
  },
  "baggage that is none": {
    fields: { trace_id: traceId, span_id: spanId, trace_flags: "01", baggage: "=,;,=;" },
    goesOn: true,
    unreadable: ["baggage"]
  }
}

/** How many fields could not be read so far, by the metric. */
const counted = Effect.map(Metric.snapshot, (snapshots) =>
  snapshots
    .filter(({ id }) => id === Propagator.unreadableMetric)
    .reduce((sum, { state }) => sum + Number("count" in state ? state.count : 0), 0)
)

const buses = {
  Redis: {
    server: redis,
    forget: Effect.flatMap(Redis, ({ send }) => send("FLUSHALL")).pipe(Effect.provide(redisClient)),
    layer: redisBus({}),
    impatient: redisBus({ timeout: "3 seconds" }),
    forgetful: redisBus({ maxAge }),
    odd: oddTimes.map((times) => redisBus(times)),
    put: (topic: string, text: string) => addEntry(topic, "event", text),
    poison: (topic: string) =>
      Effect.andThen(addEntry(topic, "event", "{]"), addEntry(topic, "other", "1", "event", "{}"))
  },
  NATS: {
    server: nats,
    forget: Effect.scoped(
      Effect.flatMap(natsConnection, (connection) =>
        Effect.promise(async () => {
          const { streams } = await jetstream(connection).jetstreamManager()
          await Promise.all([streams.delete("handspan"), streams.delete("handspan_attempts")])
        })
      )
    ),
    layer: natsBus({}),
    impatient: natsBus({ timeout: "3 seconds" }),
    forgetful: natsBus({ maxAge, stream: "forgetful" }),
    odd: oddTimes.map((times, at) => natsBus({ ...times, stream: `odd-${at}` })),
    put: (topic: string, text: string) => addMessage(topic, text),
    poison: (topic: string) =>
      Effect.andThen(addMessage(topic, Uint8Array.of(0xff, 0, 0x7b)), addMessage(topic, '{"id":7}'))
  }
}

for (const [name, { forget, forgetful, impatient, layer, odd, poison, put, server }] of Object.entries(buses)) {
  describe(`busContract: ${name}`, () => {
    for (const { check, rule } of Testing.busContract<unknown>({ layer, ackWait, poison, knowsIds: true })) {
      it.effect(rule, () => check)
    }
  })

  describe(`${name}.layer`, () => {
    it.live("loses nothing that it has taken when its server is killed, and agents go on", () =>
      Effect.gen(function* () {
        const all = Array.from({ length: 300 }, (_, at) => at)
        const handled = new Set<unknown>()
        const [some, every] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const onEvent = ({ payload }: EventBus.Event) => {
          handled.add(payload)
          if (handled.size === 100) Deferred.doneUnsafe(some, Effect.void)
          if (handled.size === all.length) Deferred.doneUnsafe(every, Effect.void)
          return Effect.void
        }
        yield* EventBus.agent("worker", { topics: ["restart"], onEvent })
        const publish = (payload: number) => EventBus.publish("restart", { type: "job", payload })
        const publishing = yield* Effect.forkScoped(Effect.forEach(all, publish, { discard: true }))
        yield* Deferred.await(some)
        yield* Effect.promise(server.kill)
        yield* Effect.promise(server.start)
        yield* Fiber.join(publishing)
        yield* Deferred.await(every)
        assert.strictEqual(handled.size, all.length)
      }).pipe(Effect.provide(layer))
    )

    it.live("makes its groups again where its server has lost all", () =>
      Effect.gen(function* () {
        const handled = yield* Queue.unbounded<unknown>()
        const onEvent = ({ payload }: EventBus.Event) => Queue.offer(handled, payload)
        yield* EventBus.agent("worker", { topics: ["lost"], onEvent })
        const publish = (payload: number) => EventBus.publish("lost", { type: "job", payload })
        yield* publish(1)
        assert.strictEqual(yield* Queue.take(handled), 1)
        yield* forget
        yield* publish(2)
        assert.strictEqual(yield* Queue.take(handled), 2)
      }).pipe(Effect.provide(layer))
    )

    it.live("forgets after maxAge what nobody asks for, and keeps who waits for more", () =>
      Effect.gen(function* () {
        const bus = yield* EventBus.EventBus
        const publish = (topic: string, payload: string) => EventBus.publish(topic, { type: "job", payload })
        const payload = Effect.map(({ event }: EventBus.Received) => event.payload)
        yield* publish("left", "old")
        yield* Effect.asVoid(Effect.scoped(bus.subscribe("left before", "worker")))
        const waiting = yield* Effect.forkScoped(payload(yield* bus.subscribe("waited for", "worker")))
        yield* Effect.sleep(Duration.sum(Duration.fromInputUnsafe(maxAge), Duration.seconds(2)))
        const topics = ["left", "left before", "waited for"]
        yield* Effect.forEach(topics, (topic) => publish(topic, "new"))
        assert.strictEqual(yield* Fiber.join(waiting), "new")
        // A group that was forgotten is the first of its topic once more.
        for (const topic of ["left", "left before"]) {
          assert.strictEqual(yield* payload(yield* bus.subscribe(topic, "another")), "new")
        }
      }).pipe(Effect.provide(forgetful), Effect.scoped)
    )

    it.live.each(oddTimes.map((times, at) => ({ ...times, bus: odd[at]! })))(
      "takes $ackWait for ackWait and $maxAge for maxAge as whole times",
      ({ bus }) =>
        Effect.gen(function* () {
          const { subscribe } = yield* EventBus.EventBus
          const take = yield* subscribe("odd", "worker")
          yield* EventBus.publish("odd", { type: "job", payload: 1 })
          yield* (yield* take).giveBack({ hasFailed: true })
          const { ack, attempt } = yield* take
          yield* ack
          assert.strictEqual(attempt, 2)
        }).pipe(Effect.provide(bus), Effect.scoped, Effect.timeout("10 seconds"))
    )

    it.live("keeps what comes just as an agent is interrupted, which counts for no attempt", () =>
      Effect.gen(function* () {
        const { handled, rounds, worker } = yield* strict("shifts")
        for (const round of rounds) {
          const fiber = yield* worker
          // It is about to be handed the event, at a time that differs.
          yield* EventBus.publish("shifts", { type: "job", payload: round })
          yield* Effect.sleep(round % 4)
          yield* Fiber.interrupt(fiber)
        }
        yield* worker
        const all = yield* Effect.forEach(rounds, () => Queue.take(handled))
        assert.sameMembers(all, rounds)
      }).pipe(Effect.provide(layer), Effect.scoped, Effect.timeout("30 seconds"))
    )

    it.live(
      "buries nothing that no handler has failed on, where agent, bus and connection stop at once",
      () =>
        Effect.gen(function* () {
          const { handled, rounds, worker } = yield* strict("deploys")
          for (const round of rounds) {
            // With a connection of its own, as another process has.
            const scope = yield* Scope.make()
            const own = yield* Layer.build(Layer.fresh(layer)).pipe(Scope.provide(scope))
            yield* Scope.provide(Effect.provide(worker, own), scope)
            // It is about to be handed the event, at a time that differs.
            yield* EventBus.publish("deploys", { type: "job", payload: round })
            yield* Effect.sleep(round % 4)
            yield* Scope.close(scope, Exit.void)
          }
          yield* worker
          assert.sameMembers(yield* Effect.forEach(rounds, () => Queue.take(handled)), rounds)
        }).pipe(Effect.provide(layer), Effect.scoped, Effect.timeout("60 seconds")),
      70_000
    )

    it.live("hands out at once what waits, however many members wait for other topics", () =>
      Effect.gen(function* () {
        const idle = { topics: ["idle"], concurrency: 12, onEvent: () => Effect.void }
        yield* EventBus.agent("worker", idle)
        const jobs = Array.from({ length: 20 }, (_, at) => at)
        yield* Effect.forEach(jobs, (payload) => EventBus.publish("waiting", { type: "job", payload }))
        const handled = yield* Queue.unbounded<unknown>()
        const onEvent = ({ payload }: EventBus.Event) => Queue.offer(handled, payload)
        yield* EventBus.agent("worker", { topics: ["waiting"], onEvent })
        // Each would wait a second for one of the others' connections.
        const all = Effect.timeout(
          Effect.forEach(jobs, () => Queue.take(handled)),
          "10 seconds"
        )
        assert.deepStrictEqual(yield* all, jobs)
      }).pipe(Effect.scoped, Effect.provide(layer))
    )

    it.live("closes where its server is away", () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const own = yield* Layer.build(Layer.fresh(layer)).pipe(Scope.provide(scope))
        const agent = EventBus.agent("worker", { topics: ["closing"], onEvent: () => Effect.void })
        yield* Scope.provide(Effect.provide(agent, own), scope)
        yield* Effect.promise(server.kill)
        // It has noticed, and tries again.
        yield* Effect.sleep("2 seconds")
        const closed = yield* Effect.timeoutOption(Scope.close(scope, Exit.void), "10 seconds")
        yield* Effect.promise(server.start)
        assert.isTrue(Option.isSome(closed))
      })
    )

    it.live("counts attempts from 1 on, also where its server was killed", () =>
      Effect.gen(function* () {
        const bus = yield* EventBus.EventBus
        const take = yield* bus.subscribe("counted", "worker")
        yield* EventBus.publish("counted", { type: "job", payload: 1 })
        for (let times = 0; times < 4; times++) yield* (yield* take).giveBack({ hasFailed: false })
        yield* Effect.promise(server.kill)
        yield* Effect.promise(server.start)
        const first = yield* take
        yield* first.giveBack({ hasFailed: true })
        const second = yield* take
        yield* second.ack
        assert.deepStrictEqual([first.attempt, second.attempt], [1, 2])
      }).pipe(Effect.provide(layer), Effect.scoped, Effect.timeout("20 seconds"))
    )

    it.live("puts with the dead as a text what is too long to be put there as a whole", () =>
      Effect.gen(function* () {
        const bus = yield* EventBus.EventBus
        const takeDead = yield* bus.subscribe("long.dead", "undertaker")
        yield* EventBus.agent("worker", {
          topics: ["long"],
          maxAttempts: 1,
          onEvent: () => Effect.fail("x".repeat(2000))
        })
        yield* EventBus.publish("long", { type: "job", payload: "x".repeat(2 ** 20 - 400) })
        const { event } = (yield* takeDead).event.payload as { readonly event: unknown }
        // Redis takes it as a whole.
        assert.strictEqual(typeof event, name === "NATS" ? "string" : "object")
      }).pipe(Effect.provide(layer), Effect.scoped, Effect.timeout("20 seconds"))
    )

    it.live("fails to publish where its server stays away, and tells what cannot be sent at once", () =>
      Effect.gen(function* () {
        const publish = (payload: unknown) => Effect.flip(EventBus.publish("away", { type: "job", payload }))
        const unsendable = yield* publish(1n)
        assert.match(unsendable.message, /^Cannot publish on "away" over (redis|nats): .*BigInt/)
        yield* Effect.promise(server.kill)
        const away = yield* publish(1)
        yield* Effect.promise(server.start)
        assert.match(away.message, /^Cannot publish on "away" over (redis|nats): ./)
        assert.notInclude(away.message, "RedisError")
        assert.strictEqual((yield* EventBus.publish("away", { type: "job", payload: 1 })).payload, 1)
      }).pipe(Effect.provide(impatient))
    )
  })

  describe(`an event that ${name} has kept`, () => {
    for (const [harm, { fields, goesOn, unreadable }] of Object.entries(harms)) {
      it.live(`is handled with ${harm}`, () =>
        Effect.gen(function* () {
          const before = yield* counted
          const program = Effect.gen(function* () {
            const handled = yield* Deferred.make<unknown>()
            const bus = yield* EventBus.EventBus
            // The server has its stream.
            yield* Effect.asVoid(Effect.scoped(bus.subscribe(harm, "worker")))
            yield* put(harm, JSON.stringify({ id: "1", type: "job", payload: "work", ...fields }))
            const onEvent = ({ payload }: EventBus.Event) => Deferred.succeed(handled, payload)
            const fiber = yield* EventBus.agent("worker", { topics: [harm], onEvent })
            const payload = yield* Deferred.await(handled)
            yield* Fiber.interrupt(fiber)
            return payload
          })
          const { exit, traces } = yield* Testing.record(Effect.scoped(Effect.provide(program, layer)), {
            clock: "live"
          })
          assert.deepStrictEqual(exit, Exit.succeed("work"))
          assert.deepStrictEqual(
            traces
              .flatMap(({ spans }) => spans)
              .map((span) => [
                span.name,
                span.traceId === traceId,
                span.parentSpanId,
                span.attributes["handspan.propagation.unreadable"]
              ]),
            [["agent.on_event", goesOn, goesOn ? spanId : undefined, unreadable]]
          )
          assert.strictEqual((yield* counted) - before, unreadable.length)
        })
      )
    }
  })

  describe(`bus/Actions over ${name}`, () => {
    /** With a connection of its own, as another process has. */
    const broker = Layer.build(Layer.fresh(Layer.provide(Actions.layer(), layer)))

    it.live("brings calls from one connection to another, in one trace", () =>
      Effect.gen(function* () {
        const program = Effect.gen(function* () {
          const [calling, answering] = [yield* broker, yield* broker]
          const answer = (capability: string, handle: (input: unknown) => Effect.Effect<unknown>) =>
            Effect.provide(ActionBroker.answer(capability, handle), answering)
          yield* answer("double", (input) => Effect.succeed(Number(input) * 2))
          yield* answer("fail", () => Effect.die("try later"))
          yield* answer("big", () => Effect.succeed(1n))
          const ask = (capability: string, input: unknown) =>
            Effect.provide(ActionBroker.invoke(capability, input), calling)
          const problems = Effect.forEach(["fail", "big"], (capability) =>
            Effect.map(Effect.flip(ask(capability, null)), ({ message }) => message)
          )
          return yield* Effect.all({
            doubled: Effect.forEach([1, 2, 3], (input) => ask("double", input), { concurrency: 3 }),
            problems,
            unsendable: Effect.map(Effect.flip(ask("double", 1n)), ({ message }) => message)
          }).pipe(Effect.withSpan("plan"))
        })
        const { exit, trace } = yield* Testing.record(Effect.scoped(program), { clock: "live" })
        if (!Exit.isSuccess(exit)) return yield* exit
        const { doubled, problems, unsendable } = exit.value
        assert.deepStrictEqual(doubled, [2, 4, 6])
        assert.strictEqual(problems[0], 'Cannot do "fail": try later')
        assert.match(problems[1]!, /^Cannot do "big": Cannot publish on "action\.answers\..*BigInt/)
        assert.match(unsendable, /^Cannot do "double": Cannot publish on "action\.calls\.double".*BigInt/)
        const { anyOrder, span } = Testing.Tree
        const call = span("action.invoke", [span("action.handle")])
        const failed = span("action.invoke", {
          status: "error",
          children: [span("action.handle", { status: "error" })]
        })
        const unanswered = span("action.invoke", { status: "error", children: [span("action.handle")] })
        Testing.expectTrace(trace).toMatchTree(
          span("plan", anyOrder(call, call, call, failed, unanswered, span("action.invoke", { status: "error" })))
        )
      })
    )
  })
}

describe("bus/Redis", () => {
  it.live("has of all that it asks a traced Redis only the publishing in traces", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const handled = yield* Queue.unbounded<void>()
        let calls = 0
        // It fails once, and then works for so long that it has to be held.
        const onEvent = () =>
          ++calls === 1 ? Effect.fail("busy") : Effect.andThen(Effect.sleep(ackWait), Queue.offer(handled, undefined))
        const fiber = yield* EventBus.agent("worker", { topics: ["traced"], onEvent })
        yield* Effect.withSpan(EventBus.publish("traced", { type: "job", payload: 1 }), "send")
        yield* Queue.take(handled)
        // So long does it wait for another.
        yield* Effect.sleep(ackWait)
        yield* Fiber.interrupt(fiber)
        // It comes to a poll that was left.
        yield* Effect.withSpan(EventBus.publish("traced", { type: "job", payload: 2 }), "send")
      })
      const bus = RedisBus.layer({ ackWait }).pipe(Layer.provide(TracedRedis.layerClient), Layer.provide(redisClient))
      const { traces } = yield* Testing.record(Effect.scoped(Effect.provide(program, bus)), { clock: "live" })
      const { anyOrder, span } = Testing.Tree
      // An agent may be quicker than the answer to who has published.
      const below = anyOrder(span("EVALSHA"), span("agent.on_event", { status: "error" }), span("agent.on_event"))
      const [handled, unheard, ...others] = traces
      Testing.expectTrace(handled!).toMatchTree(span("send", [span("eventbus.publish", below)]))
      Testing.expectTrace(unheard!).toMatchTree(span("send", [span("eventbus.publish", [span("EVALSHA")])]))
      assert.deepStrictEqual(others, [])
    })
  )

  it.live(
    "keeps for all groups of a topic what waits for them, as long as a member of one holds or awaits an event",
    () =>
      Effect.gen(function* () {
        const bus = yield* EventBus.EventBus
        const topic = "kept"
        const longer = Effect.sleep("2 seconds")
        /** The payload of the event that waits for a group. */
        const waitingFor = (group: string) =>
          Effect.scoped(
            Effect.gen(function* () {
              const { ack, event } = yield* yield* bus.subscribe(topic, group)
              yield* ack
              return event.payload
            })
          )
        const take = yield* bus.subscribe(topic, "working")
        yield* Effect.asVoid(Effect.scoped(bus.subscribe(topic, "away")))
        yield* Effect.forEach([1, 2], (payload) => EventBus.publish(topic, { type: "job", payload }))
        const [first, second] = [yield* take, yield* take]
        yield* longer
        const whileHeld = yield* waitingFor("away")
        yield* Effect.andThen(first.ack, second.ack)
        yield* Effect.forkScoped(take)
        yield* longer
        assert.deepStrictEqual([whileHeld, yield* waitingFor("away")], [1, 2])
      }).pipe(
        Effect.scoped,
        Effect.provide(Layer.provide(RedisBus.layer({ ackWait, maxAge: "1500 millis" }), redisClient)),
        Effect.timeout("20 seconds")
      )
  )

  it.live("goes on after Redis was away, with as many members as connections", () =>
    Effect.gen(function* () {
      const handled = yield* Queue.unbounded<unknown>()
      const onEvent = ({ payload }: EventBus.Event) => Queue.offer(handled, payload)
      yield* EventBus.agent("worker", { topics: ["alone"], onEvent })
      // It has its connection.
      yield* Effect.sleep("300 millis")
      yield* Effect.promise(redis.kill)
      yield* Effect.sleep("500 millis")
      yield* Effect.promise(redis.start)
      // It has asked for another connection by then.
      yield* Effect.sleep("3 seconds")
      yield* EventBus.publish("alone", { type: "job", payload: 1 })
      assert.strictEqual(yield* Effect.timeout(Queue.take(handled), "10 seconds"), 1)
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.provide(RedisBus.layer({ ackWait }), clientOf(redis, { maxConnections: 1 })))
    )
  )

  it.live("keeps what belongs to a topic on one node of a cluster", () =>
    Effect.gen(function* () {
      const node = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const clusterPort = await freePort()
          const node = new Server("redis-server", "Ready to accept connections", (port, folder) => [
            "--bind 127.0.0.1",
            `--port ${port}`,
            `--dir ${folder}`,
            "--cluster-enabled yes",
            // By itself it would take one that is 10,000 above, which there may not be.
            `--cluster-port ${clusterPort}`
          ])
          await node.start()
          return node
        }),
        (node) =>
          Effect.promise(async () => {
            await node.kill()
            rmSync(node.folder, { recursive: true, force: true })
          })
      )
      const client = clientOf(node)
      yield* Effect.flatMap(Redis, ({ send }) => send("CLUSTER", "ADDSLOTSRANGE", "0", "16383")).pipe(
        Effect.provide(client)
      )
      const program = Effect.gen(function* () {
        const bus = yield* EventBus.EventBus
        return yield* Effect.forEach(["", "readings", "{a}"], (topic) =>
          Effect.gen(function* () {
            const take = yield* bus.subscribe(topic, "worker")
            yield* EventBus.publish(topic, { type: "job", payload: topic })
            yield* (yield* take).giveBack({ hasFailed: true })
            const { ack, attempt, event } = yield* take
            yield* ack
            return [event.payload, attempt]
          })
        )
      })
      const seen = yield* Effect.provide(program, Layer.provide(RedisBus.layer({ ackWait }), client))
      assert.deepStrictEqual(seen, [
        ["", 2],
        ["readings", 2],
        ["{a}", 2]
      ])
    }).pipe(Effect.scoped)
  )
})
