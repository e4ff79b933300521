import { describe, expect, it } from "vitest"
import * as Summary from "../../src/analysis/Summary.ts"
import { Operation } from "../../src/Conventions.ts"
import type { SpanRecord } from "../../src/SpanRecord.ts"
import * as TraceTree from "../../src/TraceTree.ts"
import * as Traces from "./traces.ts"

const make = (spans: ReadonlyArray<SpanRecord>): Summary.Summary => Summary.make(TraceTree.fromSpans(spans))

describe("make", () => {
  it("sums up each component", () => {
    const calls = [10, 40, 20, 30].map((millis, n) =>
      Traces.chat("m", 10 + n, 2, [n * 100_000, n * 100_000 + millis * 1000])
    )
    const { rows } = make([Traces.handoff("a", 2, undefined, [0, 400_000], "llm"), ...calls])
    expect(rows).toEqual([
      {
        component: "agent_handoff.a",
        measures: "llm agent",
        count: 1,
        errors: 0,
        totalNanos: 400_000_000n,
        selfNanos: 300_000_000n,
        meanNanos: 400_000_000n,
        p50Nanos: 400_000_000n,
        p95Nanos: 400_000_000n,
        maxNanos: 400_000_000n
      },
      {
        component: "chat m",
        measures: "model call",
        count: 4,
        errors: 0,
        totalNanos: 100_000_000n,
        selfNanos: 100_000_000n,
        meanNanos: 25_000_000n,
        p50Nanos: 20_000_000n,
        p95Nanos: 40_000_000n,
        maxNanos: 40_000_000n
      }
    ])
  })

  it("divides the time between workers so that it adds up, however much runs at once", () => {
    const summary = make([
      Traces.pipeline("p", 1, undefined, [0, 100], "parallel"),
      Traces.handoff("a", 2, 1, [10, 60], "llm"),
      Traces.chat("m", 3, 2, [20, 50]),
      Traces.handoff("b", 4, 1, [10, 90], "tool"),
      Traces.tool("t", 5, 4, [40, 70]),
      Traces.handoff("llm that shows no call", 6, 1, [90, 95], "llm")
    ])
    expect(summary.workers).toEqual({ model: 35_000n, tool: 20_000n, agent: 30_000n, framework: 15_000n })
    expect(summary.totalNanos).toBe(100_000n)
  })

  it("counts spans that outlive the root, and adds up several traces", () => {
    const outlived = [Traces.span("root", 1, undefined, [0, 50]), Traces.span("late", 2, 1, [40, 80])]
    const other = Traces.span("root", 1, undefined, [0, 20], { traceId: "f".repeat(32) })
    const summary = make([...outlived, other])
    expect([summary.traces, summary.totalNanos, summary.rows.map((row) => [row.component, row.count])]).toEqual([
      2,
      100_000n,
      [
        ["root", 2],
        ["late", 1]
      ]
    ])
  })

  it("tells what each sort of span measures", () => {
    const rows = make([
      Traces.span("GET", 1, undefined, [0, 9], { kind: "client" }),
      Traces.span("embed", 2, 1, [0, 8], { attributes: { "gen_ai.operation.name": "embeddings" } }),
      Traces.span("older", 3, 1, [0, 7], { attributes: { "gen_ai.operation.name": Operation.invokeAgent } })
    ]).rows
    expect(rows.map((row) => row.measures)).toEqual(["client", "model call", "internal"])
  })

  it("sums up nothing", () => {
    expect(make([])).toEqual({
      traces: 0,
      totalNanos: 0n,
      rows: [],
      workers: { model: 0n, tool: 0n, agent: 0n, framework: 0n }
    })
  })
})

describe("render", () => {
  it("writes a table", () => {
    expect(`\n${Summary.render(make(Traces.photoAgency))}`).toMatchInlineSnapshot(`
      "
      Component                      Measures           Count  Duration  % of total     Self     Mean      p50      p95      Max  Failed
      pipeline.photo_agency          parallel pipeline      1    1.24 s       100 %  1.18 ms   1.24 s   1.24 s   1.24 s   1.24 s
      agent_handoff.vision_analyzer  llm agent              1    804 ms      64.7 %   501 ms   804 ms   804 ms   804 ms   804 ms
      chat gpt-4o                    model call             2    612 ms      49.2 %   612 ms   306 ms   303 ms   309 ms   309 ms
      agent_handoff.trend_analyst    llm agent              1    310 ms      24.9 %  1.40 ms   310 ms   310 ms   310 ms   310 ms
      agent_handoff.style_analyst    llm agent              1    310 ms      24.9 %   310 ms   310 ms   310 ms   310 ms   310 ms
      agent_handoff.risk_analyst     llm agent              1    203 ms      16.3 %   203 ms   203 ms   203 ms   203 ms   203 ms       1
      agent_handoff.reporter         tool agent             1    116 ms       9.3 %   116 ms   116 ms   116 ms   116 ms   116 ms
      agent_handoff.photo_fetcher    service agent          1   12.1 ms       1.0 %   520 µs  12.1 ms  12.1 ms  12.1 ms  12.1 ms
      execute_tool read_folder       tool call              1   11.6 ms       0.9 %  11.6 ms  11.6 ms  11.6 ms  11.6 ms  11.6 ms
      1.24 s = model 49.3 % + tool 10.2 % + agent 40.3 % + framework <0.1 %"
    `)
  })

  it("shows how a model dominates, as in GoalGen's example", () => {
    const spans = [
      Traces.pipeline("orchestrator", 1, undefined, [0, 25_949_000]),
      Traces.handoff("supervisor", 2, 1, [20_000, 25_947_000], "llm"),
      Traces.chat("llama3", 3, 2, [430_000, 25_943_000])
    ]
    expect(`\n${Summary.render(make(spans))}`).toMatchInlineSnapshot(`
      "
      Component                 Measures             Count  Duration  % of total     Self    Mean     p50     p95     Max
      pipeline.orchestrator     sequential pipeline      1    25.9 s       100 %  22.0 ms  25.9 s  25.9 s  25.9 s  25.9 s
      agent_handoff.supervisor  llm agent                1    25.9 s      99.9 %   414 ms  25.9 s  25.9 s  25.9 s  25.9 s
      chat llama3               model call               1    25.5 s      98.3 %   25.5 s  25.5 s  25.5 s  25.5 s  25.5 s
      25.9 s = model 98.3 % + agent 1.6 % + framework <0.1 %"
    `)
  })

  it("writes 200,000 components", () => {
    const spans = Array.from({ length: 200_000 }, (_, n) => Traces.span(`step ${n}`, n + 1, undefined, [0, 1]))
    expect(Summary.render(make(spans)).split("\n").length).toBe(200_002)
  })

  it("writes several traces, long and hostile names, and nothing at all", () => {
    const names = ["\u001b[31m", "n".repeat(60), "翻訳"]
    const spans = names.map((name, n) =>
      Traces.span(name, 1, undefined, [0, 10 * (n + 1)], { traceId: String(n).repeat(32) })
    )
    expect(`\n${Summary.render(make(spans))}`).toMatchInlineSnapshot(`
      "
      Component                                         Measures  Count  Duration  % of total     Self     Mean      p50      p95      Max
      翻訳                                              internal      1   30.0 µs      50.0 %  30.0 µs  30.0 µs  30.0 µs  30.0 µs  30.0 µs
      nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…  internal      1   20.0 µs      33.3 %  20.0 µs  20.0 µs  20.0 µs  20.0 µs  20.0 µs
      \\u001b[31m                                        internal      1   10.0 µs      16.7 %  10.0 µs  10.0 µs  10.0 µs  10.0 µs  10.0 µs
      3 traces · 60.0 µs = framework 100 %"
    `)
    expect(`\n${Summary.render(make([]))}`).toMatchInlineSnapshot(`
      "
      Component  Measures  Count  Duration  % of total  Self  Mean  p50  p95  Max
      0 traces · 0 ms = framework -"
    `)
  })
})
