import { assert, describe, it } from "@effect/vitest"
import * as SpanRecord from "../../src/SpanRecord.ts"
import { renderTree } from "../../src/testing/TreeSnapshot.ts"
import * as TraceTree from "../../src/TraceTree.ts"

const root = "00000000000000aa"

const render = (spans: ReadonlyArray<SpanRecord.SpanRecord>, options?: { readonly durations?: boolean }) =>
  renderTree(TraceTree.fromSpans(spans)[0]!, options)

const lines = (...texts: ReadonlyArray<string>): string => texts.join("\n")

describe("renderTree", () => {
  it("leaves out what every handoff has, and tells what differs", () => {
    const handoff = (fields: SpanRecord.Attributes) =>
      SpanRecord.make({
        name: "agent_handoff.planner",
        spanId: "00000000000000bb",
        parentSpanId: root,
        attributes: {
          agent: "planner",
          "gen_ai.agent.name": "planner",
          "gen_ai.operation.name": "invoke_agent",
          handoff_type: "planner",
          "function.name": "planner",
          "handspan.agent.kind": "service",
          "handspan.handoff.from": "trip",
          "handspan.handoff.to": "planner",
          "handspan.handoff.attempts": 1,
          ...fields
        }
      })
    const pipeline = SpanRecord.make({
      name: "pipeline.trip",
      spanId: root,
      attributes: {
        "gen_ai.workflow.name": "trip",
        "gen_ai.operation.name": "invoke_workflow",
        "pipeline.outcome": "completed"
      }
    })
    assert.strictEqual(render([pipeline, handoff({})]), lines("pipeline.trip ·", "└─ agent_handoff.planner ·"))
    assert.strictEqual(
      render([
        pipeline,
        handoff({
          "handspan.handoff.from": "another",
          "handspan.handoff.attempts": 3,
          handoff_type: "planning",
          city: "Rome"
        })
      ]),
      lines(
        "pipeline.trip ·",
        "└─ agent_handoff.planner ·",
        "",
        "agent_handoff.planner",
        '   city: "Rome"',
        '   handoff_type: "planning"',
        "   handspan.handoff.attempts: 3",
        '   handspan.handoff.from: "another"'
      )
    )
  })

  it("tells how spans ended, what they link to, and their events, and nothing that a terminal could obey", () => {
    const link = (spanId: string) => ({
      traceId: "1".repeat(32),
      spanId,
      flags: 1,
      traceState: "",
      attributes: {},
      droppedAttributesCount: 0
    })
    assert.strictEqual(
      render([
        SpanRecord.make({
          name: "red\u001b[31m",
          spanId: root,
          endTimeUnixNano: 1_500_000_000n,
          status: { code: "error", message: "boom\n" },
          attributes: { list: ["a", 1n, true], "effect.x": 1.5 },
          events: [{ name: "tick", timeUnixNano: 1n, attributes: { n: 1, at: "x" }, droppedAttributesCount: 0 }],
          links: [link(root), link("00000000000000ff")]
        })
      ]),
      lines(
        "red\\u001b[31m ✗ ⇠ red\\u001b[31m, a span elsewhere",
        "",
        "red\\u001b[31m",
        '   error: "boom\\n"',
        "   effect.x: 1.5",
        '   list: ["a", 1n, true]',
        '   • tick n=1 at="x"'
      )
    )
  })

  it("writes durations where it is asked to", () => {
    const span = SpanRecord.make({ name: "work", endTimeUnixNano: 90_000_000_000n, status: { code: "ok" } })
    assert.strictEqual(render([span], { durations: true }), "work ✓ 1 m 30 s")
  })

  it("grows with the spans of a trace, and not with its depth", () => {
    const ids = Array.from({ length: 10_000 }, (_, n) => (n + 1).toString(16).padStart(16, "0"))
    const text = render(ids.map((spanId, n) => SpanRecord.make({ name: "s", spanId, parentSpanId: ids[n - 1] })))
    assert.isBelow(text.length, 10_000 * 320)
  })
})
