/**
 * What an Exit says about the span it ends: status, attributes and exception events, as values that keep nothing of the
 * program alive. Whoever records spans asks here, so that all of them tell the same story; times are theirs.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Formatter from "effect/Formatter"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { EventName, Key } from "./Conventions.ts"
import { type Attributes, cut, type SpanStatus } from "./SpanRecord.ts"

/**
 * An early stop on purpose: the work is over and nothing failed. Spans that it passes through end OK, with
 * `termination.reason`. Make one with `Pipeline.terminate`; catch it with `Effect.catchTag("Terminated", …)`.
 *
 * @since 0.1.0
 */
export class Terminated extends Schema.TaggedError<Terminated>()("Terminated", {
  /** Why there was nothing more to do, such as `no photos`. */
  reason: Schema.String
}) {
  override get message(): string {
    return `Terminated: ${this.reason}`
  }
}

/**
 * How a span ended.
 *
 * @since 0.1.0
 */
export interface SpanEnd {
  readonly status: SpanStatus
  /** To be set on the span. */
  readonly attributes: Attributes
  /** One exception event for each failure and defect, at the time of the span's end. */
  readonly events: ReadonlyArray<{ readonly name: string; readonly attributes: Attributes }>
}

/**
 * How many characters of a type, a message or a stack trace are told unless somebody says otherwise.
 *
 * @since 0.1.0
 */
export const defaultTextLength = 8192

/**
 * Bounds on what a failure may write, each in its unit.
 *
 * @since 0.1.0
 */
export interface Limits {
  /** Characters of a type, a message or a stack trace. Default: 8192. */
  readonly textLength?: number | undefined
  /** Exception events of one span. Default: 8. */
  readonly exceptions?: number | undefined
  /** How many causes of a cause are told in a stack trace. Default: 4. */
  readonly causes?: number | undefined
  /** Whether stack traces are told: the engine makes their text when it is read, which is by far the dearest. Default: true. */
  readonly stacks?: boolean | undefined
}

/**
 * The `error.type` of failures that have no name (OpenTelemetry's fallback value).
 *
 * @since 0.1.0
 */
export const otherError = "_OTHER"

/**
 * Reads how a span ended from the Exit of its work.
 *
 * **Details**: success is `ok`, and so is an early stop on purpose, with `termination.reason`. Interruption alone is `unset` with `handspan.interrupted`. Of many failures the first
 * decides status and `error.type` (an error's `_tag`, else its `name`), and each has an exception event. Of an error
 * object only `_tag`, `name`, `message`, `stack` and `cause` are ever read: its other fields may be anybody's secrets.
 * The Exit's value is never touched. Never fails, also where reading the error throws.
 *
 * @example
 * ```ts
 * import { Exit } from "effect"
 * import { SpanEnd } from "handspan"
 *
 * const end = SpanEnd.fromExit(Exit.fail({ _tag: "Denied", password: "hunter2" }))
 * if (end.status.code !== "error" || end.status.message !== "error Denied") throw new Error("expected its tag alone")
 * ```
 *
 * @since 0.1.0
 */
export const fromExit = (exit: Exit.Exit<unknown, unknown>, limits: Limits = {}): SpanEnd => {
  if (Exit.isSuccess(exit)) return success
  const stop = terminationOf(exit.cause)
  if (stop !== undefined) {
    return { status: { code: "ok" }, attributes: { [Key.terminationReason]: stop.reason }, events: [] }
  }
  if (Cause.hasInterruptsOnly(exit.cause)) {
    return { status: { code: "unset" }, attributes: { [Key.interrupted]: true }, events: [] }
  }
  const exceptions = exit.cause.reasons
    .filter((reason) => reason._tag !== "Interrupt")
    .map((reason) => exceptionOf(reason._tag === "Fail" ? reason.error : reason.defect, limits))
  const first = exceptions[0] ?? unknownException
  return {
    status: { code: "error", message: first.message },
    attributes: { [Key.errorType]: first.type },
    events: exceptions.slice(0, limits.exceptions ?? 8).map(({ message, stack, type }) => ({
      name: EventName.exception,
      attributes: {
        [Key.exceptionType]: type,
        [Key.exceptionMessage]: message,
        ...(stack === undefined ? {} : { [Key.exceptionStacktrace]: stack })
      }
    }))
  }
}

/**
 * The early stop that a cause consists of, `undefined` where it holds any other failure. Branches that the stop
 * interrupted do not count against it.
 *
 * @since 0.1.0
 */
export const terminationOf = (cause: Cause.Cause<unknown>): Terminated | undefined => {
  let stop: Terminated | undefined
  for (const reason of cause.reasons) {
    if (Cause.isInterruptReason(reason)) continue
    if (!Cause.isFailReason(reason) || !(reason.error instanceof Terminated)) return undefined
    stop ??= reason.error
  }
  return stop
}

const success: SpanEnd = { status: { code: "ok" }, attributes: {}, events: [] }

interface Exception {
  readonly type: string
  readonly message: string
  readonly stack: string | undefined
}

const unknownException: Exception = { type: otherError, message: "error", stack: undefined }

const exceptionOf = (
  error: unknown,
  { causes = 4, stacks = true, textLength = defaultTextLength }: Limits
): Exception => {
  const stack = stacks ? guarded(() => stackOf(error, causes), undefined) : undefined
  return { ...describe(error, textLength), stack: stack === undefined ? undefined : cut(stack, textLength) }
}

/**
 * Names an error and says what it says, for whoever tells people of it: its `_tag`, else its `name`, and its message,
 * each of `textLength` characters at most. Other fields of it are not read. Never fails, also where reading it throws.
 *
 * @since 0.1.0
 */
export const describe = (
  error: unknown,
  textLength = defaultTextLength
): { readonly type: string; readonly message: string } => {
  const { message, type } = guarded(() => read(error), unknownException)
  return { type: cut(type, textLength), message: cut(message, textLength) }
}

// Getters and proxies of foreign errors may throw, and a recorder must not.
const guarded = <A>(evaluate: () => A, fallback: A): A => Result.getOrElse(Result.try(evaluate), () => fallback)

const read = (error: unknown): { readonly type: string; readonly message: string } => {
  if (error === undefined || error === null) return unknownException
  if (Redacted.isRedacted(error)) return { type: otherError, message: "error <redacted>" }
  if (typeof error !== "object" && typeof error !== "function") {
    return { type: otherError, message: typeof error === "string" ? error : Formatter.format(error) }
  }
  const type = textOf(error, "_tag") ?? textOf(error, "name")
  const message = textOf(error, "message") ?? (type === undefined ? "error" : `error ${type}`)
  return { type: type ?? otherError, message }
}

// The engine wrote type and message on the first lines of a stack when the error was made.
const stackOf = (error: unknown, causes: number): string | undefined => {
  if (!(error instanceof Error)) return undefined
  const stack = textOf(error, "stack")
  if (stack === undefined || error.cause === undefined || causes <= 0) return stack
  const { message, type } = describe(error.cause)
  return `${stack}\nCaused by: ${stackOf(error.cause, causes - 1) ?? `${type}: ${message}`}`
}

const textOf = (error: object, key: string): string | undefined => {
  const value = (error as Readonly<Record<string, unknown>>)[key]
  return typeof value === "string" && value !== "" ? value : undefined
}
