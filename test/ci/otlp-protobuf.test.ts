// Reads the requests that other tracers really sent as protobuf, next to those that they sent as JSON in another run of
// the same program. They come from a folder beside the checkout that HANDSPAN_SHARED names.
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as OtlpJson from "../../src/OtlpJson.ts"
import * as OtlpProtobuf from "../../src/OtlpProtobuf.ts"
import type { Attributes, SpanRecord } from "../../src/SpanRecord.ts"
import * as TraceTree from "../../src/TraceTree.ts"

const shared = process.env["HANDSPAN_SHARED"]

const pathOf = (file: string): string => join(shared ?? "", "traces", "otlp", "emitters", file)

const fromProtobuf = (file: string): ReadonlyArray<SpanRecord> =>
  Result.getOrThrow(OtlpProtobuf.decode(readFileSync(pathOf(file))))

const fromJson = (file: string): ReadonlyArray<SpanRecord> =>
  Result.getOrThrow(OtlpJson.decodeText(readFileSync(pathOf(file), "utf8")))

/** What the two runs have in common: all but ids, times, and the places in files and ports of stack traces and URLs. */
const story = (spans: ReadonlyArray<SpanRecord>) => {
  const names = new Map(spans.map((span) => [span.spanId, span.name]))
  const same = (attributes: Attributes) =>
    Object.fromEntries(
      Object.entries(attributes).map(([key, value]) => [
        key,
        key === "exception.stacktrace" || key === "url.full" ? String(value).split(/[\n:]/, 1)[0] : value
      ])
    )
  return spans
    .map((span) => ({
      ...span,
      traceId: span.traceId.length,
      spanId: span.spanId.length,
      parentSpanId: names.get(span.parentSpanId ?? "") ?? span.parentSpanId?.length,
      startTimeUnixNano: span.startTimeUnixNano > 1_700_000_000_000_000_000n,
      endTimeUnixNano: span.endTimeUnixNano > span.startTimeUnixNano,
      attributes: same(span.attributes),
      events: span.events.map((event) => ({
        ...event,
        attributes: same(event.attributes),
        timeUnixNano: event.timeUnixNano >= span.startTimeUnixNano && event.timeUnixNano <= span.endTimeUnixNano
      }))
    }))
    .toSorted((left, right) => (left.name < right.name ? -1 : 1))
}

describe.skipIf(shared === undefined)("real requests (skipped: HANDSPAN_SHARED names no folder of traces)", () => {
  it("decode() reads of protobuf what OtlpJson reads of JSON", () => {
    for (const emitter of ["deno-2.9.6-traces-0", "effect-4.1.0-traces-0"]) {
      const spans = fromProtobuf(`${emitter}.pb`)
      expect(story(spans)).toEqual(story(fromJson(`${emitter}.json`)))
      const traces = TraceTree.fromSpans(spans)
      expect(traces.flatMap((trace) => trace.problems)).toEqual([])
    }
  })

  it("decode() refuses requests of logs and metrics", () => {
    for (const file of ["deno-2.9.6-logs-1.pb", "effect-4.1.0-logs-2.pb", "deno-2.9.6-metrics-2.pb"]) {
      expect(Result.isFailure(OtlpProtobuf.decode(readFileSync(pathOf(file))))).toBe(true)
    }
  })
})
