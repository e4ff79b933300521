// Real PostgreSQL and real Redis, started here and ended here, through each client that there is for them: what an agent does
// with them is one trace, and no value is in it. Both servers are Debian's packages.
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Redacted } from "effect"
import * as Service from "effect/persistence/Redis"
import * as SqlClient from "effect/sql/SqlClient"
import { Redis as Ioredis } from "ioredis"
import { execFileSync, spawn } from "node:child_process"
import { globSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import pg from "pg"
import { createClient } from "redis"
import * as Agent from "../../src/Agent.ts"
import * as Redis from "../../src/Redis.ts"
import * as Sql from "../../src/Sql.ts"
import * as Testing from "../../src/Testing.ts"
import { record, textOf } from "../live.ts"
import { installServers } from "./debian.ts"
import { freePort } from "./free-port.ts"

const { Tree, expectTrace } = Testing
const { handoff, span } = Tree

const secret = "hunter2"

/** Runs a server until the scope ends, and waits until it says that it is ready. */
const served = (command: string, args: ReadonlyArray<string>, signal: "SIGINT" | "SIGTERM") =>
  Effect.acquireRelease(
    Effect.promise(() => {
      const server = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] })
      return new Promise<typeof server>((resolve, reject) => {
        let output = ""
        const listen = (chunk: unknown) => {
          output += String(chunk)
          if (/ready to accept connections/i.test(output)) resolve(server)
        }
        server.stdout.on("data", listen)
        server.stderr.on("data", listen)
        server.once("error", reject).once("exit", () => reject(new Error(output)))
      })
    }),
    (server) =>
      Effect.promise(() => {
        const ended = new Promise((resolve) => server.once("exit", resolve))
        server.kill(signal)
        return ended
      })
  )

const postgresql = Effect.gen(function* () {
  const binary = (name: string): string | undefined => globSync(`/usr/lib/postgresql/*/bin/${name}`).at(-1)
  const folder = mkdtempSync(join(tmpdir(), "handspan-postgresql-"))
  yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
  const isRoot = process.getuid?.() === 0
  // PostgreSQL refuses to run as root.
  const unprivileged = isRoot ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : []
  if (isRoot) execFileSync("chown", ["postgres:postgres", folder])
  const data = join(folder, "data")
  const as = (name: string, ...args: ReadonlyArray<string>) => {
    const [command, ...rest] = [...unprivileged, binary(name)!, "-D", data, ...args]
    return [command!, rest] as const
  }
  execFileSync(...as("initdb", "-U", "ada", "-A", "trust", "--no-sync", "-E", "UTF8"), { stdio: "ignore" })
  const port = yield* Effect.promise(freePort)
  const settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"].flatMap((one) => ["-c", one])
  yield* served(...as("postgres", "-p", String(port), ...settings), "SIGINT")
  return port
})

const redisServer = Effect.gen(function* () {
  const port = yield* Effect.promise(freePort)
  yield* served("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--save", ""], "SIGTERM")
  return port
})

class Ports extends Context.Service<Ports, { readonly postgresql: number; readonly redis: number }>()("test/Ports") {
  static readonly layer = Layer.effect(
    Ports,
    Effect.andThen(Effect.sync(installServers), Effect.all({ postgresql, redis: redisServer }))
  )
}

/** Whatever an agent does, as a handoff of its own. */
const asHandoff = <A, E, R>(work: Effect.Effect<A, E, R>) => Agent.make("archivist", { run: () => work })(undefined)

layer(Ports.layer, { timeout: "2 minutes", excludeTestServices: true })("real servers", (it) => {
  it.effect("Sql.traced has pg's statements under the handoff, by promise, by callback and by pool", () =>
    Effect.gen(function* () {
      const { postgresql: port } = yield* Ports
      const address = { host: "127.0.0.1", port, user: "ada", database: "postgres" }
      const withClient = asHandoff(
        Effect.gen(function* () {
          const plain = new pg.Client(address)
          const client = yield* Sql.traced(plain)
          yield* Effect.acquireRelease(
            Effect.promise(() => client.connect()),
            () => Effect.promise(() => client.end())
          )
          const results = yield* Effect.promise(async () => [
            await client.query("CREATE TEMP TABLE users (id int PRIMARY KEY, name text)"),
            await client.query(`INSERT INTO users VALUES (1, '${secret}'), (2, E'it\\'s ${secret}')`),
            await client.query("INSERT INTO users VALUES ($1, $2)", [3, secret]),
            await client.query({ name: "by-name", text: "SELECT id FROM users WHERE name = $1", values: [secret] }),
            await client.query("SELECT 1; SELECT 2, 3")
          ])
          assert.deepStrictEqual(
            results.map((result) => (Array.isArray(result) ? result.length : result.rowCount)),
            [null, 2, 1, 2, 2]
          )
          const rows = yield* Effect.callback<ReadonlyArray<unknown>>((resume) => {
            const given: unknown = client.query("SELECT name FROM users", (_: Error, result: pg.QueryResult) =>
              resume(Effect.succeed(result.rows))
            )
            assert.isUndefined(given)
          })
          assert.lengthOf(rows, 3)
          const query = new pg.Query("SELECT 7", [])
          const ended = new Promise((resolve) => query.once("end", resolve))
          assert.strictEqual(client.query(query), query)
          yield* Effect.promise(() => ended)
          for (const statement of [
            `INSERT INTO users VALUES (1, '${secret}')`,
            `SELECT '${secret}'::int`,
            `SELECT "${secret} ' FROM users`
          ]) {
            const reasons = yield* Effect.promise(async () => {
              const outcomes = [await Promise.allSettled([client.query(statement)])]
              outcomes.push(await Promise.allSettled([plain.query(statement)]))
              return outcomes.map(([outcome]) => outcome?.status === "rejected" && String(outcome.reason))
            })
            assert.isString(reasons[0])
            assert.strictEqual(reasons[0], reasons[1])
          }
        })
      )
      const withPool = asHandoff(
        Effect.gen(function* () {
          const connectionString = `postgresql://ada:${secret}@127.0.0.1:${port}/postgres`
          const pool = yield* Sql.traced(new pg.Pool({ connectionString }))
          yield* Effect.addFinalizer(() => Effect.promise(() => pool.end()))
          const { rows } = yield* Effect.promise(() => pool.query("SELECT $1::text AS name", [secret]))
          assert.deepStrictEqual(rows, [{ name: secret }])
          const client = yield* Effect.promise(() => pool.connect())
          yield* Effect.promise(() => client.query("SELECT 8"))
          client.release()
          yield* Effect.callback<void>((resume) => {
            pool.connect((_, client, release) => {
              client?.query("SELECT 9", () => {
                release()
                resume(Effect.void)
              })
            })
          })
        })
      )
      const { exit, trace, traces } = yield* record(Effect.withSpan(Effect.andThen(withClient, withPool), "outer"))
      assert.deepStrictEqual(exit, Exit.void)
      const on = {
        "db.system.name": "postgresql",
        "db.namespace": "postgres",
        "server.address": "127.0.0.1",
        "server.port": port
      }
      const statement = (name: string, text: string, rows: number) => {
        const [operation = "", collection] = name.split(" ")
        const attributes = {
          ...on,
          "db.operation.name": operation,
          ...(collection !== undefined && { "db.collection.name": collection }),
          "db.query.text": text,
          "db.response.returned_rows": rows
        }
        return span(name, { kind: "client", status: "ok", attributes: Tree.only(attributes) })
      }
      const failed = (name: string, code: string, message: string) =>
        span(name, {
          kind: "client",
          status: { error: message },
          attributes: { ...on, "error.type": code, "db.response.status_code": code }
        })
      expectTrace(trace).toMatchTree(
        span("outer", [
          handoff("archivist", {
            children: Tree.anyOrder(
              statement("CREATE users", "CREATE TEMP TABLE users (id int PRIMARY KEY, name text)", 0),
              statement("INSERT users", "INSERT INTO users VALUES (?, ?), (?, ?)", 0),
              statement("INSERT users", "INSERT INTO users VALUES ($1, $2)", 0),
              statement("SELECT users", "SELECT id FROM users WHERE name = $1", 2),
              statement("SELECT", "SELECT ?; SELECT ?, ?", 2),
              statement("SELECT users", "SELECT name FROM users", 3),
              span("SELECT", { attributes: { ...on, "db.query.text": "SELECT ?" } }),
              failed("INSERT users", "23505", "duplicate key value violates unique constraint ?"),
              failed("SELECT", "22P02", "invalid input syntax for type integer: ?"),
              failed("SELECT", "42601", "unterminated quoted identifier at or near ?")
            )
          }),
          handoff("archivist", {
            children: Tree.anyOrder(
              statement("SELECT", "SELECT $1::text AS name", 1),
              statement("SELECT", "SELECT ?", 1),
              statement("SELECT", "SELECT ?", 1)
            )
          })
        ])
      )
      assert.notInclude(textOf(traces), secret)
    })
  )

  it.effect("Sql.layer completes the spans of @effect/sql-pg", () =>
    Effect.gen(function* () {
      const { postgresql: port } = yield* Ports
      const Database = PgClient.layer({
        host: "127.0.0.1",
        port,
        username: "ada",
        password: Redacted.make(secret),
        database: "postgres"
      })
      const work = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE photos (id int PRIMARY KEY, name text)`
        yield* sql.withTransaction(sql`INSERT INTO photos ${sql.insert([{ id: 1, name: secret }])}`)
        const rows =
          yield* sql`SELECT * FROM photos WHERE name IN ${sql.in([secret])} AND name = ${sql.literal(`'${secret}'`)}`
        assert.lengthOf(rows, 1)
        const failure = yield* Effect.flip(sql`INSERT INTO photos VALUES (1, ${sql.literal(`'${secret}'`)})`)
        return failure.reason._tag
      })
      const { exit, trace, traces } = yield* record(Effect.provide(asHandoff(work), [Database, Sql.layer]))
      assert.deepStrictEqual(exit, Exit.succeed("UniqueViolation"))
      const on = { "db.system.name": "postgresql", "db.namespace": "postgres", "server.port": port }
      const statement = (name: string, text: string, rows: number) =>
        span(name, {
          kind: "client",
          attributes: { ...on, "db.query.text": text, "db.response.returned_rows": rows }
        })
      expectTrace(trace).toMatchTree(
        handoff("archivist", [
          statement("CREATE photos", "CREATE TABLE photos (id int PRIMARY KEY, name text)", 0),
          span("sql.transaction", [statement("INSERT photos", `INSERT INTO photos ("id","name") VALUES ($1,$2)`, 0)]),
          statement("SELECT photos", "SELECT * FROM photos WHERE name IN ($1) AND name = ?", 1),
          span("INSERT photos", {
            kind: "client",
            status: { error: "duplicate key value violates unique constraint ?" },
            attributes: { ...on, "error.type": "23505", "db.response.status_code": "23505" }
          })
        ])
      )
      assert.notInclude(textOf(traces), secret)
    })
  )

  it.effect("Redis.traced and layerClient have the commands of every client under the handoff", () =>
    Effect.gen(function* () {
      const { redis: port } = yield* Ports
      const address = { host: "127.0.0.1", port }
      /** What each client does, by its own names. */
      interface Cache {
        readonly get: (key: string) => Promise<string | null>
        readonly set: (key: string, value: string) => Promise<unknown>
        readonly push: (key: string, value: string) => Promise<unknown>
      }
      const work = (cache: Cache) =>
        Effect.promise(async () => {
          assert.isNull(await cache.get("photo:7"))
          await cache.set("photo:7", secret)
          assert.strictEqual(await cache.get("photo:7"), secret)
          const [outcome] = await Promise.allSettled([cache.push("photo:7", secret)])
          assert.strictEqual(outcome.status, "rejected")
        })
      const redis = Effect.gen(function* () {
        const client = yield* Redis.traced(createClient({ socket: address, database: 1 }))
        yield* Effect.acquireRelease(
          Effect.promise(() => client.connect()),
          () => Effect.promise(() => client.close())
        )
        yield* work({
          get: (key) => client.get(key),
          set: (key, value) => client.set(key, value),
          push: (key, value) => client.lPush(key, value)
        })
        const blocked = yield* Effect.promise(() => client.blPop("jobs", 0.01))
        assert.isNull(blocked)
      })
      const ioredis = Effect.gen(function* () {
        const client = yield* Redis.traced(new Ioredis({ ...address, db: 2 }))
        yield* Effect.addFinalizer(() => Effect.sync(() => client.disconnect()))
        yield* work({
          get: (key) => client.get(key),
          set: (key, value) => client.set(key, value),
          push: (key, value) => client.lpush(key, value)
        })
        const blocked = yield* Effect.promise(() => client.blpop("jobs", 0.01))
        assert.isNull(blocked)
      })
      const effects = Effect.gen(function* () {
        const { send } = yield* Service.Redis
        yield* send("GET", "photo:7")
        yield* send("SET", "photo:7", secret)
        yield* send("GET", "photo:7")
        yield* Effect.flip(send("LPUSH", "photo:7", secret))
        yield* send("BLPOP", "jobs", "0.01")
      }).pipe(
        Effect.provide(Layer.provide(Redis.layerClient, Layer.orDie(NodeRedis.layer({ socket: address, database: 3 }))))
      )
      const { exit, trace, traces } = yield* record(
        Effect.withSpan(Effect.forEach([redis, ioredis, effects], asHandoff, { discard: true }), "outer")
      )
      assert.deepStrictEqual(exit, Exit.void)
      const done = (on: Record<string, string | number>) => {
        const command = (name: string, attributes: Record<string, string | boolean>) =>
          span(name, { kind: "client", attributes: { "db.system.name": "redis", ...on, ...attributes } })
        return handoff("archivist", {
          children: Tree.anyOrder(
            command("GET", { "db.query.text": "GET photo:7", "handspan.cache.hit": false }),
            command("SET", { "db.query.text": "SET photo:7 ?" }),
            command("GET", { "db.query.text": "GET photo:7", "handspan.cache.hit": true }),
            span("LPUSH", {
              kind: "client",
              status: { error: /^WRONGTYPE Operation against a key/ },
              attributes: {
                "db.query.text": "LPUSH photo:7 ?",
                "error.type": "WRONGTYPE",
                "db.response.status_code": "WRONGTYPE"
              }
            }),
            command("BLPOP", { "db.query.text": "BLPOP jobs ?" })
          )
        })
      }
      const at = { "server.address": "127.0.0.1", "server.port": port }
      expectTrace(trace).toMatchTree(
        span("outer", [done({ ...at, "db.namespace": "1" }), done({ ...at, "db.namespace": "2" }), done({})])
      )
      assert.notInclude(textOf(traces), secret)
    })
  )
})
