// Has tail sampling decide about traces that other tracers really wrote, each span beginning and ending when it did. They
// are other people's data, from a folder beside the checkout that HANDSPAN_SHARED names.
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { fromRecord } from "../../src/EncodableSpan.ts"
import * as OtlpJson from "../../src/OtlpJson.ts"
import { SpanBuffer } from "../../src/SpanBuffer.ts"
import { SpanEncoder } from "../../src/SpanEncoder.ts"
import type { SpanRecord } from "../../src/SpanRecord.ts"
import * as TailRules from "../../src/TailRules.ts"
import { type Options, TailSampler } from "../../src/TailSampler.ts"
import { spansOf } from "../batches.ts"

const shared = process.env["HANDSPAN_SHARED"]

/** All that was ever read of them, in the order of their files; what comes twice counts once. */
const realSpans = (): ReadonlyArray<SpanRecord> => {
  const folder = join(shared ?? "", "traces", "otlp")
  const all = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => /\.jsonl?$/.test(file))
    .toSorted()
    .flatMap((file) => Result.getOrThrow(OtlpJson.decodeText(readFileSync(join(folder, file), "utf8"))))
  return [...new Map(all.map((span) => [idOf(span), span])).values()]
}

const idOf = ({ spanId, traceId }: SpanRecord): string => `${traceId} ${spanId}`

/** Lets the spans happen, and gives the ids of those that were kept. */
const keptOf = (spans: ReadonlyArray<SpanRecord>, options: Pick<Options, "rules" | "settle">) => {
  const buffer = new SpanBuffer()
  const encoder = new SpanEncoder()
  const tail = new TailSampler({ ...options, onKeep: (span) => buffer.append(span) })
  // Of one instant, ends come after starts: a span may have begun and ended in it.
  const happenings = spans
    .map(fromRecord)
    .flatMap((span) => [
      { at: span.startTimeUnixNano, order: 0, happen: () => tail.start(span) },
      { at: span.endTimeUnixNano, order: 1, happen: () => tail.end(encoder.encode(span), span) }
    ])
    .toSorted((a, b) => (a.at === b.at ? a.order - b.order : a.at < b.at ? -1 : 1))
  for (const { happen } of happenings) happen()
  tail.flush()
  assert.deepStrictEqual([tail.kept + tail.dropped, tail.held], [spans.length, 0])
  return new Set(spansOf(buffer.take()).map(idOf))
}

const failed = ({ status }: SpanRecord): boolean => status.code === "error"

/** The longest that a span took of those which have no parent here. */
const rootNanos = (trace: ReadonlyArray<SpanRecord>): bigint => {
  const ids = new Set(trace.map(({ spanId }) => spanId))
  return trace
    .filter(({ parentSpanId }) => parentSpanId === undefined || !ids.has(parentSpanId))
    .map(({ endTimeUnixNano, startTimeUnixNano }) => endTimeUnixNano - startTimeUnixNano)
    .reduce((a, b) => (a > b ? a : b), 0n)
}

const tracesOf = (spans: ReadonlyArray<SpanRecord>) => [...Map.groupBy(spans, ({ traceId }) => traceId).values()]

describe.skipIf(shared === undefined)("TailSampler (skipped: HANDSPAN_SHARED names no folder of traces)", () => {
  const millis = 1_000_000n
  it.each([
    ["what failed", [TailRules.errors()], (trace: ReadonlyArray<SpanRecord>) => trace.some(failed)],
    [
      "what took more than 100 ms",
      [TailRules.slowerThan("100 millis")],
      (trace: ReadonlyArray<SpanRecord>) => rootNanos(trace) > 100n * millis
    ],
    [
      "what failed or took more than 20 ms",
      TailRules.errorsOrSlower({ than: "20 millis", share: 0 }),
      (trace: ReadonlyArray<SpanRecord>) => trace.some(failed) || rootNanos(trace) > 20n * millis
    ]
  ] as const)("keeps %s, and nothing else", (_, rules, isExpected) => {
    const spans = realSpans()
    const expected = tracesOf(spans).filter(isExpected)
    assert.isAbove(expected.length, 0)
    assert.isBelow(expected.length, tracesOf(spans).length)
    assert.deepStrictEqual(keptOf(spans, { rules, settle: "1 hour" }), new Set(expected.flat().map(idOf)))
  })

  it("keeps all of a trace or nothing, also where parts of it begin after all before had ended", () => {
    const spans = realSpans()
    const kept = keptOf(spans, { rules: [TailRules.errors(), TailRules.share(0.3)] })
    assert.isAbove(kept.size, 0)
    for (const trace of tracesOf(spans)) {
      assert.include([0, trace.length], trace.filter((span) => kept.has(idOf(span))).length)
    }
  })
})
