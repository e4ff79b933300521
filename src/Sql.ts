/**
 * Spans over SQL: those that Effect's SqlClient makes are completed, and plain drivers such as `pg` and `node:sqlite` get them.
 * Values are kept off them, as far as is known where those stand. How a statement is read is `SqlText`'s, how a call ends
 * `DatabaseSpan`'s.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Statement from "effect/sql/Statement"
import type * as Tracer from "effect/Tracer"
import { Key } from "./Conventions.ts"
import * as DatabaseSpan from "./DatabaseSpan.ts"
import { type Around, view } from "./DriverView.ts"
import * as SqlText from "./SqlText.ts"

/**
 * Completes the spans of Effect's `SqlClient`, of every one below: literals leave the statement's text, the name says what is
 * done to which table, and rows and the database's own error code are told.
 *
 * **Details**: it is a `Statement.CurrentTransformer`, and goes along with one that is there. Spans of transactions are
 * Effect's. A stream's rows are not counted.
 *
 * @since 0.1.0
 */
export const layer: Layer.Layer<never> = Layer.effect(
  Statement.CurrentTransformer,
  Effect.map(Statement.CurrentTransformer, (before): Statement.Transformer => (statement, sql, fiber, span) => {
    if (span.sampled) complete(span, sql.onDialectOrElse(systems))
    return before === undefined ? Effect.succeed(statement) : before(statement, sql, fiber, span)
  })
)

const systems = {
  pg: () => "postgresql",
  sqlite: () => "sqlite",
  mysql: () => "mysql",
  mssql: () => "microsoft.sql_server",
  orElse: () => otherSystem
}

const otherSystem = "other_sql"

/** Effect writes on its span after the transformer has seen it: what it writes is looked at on its way. */
const complete = (span: Tracer.Span, system: string): void => {
  const attribute = span.attribute.bind(span)
  const end = span.end.bind(span)
  let statement: string | undefined
  const told = {
    attribute: (key: string, value: unknown): void => {
      if (key !== Key.dbQueryText || typeof value !== "string") return attribute(key, value)
      statement = value
      const { attributes, name } = describe(value, system, { [Key.dbSystem]: system })
      Object.assign(span, { name })
      for (const [key, value] of Object.entries(attributes)) attribute(key, value)
    },
    end: (endTime: bigint, exit: Exit.Exit<unknown, unknown>): void => {
      const outcome = DatabaseSpan.endOf({ system, statement, outcomeOf: rowsOf, statusOf }, exit)
      for (const [key, value] of Object.entries(outcome.attributes)) attribute(key, value)
      end(endTime, outcome.exit)
    }
  }
  Object.assign(span, told)
}

/**
 * Gives a view of a driver whose statements are spans under the tracing of the Effect that made it: children of the span of the
 * fiber that runs, or of the function wrapped by `Instrument`, with its baggage. In everything else the view is the driver.
 *
 * **Details**: it knows `query` and `execute`, whether they give a Promise or take a callback, `exec` and `prepare` of drivers
 * that do not wait, and the connections of a pool: `pg`, `node:sqlite` and what has their shape. A cursor, a stream and an
 * iterator end their span with the call. What `attributes` say stands on every span, and outweighs what the driver shows of
 * itself; a `db.system.name` other than `postgresql` and `sqlite` has statements read as MySQL's. What a driver says of a failure
 * is told of PostgreSQL, MySQL and SQLite, without what it has in quotes, and so is what a trigger or a function of the database
 * raises; of others, code and type alone. Where tracing is off, the view *is* the driver.
 *
 * **Gotchas**: plain code is known after it has waited where `Instrument` or `Http` runs it, or by `context: "async"` of
 * `Tracing.layer`. Elsewhere its statements are children of the span that the view was made in, and when that has ended, roots.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as Sql from "handspan/Sql"
 * import * as Testing from "handspan/testing"
 * import { DatabaseSync } from "node:sqlite"
 *
 * const program = Effect.gen(function* () {
 *   const database = yield* Sql.traced(new DatabaseSync(":memory:"))
 *   database.exec("CREATE TABLE users (name TEXT)")
 *   return database.prepare("SELECT name FROM users WHERE name = 'alice'").all()
 * })
 * const { trace, traces } = await Effect.runPromise(Testing.record(Effect.withSpan(program, "look")))
 * const select = trace.spans.find(({ name }) => name === "SELECT users")
 * const text = select?.attributes["db.query.text"]
 * if (text !== "SELECT name FROM users WHERE name = ?") throw new Error(`expected the statement, got ${text}`)
 * ```
 *
 * @since 0.1.0
 */
export const traced = <Driver extends object>(
  driver: Driver,
  attributes: Record<string, unknown> = {}
): Effect.Effect<Driver> =>
  Effect.map(DatabaseSpan.begin, (begin) => (begin === undefined ? driver : viewOf(driver, attributes, begin)))

const viewOf = <Driver extends object>(
  driver: Driver,
  given: Record<string, unknown>,
  begin: DatabaseSpan.Begin
): Driver => {
  const shown = Result.getOrElse(
    Result.try(() => shownBy(driver)),
    () => ({})
  )
  const known: Record<string, unknown> = { [Key.dbSystem]: otherSystem, ...shown, ...given }
  const system = String(known[Key.dbSystem])
  const callOf = (statement: string, outcomeOf: DatabaseSpan.Call["outcomeOf"] = rowsOf): DatabaseSpan.Call => ({
    ...describe(statement, system, known),
    system,
    statement,
    outcomeOf,
    statusOf
  })
  const connected = (value: unknown): unknown =>
    value !== driver && hasMethods(value, "query") ? viewOf(value, given, begin) : value

  const around: Around = (method, args, call) => {
    const [first] = args
    switch (method) {
      case "query":
      case "execute": {
        const statement = textOf(first)
        if (statement === undefined) return call(args)
        const begun = begin(callOf(statement))
        const callback = args.at(-1)
        return isFunction(callback)
          ? DatabaseSpan.followCallback(begun, callback, (told) => call([...args.slice(0, -1), told]))
          : DatabaseSpan.follow(begun, () => call(args))
      }
      case "exec":
        return typeof first === "string"
          ? DatabaseSpan.follow(begin(callOf(first, () => ({}))), () => call(args))
          : call(args)
      case "prepare": {
        const statement = call(args)
        return typeof first === "string" && hasMethods(statement, "run", "get", "all")
          ? viewOfStatement(statement, callOf(first), begin)
          : statement
      }
      case "connect":
      case "getConnection": {
        const callback = args.at(-1)
        if (isFunction(callback)) {
          const told = (error: unknown, connection: unknown, ...rest: Array<unknown>) =>
            callback(error, connected(connection), ...rest)
          return call([...args.slice(0, -1), told])
        }
        const result = call(args)
        return result instanceof Promise ? result.then(connected) : result
      }
      default:
        return call(args)
    }
  }
  return view(driver, around)
}

const viewOfStatement = (statement: object, call: DatabaseSpan.Call, begin: DatabaseSpan.Begin): object =>
  view(statement, (method, args, run) => {
    const outcomeOf = outcomes.get(method)
    return outcomeOf === undefined ? run(args) : DatabaseSpan.follow(begin({ ...call, outcomeOf }), () => run(args))
  })

/** What runs a statement that is prepared, and how its rows are counted. */
const outcomes = new Map<string | symbol, DatabaseSpan.Call["outcomeOf"]>([
  ["run", () => ({})],
  ["iterate", () => ({})],
  ["get", (row) => rows(row === undefined ? 0 : 1)],
  ["all", (all) => (Array.isArray(all) ? rows(all.length) : {})]
])

const rows = (count: number) => ({ [Key.dbRows]: count })

/** Rows come as an Array, or as the `rows` of a result; of many statements each has its own. */
const rowsOf = (value: unknown): Record<string, unknown> => {
  const own = Array.isArray(value) ? value : (value as { readonly rows?: unknown } | undefined)?.rows
  if (!Array.isArray(own)) return {}
  const each = own.map((result) => (result as { readonly rows?: unknown } | null)?.rows)
  return rows(own === value && each.length > 0 && each.every(Array.isArray) ? each.flat(1).length : own.length)
}

const describe = (statement: string, system: string, attributes: Record<string, unknown>) => {
  const { collection, operation, text } = SqlText.read(statement, system)
  return {
    name: operation === undefined ? system : collection === undefined ? operation : `${operation} ${collection}`,
    attributes: {
      ...attributes,
      ...(operation !== undefined && { [Key.dbOperation]: operation }),
      ...(collection !== undefined && { [Key.dbCollection]: collection }),
      [Key.dbQueryText]: text
    }
  }
}

/** What drivers are known by, and what they show of where they lead. */
interface Shown {
  readonly connectionParameters?: Address
  readonly options?: Options
  readonly location?: () => string | null
}
interface Options extends Address {
  readonly connectionString?: unknown
}
interface Address {
  readonly host?: unknown
  readonly port?: unknown
  readonly database?: unknown
}

const noOptions: Options = {}

const shownBy = (driver: Shown): Record<string, unknown> => {
  if (hasMethods(driver, "prepare", "exec")) {
    const file = isFunction(driver.location) ? driver.location() : undefined
    return {
      [Key.dbSystem]: "sqlite",
      ...(file !== undefined && { [Key.dbNamespace]: file?.split(/[/\\]/).at(-1) ?? ":memory:" })
    }
  }
  if (hasMethods(driver, "execute")) return { [Key.dbSystem]: "mysql" }
  const { connectionParameters, options = noOptions } = driver
  // Only `pg` has these: its client, and its pool.
  if (connectionParameters === undefined && !hasMethods(driver, "Client")) return {}
  const address: Address = connectionParameters ?? { ...options, ...addressOf(options.connectionString) }
  const { database, host, port } = address
  return {
    [Key.dbSystem]: "postgresql",
    ...(typeof database === "string" && { [Key.dbNamespace]: database }),
    ...(typeof host === "string" && { [Key.serverAddress]: host }),
    ...(port !== undefined && { [Key.serverPort]: Number(port) })
  }
}

const addressOf = (connectionString: unknown): Address => {
  const url = Result.getOrUndefined(Result.try(() => new URL(String(connectionString))))
  if (url === undefined || url.hostname === "") return noOptions
  return { host: url.hostname, port: url.port || 5432, database: decodeURIComponent(url.pathname.slice(1)) }
}

/** What the database calls a failure: SQLSTATE, or the number of SQLite and MySQL. */
const statusOf: DatabaseSpan.Call["statusOf"] = ({ code, errcode, errno, sqlState }) => {
  if (typeof errcode === "number") return String(errcode)
  if (typeof sqlState === "string" && typeof errno === "number") return String(errno)
  return typeof code === "string" && /^(?:SQLITE_\w+|(?=\D*\d)[\dA-Z]{5})$/.test(code) ? code : undefined
}

/** The text of a statement, or of an object that bears one. */
const textOf = (query: unknown): string | undefined => {
  if (typeof query === "string") return query
  const { sql, text = sql } = (query ?? {}) as { readonly text?: unknown; readonly sql?: unknown }
  return typeof text === "string" ? text : undefined
}

const isFunction = (value: unknown): value is (...args: Array<any>) => any => typeof value === "function"

const hasMethods = (value: unknown, ...names: ReadonlyArray<string>): value is object =>
  typeof value === "object" &&
  value !== null &&
  names.every((name) => isFunction((value as Record<string, unknown>)[name]))
