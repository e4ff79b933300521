import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Metric, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Delivery from "../src/Delivery.ts"
import { names } from "../src/DeliveryMetrics.ts"
import * as Exporter from "../src/Exporter.ts"
import * as Tracing from "../src/Tracing.ts"

/** The metrics of one exporter, by name and the attributes that tell them apart. */
const metricsOf = (exporter: string) =>
  Effect.map(Metric.snapshot, (snapshots) =>
    Object.fromEntries(
      snapshots
        .filter(({ attributes }) => attributes?.["otel.component.name"] === exporter)
        .map(({ attributes, id, state }) => {
          const { "otel.component.name": _, ...others } = attributes ?? {}
          const key = [id, ...Object.values(others)].join(" ")
          return [key, "count" in state ? Number(state.count) : "value" in state ? Number(state.value) : undefined]
        })
    )
  )

const spans = (count: number) => Effect.forEach(Array.from({ length: count }), () => Effect.withSpan(Effect.void, "s"))
const flush = Effect.flatMap(Delivery.Deliveries, (deliveries) => deliveries.flush)

describe("DeliveryMetrics", () => {
  it.effect("tells the ledger under OpenTelemetry's names", () =>
    Effect.gen(function* () {
      let refused = 0
      const exporter = Exporter.make({
        name: "metrics",
        batchDelay: "1 seconds",
        export: () =>
          refused === 0
            ? Effect.void
            : new Exporter.ExportError({ exporter: "metrics", message: "no", retryable: false, refused })
      })
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Tracing.layer({ exporters: [exporter], queueSize: 8 }), scope)
      yield* Effect.gen(function* () {
        yield* Effect.withSpan(Effect.void, "unsampled", { sampled: false })
        yield* spans(3)
        yield* Effect.forkChild(Effect.withSpan(Effect.never, "open"))
        yield* Effect.yieldNow
        yield* TestClock.adjust("1 seconds")
        yield* flush
        assert.deepStrictEqual(yield* metricsOf("metrics"), {
          [`${names.started} DROP`]: 1,
          [`${names.started} RECORD_AND_SAMPLE`]: 4,
          [names.live]: 1,
          [names.processed]: 3,
          [names.exported]: 3,
          [names.queueSize]: 0,
          [names.queueCapacity]: 8,
          [names.inFlight]: 0,
          [names.spooled]: 0,
          [names.exportDuration]: 1,
          [names.age]: 1
        })
        refused = 1
        yield* spans(2)
        yield* flush
        yield* spans(10)
        refused = 0
        yield* flush
        const metrics = yield* metricsOf("metrics")
        assert.deepInclude(metrics, {
          [names.exported]: 12,
          [`${names.exported} refused`]: 1,
          [`${names.processed} queue_full`]: 2,
          [`${names.exportDuration} ExportError`]: 1
        })
      }).pipe(Effect.provide(context))
      yield* Scope.close(scope, Exit.void)
    })
  )

  it.effect("tells what was dropped at the end", () =>
    Effect.gen(function* () {
      const exporter = Exporter.make({ name: "end", batchDelay: "1 seconds", export: () => Effect.never })
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Tracing.layer({ exporters: [exporter], logFormat: "none" }), scope)
      yield* Effect.provide(spans(2), context)
      yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* metricsOf("end"), { [`${names.processed} shutdown`]: 2, [names.inFlight]: 0 })
    })
  )
})

describe("Delivery.health", () => {
  it.effect("says how each exporter is doing, and since when", () =>
    Effect.gen(function* () {
      let isDown = true
      const exporter = Exporter.make({
        name: "health",
        batchDelay: 0,
        export: (batch) =>
          isDown
            ? new Exporter.ExportError({ exporter: "health", message: "503", retryable: true, refused: batch.length })
            : Effect.void
      })
      yield* Effect.gen(function* () {
        const { health } = yield* Delivery.Deliveries
        const statuses = Effect.map(health, (all) => all.map(({ problem, since, status }) => [status, problem, since]))
        assert.deepStrictEqual(yield* statuses, [["ok", "", undefined]])
        yield* TestClock.adjust("1 seconds")
        yield* spans(1)
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(yield* statuses, [["failing", "503", 1000]])
        isDown = false
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(yield* statuses, [["ok", "", undefined]])
        assert.deepStrictEqual(
          (yield* health).map(({ ledger, successRate }) => [ledger.exported, successRate]),
          [[1, 1]]
        )
      }).pipe(Effect.provide(Tracing.layer({ exporters: [exporter] })))
    })
  )
})
