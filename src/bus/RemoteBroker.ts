/**
 * What the buses that outlive the process have in common, whichever server keeps their events: events as JSON, patience with a
 * server that restarts, and what is no event. What is said to the server is in the modules beside it.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Key } from "../Conventions.ts"
import * as DatabaseSpan from "../DatabaseSpan.ts"
import * as EventBus from "../EventBus.ts"
import * as SpanEnd from "../SpanEnd.ts"
import * as Polls from "./Polls.ts"

/**
 * What every such bus may be told.
 *
 * @since 0.1.0
 */
export interface Options {
  /** How long after its member was last alive an event that it held is handed out again. Default: 30 seconds. */
  readonly ackWait?: Duration.Input | undefined
  /** About how many events of each topic are kept; of more, the oldest go, handled or not. Default: 100,000. */
  readonly maxLength?: number | undefined
  /** How long is kept what nobody asks for any more, handled or not. At least `ackWait`. Default: 7 days. */
  readonly maxAge?: Duration.Input | undefined
  /**
   * How long publishing and subscribing wait for a server that is away, before they fail; what was published may then be there
   * all the same. Default: 30 seconds.
   */
  readonly timeout?: Duration.Input | undefined
}

/**
 * The options with their defaults, times in milliseconds.
 *
 * @since 0.1.0
 */
export const settings = ({
  ackWait = "30 seconds",
  maxAge = "7 days",
  maxLength = 100_000,
  timeout = "30 seconds"
}: Options) => ({
  ackWait: wholeMillis(ackWait, 1),
  // What is held is heard of within `ackWait`.
  maxAge: wholeMillis(maxAge, Math.max(wholeMillis(ackWait, 1), leastAgeMillis)),
  maxLength,
  timeout: Duration.toMillis(timeout)
})

/** Servers know no other times: neither parts of a millisecond nor for ever. */
const wholeMillis = (time: Duration.Input, least: number): number =>
  Math.min(Math.max(Math.ceil(Duration.toMillis(time)), least), decadeMillis)

/**
 * A message that a server has handed out.
 *
 * @since 0.1.0
 */
export interface Message extends Pick<EventBus.Received, "attempt" | "firstAttempt"> {
  readonly text: string
  readonly ack: Effect.Effect<void, unknown>
  readonly giveBack: (attempt: EventBus.Unhandled) => Effect.Effect<void, unknown>
  /** Says that somebody is still at it. */
  readonly hold: Effect.Effect<void, unknown>
}

/**
 * Takes the next message of a topic for a group; gives `undefined` where none comes for a while. Fails while its server is away.
 * It is never interrupted, and once the server is asked it ends by itself within 2 seconds.
 *
 * @since 0.1.0
 */
export type Poll = Polls.Poll<Message | undefined>

/**
 * What a server is asked for. All of it may be asked again, and but for publishing none of it is traced: it goes on while nothing
 * happens, and belongs to no event.
 *
 * @since 0.1.0
 */
export interface Server {
  /** Its name in OpenTelemetry's `messaging.system`. */
  readonly system: string
  readonly publish: (topic: string, id: string, text: string) => Effect.Effect<void, unknown>
  /** Makes sure that a group is there, and gives how its messages are taken. */
  readonly join: (topic: string, group: string) => Effect.Effect<Poll, unknown>
  /** Whether asking again would not mend what it failed with. */
  readonly isFinal: (error: unknown) => boolean
}

/**
 * Makes a bus of a server, which is there until the scope has closed.
 *
 * @since 0.1.0
 */
export const make = (
  server: Server,
  options: Options
): Effect.Effect<EventBus.EventBus["Service"], never, Scope.Scope> =>
  Effect.map(
    Polls.make<Message | undefined>((message) =>
      message === undefined ? Effect.void : inTime(message.giveBack({ hasFailed: false }))
    ),
    (polls) => makeWith(polls, server, options)
  )

const makeWith = (
  polls: Polls.Polls<Message | undefined>,
  server: Server,
  options: Options
): EventBus.EventBus["Service"] => {
  const { ackWait, timeout } = settings(options)

  /** Asks again until it is given, or the time is up. */
  const patiently = <A>(topic: string, what: string, ask: Effect.Effect<A, unknown>) =>
    Effect.suspend(() => {
      let problem: unknown = "it does not answer"
      return ask.pipe(
        Effect.tapError((error) => Effect.sync(() => (problem = error))),
        Effect.retry({ schedule: retries, while: (error) => !server.isFinal(error) }),
        Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail(problem) }),
        Effect.mapError((error) => failure(topic, what, error))
      )
    })

  const failure = (topic: string, what: string, cause: unknown) =>
    new EventBus.EventBusError({
      topic,
      message: `Cannot ${what} "${topic}" over ${server.system}: ${SpanEnd.describe(DatabaseSpan.origin(cause)).message}`,
      cause
    })

  const bus = EventBus.fromBroker({
    publish: (topic, event) =>
      Effect.gen(function* () {
        yield* Effect.annotateCurrentSpan(Key.messagingSystem, server.system)
        const text = Result.try(() => JSON.stringify(event))
        if (Result.isFailure(text)) return yield* failure(topic, "publish on", text.failure)
        yield* patiently(topic, "publish on", server.publish(topic, event.id, text.success))
      }),

    subscribe: (topic, group) =>
      Effect.gen(function* () {
        const join = untraced(server.join(topic, group))
        let poll = yield* patiently(topic, "subscribe to", join)
        const held = new Set<Message>()
        const holdAll = Effect.suspend(() => Effect.forEach(held, ({ hold }) => Effect.ignore(hold), { discard: true }))
        yield* Effect.forkScoped(Effect.forever(Effect.delay(untraced(holdAll), ackWait / 3)))

        /** A server that has lost its data knows nothing of the group any more, and may not yet be done with losing it. */
        const rejoin = Effect.map(Effect.delay(join, "1 second"), (again) => {
          poll = again
        })
        let isAway = false
        /** Says so once, until its server is back. */
        const sayAway = (error: unknown) =>
          Effect.suspend(() => {
            if (isAway) return Effect.void
            isAway = true
            return Effect.logWarning(`${failure(topic, "take events of", error).message}; trying again`)
          })
        const member = JSON.stringify([topic, group])
        const next = Effect.suspend(() => polls.wait(member, (left) => untraced(poll(left)))).pipe(
          Effect.tap(() => Effect.sync(() => (isAway = false))),
          Effect.tapError((error) => (server.isFinal(error) ? Effect.void : Effect.andThen(sayAway(error), rejoin))),
          Effect.retry({ while: (error) => !server.isFinal(error) }),
          Effect.mapError((error) => failure(topic, "take events of", error))
        )
        const settle = (message: Message, how: Effect.Effect<void, unknown>) =>
          Effect.suspend(() => {
            held.delete(message)
            return Effect.mapError(inTime(how), (error) => failure(topic, "settle an event of", error))
          })
        const take: Effect.Effect<EventBus.Received, EventBus.EventBusError> = Effect.flatMap(next, (message) => {
          if (message === undefined) return take
          const { ack, attempt, firstAttempt, giveBack, text } = message
          return Option.match(decode(text), {
            onSome: (event) => {
              held.add(message)
              return Effect.succeed({
                event,
                attempt,
                firstAttempt,
                ack: settle(message, ack),
                giveBack: (attempt) => settle(message, giveBack(attempt))
              })
            },
            onNone: () =>
              EventBus.bury(bus, topic, text, "Cannot read it as an event").pipe(
                Effect.andThen(ack),
                // It comes again.
                Effect.ignore,
                Effect.andThen(take)
              )
          })
        })
        return take
      })
  })
  return bus
}

/** As long as for ever, in milliseconds. Redis takes what was idle since before 1970 for new. */
const decadeMillis = 10 * 365 * 24 * 60 * 60 * 1000

/** NATS keeps nothing for less, in milliseconds. */
const leastAgeMillis = 100

const untraced = Effect.withTracerEnabled(false)

/** From 50 milliseconds on, ever slower, and once a second in the end. */
const retries = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("1 second")])

/** How long a server may take over an acknowledgement before the event may as well come again, in milliseconds. */
const settleTimeout = 5000

const inTime = (settling: Effect.Effect<void, unknown>) => Effect.timeout(untraced(settling), settleTimeout)

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(EventBus.Event))
