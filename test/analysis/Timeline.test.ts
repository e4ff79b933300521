import { describe, expect, it } from "vitest"
import * as Printable from "../../src/analysis/Printable.ts"
import * as Timeline from "../../src/analysis/Timeline.ts"
import type { SpanRecord } from "../../src/SpanRecord.ts"
import * as TraceTree from "../../src/TraceTree.ts"
import * as Traces from "./traces.ts"

const render = (spans: ReadonlyArray<SpanRecord>, options?: Parameters<typeof Timeline.render>[1]): string => {
  const [trace] = TraceTree.fromSpans(spans)
  return trace === undefined ? expect.fail("expected a trace") : `\n${Timeline.render(trace, options)}`
}

describe("render", () => {
  it("draws when each span ran", () => {
    expect(render(Traces.photoAgency)).toMatchInlineSnapshot(`
      "
      trace 4bf92f3577b34da6a3ce929d0e0e4736
                                       ╷0 ms      ╷311 ms     ╷622 ms    ╷933 ms
      pipeline.photo_agency            ██████████████████████████████████████████████     +0 ms   1.24 s ✓
        agent_handoff.photo_fetcher    ▌          ┊           ┊          ┊              +210 µs  12.1 ms ✓
          execute_tool read_folder     ▌          ┊           ┊          ┊              +300 µs  11.6 ms ✓
        agent_handoff.vision_analyzer  ████◆██████◆██████████████████▌   ┊             +12.5 ms   804 ms ✓
          chat gpt-4o                  ┊          ┊      ▐███████████▌   ┊              +513 ms   303 ms ✓
        agent_handoff.trend_analyst    ┊          ┊           ┊      ████████████       +817 ms   310 ms ✓
          chat gpt-4o                  ┊          ┊           ┊      ████████████       +817 ms   309 ms ✓
        agent_handoff.risk_analyst     ┊          ┊           ┊      ████████           +817 ms   203 ms ✗
        agent_handoff.style_analyst    ┊          ┊           ┊      ████████████       +817 ms   310 ms ⏹
        agent_handoff.reporter         ┊          ┊           ┊          ┊      ◆████   +1.13 s   116 ms ✓"
    `)
  })

  it("fits its width, down to a bar of 20 columns", () => {
    expect(render(Traces.photoAgency.slice(0, 6), { width: 70 })).toMatchInlineSnapshot(`
      "
      trace 4bf92f3577b34da6a3ce929d0e0e4736
                                    ╷0 ms     ╷622 ms
      pipeline.photo_agency         ████████████████████     +0 ms   1.24 s ✓
        agent_handoff.photo_fetch…  ▌         ┊            +210 µs  12.1 ms ✓
          execute_tool read_folder  ▌         ┊            +300 µs  11.6 ms ✓
        agent_handoff.vision_anal…  █◆███◆███████▌        +12.5 ms   804 ms ✓
          chat gpt-4o               ┊       █████▌         +513 ms   303 ms ✓
        agent_handoff.trend_analy…  ┊         ┊  █████▌    +817 ms   310 ms ✓"
    `)
    for (const width of [74, 100, 180]) {
      const lines = render(Traces.photoAgency, { width }).split("\n").slice(3)
      expect(new Set(lines.map(Printable.width))).toEqual(new Set([width]))
    }
  })

  it("paints by outcome", () => {
    expect(render(Traces.photoAgency.slice(7, 9), { width: 40, colors: true }).replaceAll("\u001b[", "^"))
      .toMatchInlineSnapshot(`
        "
        ^2mtrace 4bf92f3577b34da6a3ce929d0e0e4736^22m
        ^2m                  ╷0 ms     ╷155 ms^22m
        agent_handoff.r…  ^31m█████████████▌^39m        ^2m  +0 ms^22m  203 ms ^31m✗^39m
        agent_handoff.s…  ^33m████████████████████^39m  ^2m+100 µs^22m  310 ms ^33m⏹^39m"
      `)
  })

  it("draws traces of no time, hostile names and great depth", () => {
    expect(render([Traces.span("instant\u001b[2J", 1, undefined, [5, 5])], { width: 50 })).toMatchInlineSnapshot(`
      "
      trace 4bf92f3577b34da6a3ce929d0e0e4736
                        ╷0 ms     ╷0 ms
      instant\\u001b[2J  ▌         ┊           +0 ms  0 ms ✓"
    `)
    const deep = Array.from({ length: 10_000 }, (_, n) =>
      Traces.span("step", n + 1, n === 0 ? undefined : n, [n, 10_000])
    )
    expect(render(deep).split("\n").length).toBe(10_003)
  })
})
