import { describe, expect, it } from "vitest"
import * as TreeText from "../../src/analysis/TreeText.ts"
import { Key } from "../../src/Conventions.ts"
import type { SpanRecord } from "../../src/SpanRecord.ts"
import * as TraceTree from "../../src/TraceTree.ts"
import * as Traces from "./traces.ts"

const render = (spans: ReadonlyArray<SpanRecord>, options?: TreeText.Options): string => {
  const [trace] = TraceTree.fromSpans(spans)
  return trace === undefined ? expect.fail("expected a trace") : `\n${TreeText.render(trace, options)}`
}

const range = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, n) => n)

describe("render", () => {
  it("shows a run with retries, a failure, an interruption and a fan-in", () => {
    expect(render(Traces.photoAgency)).toMatchInlineSnapshot(`
      "
      trace 4bf92f3577b34da6a3ce929d0e0e4736 · 10 spans · 1 error
      pipeline.photo_agency              1.24 s ✓ parallel
      ├─ agent_handoff.photo_fetcher    12.1 ms ✓ service
      │  └─ execute_tool read_folder    11.6 ms ✓
      ├─ agent_handoff.vision_analyzer   804 ms ✓ llm · 3 attempts · round 2
      │  │  ↻ attempt 1: RateLimited: 429 Too Many Requests · again after 100 ms
      │  │  ↻ attempt 2: RateLimited: 429 Too Many Requests · again after 200 ms
      │  └─ chat gpt-4o                  303 ms ✓ openai
      ├─ agent_handoff.trend_analyst     310 ms ✓ llm
      │  └─ chat gpt-4o                  309 ms ✓ openai
      ├─ agent_handoff.risk_analyst      203 ms ✗ llm · ValidationError: risk score is missing
      ├─ agent_handoff.style_analyst     310 ms ⏹ llm · interrupted
      └─ agent_handoff.reporter          116 ms ✓ tool · stopped: enough for a report · ⇠ vision_analyzer, trend_analyst, risk_analyst
            • draft.saved  +2.70 ms  path="report draft.md" bytes=1204"
    `)
  })

  it("names the agent of a handoff whose span is called otherwise", () => {
    const [pipeline, handoff] = Traces.photoAgency
    const spans = [pipeline!, { ...handoff!, name: "agent.process" }]
    expect(render(spans)).toMatchInlineSnapshot(`
      "
      trace 4bf92f3577b34da6a3ce929d0e0e4736 · 2 spans
      pipeline.photo_agency   1.24 s ✓ parallel
      └─ agent.process       12.1 ms ✓ photo_fetcher · service"
    `)
  })

  it("paints for a terminal", () => {
    expect(render(Traces.photoAgency.slice(0, 4), { colors: true }).replaceAll("\u001b[", "^")).toMatchInlineSnapshot(`
      "
      ^2mtrace 4bf92f3577b34da6a3ce929d0e0e4736^22m^2m · ^22m^2m4 spans^22m
      ^2mpipeline.^22m^1mphoto_agency^22m              1.24 s ^32m✓^39m ^2mparallel^22m
      ^2m├─ ^22m^2magent_handoff.^22m^1mphoto_fetcher^22m    12.1 ms ^32m✓^39m ^2mservice^22m
      ^2m│  └─ ^22m^1mexecute_tool read_folder^22m    11.6 ms ^32m✓^39m
      ^2m└─ ^22m^2magent_handoff.^22m^1mvision_analyzer^22m   804 ms ^32m✓^39m ^2mllm^22m^2m · ^22m^2m3 attempts^22m^2m · ^22m^2mround 2^22m
      ^2m      ^22m^33m↻ attempt 1: RateLimited: 429 Too Many Requests · again after 100 ms^39m
      ^2m      ^22m^33m↻ attempt 2: RateLimited: 429 Too Many Requests · again after 200 ms^39m"
    `)
  })

  it("folds similar siblings, but not those in trouble among healthy ones", () => {
    const spans = range(40).flatMap((n) => [
      Traces.handoff("classifier", 100 + n, 1, [n * 1000, n * 1500 + 4000], "llm", {
        status: n === 20 ? { code: "error", message: "" } : { code: "ok" }
      }),
      Traces.chat("gpt-4o-mini", 200 + n, 100 + n, [n * 1000, n * 1000 + 3000])
    ])
    const joiner = Traces.handoff("joiner", 2, 1, [70_000, 80_000], "tool", {
      links: [
        ...range(40).map((n) => Traces.link(100 + n)),
        Traces.link(999),
        { ...Traces.link(1), traceId: "f".repeat(32) }
      ]
    })
    expect(render([Traces.pipeline("inbox", 1, undefined, [0, 90_000], "parallel"), ...spans, joiner], { similar: 2 }))
      .toMatchInlineSnapshot(`
      "
      trace 4bf92f3577b34da6a3ce929d0e0e4736 · 82 spans · 1 error
      pipeline.inbox               90.0 ms ✓ parallel
      ├─ agent_handoff.classifier  4.00 ms ✓ llm
      │  └─ chat gpt-4o-mini       3.00 ms ✓ openai
      ├─ agent_handoff.classifier  4.50 ms ✓ llm
      │  └─ chat gpt-4o-mini       3.00 ms ✓ openai
      ├─ … 37 more agent_handoff.classifier  5.00 ms to 23.5 ms · ✓ 37 · 37 spans inside
      ├─ agent_handoff.classifier  14.0 ms ✗ llm · failed
      │  └─ chat gpt-4o-mini       3.00 ms ✓ openai
      └─ agent_handoff.joiner      10.0 ms ✓ tool · ⇠ classifier ×40, span 00000000000003e7, trace ffffffffffffffffffffffffffffffff"
    `)
  })

  it("says a route or a round once, where it was decided", () => {
    const attributes = { [Key.routeDecision]: "invoices" }
    expect(
      render([
        Traces.pipeline("mail", 1, undefined, [0, 9000], "routed", attributes),
        Traces.handoff("accountant", 2, 1, [1000, 9000], "llm", { attributes }),
        Traces.pipeline("review", 3, 2, [2000, 8000], "looped", attributes),
        Traces.handoff("critic", 4, 3, [2000, 4000], "llm", { attributes: { ...attributes, [Key.loopIteration]: 1 } }),
        Traces.handoff("critic", 5, 3, [4000, 8000], "llm", { attributes: { ...attributes, [Key.loopIteration]: 2 } }),
        Traces.handoff("reader", 6, 5, [5000, 7000], "tool", { attributes: { ...attributes, [Key.loopIteration]: 2 } })
      ])
    ).toMatchInlineSnapshot(`
      "
      trace 4bf92f3577b34da6a3ce929d0e0e4736 · 6 spans
      pipeline.mail                     9.00 ms ✓ routed · → invoices
      └─ agent_handoff.accountant       8.00 ms ✓ llm
         └─ pipeline.review             6.00 ms ✓ looped
            ├─ agent_handoff.critic     2.00 ms ✓ llm · round 1
            └─ agent_handoff.critic     4.00 ms ✓ llm · round 2
               └─ agent_handoff.reader  2.00 ms ✓ tool"
    `)
  })

  it("shows what is odd about a trace", () => {
    expect(
      render(
        [
          Traces.span("remote", 1, 99, [0, 10], { parentIsRemote: true, kind: "server" }),
          Traces.span("orphan", 2, 98, [5, 10], { status: { code: "unset" } }),
          Traces.span("again", 2, 1, [6, 10]),
          Traces.span("hen", 3, 4, [7, 10]),
          Traces.span("egg", 4, 3, [8, 10])
        ],
        { note: "incomplete" }
      )
    ).toMatchInlineSnapshot(`
      "
      trace 4bf92f3577b34da6a3ce929d0e0e4736 · 5 spans · incomplete
      remote    10.0 µs ✓ under 0000000000000063 of another process
      └─ again  4.00 µs ✓
      orphan    5.00 µs · under 0000000000000062
      hen       3.00 µs ✓ under 0000000000000004
      └─ egg    2.00 µs ✓
      ! 2 spans have the id 0000000000000002
      ! 2 spans stand under each other in a circle, cut above hen"
    `)
  })

  it("shows hostile and wide names without harm", () => {
    expect(
      render([
        Traces.span("root \u001b]0;title\u0007", 1, undefined, [0, 10]),
        Traces.handoff("翻訳者 🎉", 2, 1, [1, 2], "llm\n", {
          status: { code: "error", message: "\u001b[2Jgone\nsecond line" },
          attributes: { [Key.errorType]: "_OTHER" },
          events: [Traces.event("log\r", 2, { "k\u202e": "v\n" })]
        }),
        Traces.span("x".repeat(70), 3, 1, [3, 4], { status: { code: "error", message: "y".repeat(300) } })
      ])
    ).toMatchInlineSnapshot(`
      "
      trace 4bf92f3577b34da6a3ce929d0e0e4736 · 3 spans · 2 errors
      root \\u001b]0;title\\u0007                                     10.0 µs ✓
      ├─ agent_handoff.翻訳者 🎉                                    1.00 µs ✗ llm\\n · \\u001b[2Jgone
      │     • log\\r  +1.00 µs  k\\u202e="v\\n"
      └─ xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 1.00 µs ✗ yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…"
    `)
  })

  it("tells of a log what matters to a reader", () => {
    const log = (message: string, level: string) =>
      Traces.event(message, 1, { user: "ada", "effect.fiberId": 7, "effect.logLevel": level })
    expect(
      render([Traces.span("chat", 1, undefined, [0, 10], { events: [log("asked", "INFO"), log("slow", "WARN")] })])
    ).toMatchInlineSnapshot(`
      "
      trace 4bf92f3577b34da6a3ce929d0e0e4736 · 1 span
      chat  10.0 µs ✓
         • asked  +1.00 µs  user=ada
         • slow  +1.00 µs  user=ada effect.logLevel=WARN"
    `)
  })

  it("draws 200,000 siblings of different names", () => {
    const siblings = range(200_000).map((n) => Traces.span(`step ${n}`, n + 2, 1, [0, 1]))
    const lines = render([Traces.span("root", 1, undefined, [0, 1]), ...siblings]).split("\n")
    expect([lines.length, lines.at(-1)]).toEqual([200_003, "└─ step 199999  1.00 µs ✓"])
  })

  it("bounds events and depth", () => {
    const events = range(9).map((n) => Traces.event(`tick ${n}`, n))
    expect(
      render([Traces.span("clock", 1, undefined, [0, 10], { events })])
        .split("\n")
        .slice(2)
    ).toMatchInlineSnapshot(`
      [
        "clock  10.0 µs ✓",
        "   • tick 0  +0 ms",
        "   • tick 1  +1.00 µs",
        "   • tick 2  +2.00 µs",
        "   • tick 3  +3.00 µs",
        "   • tick 4  +4.00 µs",
        "   … 4 more events",
      ]
    `)
    const deep = range(10_000).map((n) => Traces.span("step", n + 1, n === 0 ? undefined : n, [n, 10_000]))
    expect(render(deep).split("\n").at(-1)?.trim()).toBe("└─ … 9967 spans deeper")
  })
})
