/**
 * Events between agents: what one publishes on a topic, others are handed, with the trace on the event itself. The bus is a
 * service; `layerMemory` is one within the process, `bus/Redis` and `bus/Nats` are such that outlive it, `Bridge` leads to
 * one elsewhere. No user of it writes or reads trace context.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import { Key } from "./Conventions.ts"
import * as Envelope from "./Envelope.ts"
import * as Hex from "./Hex.ts"
import * as Propagator from "./Propagator.ts"
import * as SpanEnd from "./SpanEnd.ts"
import { cut } from "./SpanRecord.ts"
import { TopicQueues } from "./TopicQueues.ts"
import * as TraceContext from "./TraceContext.ts"

/**
 * An event on its way. Its trace is in the fields of `Envelope`.
 *
 * @since 0.1.0
 */
export const Event = Schema.Struct({
  ...Envelope.fields,
  id: Schema.String,
  /** What happened, such as `reading`. */
  type: Schema.String,
  /** Whatever JSON can hold, where the bus leads out of the process. JSON leaves out what is undefined. */
  payload: Schema.Unknown.pipe(Schema.withDecodingDefaultKey(Effect.succeed(null))),
  /** The agent that published it. */
  sender: Schema.optionalKey(Schema.String),
  /** The conversation that it belongs to. */
  thread_id: Schema.optionalKey(Schema.String),
  /** The event that it all began with. */
  correlation_id: Schema.optionalKey(Schema.String)
})

/**
 * An event on its way.
 *
 * @since 0.1.0
 */
export type Event = typeof Event.Type

/**
 * An event that is to be published. What it leaves out is taken from the event that is being handled, as far as there is one:
 * the thread, and what it all began with.
 *
 * @since 0.1.0
 */
export type NewEvent = Pick<Event, "type" | "payload"> & Partial<Pick<Event, "id" | "thread_id" | "correlation_id">>

/**
 * A bus that could not be reached, or would not have it.
 *
 * @since 0.1.0
 */
export class EventBusError extends Schema.TaggedError<EventBusError>()("EventBusError", {
  topic: Schema.String,
  message: Schema.String,
  cause: Schema.optionalKey(Schema.Unknown)
}) {}

/**
 * How an attempt ended that has not dealt with its event.
 *
 * @since 0.1.0
 */
export interface Unhandled {
  /** Whether it has failed, and counts. One that was interrupted, or never began, does not. */
  readonly hasFailed: boolean
  /** The span of the first attempt, as a `traceparent`. */
  readonly firstAttempt?: string | undefined
}

/**
 * An event that was handed out, and is again unless it is acknowledged.
 *
 * @since 0.1.0
 */
export interface Received {
  readonly event: Event
  /** Which attempt this is, from 1 on: those before have failed, or were never heard of again. */
  readonly attempt: number
  /** The span of the attempt that gave it back first, as a `traceparent`. */
  readonly firstAttempt?: string | undefined
  /** It was dealt with. */
  readonly ack: Effect.Effect<void, EventBusError>
  /** It was not, and is to be handed out again, with the span of its first attempt. */
  readonly giveBack: (attempt: Unhandled) => Effect.Effect<void, EventBusError>
}

/**
 * What keeps events until somebody takes them. `busContract` of `handspan/testing` has its rules as tests.
 *
 * @since 0.1.0
 */
export interface Broker {
  readonly publish: (topic: string, event: Event) => Effect.Effect<void, EventBusError>
  /**
   * Makes a member of a group, for as long as the scope lives, and gives how it takes the next event of a topic, which waits
   * for one. Each event goes to one member of each group; what was published before anybody had subscribed, to the first group.
   */
  readonly subscribe: (
    topic: string,
    group: string
  ) => Effect.Effect<Effect.Effect<Received, EventBusError>, EventBusError, Scope.Scope>
}

/**
 * The bus.
 *
 * @since 0.1.0
 */
export class EventBus extends Context.Service<EventBus, Broker>()("handspan/EventBus/EventBus") {}

/**
 * Makes a bus of a broker: publishing is a span `eventbus.publish`, which goes along with the event.
 *
 * @since 0.1.0
 */
export const fromBroker = (broker: Broker): EventBus["Service"] => ({
  subscribe: broker.subscribe,
  publish: (topic, event) =>
    Effect.withSpan(
      Effect.flatMap(withTrace(event), (told) => broker.publish(topic, told)),
      "eventbus.publish",
      { kind: "producer", captureStackTrace: false, attributes: { [Key.topic]: topic, ...factsOf(event) } }
    )
})

/**
 * Gives an event with the trace of whoever passes it on, for those who do. When it was sent stays.
 *
 * @since 0.1.0
 */
export const withTrace = (event: Event): Effect.Effect<Event> =>
  Effect.map(Envelope.inject(event), (told) =>
    event.sent_at === undefined ? told : { ...told, sent_at: event.sent_at }
  )

/** What stands on the spans over an event. */
const factsOf = (event: Event): Record<string, unknown> => ({
  [Key.eventId]: event.id,
  [Key.eventType]: event.type,
  ...(event.thread_id !== undefined && { [Key.threadId]: event.thread_id }),
  ...(event.correlation_id !== undefined && { [Key.correlationId]: event.correlation_id })
})

/** Whose work runs, and on which event. */
const Handling: Context.Reference<{ readonly agent: string; readonly event: Event } | undefined> = Context.Reference(
  "handspan/EventBus/Handling",
  { defaultValue: (): { readonly agent: string; readonly event: Event } | undefined => undefined }
)

/**
 * Publishes an event on a topic, and gives it as it was sent. From inside of an agent it is of that agent's thread.
 *
 * **Fails with** `EventBusError` where the bus would not have it.
 *
 * @since 0.1.0
 */
export const publish = (topic: string, event: NewEvent): Effect.Effect<Event, EventBusError, EventBus> =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const handling = yield* Handling
    const { correlation_id = handling?.event.correlation_id ?? handling?.event.id } = event
    const { thread_id = handling?.event.thread_id } = event
    const whole: Event = {
      id: event.id ?? (yield* newId),
      type: event.type,
      payload: event.payload ?? null,
      ...(handling && { sender: handling.agent }),
      ...(thread_id !== undefined && { thread_id }),
      ...(correlation_id !== undefined && { correlation_id }),
      sent_at: yield* Clock.currentTimeMillis
    }
    yield* bus.publish(topic, whole)
    return whole
  })

/**
 * Starts an agent that lives on events: it has subscribed when this returns, and then handles the events of its topics for as
 * long as the scope lives. The fiber that it gives ends where the bus is gone, be it for one of the topics.
 *
 * **Details**: each event is a span `agent.on_event` that goes on with its sender's trace, as far as `Propagator.CurrentTrust`
 * allows, and says in `handspan.message.wait_ms` how long the event was under way, with the attempts before. An event whose
 * handler fails is handed out again, as an attempt whose span links to the first one's, and after `maxAttempts` is published on
 * `{topic}.dead`, with the whole event as its payload; so it is where attempts ended with their processes, to whose spans nothing
 * links. What is interrupted is handed out again too, and that attempt does not count. Agents of the same id share their events.
 * Each event is handled at least once: one that was dealt with comes again where the bus could not be told.
 *
 * **Fails with** `EventBusError` where it cannot subscribe; never for what a handler does.
 *
 * @example
 * ```ts
 * import { Deferred, Effect } from "effect"
 * import { EventBus } from "handspan"
 * import * as Testing from "handspan/testing"
 *
 * const program = Effect.gen(function* () {
 *   const done = yield* Deferred.make<unknown>()
 *   yield* EventBus.agent("output", { topics: ["readings"], onEvent: ({ payload }) => Deferred.succeed(done, payload) })
 *   yield* Effect.withSpan(EventBus.publish("readings", { type: "reading", payload: 21 }), "sensor")
 *   return yield* Deferred.await(done)
 * })
 * const { trace } = await Effect.runPromise(Testing.record(Effect.scoped(Effect.provide(program, EventBus.layerMemory))))
 * const { span } = Testing.Tree
 * Testing.expectTrace(trace).toMatchTree(span("sensor", [span("eventbus.publish", [span("agent.on_event")])]))
 * ```
 *
 * @since 0.1.0
 */
export const agent = <A, E, R>(
  id: string,
  options: {
    readonly topics: ReadonlyArray<string>
    readonly onEvent: (event: Event) => Effect.Effect<A, E, R>
    /** How often an event is handed to a handler that fails on it, at most. Default: 3. */
    readonly maxAttempts?: number | undefined
    /** How many events of each topic it handles side by side; of more than one, in no order. Default: 1. */
    readonly concurrency?: number | undefined
  }
): Effect.Effect<
  Fiber.Fiber<never, EventBusError>,
  EventBusError,
  EventBus | Scope.Scope | Exclude<R, Tracer.ParentSpan>
> =>
  Effect.gen(function* () {
    const bus = yield* EventBus
    const handle = handler(id, options, bus)
    // It is a member as long as it runs, which may be shorter than the scope.
    const scope = yield* Scope.fork(yield* Effect.scope)
    // Each of those that work side by side is a member of its own.
    const members = options.topics.flatMap((topic) => Array.from({ length: options.concurrency ?? 1 }, () => topic))
    const runs = yield* Effect.forEach(members, (topic) =>
      Effect.map(Scope.provide(bus.subscribe(topic, id), scope), (take) =>
        forEach(take, (received, run) => handle(topic, received, run))
      )
    ).pipe(Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))))
    return yield* Effect.forkScoped(Effect.onExit(Effect.raceAllFirst(runs), (exit) => Scope.close(scope, exit)))
  })

/**
 * Takes one event after the other for whoever deals with it. Only what is run by `run` can be interrupted, so that no event
 * that was taken is left unsettled.
 *
 * @since 0.1.0
 */
export const forEach = <A, E, R>(
  take: Effect.Effect<Received, EventBusError>,
  deal: (
    received: Received,
    run: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
): Effect.Effect<never, E | EventBusError, R> =>
  Effect.forever(Effect.uninterruptibleMask((run) => Effect.flatMap(run(take), (received) => deal(received, run))))

/** As many attempts as there may be, and the last has neither dealt with it nor put it with the dead. */
class Unsettled {
  readonly name = "Unsettled"
  readonly message: string

  constructor(attempts: number) {
    this.message = `It is unsettled after ${attempts} ${attempts === 1 ? "attempt" : "attempts"}`
  }
}

/** Deals with one event: it is acknowledged in the end, given back, or put with the dead. */
const handler =
  <A, E, R>(
    id: string,
    {
      maxAttempts = 3,
      onEvent
    }: {
      readonly onEvent: (event: Event) => Effect.Effect<A, E, R>
      readonly maxAttempts?: number | undefined
    },
    bus: Broker
  ) =>
  (
    topic: string,
    { ack, attempt, event, firstAttempt, giveBack }: Received,
    run: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ) => {
    let first = firstAttempt
    let hasFailed = false
    let isSettled = false
    const work = Effect.gen(function* () {
      const { context } = yield* Propagator.current
      if (context !== undefined) first ??= TraceContext.formatTraceparent(context)
      // One attempt more than there may be, as where the last took its process along.
      const isOver = attempt > maxAttempts
      const exit = yield* Effect.exit(
        isOver ? Effect.die(new Unsettled(attempt - 1)) : Effect.suspend(() => onEvent(event))
      )
      if (Exit.isFailure(exit)) {
        hasFailed = true
        if (attempt < maxAttempts) return yield* exit
        // It comes again at once where the bus would not have it, and the next time may be no better.
        yield* Effect.tapCause(bury(bus, topic, event, SpanEnd.describe(Cause.squash(exit.cause)).message), () =>
          Effect.sleep("1 second")
        )
      }
      isSettled = true
      return yield* exit
    })
    const before = TraceContext.parseTraceparent(firstAttempt ?? "")
    const spanAfter = (wait: Readonly<Record<string, number>>) =>
      Propagator.receiveFrom(Envelope.extract(event), {
        name: "agent.on_event",
        kind: "consumer",
        attributes: {
          [Key.agentId]: id,
          [Key.agent]: id,
          [Key.topic]: topic,
          ...factsOf(event),
          [Key.attemptNumber]: attempt,
          ...wait
        },
        links: before === undefined ? [] : [{ span: TraceContext.toExternalSpan(before), attributes: {} }]
      })
    const handled = Effect.provideService(run(work), Handling, { agent: id, event })
    return Effect.flatMap(Envelope.waitOf(event), (wait) => spanAfter(wait)(handled)).pipe(
      Effect.exit,
      // A bus that cannot be told hands it out again; one that is gone says so to whoever takes the next.
      Effect.andThen(
        Effect.suspend(() => Effect.ignore(isSettled ? ack : giveBack({ hasFailed, firstAttempt: first })))
      )
    )
  }

/** How long a dead event may be as a text, in characters: servers take a megabyte, of up to 3 bytes for each. */
const maxText = 100_000

/**
 * Puts what cannot be handled where somebody may look at it: on `{topic}.dead`, in the payload of an event of the type `dead`.
 * What cannot even be read as an event is a text, and so is, cut, what the bus would not have as a whole: it is longer there.
 *
 * **Fails with** `EventBusError` where the bus would not have it.
 *
 * @since 0.1.0
 */
export const bury = (
  bus: Broker,
  topic: string,
  event: Event | string,
  problem: string
): Effect.Effect<void, EventBusError> =>
  Effect.flatMap(newId, (id) => {
    const publish = (told: Event | string) =>
      bus.publish(`${topic}.dead`, {
        id,
        type: "dead",
        payload: { event: told, problem },
        ...(typeof event !== "string" && {
          correlation_id: event.correlation_id ?? event.id,
          ...(event.thread_id !== undefined && { thread_id: event.thread_id })
        })
      })
    if (typeof event === "string") return publish(cut(event, maxText))
    return publish(event).pipe(
      Effect.catch((error) => {
        const text = Result.getOrUndefined(Result.try(() => JSON.stringify(event))) ?? ""
        return text.length > maxText ? publish(cut(text, maxText)) : Effect.fail(error)
      })
    )
  })

/**
 * Makes an id of 128 random bits, from whichever source of chance the program has.
 *
 * @since 0.1.0
 */
export const newId: Effect.Effect<string> = Effect.map(
  Effect.all(Array.from({ length: 4 }, () => Random.nextIntBetween(0, 2 ** 32))),
  (words) => words.map((word) => Hex.ofWord(word)).join("")
)

/**
 * A bus within the process, which forgets with it.
 *
 * **Details**: what is published on a topic before anybody has subscribed waits for its first group. Events that are given back
 * are handed out again at once, after those that wait. For each group wait 10,000 events at most; of more, the oldest go. A
 * group waits for its members to come back; of more than 100 groups of a topic that have none, those that were left first go,
 * with their events. `droppedMetric` counts all that go, and the log tells of the first of each topic.
 *
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<EventBus> = Layer.sync(EventBus, () => fromBroker(memoryBroker()))

export {
  /**
   * The metric that counts the events that a bus in memory had no room for, by `topic`.
   *
   * @since 0.1.0
   */
  droppedMetric
} from "./TopicQueues.ts"

type Waiting = Pick<Received, "event" | "attempt" | "firstAttempt">

const memoryBroker = (): Broker => {
  const topics = new TopicQueues<Waiting>()
  return {
    publish: (topic, event) => topics.offer(topic, { event, attempt: 1 }),
    subscribe: (topic, group) =>
      Effect.map(topics.join(topic, group), (queue) =>
        Effect.map(Queue.take(queue), (waiting) => ({
          ...waiting,
          ack: Effect.void,
          giveBack: ({ firstAttempt, hasFailed }) =>
            topics.offerTo(topic, group, {
              event: waiting.event,
              attempt: waiting.attempt + (hasFailed ? 1 : 0),
              firstAttempt
            })
        }))
      )
  }
}
