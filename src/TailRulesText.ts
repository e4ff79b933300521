/**
 * Tail rules as people write them in a variable: which traces stay when they have ended. What each rule does is said in
 * TailRules.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as QuotedText from "./QuotedText.ts"
import * as TailRules from "./TailRules.ts"
import * as TimeVariable from "./TimeVariable.ts"

/**
 * Rules that cannot be read. The message tells all that is wrong, a line each.
 *
 * @since 0.1.0
 */
export class TailRulesError extends Schema.TaggedError<TailRulesError>()("TailRulesError", {
  problems: Schema.Array(Schema.Struct({ rule: Schema.String, problem: Schema.String }))
}) {
  override get message(): string {
    return this.problems
      .map(({ problem, rule }) => `Cannot read the tail rule ${JSON.stringify(rule)}: ${problem}`)
      .join("\n")
  }
}

/**
 * Reads rules as a variable has them: `errors; slower: 2 seconds; agent=critic: 0.1; share: 0.05`.
 *
 * **Details**: rules stand between semicolons, and are asked in their order. Each names what it looks for:
 *
 * - `errors`, `unfinished` and `always`, as they are in `TailRules`
 * - `slower: 2 seconds` for more than so much, `slower: p95` for the slowest of their name
 * - `agent=critic` for an agent, `attribute tier=gold` for an attribute; `*` in these stands for any text, and
 *   `attribute tier` is met by any value
 * - `tokens: 10000` for more tokens of models than so many, `cost llm.cost_usd: 0.5` for more dollars, by the attribute
 *   that has them
 * - `share: 0.05` for a share of all
 *
 * Behind it may stand a colon and how often: `always`, `never`, or a share from 0 to 1. Without it, each such trace is kept.
 * Texts with spaces, colons or semicolons stand in quotes.
 *
 * **Fails with** `TailRulesError` that names every rule which cannot be read.
 *
 * **Gotchas**: `slower: p95` remembers what it saw, so each TailSampler needs rules of its own: read them again.
 *
 * @example
 * ```ts
 * import { Result } from "effect"
 * import { TailRulesText } from "handspan"
 *
 * const rules = Result.getOrThrow(TailRulesText.parse("errors; slower: 2 seconds; agent=health: never; share: 0.05"))
 * const names = rules.map(({ name }) => name).join("; ")
 * if (names !== "errors; slower than 2s; never agent health; share 0.05") throw new Error("wrong rules")
 * ```
 *
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<ReadonlyArray<TailRules.Rule>, TailRulesError> => {
  const read = QuotedText.parts(text, /;/).map((rule) => ({ rule, result: readRule(rule) }))
  const problems = read.flatMap(({ result, rule }) => (typeof result === "string" ? [{ rule, problem: result }] : []))
  return problems.length > 0
    ? Result.fail(new TailRulesError({ problems }))
    : Result.succeed(read.flatMap(({ result }) => (typeof result === "string" ? [] : result)))
}

/** How rules of one kind are written, and read: what stands behind its word, and behind the first colon where it takes an amount. */
interface Kind {
  readonly form: string
  readonly takesAmount?: boolean
  /** Gives `undefined` where it is not written so. */
  readonly read: (operand: string, amount: string) => TailRules.Rule | undefined
}

const plain = (form: string, make: () => TailRules.Rule): Kind => ({
  form,
  read: (operand) => (operand === "" ? make() : undefined)
})

const withAmount = (form: string, make: (amount: string) => TailRules.Rule | undefined): Kind => ({
  form,
  takesAmount: true,
  read: (operand, amount) => (operand === "" ? make(amount) : undefined)
})

const kinds = new Map<string, Kind>([
  ["errors", plain("errors", TailRules.errors)],
  ["unfinished", plain("unfinished", TailRules.unfinished)],
  ["always", plain("always", () => TailRules.always)],
  [
    "slower",
    withAmount("slower: 2 seconds, or slower: p95", (amount) => {
      const time = TimeVariable.duration.parse(amount)
      const percentile = percentileOf(amount)
      if (percentile !== undefined) return TailRules.slowerThanPercentile(percentile)
      return time === undefined ? undefined : TailRules.slowerThan(time)
    })
  ],
  [
    "agent",
    {
      form: "agent=NAME",
      read: (operand) => {
        const name = operand.startsWith("=") ? QuotedText.unquoted(operand.slice(1)) : ""
        return name === "" ? undefined : TailRules.agent(name)
      }
    }
  ],
  [
    "attribute",
    {
      form: "attribute KEY=VALUE, or attribute KEY",
      read: (operand) => {
        const [key = "", ...value] = QuotedText.parts(operand, /=/)
        if (operand === "" || operand.startsWith("=") || operand.endsWith("=")) return undefined
        return TailRules.attribute(
          QuotedText.unquoted(key),
          value.length === 0 ? "*" : QuotedText.unquoted(value.join("="))
        )
      }
    }
  ],
  ["tokens", withAmount("tokens: 10000", (amount) => mapNumber(amount, TailRules.tokensAbove))],
  [
    "cost",
    {
      form: "cost KEY: 0.5",
      takesAmount: true,
      read: (operand, amount) => {
        const key = QuotedText.unquoted(operand)
        return key === "" ? undefined : mapNumber(amount, (dollars) => TailRules.costAbove(dollars, { key }))
      }
    }
  ],
  ["share", withAmount("share: 0.05", (amount) => mapShare(amount, TailRules.share))]
])

/** Gives what is wrong where it cannot be read. */
const readRule = (text: string): TailRules.Rule | string => {
  const [head = "", ...rest] = QuotedText.parts(text, /:/)
  const word = /^\w*/.exec(head)?.[0] ?? ""
  const kind = kinds.get(word)
  if (!QuotedText.isClosed(text)) return "a quote is not closed"
  if (kind === undefined) {
    return `${JSON.stringify(word === "" ? head : word)} is no rule: use ${Array.from(kinds.keys()).join(", ")}`
  }
  const amount = kind.takesAmount === true ? rest[0] : ""
  const [howOften, ...more] = kind.takesAmount === true ? rest.slice(1) : rest
  const rule = amount === undefined ? undefined : kind.read(head.slice(word.length).trim(), amount)
  if (rule === undefined || more.length > 0 || (word === "share" && howOften !== undefined)) {
    return `write it as ${kind.form}`
  }
  return howOften === undefined ? rule : (withHowOften(rule, howOften) ?? problemOf(howOften))
}

const withHowOften = (rule: TailRules.Rule, howOften: string): TailRules.Rule | undefined => {
  if (howOften === "always") return rule
  if (howOften === "never") return TailRules.never(rule)
  return mapShare(howOften, (share) => TailRules.share(share, { of: rule }))
}

const problemOf = (howOften: string): string =>
  `${JSON.stringify(howOften)} does not say how often: use always, never or a share from 0 to 1`

const mapNumber = <A>(text: string, make: (number: number) => A): A | undefined =>
  /^(\d+\.?\d*|\.\d+)$/.test(text) ? make(Number(text)) : undefined

const mapShare = <A>(text: string, make: (share: number) => A): A | undefined =>
  mapNumber(text, (number) => (number <= 1 ? make(number) : undefined))

/** By its digits: 99.9 / 100 is not 0.999. */
const percentileOf = (text: string): number | undefined => {
  const [, whole = "", part = ""] = /^p(\d{1,2})(?:\.(\d{1,2}))?$/.exec(text) ?? []
  const percentile = Number(`0.${whole.padStart(2, "0")}${part}`)
  return percentile > 0 ? percentile : undefined
}
