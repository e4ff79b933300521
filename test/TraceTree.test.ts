import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as SpanRecord from "../src/SpanRecord.ts"
import * as TraceTree from "../src/TraceTree.ts"
import { one, spansOf } from "./timed-spans.ts"

/** Of milliseconds. */
const span = spansOf(1_000_000n)

const outline = (trace: TraceTree.Trace): ReadonlyArray<string> =>
  Array.from(TraceTree.walk(trace.roots), (node) => "  ".repeat(node.depth) + node.span.name)

const names = (spans: Iterable<SpanRecord.SpanRecord>): ReadonlyArray<string> =>
  Array.from(spans, ({ name }) => name).toSorted()

/** Problems with the names of their spans. */
const told = (trace: TraceTree.Trace): ReadonlyArray<string> =>
  trace.problems.map((problem) =>
    [problem._tag, ...("spans" in problem ? problem.spans : [problem.span]).map(({ name }) => name)].join(" ")
  )

describe("fromSpans", () => {
  it("orders children by start, then the longer first, then by span id", () => {
    const trace = one([
      span("late", 2, 1, [20, 30]),
      span("short", 3, 1, [10, 15]),
      span("twin b", 6, 1, [10, 90]),
      span("twin a", 5, 1, [10, 90]),
      span("inside", 7, 3, [11, 12]),
      span("root", 1, undefined, [0, 100])
    ])
    expect(outline(trace)).toEqual(["root", "  twin a", "  twin b", "  short", "    inside", "  late"])
    expect(told(trace)).toEqual([])
  })

  it("makes one trace per trace id, by start time and then trace id", () => {
    const spans = (["c", "b", "a"] as const).map((traceId) =>
      span("root", 1, undefined, [traceId === "b" ? 0 : 1, 5], { traceId })
    )
    expect(TraceTree.fromSpans(spans).map(({ traceId }) => traceId)).toEqual(["b", "a", "c"])
    expect(TraceTree.fromSpans([])).toEqual([])
  })

  it("spans a trace's time from its first start to its last end", () => {
    const trace = one([span("root", 1, undefined, [10, 20]), span("outlives it", 2, 1, [15, 40])])
    expect([trace.startTimeUnixNano, trace.endTimeUnixNano]).toEqual([10_000_000n, 40_000_000n])
  })

  it("stands an orphan as a root and tells it", () => {
    const trace = one([span("root", 1), span("orphan", 3, 9, [5, 6]), span("its child", 4, 3, [5, 6])])
    expect(outline(trace)).toEqual(["root", "orphan", "  its child"])
    expect(told(trace)).toEqual(["Orphan orphan"])
  })

  it("tells several roots", () => {
    const trace = one([span("first", 1), span("second", 2)])
    expect(outline(trace)).toEqual(["first", "second"])
    expect(told(trace)).toEqual(["SeveralRoots first second"])
  })

  it("keeps spans of one id and stands their children under the first", () => {
    const trace = one([
      span("again", 2, 1, [5, 9]),
      span("child", 3, 2, [6, 7]),
      span("root", 1),
      span("copy", 2, 1, [4, 9])
    ])
    expect(outline(trace)).toEqual(["root", "  copy", "    child", "  again"])
    expect(told(trace)).toEqual(["DuplicateSpanId copy again"])
  })

  it("cuts a cycle above its first span", () => {
    const cycle = [
      span("c", 3, 2, [3, 4]),
      span("a", 1, 3, [1, 2]),
      span("b", 2, 1, [2, 3]),
      span("leaf", 4, 3, [9, 9])
    ]
    for (const spans of [cycle, cycle.toReversed()]) {
      const trace = one(spans)
      expect(outline(trace)).toEqual(["a", "  b", "    c", "      leaf"])
      expect(told(trace)).toEqual(["Cycle a b c"])
    }
    const self = one([span("self", 1, 1)])
    expect([outline(self), told(self)]).toEqual([["self"], ["Cycle self"]])
  })

  it("loses no span, whatever the parents", () => {
    const any = fc.array(fc.tuple(fc.nat(8), fc.option(fc.nat(8), { nil: undefined }), fc.nat(3), fc.nat(3), fc.nat(1)))
    fc.assert(
      fc.property(any, (rows) => {
        const spans = rows.map(([spanId, parent, start, length, trace], index) =>
          span(String(index), spanId, parent, [start, start + length], { traceId: String(trace) })
        )
        const traces = TraceTree.fromSpans(spans)
        const inTrees = traces.flatMap((trace) => Array.from(TraceTree.walk(trace.roots), (node) => node.span))
        expect(names(inTrees)).toEqual(names(spans))
        expect(names(traces.flatMap((trace) => trace.spans))).toEqual(names(spans))
      })
    )
  })

  it("gives the same trees for spans in any order", () => {
    const spans = Array.from({ length: 12 }, (_, n) =>
      span(`s${n}`, n, [undefined, 0, 1, 99, 7, 4, 5][n % 7], [n % 3, 5])
    )
    fc.assert(
      fc.property(fc.shuffledSubarray(spans, { minLength: spans.length }), (shuffled) => {
        expect(outline(one(shuffled))).toEqual(outline(one(spans)))
      })
    )
  })

  it("takes a trace 100,000 spans deep, or wide, or in one cycle", () => {
    const deep = one(Array.from({ length: 100_000 }, (_, n) => span("s", n, n === 0 ? undefined : n - 1)))
    expect(Array.from(TraceTree.walk(deep.roots)).at(-1)?.depth).toBe(99_999)
    const wide = one(Array.from({ length: 100_000 }, (_, n) => span("s", n, n === 0 ? undefined : 0)))
    expect(wide.roots[0]?.children.length).toBe(99_999)
    const ring = one(Array.from({ length: 100_000 }, (_, n) => span("s", n, (n + 1) % 100_000)))
    expect(ring.problems.length).toBe(1)
    expect(Array.from(TraceTree.walk(ring.roots)).length).toBe(100_000)
  })
})

describe("walk", () => {
  it("goes from each node to its children before its siblings", () => {
    const trace = one([span("a", 1), span("b", 2, 1, [1, 1]), span("c", 3, 2, [2, 2]), span("d", 4, 1, [3, 3])])
    expect(outline(trace)).toEqual(["a", "  b", "    c", "  d"])
  })

  it("starts anew each time it is iterated", () => {
    const nodes = TraceTree.walk(one([span("a", 1)]).roots)
    expect([Array.from(nodes).length, Array.from(nodes).length]).toEqual([1, 1])
  })
})

describe("find", () => {
  const trace = one([span("a", 1), span("b", 2, 1), span("c", 3, 2)])

  it("returns the first node that passes", () => {
    const found = TraceTree.find(trace, ({ parentSpanId }) => parentSpanId !== undefined)
    expect([found?.span.name, found?.depth, found?.children.map((node) => node.span.name)]).toEqual(["b", 1, ["c"]])
  })

  it("returns nothing where none passes", () => {
    expect(TraceTree.find(trace, () => false)).toBe(undefined)
  })
})

describe("coveredNanos", () => {
  it("counts shared time once and only within the bounds", () => {
    const bounds = span("bounds", 1, undefined, [10, 100])
    const times = [
      [
        [0, 20],
        [15, 30]
      ],
      [
        [40, 60],
        [45, 50],
        [60, 60]
      ],
      [[90, 200]],
      [
        [0, 5],
        [100, 120]
      ],
      [
        [0, 500],
        [20, 30]
      ],
      []
    ] as const
    expect(
      times.map((intervals) =>
        TraceTree.coveredNanos(
          intervals.map((time) => span("s", 2, 1, time)),
          bounds
        )
      )
    ).toEqual([20_000_000n, 20_000_000n, 10_000_000n, 0n, 90_000_000n, 0n])
  })
})

describe("selfNanos", () => {
  it("is the duration without the children's, which may overlap or outlive it", () => {
    const trace = one([
      span("root", 1, undefined, [0, 100]),
      span("a", 2, 1, [10, 40]),
      span("b", 3, 1, [30, 50]),
      span("outlives", 4, 1, [90, 150]),
      span("grandchild", 5, 2, [10, 15])
    ])
    expect(Array.from(TraceTree.walk(trace.roots), (node) => [node.span.name, TraceTree.selfNanos(node)])).toEqual([
      ["root", 50_000_000n],
      ["a", 25_000_000n],
      ["grandchild", 5_000_000n],
      ["b", 20_000_000n],
      ["outlives", 60_000_000n]
    ])
  })
})
