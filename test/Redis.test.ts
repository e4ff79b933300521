// Commands of `redis`, `ioredis` and Effect's Redis to a small server on loopback, and what is told of them.
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, type Scope } from "effect"
import * as Service from "effect/persistence/Redis"
import { Redis as Ioredis } from "ioredis"
import { createClient } from "redis"
import * as Agent from "../src/Agent.ts"
import * as Instrument from "../src/Instrument.ts"
import * as Redis from "../src/Redis.ts"
import * as RedisText from "../src/RedisText.ts"
import * as Testing from "../src/Testing.ts"
import { record, textOf } from "./live.ts"
import { respServer } from "./resp-server.ts"

const { Tree, expectTrace } = Testing
const { handoff, span } = Tree

const secret = "hunter2"

const redisClient = (port: number) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const client = createClient({ socket: { host: "127.0.0.1", port } })
      await client.connect()
      return client
    }),
    (client) => Effect.sync(() => client.destroy())
  )

const ioredisClient = (port: number) =>
  Effect.acquireRelease(
    Effect.sync(() => new Ioredis({ host: "127.0.0.1", port, db: 3 })),
    (client) => Effect.sync(() => client.disconnect())
  )

const isPort = Tree.where("a port", (port) => Number(port) > 0)

/** The span over a command. */
const command = (name: string, attributes: Record<string, string | boolean | number | Testing.Tree.Rule> = {}) =>
  span(name, {
    kind: "client",
    attributes: { "db.system.name": "redis", "db.operation.name": name, ...attributes }
  })

const miss = { "handspan.cache.hit": false }
const hit = { "handspan.cache.hit": true }
const text = (text: string) => ({ "db.query.text": text })
const failed = {
  status: { error: "ERR value is not an integer: ?" },
  attributes: { "error.type": "ERR", "db.response.status_code": "ERR" }
}

describe("Redis.traced of redis", () => {
  it.live("makes each command a span, without its values, and gives what the client gives", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const plain = yield* redisClient(yield* respServer)
        const working = Effect.gen(function* () {
          const client = yield* Redis.traced(plain)
          assert.strictEqual(
            client.on("end", () => {}),
            client
          )
          assert.isTrue(client.isReady)
          const results = yield* Effect.promise(async () => [
            await client.get("photo:7"),
            await client.set("photo:7", secret),
            await client.GET("photo:7"),
            await client.mGet(["photo:7", "photo:8"]),
            await client.sendCommand(["SET", "photo:8", secret]),
            await client.withCommandOptions({}).get("photo:8"),
            await client.multi().set("photo:9", secret).get("photo:9").exec(),
            await client.multi().get("photo:9").execAsPipeline(),
            await client.json.get("photo:9")
          ])
          assert.deepEqual(results, [
            null,
            "OK",
            secret,
            [secret, null],
            "OK",
            secret,
            ["OK", secret],
            [secret],
            null
          ] as never)
        })
        yield* Effect.withSpan(working, "working")
        yield* Effect.withSpan(
          Effect.gen(function* () {
            const client = yield* Redis.traced(plain)
            const [traced, untraced] = yield* Effect.promise(() =>
              Promise.allSettled([client.incr("photo:7"), plain.incr("photo:7")])
            )
            assert.deepStrictEqual(traced, untraced)
            assert.strictEqual(traced.status, "rejected")
          }),
          "failing"
        )
      })
      const { exit, trace, traces } = yield* record(Effect.withSpan(program, "outer"))
      assert.deepStrictEqual(exit, Exit.void)
      const on = { "db.namespace": "0", "server.address": "127.0.0.1", "server.port": isPort }
      expectTrace(trace).toMatchTree(
        span("outer", [
          span("working", [
            command("GET", { ...on, ...miss, ...text("GET photo:7") }),
            command("SET", { ...on, ...text("SET photo:7 ?"), "handspan.cache.hit": Tree.absent }),
            command("GET", { ...hit, ...text("GET photo:7") }),
            command("MGET", { ...miss }),
            command("SET", text("SET photo:8 ?")),
            command("GET", { ...hit, ...text("GET photo:8") }),
            command("MULTI", { ...on, "db.operation.batch.size": 2 }),
            command("PIPELINE", { ...on, "db.operation.batch.size": 1 }),
            command("JSON.GET")
          ]),
          span("failing", [span("INCR", failed)])
        ])
      )
      assert.notInclude(textOf(traces), secret)
    })
  )
})

describe("Redis.traced of ioredis", () => {
  it.live("makes each command a span, without its values, and gives what the client gives", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const plain = yield* ioredisClient(yield* respServer)
        const working = Effect.gen(function* () {
          const client = yield* Redis.traced(plain)
          assert.isTrue(client instanceof Ioredis)
          assert.strictEqual(
            client.on("end", () => {}),
            client
          )
          const results = yield* Effect.promise(async () => [
            // Not connected yet: it waits in the client's queue, and is sent again.
            await client.get("photo:7"),
            await client.set("photo:7", secret),
            await client.mget("photo:7", "photo:8"),
            await client.call("GET", "photo:7"),
            await client.pipeline().set("photo:8", secret).get("photo:8").exec(),
            await client.multi().get("photo:8").exec()
          ])
          assert.deepStrictEqual(results, [
            null,
            "OK",
            [secret, null],
            secret,
            [
              [null, "OK"],
              [null, secret]
            ],
            [[null, secret]]
          ])
        })
        yield* Effect.withSpan(working, "working")
        yield* Effect.withSpan(
          Effect.gen(function* () {
            const client = yield* Redis.traced(plain)
            const told = yield* Effect.callback<unknown>((resume) => {
              void client.incr("photo:7", (error) => resume(Effect.succeed(error))).catch(() => {})
            })
            assert.instanceOf(told, Error)
            const [traced, untraced] = yield* Effect.promise(() =>
              Promise.allSettled([client.incr("photo:7"), plain.incr("photo:7")])
            )
            assert.strictEqual(String(Reflect.get(traced, "reason")), String(Reflect.get(untraced, "reason")))
            const outcome = yield* Effect.promise(() => client.pipeline().incr("photo:7").exec())
            assert.instanceOf(outcome?.[0]?.[0], Error)
          }),
          "failing"
        )
      })
      const { exit, trace, traces } = yield* record(Effect.withSpan(program, "outer"))
      assert.deepStrictEqual(exit, Exit.void)
      const on = { "db.namespace": "3", "server.address": "127.0.0.1", "server.port": isPort }
      expectTrace(trace).toMatchTree(
        span("outer", [
          span("working", [
            command("GET", { ...on, ...miss, ...text("GET photo:7") }),
            command("SET", { ...on, ...text("SET photo:7 ?") }),
            command("MGET", { ...miss, ...text("MGET photo:7 photo:8") }),
            command("GET", hit),
            command("SET", text("SET photo:8 ?")),
            command("GET", hit),
            command("MULTI"),
            command("GET"),
            command("EXEC")
          ]),
          span("failing", [span("INCR", failed), span("INCR", failed), span("INCR", failed)])
        ])
      )
      assert.notInclude(textOf(traces), secret)
    })
  )
})

type Getter = { readonly get: (key: string) => Promise<string | null> }
const clients: Record<string, (port: number) => Effect.Effect<Getter, never, Scope.Scope>> = {
  redis: redisClient,
  ioredis: ioredisClient
}

for (const [name, make] of Object.entries(clients)) {
  describe(`Redis.traced of ${name}`, () => {
    it.live("puts commands under functions of Instrument and the fiber that runs, and hides keys where it is to", () =>
      Effect.gen(function* () {
        const program = Effect.gen(function* () {
          const plain = yield* make(yield* respServer)
          const client = yield* Effect.withSpan(Redis.traced(plain), "startup")
          const { traceSpan } = yield* Instrument.make
          const look = traceSpan("look")(async () => {
            await client.get("a")
            await client.get("b")
          })
          yield* Effect.promise(look)
          yield* Effect.withSpan(
            Effect.promise(() => client.get("c")),
            "agent"
          )
          const hidden = yield* Effect.provideService(Redis.traced(plain), Redis.ShowKeys, false)
          yield* Effect.promise(() => hidden.get("d"))
          yield* Effect.promise(() => plain.get("e"))
          assert.strictEqual(yield* Effect.withTracerEnabled(Redis.traced(plain), false), plain)
        })
        const { exit, trace } = yield* record(Effect.withSpan(program, "outer"))
        assert.deepStrictEqual(exit, Exit.void)
        expectTrace(trace).toMatchTree(
          span("outer", [
            span("startup"),
            span("look", [command("GET", text("GET a")), command("GET", text("GET b"))]),
            span("agent", [command("GET", text("GET c"))]),
            command("GET", text("GET ?"))
          ])
        )
      })
    )
  })
}

describe("Redis.layerClient", () => {
  it.live("makes commands and scripts spans, on reserved connections too, and ends those that are interrupted", () =>
    Effect.gen(function* () {
      const echo = Service.script((key: string, value: string) => [key, value], {
        lua: `return '${secret}'`,
        numberOfKeys: 1
      }).withReturnType<ReadonlyArray<string>>()
      const program = Effect.gen(function* () {
        const port = yield* respServer
        return yield* Effect.gen(function* () {
          const redis = yield* Service.Redis
          assert.isNull(yield* redis.send("GET", "photo:7"))
          assert.strictEqual(yield* redis.send("SET", "photo:7", secret), "OK")
          assert.deepEqual(yield* redis.eval(echo)("photo:7", secret), ["photo:7"])
          const failure = yield* Effect.flip(redis.send("INCR", "photo:7"))
          assert.strictEqual(failure._tag, "RedisError")
          yield* Effect.scoped(
            Effect.gen(function* () {
              const connection = yield* redis.reserve
              assert.strictEqual(yield* connection.send("GET", "photo:7"), secret)
              const waiting = yield* Effect.forkChild(connection.send("BLPOP", "jobs", "0"), { startImmediately: true })
              yield* Fiber.interrupt(waiting)
            })
          )
        }).pipe(
          Effect.provide(
            Layer.provide(Redis.layerClient, NodeRedis.layer({ socket: { host: "127.0.0.1", port } }).pipe(Layer.orDie))
          )
        )
      })
      const { exit, trace, traces } = yield* record(Agent.make("archivist", { run: () => program })(undefined))
      assert.deepStrictEqual(exit, Exit.void)
      expectTrace(trace).toMatchTree(
        handoff("archivist", [
          command("GET", { ...miss, ...text("GET photo:7") }),
          command("SET", text("SET photo:7 ?")),
          command("EVALSHA", text("EVALSHA ?")),
          span("INCR", failed),
          command("GET", hit),
          span("BLPOP", { kind: "client", status: "unset", attributes: { "handspan.interrupted": true } })
        ])
      )
      assert.notInclude(textOf(traces), secret)
    })
  )
})

describe("RedisText.read", () => {
  it("shows keys of what it knows, and nothing of what it does not", () => {
    const cases: ReadonlyArray<readonly [told: string, ...words: ReadonlyArray<string>]> = [
      ["DEL a b", "DEL", "a", "b"],
      ["HSET a ? ?", "HSET", "a", "field", "value"],
      ["DECRBY a ?", "DECRBY", "a", "7"],
      ["XADD a ? ? ?", "XADD", "a", "*", "field", "value"],
      ["LPUSH a ?", "LPUSH", "a", "value"],
      ["ZRANGEBYSCORE a ? ?", "ZRANGEBYSCORE", "a", "0", "1"],
      ["JSON.SET a ? ?", "JSON.SET", "a", "$", "{}"],
      ["AUTH ? ?", "AUTH", "user", "password"],
      ["CONFIG ? ? ?", "CONFIG", "SET", "requirepass", "password"],
      ["EVAL ? ? ?", "EVAL", "return 1", "1", "a"],
      ["MSET ? ?", "MSET", "a", "value"],
      ["PING", "PING"]
    ]
    for (const [told, operation = "", ...args] of cases) {
      assert.strictEqual(RedisText.read(operation, args, true), told)
      assert.strictEqual(RedisText.read(operation, args, false), [operation, ...args.map(() => "?")].join(" "))
    }
    const many = Array.from({ length: 40 }, () => "a")
    assert.strictEqual(RedisText.read("DEL", many, true), `DEL ${many.slice(0, 32).join(" ")} …`)
  })
})
