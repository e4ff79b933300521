// Spans made by hand, told apart by small numbers and by when they begin and end.
import { assert } from "@effect/vitest"
import * as SpanRecord from "../src/SpanRecord.ts"
import * as TraceTree from "../src/TraceTree.ts"

export const id = (n: number): string => n.toString(16).padStart(16, "0")

/** Makes what makes spans with times in a unit of so many nanoseconds: `span("b", 2, 1, [10, 20])` is b, id 2, inside 1. */
export const spansOf =
  (unit: bigint) =>
  (
    name: string,
    spanId: number,
    parent?: number,
    [start, end]: readonly [number, number] = [0, 0],
    fields: Partial<SpanRecord.SpanRecord> = {}
  ): SpanRecord.SpanRecord =>
    SpanRecord.make({
      name,
      spanId: id(spanId),
      parentSpanId: parent === undefined ? undefined : id(parent),
      startTimeUnixNano: BigInt(start) * unit,
      endTimeUnixNano: BigInt(end) * unit,
      ...fields
    })

/** The only trace of these spans. */
export const one = (spans: ReadonlyArray<SpanRecord.SpanRecord>): TraceTree.Trace => {
  const traces = TraceTree.fromSpans(spans)
  return traces.length === 1 ? traces[0]! : assert.fail(`expected one trace, got ${traces.length}`)
}
