/**
 * What a trace is kept for when its end is known: rules that look at each span as it ends, add up a number for its trace,
 * and say at the end what that comes to. Which traces wait for their end, and for how long, is TailSampler's; how rules are
 * written as text is TailRulesText's.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Formatter from "effect/Formatter"
import * as Option from "effect/Option"
import { handoffSpanName, Key, modelSpanName, Operation } from "./Conventions.ts"
import * as NamePattern from "./NamePattern.ts"
import * as DurationInput from "./DurationInput.ts"
import { RecentDurations } from "./RecentDurations.ts"
import type { AttributeValue, SpanKind, SpanStatus } from "./SpanRecord.ts"

/**
 * One rule. The first one that applies to a trace and says `drop` drops it, unless one before says `keep`.
 *
 * **Rules**: `count` and `applies` take next to no time and have no effects but on what the rule itself remembers. One that
 * throws keeps the trace.
 *
 * @since 0.1.0
 */
export interface Rule {
  /** What it looks for, for people and for counts: `slower than 2s`. */
  readonly name: string
  readonly verdict: "keep" | "drop"
  /** Asked about each span when it ends; what it gives for those of a trace is added up. Default: always 0. */
  readonly count?: ((span: SpanSummary) => number) | undefined
  /** Whether the rule applies to a trace, given the sum of what `count` gave. */
  readonly applies: (trace: TraceSummary, sum: number) => boolean
  /** The share of the traces it applies to that it keeps, from 0 to 1, by the random part of their ids. Default: 1. */
  readonly share?: number | undefined
}

/**
 * What a rule sees of a span that has ended. It holds during the call, and is not to be kept.
 *
 * @since 0.1.0
 */
export interface SpanSummary {
  readonly name: string
  readonly kind: SpanKind
  readonly status: SpanStatus
  readonly durationNanos: bigint
  /** Whether nothing above it in this process is recorded: it began the trace here. */
  readonly isLocalRoot: boolean
  readonly attribute: (key: string) => AttributeValue | undefined
}

/**
 * What a rule sees of a trace.
 *
 * @since 0.1.0
 */
export interface TraceSummary {
  /** 32 lower-case hex digits. */
  readonly traceId: string
  /** How many spans of it have ended. */
  readonly spans: number
  /** How long its local root took, the longest if there were several; how long it has gone on while one is open. */
  readonly durationNanos: bigint
  /** Whether no span of it is open: otherwise the rest of it will follow what is decided now. */
  readonly isComplete: boolean
}

/** Keeps the traces of which some span is such a one. */
const some = (name: string, test: (span: SpanSummary) => boolean): Rule => ({
  name,
  verdict: "keep",
  count: (span) => (test(span) ? 1 : 0),
  applies: (_, sum) => sum > 0
})

/**
 * Keeps every trace that reaches it.
 *
 * @since 0.1.0
 */
export const always: Rule = { name: "always", verdict: "keep", applies: () => true }

/**
 * Drops what another rule would keep, all of it, unless a rule before keeps it.
 *
 * @example
 * ```ts
 * import { TailRules } from "handspan"
 *
 * // Every trace but those of the health check; errors of that one too.
 * const rules = [TailRules.errors(), TailRules.never(TailRules.agent("health_check")), TailRules.always]
 * if (rules[1]?.name !== "never agent health_check") throw new Error("wrong rule")
 * ```
 *
 * @since 0.1.0
 */
export const never = (rule: Rule): Rule => ({ ...rule, name: `never ${rule.name}`, verdict: "drop", share: undefined })

/**
 * Keeps traces with a span that failed. A span that was interrupted did not.
 *
 * @since 0.1.0
 */
export const errors = (): Rule => some("errors", ({ status }) => status.code === "error")

/**
 * Keeps traces that took longer than so much. Throws a `RangeError` for what is no duration, or less than nothing.
 *
 * @since 0.1.0
 */
export const slowerThan = (duration: Duration.Input): Rule => {
  const threshold = DurationInput.read(duration)
  if (threshold === undefined) {
    throw new RangeError(`Cannot sample: duration is ${Formatter.format(duration)}, and must be a duration from 0 up`)
  }
  const nanos = Option.getOrUndefined(Duration.toNanos(threshold))
  return {
    name: `slower than ${Duration.format(threshold)}`,
    verdict: "keep",
    applies: ({ durationNanos }) => nanos !== undefined && durationNanos > nanos
  }
}

/**
 * Keeps traces whose local root is among the slowest of its name: with 0.95, fewer than 5 % of those before it were as slow.
 *
 * **Details**: `percentile` is above 0 and at most 0.9999. Of each name the last ones are remembered, `window` of them at most and
 * half as many at least, by buckets of 4 %; default: 1,000, or 20 / (1 − percentile) where that is more. It keeps nothing
 * before it has seen 5 / (1 − percentile) of a name: 100 for 0.95, 500 for 0.99. Names beyond the first 200 are judged
 * together. Throws a `RangeError` for what is no percentile, and for a window of fewer than twice what it must have seen.
 *
 * **Gotchas**: it remembers what it saw, so each TailSampler needs its own. A trace that is decided while its root is open
 * is not judged by it.
 *
 * @since 0.1.0
 */
export const slowerThanPercentile = (
  percentile: number,
  options: { readonly window?: number | undefined } = {}
): Rule => {
  if (!(percentile > 0 && percentile <= maxPercentile)) {
    throw new RangeError(`Cannot sample: percentile is ${percentile}, and must be above 0 and at most ${maxPercentile}`)
  }
  const enough = Math.round(5 / (1 - percentile))
  const { window = Math.max(1_000, enough * 4) } = options
  if (!(window >= enough * 2 && Number.isSafeInteger(window))) {
    throw new RangeError(`Cannot sample: window is ${window}, and must be a whole number from ${enough * 2}`)
  }
  const make = () => new RecentDurations(1 - percentile, enough, window)
  const byName = new Map<string, RecentDurations>()
  let others: RecentDurations | undefined
  const durationsOf = (name: string): RecentDurations => {
    const known = byName.get(name) ?? (byName.size < maxNames ? undefined : (others ??= make()))
    if (known !== undefined) return known
    const made = make()
    byName.set(name, made)
    return made
  }
  return some(
    `slower than percentile ${percentile}`,
    ({ durationNanos, isLocalRoot, name }) => isLocalRoot && durationsOf(name).takeIsSlow(durationNanos)
  )
}

const maxNames = 200
/** Beyond it, nothing would be kept before half a million of one name had been seen. */
const maxPercentile = 0.9999

/**
 * Keeps traces with a handoff to an agent, or with a span of another library that names it. In the pattern `*` stands for
 * any text.
 *
 * @since 0.1.0
 */
export const agent = (pattern: string): Rule => {
  const ofHandoff = NamePattern.matcher(handoffSpanName(pattern))
  const ofAgent = NamePattern.matcher(pattern)
  return some(`agent ${pattern}`, (span) => {
    if (ofHandoff(span.name)) return true
    const name = span.attribute(Key.agentName)
    return typeof name === "string" && ofAgent(name)
  })
}

/**
 * Keeps traces of which some span has an attribute, with a value that meets a pattern (`*` stands for any text; of a list,
 * one item is enough) or a test.
 *
 * @since 0.1.0
 */
export const attribute = (key: string, value: string | ((value: AttributeValue) => boolean) = "*"): Rule => {
  const meets = typeof value === "string" ? toTest(NamePattern.matcher(value)) : value
  return some(typeof value === "string" ? `${key}=${value}` : key, (span) => {
    const found = span.attribute(key)
    return found !== undefined && meets(found)
  })
}

const toTest = (meets: (text: string) => boolean) => (value: AttributeValue) =>
  Array.isArray(value) ? value.some((item) => meets(String(item))) : meets(String(value))

/**
 * Keeps traces whose model calls used more than so many tokens, those that went in and those that came out together.
 *
 * **Details**: what agents, pipelines and tools say of their tokens is the sum of model calls below them, and not counted.
 * Throws a `RangeError` for what is no number from 0 up.
 *
 * @since 0.1.0
 */
export const tokensAbove = (tokens: number): Rule => ({
  name: `more than ${fromZero("tokens", tokens)} tokens`,
  verdict: "keep",
  count: (span) => (isModelCall(span) ? amount(span, Key.inputTokens) + amount(span, Key.outputTokens) : 0),
  applies: (_, sum) => sum > tokens
})

/**
 * Keeps traces that cost more than so many US dollars.
 *
 * **Details**: there is no agreed attribute for a cost, so `key` says where it stands. Default: model calls alone count, as
 * what stands on others is mostly the sum of those; with `on: "all"` every span counts that has the attribute. Throws a
 * `RangeError` for what is no number from 0 up.
 *
 * @since 0.1.0
 */
export const costAbove = (
  dollars: number,
  options: { readonly key: string; readonly on?: "models" | "all" | undefined }
): Rule => ({
  name: `costs more than $${fromZero("dollars", dollars)}`,
  verdict: "keep",
  count: (span) => (options.on === "all" || isModelCall(span) ? amount(span, options.key) : 0),
  applies: (_, sum) => sum > dollars
})

const fromZero = (what: string, number: number): number => {
  if (number >= 0) return number
  throw new RangeError(`Cannot sample: ${what} is ${number}, and must be a number from 0 up`)
}

const aboveModels = new Set<AttributeValue>([Operation.invokeAgent, Operation.invokeWorkflow, Operation.executeTool])

/** Any operation that is none above model calls: other libraries have more of them than `chat`. */
const isModelCall = (span: SpanSummary): boolean => {
  const operation = span.attribute(Key.operationName)
  return operation === undefined ? span.name.startsWith(modelSpanName("")) : !aboveModels.has(operation)
}

const amount = (span: SpanSummary, key: string): number => {
  const value = span.attribute(key)
  const number = typeof value === "number" || typeof value === "bigint" ? Number(value) : 0
  return Number.isFinite(number) ? number : 0
}

/**
 * Keeps a share of traces, from 0 to 1, by the random part of their ids: those that `Sampler.probability` takes, so that all
 * processes of a trace agree. With `of`, a share of those that another rule would keep.
 *
 * **Details**: where `tracestate` says how probable it was that a trace came this far, it then says how probable it was that
 * it stayed (`ot=th`), so that receivers scale counts up rightly. It is a share of all traces, not of those that a sampler
 * took at their beginning: where that took fewer, all of them stay. Of several shares the largest counts. Throws a
 * `RangeError` for what is no share.
 *
 * @example
 * ```ts
 * import { TailRules } from "handspan"
 *
 * // Every failure, a hundredth of the critic's traces, a tenth of the rest.
 * const critic = TailRules.agent("critic")
 * const rules = [
 *   TailRules.errors(),
 *   TailRules.share(0.01, { of: critic }),
 *   TailRules.never(critic),
 *   TailRules.share(0.1)
 * ]
 * if (rules[1]?.name !== "share 0.01 of agent critic") throw new Error("wrong rule")
 * ```
 *
 * @since 0.1.0
 */
export const share = (share: number, options: { readonly of?: Rule | undefined } = {}): Rule => {
  if (!(share >= 0 && share <= 1)) throw new RangeError(`Cannot sample: share is ${share}, and must be from 0 to 1`)
  const { of } = options
  if (of === undefined) return { ...always, name: `share ${share}`, share }
  return { ...of, name: `share ${share} of ${of.name}`, verdict: "keep", share: share * (of.share ?? 1) }
}

/**
 * Keeps traces that must be decided while spans of them are open: too long is not bad, but nobody knows yet how it ends.
 *
 * **When to use**: behind `errors`, where missing the failure of a very long trace is worse than keeping it in vain.
 *
 * @since 0.1.0
 */
export const unfinished = (): Rule => ({
  name: "unfinished",
  verdict: "keep",
  applies: ({ isComplete }) => !isComplete
})

/**
 * The rules that most programs want: every trace that failed or was slow, and a share of the others.
 *
 * @example
 * ```ts
 * import { TailRules } from "handspan"
 *
 * const rules = TailRules.errorsOrSlower({ than: "2 seconds", share: 0.1 })
 * if (rules.map(({ name }) => name).join() !== "errors,slower than 2s,share 0.1") throw new Error("wrong rules")
 * ```
 *
 * @since 0.1.0
 */
export const errorsOrSlower = (options: {
  readonly than: Duration.Input
  /** The share of the others that is kept too, from 0 to 1. Default: 0. */
  readonly share?: number | undefined
}): ReadonlyArray<Rule> => [errors(), slowerThan(options.than), share(options.share ?? 0)]
