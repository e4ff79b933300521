import { assert, describe, it } from "@effect/vitest"
import { type Context, Deferred, Effect, Exit, Fiber, Layer, Option, Queue, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as ActionBroker from "../src/ActionBroker.ts"
import * as Bridge from "../src/Bridge.ts"
import * as Actions from "../src/bus/Actions.ts"
import type * as Connection from "../src/Connection.ts"
import * as EventBus from "../src/EventBus.ts"
import * as Propagator from "../src/Propagator.ts"
import * as Testing from "../src/Testing.ts"
import * as TraceContext from "../src/TraceContext.ts"

const { Tree, expectTrace } = Testing
const { span } = Tree

class Busy extends Schema.TaggedError<Busy>()("Busy", { message: Schema.String }) {}

/** Those who call, and those who answer: over a bus each have a broker of their own, as if they were of two processes. */
interface Sides {
  readonly calling: Context.Context<ActionBroker.ActionBroker>
  readonly answering: Context.Context<ActionBroker.ActionBroker>
}

const onBus = Layer.build(Layer.fresh(Actions.layer({ timeout: "1 minute" })))

/** The bus, as an agent of another process sees it. */
const overBridge = Effect.gen(function* () {
  const [there, back] = [yield* Queue.unbounded<unknown>(), yield* Queue.unbounded<unknown>()]
  const connect = (to: Queue.Queue<unknown>, from: Queue.Queue<unknown>): Connection.Connection => ({
    send: (message) => Effect.asVoid(Queue.offer(to, JSON.parse(JSON.stringify(message)))),
    receive: Queue.take(from)
  })
  yield* Effect.forkScoped(Bridge.serve(connect(back, there)))
  return yield* Layer.build(Bridge.layer("agent", connect(there, back)))
})

const brokers: Record<string, Effect.Effect<Sides, EventBus.EventBusError, EventBus.EventBus | Scope.Scope>> = {
  layerMemory: Effect.map(Layer.build(ActionBroker.layerMemory), (both) => ({ calling: both, answering: both })),
  "bus/Actions in memory": Effect.all({ calling: onBus, answering: onBus }),
  "bus/Actions over a Bridge": Effect.all({
    calling: Effect.flatMap(overBridge, (bus) => Effect.provide(onBus, bus)),
    answering: Effect.flatMap(overBridge, (bus) => Effect.provide(onBus, bus))
  })
}

const ask = (sides: Sides, capability: string, input: unknown) =>
  Effect.provide(ActionBroker.invoke(capability, input), sides.calling)

const answer = <A, E>(sides: Sides, capability: string, handle: (input: unknown) => Effect.Effect<A, E>) =>
  Effect.provide(ActionBroker.answer(capability, handle), sides.answering)

const asked = { kind: "client", attributes: { capability: "double" } } as const

for (const [name, sides] of Object.entries(brokers)) {
  const record = <A, E>(program: (sides: Sides) => Effect.Effect<A, E, EventBus.EventBus | Scope.Scope>) =>
    Testing.record(Effect.scoped(Effect.provide(Effect.flatMap(sides, program), EventBus.layerMemory)), {
      advance: "1 hour"
    })

  /** What the bridges that an event goes through add to the call that it is of. */
  const bridged = name.endsWith("Bridge")
    ? [span("bridge.publish", [span("eventbus.publish", [span("bridge.forward")])])]
    : []

  describe(`ActionBroker: ${name}`, () => {
    it.effect("goes on with the caller's trace, and brings its baggage", () =>
      Effect.gen(function* () {
        const { exit, trace } = yield* record((sides) =>
          Effect.gen(function* () {
            yield* answer(sides, "double", (input) =>
              Effect.map(TraceContext.CurrentBaggage, (baggage) => [Number(input) * 2, baggage.get("user")?.value])
            )
            return yield* Effect.withSpan(ask(sides, "double", 21), "plan").pipe(
              Propagator.withRemoteParent({ baggage: "user=alice" })
            )
          })
        )
        assert.deepStrictEqual(exit, Exit.succeed([42, "alice"]))
        expectTrace(trace).toMatchTree(
          span("plan", [
            span("action.invoke", {
              ...asked,
              children: Tree.anyOrder(span("action.handle", { kind: "server" }), ...bridged, ...bridged)
            })
          ])
        )
      })
    )

    it.effect("begins a trace of its own where callers are not to be followed", () =>
      Effect.gen(function* () {
        const { traces } = yield* record((sides) =>
          Effect.gen(function* () {
            yield* Effect.provideService(
              answer(sides, "double", () => Effect.map(TraceContext.CurrentBaggage, ({ size }) => size)),
              Propagator.CurrentTrust,
              "link"
            )
            const size = yield* Propagator.withRemoteParent({ baggage: "user=alice" })(ask(sides, "double", 1))
            assert.strictEqual(size, 0)
          })
        )
        const rootOf = (name: string) => traces.find(({ roots }) => roots[0]?.span.name === name)!
        expectTrace(rootOf("action.invoke")).toMatchTree(span("action.invoke", [...bridged, ...bridged]))
        expectTrace(rootOf("action.handle")).toMatchTree(span("action.handle"))
        assert.deepStrictEqual(
          rootOf("action.handle").roots[0]?.span.links.map(({ spanId }) => spanId),
          [rootOf("action.invoke").roots[0]?.span.spanId]
        )
      })
    )

    it.effect("tells the caller what went wrong, by its message alone", () =>
      Effect.gen(function* () {
        const { exit, traces } = yield* record((sides) =>
          Effect.gen(function* () {
            yield* answer(sides, "double", () => new Busy({ message: "try later" }))
            yield* answer(sides, "triple", () => Effect.die("no"))
            return [yield* Effect.flip(ask(sides, "double", 1)), yield* Effect.flip(ask(sides, "triple", 1))]
          })
        )
        assert.deepStrictEqual(
          exit,
          Exit.succeed([
            ActionBroker.failure("double", "failed", "try later"),
            ActionBroker.failure("triple", "failed", "no")
          ])
        )
        expectTrace(traces[0]!).toMatchTree(
          span("action.invoke", {
            status: "error",
            attributes: { "error.type": "ActionError" },
            children: Tree.anyOrder(
              span("action.handle", { status: "error", attributes: { "error.type": "Busy" } }),
              ...bridged,
              ...bridged
            )
          })
        )
      })
    )

    it.effect("has several calls side by side, and gives each its own answer", () =>
      Effect.gen(function* () {
        const { exit, trace } = yield* record((sides) =>
          Effect.gen(function* () {
            yield* answer(sides, "wait", (seconds) =>
              Effect.as(Effect.sleep(`${Number(seconds)} seconds`), `${String(seconds)} s`)
            )
            yield* answer(sides, "nothing", () => Effect.void)
            const calls = [3, 1, 2].map((seconds) => ask(sides, "wait", seconds))
            return yield* Effect.all([...calls, ask(sides, "nothing", undefined)], { concurrency: 4 }).pipe(
              Effect.withSpan("plan")
            )
          })
        )
        assert.deepStrictEqual(exit, Exit.succeed(["3 s", "1 s", "2 s", undefined]))
        assert.strictEqual(trace.endTimeUnixNano - trace.startTimeUnixNano, 3_000_000_000n)
      })
    )
  })
}

describe("ActionBroker.layerMemory", () => {
  const record = <A, E>(program: Effect.Effect<A, E, ActionBroker.ActionBroker | Scope.Scope>) =>
    Testing.record(Effect.scoped(Effect.provide(program, ActionBroker.layerMemory)), { advance: "1 second" })

  it.effect("tells whether anybody is able to, which the last is who says so", () =>
    Effect.gen(function* () {
      const { exit } = yield* record(
        Effect.gen(function* () {
          const nobody = yield* Effect.flip(ActionBroker.invoke("double", 1))
          yield* ActionBroker.answer("triple", () => Effect.succeed("first"))
          const last = Effect.andThen(
            ActionBroker.answer("triple", () => Effect.succeed("last")),
            ActionBroker.invoke("triple", 1)
          )
          return [nobody, yield* Effect.scoped(last), yield* Effect.flip(ActionBroker.invoke("triple", 1))]
        })
      )
      assert.deepStrictEqual(
        exit,
        Exit.succeed([
          ActionBroker.failure("double", "unknown", "nobody is able to; there is nothing"),
          "last",
          ActionBroker.failure("triple", "unknown", "nobody is able to; there is nothing")
        ])
      )
    })
  )

  it.effect("is interrupted with its caller", () =>
    Effect.gen(function* () {
      const { trace } = yield* record(
        Effect.gen(function* () {
          yield* ActionBroker.answer("wait", () => Effect.never)
          return yield* Effect.timeoutOption(ActionBroker.invoke("wait", 1), "1 second")
        })
      )
      expectTrace(trace).toMatchTree(
        span("action.invoke", { status: "unset", children: [span("action.handle", { status: "unset" })] })
      )
    })
  )
})

describe("bus/Actions", () => {
  const broker = Actions.layer({ timeout: "1 minute" })
  const both = Layer.provideMerge(broker, EventBus.layerMemory)

  /** What has been handled of a capability, by a broker of its own. */
  const handling = (capability: string, work: Effect.Effect<unknown> = Effect.void) =>
    Effect.gen(function* () {
      const handled: Array<unknown> = []
      const handle = (input: unknown) =>
        Effect.andThen(
          Effect.sync(() => handled.push(input)),
          work
        )
      yield* Effect.provide(ActionBroker.answer(capability, handle), yield* onBus)
      return handled
    })

  /** A bus that is as particular as JSON. */
  const withoutBigInts = Layer.effect(
    EventBus.EventBus,
    Effect.map(EventBus.EventBus, ({ publish, subscribe }) => ({
      subscribe,
      publish: (topic, event) =>
        typeof Object(event.payload).output === "bigint"
          ? Effect.fail(new EventBus.EventBusError({ topic, message: "no bigint" }))
          : publish(topic, event)
    }))
  )

  it.effect("fails where nobody has answered in time, and drops calls that come later than that", () =>
    Effect.gen(function* () {
      const invoking = yield* Effect.forkChild(Effect.flip(ActionBroker.invoke("double", "late")))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(
        yield* Fiber.join(invoking),
        ActionBroker.failure("double", "timeout", "nobody has answered within 1m")
      )
      yield* TestClock.adjust(1)
      const handled = yield* handling("double")
      yield* ActionBroker.invoke("double", "in time")
      assert.deepStrictEqual(handled, ["in time"])
    }).pipe(Effect.provide(both))
  )

  it.effect("hands each call to one of those who answer, and goes on where one of them ends", () =>
    Effect.gen(function* () {
      const ask = Effect.forEach([1, 2, 3, 4], (input) => ActionBroker.invoke("double", input), { concurrency: 4 })
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(handling("double"), scope)
      const second = yield* handling("double")
      yield* ask
      const handled = new Set([...first, ...second])
      yield* Scope.close(scope, Exit.void)
      yield* ask
      assert.deepStrictEqual([handled.size, first.length + second.length], [4, 8])
    }).pipe(Effect.provide(both))
  )

  it.effect("handles no call that it could not acknowledge", () =>
    Effect.gen(function* () {
      const acknowledged: Array<number> = []
      const { publish, subscribe } = yield* EventBus.EventBus
      const ackOf = ({ ack, attempt, giveBack }: EventBus.Received) =>
        Effect.suspend(() => {
          acknowledged.push(attempt)
          const lost = new EventBus.EventBusError({ topic: "", message: "it is gone" })
          return attempt === 1 ? Effect.andThen(giveBack({ hasFailed: true }), lost) : ack
        })
      const unsure: EventBus.Broker = {
        publish,
        subscribe: (topic, group) =>
          Effect.map(subscribe(topic, group), (take) =>
            Effect.map(take, (received) => ({ ...received, ack: ackOf(received) }))
          )
      }
      const handled = yield* Effect.provideService(handling("double"), EventBus.EventBus, unsure)
      yield* ActionBroker.invoke("double", 1)
      assert.deepStrictEqual([acknowledged, handled], [[1, 2], [1]])
    }).pipe(Effect.provide(both))
  )

  it.effect("gives up with its caller, while the handler goes on", () =>
    Effect.gen(function* () {
      const done = yield* Queue.unbounded<string>()
      const handled = yield* handling("wait", Effect.delay(Queue.offer(done, "done"), "2 seconds"))
      const invoking = yield* Effect.forkChild(Effect.timeoutOption(ActionBroker.invoke("wait", 1), "1 second"))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* Fiber.join(invoking), Option.none())
      assert.strictEqual(yield* Queue.take(done), "done")
      assert.deepStrictEqual(handled, [1])
    }).pipe(Effect.provide(both))
  )

  it.effect("tells the caller of a handler whose scope has ended, and of an output that cannot be sent", () =>
    Effect.gen(function* () {
      const invoking = yield* Effect.forkChild(Effect.flip(ActionBroker.invoke("wait", 1)))
      const begun = yield* Deferred.make<void>()
      const stuck = handling("wait", Effect.andThen(Deferred.succeed(begun, undefined), Effect.never))
      yield* Effect.scoped(Effect.andThen(stuck, Deferred.await(begun)))
      assert.deepStrictEqual(yield* Fiber.join(invoking), ActionBroker.failure("wait", "failed", "it was interrupted"))

      yield* handling("big", Effect.succeed(1n))
      assert.deepStrictEqual(
        yield* Effect.flip(ActionBroker.invoke("big", 1)),
        ActionBroker.failure("big", "failed", "no bigint")
      )
    }).pipe(Effect.provide(Layer.provideMerge(broker, Layer.provide(withoutBigInts, EventBus.layerMemory))))
  )

  it.effect("passes over what is no call, and answers for nobody", () =>
    Effect.gen(function* () {
      const { publish, subscribe } = yield* EventBus.EventBus
      const put = (topic: string, payload: unknown) => publish(topic, { id: "odd", type: "odd", payload })
      const handled = yield* handling("double", Effect.succeed("done"))
      const calls = yield* subscribe("action.calls.double", "spy")
      yield* ActionBroker.invoke("double", 1)
      const call = Object((yield* calls).event.payload)
      const answers = `action.answers.${call.caller}`
      const trap = Object.defineProperty({ ...call }, "number", { enumerable: true, get: () => assert.fail("read") })
      for (const odd of [null, 7, {}, "call", { ...call, number: "1" }, { ...call, until: null }, trap]) {
        yield* put("action.calls.double", odd)
        yield* put(answers, odd)
      }
      yield* put(answers, { number: 1, output: "again" })
      yield* put("action.calls.double", { ...call, headers: { traceparent: 7 }, input: 2 })
      assert.strictEqual(yield* ActionBroker.invoke("double", 3), "done")
      assert.deepStrictEqual(handled, [1, 2, 3])
    }).pipe(Effect.provide(both))
  )

  it.effect("fails at once where the bus is gone, or would not have it", () =>
    Effect.gen(function* () {
      const gone = yield* Deferred.make<never, EventBus.EventBusError>()
      const publish = (topic: string) =>
        topic.endsWith("full") ? Effect.fail(new EventBus.EventBusError({ topic, message: "no room" })) : Effect.void
      const bus = Layer.succeed(EventBus.EventBus, { publish, subscribe: () => Effect.succeed(Deferred.await(gone)) })
      yield* Effect.gen(function* () {
        const invoking = yield* Effect.forkChild(Effect.flip(ActionBroker.invoke("double", 1)), {
          startImmediately: true
        })
        const full = yield* Effect.flip(ActionBroker.invoke("full", 1))
        yield* Deferred.fail(gone, new EventBus.EventBusError({ topic: "", message: "it is gone" }))
        assert.deepStrictEqual(
          [full, yield* Fiber.join(invoking)],
          [ActionBroker.failure("full", "failed", "no room"), ActionBroker.failure("double", "failed", "it is gone")]
        )
      }).pipe(Effect.provide(Layer.provideMerge(broker, bus)))
    })
  )
})
