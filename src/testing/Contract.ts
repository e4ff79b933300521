/**
 * What the contract suites have in common: a contract as a list of rules, each a sentence and the check of it, for any
 * test runner. The suites are in modules of their own, such as `ExporterContract`.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Formatter from "effect/Formatter"
import * as Schema from "effect/Schema"
import { cut } from "../SpanRecord.ts"

/**
 * One rule of a contract, as a test: its sentence is the test's name.
 *
 * @since 0.1.0
 */
export interface Case {
  /** The rule's short name, to skip it by. */
  readonly id: string
  readonly rule: string
  /** Fails where the rule is broken. Needs nothing, and may be run more than once. */
  readonly check: Effect.Effect<void, ContractError>
}

/**
 * A rule that is broken. The message has the rule and what was seen instead.
 *
 * @since 0.1.0
 */
export class ContractError extends Schema.TaggedError<ContractError>()("ContractError", {
  rule: Schema.String,
  seen: Schema.String
}) {
  override get message(): string {
    return `Broken rule: ${this.rule}\nseen: ${this.seen}`
  }
}

/**
 * What a check saw that must not be, for suites.
 *
 * @since 0.1.0
 */
export class Seen extends Schema.TaggedError<Seen>()("Seen", { text: Schema.String }) {}

/**
 * Fails a check with what it saw.
 *
 * @since 0.1.0
 */
export const saw = (text: string): Effect.Effect<never, Seen> => Effect.fail(new Seen({ text }))

/**
 * Makes the cases of a contract of its rules, for suites. A rule that is skipped stays in the list, and its name tells why.
 *
 * **Details**: whatever a check fails with or dies of breaks its rule.
 *
 * @since 0.1.0
 */
export const make = <Id extends string>(
  rules: Readonly<Record<Id, readonly [rule: string, check: Effect.Effect<void, unknown>]>>,
  skip: { readonly [Rule in Id]?: string | undefined } = {}
): ReadonlyArray<Case> =>
  Object.entries<readonly [string, Effect.Effect<void, unknown>]>(rules).map(([id, [rule, check]]) => {
    const reason = skip[id as Id]
    if (reason !== undefined) return { id, rule: `${rule} (skipped: ${reason})`, check: Effect.void }
    return {
      id,
      rule,
      check: Effect.catchCause(check, (cause) =>
        Cause.hasInterruptsOnly(cause)
          ? Effect.interrupt
          : Effect.fail(new ContractError({ rule, seen: describe(cause) }))
      )
    }
  })

const describe = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return error instanceof Seen ? error.text : `it ${Cause.hasDies(cause) ? "died of" : "failed with"} ${tell(error)}`
}

/**
 * Tells any value in a few words, for what a check saw.
 *
 * @since 0.1.0
 */
export const tell = (value: unknown): string => {
  if (value === undefined) return "nothing"
  if (typeof value === "bigint") return `${value}n`
  const text = value instanceof Error ? `${value.name}: ${value.message}` : Formatter.format(value)
  return text.length > maxTold ? `${cut(text, maxTold)}…` : text
}

const maxTold = 120

/**
 * Waits on the machine's clock until an effect has ended, for suites, and fails where it takes longer than it may. What
 * cannot be interrupted is left behind.
 *
 * @since 0.1.0
 */
export const ended = <A, E>(
  what: string,
  effect: Effect.Effect<A, E>,
  timeout: Duration.Input
): Effect.Effect<Exit.Exit<A, E>, Seen> =>
  Effect.flatMap(Effect.forkDetach(effect, { startImmediately: true }), (fiber) =>
    Fiber.await(fiber).pipe(
      Effect.timeoutOrElse({
        duration: timeout,
        orElse: () => saw(`${what} has not ended after ${Duration.format(Duration.fromInputUnsafe(timeout))}`)
      }),
      Effect.provideService(Clock.Clock, live),
      Effect.ensuring(Effect.sync(() => fiber.interruptUnsafe()))
    )
  )

const live = Context.get(Context.empty(), Clock.Clock)

/**
 * Says where two values first differ, by the path to it, for suites; gives `undefined` where they do not.
 *
 * @since 0.1.0
 */
export const difference = (sent: unknown, received: unknown, path = ""): string | undefined => {
  if (Object.is(sent, received)) return undefined
  if (!isObject(sent) || !isObject(received) || Array.isArray(sent) !== Array.isArray(received)) {
    return `${path === "" ? "" : `${path}: `}sent ${tell(sent)}, received ${tell(received)}`
  }
  for (const key of new Set([...Object.keys(sent), ...Object.keys(received)])) {
    const found = difference(own(sent, key), own(received, key), path === "" ? key : `${path}.${key}`)
    if (found !== undefined) return found
  }
  return undefined
}

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null

const own = (value: object, key: string): unknown => Object.getOwnPropertyDescriptor(value, key)?.value
