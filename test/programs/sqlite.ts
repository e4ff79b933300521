// Effect's SqlClient over a file, by the SQLite that Node and Deno bring: where a workflow engine keeps its journal.
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as SqlClient from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import { DatabaseSync, type SQLInputValue } from "node:sqlite"

export const layer = (file: string) =>
  Layer.effect(
    SqlClient.SqlClient,
    Effect.gen(function* () {
      const database = yield* Effect.acquireRelease(
        Effect.sync(() => new DatabaseSync(file)),
        (opened) => Effect.sync(() => opened.close())
      )
      const run = (sql: string, values: ReadonlyArray<unknown>) =>
        Effect.flatMap(SqlClient.SafeIntegers, (safe) =>
          Effect.try({
            try: (): ReadonlyArray<any> => {
              const statement = database.prepare(sql)
              statement.setReadBigInts(safe)
              return statement.all(...(values as ReadonlyArray<SQLInputValue>))
            },
            catch: (cause) => new SqlError({ reason: new UnknownError({ cause }) })
          })
        )
      const execute: Connection["execute"] = (sql, values, transform) =>
        Effect.map(run(sql, values), (rows) => transform?.(rows) ?? rows)
      const executeValues: Connection["executeValues"] = (sql, values) =>
        Effect.map(run(sql, values), (rows) => rows.map((row) => Object.values(row)))
      const connection: Connection = {
        execute,
        executeUnprepared: execute,
        executeRaw: run,
        executeStream: (...query) => Stream.unwrap(Effect.map(execute(...query), Stream.fromIterable)),
        executeValues,
        executeValuesUnprepared: executeValues
      }
      const semaphore = yield* Semaphore.make(1)
      return yield* SqlClient.make({
        ...SqlClient.makeSqliteAcquirers({ connection: Effect.succeed(connection), semaphore }),
        driver: "node-sqlite",
        compiler: Statement.makeCompilerSqlite(),
        beginTransaction: "BEGIN IMMEDIATE",
        spanAttributes: []
      })
    })
  ).pipe(Layer.provide(Reactivity.layer))
