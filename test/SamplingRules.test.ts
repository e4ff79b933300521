import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import * as Sampler from "../src/Sampler.ts"
import * as SamplingRules from "../src/SamplingRules.ts"

const question = (name: string, hints: Sampler.Question["hints"] = {}): Sampler.Question => ({
  traceId: "0af7651916cd43dd8448eb211c80319c",
  name,
  kind: "internal",
  startTimeUnixNano: 0n,
  parent: undefined,
  hints,
  baggage: new Map()
})

const problems = (result: Result.Result<unknown, SamplingRules.SamplingRulesError>) =>
  Result.isFailure(result) ? result.failure.message.split("\n") : []

/** Rules without their samplers' functions. */
const plain = (result: Result.Result<ReadonlyArray<SamplingRules.Rule>, SamplingRules.SamplingRulesError>) =>
  Result.getOrThrow(result).map(({ sampler, ...rule }) => ({ ...rule, sampler: sampler.name }))

describe("make", () => {
  it("lets the first rule decide that a span meets", () => {
    const rules = Result.getOrThrow(
      SamplingRules.parse(
        'agent=critic: never; pipeline=tr*: always; name="chat *" hint.tier=gold: always; name=chat*: never; agent=cr*: always'
      )
    )
    const sampler = SamplingRules.make(rules, Sampler.never)
    const decide = (name: string, hints?: Sampler.Question["hints"]) => sampler.decide(question(name, hints)).sampled
    assert.deepStrictEqual(
      [
        decide("agent_handoff.critic"),
        decide("agent_handoff.crowd"),
        decide("pipeline.trip"),
        decide("pipeline.a trip"),
        decide("chat gpt-5", { tier: "gold" }),
        decide("chat gpt-5", { tier: "silver" }),
        decide("chat gpt-5"),
        decide("anything")
      ],
      [false, true, true, false, true, false, false, false]
    )
    assert.strictEqual(sampler.asksInside, "taken")
  })

  it("takes a pattern's other characters as they are", () => {
    const sampler = SamplingRules.make([{ name: "a.b(*", sampler: Sampler.always }], Sampler.never)
    assert.deepStrictEqual(
      ["a.b(c", "a.b(", "axb(c"].map((name) => sampler.decide(question(name)).sampled),
      [true, true, false]
    )
  })
})

describe("parse", () => {
  it("reads every kind of rule", () => {
    assert.deepStrictEqual(
      plain(
        SamplingRules.parse(
          ' agent=critic : 0.1 ;; pipeline=trip name="a: b; c":5/s; hint.tier=gold hint.user=7: always; *: never; '
        )
      ),
      [
        { agent: "critic", sampler: "probability 0.1" },
        { pipeline: "trip", name: "a: b; c", sampler: "5 traces per second" },
        { hints: { tier: "gold", user: "7" }, sampler: "always" },
        { sampler: "never" }
      ]
    )
  })

  it("tells all that is wrong", () => {
    const how = "does not say how often: use always, never, a share from 0 to 1, or so many traces a second such as 5/s"
    assert.deepStrictEqual(
      problems(SamplingRules.parse("agent=a; agnt=a: 1; agent=a: 2; *: often; agent=: 1; *: 0/s")),
      [
        'Cannot read the sampling rule "agent=a": write it as conditions, a colon and how often',
        'Cannot read the sampling rule "agnt=a: 1": "agnt=a" is no condition: use agent, pipeline, name or hint. with a key, and a value after "="',
        `Cannot read the sampling rule "agent=a: 2": "2" ${how}`,
        `Cannot read the sampling rule "*: often": "often" ${how}`,
        'Cannot read the sampling rule "agent=: 1": "agent" must be a text',
        `Cannot read the sampling rule "*: 0/s": "0/s" ${how}`
      ]
    )
  })

  it("never throws, whatever the text", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'agent=name:;*"0.15/s hint.x\\') }), (text) => {
        SamplingRules.parse(text)
        SamplingRules.parseJson(text)
      })
    )
  })
})

describe("parseJson", () => {
  it("reads the same rules from a file", () => {
    const file = [
      { agent: "critic", sample: 0.1 },
      { pipeline: "trip", name: "a *", sample: "5/s" },
      { hints: { tier: "gold" }, sample: "always" },
      { sample: "never" }
    ]
    assert.deepStrictEqual(plain(SamplingRules.parseJson(JSON.stringify(file))), [
      { agent: "critic", sampler: "probability 0.1" },
      { pipeline: "trip", name: "a *", sampler: "5 traces per second" },
      { hints: { tier: "gold" }, sampler: "always" },
      { sampler: "never" }
    ])
  })

  it("tells all that is wrong", () => {
    assert.deepStrictEqual(problems(SamplingRules.parseJson('{"agent": "a"}')), [
      'Cannot read the sampling rule "{\\"agent\\": \\"a\\"}": the file must be a JSON array of rules'
    ])
    assert.deepStrictEqual(
      problems(SamplingRules.parseJson('[1, {"agnt": "a", "sample": 1}, {"hints": [], "sample": 1}]')),
      [
        'Cannot read the sampling rule "1": it must be an object',
        'Cannot read the sampling rule "{\\"agnt\\":\\"a\\",\\"sample\\":1}": "agnt" is no condition: use agent, pipeline, name or hints',
        'Cannot read the sampling rule "{\\"hints\\":[],\\"sample\\":1}": "hints" must be an object of texts'
      ]
    )
  })
})
