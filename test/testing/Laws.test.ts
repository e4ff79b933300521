import { assert, describe, it } from "@effect/vitest"
import * as SpanRecord from "../../src/SpanRecord.ts"
import * as Laws from "../../src/testing/Laws.ts"
import * as TraceTree from "../../src/TraceTree.ts"

const root = "00000000000000aa"
const child = "00000000000000bb"
const otherTrace = "2".repeat(32)

const span = (spanId: string, fields: Partial<SpanRecord.SpanRecord> = {}) =>
  SpanRecord.make({ name: `span ${spanId.at(-1)}`, spanId, startTimeUnixNano: 10n, endTimeUnixNano: 20n, ...fields })

const handoff = (spanId: string, agent: string, from: string, fields: Partial<SpanRecord.SpanRecord> = {}) =>
  span(spanId, {
    name: `agent_handoff.${agent}`,
    attributes: { agent, "handspan.handoff.from": from },
    ...fields
  })

const pipeline = span(root, { name: "pipeline.agency", attributes: { "gen_ai.workflow.name": "agency" } })

const messages = (spans: ReadonlyArray<SpanRecord.SpanRecord>, facts: Laws.Facts = {}) =>
  Laws.violations(TraceTree.fromSpans(spans), facts).map(({ message }) => message)

describe("violations", () => {
  it.each<[string, ReadonlyArray<SpanRecord.SpanRecord>]>([
    ["a root alone", [span(root)]],
    ["a child within its parent's time", [span(root), span(child, { parentSpanId: root })]],
    [
      "a child of another process, whenever it ran",
      [span(root), span(child, { parentSpanId: root, parentIsRemote: true, endTimeUnixNano: 99n })]
    ],
    ["a span whose parent is in another process", [span(child, { parentSpanId: root, parentIsRemote: true })]],
    ["a handoff of the program itself", [handoff(root, "a", "root")]],
    ["a handoff of a pipeline", [pipeline, handoff(child, "a", "agency", { parentSpanId: root })]],
    [
      "a handoff further inside of its pipeline",
      [
        pipeline,
        span(child, { parentSpanId: root }),
        handoff("00000000000000cc", "a", "agency", { parentSpanId: child })
      ]
    ],
    [
      "a handoff on the other side of a boundary in one process",
      [
        handoff(root, "caller", "root"),
        span(child, { parentSpanId: root, parentIsRemote: true }),
        handoff("00000000000000cc", "a", "root", { parentSpanId: child })
      ]
    ],
    [
      "a handoff of somebody in another process",
      [handoff(child, "a", "agency", { parentSpanId: root, parentIsRemote: true })]
    ]
  ])("finds nothing wrong with %s", (_, spans) => {
    assert.deepStrictEqual(messages(spans), [])
  })

  it("tells of spans that are open", () => {
    assert.deepStrictEqual(messages([], { open: ["work"] }), [
      'Span "work" is still open: end it before the test ends, or allow "openSpans"'
    ])
  })

  it("tells of orphans", () => {
    assert.deepStrictEqual(messages([span(child, { parentSpanId: root })]), [
      `Span "span b" is an orphan: its parent ${root} is not in trace ${"0".repeat(31)}1; record the parent with the same layer, or allow "orphans"`
    ])
  })

  it("tells of a span in two traces", () => {
    assert.deepStrictEqual(messages([span(root), span(root, { traceId: otherTrace })]), [
      `Span ${root}, "span a", is in 2 traces, ${"0".repeat(31)}1 and ${otherTrace}: a span has one trace, or allow "sharedSpans"`
    ])
  })

  it("tells of ids that are none", () => {
    assert.deepStrictEqual(messages([span("0".repeat(16)), span("noop", { traceId: "noop", name: "off" })]), [
      `Span "span 0" has an id that is none (trace ${"0".repeat(31)}1, span ${"0".repeat(16)}): keep tracing on around it, or allow "noopIds"`,
      'Span "off" has an id that is none (trace noop, span noop): keep tracing on around it, or allow "noopIds"'
    ])
  })

  it("tells of a child that began before its parent, or ended after it, unless nobody waits for it", () => {
    const early = span(child, { parentSpanId: root, startTimeUnixNano: 9n })
    const late = span("00000000000000cc", { parentSpanId: root, endTimeUnixNano: 21n })
    assert.deepStrictEqual(messages([span(root), early, late]), [
      'Span "span b" began before its parent "span a": wait for it inside of its parent, or allow "lateChildren"',
      'Span "span c" ended after its parent "span a": wait for it inside of its parent, or allow "lateChildren"'
    ])
    const asked: Array<unknown> = []
    const isDetached = (...ids: ReadonlyArray<string>) => asked.push(ids) > 0
    assert.deepStrictEqual(messages([span(root), late], { isDetached }), [])
    assert.deepStrictEqual(asked, [["00000000000000cc", root]])
  })

  it("tells of a handoff that does not stand under whom it came from", () => {
    assert.deepStrictEqual(
      messages([pipeline, handoff(child, "a", "root", { parentSpanId: root }), handoff("00000000000000cc", "b", "a")]),
      [
        'Handoff "agent_handoff.a" says that it came from "root", and stands under "agency": hand off inside of the pipeline\'s own Effect, or allow "strayHandoffs"',
        'Handoff "agent_handoff.b" says that it came from "a", and stands under "root": hand off inside of the pipeline\'s own Effect, or allow "strayHandoffs"'
      ]
    )
  })
})
