/**
 * The event bus over NATS JetStream: one stream, in which each topic is a subject and each group of a topic a durable consumer.
 * It stands on the JetStream client of `@nats-io/jetstream`, over whichever transport the program has connected with.
 *
 * @since 0.1.0
 */
import type { Consumer, JetStreamClient, JetStreamManager, JsMsg, StreamConfig } from "@nats-io/jetstream"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { EventBus } from "../EventBus.ts"
import * as RemoteBroker from "./RemoteBroker.ts"

/**
 * What the bus may be told.
 *
 * @since 0.1.0
 */
export interface Options extends RemoteBroker.Options {
  /**
   * The stream that keeps the events, which is made where there is none; beside it, `{stream}_attempts` keeps what attempts
   * leave for those after them. Default: `handspan`.
   */
  readonly stream?: string | undefined
}

/**
 * The event bus over a JetStream client: `jetstream(connection)`. The connection is its owner's to close.
 *
 * **Details**: events are messages on the subjects `{stream}.{topic}`, in JSON. Whoever else publishes there is heard too; what
 * is no event goes to `{topic}.dead`. In a topic's name every character but letters, digits and `-` is written as its UTF-8
 * bytes, such as `_2E` for a dot. An event that is published again by the same id within two minutes is not there twice, so that
 * publishing may be retried. An event that is older than `maxAge` is gone, and so is a group of which nobody has taken for as long;
 * a stream that is there already has a limit of its own.
 *
 * **Gotchas**: by default a connection gives up after 10 attempts to reconnect, and the agents with it: connect with
 * `maxReconnectAttempts: -1`.
 *
 * @example
 * ```ts ignore
 * import { jetstream } from "@nats-io/jetstream"
 * import { connect } from "@nats-io/transport-node"
 * import { Effect } from "effect"
 * import { EventBus } from "handspan"
 * import * as NatsBus from "handspan/bus/Nats"
 *
 * const connection = await connect({ servers: "nats://localhost:4222", maxReconnectAttempts: -1 })
 * const program = EventBus.publish("readings", { type: "reading", payload: 21 })
 * await Effect.runPromise(Effect.provide(program, NatsBus.layer(jetstream(connection))))
 * await connection.drain()
 * ```
 *
 * @since 0.1.0
 */
export const layer = (client: JetStreamClient, options: Options = {}): Layer.Layer<EventBus> =>
  Layer.effect(
    EventBus,
    Effect.suspend(() => RemoteBroker.make(serverOf(client, options), options))
  )

const serverOf = (client: JetStreamClient, options: Options): RemoteBroker.Server => {
  const { stream = "handspan" } = options
  const attempts = `${stream}_attempts`
  const { ackWait, maxAge, maxLength } = RemoteBroker.settings(options)
  const max_age = maxAge * nanosPerMilli
  const ask = <A>(question: (manager: JetStreamManager) => Promise<A>) =>
    Effect.flatMap(
      tell(() => client.jetstreamManager(false)),
      (manager) => tell(() => question(manager))
    )

  /** Somebody may have made it, in another way. */
  const makeStream = (config: Partial<StreamConfig> & { readonly name: string }) =>
    Effect.catchIf(
      ask(({ streams }) => streams.info(config.name)),
      isNamed("StreamNotFoundError"),
      () => ask(({ streams }) => streams.add(config))
    )
  const makeStreams = Effect.andThen(
    makeStream({ name: stream, subjects: [`${stream}.*`], max_msgs_per_subject: maxLength, max_age }),
    makeStream({ name: attempts, subjects: [`${attempts}.>`], max_msgs_per_subject: 1, max_age })
  )

  return {
    system: "nats",
    isFinal,
    publish: (topic, id, text) => {
      const subject = `${stream}.${tokenOf(topic)}`
      // Ids are told apart over all of the stream.
      const msgID = `${subject}.${tokenOf(id)}`
      const send = tell(() => client.publish(subject, text, { msgID, timeout: answerMillis }))
      // Where there is no stream, nobody answers, which the client takes for a server without any.
      return Effect.catchIf(send, isNamed("JetStreamNotEnabled"), () => Effect.andThen(makeStreams, send))
    },
    join: (topic, group) => {
      const subject = `${stream}.${tokenOf(topic)}`
      const name = `${tokenOf(group)}__${tokenOf(topic)}`

      const times = { ack_wait: ackWait * nanosPerMilli, inactive_threshold: max_age }

      /** The first group of a topic gets what was published before. */
      const makeConsumer = ask(async ({ consumers }) => {
        let isFirst = true
        for await (const { config } of consumers.list(stream)) if (config.filter_subject === subject) isFirst = false
        return consumers.add(stream, {
          durable_name: name,
          filter_subject: subject,
          ack_policy: "explicit",
          ...times,
          deliver_policy: isFirst ? "all" : "new"
        })
      })
      const consumerInfo = Effect.catchIf(
        ask(({ consumers }) => consumers.update(stream, name, times)),
        isNamed("ConsumerNotFoundError"),
        () => makeConsumer
      )

      const messageOf = (message: JsMsg): Effect.Effect<RemoteBroker.Message, unknown> => {
        const deliveries = message.info.deliveryCount
        const kept = `${attempts}.${name}.${message.seq}`
        const read = ask(({ streams }) => streams.getMessage(attempts, { last_by_subj: kept })).pipe(
          Effect.catchIf(isNamed("StreamNotFoundError"), () => Effect.succeed(null)),
          // Without it, too many would count.
          Effect.retry({ schedule: Schedule.spaced("100 millis"), while: (error) => !isFinal(error) }),
          Effect.timeout(ackWait),
          Effect.map((found) =>
            Option.filter(readAttempts(found?.string() ?? ""), ({ event }) => event === message.timestamp)
          )
        )
        const before = deliveries === 1 ? Effect.succeedNone : read
        return Effect.map(before, (before) => {
          const { deliveries: told = 0, failed = 0, first } = Option.getOrUndefined(before) ?? {}
          // Those that were handed out since it was told count, too. A server that was killed may have lost count.
          const attempt = failed + Math.max(deliveries - told, 1)
          return {
            text: message.string(),
            attempt,
            firstAttempt: first,
            ack: tell(() => message.ackAck({ timeout: answerMillis })),
            giveBack: ({ firstAttempt = first, hasFailed }) => {
              const failed = hasFailed ? attempt : attempt - 1
              const now = { event: message.timestamp, first: firstAttempt, failed, deliveries }
              return Effect.ensuring(
                tell(() => client.publish(kept, JSON.stringify(now))),
                Effect.sync(() => message.nak())
              )
            },
            hold: Effect.sync(() => message.working())
          }
        })
      }
      return Effect.gen(function* () {
        yield* makeStreams
        const consumer = client.consumers.getConsumerFromInfo(yield* consumerInfo)
        const next = tell(() => nextOf(consumer))
        return () => Effect.flatMap(next, (message) => (message === undefined ? Effect.undefined : messageOf(message)))
      })
    }
  }
}

const isNamed =
  (...names: ReadonlyArray<string>) =>
  (error: unknown): boolean =>
    error instanceof Error && names.includes(error.name)

const isFinal = isNamed("ClosedConnectionError", "InvalidArgumentError")

const tell = <A>(question: () => Promise<A>): Effect.Effect<A, unknown> =>
  Effect.mapError(Effect.tryPromise(question), ({ cause }) => cause)

/** The next message, or none where there is none for a while. */
const nextOf = async (consumer: Consumer): Promise<JsMsg | undefined> => {
  for await (const message of await consumer.fetch({ max_messages: 1, expires: pollMillis })) return message
  return undefined
}

/** What is kept of the attempts at an event: JetStream counts how often it hands one out, and nothing besides. */
const Attempts = Schema.Struct({
  /** When it was published: a stream that is made anew counts its messages anew. */
  event: Schema.String,
  /** The span of the first, as a `traceparent`. */
  first: Schema.optionalKey(Schema.String),
  /** How many count so far. */
  failed: Schema.Int,
  /** How often it had been handed out by then. */
  deliveries: Schema.Int
})

const readAttempts = Schema.decodeUnknownOption(Schema.fromJsonString(Attempts))

const nanosPerMilli = 1_000_000

/** How long a server may take over what it is told before that counts as lost, in milliseconds. */
const answerMillis = 2000

/** How long a member asks for an event at a time, in milliseconds. */
const pollMillis = 2000

/** A name as one token of a subject, and no two names as the same: of names any character may be a part. */
const tokenOf = (name: string): string =>
  name === ""
    ? "_"
    : encodeURIComponent(name.toWellFormed()).replace(/[^A-Za-z0-9-]/g, (character) =>
        character === "%" ? "_" : `_${character.charCodeAt(0).toString(16).toUpperCase()}`
      )
