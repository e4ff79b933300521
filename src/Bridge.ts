/**
 * Leads agents of other processes to a bus: each side of a connection has one half. The trace is on the events themselves
 * (`Envelope`), so both ways keep it, whatever language the other half is in.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Connection, ConnectionError } from "./Connection.ts"
import { Key } from "./Conventions.ts"
import * as Envelope from "./Envelope.ts"
import { type Broker, Event, EventBus, EventBusError, type Received } from "./EventBus.ts"
import * as Propagator from "./Propagator.ts"

/** What an agent says to the bridge. */
const FromAgent = Schema.Union([
  Schema.Struct({
    kind: Schema.Literal("publish"),
    number: Schema.Int,
    agent: Schema.String,
    topic: Schema.String,
    event: Event
  }),
  Schema.Struct({ kind: Schema.Literal("subscribe"), topic: Schema.String, group: Schema.String }),
  Schema.Struct({ kind: Schema.Literals(["ack", "giveBack"]), delivery: Schema.Int })
])

/** What the bridge says to an agent. */
const FromBridge = Schema.Union([
  Schema.Struct({ kind: Schema.Literal("published"), number: Schema.Int, problem: Schema.optionalKey(Schema.String) }),
  Schema.Struct({
    kind: Schema.Literal("deliver"),
    delivery: Schema.Int,
    topic: Schema.String,
    attempt: Schema.Int,
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
      const deliveries = new Map<number, Deferred.Deferred<"ack" | "giveBack">>()
      let last = 0

      const deliver = (topic: string, group: string, { ack, attempt, event, giveBack }: Received) =>
        Effect.gen(function* () {
          const delivery = ++last
          const settled = yield* Deferred.make<"ack" | "giveBack">()
          deliveries.set(delivery, settled)
          yield* Effect.flatMap(Envelope.inject(event), (told) =>
            connection.send({ kind: "deliver", delivery, topic, attempt, event: told })
          ).pipe(through("bridge.forward", group, topic, event))
          const how = yield* Deferred.await(settled)
          deliveries.delete(delivery)
          yield* how === "ack" ? ack : giveBack
        }).pipe(Effect.onError(() => Effect.ignore(giveBack)))

      const hear = (
        message: typeof FromAgent.Type
      ): Effect.Effect<void, ConnectionError | EventBusError, Scope.Scope> => {
        switch (message.kind) {
          case "publish": {
            const { agent, event, number, topic } = message
            return Effect.matchEffect(bus.publish(topic, event).pipe(through("bridge.publish", agent, topic, event)), {
              onSuccess: () => connection.send({ kind: "published", number }),
              onFailure: (error) => connection.send({ kind: "published", number, problem: error.message })
            })
          }
          case "subscribe": {
            const { group, topic } = message
            return Effect.flatMap(bus.subscribe(topic, group), (take) =>
              Effect.asVoid(
                Effect.forkIn(
                  Effect.forever(Effect.flatMap(take, (received) => deliver(topic, group, received))),
                  scope
                )
              )
            )
          }
          default: {
            const settled = deliveries.get(message.delivery)
            return settled === undefined ? Effect.void : Effect.asVoid(Deferred.succeed(settled, message.kind))
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
      const published = new Map<number, Deferred.Deferred<void, EventBusError>>()
      const topics = new Map<string, Queue.Queue<Received, EventBusError>>()
      let last = 0
      let gone: ConnectionError | undefined

      const hear = (message: typeof FromBridge.Type): Effect.Effect<void> => {
        if (message.kind === "published") {
          const { number, problem } = message
          const waiting = published.get(number)
          published.delete(number)
          if (waiting === undefined) return Effect.void
          return Effect.asVoid(
            problem === undefined
              ? Deferred.succeed(waiting, undefined)
              : Deferred.fail(waiting, new EventBusError({ topic: "", message: problem }))
          )
        }
        const { attempt, delivery, event, topic } = message
        const queue = topics.get(topic)
        if (queue === undefined) return Effect.void
        const settle = (kind: "ack" | "giveBack") => Effect.mapError(connection.send({ kind, delivery }), lost(topic))
        return Effect.asVoid(Queue.offer(queue, { event, attempt, ack: settle("ack"), giveBack: settle("giveBack") }))
      }
      const next = Effect.flatMap(connection.receive, (message) =>
        Option.match(readFromBridge(message), { onNone: () => Effect.void, onSome: hear })
      )
      const end = (error: ConnectionError) =>
        Effect.gen(function* () {
          gone = error
          for (const waiting of published.values()) yield* Deferred.fail(waiting, lost("")(error))
          for (const [topic, queue] of topics) yield* Queue.fail(queue, lost(topic)(error))
        })
      yield* Effect.forkScoped(Effect.forever(next).pipe(Effect.catch(end)))

      /** Nobody would answer any more. */
      const connected = (topic: string) =>
        Effect.suspend(() => (gone === undefined ? Effect.void : Effect.fail(lost(topic)(gone))))

      const broker: Broker = {
        publish: (topic, event) =>
          Effect.gen(function* () {
            yield* connected(topic)
            const number = ++last
            const done = yield* Deferred.make<void, EventBusError>()
            published.set(number, done)
            const told = yield* Envelope.inject(event)
            yield* Effect.mapError(connection.send({ kind: "publish", number, agent, topic, event: told }), lost(topic))
            yield* Deferred.await(done)
          }),
        subscribe: (topic, group) =>
          Effect.gen(function* () {
            yield* connected(topic)
            const queue = topics.get(topic) ?? (yield* Queue.unbounded<Received, EventBusError>())
            topics.set(topic, queue)
            yield* Effect.mapError(connection.send({ kind: "subscribe", topic, group }), lost(topic))
            return Queue.take(queue)
          })
      }
      return broker
    })
  )

const lost = (topic: string) => (error: ConnectionError) => new EventBusError({ topic, message: error.message })
