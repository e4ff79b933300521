import { assert, describe, expect, it } from "@effect/vitest"
import { Data, Effect } from "effect"
import * as Agent from "../../src/Agent.ts"
import * as Pipeline from "../../src/Pipeline.ts"
import * as SpanRecord from "../../src/SpanRecord.ts"
import * as Testing from "../../src/Testing.ts"
import * as TraceTree from "../../src/TraceTree.ts"
import "../../src/testing/vitest.ts"

const { Tree, expectTrace } = Testing
const { handoff, pipeline, span } = Tree

class Refused extends Data.TaggedError("Refused")<{ readonly message: string }> {}

const fetcher = Agent.make("fetcher", { run: () => Effect.succeed(["a.jpg", "b.jpg"]) })
const search = Effect.withSpan(Effect.void, "execute_tool search", { attributes: { "gen_ai.tool.name": "search" } })
const vision = Agent.make("vision", {
  model: "gpt-5",
  retry: Agent.retryTransient({ maxAttempts: 2, minWait: "1 second", maxWait: "1 second" }),
  run: (photo: string) =>
    Effect.gen(function* () {
      yield* Effect.annotateCurrentSpan({ photo, size: 1024, tags: ["x", "y"] })
      yield* search
      yield* Effect.sleep("1 second")
      if (photo === "b.jpg") return yield* new Refused({ message: "not a photo" })
      return photo
    })
})
const reporter = Agent.make("reporter", { run: (lines: ReadonlyArray<string>) => Effect.succeed(lines.join()) })

const agency = Pipeline.make("agency", () =>
  Effect.gen(function* () {
    const photos = yield* fetcher()
    const lines = yield* Pipeline.forEach(
      photos,
      (photo) => Effect.catchTag(vision(photo), "Refused", () => Effect.succeed("refused")),
      { concurrency: 2 }
    )
    return yield* Pipeline.fanIn(reporter, lines)
  })
)

const { trace } = await Effect.runPromise(Testing.record(agency(), { advance: "1 minute" }))

const searches = (n: number) => Array.from({ length: n }, () => Tree.tool("search"))
const seen = {
  fetcher: handoff("fetcher"),
  good: handoff("vision", { attributes: { photo: "a.jpg" }, children: searches(1) }),
  bad: handoff("vision", { status: { error: /not a photo/ }, attributes: { photo: "b.jpg" }, children: searches(2) }),
  reporter: handoff("reporter", { links: ["vision", "vision"] })
}
const whole = pipeline("agency", [seen.fetcher, seen.good, seen.bad, seen.reporter])

const failure = (assertion: () => unknown): string => {
  try {
    assertion()
  } catch (error) {
    return (error as Error).message
  }
  return expect.fail("expected a failure")
}

describe("expectTrace().toMatchTree", () => {
  it.each<[string, Testing.Tree.Expected]>([
    ["a whole tree, in order", whole],
    ["children in any order", pipeline("agency", Tree.anyOrder(seen.reporter, seen.bad, seen.good, seen.fetcher))],
    ["some children in order", pipeline("agency", Tree.inOrder(seen.fetcher, seen.reporter))],
    ["some children in any order", pipeline("agency", Tree.contains(seen.reporter, seen.good))],
    ["whatever stands below", pipeline("agency", Tree.contains())],
    ["names by a pattern", span(/^pipeline\./, Tree.contains())],
    [
      "values by rules",
      pipeline(
        "agency",
        Tree.contains(
          handoff("vision", {
            kind: "internal",
            status: "ok",
            attributes: {
              photo: /\.jpg$/,
              size: Tree.where("more than a kilobyte", (value) => Number(value) > 1000),
              tags: ["x", "y"],
              "gen_ai.request.model": Tree.present,
              "error.type": Tree.absent
            },
            children: Tree.contains()
          })
        )
      )
    ],
    [
      "events",
      pipeline(
        "agency",
        Tree.contains(
          handoff("vision", {
            status: "error",
            events: Tree.inOrder(
              { name: "handoff.attempt", attributes: { "handspan.attempt.number": 1 } },
              "handoff.attempt"
            ),
            children: Tree.contains()
          })
        )
      )
    ],
    [
      "all attributes",
      pipeline(
        "agency",
        Tree.contains(
          handoff("vision", {
            status: "ok",
            children: [Tree.tool("search", { attributes: Tree.only({ "gen_ai.tool.name": "search" }) })]
          })
        )
      )
    ],
    ["links in part", pipeline("agency", Tree.contains(handoff("reporter", { links: Tree.contains("vision") })))]
  ])("takes %s", (_, expected) => {
    expectTrace(trace).toMatchTree(expected)
    assert.include(
      failure(() => expectTrace(trace).not.toMatchTree(expected)),
      "Expected another tree than this:\npipeline.agency ✓\n├─ agent_handoff.fetcher ✓"
    )
  })

  it("pairs what is in any order as well as it can be", () => {
    const traceOf = (...names: ReadonlyArray<string>) =>
      TraceTree.fromSpans(
        names.map((text, index) =>
          SpanRecord.make({ name: "work", spanId: `${index + 1}`.padStart(16, "0"), attributes: { text } })
        )
      )[0]!
    const any = span("work")
    const first = span("work", { attributes: { text: "a" } })
    expectTrace(traceOf("a", "b")).toMatchTree(Tree.anyOrder(any, first))
    expectTrace(traceOf("b", "a")).toMatchTree(Tree.anyOrder(any, first))
    expectTrace(traceOf("b", "b")).not.toMatchTree(Tree.anyOrder(any, first))
  })

  it("counts an expectation as often as it stands there, also where it is one value", () => {
    const traceOf = (...texts: ReadonlyArray<number>) =>
      TraceTree.fromSpans([
        SpanRecord.make({ name: "r", spanId: "00000000000000ff" }),
        ...texts.map((x, n) =>
          SpanRecord.make({
            name: "a",
            spanId: `${n + 1}`.padStart(16, "0"),
            parentSpanId: "00000000000000ff",
            attributes: { x }
          })
        )
      ])[0]!
    const a = span("a")
    for (const group of [Tree.anyOrder(a, a), Tree.contains(a, a), Tree.exactly(a, a), Tree.inOrder(a, a)]) {
      expectTrace(traceOf(1)).not.toMatchTree(span("r", group))
      expectTrace(traceOf(1, 2)).toMatchTree(span("r", group))
    }
    const one = span("a", { attributes: { x: 1 } })
    assert.match(
      failure(() => expectTrace(traceOf(1, 2)).toMatchTree(span("r", Tree.anyOrder(one, one)))),
      />~ └─ a +└─ a ·\n +x: 1 +x: 2$/
    )
  })

  it("looks at thousands of siblings in no time, and does not give up what is as expected for what is not", () => {
    const count = 5000
    const [many] = TraceTree.fromSpans([
      SpanRecord.make({ name: "r", spanId: "f".repeat(16) }),
      ...Array.from({ length: count }, (_, n) =>
        SpanRecord.make({ name: "a", spanId: (n + 1).toString(16).padStart(16, "0"), parentSpanId: "f".repeat(16) })
      )
    ])
    const a = span("a")
    const times = (n: number) => Array.from({ length: n }, () => a)
    expectTrace(many!).toMatchTree(span("r", times(count)))
    expectTrace(many!).toMatchTree(span("r", Tree.anyOrder(...times(count))))
    expectTrace(many!).toMatchTree(span("r", Tree.contains(...times(10))))
    expectTrace(many!).not.toMatchTree(span("r", times(count - 1)))
    expectTrace(many!).not.toMatchTree(span("r", times(count + 1)))
    expectTrace(many!).not.toMatchTree(span("r", Tree.anyOrder(...times(count + 1))))
  })

  it("takes numbers as they are equal, whole ones also as bigint, and tells 0 from -0 and NaN from none", () => {
    const [numbers] = TraceTree.fromSpans([
      SpanRecord.make({ name: "n", attributes: { whole: 7, big: 2n ** 60n, list: [1, 2n], nan: Number.NaN } })
    ])
    expectTrace(numbers!).toMatchTree(
      span("n", { attributes: { whole: 7n, big: 2n ** 60n, list: [1n, 2], nan: Number.NaN } })
    )
    expectTrace(numbers!).not.toMatchTree(span("n", { attributes: { whole: "7" } }))
  })

  it("holds a trace of 20,000 spans in a chain against a short expectation", () => {
    const ids = Array.from({ length: 20_000 }, (_, n) => (n + 1).toString(16).padStart(16, "0"))
    const [deep] = TraceTree.fromSpans(
      ids.map((spanId, n) => SpanRecord.make({ name: `s${n}`, spanId, parentSpanId: ids[n - 1] }))
    )
    expectTrace(deep!).toMatchTree(span("s0", Tree.contains()))
    assert.include(
      failure(() => expectTrace(deep!).toMatchTree(span("s0"))),
      "└─ s1 · … 19998 spans below"
    )
  })
})

const long = "a long text that goes on and on ".repeat(20)
const [longTrace] = TraceTree.fromSpans([SpanRecord.make({ name: "work", attributes: { text: `${long}and ends` } })])
const [wide] = TraceTree.fromSpans([
  SpanRecord.make({ name: "root", spanId: "00000000000000ff" }),
  ...Array.from({ length: 60 }, (_, n) =>
    SpanRecord.make({
      name: `child ${String(n).padStart(2, "0")}`,
      spanId: (n + 1).toString(16).padStart(16, "0"),
      parentSpanId: n % 2 === 0 ? "00000000000000ff" : n.toString(16).padStart(16, "0")
    })
  )
])

const failures: Record<string, () => unknown> = {
  "01 a child is missing": () =>
    expectTrace(trace).toMatchTree(
      pipeline("agency", [seen.fetcher, seen.good, seen.bad, handoff("critic"), seen.reporter])
    ),
  "02 a child that nobody expected": () =>
    expectTrace(trace).toMatchTree(pipeline("agency", [seen.good, seen.bad, seen.reporter])),
  "03 another name": () =>
    expectTrace(trace).toMatchTree(pipeline("agency", [handoff("downloader"), seen.good, seen.bad, seen.reporter])),
  "04 another order": () =>
    expectTrace(trace).toMatchTree(pipeline("agency", [seen.reporter, seen.fetcher, seen.good, seen.bad])),
  "05 an error that nobody expected": () =>
    expectTrace(trace).toMatchTree(
      pipeline("agency", [seen.fetcher, seen.good, handoff("vision", searches(2)), seen.reporter])
    ),
  "06 an error that did not come": () =>
    expectTrace(trace).toMatchTree(
      pipeline("agency", Tree.inOrder(handoff("fetcher", { status: { error: "no network" } })))
    ),
  "07 an attribute of another value": () =>
    expectTrace(trace).toMatchTree(
      pipeline("agency", [
        seen.fetcher,
        handoff("vision", { attributes: { photo: "c.jpg", size: 1024 }, children: searches(1) }),
        seen.bad,
        seen.reporter
      ])
    ),
  "08 an attribute that is not there": () =>
    expectTrace(trace).toMatchTree(pipeline("agency", Tree.inOrder(handoff("fetcher", { attributes: { cost: 1 } })))),
  "09 attributes and no others": () =>
    expectTrace(trace).toMatchTree(
      pipeline("agency", Tree.inOrder(handoff("fetcher", { attributes: Tree.only({ agent: "fetcher" }) })))
    ),
  "10 a rule that does not hold": () =>
    expectTrace(trace).toMatchTree(
      pipeline("agency", {
        attributes: { "pipeline.mode": Tree.where("any mode but sequential", (mode) => mode !== "sequential") },
        children: Tree.contains()
      })
    ),
  "11 a pattern that finds nothing": () =>
    expectTrace(trace).toMatchTree(
      pipeline("agency", { attributes: { "pipeline.mode": /^par/ }, children: Tree.contains() })
    ),
  "12 another kind": () =>
    expectTrace(trace).toMatchTree(pipeline("agency", { kind: "server", children: Tree.contains() })),
  "13 an event is missing": () =>
    expectTrace(trace).toMatchTree(
      pipeline("agency", Tree.inOrder(handoff("fetcher", { events: [{ name: "cached", attributes: { hits: 3 } }] })))
    ),
  "14 a link is missing": () =>
    expectTrace(trace).toMatchTree(
      pipeline("agency", Tree.contains(handoff("reporter", { links: ["fetcher", "vision"] })))
    ),
  "15 a link that nobody expected": () =>
    expectTrace(trace).toMatchTree(pipeline("agency", Tree.contains(handoff("reporter", { links: ["vision"] })))),
  "16 another root": () => expectTrace(trace).toMatchTree(pipeline("studio", Tree.contains())),
  "17 a whole branch is missing": () =>
    expectTrace(trace).toMatchTree(
      pipeline("agency", [
        seen.fetcher,
        seen.good,
        seen.bad,
        handoff("critic", [handoff("writer", [Tree.chat("gpt-5")])]),
        seen.reporter
      ])
    ),
  "18 a branch below a leaf": () =>
    expectTrace(trace).toMatchTree(
      pipeline("agency", [handoff("fetcher", [span("GET")]), handoff("vision"), seen.bad, seen.reporter])
    ),
  "19 a long value that differs at its end": () =>
    expectTrace(longTrace!).toMatchTree(span("work", { attributes: { text: `${long}and stops` } })),
  "20 one span of many": () =>
    expectTrace(wide!).toMatchTree(
      span(
        "root",
        Array.from({ length: 30 }, (_, n) =>
          span(`child ${String(n * 2).padStart(2, "0")}`, [
            span(`child ${n === 17 ? "??" : String(n * 2 + 1).padStart(2, "0")}`)
          ])
        )
      )
    ),
  "21 fewer in any order": () =>
    expectTrace(trace).toMatchTree(pipeline("agency", Tree.anyOrder(seen.reporter, seen.good, seen.fetcher))),
  "33 two others under other names": () =>
    expectTrace(trace).toMatchTree(
      pipeline("agency", [handoff("downloader"), handoff("eyes", Tree.contains()), seen.bad, seen.reporter])
    ),
  "34 many that nobody asked for": () => expectTrace(wide!).toMatchTree(span("root", Tree.contains(span("child 61")))),
  "35 long names that differ at their ends": () =>
    expectTrace(TraceTree.fromSpans([SpanRecord.make({ name: `${long}a` })])[0]!).toMatchTree(span(`${long}b`)),
  "36 attempts of nobody": () => expectTrace(trace).toHaveAttempts("nobody", 1),
  "37 a fan-in of nobody": () => expectTrace(trace).toFanIn("nobody", []),
  "22 a handoff that did not come": () => expectTrace(trace).toHaveHandoff("vision", "critic"),
  "23 a handoff that should not have come": () => expectTrace(trace).not.toHaveHandoff("agency", "vision"),
  "24 handoffs in another order": () => expectTrace(trace).toHaveHandoffs(["vision", "fetcher"]),
  "25 other tool calls": () => expectTrace(trace).toHaveToolCalls(["search", "fetch"]),
  "26 other attempts": () => expectTrace(trace).toHaveAttempts("vision", 1, 3),
  "27 not before": () => expectTrace(trace).toRunBefore("reporter", "vision"),
  "28 not beside": () => expectTrace(trace).toOverlap("fetcher", "critic"),
  "29 another fan-in": () => expectTrace(trace).toFanIn("reporter", ["fetcher"]),
  "30 no such span": () => expectTrace(trace).toMatchQuery({ name_equals: "agent_handoff.vision", min_depth: 3 }),
  "31 a law is broken": () =>
    expectTrace(
      TraceTree.fromSpans([SpanRecord.make({ name: "lost", parentSpanId: "00000000000000ff" })])[0]!
    ).toObeyLaws(),
  "32 it ran": () => expectTrace(trace).not.toHaveRun("reporter")
}

describe("a failure text", () => {
  it.each(Object.entries(failures))("tells of: %s", async (name, assertion) => {
    await expect(`${failure(assertion)}\n`).toMatchFileSnapshot(`golden/failures/${name.replaceAll(" ", "-")}.txt`)
  })
})

describe("the words of agents", () => {
  it("hold for what the agents did", () => {
    expectTrace(trace)
      .toHaveHandoff("agency", "vision")
      .toHaveHandoffs(["fetcher", "vision", "vision", "reporter"])
      .toHaveToolCalls(["search", "search", "search"])
      .toHaveRun("agency")
      .toHaveAttempts("vision", 1, 2)
      .toRunBefore("fetcher", "vision")
      .toRunBefore("vision", "reporter")
      .toOverlap("vision", "vision")
      .toFanIn("reporter", ["vision", "vision"])
      .toMatchQuery({ name_equals: "agent_handoff.vision", status_equals: "error" })
      .toObeyLaws()
      .not.toRunBefore("vision", "vision")
      .not.toOverlap("fetcher", "vision")
      .not.toHaveHandoff("vision", "reporter")
      .not.toHaveRun("critic")
  })
})

describe("matchers for vitest", () => {
  it("say the same", () => {
    expect(trace).toMatchTree(whole)
    expect(trace).not.toHaveRun("printer")
    assert.strictEqual(
      failure(() => expect(trace).toHaveHandoffs(["vision"])),
      failure(() => expectTrace(trace).toHaveHandoffs(["vision"]))
    )
  })
})
