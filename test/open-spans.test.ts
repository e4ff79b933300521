// What becomes of spans that are open: pictures of them while they run, warnings, and an end when nobody else gives one.
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Layer, Logger, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Agent from "../src/Agent.ts"
import * as Delivery from "../src/Delivery.ts"
import type * as Exporter from "../src/Exporter.ts"
import * as Ledger from "../src/Ledger.ts"
import type { SpanRecord } from "../src/SpanRecord.ts"
import * as Tracing from "../src/Tracing.ts"
import { spansOf } from "./batches.ts"

/** An exporter that keeps what it is given, pictures of open spans too. */
const keeping = () => {
  const spans: Array<SpanRecord> = []
  const exporter: Exporter.Exporter = {
    name: "test",
    batchDelay: 0,
    pendingSpans: true,
    export: (batch) => Effect.sync(() => void spans.push(...spansOf(batch))),
    flush: Effect.void,
    shutdown: Effect.void
  }
  return { exporter, spans }
}

const told = (spans: ReadonlyArray<SpanRecord>) =>
  spans.map(({ attributes, name, status }) => [
    name,
    status.code,
    attributes["handspan.pending"] ?? attributes["handspan.abandoned"]
  ])

describe("pendingSpans", () => {
  it.effect("shows what is running under the id under which it ends, and counts it once", () =>
    Effect.gen(function* () {
      const { exporter, spans } = keeping()
      const waits = Agent.make("waits", { run: () => Effect.sleep("5 seconds") })
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Tracing.layer({ exporters: [exporter], pendingSpans: true }), scope)
      const fiber = yield* Effect.forkChild(Effect.provide(waits(), context))
      yield* TestClock.adjust("1 seconds")
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(told(spans), [["agent_handoff.waits", "unset", true]])
      assert.strictEqual(spans[0]?.attributes["agent"], "waits")
      yield* TestClock.adjust("5 seconds")
      assert.isDefined(fiber.pollUnsafe())
      assert.deepStrictEqual(told(spans).at(-1), ["agent_handoff.waits", "ok", undefined])
      assert.strictEqual(spans[0]?.spanId, spans[1]?.spanId)
      const [ledger] = yield* Effect.provide(
        Effect.flatMap(Delivery.Deliveries, ({ ledgers }) => ledgers),
        context
      )
      assert.deepInclude(ledger, { started: 1, exported: 1 })
      yield* Scope.close(scope, Exit.void)
    })
  )

  it.effect("shows nothing of spans that end at once, and nothing at all unless it is asked for", () =>
    Effect.gen(function* () {
      const { exporter, spans } = keeping()
      const run = (pendingSpans: boolean) =>
        Effect.withSpan(Effect.void, "quick").pipe(
          Effect.andThen(
            Effect.withSpan(
              Effect.promise(() => Promise.resolve()),
              "slow"
            )
          ),
          Effect.provide(Tracing.layer({ exporters: [exporter], pendingSpans }))
        )
      yield* run(false)
      assert.deepStrictEqual(told(spans), [
        ["quick", "ok", undefined],
        ["slow", "ok", undefined]
      ])
      spans.length = 0
      yield* run(true)
      assert.deepStrictEqual(
        told(spans).filter(([name]) => name === "quick"),
        [["quick", "ok", undefined]]
      )
    })
  )
})

describe("open spans at shutdown", () => {
  it.effect("are ended with the reason, children first, and exported", () =>
    Effect.gen(function* () {
      const { exporter, spans } = keeping()
      const leak = Effect.useSpan("outer", (outer) =>
        Effect.andThen(Effect.makeSpan("inner", { parent: outer }), Effect.makeSpan("alone"))
      )
      const ledgers = yield* Effect.flatMap(Delivery.Deliveries, ({ ledgers }) => Effect.andThen(leak, ledgers)).pipe(
        Effect.provide(Tracing.layer({ exporters: [exporter] }))
      )
      assert.deepInclude(ledgers[0], { started: 3, live: 2 })
      assert.deepStrictEqual(told(spans), [
        ["outer", "ok", undefined],
        ["alone", "unset", "shutdown"],
        ["inner", "unset", "shutdown"]
      ])
    })
  )
})

describe("openSpanWarning", () => {
  it.effect("warns once of a span that is open for too long", () =>
    Effect.gen(function* () {
      const logs: Array<string> = []
      const logger = Logger.make(({ message }) => void logs.push(String(message)))
      const { exporter } = keeping()
      yield* Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(Effect.withSpan(Effect.sleep("10 minutes"), "stuck"))
        yield* TestClock.adjust("59 seconds")
        assert.deepStrictEqual(logs, [])
        yield* TestClock.adjust("1 seconds")
        assert.strictEqual(logs.length, 1)
        assert.match(logs[0] ?? "", /^Span "stuck" is open for 1m and more: trace [0-9a-f]{32}, span [0-9a-f]{16}$/)
        yield* TestClock.adjust("10 minutes")
        assert.isDefined(fiber.pollUnsafe())
        yield* Effect.withSpan(Effect.void, "quick")
        yield* TestClock.adjust("10 minutes")
        assert.strictEqual(logs.length, 1)
      }).pipe(
        Effect.provide(
          Layer.provideMerge(
            Tracing.layer({ exporters: [exporter], openSpanWarning: Duration.minutes(1), logFormat: "none" }),
            Logger.layer([logger])
          )
        )
      )
    })
  )
})

describe("queuePolicy block", () => {
  it.effect("holds agents while the queue is full, for a second at most, and loses less", () =>
    Effect.gen(function* () {
      const { exporter, spans } = keeping()
      const slow = {
        ...exporter,
        export: (batch: Parameters<typeof exporter.export>[0]) => Effect.delay(exporter.export(batch), "300 millis")
      }
      const step = Agent.make("step", { run: () => Effect.void })
      const run = (queuePolicy: "block" | "dropNewest") =>
        Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(
            Effect.forEach(Array.from({ length: 20 }), () => step(), { discard: true })
          )
          yield* TestClock.adjust("30 seconds")
          assert.isDefined(fiber.pollUnsafe())
          const [ledger] = yield* (yield* Delivery.Deliveries).ledgers
          assert.isTrue(ledger !== undefined && Ledger.isBalanced(ledger), JSON.stringify(ledger))
          return ledger?.dropped.queue_full
        }).pipe(Effect.provide(Tracing.layer({ exporters: [slow], queueSize: 4, queuePolicy })))
      assert.isAbove((yield* run("dropNewest")) ?? 0, 10)
      assert.strictEqual(yield* run("block"), 0)
      assert.isAbove(spans.length, 20)
    })
  )
})
