/**
 * The event bus over Redis Streams: a stream of each topic, a consumer group of each group. It stands on Effect's `Redis`, which
 * `NodeRedis` of `@effect/platform-node` makes of the package `redis`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redis from "effect/persistence/Redis"
import { EventBus } from "../EventBus.ts"
import * as RemoteBroker from "./RemoteBroker.ts"

/**
 * What the bus may be told.
 *
 * @since 0.1.0
 */
export interface Options extends RemoteBroker.Options {
  /** What the names of all its keys begin with. Default: `handspan`. */
  readonly prefix?: string | undefined
}

/**
 * The event bus over the Redis that it is given, from version 7 on.
 *
 * **Details**: events are entries `event` of streams, in JSON; the stream of the topic `readings` is `handspan:events:{readings}`,
 * with the braces, which keep on one node of a cluster what belongs to a topic. Whoever else adds such is heard too; what is no
 * event goes to `{topic}.dead`. An event that is published again by the same id within two minutes is not there twice, so that
 * publishing may be retried. A topic of which nobody takes, and on which nobody publishes, is gone after `maxAge`, with its groups
 * and what waits for them. Redis keeps what it has acknowledged as far as its own settings say: `appendonly yes` and
 * `appendfsync always` keep it all.
 *
 * **Gotchas**: a member that waits holds a connection of the pool behind `Redis.reserve` for a second at a time. Where there are
 * more members than `maxConnections` (10 by default), they take turns, and new events come later. A client of `redis` does not
 * close before what was published through it has been answered, also where Redis is away: with `disableOfflineQueue: true` it does.
 *
 * @example
 * ```ts ignore
 * import { NodeRedis } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { EventBus } from "handspan"
 * import * as RedisBus from "handspan/bus/Redis"
 *
 * const bus = Layer.provide(RedisBus.layer({ ackWait: "1 minute" }), NodeRedis.layer({ url: "redis://localhost:6379" }))
 * const program = EventBus.publish("readings", { type: "reading", payload: 21 })
 * await Effect.runPromise(Effect.provide(program, bus))
 * ```
 *
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<EventBus, never, Redis.Redis> =>
  Layer.effect(
    EventBus,
    Effect.flatMap(Redis.Redis, (redis) => RemoteBroker.make(serverOf(redis, options), options))
  )

const serverOf = (redis: Redis.Redis["Service"], options: Options): RemoteBroker.Server => {
  const { ackWait, maxAge, maxLength } = RemoteBroker.settings(options)
  const keyOf = (kind: string, topic: string, ...names: ReadonlyArray<string>): string =>
    [options.prefix ?? "handspan", kind, `{${nameOf(topic)}}`, ...names.map(nameOf)].join(":")

  let isAway = false
  /**
   * Asks the client that all share, or, where Redis is away, over a connection of one's own: the client does not close before it has
   * an answer. That is given back at once, as whoever asks may need another.
   */
  const asking = <A>(ask: (connection: Redis.Connection) => Effect.Effect<A, Redis.RedisError>) =>
    Effect.suspend(() => (isAway ? Effect.scoped(Effect.flatMap(redis.reserve, ask)) : ask(redis)))

  return {
    system: "redis",
    isFinal: () => false,
    publish: (topic, id, text) =>
      redis.eval(publish)(keyOf("events", topic), keyOf("published", topic, id), text, maxLength, maxAge),
    join: (topic, group) => {
      const stream = keyOf("events", topic)
      const firstAttempts = keyOf("attempts", topic, group)

      const messageOf = ([id, fields, attempt, firstAttempt]: Taken): RemoteBroker.Message => ({
        text: textOf(fields),
        attempt,
        firstAttempt: firstAttempt ?? undefined,
        ack: redis.eval(acknowledge)(stream, firstAttempts, group, id),
        giveBack: (ended) => back(id, ended.hasFailed ? attempt : attempt - 1, ended.firstAttempt),
        hold: redis.eval(hold)(stream, group, id, maxAge)
      })
      /** Gives an event back after so many attempts that count. */
      const back = (id: string, attempts: number, firstAttempt = "") =>
        redis.eval(giveBack)(stream, firstAttempts, group, id, ackWait, attempts, firstAttempt, maxAge)
      const poll: RemoteBroker.Poll = (left) =>
        Effect.gen(function* () {
          const taken = yield* asking((connection) =>
            connection.eval(take)(stream, firstAttempts, group, ackWait, maxAge)
          )
          if (taken !== null) return messageOf(taken)
          const waiting = yield* Effect.raceFirst(redis.reserve, left)
          if (waiting === undefined) return undefined
          const from = ["COUNT", "1", "BLOCK", blockMillis, "STREAMS", stream, ">"]
          const entry = onlyEntry(yield* waiting.send("XREADGROUP", "GROUP", group, member, ...from))
          return entry && messageOf([...entry, 1, null])
        }).pipe(
          Effect.scoped,
          Effect.onExit((exit) => Effect.sync(() => (isAway = Exit.isFailure(exit))))
        )
      const joined = asking((connection) => connection.eval(join)(stream, group, maxAge))
      return Effect.as(joined, poll)
    }
  }
}

/** No name must pass for two, and Redis passes over braces with nothing in them. */
const nameOf = (name: string): string => encodeURIComponent(name.toWellFormed()) || "%"

/**
 * All members go by one name: which of them holds an event, nobody has to know, and Redis would keep the names of those that
 * are gone for ever.
 */
const member = "member"

/** How long a member waits for a new event before it looks whether one was given back, in milliseconds. */
const blockMillis = "1000"

/** By how long two events of one id may be apart and count as one, in milliseconds. */
const publishedMillis = 120_000

type Entry = readonly [id: string, fields: ReadonlyArray<string>]

type Taken = readonly [...Entry, attempt: number, firstAttempt: string | null]

/** What is no event of ours is told as it is. */
const textOf = (fields: ReadonlyArray<string>): string => {
  const [name, value] = fields
  return name === "event" && value !== undefined && fields.length === 2 ? value : JSON.stringify(fields)
}

/** The second version of Redis's protocol answers with pairs, the third with a map. */
const onlyEntry = (answer: unknown): Entry | undefined => {
  const [stream] = (Array.isArray(answer) ? answer : Object.entries(answer ?? {})) as ReadonlyArray<
    readonly [stream: string, entries: ReadonlyArray<Entry>]
  >
  return stream?.[1][0]
}

const publish = Redis.script(
  (stream: string, published: string, text: string, maxLength: number, maxAge: number) => [
    stream,
    published,
    text,
    maxLength,
    maxAge
  ],
  {
    numberOfKeys: 2,
    lua: `
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'event', ARGV[1])
  redis.call('SET', KEYS[2], '', 'PX', ${publishedMillis})
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end`
  }
)

/** The first group of a topic gets what was published before. */
const join = Redis.script((stream: string, group: string, maxAge: number) => [stream, group, maxAge], {
  numberOfKeys: 1,
  lua: `
local start = '$'
if redis.call('EXISTS', KEYS[1]) == 0 or #redis.call('XINFO', 'GROUPS', KEYS[1]) == 0 then start = '0' end
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], start, 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
redis.call('PEXPIRE', KEYS[1], ARGV[2])`
})

/** What was given back, or held by who is gone, goes before what is new. */
const take = Redis.script(
  (stream: string, firstAttempts: string, group: string, ackWait: number, maxAge: number) => [
    stream,
    firstAttempts,
    group,
    ackWait,
    maxAge
  ],
  {
    numberOfKeys: 2,
    lua: `
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local cursor = '0-0'
repeat
  local claimed = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], '${member}', ARGV[2], cursor, 'COUNT', 1)
  cursor = claimed[1]
  local entry = claimed[2][1]
  if entry then
    local pending = redis.call('XPENDING', KEYS[1], ARGV[1], entry[1], entry[1], 1)
    return { entry[1], entry[2], pending[1][4], redis.call('HGET', KEYS[2], entry[1]) }
  end
until cursor == '0-0'
local read = redis.call('XREADGROUP', 'GROUP', ARGV[1], '${member}', 'COUNT', 1, 'STREAMS', KEYS[1], '>')
if not read then return false end
local entry = read[1][2][1]
return { entry[1], entry[2], 1, false }`
  }
).withReturnType<Taken | null>()

const hold = Redis.script((stream: string, group: string, id: string, maxAge: number) => [stream, group, id, maxAge], {
  numberOfKeys: 1,
  lua: `
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('XCLAIM', KEYS[1], ARGV[1], '${member}', 0, ARGV[2], 'JUSTID')`
})

const acknowledge = Redis.script(
  (stream: string, firstAttempts: string, group: string, id: string) => [stream, firstAttempts, group, id],
  {
    numberOfKeys: 2,
    lua: `
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('HDEL', KEYS[2], ARGV[2])`
  }
)

/** Who takes the next finds it as if it had been held for too long. */
const giveBack = Redis.script(
  (
    stream: string,
    firstAttempts: string,
    group: string,
    id: string,
    ackWait: number,
    attempt: number,
    firstAttempt: string,
    maxAge: number
  ) => [stream, firstAttempts, group, id, ackWait, attempt, firstAttempt, maxAge],
  {
    numberOfKeys: 2,
    lua: `
redis.call('XCLAIM', KEYS[1], ARGV[1], '${member}', 0, ARGV[2], 'IDLE', ARGV[3], 'RETRYCOUNT', ARGV[4], 'JUSTID')
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[5])
  redis.call('PEXPIRE', KEYS[2], ARGV[6])
end`
  }
)
