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
import * as Sampler from "./Sampler.ts"

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
 * **Details**: it is asked about the first span of a trace, and of those inside of a trace that is taken: a rule can leave
 * an agent out of traces, and never bring one into a trace that is not taken. What is left out takes all below with it.
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
  const tests = rules.map((rule) => ({ meets: conditionsOf(rule), sampler: rule.sampler }))
  return {
    name: `${rules.length} rules, or ${otherwise.name}`,
    asksInside: "taken",
    decide: (question) => {
      for (const { meets, sampler } of tests) if (meets(question)) return sampler.decide(question)
      return otherwise.decide(question)
    }
  }
}

type Test = (question: Sampler.Question) => boolean

const conditionsOf = ({ agent, hints = {}, name, pipeline }: Rule): Test => {
  const tests: Array<Test> = []
  const onName = (pattern: string): void => {
    const expression = NamePattern.toRegExp(pattern)
    tests.push((question) => expression.test(question.name))
  }
  if (name !== undefined) onName(name)
  if (agent !== undefined) onName(handoffSpanName(agent))
  if (pipeline !== undefined) onName(pipelineSpanName(pipeline))
  for (const [key, value] of Object.entries(hints)) {
    const expression = NamePattern.toRegExp(value)
    tests.push((question) => Object.hasOwn(question.hints, key) && expression.test(String(question.hints[key])))
  }
  return (question) => tests.every((test) => test(question))
}

/**
 * Reads rules as a variable has them: `agent=critic: 0.1; name="chat *": 5/s; hint.tier=gold: always; *: never`.
 *
 * **Details**: rules stand between semicolons, each with its conditions before a colon and how often after it. Conditions
 * are `agent`, `pipeline`, `name` and `hint.` with a key, several with spaces between, values with spaces in quotes; `*`
 * alone is met by all. How often is `always`, `never`, a share from 0 to 1 (taken by `Sampler.probability`), or so many
 * traces a second such as `5/s`.
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
  collect(
    splitOutsideQuotes(text, ";")
      .map((rule) => rule.trim())
      .filter((rule) => rule !== ""),
    (rule) => rule,
    parseRule
  )

/**
 * Reads rules as a file has them: a JSON array such as `[{ "agent": "critic", "sample": 0.1 }]`, where `sample` is what stands
 * behind the colon in a variable, and `hints` is an object.
 *
 * **Fails with** `SamplingRulesError` that names every rule which cannot be read.
 *
 * @since 0.1.0
 */
export const parseJson = (text: string): Result.Result<ReadonlyArray<Rule>, SamplingRulesError> => {
  const document = Result.try((): unknown => JSON.parse(text))
  if (Result.isFailure(document) || !Array.isArray(document.success)) {
    return fail([{ rule: text.slice(0, 80), problem: "the file must be a JSON array of rules" }])
  }
  return collect(document.success, (rule) => JSON.stringify(rule), readRule)
}

interface Problem {
  readonly rule: string
  readonly problem: string
}

const fail = (problems: ReadonlyArray<Problem>) => Result.fail(new SamplingRulesError({ problems }))

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

const splitOutsideQuotes = (text: string, separator: string): ReadonlyArray<string> => {
  const parts = [""]
  let isQuoted = false
  for (const character of text) {
    if (character === '"') isQuoted = !isQuoted
    if (character === separator && !isQuoted) parts.push("")
    else parts[parts.length - 1] += character
  }
  return parts
}

const howOften = "always, never, a share from 0 to 1, or so many traces a second such as 5/s"
const conditions = "agent, pipeline, name or hint. with a key"

/** Gives what is wrong where it cannot be read. */
const parseRule = (text: string): Rule | string => {
  const parts = splitOutsideQuotes(text, ":")
  const [before, sample] = [parts.slice(0, -1).join(":").trim(), parts.at(-1)!.trim()]
  if (parts.length < 2 || before === "") return "write it as conditions, a colon and how often"
  const fields: Record<string, unknown> = {}
  const hints: Record<string, string> = {}
  for (const condition of before === "*" ? [] : splitOutsideQuotes(before, " ").filter((part) => part !== "")) {
    const equals = condition.indexOf("=")
    const key = condition.slice(0, Math.max(equals, 0))
    const value = condition.slice(equals + 1).replace(/^"(.*)"$/s, "$1")
    if (key.startsWith("hint.") && key.length > "hint.".length) hints[key.slice("hint.".length)] = value
    else if (["agent", "pipeline", "name"].includes(key)) fields[key] = value
    else return `${JSON.stringify(condition)} is no condition: use ${conditions}, and a value after "="`
  }
  return readRule({ ...fields, ...(Object.keys(hints).length === 0 ? {} : { hints }), sample })
}

const readRule = (rule: unknown): Rule | string => {
  if (typeof rule !== "object" || rule === null) return "it must be an object"
  const { hints, sample, ...patterns } = rule as Record<string, unknown>
  const unknown = Object.keys(patterns).find((key) => !["agent", "pipeline", "name"].includes(key))
  if (unknown !== undefined) return `${JSON.stringify(unknown)} is no condition: use agent, pipeline, name or hints`
  const wrong = Object.entries(patterns).find(([, value]) => typeof value !== "string" || value === "")
  if (wrong !== undefined) return `${JSON.stringify(wrong[0])} must be a text`
  const isRecord = typeof hints === "object" && hints !== null && !Array.isArray(hints)
  if (hints !== undefined && (!isRecord || Object.values(hints).some((value) => typeof value !== "string"))) {
    return '"hints" must be an object of texts'
  }
  const sampler = samplerOf(sample)
  if (sampler === undefined) return `${JSON.stringify(sample) ?? "nothing"} does not say how often: use ${howOften}`
  return { ...patterns, ...(hints === undefined ? {} : { hints: hints as Record<string, string> }), sampler }
}

const samplerOf = (sample: unknown): Sampler.Sampler | undefined => {
  if (sample === "always") return Sampler.always
  if (sample === "never") return Sampler.never
  const [, perSecond] = typeof sample === "string" ? (/^(\d+(?:\.\d+)?)\/s$/.exec(sample) ?? []) : []
  if (perSecond !== undefined) return Number(perSecond) > 0 ? Sampler.rateLimited(Number(perSecond)) : undefined
  const share = typeof sample === "string" && /^\d*\.?\d+$/.test(sample) ? Number(sample) : sample
  return typeof share === "number" && share >= 0 && share <= 1 ? Sampler.probability(share) : undefined
}
