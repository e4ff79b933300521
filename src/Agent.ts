/**
 * An agent: a named, typed unit of work. Calling it is a handoff, and every handoff is one span. Pipelines of agents are
 * in `Pipeline`; where the spans go is decided by a Layer from `Tracing`, never here.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaParser from "effect/SchemaParser"
import type * as Tracer from "effect/Tracer"
import { EventName, handoffSpanName, Key, Operation } from "./Conventions.ts"
import * as HandoffContent from "./HandoffContent.ts"
import * as HandoffMetrics from "./HandoffMetrics.ts"
import * as HandoffSpan from "./HandoffSpan.ts"
import * as OpenSpan from "./OpenSpan.ts"
import { OwnShare } from "./OwnShare.ts"
import * as SpanEnd from "./SpanEnd.ts"
import { type Facts, reach } from "./SpanRecord.ts"

export type { Capture, FieldOf } from "./HandoffContent.ts"

/**
 * What an agent is to the people who read its traces: it asks a model, it calls a tool, or it is plain code.
 *
 * @since 0.1.0
 */
export type Kind = "llm" | "tool" | "service"

/**
 * A named unit of work. Calling it hands the input over and gives back its output, plainly typed.
 *
 * @since 0.1.0
 */
export interface Agent<in Input, out Output, out Error = never, out Requirements = never> {
  (input: Input): Effect.Effect<Output, Error, Requirements>
  readonly name: string
  readonly kind: Kind
  /** What sort of work a handoff to this agent asks for. */
  readonly handoffType: string
}

/**
 * An input or output that does not match the Schema of its agent. The message names agent, side and field and leaves the
 * value out: it may be secret. What a Schema's own messages say, and the keys of a record, are in it.
 *
 * @since 0.1.0
 */
export class HandoffMismatch extends Schema.TaggedError<HandoffMismatch>()("HandoffMismatch", {
  agent: Schema.String,
  side: Schema.Literals(["input", "output"]),
  /** The first field that did not match, as a path such as `photos[0].path`; `""` for the value as a whole. */
  field: Schema.String,
  message: Schema.String
}) {}

/**
 * Which failed attempts are made again, and when. `Agent.retryTransient` makes the usual one; any `Schedule` will do.
 *
 * @since 0.1.0
 */
export interface Retry<in E = unknown> {
  /** Decides the waits and when to give up; its input is the error. */
  readonly schedule: Schedule.Schedule<unknown, E>
  /** Says whether an error may pass by itself. Default: every typed failure may. */
  readonly while?: ((error: E) => boolean) | undefined
}

interface BaseOptions<I, A, E, R> {
  /** Default: `llm` with a `model`, else `tool` with `tools`, else `service`. */
  readonly kind?: Kind | undefined
  /** What sort of work the handoff asks for. Default: the agent's name. */
  readonly handoffType?: string | undefined
  /** The model that the agent asks, such as `gpt-5`. */
  readonly model?: string | undefined
  /** Names of the tools that the agent may call. */
  readonly tools?: ReadonlyArray<string> | undefined
  /**
   * The share of traces that its handoffs are recorded in, from 0 to 1, with all that they do: by the trace's id, so that it
   * is in all or in none of a trace. Default: 1.
   */
  readonly sampling?: number | undefined
  /**
   * What is recorded of its inputs and outputs: fields of theirs, or `true` for all; where that is a list, fields of its
   * items. Secrets are taken out, and what is longer than `contentLength` is cut. Default: nothing, unless the setting
   * `captureContent` asks for the content of all agents.
   */
  readonly capture?: HandoffContent.Capture<NoInfer<I>, NoInfer<A>> | undefined
  /** Makes failed attempts again, inside of the one handoff span. Default: one attempt. */
  readonly retry?: Retry<E> | undefined
  readonly run: (input: I) => Effect.Effect<A, E, R>
}

/**
 * Makes an agent. Calling it is a handoff: one span named `agent_handoff.{name}`, over all its attempts.
 *
 * **Details**: `input` and `output` are Schemas of the values themselves, checked at the handoff and passed on as they
 * are. An error stays in the error channel, typed. The span always carries `agent`, `handoff_type`, `function.name`,
 * `handspan.agent.kind`, `handspan.handoff.from`, `.to` and `.attempts`, and the GenAI names for the same. Of inputs and
 * outputs nothing is recorded that `capture`, or the setting `captureContent`, does not ask for.
 *
 * **Fails with** what `run` fails with, and with `HandoffMismatch` where a Schema is given and a value does not match it.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Agent } from "handspan"
 *
 * const shout = Agent.make("shout", {
 *   input: Schema.NonEmptyString,
 *   run: (text) => Effect.succeed(text.toUpperCase())
 * })
 *
 * if (Effect.runSync(shout("hello")) !== "HELLO") throw new Error("expected HELLO")
 * const mismatch = Effect.runSync(Effect.flip(shout("")))
 * if (mismatch.agent !== "shout" || mismatch.side !== "input") throw new Error("expected an input mismatch")
 * ```
 *
 * @since 0.1.0
 */
export const make: {
  <I, A, E, R>(
    name: string,
    options: BaseOptions<I, NoInfer<A>, E, R> & {
      readonly input: Schema.Schema<I>
      readonly output: Schema.Schema<A>
    }
  ): Agent<I, A, E | HandoffMismatch, Exclude<R, Tracer.ParentSpan>>
  <I, A, E, R>(
    name: string,
    options: BaseOptions<I, A, E, R> & { readonly input: Schema.Schema<I>; readonly output?: undefined }
  ): Agent<I, A, E | HandoffMismatch, Exclude<R, Tracer.ParentSpan>>
  <A, E, R, I = void>(
    name: string,
    options: BaseOptions<I, NoInfer<A>, E, R> & { readonly input?: undefined; readonly output: Schema.Schema<A> }
  ): Agent<I, A, E | HandoffMismatch, Exclude<R, Tracer.ParentSpan>>
  <A, E, R, I = void>(
    name: string,
    options: BaseOptions<I, A, E, R> & { readonly input?: undefined; readonly output?: undefined }
  ): Agent<I, A, E, Exclude<R, Tracer.ParentSpan>>
} = <I, A, E, R>(
  name: string,
  options: BaseOptions<I, A, E, R> & {
    readonly input?: Schema.Schema<I> | undefined
    readonly output?: Schema.Schema<A> | undefined
  }
): Agent<I, A, E | HandoffMismatch, Exclude<R, Tracer.ParentSpan>> => {
  const kind =
    options.kind ?? (options.model !== undefined ? "llm" : (options.tools?.length ?? 0) > 0 ? "tool" : "service")
  const handoffType = options.handoffType ?? name
  // A method shorthand is called "run" in every agent, which would say nothing.
  const functionName = options.run.name === "" || options.run.name === "run" ? name : options.run.name
  const spanName = handoffSpanName(name)
  const factsOf = HandoffSpan.rememberingFacts((from: string): Facts =>
    Object.entries({
      [Key.operationName]: Operation.invokeAgent,
      [Key.agentName]: name,
      [Key.agent]: name,
      [Key.handoffType]: handoffType,
      [Key.functionName]: functionName,
      [Key.agentKind]: kind,
      [Key.handoffFrom]: from,
      [Key.handoffTo]: name,
      // Each attempt raises it; a bad input never comes to one.
      [Key.handoffAttempts]: 0,
      ...(options.model !== undefined && { [Key.requestModel]: options.model })
    }).flat()
  )
  const measure = HandoffMetrics.make("agent", name)
  const content = HandoffContent.make({
    capture: options.capture,
    event: EventName.agentContent,
    facts: { [Key.operationName]: Operation.invokeAgent, [Key.agentName]: name }
  })
  const annotations = options.sampling === undefined ? undefined : ownShare(name, options.sampling)
  const checkInput = check(name, "input", options.input)
  const checkOutput = check(name, "output", options.output)

  const call = (input: I) =>
    HandoffSpan.withSpan<A, E | HandoffMismatch, R>({
      name,
      kind: "agent",
      spanName,
      measure,
      content,
      input,
      annotations,
      factsOf,
      run: (span, { stubs }) => {
        const run = (stubs?.(name) as typeof options.run | undefined) ?? options.run
        let number = 0
        const attempt = Effect.suspend(() => {
          OpenSpan.addFacts(span, factsOfAttempt(++number))
          const work: unknown = run(input)
          // Plain JavaScript may pass an async function, which would end the fiber without a word of who it was.
          return Effect.isEffect(work)
            ? (work as Effect.Effect<A, E, R>)
            : Effect.die(new TypeError(`Cannot run agent "${name}": run must give an Effect, and gave ${typeof work}`))
        })
        const attempted = options.retry === undefined ? attempt : retried(attempt, options.retry, span, () => number)
        const checked =
          checkOutput === undefined ? attempted : Effect.tap(attempted, (output) => checkOutput(output, span))
        return checkInput === undefined ? checked : Effect.andThen(checkInput(input, span), checked)
      },
      onEnd: (exit, _, outer) => {
        if (Exit.isSuccess(exit)) {
          outer?.emit?.({ _tag: "HandoffOutput", agent: name, from: outer.name, output: exit.value })
        }
      }
    })
  Object.defineProperty(call, "name", { value: name })
  return Object.assign(call, { kind, handoffType }) as Agent<I, A, E | HandoffMismatch, Exclude<R, Tracer.ParentSpan>>
}

const factsOfAttempt = HandoffSpan.rememberingFacts((number: number): Facts => [Key.handoffAttempts, number])

const ownShare = (agent: string, share: number): Context.Context<never> => {
  if (!(share >= 0 && share <= 1)) {
    throw new RangeError(`Cannot make agent "${agent}": sampling is ${share}, and must be from 0 to 1`)
  }
  return Context.add(Context.empty(), OwnShare, share)
}

/**
 * Makes the retry that suits failures which pass by themselves: waits double from `minWait` up to `maxWait`.
 *
 * **Details**: `maxAttempts` counts the first attempt too; 3 means at most two retries. `while` says which errors are
 * worth another attempt; by default every typed failure is, defects, interruption and an output that does not match its
 * Schema never are. Each attempt that failed stands on the handoff's span as an event `handoff.attempt` with its number,
 * error and the wait that follows, and so does the one that succeeds after others. Throws a `RangeError` for bounds that
 * make no sense.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Agent } from "handspan"
 *
 * let calls = 0
 * const uploader = Agent.make("uploader", {
 *   retry: Agent.retryTransient({ maxAttempts: 3, minWait: "1 millis", maxWait: "4 millis" }),
 *   run: () => ++calls < 3 ? Effect.fail("busy") : Effect.succeed("stored")
 * })
 * if ((await Effect.runPromise(uploader())) !== "stored" || calls !== 3) throw new Error("expected a third attempt")
 * ```
 *
 * @since 0.1.0
 */
export const retryTransient = <E = unknown>(options: {
  /** How many attempts there are at most, the first one included; at least 1. */
  readonly maxAttempts: number
  /** The wait after the first failed attempt. */
  readonly minWait: Duration.Input
  /** The longest wait. */
  readonly maxWait: Duration.Input
  readonly while?: ((error: E) => boolean) | undefined
}): Retry<E> => {
  const { maxAttempts } = options
  const minWait = Duration.fromInputUnsafe(options.minWait)
  const maxWait = Duration.fromInputUnsafe(options.maxWait)
  if (!Number.isInteger(maxAttempts) || maxAttempts < 1) {
    throw new RangeError(`Cannot retry: maxAttempts is ${maxAttempts}, and must be a whole number of at least 1`)
  }
  if (Duration.isGreaterThan(minWait, maxWait)) {
    const waits = `minWait is ${Duration.format(minWait)} and maxWait ${Duration.format(maxWait)}`
    throw new RangeError(`Cannot retry: ${waits}, and minWait must not be longer`)
  }
  return {
    schedule: Schedule.exponential(minWait).pipe(
      Schedule.modifyDelay(({ duration }) => Effect.succeed(Duration.min(duration, maxWait))),
      Schedule.while(({ attempt }) => Effect.succeed(attempt < maxAttempts))
    ),
    while: options.while
  }
}

/**
 * Runs attempts under a retry, and tells each on the handoff's span: those that are made again with the wait that
 * follows, the last one with its error, or without one where it succeeded after others.
 */
const retried = <A, E, R>(
  attempt: Effect.Effect<A, E, R>,
  retry: Retry<E>,
  span: HandoffSpan.WritableSpan,
  number: () => number
): Effect.Effect<A, E, R> => {
  const worthAnother = (error: E) => !(error instanceof SpanEnd.Terminated) && (retry.while?.(error) ?? true)
  const note = (facts: Record<string, unknown>) =>
    Effect.map(Clock.currentTimeNanos, (now) =>
      span.event(EventName.handoffAttempt, now, { [Key.attemptNumber]: number(), ...facts })
    )
  return Effect.retry(attempt, {
    schedule: retry.schedule.pipe(
      Schedule.while(({ input }) => Effect.succeed(worthAnother(input))),
      Schedule.tap(({ duration, input }) =>
        note({ [Key.attemptWaitMillis]: Duration.toMillis(duration), ...errorFacts(input) })
      )
    )
  }).pipe(
    Effect.onExit((exit) => {
      if (Exit.isSuccess(exit)) return number() === 1 ? Effect.void : note({})
      // Neither an interruption nor an early stop is an attempt that failed.
      const failed = !Cause.hasInterrupts(exit.cause) && SpanEnd.terminationOf(exit.cause) === undefined
      return failed ? note(errorFacts(Cause.squash(exit.cause))) : Effect.void
    })
  )
}

const errorFacts = (error: unknown): Record<string, unknown> => {
  // The Recorder cuts it, once secrets are out.
  const { message, type } = SpanEnd.describe(error, SpanEnd.defaultTextLength + reach)
  return { [Key.errorType]: type, [Key.errorMessage]: message }
}

/** Checks one side of a handoff, `undefined` where there is no Schema to check it by. */
const check = (agent: string, side: HandoffMismatch["side"], schema: Schema.Schema<unknown> | undefined) => {
  if (schema === undefined) return undefined
  const decode = SchemaParser.decodeUnknownEffect(Schema.toType(schema), { errors: "all" })
  return (value: unknown, span: HandoffSpan.WritableSpan): Effect.Effect<void, HandoffMismatch> =>
    Effect.matchEffect(decode(value), {
      onSuccess: () => Effect.void,
      onFailure: (issue) => {
        const error = mismatch(agent, side, issue)
        span.attribute(Key.mismatchSide, side)
        span.attribute(Key.mismatchField, error.field)
        return Effect.fail(error)
      }
    })
}

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** How many problems a message tells; a table with a wrong column has one for each of its rows. */
const problemsTold = 3

const mismatch = (agent: string, side: HandoffMismatch["side"], issue: SchemaIssue.Issue): HandoffMismatch => {
  const problems = formatIssue(issue).issues.map(({ message, path }) => ({ field: formatPath(path ?? []), message }))
  const where = side === "input" ? `Cannot hand off to "${agent}"` : `Cannot hand back from "${agent}"`
  const lines = problems
    .slice(0, problemsTold)
    .map(({ field, message }) => `${where}: ${side}${field === "" ? "" : ` field "${field}"`}: ${message}`)
  const more = problems.length - lines.length
  return new HandoffMismatch({
    agent,
    side,
    field: problems[0]?.field ?? "",
    message: [...lines, ...(more > 0 ? [`and ${more} more`] : [])].join("\n")
  })
}

/** A path as people write it: `photos[0].path`. */
const formatPath = (path: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }>): string =>
  path.reduce<string>((text, segment) => {
    const key = typeof segment === "object" ? segment.key : segment
    return typeof key === "number" ? `${text}[${key}]` : text === "" ? String(key) : `${text}.${String(key)}`
  }, "")
