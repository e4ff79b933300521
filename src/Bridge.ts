/**
 * Leads agents of other processes to a bus: each side of a connection has one half. The trace is on the events themselves
 * (`Envelope`), so both ways keep it, whatever language the other half is in.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { Connection, ConnectionError } from "./Connection.ts"
import { Key } from "./Conventions.ts"
import * as Envelope from "./Envelope.ts"
import { type Broker, Event, EventBus, EventBusError, forEach, type Received, withTrace } from "./EventBus.ts"
import * as Propagator from "./Propagator.ts"

const Ack = Schema.Struct({ kind: Schema.Literal("ack"), delivery: Schema.Int })

const GiveBack = Schema.Struct({
  kind: Schema.Literal("giveBack"),
  delivery: Schema.Int,
  first_attempt: Schema.optionalKey(Schema.String)
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
  /** The answer to what has a number of its own. */
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

/**
 * Serves the agents at the other end of a connection, until they are gone: what they publish goes to the bus, as spans
 * `bridge.publish`, and what they subscribe to comes to them, as spans `bridge.forward`. Never fails.
 *
 * **Details**: an event is acknowledged when the agent has dealt with it. Those that it has not when it goes are given back.
 *
 * @since 0.1.0
 */
export const serve = (connection: Connection): Effect.Effect<void, never, EventBus> =>
  Effect.scoped(
    Effect.gen(function* () {
      const bus = yield* EventBus
      const scope = yield* Effect.scope
      const subscriptions = yield* FiberMap.make<number>()
      const wanted = new Map<number, Queue.Queue<void>>()
      const deliveries = new Map<number, Deferred.Deferred<Settled>>()
      let last = 0

      const answer = (number: number, work: Effect.Effect<void, EventBusError>) =>
        Effect.matchEffect(work, {
          onSuccess: () => connection.send({ kind: "done", number }),
          onFailure: (error) => connection.send({ kind: "done", number, problem: error.message })
        })

      /** Hands out the events of a topic to a member of a group, as it asks for them, until it unsubscribes. */
      const subscribe = (subscription: number, topic: string, group: string) =>
        Effect.gen(function* () {
          const own = yield* Scope.fork(scope)
          const take = yield* Scope.provide(bus.subscribe(topic, group), own)
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
              yield* Effect.ignore(
                how?.kind === "ack" ? received.ack : received.giveBack(how?.first_attempt ?? first_attempt)
              )
              yield* exit
            })
          const asks = yield* Queue.unbounded<void>()
          wanted.set(subscription, asks)
          const serving = forEach(Effect.andThen(Queue.take(asks), take), deliver).pipe(
            Effect.onExit((exit) => {
              wanted.delete(subscription)
              return Scope.close(own, exit)
            })
          )
          yield* FiberMap.run(subscriptions, subscription, serving)
        })

      const hear = (message: typeof FromAgent.Type): Effect.Effect<void, ConnectionError> => {
        switch (message.kind) {
          case "publish": {
            const { agent, event, number, topic } = message
            return answer(number, bus.publish(topic, event).pipe(through("bridge.publish", agent, topic, event)))
          }
          case "subscribe":
            return answer(message.number, subscribe(message.number, message.topic, message.group))
          case "next": {
            const asks = wanted.get(message.number)
            return asks === undefined ? Effect.void : Effect.asVoid(Queue.offer(asks, undefined))
          }
          case "unsubscribe":
            return FiberMap.remove(subscriptions, message.number)
          default: {
            const settled = deliveries.get(message.delivery)
            return settled === undefined ? Effect.void : Effect.asVoid(Deferred.succeed(settled, message))
          }
        }
      }
      // What is not of this protocol is somebody else's.
      const next = Effect.flatMap(connection.receive, (message) =>
        Option.match(readFromAgent(message), { onNone: () => Effect.void, onSome: hear })
      )
      yield* Effect.ignore(Effect.forever(next))
    })
  )

/**
 * The bus as an agent of another process sees it, over a connection to a bridge. Publishing is no span here: the bridge has one.
 *
 * @since 0.1.0
 */
export const layer = (agent: string, connection: Connection): Layer.Layer<EventBus> =>
  Layer.effect(
    EventBus,
    Effect.gen(function* () {
      const asked = new Map<number, Deferred.Deferred<void, EventBusError>>()
      const subscriptions = new Map<
        number,
        { readonly topic: string; readonly queue: Queue.Queue<Received, EventBusError> }
      >()
      let last = 0
      let gone: ConnectionError | undefined

      const hear = (message: typeof FromBridge.Type): Effect.Effect<void> => {
        if (message.kind === "done") {
          const { number, problem } = message
          const waiting = asked.get(number)
          if (waiting === undefined) return Effect.void
          return Effect.asVoid(
            problem === undefined
              ? Deferred.succeed(waiting, undefined)
              : Deferred.fail(waiting, new EventBusError({ topic: "", message: problem }))
          )
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
            giveBack: (first_attempt) => settle({ kind: "giveBack", delivery, ...(first_attempt && { first_attempt }) })
          })
        )
      }
      const next = Effect.flatMap(connection.receive, (message) =>
        Option.match(readFromBridge(message), { onNone: () => Effect.void, onSome: hear })
      )
      const end = (error: ConnectionError) =>
        Effect.gen(function* () {
          gone = error
          for (const waiting of asked.values()) yield* Deferred.fail(waiting, lost("")(error))
          for (const { queue, topic } of subscriptions.values()) yield* Queue.fail(queue, lost(topic)(error))
        })
      yield* Effect.forkScoped(Effect.forever(next).pipe(Effect.catch(end)))

      /** Says something that the bridge answers. */
      const ask = (topic: string, number: number, message: object) =>
        Effect.gen(function* () {
          // Nobody would answer any more.
          if (gone !== undefined) return yield* lost(topic)(gone)
          const done = yield* Deferred.make<void, EventBusError>()
          asked.set(number, done)
          yield* Effect.mapError(connection.send({ ...message, number, topic }), lost(topic))
          yield* Deferred.await(done)
        }).pipe(Effect.ensuring(Effect.sync(() => asked.delete(number))))

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

const lost = (topic: string) => (error: ConnectionError) => new EventBusError({ topic, message: error.message })
