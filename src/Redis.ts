/**
 * Spans over Redis: for Effect's service, and for plain clients, which are `redis` and `ioredis`. Values are never on them, and
 * keys where they may be. What is told of a command is `RedisText`'s, how a call ends `DatabaseSpan`'s.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Service from "effect/persistence/Redis"
import { Key } from "./Conventions.ts"
import * as DatabaseSpan from "./DatabaseSpan.ts"
import { view } from "./DriverView.ts"
import { inside } from "./ForeignCall.ts"
import * as RedisText from "./RedisText.ts"

/**
 * Whether keys are shown on spans, in `db.query.text`. Default: true. What a key says of a person is redacted as on any span.
 *
 * @since 0.1.0
 */
export const ShowKeys: Context.Reference<boolean> = Context.Reference("handspan/Redis/ShowKeys", {
  defaultValue: () => true
})

const callOf = (
  command: unknown,
  args: ReadonlyArray<unknown>,
  showsKeys: boolean,
  attributes: Record<string, unknown> = {}
): DatabaseSpan.Call => {
  const operation = RedisText.operationOf(command)
  return {
    name: operation,
    attributes: {
      [Key.dbSystem]: "redis",
      ...attributes,
      [Key.dbOperation]: operation,
      [Key.dbQueryText]: RedisText.read(operation, args, showsKeys)
    },
    system: "redis",
    outcomeOf: (reply) => {
      const isHit = RedisText.hitOf(operation, reply)
      return isHit === undefined ? {} : { [Key.cacheHit]: isHit }
    },
    statusOf
  }
}

/** Redis begins what it says of an error with a word in capitals, such as `WRONGTYPE`. */
const statusOf: DatabaseSpan.Call["statusOf"] = ({ message }) =>
  typeof message === "string" ? /^[A-Z][A-Z\d]+(?= |$)/.exec(message)?.[0] : undefined

/**
 * Makes a service whose commands and scripts are spans, on reserved connections too.
 *
 * @since 0.1.0
 */
export const client = (self: Service.Redis["Service"]): Service.Redis["Service"] => ({
  ...connection(self),
  subscribe: self.subscribe,
  reserve: Effect.map(self.reserve, connection)
})

const connection = (self: Service.Connection): Service.Connection => ({
  send: <A>(command: string, ...args: ReadonlyArray<string>) =>
    Effect.flatMap(ShowKeys, (showsKeys) =>
      DatabaseSpan.run(self.send<A>(command, ...args), callOf(command, args, showsKeys))
    ),
  eval: (script) => {
    const run = self.eval(script)
    return (...params) => DatabaseSpan.run(run(...params), callOf("EVALSHA", [script.lua], false))
  }
})

/**
 * Traces the commands of the `Redis` that it is given; see `client`.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Redis as EffectRedis } from "effect/persistence"
 * import * as Redis from "handspan/Redis"
 * import * as Testing from "handspan/testing"
 *
 * const Photos = Layer.mock(EffectRedis.Redis, {
 *   send: <A>() => Effect.succeed(null as A),
 *   eval: () => () => Effect.die("no scripts here")
 * })
 * const program = Effect.flatMap(EffectRedis.Redis, (redis) => redis.send("GET", "photo:7")).pipe(
 *   Effect.provide(Layer.provide(Redis.layerClient, Photos))
 * )
 * const { trace } = await Effect.runPromise(Testing.record(program))
 * const [get] = trace.spans
 * if (get?.attributes["db.query.text"] !== "GET photo:7") throw new Error("expected the command")
 * if (get.attributes["handspan.cache.hit"] !== false) throw new Error("expected a miss")
 * ```
 *
 * @since 0.1.0
 */
export const layerClient: Layer.Layer<Service.Redis, never, Service.Redis> = Layer.effect(
  Service.Redis,
  Effect.map(Service.Redis, client)
)

/**
 * Gives a view of a client of `redis` or `ioredis` whose commands are spans under the tracing of the Effect that made it:
 * children of the span of the fiber that runs, or of the function wrapped by `Instrument`, with its baggage. In everything else
 * the view is the client.
 *
 * **Details**: of `redis`, a `multi()` is one span with the number of its commands, and keys are shown as far as the client
 * itself shows them to observers; of `ioredis`, each command of a pipeline is a span. `ShowKeys` counts where the view is made.
 * Where tracing is off, the view *is* the client.
 *
 * **Gotchas**: plain code is known after it has waited where `Instrument` or `Http` runs it, or by `context: "async"` of
 * `Tracing.layer`. Elsewhere its commands are children of the span that the view was made in, and when that has ended, roots.
 *
 * @since 0.1.0
 */
export const traced = <Client extends object>(client: Client): Effect.Effect<Client> =>
  Effect.zipWith(DatabaseSpan.begin, ShowKeys, (begin, showsKeys) => {
    if (begin === undefined) return client
    const tracing = { begin, showsKeys }
    return isIoredis(client) ? viewOfIoredis(client, tracing) : viewOfRedis(client, tracing)
  })

interface Tracing {
  readonly begin: DatabaseSpan.Begin
  readonly showsKeys: boolean
}

// --- ioredis: each command goes through `sendCommand`.

interface Ioredis {
  readonly options?: {
    readonly host?: string
    readonly port?: number
    readonly path?: string | null
    readonly db?: number
  }
  readonly condition?: { readonly select?: number } | null
  readonly connect: (...args: Array<unknown>) => unknown
  readonly sendCommand: (command: IoredisCommand, ...rest: Array<unknown>) => unknown
}

interface IoredisCommand {
  readonly name: string
  readonly args: ReadonlyArray<unknown>
  readonly callback?: unknown
}

const isIoredis = <Client extends object>(client: Client): client is Client & Ioredis =>
  "callBuffer" in client && "sendCommand" in client

const viewOfIoredis = <Client extends Ioredis>(client: Client, { begin, showsKeys }: Tracing): Client => {
  const sendCommand: Ioredis["sendCommand"] = (command, ...rest) => {
    const send = () => client.sendCommand(command, ...rest)
    const begun = begin(callOf(command.name, command.args, showsKeys, attributesOf(client)))
    const isLookedAfter = rest[0] !== undefined || command.callback !== undefined
    // A pipeline, or a callback, has the error; a Promise of ours that nobody looks at would be an unhandled rejection.
    return isLookedAfter ? DatabaseSpan.observe(begun, send) : DatabaseSpan.follow(begun, send)
  }
  return new Proxy(client, {
    get: (target, key, receiver) => {
      if (key === "sendCommand") return sendCommand
      // What it says on connecting is its own, and not a command of whoever looks.
      return key === "connect" ? target.connect.bind(target) : Reflect.get(target, key, receiver)
    }
  })
}

const attributesOf = ({ condition, options = {} }: Ioredis): Record<string, unknown> => ({
  [Key.dbNamespace]: String(condition?.select ?? options.db ?? 0),
  ...addressOf(options.path ?? options.host, options.port)
})

const addressOf = (address: string | undefined, port: number | undefined): Record<string, unknown> => ({
  ...(address !== undefined && { [Key.serverAddress]: address }),
  ...(port !== undefined && { [Key.serverPort]: port })
})

// --- redis: publishes what it does to observers (node:diagnostics_channel), in the place of the call.

/** What observers are told. One object bears all that is said of a command. */
interface Published {
  readonly command?: string
  readonly args?: ReadonlyArray<unknown>
  readonly database: number
  readonly serverAddress: string
  readonly serverPort: number | undefined
  readonly batchMode?: string
  readonly batchSize?: number
  readonly result?: unknown
  readonly error?: unknown
}

/** Whose view a command went through. */
const through = inside<Tracing>()

const viewOfRedis = <Client extends object>(client: Client, tracing: Tracing): Client => {
  observe()
  return view(
    client,
    // What it says on connecting, and later to keep the connection, is its own.
    (method, args, call) => (method === "connect" ? call(args) : through.run(tracing, () => call(args))),
    isPart
  )
}

/** What commands go through besides the client: a transaction, the commands of a module, the client with other options. */
const isPart = (value: unknown): value is object =>
  typeof value === "object" &&
  value !== null &&
  ("execAsPipeline" in value || "_self" in value || "withCommandOptions" in value)

let isObserving = false

const ignore = (): void => {}

const observe = (): void => {
  if (isObserving) return
  isObserving = true
  const channels = globalThis.process?.getBuiltinModule?.("node:diagnostics_channel")
  const under = new WeakMap<object, DatabaseSpan.Begun>()
  const start = (message: unknown): void => {
    const published = message as Published
    const tracing = through.getStore()
    // A command of a batch is told of by the batch.
    if (tracing === undefined || (published.command !== undefined && published.batchMode !== undefined)) return
    const { args = [], batchMode, batchSize, command = batchMode, database, serverAddress, serverPort } = published
    const attributes = {
      [Key.dbNamespace]: String(database),
      ...addressOf(serverAddress, serverPort),
      ...(batchSize !== undefined && { [Key.dbBatchSize]: batchSize })
    }
    under.set(published, tracing.begin(callOf(command, args.slice(1), tracing.showsKeys, attributes)))
  }
  const end = (message: unknown): void => {
    const published = message as Published
    const exit = "error" in published ? Exit.die(published.error) : Exit.succeed(published.result)
    under.get(published)?.end(exit)
    under.delete(published)
  }
  for (const name of ["node-redis:command", "node-redis:batch"]) {
    channels?.tracingChannel(name).subscribe({ start, end: ignore, asyncStart: ignore, asyncEnd: end, error: end })
  }
}
