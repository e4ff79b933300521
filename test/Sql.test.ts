// Statements on a real node:sqlite, by plain code and by Effect's SqlClient, and the reading of what stands in them.
import { assert, describe, it } from "@effect/vitest"
import * as Api from "@opentelemetry/api"
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Effect, Exit, Layer, Result, Stream } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as SqlClient from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import { classifySqliteError, SqlError } from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import { DatabaseSync } from "node:sqlite"
import * as Agent from "../src/Agent.ts"
import * as DatabaseSpan from "../src/DatabaseSpan.ts"
import * as Ambient from "../src/exporter/Ambient.ts"
import * as Http from "../src/Http.ts"
import * as Instrument from "../src/Instrument.ts"
import * as OtlpProtobuf from "../src/OtlpProtobuf.ts"
import * as Recorder from "../src/Recorder.ts"
import { SpanBuffer } from "../src/SpanBuffer.ts"
import * as Sql from "../src/Sql.ts"
import * as Testing from "../src/Testing.ts"
import { record, textOf } from "./live.ts"

const { Tree, expectTrace } = Testing
const { handoff, span } = Tree

const secret = "hunter2"

/** A database with one table. */
const users = (): DatabaseSync => {
  const database = new DatabaseSync(":memory:")
  database.exec("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
  return database
}

const sqlite = { "db.system.name": "sqlite", "db.namespace": ":memory:" }

describe("Sql.traced on node:sqlite", () => {
  it.live("makes each statement a span, without its values, and gives what the driver gives", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const database = yield* Sql.traced(users())
        assert.isTrue(database instanceof DatabaseSync)
        database.exec(`INSERT INTO users VALUES (1, '${secret}'), (2, 'O''Hara') -- ${secret}`)
        const insert = database.prepare("INSERT INTO users VALUES (?, ?)")
        assert.deepEqual(insert.run(3, secret), { changes: 1, lastInsertRowid: 3 })
        const select = database.prepare(`SELECT name FROM users WHERE name <> '${secret}' AND id < ?`)
        assert.strictEqual(select.get(1), undefined)
        assert.deepEqual(
          select.all(9),
          [{ name: "O'Hara" }].map((row) => Object.assign(Object.create(null), row))
        )
        assert.deepEqual([...select.iterate(9)].length, 1)
        assert.include(select.sourceSQL, secret)
        database.close()
      })
      const { exit, trace, traces } = yield* record(Agent.make("archivist", { run: () => program })(undefined))
      assert.deepStrictEqual(exit, Exit.void)
      const table = { ...sqlite, "db.collection.name": "users" }
      const insert = { ...table, "db.operation.name": "INSERT" }
      const select = {
        ...table,
        "db.operation.name": "SELECT",
        "db.query.text": "SELECT name FROM users WHERE name <> ? AND id < ?"
      }
      const counted = (rows: number) => ({ ...select, "db.response.returned_rows": rows })
      const statement = (name: string, attributes: Record<string, string | number>) =>
        span(name, { kind: "client", status: "ok", attributes: Tree.only(attributes) })
      expectTrace(trace).toMatchTree(
        handoff("archivist", [
          statement("INSERT users", { ...insert, "db.query.text": "INSERT INTO users VALUES (?, ?), (?, ?)" }),
          statement("INSERT users", { ...insert, "db.query.text": "INSERT INTO users VALUES (?, ?)" }),
          statement("SELECT users", counted(0)),
          statement("SELECT users", counted(1)),
          statement("SELECT users", select)
        ])
      )
      assert.notInclude(textOf(traces), secret)
    })
  )
})

describe("Sql.traced", () => {
  it.live("throws what the driver throws, and says what it was without values", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const plain = users()
        const database = yield* Sql.traced(plain)
        const messages = [
          `INSERT INTO users VALUES (1, '${secret}'), (1, '${secret}')`,
          `SELECT missing FROM users WHERE name = '${secret}'`,
          `SELECT '${secret}`
        ].map((statement) => {
          const thrown = [plain, database].map((on) => {
            try {
              on.exec(statement)
            } catch (error) {
              return error
            }
          })
          assert.deepStrictEqual(thrown[0], thrown[1])
          return (thrown[0] as { readonly errcode?: number }).errcode
        })
        assert.throws(() => database.exec(7 as never), /must be a string/)
        return messages
      })
      const { exit, trace, traces } = yield* record(Effect.withSpan(program, "outer"))
      const codes = Exit.isSuccess(exit) ? exit.value : []
      assert.lengthOf(codes, 3)
      // Deno has no number for an error of SQLite.
      const failed = (code: number | undefined, message: RegExp) => ({
        status: { error: message },
        attributes: {
          "error.type": code === undefined ? "ERR_SQLITE_ERROR" : String(code),
          "db.response.status_code": code === undefined ? Tree.absent : String(code)
        }
      })
      expectTrace(trace).toMatchTree(
        span("outer", [
          span("INSERT users", failed(codes[0], /^UNIQUE constraint failed: users.id$/)),
          span("SELECT users", failed(codes[1], /^no such column: missing/)),
          span("SELECT", failed(codes[2], /^unrecognized token: \?/))
        ])
      )
      assert.notInclude(textOf(traces), secret)
    })
  )

  it.live("puts statements under the fiber that runs, under functions of Instrument, and under its maker", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const database = yield* Effect.withSpan(Sql.traced(users()), "startup")
        const { traceSpan } = yield* Instrument.make
        const look = traceSpan("look")(async () => {
          database.exec("SELECT 1")
          await Promise.resolve()
          database.exec("SELECT 2")
        })
        yield* Effect.withSpan(
          Effect.sync(() => database.exec("SELECT 3")),
          "agent"
        )
        yield* Effect.promise(look)
        yield* Effect.withSpan(
          Effect.gen(function* () {
            const own = yield* Sql.traced(users())
            yield* Effect.promise(async () => {
              await Promise.resolve()
              own.exec("SELECT 4")
            })
          }),
          "later"
        )
      })
      const { trace } = yield* record(Effect.withSpan(program, "outer"))
      expectTrace(trace).toMatchTree(
        span("outer", [
          span("startup"),
          span("agent", [span("SELECT")]),
          span("look", [span("SELECT"), span("SELECT")]),
          span("later", [span("SELECT")])
        ])
      )
    })
  )

  it.live("has the trace and the baggage of whoever calls, and nothing of a maker whose span is over", () =>
    Effect.gen(function* () {
      let database: DatabaseSync | undefined
      const open = Effect.map(Sql.traced(new DatabaseSync(":memory:")), (made) => (database ??= made))
      const look = async () => {
        await Promise.resolve()
        database!.exec("SELECT 1")
        return new Response("done")
      }
      const ask = (user: string, handle: (request: Request) => Promise<Response>) => {
        const headers = { traceparent: `00-${"1".repeat(32)}-${"2".repeat(16)}-01`, baggage: `user=${user}` }
        return handle(new Request(`http://localhost/${user}`, { headers }))
      }
      const program = Effect.gen(function* () {
        const plain = yield* Http.handler(look)
        // As pools are, it is opened by the first request that needs it.
        const opening = async () => {
          await look()
          return ask("bob", plain)
        }
        const alice = yield* Http.handler(() => Effect.andThen(open, Effect.promise(opening)))
        // Nobody knows who calls after waiting in a fiber.
        const carol = yield* Http.handler(() => Effect.promise(look))
        // A fiber that plain code runs has no tracer.
        const select = Effect.sync(() => database!.exec("SELECT 1"))
        const erin = yield* Http.handler(() => Effect.runPromise(Effect.as(select, new Response("done"))))
        for (const [user, handle] of Object.entries({ alice, carol, dave: plain, erin })) {
          yield* Effect.promise(() => ask(user, handle))
        }
      })
      const buffer = new SpanBuffer()
      yield* Effect.withTracer(
        program,
        Recorder.make({ onEnd: (ended) => buffer.append(ended), baggageAttributes: ["user"] })
      )
      const spans = Result.getOrThrow(OtlpProtobuf.decode(buffer.take().bytes))
      assert.deepStrictEqual(
        spans
          .filter(({ name }) => name === "SELECT")
          .map(({ attributes, parentSpanId }) => {
            const parent = spans.find(({ spanId }) => spanId === parentSpanId)
            return [attributes["user"], parent?.attributes["url.path"]]
          }),
        [
          ["alice", "/alice"],
          ["bob", "/bob"],
          [undefined, undefined],
          ["dave", "/dave"],
          ["erin", "/erin"]
        ]
      )
    })
  )

  it.live("is the driver itself where tracing is off", () =>
    Effect.gen(function* () {
      const database = users()
      assert.strictEqual(yield* Effect.withTracerEnabled(Sql.traced(database), false), database)
    })
  )

  it.live("keeps this, arity, errors and callbacks of drivers that wait, and says what it is told of them", () =>
    Effect.gen(function* () {
      const refused = Object.assign(new Error(`Duplicate entry '${secret}' for key 'name' in SELECT 31337`), {
        sqlState: "23000",
        errno: 1062
      })
      /** What drivers have in common that give Promises or take callbacks. */
      class Driver {
        #rows = [{ id: 1 }, { id: 2 }]
        calls: Array<number> = []
        query(...args: Array<any>): unknown {
          this.calls.push(args.length)
          const callback = args.at(-1)
          if (typeof callback === "function") return void callback.call("this", null, this.#rows, "fields")
          return Promise.resolve([this.#rows, "fields"])
        }
        execute(_: string): Promise<never> {
          return Promise.reject(refused)
        }
        getConnection(): Promise<Driver> {
          return Promise.resolve(new Driver())
        }
        on(): this {
          return this
        }
      }
      const program = Effect.gen(function* () {
        const driver = yield* Sql.traced(new Driver(), { "db.namespace": "shop" })
        assert.strictEqual(driver.on(), driver)
        const told = yield* Effect.callback<unknown>((resume) => {
          driver.query('SELECT "a" FROM t', [1], function (this: unknown, ...args: Array<unknown>) {
            resume(Effect.succeed([this, ...args]))
          })
        })
        assert.deepStrictEqual(told, ["this", null, [{ id: 1 }, { id: 2 }], "fields"])
        const connection = yield* Effect.promise(() => driver.getConnection())
        yield* Effect.promise(async () => connection.query({ sql: "SELECT 'it\\'s' FROM t" }))
        assert.deepStrictEqual([driver.calls, connection.calls], [[3], [1]])
        const { reason } = yield* Effect.promise(async () => {
          const [outcome] = await Promise.allSettled([driver.execute("SELECT 31337")])
          return outcome as PromiseRejectedResult
        })
        assert.strictEqual(reason, refused)
      })
      const { exit, trace, traces } = yield* record(Effect.withSpan(program, "outer"))
      assert.deepStrictEqual(exit, Exit.void)
      const mysql = { "db.system.name": "mysql", "db.namespace": "shop" }
      const select = { ...mysql, "db.query.text": "SELECT ? FROM t", "db.response.returned_rows": 2 }
      expectTrace(trace).toMatchTree(
        span("outer", [
          span("SELECT t", { kind: "client", attributes: select }),
          span("SELECT t", { kind: "client", attributes: select }),
          span("SELECT", {
            status: { error: "Duplicate entry ? in the statement" },
            attributes: { "db.response.status_code": "1062" }
          })
        ])
      )
      assert.notInclude(textOf(traces), secret)
    })
  )
})

/** Effect's client on node:sqlite. */
const Database = Layer.effect(
  SqlClient.SqlClient,
  Effect.suspend(() => {
    const database = users()
    const failed = (cause: unknown) => new SqlError({ reason: classifySqliteError(cause) })
    const all = (sql: string, values: ReadonlyArray<unknown>) =>
      Effect.try({ try: () => database.prepare(sql).all(...(values as Array<string>)), catch: failed })
    const connection: Connection = {
      execute: all,
      executeRaw: all,
      executeUnprepared: all,
      executeStream: (sql, values) => Stream.fromIterableEffect(all(sql, values)),
      executeValues: (sql, values) => Effect.map(all(sql, values), (rows) => rows.map((row) => Object.values(row))),
      executeValuesUnprepared: (sql, values) =>
        Effect.map(all(sql, values), (rows) => rows.map((row) => Object.values(row)))
    }
    return SqlClient.make({
      acquirer: Effect.succeed(connection),
      compiler: Statement.makeCompilerSqlite(),
      driver: "node:sqlite",
      spanAttributes: [
        ["db.system.name", "sqlite"],
        ["db.namespace", "photos"]
      ]
    })
  })
).pipe(Layer.provide(Reactivity.layer))

describe("Sql.layer", () => {
  const program = Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const inserted = sql`INSERT INTO users VALUES (${1}, ${secret}), (2, ${sql.literal(`'${secret}'`)})`
    yield* sql.withTransaction(inserted)
    yield* sql`SELECT * FROM users WHERE name = ${secret}`
    yield* sql`SELECT * FROM users`.values
    yield* Stream.runDrain(sql`SELECT name FROM users`.stream)
    const failure = yield* Effect.flip(sql`INSERT INTO users VALUES (1, ${sql.literal(`'${secret}'`)})`)
    return failure._tag
  }).pipe(Effect.withSpan("outer"))

  it.live("takes values off the spans of Effect's client, and names and counts what they do", () =>
    Effect.gen(function* () {
      const { exit, trace, traces } = yield* record(Effect.provide(program, [Database, Sql.layer]))
      assert.deepStrictEqual(exit, Exit.succeed("SqlError"))
      const known = { "db.system.name": "sqlite", "db.namespace": "photos", "db.collection.name": "users" }
      const of = (operation: string, text: string, rows: number | undefined) => ({
        kind: "client" as const,
        attributes: {
          ...known,
          "db.operation.name": operation,
          "db.query.text": text,
          "db.response.returned_rows": rows ?? Tree.absent
        }
      })
      expectTrace(trace).toMatchTree(
        span("outer", [
          span("sql.transaction", [span("INSERT users", of("INSERT", "INSERT INTO users VALUES (?, ?), (?, ?)", 0))]),
          span("SELECT users", of("SELECT", "SELECT * FROM users WHERE name = ?", 2)),
          span("SELECT users", of("SELECT", "SELECT * FROM users", 2)),
          span("SELECT users", of("SELECT", "SELECT name FROM users", undefined)),
          span("INSERT users", {
            status: { error: /^UNIQUE constraint failed: users.id$/ },
            ...of("INSERT", "INSERT INTO users VALUES (?, ?)", undefined)
          })
        ])
      )
      assert.notInclude(textOf(traces), secret)
    })
  )

  it.live("is what keeps values off: without it Effect's spans have the statement as it stands", () =>
    Effect.gen(function* () {
      const { trace, traces } = yield* record(Effect.provide(program, Database))
      assert.include(textOf(traces), secret)
      expectTrace(trace).toMatchTree(
        span("outer", [
          span("sql.transaction", [span("photos", { kind: "client" })]),
          ...["photos", "photos", "photos"].map((name) => span(name, { kind: "client" })),
          span("photos", { status: "error", attributes: { "error.type": "SqlError" } })
        ])
      )
    })
  )

  it.live("goes along with a transformer that is there", () =>
    Effect.gen(function* () {
      const rewritten = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT 1`).pipe(
        Effect.provide([Database, Sql.layer]),
        Effect.provideService(Statement.CurrentTransformer, (_, sql) => Effect.succeed(sql`SELECT 2 AS two`))
      )
      const { exit, trace } = yield* record(rewritten)
      assert.deepEqual(exit, Exit.succeed([Object.assign(Object.create(null), { two: 2 })]) as never)
      expectTrace(trace).toMatchTree(span("SELECT", { attributes: { "db.query.text": "SELECT ? AS two" } }))
    })
  )
})

describe("Sql.layer under layerAmbient", () => {
  it.effect("names the spans of OpenTelemetry's provider", () =>
    Effect.gen(function* () {
      const exporter = new InMemorySpanExporter()
      const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
      yield* Effect.acquireRelease(
        Effect.sync(() => Api.trace.setGlobalTracerProvider(provider)),
        () => Effect.sync(() => Api.trace.disable())
      )
      yield* Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT name FROM users`).pipe(
        Effect.provide([Database, Sql.layer]),
        Effect.withTracer(yield* Ambient.tracer)
      )
      assert.deepStrictEqual(
        exporter.getFinishedSpans().map(({ name }) => name),
        ["SELECT users"]
      )
    })
  )
})

describe("DatabaseSpan.endOf", () => {
  it("tells messages of systems that have values in quotes, and of others the code alone", () => {
    const error = Object.assign(
      new Error("Violation of PRIMARY KEY constraint 'PK'. The duplicate key value is (alice@example.com)."),
      { code: "EREQUEST" }
    )
    const nothing = { statement: undefined, outcomeOf: () => ({}), statusOf: () => undefined }
    const told = (system: string) => DatabaseSpan.endOf({ ...nothing, system }, Exit.die(error)).exit
    assert.deepStrictEqual(told("microsoft.sql_server"), Exit.fail({ _tag: "EREQUEST" }))
    assert.deepStrictEqual(told("other_sql"), Exit.fail({ _tag: "EREQUEST" }))
    const message = "Violation of PRIMARY KEY constraint ?. The duplicate key value is (alice@example.com)."
    assert.deepStrictEqual(told("postgresql"), Exit.fail({ _tag: "EREQUEST", message }))
    const unopened = Exit.die(new Error("unable to open database: alice@example.com/photos"))
    assert.deepStrictEqual(
      DatabaseSpan.endOf({ ...nothing, system: "sqlite" }, unopened).exit,
      Exit.fail({ _tag: "Error", message: "unable to open database: ?" })
    )
  })
})
