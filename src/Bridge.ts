/**
 * Leads agents of other processes to a bus: each side of a connection has one half. The trace is on the events themselves
 * (`Envelope`), so both ways keep it, whatever language the other half is in.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberMap from "effect/FiberMap"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Connection, ConnectionError } from "./Connection.ts"
import { Key } from "./Conventions.ts"
import * as Envelope from "./Envelope.ts"
import {
  type Broker,
  Event,
  EventBus,
  EventBusError,
  forEach,
  type Received,
  type Unhandled,
  withTrace
} from "./EventBus.ts"
import * as Propagator from "./Propagator.ts"
import * as SpanEnd from "./SpanEnd.ts"

const Ack = Schema.Struct({ kind: Schema.Literal("ack"), delivery: Schema.Int })

const GiveBack = Schema.Struct({
  kind: Schema.Literal("giveBack"),
  delivery: Schema.Int,
  first_attempt: Schema.optionalKey(Schema.String),
  /** Whether it has failed. Left out where it has. */
  has_failed: Schema.optionalKey(Schema.Boolean)
})

type Settled = typeof Ack.Type | typeof GiveBack.Type

/** What an agent says to the bridge. */
const FromAgent = Schema.Union([
  Schema.Struct({
    kind: Schema.Literal("publish"),
    number: Schema.Int,
    agent: Schema.String,
    topic: Schema.String,
    event: Event
  }),
  Schema.Struct({
    kind: Schema.Literal("subscribe"),
    number: Schema.Int,
    topic: Schema.String,
    group: Schema.String
  }),
  /** Asks for one event, or for no more, by the number that it subscribed with. */
  Schema.Struct({ kind: Schema.Literals(["next", "unsubscribe"]), number: Schema.Int }),
  Ack,
  GiveBack
])

/** What the bridge says to an agent. */
const FromBridge = Schema.Union([
  /** The answer to what has a number of its own; a problem that comes later is the end of what was subscribed to. */
  Schema.Struct({ kind: Schema.Literal("done"), number: Schema.Int, problem: Schema.optionalKey(Schema.String) }),
  Schema.Struct({
    kind: Schema.Literal("deliver"),
    delivery: Schema.Int,
    /** The number that was subscribed with. */
    subscription: Schema.Int,
    attempt: Schema.Int,
    first_attempt: Schema.optionalKey(Schema.String),
    event: Event
  })
])

/** What has an answer, also where it cannot be read. */
const Question = Schema.Struct({ kind: Schema.Literals(["publish", "subscribe"]), number: Schema.Int })

const readQuestion = Schema.decodeUnknownOption(Question)
const readFromAgent = Schema.decodeUnknownOption(FromAgent)
const readFromBridge = Schema.decodeUnknownOption(FromBridge)

/** The span over an event that goes through a bridge, which goes on with what stands on it. */
const through = (name: "bridge.publish" | "bridge.forward", agent: string, topic: string, event: Event) =>
  Propagator.receiveFrom(Envelope.extract(event), {
    name,
    kind: name === "bridge.publish" ? "server" : "consumer",
    attributes: {
      [Key.bridgeAgentId]: agent,
      [Key.topic]: topic,
      [Key.bridgeEventId]: event.id,
      [Key.bridgeTraceId]: event.trace_id ?? "",
      [Key.bridgeSpanId]: event.span_id ?? ""
    }
  })

/** How many events of an agent wait until they are published, before the agent has to. */
const maxPublishing = 1000
/** How long what an agent has left may take, where the bus is slow or away. */
const lastPublishing = "30 seconds"

/**
 * Serves the agents at the other end of a connection, until they are gone: what they publish goes to the bus, as spans
 * `bridge.publish`, and what they subscribe to comes to them, as spans `bridge.forward`. Never fails.
 *
 * **Details**: an event is acknowledged when the agent has dealt with it. Those that it has not when it goes are given back, as
 * attempts that have failed. What an agent publishes keeps its order, also with what it subscribes to; where the agent has gone
 * meanwhile, it is published within 30 seconds or not at all. Interruption drops it.
 *
 * @since 0.1.0
 */
export const serve = (connection: Connection): Effect.Effect<void, never, EventBus> =>
  Effect.scoped(
    Effect.gen(function* () {
      const bus = yield* EventBus
      // A bus may take its time over an event, and the agent has more to say.
      const publishing = yield* Queue.bounded<Effect.Effect<void>, Cause.Done>(maxPublishing)
      const published = yield* Effect.forkScoped(Effect.forever(Effect.flatten(Queue.take(publishing))))
      yield* Effect.scoped(hear(connection, bus, publishing))
      yield* Queue.end(publishing)
      yield* Effect.timeoutOption(Fiber.await(published), lastPublishing)
    })
  )

/** Hears what the agents say, until they are gone. */
const hear = (connection: Connection, bus: Broker, publishing: Queue.Enqueue<Effect.Effect<void>>) =>
  Effect.gen(function* () {
    const subscriptions = yield* FiberMap.make<number>()
    const wanted = new Map<number, Queue.Queue<void>>()
    const deliveries = new Map<number, Deferred.Deferred<Settled>>()
    let last = 0
    let isGone = false

    /** Says what came of it. Where the agent is gone, nobody wants to know. */
    const answer = (number: number, exit: Exit.Exit<void, unknown>) =>
      Effect.ignore(
        connection.send({
          kind: "done",
          number,
          ...(Exit.isFailure(exit) && { problem: SpanEnd.describe(Cause.squash(exit.cause)).message })
        })
      )

    /** Hands out the events of a topic to a member of a group, as it asks for them, until it unsubscribes. */
    const subscribe = (
      { group, number: subscription, topic }: Extract<typeof FromAgent.Type, { readonly kind: "subscribe" }>,
      asks: Queue.Queue<void>,
      joined: Deferred.Deferred<void>
    ) =>
      Effect.gen(function* () {
        const take = yield* Effect.ensuring(
          Effect.suspend(() => bus.subscribe(topic, group)),
          Deferred.succeed(joined, undefined)
        )
        const deliver = (received: Received, run: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>) =>
          Effect.gen(function* () {
            const { attempt, event, firstAttempt: first_attempt } = received
            const delivery = ++last
            const settled = yield* Deferred.make<Settled>()
            deliveries.set(delivery, settled)
            const told = { kind: "deliver", delivery, subscription, attempt, ...(first_attempt && { first_attempt }) }
            const send = Effect.flatMap(withTrace(event), (event) => connection.send({ ...told, event }))
            const forward = send.pipe(through("bridge.forward", group, topic, event))
            const exit = yield* Effect.exit(run(Effect.andThen(forward, Deferred.await(settled))))
            deliveries.delete(delivery)
            // It may have been settled and interrupted at once.
            const how = yield* Option.getOrElse(yield* Deferred.poll(settled), () => Effect.undefined)
            const ended: Unhandled =
              how?.kind === "giveBack"
                ? { hasFailed: how.has_failed ?? true, firstAttempt: how.first_attempt ?? first_attempt }
                : { hasFailed: isGone, firstAttempt: first_attempt }
            yield* Effect.ignore(how?.kind === "ack" ? received.ack : received.giveBack(ended))
            yield* exit
          })
        yield* answer(subscription, Exit.void)
        return yield* forEach(Effect.andThen(Queue.take(asks), take), deliver)
      }).pipe(
        Effect.scoped,
        Effect.ensuring(
          Effect.sync(() => {
            // Another may have the number by now.
            if (wanted.get(subscription) === asks) wanted.delete(subscription)
          })
        ),
        Effect.catchCause((cause) => answer(subscription, Exit.failCause(cause)))
      )

    const hearOne = (message: typeof FromAgent.Type): Effect.Effect<unknown, never, Scope.Scope> => {
      switch (message.kind) {
        case "publish": {
          const { agent, event, number, topic } = message
          const publish = Effect.suspend(() => bus.publish(topic, event)).pipe(
            through("bridge.publish", agent, topic, event)
          )
          return Queue.offer(
            publishing,
            Effect.flatMap(Effect.exit(publish), (exit) => answer(number, exit))
          )
        }
        case "subscribe":
          return Effect.gen(function* () {
            const asks = yield* Queue.unbounded<void>()
            const joined = yield* Deferred.make<void>()
            wanted.set(message.number, asks)
            yield* FiberMap.run(subscriptions, message.number, subscribe(message, asks, joined))
            // What the agent publishes after it is for this subscription too.
            yield* Queue.offer(publishing, Deferred.await(joined))
          })
        case "next": {
          const asks = wanted.get(message.number)
          return asks === undefined ? Effect.void : Queue.offer(asks, undefined)
        }
        case "unsubscribe":
          // It may have an event to give back, for which nobody here has to wait.
          return Effect.forkScoped(FiberMap.remove(subscriptions, message.number))
        default: {
          const settled = deliveries.get(message.delivery)
          return settled === undefined ? Effect.void : Deferred.succeed(settled, message)
        }
      }
    }
    const next = Effect.flatMap(connection.receive, (message) =>
      Option.match(readFromAgent(message), {
        onSome: hearOne,
        // What is not of this protocol is somebody else's.
        onNone: () =>
          Option.match(readQuestion(message), {
            onNone: () => Effect.void,
            onSome: ({ number }) => answer(number, Exit.fail("The bridge cannot read it"))
          })
      })
    )
    yield* Effect.ignore(Effect.forever(next))
    isGone = true
  })

/**
 * The bus as an agent of another process sees it, over a connection to a bridge. Publishing is no span here: the bridge has one.
 *
 * @since 0.1.0
 */
export const layer = (agent: string, connection: Connection): Layer.Layer<EventBus> =>
  Layer.effect(
    EventBus,
    Effect.gen(function* () {
      const asked = new Map<number, Deferred.Deferred<void, Problem>>()
      const subscriptions = new Map<
        number,
        { readonly topic: string; readonly queue: Queue.Queue<Received, EventBusError> }
      >()
      let last = 0
      let gone: Problem | undefined

      /** What has this number has come to nothing. */
      const fail = (number: number, problem: Problem): void => {
        const answer = asked.get(number)
        if (answer !== undefined) Deferred.doneUnsafe(answer, Exit.fail(problem))
        const { queue, topic = "" } = subscriptions.get(number) ?? {}
        if (queue !== undefined) Queue.failCauseUnsafe(queue, Cause.fail(lost(topic)(problem)))
      }

      const hear = (message: typeof FromBridge.Type): Effect.Effect<void> => {
        if (message.kind === "done") {
          const { number, problem } = message
          if (problem !== undefined) return Effect.sync(() => fail(number, { message: problem }))
          const answer = asked.get(number)
          return answer === undefined ? Effect.void : Effect.asVoid(Deferred.succeed(answer, undefined))
        }
        const { attempt, delivery, event, first_attempt: firstAttempt, subscription } = message
        const { queue, topic = "" } = subscriptions.get(subscription) ?? {}
        if (queue === undefined) return Effect.void
        const settle = (settled: Settled) => Effect.mapError(connection.send(settled), lost(topic))
        return Effect.asVoid(
          Queue.offer(queue, {
            event,
            attempt,
            firstAttempt,
            ack: settle({ kind: "ack", delivery }),
            giveBack: ({ firstAttempt: first_attempt, hasFailed: has_failed }) =>
              settle({ kind: "giveBack", delivery, has_failed, ...(first_attempt && { first_attempt }) })
          })
        )
      }
      const next = Effect.flatMap(connection.receive, (message) =>
        Option.match(readFromBridge(message), { onNone: () => Effect.void, onSome: hear })
      )
      const end = (cause: Cause.Cause<ConnectionError>) =>
        Effect.sync(() => {
          gone = Cause.hasInterruptsOnly(cause)
            ? { message: "The bus was closed" }
            : SpanEnd.describe(Cause.squash(cause))
          for (const number of [...asked.keys(), ...subscriptions.keys()]) fail(number, gone)
        })
      yield* Effect.forkScoped(Effect.forever(next).pipe(Effect.onError(end), Effect.ignore))

      /** Says something that the bridge answers. */
      const ask = (topic: string, number: number, message: object) =>
        Effect.gen(function* () {
          // Nobody would answer any more.
          if (gone !== undefined) return yield* Effect.fail(gone)
          const answer = yield* Deferred.make<void, Problem>()
          asked.set(number, answer)
          yield* connection.send({ ...message, number, topic })
          yield* Deferred.await(answer)
        }).pipe(Effect.mapError(lost(topic)), Effect.ensuring(Effect.sync(() => asked.delete(number))))

      const broker: Broker = {
        publish: (topic, event) =>
          Effect.flatMap(withTrace(event), (told) => ask(topic, ++last, { kind: "publish", agent, event: told })),
        subscribe: (topic, group) =>
          Effect.gen(function* () {
            const number = ++last
            const queue = yield* Queue.unbounded<Received, EventBusError>()
            subscriptions.set(number, { topic, queue })
            yield* Effect.addFinalizer(() => {
              subscriptions.delete(number)
              return Effect.ignore(connection.send({ kind: "unsubscribe", number }))
            })
            yield* ask(topic, number, { kind: "subscribe", group })
            const next = Effect.mapError(connection.send({ kind: "next", number }), lost(topic))
            return Effect.andThen(next, Queue.take(queue))
          })
      }
      return broker
    })
  )

type Problem = Pick<EventBusError, "message">

const lost =
  (topic: string) =>
  ({ message }: Problem) =>
    new EventBusError({ topic, message })
