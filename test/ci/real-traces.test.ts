// Reads traces that other tracers really wrote, from a folder beside the checkout that HANDSPAN_SHARED names. They are
// other people's data, so they are not in this repository.
import { spawnSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import * as LineText from "../../src/analysis/LineText.ts"
import * as Summary from "../../src/analysis/Summary.ts"
import * as Timeline from "../../src/analysis/Timeline.ts"
import * as TreeText from "../../src/analysis/TreeText.ts"
import * as OtlpJson from "../../src/OtlpJson.ts"
import { type Attributes, type SpanRecord, make } from "../../src/SpanRecord.ts"
import * as TraceTree from "../../src/TraceTree.ts"

const shared = process.env["HANDSPAN_SHARED"]

const folder = join(shared ?? "", "traces", "otlp")

const read = (file: string): ReadonlyArray<SpanRecord> =>
  Result.getOrThrow(OtlpJson.decodeText(readFileSync(join(folder, file), "utf8")))

/** Traces of other formats and signals hold no OTLP spans; they are read all the same. */
const files = (): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => /\.jsonl?$/.test(file))
    .map((file) => file.replaceAll("\\", "/"))
    .toSorted()

const byTag = (trace: TraceTree.Trace): ReadonlyArray<string> => trace.problems.map((problem) => problem._tag)

const facts = (spans: ReadonlyArray<SpanRecord>) => {
  const traces = TraceTree.fromSpans(spans)
  const problems = Map.groupBy(traces.flatMap(byTag), (tag) => tag)
  return {
    spans: spans.length,
    traces: traces.length,
    ...Object.fromEntries(Array.from(problems, ([tag, all]) => [tag, all.length]))
  }
}

describe.skipIf(shared === undefined)("real traces (skipped: HANDSPAN_SHARED names no folder of traces)", () => {
  it("decodeText() reads every file, and fromSpans() tells what is in it", () => {
    const found = files().map((file) => [file, facts(read(file))] as const)
    expect(Object.fromEntries(found.filter(([, { spans }]) => spans > 0))).toEqual({
      "emitters/deno-2.9.6-traces-0.json": { spans: 4, traces: 1 },
      "emitters/effect-4.1.0-traces-0.json": { spans: 2, traces: 1 },
      "emitters/otel-js-0.223-gzip-traces-0.json": { spans: 2, traces: 2 },
      "emitters/otel-js-0.223-traces-0.json": { spans: 2, traces: 2 },
      "jaeger-ui-otlp2jaeger-multi-in-combined.json": { spans: 4, traces: 1 },
      "opentelemetry-proto-trace.json": { spans: 1, traces: 1, Orphan: 1 },
      "otel-tui-test_data.jsonl": { spans: 547, traces: 141, Orphan: 1 }
    })
  })

  it("fromSpans() gives each span one place", () => {
    for (const file of files()) {
      const spans = read(file)
      const placed = TraceTree.fromSpans(spans).flatMap((trace) =>
        Array.from(TraceTree.walk(trace.roots), (node) => node.span)
      )
      expect(placed.length).toBe(spans.length)
      expect(new Set(placed)).toEqual(new Set(spans))
    }
  })

  it("encode() writes what decode() reads back", () => {
    for (const file of files()) {
      const spans = read(file)
      const again = Result.getOrThrow(OtlpJson.decodeText(JSON.stringify(OtlpJson.encode(spans))))
      expect(facts(again)).toEqual(facts(spans))
      expect(new Set(again.map((span) => JSON.stringify(OtlpJson.encode([span]))))).toEqual(
        new Set(spans.map((span) => JSON.stringify(OtlpJson.encode([span]))))
      )
    }
  })

  it("every text about them is whole and safe to print", () => {
    for (const file of files()) {
      const traces = TraceTree.fromSpans(read(file))
      for (const trace of traces) {
        const texts = [
          TreeText.render(trace, { similar: Infinity }),
          Timeline.render(trace),
          Summary.render(Summary.make([trace])),
          ...trace.spans.flatMap((span) => [LineText.readable(span), LineText.trace(span), LineText.continuum(span)])
        ]
        expect(texts.join("\n").replaceAll("\n", "")).not.toMatch(/[\p{Cc}\u2028\u202e]/u)
        expect(texts[1]?.split("\n").length).toBe(trace.spans.length + 2)
      }
      const { totalNanos, workers } = Summary.make(traces)
      expect(Object.values(workers).reduce((sum, nanos) => sum + nanos, 0n)).toBe(totalNanos)
    }
  })
})

const python = spawnSync("python3", ["--version"]).status === 0

describe.skipIf(!python)("LineText.trace (skipped: there is no python3)", () => {
  it("writes metadata that Python's own ast.literal_eval reads back", () => {
    const attributes: Attributes = {
      "it's": "single ' quote",
      both: `'"\\ \n\r\t\u001b\u009b\u00a0\u2028\u{1f389}\u{e0041}\ud800`,
      yes: true,
      no: false,
      numbers: [1, -2.5, 1e21, 1e-7, 5e300],
      big: 123456789012345678901234567890n,
      empty: [],
      nan: NaN
    }
    const line = LineText.trace(make({ name: "s", attributes }))
    const program = "import ast, json, sys; print(json.dumps(ast.literal_eval(sys.stdin.read().split(' | ', 4)[4])))"
    const { stderr, stdout } = spawnSync("python3", ["-c", program], { input: line, encoding: "utf8" })
    expect(stderr).toBe("")
    expect(JSON.parse(stdout)).toEqual({ ...attributes, big: Number(attributes["big"]), nan: "NaN" })
  })

  it("writes strings as Python's repr() does", () => {
    const texts = [
      "plain",
      "it's",
      'say "hi"',
      `it's "both"`,
      "back\\slash",
      "\u0000\u001f\u007f\u0080\u00ad\u200b\ufeff",
      "é日🎉"
    ]
    const program = "import json, sys; print(json.dumps([repr({'k': text}) for text in json.load(sys.stdin)]))"
    const { stdout } = spawnSync("python3", ["-c", program], { input: JSON.stringify(texts), encoding: "utf8" })
    const ours = texts.map((k) => LineText.trace(make({ name: "s", attributes: { k } })).split(" | ")[4])
    expect(ours).toEqual(JSON.parse(stdout))
  })
})
