/**
 * How the Recorder asks a Sampler: about which spans, with what is known of them, and what becomes of the answer.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Tracer from "effect/Tracer"
import * as OtelTraceState from "./OtelTraceState.ts"
import * as Sampler from "./Sampler.ts"
import type { IdWords } from "./SpanIds.ts"
import { begin, parentOf, type SpanOptions, type Trace } from "./SpanTrace.ts"
import * as TraceContext from "./TraceContext.ts"

/**
 * Whether a span is recorded, and the trace that it then belongs to, with what its `tracestate` says of the decision.
 *
 * **Details**: a program that turns a span down by itself (`sampled: false`, a trace level) has decided. Otherwise the
 * sampler is asked about the first span of a trace in this process, and where it wishes so, about those inside: what it
 * takes there is as improbable as its trace, at least. What is turned down with all below stays so, whatever the program
 * says. A broken sampler takes what the parent took, and the first span of a trace.
 *
 * @since 0.1.0
 */
export const decide = (
  sampler: Sampler.Sampler,
  ids: IdWords,
  options: SpanOptions
): { readonly sampled: boolean; readonly trace: Trace } => {
  const parent = parentOf(options.parent)
  const trace = parent?.trace ?? begin(ids, options.name, true)
  const above = parent === undefined ? undefined : Option.getOrUndefined(options.parent)
  if (trace.isOff) return { sampled: false, trace }
  if (!isAsked(sampler, above, options.sampled)) return { sampled: options.sampled, trace }
  const question = questionOf(trace, above, options)
  const answered = answerOf(sampler, question)
  const decision = Result.isSuccess(answered) ? answered.success : Sampler.asParent(question)
  if (!decision.sampled) return { sampled: false, trace: trace.turnedDown(decision.withAllBelow) }
  const around = question.parent === undefined || question.parent.isRemote ? undefined : question.parent
  const threshold =
    around === undefined
      ? decision.threshold
      : OtelTraceState.both(decision.threshold, OtelTraceState.threshold(around.traceState))
  return { sampled: true, trace: trace.takenAt(threshold) }
}

const isAsked = ({ asksInside }: Sampler.Sampler, above: Tracer.AnySpan | undefined, wanted: boolean): boolean => {
  if (above === undefined) return wanted
  // Effect turns down whatever stands below a span that is not sampled, so it need not be the program's own wish.
  if (above._tag === "ExternalSpan") return wanted || !above.sampled
  return above.sampled ? wanted && asksInside !== undefined : asksInside === "all"
}

const questionOf = (trace: Trace, above: Tracer.AnySpan | undefined, options: SpanOptions): Sampler.Question => ({
  traceId: trace.id,
  name: options.name,
  kind: options.kind,
  startTimeUnixNano: options.startTime,
  parent:
    above === undefined
      ? undefined
      : {
          spanId: above.spanId,
          sampled: above.sampled,
          isRemote: above._tag === "ExternalSpan",
          flags: trace.flags | (above.sampled ? TraceContext.flagSampled : 0),
          traceState: trace.knownState
        },
  hints: told(options, Sampler.Hints),
  baggage: told(options, TraceContext.CurrentBaggage),
  now: () => told(options, Clock.Clock).currentTimeNanosUnsafe(),
  memory: trace
})

/** What is said on the span goes before what is said around it: a span of plain code may begin where there is no fiber. */
const told = <A>({ annotations }: SpanOptions, key: Context.Reference<A>): A =>
  Context.getOrUndefined(annotations, key) ?? Fiber.getCurrent()?.getRef(key) ?? Context.get(Context.empty(), key)

/** Asks a sampler that may do anything, whatever its type says, and gives what is wrong with it. */
const answerOf = (sampler: Sampler.Sampler, question: Sampler.Question): Result.Result<Sampler.Decision, unknown> =>
  Result.flatMap(
    Result.try(() => checked(sampler.decide(question))),
    identity
  )

const checked = (decision: Sampler.Decision | undefined): Result.Result<Sampler.Decision, TypeError> => {
  if (typeof decision !== "object" || decision === null) return broken("it answered nothing")
  const { sampled, threshold } = decision
  if (typeof sampled !== "boolean") return broken("it does not say whether it takes the span")
  return !sampled || threshold === undefined || OtelTraceState.isThreshold(threshold)
    ? Result.succeed(decision)
    : broken(`its threshold is ${String(threshold)}, and must be a bigint from 0 to below 2^56`)
}

const broken = (problem: string) => Result.fail(new TypeError(problem))

/**
 * Tells of each sampler that throws, or answers what is no answer, once, with its name. It takes what the parent took, and
 * the first span of a trace.
 *
 * @since 0.1.0
 */
export const guarded = (
  sampler: () => Sampler.Sampler | undefined,
  onProblem: (sampler: string, problem: unknown) => void
): (() => Sampler.Sampler | undefined) => {
  const guards = new WeakMap<Sampler.Sampler, Sampler.Sampler>()
  const guard = (current: Sampler.Sampler): Sampler.Sampler => {
    let isTold = false
    return {
      name: current.name,
      asksInside: current.asksInside,
      followsCallers: current.followsCallers,
      decide: (question) => {
        const answered = answerOf(current, question)
        if (Result.isSuccess(answered)) return answered.success
        if (!isTold) onProblem(current.name, answered.failure)
        isTold = true
        return Sampler.asParent(question)
      }
    }
  }
  return () => {
    const current = sampler()
    if (current === undefined) return undefined
    const known = guards.get(current)
    if (known !== undefined) return known
    const made = guard(current)
    guards.set(current, made)
    return made
  }
}

/**
 * The sampler for a span that says itself how often it is recorded: where the one in place takes its trace, that share of
 * them. Gives the one in place where the span says nothing.
 *
 * @since 0.1.0
 */
export const withOwnShare = (
  sampler: Sampler.Sampler | undefined,
  share: number | undefined
): Sampler.Sampler | undefined => {
  if (share === undefined) return sampler
  const before = sampler ?? Sampler.byDefault
  const own = Sampler.probability(share)
  return {
    name: `${before.name}, of which ${own.name}`,
    asksInside: before.asksInside ?? "taken",
    decide: (question) => {
      const first = Sampler.ask(before, question)
      if (!first.sampled) return first
      const { sampled, threshold } = own.decide(question)
      return { sampled, threshold: OtelTraceState.both(first.threshold, threshold) }
    }
  }
}
