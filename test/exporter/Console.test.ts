import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as TestConsole from "effect/testing/TestConsole"
import * as Console from "../../src/exporter/Console.ts"
import * as OtlpJson from "../../src/OtlpJson.ts"
import type { SpanRecord } from "../../src/SpanRecord.ts"
import * as Traces from "../analysis/traces.ts"
import { batchOf } from "../batches.ts"

/** In the order in which they end. */
const byEnd = (spans: ReadonlyArray<SpanRecord>): ReadonlyArray<SpanRecord> =>
  spans.toSorted((a, b) => Number(a.endTimeUnixNano - b.endTimeUnixNano))

/** What is printed on stdout and stderr, each call as one text, when these batches are exported. */
const printed = (
  options: Console.Options,
  batches: ReadonlyArray<ReadonlyArray<SpanRecord>>,
  then: "nothing" | "flush" | "shutdown" = "nothing"
) =>
  Effect.gen(function* () {
    const exporter = Console.make({ output: "stdout", ...options })
    for (const batch of batches) yield* exporter.export(batchOf(batch))
    if (then !== "nothing") yield* exporter[then]
    return { stdout: yield* TestConsole.logLines, stderr: yield* TestConsole.errorLines }
  }).pipe(Effect.provide(Layer.fresh(TestConsole.layer)))

const names = (text: unknown): ReadonlyArray<string> =>
  Result.getOrThrow(OtlpJson.decodeText(String(text))).map((span) => span.name)

const root = Traces.span("root", 1, undefined, [0, 100])
const child = Traces.span("child", 2, 1, [10, 90])
const grandchild = Traces.span("grandchild", 3, 2, [20, 80])
const otherTrace = (span: SpanRecord): SpanRecord => ({ ...span, traceId: "0af7651916cd43dd8448eb211c80319c" })

describe("make", () => {
  it.effect("writes to stderr unless it is told otherwise: stdout belongs to the program", () =>
    Effect.gen(function* () {
      yield* Console.make({ format: "continuum" }).export(batchOf([root]))
      expect(yield* TestConsole.logLines).toEqual([])
      expect((yield* TestConsole.errorLines).length).toBe(1)
    }).pipe(Effect.provide(Layer.fresh(TestConsole.layer)))
  )

  it.effect("prints a tree when the root has ended, without being told a format", () =>
    Effect.gen(function* () {
      const spans = byEnd(Traces.photoAgency)
      expect(yield* printed({ colors: false }, [spans.slice(0, 4)])).toEqual({ stdout: [], stderr: [] })
      const { stderr, stdout } = yield* printed({ colors: false }, [spans.slice(0, 4), spans.slice(4)])
      expect(stderr).toEqual([])
      expect(stdout.length).toBe(1)
      expect(`\n${stdout.join("\n")}`).toMatchInlineSnapshot(`
        "
        trace 4bf92f3577b34da6a3ce929d0e0e4736 · 10 spans · 1 error
        pipeline.photo_agency              1.24 s ✓ parallel
        ├─ agent_handoff.photo_fetcher    12.1 ms ✓ service
        │  └─ execute_tool read_folder    11.6 ms ✓
        ├─ agent_handoff.vision_analyzer   804 ms ✓ llm · 3 attempts · round 2
        │  │  ↻ attempt 1: RateLimited: 429 Too Many Requests · again after 100 ms
        │  │  ↻ attempt 2: RateLimited: 429 Too Many Requests · again after 200 ms
        │  └─ chat gpt-4o                  303 ms ✓ openai
        ├─ agent_handoff.trend_analyst     310 ms ✓ llm
        │  └─ chat gpt-4o                  309 ms ✓ openai
        ├─ agent_handoff.risk_analyst      203 ms ✗ llm · ValidationError: risk score is missing
        ├─ agent_handoff.style_analyst     310 ms ⏹ llm · interrupted
        └─ agent_handoff.reporter          116 ms ✓ tool · stopped: enough for a report · ⇠ vision_analyzer, trend_analyst, risk_analyst
              • draft.saved  +2.70 ms  path="report draft.md" bytes=1204
        "
      `)
    })
  )

  it.effect("prints a summary after each tree on request", () =>
    Effect.gen(function* () {
      const { stderr, stdout } = yield* printed({ summary: true, output: "stderr", colors: false }, [
        [grandchild, child, root],
        [otherTrace(root)]
      ])
      expect(stdout).toEqual([])
      expect(stderr.length).toBe(2)
      expect(`\n${stderr.join("\n")}`).toMatchInlineSnapshot(`
        "
        trace 4bf92f3577b34da6a3ce929d0e0e4736 · 3 spans
        root               100 µs ✓
        └─ child          80.0 µs ✓
           └─ grandchild  60.0 µs ✓

        Component   Measures  Count  Duration  % of total     Self     Mean      p50      p95      Max
        root        internal      1    100 µs       100 %  20.0 µs   100 µs   100 µs   100 µs   100 µs
        child       internal      1   80.0 µs      80.0 %  20.0 µs  80.0 µs  80.0 µs  80.0 µs  80.0 µs
        grandchild  internal      1   60.0 µs      60.0 %  60.0 µs  60.0 µs  60.0 µs  60.0 µs  60.0 µs
        100 µs = framework 100 %

        trace 0af7651916cd43dd8448eb211c80319c · 1 span
        root  100 µs ✓

        Component  Measures  Count  Duration  % of total    Self    Mean     p50     p95     Max
        root       internal      1    100 µs       100 %  100 µs  100 µs  100 µs  100 µs  100 µs
        100 µs = framework 100 %
        "
      `)
    })
  )

  it.effect("prints late spans as a continuation of their trace, once their parent was printed", () =>
    Effect.gen(function* () {
      const { stdout } = yield* printed({ colors: false }, [[root], [grandchild], [otherTrace(grandchild)], [child]])
      expect(`\n${stdout.join("\n")}`).toMatchInlineSnapshot(`
        "
        trace 4bf92f3577b34da6a3ce929d0e0e4736 · 1 span
        root  100 µs ✓

        trace 4bf92f3577b34da6a3ce929d0e0e4736 · 2 spans · continued
        child          80.0 µs ✓ under 0000000000000001
        └─ grandchild  60.0 µs ✓
        "
      `)
    })
  )

  it.effect("prints what waits as incomplete on flush and on shutdown, once", () =>
    Effect.gen(function* () {
      for (const then of ["flush", "shutdown"] as const) {
        const { stdout } = yield* printed({ colors: false }, [[grandchild], [child]], then)
        expect(`\n${stdout.join("\n")}`).toMatchInlineSnapshot(`
          "
          trace 4bf92f3577b34da6a3ce929d0e0e4736 · 2 spans · incomplete
          child          80.0 µs ✓ under 0000000000000001
          └─ grandchild  60.0 µs ✓
          "
        `)
      }
      const exporter = Console.make({ format: "json", output: "stdout" })
      const texts = yield* exporter
        .export(batchOf([child]))
        .pipe(
          Effect.andThen(exporter.flush),
          Effect.andThen(exporter.export(batchOf([root]))),
          Effect.andThen(exporter.shutdown),
          Effect.andThen(TestConsole.logLines)
        )
      expect(texts.map(names)).toEqual([["child"], ["root"]])
    })
  )

  it.effect("takes a span whose parent is in another process for a root", () =>
    Effect.gen(function* () {
      const served = { ...child, parentIsRemote: true }
      const { stdout } = yield* printed({ format: "json" }, [[grandchild], [served], [grandchild], [served]])
      expect(stdout.map(names)).toEqual([["child", "grandchild"], ["grandchild"], ["child"]])
    })
  )

  it.effect("keeps traces apart that end in one batch", () =>
    Effect.gen(function* () {
      const { stdout } = yield* printed({ format: "json" }, [[child, otherTrace(child), otherTrace(root), root]])
      expect(stdout.map(names)).toEqual([
        ["root", "child"],
        ["root", "child"]
      ])
    })
  )

  it.effect("prints the oldest trace as incomplete when too many spans wait", () =>
    Effect.gen(function* () {
      const waiting = Array.from({ length: 9_999 }, (_, n) => Traces.span("waits", n + 10, 3, [n, n + 1]))
      const { stdout } = yield* printed({ format: "json" }, [[otherTrace(child)], waiting, [grandchild]])
      expect(stdout.map(names)).toEqual([["child"]])
    })
  )

  it.effect("forgets the oldest trace when too many spans are printed", () =>
    Effect.gen(function* () {
      const roots = Array.from({ length: 10_001 }, (_, n) => ({ ...root, traceId: String(n).padStart(32, "f") }))
      const late = roots.slice(0, 2).map(({ traceId }) => ({ ...child, traceId }))
      const { stdout } = yield* printed({ format: "json" }, [roots, late])
      expect(stdout.slice(10_001).map(names)).toEqual([["child"]])
    })
  )

  it.effect("prints lines as spans come, each in one call", () =>
    Effect.gen(function* () {
      const batch = [grandchild, Traces.photoAgency[7]!]
      const texts: Array<unknown> = []
      for (const format of ["line", "trace", "continuum"] as const) {
        const { stdout } = yield* printed({ format, colors: false }, [batch], "shutdown")
        texts.push(...stdout)
      }
      expect(texts.length).toBe(6)
      expect(`\n${texts.join("\n")}`).toMatchInlineSnapshot(`
        "
        2026-11-21T06:12:00.000Z ✓ grandchild duration=60.0µs trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=0000000000000003
        2026-11-21T06:12:01.020Z ✗ agent_handoff.risk_analyst duration=203ms trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=0000000000000008 error="risk score is missing\\nat score" gen_ai.operation.name=invoke_agent gen_ai.agent.name=risk_analyst agent=risk_analyst handspan.agent.kind=llm handspan.handoff.attempts=1 error.type=ValidationError
        [TRACE] grandchild | trace_id=4bf92f3577b34da6a3ce929d0e0e4736 | span_id=0000000000000003 | duration=0.06ms | {}
        [TRACE] agent_handoff.risk_analyst | trace_id=4bf92f3577b34da6a3ce929d0e0e4736 | span_id=0000000000000008 | duration=203.30ms | {'gen_ai.operation.name': 'invoke_agent', 'gen_ai.agent.name': 'risk_analyst', 'agent': 'risk_analyst', 'handspan.agent.kind': 'llm', 'handspan.handoff.attempts': 1, 'error.type': 'ValidationError'}
        TRACE: grandchild (1795241520.000-1795241520.000) status=OK
        TRACE: agent_handoff.risk_analyst (1795241520.817-1795241521.020) status=ERROR"
      `)
    })
  )

  it.effect("prints no control character of traced data in any format", () =>
    Effect.gen(function* () {
      const hostile = "\u001b]52;c;ZXZpbA==\u0007\u009b2J\r\u202e"
      const evil: SpanRecord = {
        ...root,
        name: hostile,
        status: { code: "error", message: hostile },
        traceState: hostile,
        attributes: { [hostile]: hostile, agent: hostile, "error.type": hostile, "pipeline.mode": hostile },
        events: [{ name: hostile, timeUnixNano: 0n, attributes: { [hostile]: [hostile] }, droppedAttributesCount: 0 }]
      }
      for (const format of ["pretty", "line", "trace", "continuum", "json"] as const) {
        const { stdout } = yield* printed({ format, colors: false, summary: true }, [[evil]])
        expect(stdout.join("\n").replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u)
      }
    })
  )

  it.effect("paints on request only where people read", () =>
    Effect.gen(function* () {
      const painted: Array<string> = []
      for (const format of ["pretty", "line", "trace", "continuum", "json"] as const) {
        const { stdout } = yield* printed({ format, colors: true }, [[root]])
        if (stdout.join("").includes("\u001b[")) painted.push(format)
      }
      expect(painted).toEqual(["pretty", "line"])
    })
  )
})
