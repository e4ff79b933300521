import { assert, describe, it } from "@effect/vitest"
import * as Handoffs from "../../src/analysis/Handoffs.ts"
import * as SpanRecord from "../../src/SpanRecord.ts"
import * as TraceTree from "../../src/TraceTree.ts"

const id = (n: number): string => n.toString(16).padStart(16, "0")

/** A span from one millisecond to another. */
const span = (
  n: number,
  name: string,
  [from, to]: readonly [number, number],
  fields: Partial<SpanRecord.SpanRecord> = {}
) =>
  SpanRecord.make({
    name,
    spanId: id(n),
    parentSpanId: n === 1 ? undefined : id(1),
    startTimeUnixNano: BigInt(from) * 1_000_000n,
    endTimeUnixNano: BigInt(to) * 1_000_000n,
    ...fields
  })

const handoff = (n: number, agent: string, times: readonly [number, number], attributes: SpanRecord.Attributes = {}) =>
  span(n, `agent_handoff.${agent}`, times, {
    attributes: { agent, "handspan.handoff.from": "agency", "handspan.handoff.to": agent, ...attributes }
  })

const traceOf = (...spans: ReadonlyArray<SpanRecord.SpanRecord>) => TraceTree.fromSpans(spans)[0]!

const link = (spanId: string): SpanRecord.SpanLink => ({
  traceId: SpanRecord.make({ name: "any" }).traceId,
  spanId,
  flags: 1,
  traceState: "",
  attributes: {},
  droppedAttributesCount: 0
})

const trace = traceOf(
  span(1, "pipeline.agency", [0, 100]),
  handoff(2, "fetcher", [0, 10]),
  handoff(3, "vision", [10, 30], { "handspan.handoff.attempts": 2 }),
  handoff(4, "vision", [20, 40], { "handspan.handoff.attempts": 1 }),
  span(5, "execute_tool search", [12, 13], { parentSpanId: id(3), attributes: { "gen_ai.tool.name": "web search" } }),
  span(6, "execute_tool fetch", [22, 23], { parentSpanId: id(4) }),
  { ...handoff(7, "reporter", [40, 50]), links: [link(id(3)), link(id(4)), link(id(5)), link(id(99))] }
)

describe("handoffs", () => {
  it("gives who handed off to whom, in order", () => {
    assert.deepStrictEqual(
      Handoffs.handoffs(trace).map(({ from, to }) => `${from} ${to}`),
      ["agency fetcher", "agency vision", "agency vision", "agency reporter"]
    )
  })

  it("takes handoffs of elsewhere, which say less", () => {
    const [only] = Handoffs.handoffs(traceOf(span(1, "agent_handoff.x", [0, 1], { attributes: { agent: "x" } })))
    assert.deepStrictEqual([only?.from, only?.to], ["root", "x"])
  })
})

describe("handedOff", () => {
  it("holds for a handoff that there was, and no other", () => {
    assert.deepStrictEqual(
      [
        ["agency", "vision"],
        ["vision", "agency"],
        ["fetcher", "vision"]
      ].map(([from, to]) => Handoffs.handedOff(trace, from!, to!)),
      [true, false, false]
    )
  })
})

describe("toolCalls", () => {
  it("gives the tools by their names, in order", () => {
    assert.deepStrictEqual(Handoffs.toolCalls(trace), ["web search", "fetch"])
  })
})

describe("attempts", () => {
  it("gives those of each handoff, and one where none are told", () => {
    assert.deepStrictEqual(Handoffs.attempts(trace, "vision"), [2, 1])
    assert.deepStrictEqual(Handoffs.attempts(trace, "fetcher"), [1])
    assert.deepStrictEqual(Handoffs.attempts(trace, "critic"), [])
  })
})

describe("never", () => {
  it("knows agents, pipelines, tools and spans by their names", () => {
    assert.deepStrictEqual(
      ["vision", "agency", "search", "execute_tool fetch", "visio", "critic"].map((name) =>
        Handoffs.never(trace, name)
      ),
      [false, false, false, false, true, true]
    )
  })
})

describe("before", () => {
  it("asks that all of one had ended when the first of the other began", () => {
    assert.deepStrictEqual(
      [
        ["fetcher", "vision"],
        ["vision", "reporter"],
        ["vision", "fetcher"],
        ["vision", "vision"],
        ["agency", "reporter"],
        ["fetcher", "critic"],
        ["critic", "fetcher"]
      ].map(([first, second]) => Handoffs.before(trace, first!, second!)),
      [true, true, false, false, false, false, false]
    )
  })

  it("goes by the place in the trace where no time passes, and never holds between a span and what is in it", () => {
    const still = traceOf(
      span(1, "pipeline.agency", [0, 0]),
      handoff(2, "a", [0, 0]),
      handoff(3, "b", [0, 0]),
      span(4, "inside", [0, 0], { parentSpanId: id(2) })
    )
    assert.deepStrictEqual(
      [
        ["a", "b"],
        ["b", "a"],
        ["agency", "a"],
        ["a", "inside"],
        ["inside", "b"]
      ].map(([first, second]) => Handoffs.before(still, first!, second!)),
      [true, false, false, false, true]
    )
  })
})

describe("overlaps", () => {
  it("asks for one moment in which both were at work", () => {
    assert.deepStrictEqual(
      [
        ["vision", "vision"],
        ["search", "vision"],
        ["fetcher", "vision"],
        ["fetcher", "fetcher"],
        ["agency", "reporter"]
      ].map(([left, right]) => Handoffs.overlaps(trace, left!, right!)),
      [true, true, false, false, true]
    )
  })
})

describe("fannedIn", () => {
  it("names what was joined, as well as it can", () => {
    assert.deepStrictEqual(Handoffs.fannedIn(trace, "reporter"), [
      "vision",
      "vision",
      "execute_tool search",
      `span ${id(99)}`
    ])
    assert.deepStrictEqual(Handoffs.fannedIn(trace, "critic"), [])
  })
})
