/**
 * Sampling by rules: which agents, pipelines and spans are recorded how often, as people write it in a variable or a
 * file. What a rule asks for in the end is a Sampler.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { handoffSpanName, pipelineSpanName } from "./Conventions.ts"
import * as NamePattern from "./NamePattern.ts"
import * as QuotedText from "./QuotedText.ts"
import * as OtelTraceState from "./OtelTraceState.ts"
import * as Sampler from "./Sampler.ts"
import * as Variable from "./Variable.ts"

/**
 * One rule: spans that meet all of its conditions are sampled by its sampler. In patterns `*` stands for any text.
 *
 * @since 0.1.0
 */
export interface Rule {
  /** The name of the agent that a handoff goes to. */
  readonly agent?: string | undefined
  /** The name of a pipeline. */
  readonly pipeline?: string | undefined
  /** The name of the span. */
  readonly name?: string | undefined
  /** What the program says of the span beforehand, with `Sampler.withHints`. */
  readonly hints?: Readonly<Record<string, string>> | undefined
  readonly sampler: Sampler.Sampler
}

/**
 * Rules that cannot be read. The message tells all that is wrong, a line each.
 *
 * @since 0.1.0
 */
export class SamplingRulesError extends Schema.TaggedError<SamplingRulesError>()("SamplingRulesError", {
  problems: Schema.Array(Schema.Struct({ rule: Schema.String, problem: Schema.String }))
}) {
  override get message(): string {
    return this.problems
      .map(({ problem, rule }) => `Cannot read the sampling rule ${JSON.stringify(rule)}: ${problem}`)
      .join("\n")
  }
}

/**
 * Makes a sampler of rules: the first one that a span meets decides, and where it meets none, `otherwise` does.
 *
 * **Details**: inside of a trace, a rule that names an agent, a pipeline, a span or a hint can leave a span out, with all it
 * does. All else there follows its parent, unless `otherwise` asks inside. No rule brings a span into a trace that is not
 * taken. A rule decides once for a trace, so that a rate counts traces: one that comes in from a caller, each time it does.
 *
 * A trace that a caller took is decided by rules again. One that a caller turned down stays so where `otherwise` follows
 * callers (`parentBased`, and the default); elsewhere rules decide about that one too.
 *
 * @example
 * ```ts
 * import { Sampler, SamplingRules } from "handspan"
 *
 * const sampler = SamplingRules.make([{ agent: "critic", sampler: Sampler.never }], Sampler.always)
 * const traceId = "0af7651916cd43dd8448eb211c80319c"
 * const question = { traceId, kind: "internal", startTimeUnixNano: 0n, parent: undefined, hints: {} } as const
 * const decide = (name: string) => sampler.decide({ ...question, name, baggage: new Map() })
 * if (decide("agent_handoff.critic").sampled || !decide("agent_handoff.writer").sampled) throw new Error("wrong rule")
 * ```
 *
 * @since 0.1.0
 */
export const make = (rules: ReadonlyArray<Rule>, otherwise: Sampler.Sampler): Sampler.Sampler => {
  const tests = rules.map(compile)
  const followsCallers = otherwise.followsCallers === true
  const first = (question: Sampler.Question): Sampler.Decision => {
    const { parent } = question
    const rule = tests.find(({ meets }) => meets(question))
    if (rule === undefined || (parent?.sampled === false && followsCallers)) return otherwise.decide(question)
    const decision = rule.decide(question)
    if (isNo(decision)) return Sampler.leftOut
    if (parent === undefined || !followsCallers) return decision
    // Taken is then what both took, the caller and the rule.
    const callers = OtelTraceState.threshold(parent.traceState)
    return { sampled: decision.sampled, threshold: OtelTraceState.both(decision.threshold, callers) }
  }
  const inside = (question: Sampler.Question, isTaken: boolean): Sampler.Decision => {
    const rule = tests.find(({ meets }) => meets(question))
    if (rule?.isNamed === true) {
      const decision = rule.decide(question)
      if (isNo(decision)) return Sampler.leftOut
      if (isTaken) return decision
    }
    return rule === undefined || !isTaken ? Sampler.ask(otherwise, question) : Sampler.asParent(question)
  }
  return {
    name: `${rules.length} rules, or ${otherwise.name}`,
    asksInside: otherwise.asksInside === "all" ? "all" : "taken",
    followsCallers,
    decide: (question) => {
      const { parent } = question
      return parent === undefined || parent.isRemote ? first(question) : inside(question, parent.sampled)
    }
  }
}

/** A sampler may answer anything, whatever its type says: what is no answer is told by whoever asked us. */
const isNo = ({ sampled }: Partial<Sampler.Decision>): boolean => sampled === false

type Test = (question: Sampler.Question) => boolean

/** A rule that is ready to be asked. */
interface Compiled {
  readonly meets: Test
  /** Whether it is about some spans, and not about all. */
  readonly isNamed: boolean
  /** Decides once for a trace that has a memory, unless its sampler wishes to be asked about each span. */
  readonly decide: (question: Sampler.Question) => Sampler.Decision
}

const compile = (rule: Rule): Compiled => {
  const { sampler } = rule
  const tests = conditionsOf(rule)
  // These two say the same each time, and are most of all rules.
  const isPlain = sampler === Sampler.always || sampler === Sampler.never
  return {
    meets: (question) => tests.every((test) => test(question)),
    isNamed: tests.length > 0,
    decide: (question) => {
      const memory = isPlain || sampler.asksInside !== undefined ? undefined : question.memory
      const known = memory?.get(rule)
      if (known !== undefined) return known
      const decision = sampler.decide(question)
      memory?.set(rule, decision)
      return decision
    }
  }
}

const conditionsOf = ({ agent, hints = {}, name, pipeline }: Rule): ReadonlyArray<Test> => {
  const patterns = [
    name,
    agent === undefined ? undefined : handoffSpanName(agent),
    pipeline === undefined ? undefined : pipelineSpanName(pipeline)
  ]
  return [
    ...patterns.flatMap((pattern): ReadonlyArray<Test> => {
      if (pattern === undefined) return []
      const meets = NamePattern.matcher(pattern)
      return [(question) => meets(question.name)]
    }),
    ...Object.entries(hints).map(([key, pattern]): Test => {
      const meets = NamePattern.matcher(pattern)
      return (question) => Object.hasOwn(question.hints, key) && meets(String(question.hints[key]))
    })
  ]
}

/**
 * Reads rules as a variable has them: `agent=critic: 0.1; name="chat *": 5/s; hint.tier=gold: always; *: never`.
 *
 * **Details**: rules stand between semicolons, each with its conditions before a colon and how often after it. Conditions
 * are `agent`, `pipeline`, `name` and `hint.` with a key, each at most once, several with white space between; quotes
 * stand around a whole value that has such, and there is none inside of them. `*` alone is met by all. How often is
 * `always`, `never`, a share from 0 to 1 (taken by `Sampler.probability`), or so many traces a second such as `5/s`.
 *
 * **Fails with** `SamplingRulesError` that names every rule which cannot be read.
 *
 * @example
 * ```ts
 * import { Result } from "effect"
 * import { SamplingRules } from "handspan"
 *
 * const rules = Result.getOrThrow(SamplingRules.parse('agent=critic: 0.1; name="chat *": 5/s'))
 * if (rules[1]?.name !== "chat *" || rules[1].sampler.name !== "5 traces per second") throw new Error("wrong rule")
 * ```
 *
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<ReadonlyArray<Rule>, SamplingRulesError> =>
  collect(QuotedText.parts(text, /;/), (rule) => rule, parseRule)

/**
 * Reads rules as a file has them: a JSON array such as `[{ "agent": "critic", "sample": 0.1 }]`, where `sample` is what
 * stands behind the colon in a variable, `hints` is an object, and `"any": true` is the condition that all meet.
 *
 * **Fails with** `SamplingRulesError` that names every rule which cannot be read.
 *
 * @since 0.1.0
 */
export const parseJson = (text: string): Result.Result<ReadonlyArray<Rule>, SamplingRulesError> => {
  const document = Result.try((): unknown => JSON.parse(text))
  if (Result.isFailure(document) || !Array.isArray(document.success)) {
    return fail([{ rule: text.slice(0, maxShown), problem: "the file must be a JSON array of rules" }])
  }
  return collect(document.success, shown, readRule)
}

interface Problem {
  readonly rule: string
  readonly problem: string
}

const fail = (problems: ReadonlyArray<Problem>) => Result.fail(new SamplingRulesError({ problems }))

/** What is nested deeper than the stack goes can be read, and not be written. */
const shown = (rule: unknown): string =>
  Result.getOrElse(
    Result.try(() => JSON.stringify(rule)),
    () => "nested too deep"
  )

const maxShown = 80

const collect = <A>(
  rules: ReadonlyArray<A>,
  show: (rule: A) => string,
  read: (rule: A) => Rule | string
): Result.Result<ReadonlyArray<Rule>, SamplingRulesError> => {
  const read_ = rules.map((rule) => ({ rule, result: read(rule) }))
  const problems = read_.flatMap(({ result, rule }) =>
    typeof result === "string" ? [{ rule: show(rule), problem: result }] : []
  )
  return problems.length > 0
    ? fail(problems)
    : Result.succeed(read_.flatMap(({ result }) => (typeof result === "string" ? [] : [result])))
}

const patternNames = new Set(["agent", "pipeline", "name"])
const isHint = ([key]: readonly [string, string]): boolean => /^hint\../s.test(key)
const howOften = "always, never, a share from 0 to 1, or so many traces a second such as 5/s"
const conditions = "agent, pipeline, name or hint. with a key"

/** Gives what is wrong where it cannot be read. */
const parseRule = (text: string): Rule | string => {
  const parts = QuotedText.split(text, /:/)
  const [before, sample] = [parts.slice(0, -1).join(":").trim(), parts.at(-1)!.trim()]
  if (!QuotedText.isClosed(text)) return "a quote is not closed"
  if (before === "") return "write it as conditions, a colon and how often"
  if (before === "*") return readRule({ any: true, sample })
  const found = new Map<string, string>()
  for (const condition of QuotedText.parts(before, /\s/)) {
    const equals = condition.indexOf("=")
    const key = condition.slice(0, Math.max(equals, 0))
    const value = QuotedText.unquoted(condition.slice(equals + 1))
    if (key.includes('"') || value.includes('"')) {
      return `${JSON.stringify(condition)} has quotes that are not around a whole value`
    }
    if (!patternNames.has(key) && !isHint([key, value])) {
      return `${JSON.stringify(condition)} is no condition: use ${conditions}, and a value after "="`
    }
    if (found.has(key)) return `${JSON.stringify(key)} is there twice`
    found.set(key, value)
  }
  const fields = Array.from(found)
  return readRule({
    ...Object.fromEntries(fields.filter((field) => !isHint(field))),
    // From entries: an assignment to `__proto__` would be lost.
    hints: Object.fromEntries(fields.filter(isHint).map(([key, value]) => [key.slice("hint.".length), value])),
    sample
  })
}

const readRule = (rule: unknown): Rule | string => {
  if (typeof rule !== "object" || rule === null) return "it must be an object"
  const { any, hints = {}, sample, ...patterns } = rule as Record<string, unknown>
  const unknown = Object.keys(patterns).find((key) => !patternNames.has(key))
  if (unknown !== undefined) return `${JSON.stringify(unknown)} is no condition: use agent, pipeline, name or hints`
  const isRecord = typeof hints === "object" && hints !== null && !Array.isArray(hints)
  if (!isRecord || Object.values(hints).some((value) => typeof value !== "string")) {
    return '"hints" must be an object of texts'
  }
  const hintFields = Object.entries(hints)
  const fields = [...Object.entries(patterns), ...hintFields.map(([key, value]) => [`hint.${key}`, value] as const)]
  const wrong = fields.find(([, value]) => typeof value !== "string" || value === "")
  if (wrong !== undefined) return `${JSON.stringify(wrong[0])} must be a text`
  if (any !== undefined && any !== true) return '"any" must be true'
  if (any === true && fields.length > 0) return '"any" goes with no other condition'
  if (any === undefined && fields.length === 0)
    return 'it has no condition: write "any": true where every span is meant'
  const sampler = samplerOf(sample)
  if (sampler === undefined) return `${JSON.stringify(sample) ?? "nothing"} does not say how often: use ${howOften}`
  return { ...patterns, ...(hintFields.length === 0 ? {} : { hints: hints as Record<string, string> }), sampler }
}

const samplerOf = (sample: unknown): Sampler.Sampler | undefined => {
  if (sample === "always") return Sampler.always
  if (sample === "never") return Sampler.never
  const [, perSecond] = typeof sample === "string" ? (/^(.+)\/s$/s.exec(sample) ?? []) : []
  if (perSecond !== undefined) {
    const rate = isNumber.test(perSecond) ? Number(perSecond) : 0
    return rate > 0 && rate < Infinity ? Sampler.rateLimited(rate) : undefined
  }
  // As the argument of a sampler has it.
  const share = typeof sample === "string" ? Variable.ratio.parse(sample) : sample
  return typeof share === "number" && share >= 0 && share <= 1 ? Sampler.probability(share) : undefined
}

/** A number as `Variable.ratio` has it. */
const isNumber = /^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i
