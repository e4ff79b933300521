import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import * as Sampler from "../src/Sampler.ts"
import * as SamplingRules from "../src/SamplingRules.ts"

const question = (
  name: string,
  hints: Sampler.Question["hints"] = {},
  fields: Partial<Sampler.Question> = {}
): Sampler.Question => ({
  traceId: "0af7651916cd43dd8448eb211c80319c",
  name,
  kind: "internal",
  startTimeUnixNano: 0n,
  parent: undefined,
  hints,
  baggage: new Map(),
  ...fields
})

const parent = (fields: Partial<Sampler.Parent>): Sampler.Parent => ({
  spanId: "b7ad6b7169203331",
  sampled: true,
  isRemote: false,
  flags: 3,
  traceState: "",
  ...fields
})

/** Asks about spans of one trace, the first of which begins it, and says which are taken. */
const trace = (sampler: Sampler.Sampler, first: string, ...inside: ReadonlyArray<string>): ReadonlyArray<boolean> => {
  const memory = new Map()
  const { sampled } = sampler.decide(question(first, {}, { memory }))
  const ask = (name: string) =>
    Sampler.ask(sampler, question(name, {}, { memory, parent: parent({ sampled }) })).sampled
  return [sampled, ...inside.map(ask)]
}

const rules = (text: string, otherwise = Sampler.always) =>
  SamplingRules.make(Result.getOrThrow(SamplingRules.parse(text)), otherwise)

const problems = (result: Result.Result<unknown, SamplingRules.SamplingRulesError>) =>
  Result.isFailure(result) ? result.failure.message.split("\n") : []

const how = "does not say how often: use always, never, a share from 0 to 1, or so many traces a second such as 5/s"

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

describe("make, inside of a trace", () => {
  const [pipeline, writer, critic] = ["pipeline.studio", "agent_handoff.writer", "agent_handoff.critic"] as const

  it("counts a trace once by each rule that has a rate, whatever else meets the rule", () => {
    const sampler = rules("*: 1/s")
    assert.deepStrictEqual(trace(sampler, pipeline, writer, critic, critic), [true, true, true, true])
    assert.deepStrictEqual(trace(sampler, pipeline), [false])
    const agents = rules("agent=*: 1/s")
    assert.deepStrictEqual(trace(agents, pipeline, writer, critic), [true, true, true])
    assert.deepStrictEqual(trace(agents, pipeline, writer, critic), [true, false, false])
  })

  it("lets only rules that name something turn a span down", () => {
    assert.deepStrictEqual(trace(rules("pipeline=studio: always; *: never"), pipeline, writer, "work"), [
      true,
      true,
      true
    ])
    assert.deepStrictEqual(trace(rules("agent=critic: never", Sampler.rateLimited(1)), pipeline, writer, critic), [
      true,
      true,
      false
    ])
  })

  it("asks the other sampler where that wishes so", () => {
    let asked: Array<string> = []
    const otherwise = (asksInside: Sampler.Sampler["asksInside"]): Sampler.Sampler => ({
      name: "other",
      asksInside,
      decide: ({ name }) => {
        asked.push(name)
        return { sampled: name !== writer, threshold: undefined }
      }
    })
    const answers = (asksInside: Sampler.Sampler["asksInside"], first: string) => {
      asked = []
      const sampler = rules("agent=critic: always", otherwise(asksInside))
      return [sampler.asksInside, trace(sampler, first, writer, critic, "work"), asked]
    }
    assert.deepStrictEqual(answers(undefined, pipeline), ["taken", [true, true, true, true], [pipeline]])
    assert.deepStrictEqual(answers("taken", pipeline), ["taken", [true, false, true, true], [pipeline, writer, "work"]])
    // Below what is not taken it is the other one alone that can take something.
    assert.deepStrictEqual(answers("all", writer), [
      "all",
      [false, false, true, true],
      [writer, writer, critic, "work"]
    ])
  })

  it("turns down with what a rule leaves out all that is below, whoever would take it", () => {
    const all = Sampler.parentBased({ root: Sampler.always, localParentNotSampled: Sampler.always })
    const sampler = rules("agent=critic: never; pipeline=health: 0", all)
    assert.isTrue(sampler.decide(question("agent_handoff.critic")).withAllBelow)
    assert.isTrue(sampler.decide(question("pipeline.health")).withAllBelow)
    assert.deepStrictEqual(trace(sampler, pipeline, critic), [true, false])
  })

  it("asks samplers of rules about each span where they wish so", () => {
    const sampler = SamplingRules.make(
      [{ agent: "*", sampler: rules("agent=critic: never; *: always") }],
      Sampler.always
    )
    assert.deepStrictEqual(trace(sampler, pipeline, writer, critic), [true, true, false])
  })
})

describe("make, below a caller of another process", () => {
  const decide = (sampler: Sampler.Sampler, sampled: boolean, traceState = "") =>
    sampler.decide(question("work", {}, { parent: parent({ isRemote: true, sampled, traceState }) }))

  it("lets a caller's no stand where the other sampler does", () => {
    const following = rules("*: always", Sampler.parentBased({ root: Sampler.always }))
    assert.deepStrictEqual([decide(following, true).sampled, decide(following, false).sampled], [true, false])
    const nested = SamplingRules.make([], following)
    assert.deepStrictEqual([nested.followsCallers, decide(nested, false).sampled], [true, false])
    for (const otherwise of [
      Sampler.never,
      Sampler.parentBased({ root: Sampler.never, remoteParentNotSampled: Sampler.ratio(1) })
    ]) {
      assert.isTrue(decide(rules("*: always", otherwise), false).sampled)
    }
    assert.isFalse(decide(rules("*: never", Sampler.byDefault), true).sampled)
  })

  it("tells how probable it is that both take a trace, where a caller's no stands", () => {
    const threshold = (text: string, otherwise: Sampler.Sampler, traceState: string) =>
      decide(rules(text, otherwise), true, traceState).threshold
    const [half, quarter] = [2n ** 55n, 3n * 2n ** 54n]
    assert.deepStrictEqual(
      [
        threshold("*: always", Sampler.byDefault, "ot=th:8"),
        threshold("*: always", Sampler.byDefault, ""),
        threshold("*: 0.25", Sampler.byDefault, "ot=th:8;rv:ffffffffffffff"),
        threshold("*: 5/s", Sampler.byDefault, "ot=th:8"),
        threshold("*: always", Sampler.always, "ot=th:8")
      ],
      [half, undefined, quarter, undefined, 0n]
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

  it("reads numbers as the sampler's own argument has them", () => {
    assert.deepStrictEqual(
      plain(SamplingRules.parse("agent=a: 1e-3; agent=b: 1.; agent=c: .5; agent=d: 1E1/s; agent=e: .5/s")).map(
        ({ sampler }) => sampler
      ),
      ["probability 0.001", "probability 1", "probability 0.5", "10 traces per second", "0.5 traces per second"]
    )
  })

  it("takes any white space between conditions", () => {
    assert.deepStrictEqual(plain(SamplingRules.parse('agent=a\tname="b\tc"\n hint.x=1\r\n:\nnever')), [
      { agent: "a", name: "b\tc", hints: { x: "1" }, sampler: "never" }
    ])
  })

  it("refuses what may be meant in another way", () => {
    const use = 'use agent, pipeline, name or hint. with a key, and a value after "="'
    const told = [
      ["agent=a agent=b: never", '"agent" is there twice'],
      ["hint.x=1 name=y hint.x=1: never", '"hint.x" is there twice'],
      ["agent=a\nb: never", `"b" is no condition: ${use}`],
      ["* agent=a: never", `"*" is no condition: ${use}`],
      ["hint.=a: never", `"hint.=a" is no condition: ${use}`],
      ['agent="a"b: never', '"agent=\\"a\\"b" has quotes that are not around a whole value'],
      ['agent=a"b": never', '"agent=a\\"b\\"" has quotes that are not around a whole value'],
      ['"agent"=a: never', '"\\"agent\\"=a" has quotes that are not around a whole value'],
      ['agent="a: never', "a quote is not closed"],
      ['agent="": never', '"agent" must be a text'],
      ["hint.x=: never", '"hint.x" must be a text'],
      ["*: 1e400/s", `"1e400/s" ${how}`],
      ["*: 1e-400/s", `"1e-400/s" ${how}`],
      ["*: 5 /s", `"5 /s" ${how}`]
    ] as const
    assert.deepStrictEqual(
      told.map(([text]) => problems(SamplingRules.parse(text))),
      told.map(([text, problem]) => [`Cannot read the sampling rule ${JSON.stringify(text)}: ${problem}`])
    )
  })

  it("takes a hint of any name for a hint", () => {
    const [rule] = Result.getOrThrow(SamplingRules.parse("hint.__proto__=x: never"))
    assert.deepStrictEqual(Object.entries(rule?.hints ?? {}), [["__proto__", "x"]])
    const sampler = rules("hint.__proto__=x: never")
    assert.isTrue(sampler.decide(question("work")).sampled)
    assert.isFalse(sampler.decide(question("work", Object.fromEntries([["__proto__", "x"]]))).sampled)
  })

  it("gives rules, or a message that names each rule, whatever the text", () => {
    const text = fc.oneof(
      fc.string({ unit: fc.constantFrom(...'agent=name:;*"0.15/s hint.x\\\n{}[]') }),
      fc.string({ unit: "binary" }),
      fc.json()
    )
    fc.assert(
      fc.property(text, (text) => {
        for (const result of [SamplingRules.parse(text), SamplingRules.parseJson(text)]) {
          if (Result.isSuccess(result)) {
            for (const { sampler } of result.success) assert.isString(sampler.name)
          } else {
            for (const line of problems(result)) assert.match(line, /^Cannot read the sampling rule ".*": ./)
          }
        }
      }),
      { numRuns: 1000 }
    )
  })
})

describe("rules", () => {
  /** A rule as people think of it, without its sampler. */
  interface Plain {
    readonly patterns: Readonly<Record<string, string>>
    readonly hints: Readonly<Record<string, string>>
    readonly sample: string
  }

  const value = fc.string({ unit: fc.constantFrom(..."ab* ;:=.\n🌍"), minLength: 1, maxLength: 6 })
  const key = fc.oneof(fc.stringMatching(/^[a-z.:]{1,5}$/), fc.constantFrom("__proto__", "constructor"))
  const number = fc.double({ min: 0, max: 1, noNaN: true }).map(String)
  const rule: fc.Arbitrary<Plain> = fc.record({
    patterns: fc.dictionary(fc.constantFrom("agent", "pipeline", "name"), value),
    hints: fc.dictionary(key, value, { maxKeys: 3, noNullPrototype: true }),
    sample: fc.oneof(
      fc.constantFrom("always", "never"),
      number,
      number.filter((number) => Number(number) > 0).map((number) => `${number}/s`)
    )
  })

  const expected = ({ hints, patterns, sample }: Plain) => ({
    ...patterns,
    ...(Object.keys(hints).length === 0 ? {} : { hints }),
    sampler: sample.endsWith("/s")
      ? `${Number.parseFloat(sample)} traces per second`
      : /^[an]/.test(sample)
        ? sample
        : `probability ${Number(sample)}`
  })

  const toText = ({ hints, patterns, sample }: Plain): string => {
    const fields = [...Object.entries(patterns), ...Object.entries(hints).map(([key, value]) => [`hint.${key}`, value])]
    return `${fields.map(([key, value]) => `${key}="${value}"`).join(" ") || "*"}: ${sample}`
  }

  const toJson = ({ hints, patterns, sample }: Plain) => ({
    ...patterns,
    ...(Object.keys(hints).length === 0 ? {} : { hints }),
    ...(Object.keys({ ...patterns, ...hints }).length === 0 ? { any: true } : {}),
    sample: /^[\d.e-]+$/.test(sample) ? Number(sample) : sample
  })

  it("are read as they were written, in a variable and in a file", () => {
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 4 }), (rules) => {
        assert.deepStrictEqual(plain(SamplingRules.parse(rules.map(toText).join(";"))), rules.map(expected))
        assert.deepStrictEqual(plain(SamplingRules.parseJson(JSON.stringify(rules.map(toJson)))), rules.map(expected))
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
      { any: true, sample: "never" }
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

  it("refuses a rule without conditions that does not say so", () => {
    const missing = 'it has no condition: write "any": true where every span is meant'
    const told: ReadonlyArray<[rule: object, problem: string]> = [
      [{ sample: "never" }, missing],
      [{ hints: {}, sample: "never" }, missing],
      [{ any: false, sample: "never" }, '"any" must be true'],
      [{ any: true, agent: "a", sample: "never" }, '"any" goes with no other condition'],
      [{ hints: { x: "" }, sample: "never" }, '"hint.x" must be a text'],
      [{ hints: { x: 1 }, sample: "never" }, '"hints" must be an object of texts'],
      [{ agent: "a", sample: "1e400/s" }, `"1e400/s" ${how}`],
      [{ agent: "a" }, `nothing ${how}`]
    ]
    assert.deepStrictEqual(
      told.map(([rule]) => problems(SamplingRules.parseJson(JSON.stringify([rule])))),
      told.map(([rule, problem]) => [
        `Cannot read the sampling rule ${JSON.stringify(JSON.stringify(rule))}: ${problem}`
      ])
    )
  })

  it("gives a message for what is nested too deep to be shown", () => {
    const depth = 100_000
    const [problem] = problems(SamplingRules.parseJson(`[${"[".repeat(depth)}${"]".repeat(depth)}]`))
    assert.match(problem!, /^Cannot read the sampling rule "/)
  })
})
