import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import * as TailRules from "../src/TailRules.ts"
import * as TailRulesText from "../src/TailRulesText.ts"

const namesOf = (text: string) =>
  Result.match(TailRulesText.parse(text), {
    onFailure: ({ problems }) => problems.map(({ problem, rule }) => `${rule} -> ${problem}`),
    onSuccess: (rules) => rules.map(({ name }) => name)
  })

describe("parse", () => {
  it.each<[string, TailRules.Rule]>([
    ["errors", TailRules.errors()],
    ["unfinished", TailRules.unfinished()],
    ["always", TailRules.always],
    ["slower: 2 seconds", TailRules.slowerThan("2 seconds")],
    ["slower:1.5 seconds", TailRules.slowerThan("1.5 seconds")],
    ["slower: p95", TailRules.slowerThanPercentile(0.95)],
    ["slower: p5", TailRules.slowerThanPercentile(0.05)],
    ["slower: p99.9", TailRules.slowerThanPercentile(0.999)],
    ["slower: p99.99", TailRules.slowerThanPercentile(0.9999)],
    ["agent=critic", TailRules.agent("critic")],
    ['agent = "the ; critic: *"', TailRules.agent("the ; critic: *")],
    ["attribute tier", TailRules.attribute("tier")],
    ["attribute tier=gold", TailRules.attribute("tier", "gold")],
    ['attribute "my key" = "a=b: c"', TailRules.attribute("my key", "a=b: c")],
    ["tokens: 10000", TailRules.tokensAbove(10_000)],
    ["cost llm.cost_usd: 0.5", TailRules.costAbove(0.5, { key: "llm.cost_usd" })],
    ["share: 0.05", TailRules.share(0.05)],
    ["share: 1", TailRules.share(1)],
    ["errors: always", TailRules.errors()],
    ["agent=critic: never", TailRules.never(TailRules.agent("critic"))],
    ["agent=critic: .1", TailRules.share(0.1, { of: TailRules.agent("critic") })],
    ["slower: 2 seconds: 0.5", TailRules.share(0.5, { of: TailRules.slowerThan("2 seconds") })],
    ["tokens: 100: never", TailRules.never(TailRules.tokensAbove(100))]
  ])("reads %s", (text, expected) => {
    const plain = ({ name, share, verdict }: TailRules.Rule) => ({ name, share, verdict })
    assert.deepStrictEqual(Result.getOrThrow(TailRulesText.parse(text)).map(plain), [plain(expected)])
  })

  it("reads rules between semicolons in their order, and none of nothing", () => {
    assert.deepStrictEqual(namesOf("errors;; slower: 2 seconds ;share: 0.05;"), [
      "errors",
      "slower than 2s",
      "share 0.05"
    ])
    assert.deepStrictEqual([namesOf(""), namesOf(" ; ")], [[], []])
  })

  it("makes rules that remember anew each time", () => {
    const [one, other] = [1, 2].map(() => Result.getOrThrow(TailRulesText.parse("slower: p95"))[0])
    assert.notStrictEqual(one, other)
    assert.notStrictEqual(one?.count, other?.count)
  })

  it.each<[string, string]>([
    ["error", '"error" is no rule: use errors, unfinished, always, slower, agent, attribute, tokens, cost, share'],
    ["=critic", '"=critic" is no rule: use errors, unfinished, always, slower, agent, attribute, tokens, cost, share'],
    [
      "constructor",
      '"constructor" is no rule: use errors, unfinished, always, slower, agent, attribute, tokens, cost, share'
    ],
    ["errors now", "write it as errors"],
    ["slower", "write it as slower: 2 seconds, or slower: p95"],
    ["slower: 2", "write it as slower: 2 seconds, or slower: p95"],
    ["slower: p0", "write it as slower: 2 seconds, or slower: p95"],
    ["slower: p99.999", "write it as slower: 2 seconds, or slower: p95"],
    ["slower than: 2 seconds", "write it as slower: 2 seconds, or slower: p95"],
    ["agent", "write it as agent=NAME"],
    ["agent critic", "write it as agent=NAME"],
    ['agent=""', "write it as agent=NAME"],
    ["attribute", "write it as attribute KEY=VALUE, or attribute KEY"],
    ["attribute =gold", "write it as attribute KEY=VALUE, or attribute KEY"],
    ["attribute tier=", "write it as attribute KEY=VALUE, or attribute KEY"],
    ["tokens: -1", "write it as tokens: 10000"],
    ["tokens: many", "write it as tokens: 10000"],
    ["cost: 0.5", "write it as cost KEY: 0.5"],
    ["cost llm.cost_usd", "write it as cost KEY: 0.5"],
    ["share: 5%", "write it as share: 0.05"],
    ["share: 1.5", "write it as share: 0.05"],
    ["share: 0.5: never", "write it as share: 0.05"],
    ["errors: sometimes", '"sometimes" does not say how often: use always, never or a share from 0 to 1'],
    ["errors: 5/s", '"5/s" does not say how often: use always, never or a share from 0 to 1'],
    ["errors: 1: 1", "write it as errors"],
    ['agent="critic', "a quote is not closed"]
  ])("refuses %s", (text, problem) => {
    assert.deepStrictEqual(namesOf(text), [`${text} -> ${problem}`])
  })

  it("names every rule that cannot be read, and no other", () => {
    const result = TailRulesText.parse("error; errors; share: 2")
    assert.deepStrictEqual(Result.isFailure(result) && result.failure.message.split("\n"), [
      'Cannot read the tail rule "error": "error" is no rule: use errors, unfinished, always, slower, agent, attribute, tokens, cost, share',
      'Cannot read the tail rule "share: 2": write it as share: 0.05'
    ])
  })

  it("takes any text", () => {
    const parts = ["errors", "slower", "agent", "attribute", "tokens", "cost", "share", ":", ";", "=", '"', " ", "p95"]
    const part = fc.constantFrom(...parts, "1", "*", "never")
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.array(part).map((parts) => parts.join(""))
    )
    fc.assert(fc.property(text, (text) => assert.isTrue(Result.isResult(TailRulesText.parse(text)))))
  })
})
