/**
 * The span over a call to a database or a cache: what it says and how it ends, by OpenTelemetry's database conventions. What
 * calls is `Sql`'s and `Redis`'s.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Tracer from "effect/Tracer"
import { Key } from "./Conventions.ts"
import * as Exchange from "./Exchange.ts"
import { cut } from "./Excerpt.ts"
import { contextWithin, type ForeignCall, running, spanWithin } from "./ForeignCall.ts"
import * as SpanEnd from "./SpanEnd.ts"
import * as TraceContext from "./TraceContext.ts"

/**
 * What is known of a call.
 *
 * @since 0.1.0
 */
export interface Call {
  readonly name: string
  readonly attributes: Record<string, unknown>
  /** Its `db.system.name`. */
  readonly system: string
  /** The statement as it is sent: messages may repeat it. */
  readonly statement?: string | undefined
  /** What is read off what came of it, such as how many rows. */
  readonly outcomeOf: (value: unknown) => Record<string, unknown>
  /** What the other side calls a failure, `undefined` where it is not its own. */
  readonly statusOf: (error: { readonly [field: string]: unknown }) => string | undefined
}

/**
 * What the end of a call says on its span: attributes, and an Exit that holds nothing of what came of it.
 *
 * **Details**: a failure bears the status as its type. Databases repeat values in what they say of it, so of those that put them
 * in quotes the message is told without whatever is in quotes, and without the statement; of others, none is.
 *
 * @since 0.1.0
 */
export const endOf = (
  { outcomeOf, statement, statusOf, system }: Pick<Call, "system" | "statement" | "outcomeOf" | "statusOf">,
  exit: Exit.Exit<unknown, unknown>
): { readonly attributes: Record<string, unknown>; readonly exit: Exit.Exit<void, unknown> } => {
  if (Exit.isSuccess(exit)) return { attributes: guarded(() => outcomeOf(exit.value)) ?? {}, exit: Exit.void }
  if (Cause.hasInterruptsOnly(exit.cause)) return { attributes: {}, exit: Exit.failCause(exit.cause) }
  const error = guarded(() => origin(Cause.squash(exit.cause)))
  const fields = typeof error === "object" && error !== null ? (error as Record<string, unknown>) : {}
  const status = guarded(() => statusOf(fields))
  const code = guarded(() => fields["code"])
  const { message, type } = SpanEnd.describe(error)
  const _tag = status ?? (typeof code === "string" ? code : type)
  return {
    attributes: status === undefined ? {} : { [Key.dbStatus]: status },
    exit: Exit.fail(quoting.has(system) ? { _tag, message: withoutValues(message, statement) } : { _tag })
  }
}

/**
 * Gives the error of a driver, around which a library has put its own: that says what it was.
 *
 * @since 0.1.0
 */
export const origin = (error: unknown, depth = 4): unknown => {
  const cause = error instanceof Error ? error.cause : undefined
  return depth === 0 || typeof cause !== "object" || cause === null ? error : origin(cause, depth - 1)
}

/**
 * Systems whose messages have values in quotes alone, but for the name of a database that SQLite cannot open. SQL Server, for one,
 * says `The duplicate key value is (alice)`.
 */
const quoting = new Set(["postgresql", "mysql", "sqlite", "redis"])

/** From the first quote to the last, as an apostrophe may be among them. */
const withoutValues = (message: string, statement: string | undefined): string => {
  const told = statement === undefined || statement === "" ? message : message.replaceAll(statement, "the statement")
  const named = told.replace(/(unable to open database): [^]*/, "$1: ?")
  return cut(named.replace(/['"`][^]*['"`]/, "?"), 1024)
}

// Errors and values are somebody else's: reading them may throw.
const guarded = <A>(evaluate: () => A): A | undefined => Result.getOrUndefined(Result.try(evaluate))

/**
 * Runs what calls inside of a span.
 *
 * @since 0.1.0
 */
export const run = <A, E, R>(work: Effect.Effect<A, E, R>, call: Call): Effect.Effect<A, E, R> =>
  Exchange.within(
    work,
    (exit) => {
      const end = endOf(call, exit)
      return Effect.andThen(Effect.annotateCurrentSpan(end.attributes), end.exit)
    },
    (effect) => Effect.withSpan(effect, call.name, optionsOf(call))
  )

const optionsOf = ({ attributes }: Call) => ({ kind: "client", captureStackTrace: false, attributes }) as const

/**
 * A call of plain TypeScript that has begun.
 *
 * @since 0.1.0
 */
export interface Begun {
  readonly end: (exit: Exit.Exit<unknown, unknown>) => void
  /** The traced call of plain code that it was made in. */
  readonly caller: ForeignCall | undefined
}

/**
 * Opens the span over a call of plain TypeScript.
 *
 * @since 0.1.0
 */
export type Begin = (call: Call) => Begun

/**
 * Gives what opens spans over calls of plain TypeScript, `undefined` where tracing is off. Their parent is the innermost span or
 * function wrapped by `Instrument` that they are made in, and they have what goes with that: baggage, tracer and clock. Where
 * nobody is known to call, it is the span of the maker, for as long as that has not ended.
 *
 * @since 0.1.0
 */
export const begin: Effect.Effect<Begin | undefined> = Effect.withFiber((fiber) => {
  if (!fiber.cache.tracerEnabled || !fiber.getRef(TraceContext.TracingEnabled)) return Effect.succeed(undefined)
  // Not the fiber itself, whose outcome would then be kept.
  const { context } = fiber
  return Effect.succeed((call: Call) => {
    const made = lasting(context)
    const caller = running.getStore()
    const own = contextWithin(made)
    const parent = spanWithin(spanOf(made))()
    const span = Effect.runSyncWith(own)(Effect.makeSpan(call.name, { ...optionsOf(call), ...(parent && { parent }) }))
    const clock = Context.get(own, Clock.Clock)
    return {
      caller,
      end: (exit) => {
        const end = endOf(call, exit)
        for (const [key, value] of Object.entries(end.attributes)) span.attribute(key, value)
        span.end(clock.currentTimeNanosUnsafe(), end.exit)
      }
    }
  })
})

const spanOf = (context: Context.Context<never>): Tracer.AnySpan | undefined =>
  Context.getOrUndefined(context, Tracer.ParentSpan)

/** What is left of a maker: one whose span has ended was a request, say, and what comes later is of somebody else. */
const lasting = (made: Context.Context<never>): Context.Context<never> => {
  const span = spanOf(made)
  return span?._tag === "Span" && span.status._tag === "Ended"
    ? Context.omit(Tracer.ParentSpan, TraceContext.CurrentBaggage)(made)
    : made
}

/**
 * Makes a call that has begun, and ends it with the Promise that it gives, or else at once. The caller gets what the driver
 * gave or threw.
 *
 * @since 0.1.0
 */
export const follow = (begun: Begun, call: () => unknown): unknown => {
  const result = attempt(begun, call)
  if (!(result instanceof Promise)) {
    begun.end(Exit.succeed(result))
    return result
  }
  // Followed, not only observed: a rejection that nobody handles must stay one.
  return result.then(
    (value: unknown) => {
      begun.end(Exit.succeed(value))
      return value
    },
    (error: unknown) => {
      begun.end(Exit.die(error))
      throw error
    }
  )
}

/**
 * Makes a call that has begun, as `follow` does, and gives the Promise itself, whose rejection somebody else looks after.
 *
 * @since 0.1.0
 */
export const observe = (begun: Begun, call: () => unknown): unknown => {
  const result = attempt(begun, call)
  Promise.resolve(result).then(
    (value) => begun.end(Exit.succeed(value)),
    (error: unknown) => begun.end(Exit.die(error))
  )
  return result
}

/**
 * Makes a call that has begun and says by a callback how it went, which is called in the place that the call was made in.
 *
 * @since 0.1.0
 */
export const followCallback = (
  begun: Begun,
  callback: (...args: Array<unknown>) => unknown,
  call: (callback: (...args: Array<unknown>) => unknown) => unknown
): unknown =>
  attempt(begun, () =>
    call(function (this: unknown, ...outcome) {
      const [error, value] = outcome
      begun.end(error === undefined || error === null ? Exit.succeed(value) : Exit.die(error))
      return running.run(begun.caller, () => callback.apply(this, outcome))
    })
  )

const attempt = (begun: Begun, call: () => unknown): unknown => {
  try {
    return call()
  } catch (error) {
    begun.end(Exit.die(error))
    throw error
  }
}
