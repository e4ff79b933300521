import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Logger, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Delivery from "../src/Delivery.ts"
import * as Exporter from "../src/Exporter.ts"
import * as SpanRecord from "../src/SpanRecord.ts"

const span = (n: number) => SpanRecord.make({ name: `span ${n}`, spanId: n.toString(16).padStart(16, "0") })
const unavailable = (refused: number) =>
  new Exporter.ExportError({ exporter: "test", message: "unavailable", retryable: true, refused })

/** An exporter that takes batches, or answers as it is told. */
const collecting = (
  answer: (batch: ReadonlyArray<SpanRecord.SpanRecord>) => Effect.Effect<void, Exporter.ExportError> = () => Effect.void
) => {
  const batches: Array<ReadonlyArray<string>> = []
  const exporter = Exporter.make({
    name: "test",
    export: (batch) =>
      Effect.andThen(
        answer(batch),
        Effect.sync(() => void batches.push(batch.map(({ name }) => name)))
      )
  })
  return { batches, exporter }
}

/** Every span is somewhere, at every instant. */
const assertSums = (ledger: Delivery.Ledger) => {
  const dropped = Object.values(ledger.dropped).reduce((a, b) => a + b, 0)
  assert.strictEqual(ledger.accepted, ledger.queued + ledger.inFlight + ledger.exported + dropped)
}

describe("Delivery.make", () => {
  it.effect("sends spans in batches when they are old enough", () =>
    Effect.gen(function* () {
      const { batches, exporter } = collecting()
      const delivery = yield* Delivery.make(exporter, { batchDelay: "2 seconds" })
      delivery.offer(span(1))
      yield* TestClock.adjust("1 seconds")
      delivery.offer(span(2))
      assert.deepStrictEqual(batches, [])
      assertSums(yield* delivery.ledger)
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(batches, [["span 1", "span 2"]])
      delivery.offer(span(3))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(batches, [["span 1", "span 2"], ["span 3"]])
    })
  )

  it.effect("sends a full batch at once", () =>
    Effect.gen(function* () {
      const { batches, exporter } = collecting()
      const delivery = yield* Delivery.make(exporter, { batchDelay: "1 hours", batchSize: 2 })
      delivery.offer(span(1))
      delivery.offer(span(2))
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(batches, [["span 1", "span 2"]])
    })
  )

  it.effect("waits as long as the exporter wishes", () =>
    Effect.gen(function* () {
      const { batches, exporter } = collecting()
      const delivery = yield* Delivery.make({ ...exporter, batchDelay: "3 seconds" }, { batchDelay: "1 seconds" })
      delivery.offer(span(1))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(batches, [])
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(batches, [["span 1"]])
    })
  )

  it.effect("flush() returns when everything taken before has left, in batches of the right size", () =>
    Effect.gen(function* () {
      const { batches, exporter } = collecting()
      const delivery = yield* Delivery.make(exporter, { batchSize: 2 })
      for (const n of [1, 2, 3]) delivery.offer(span(n))
      yield* delivery.flush
      assert.deepStrictEqual(batches, [["span 1", "span 2"], ["span 3"]])
      assert.deepStrictEqual(yield* delivery.ledger, {
        exporter: "test",
        accepted: 3,
        queued: 0,
        inFlight: 0,
        exported: 3,
        dropped: { queue_full: 0, refused: 0, retries_exhausted: 0, shutdown: 0 }
      })
    })
  )

  it.effect("tries again what may pass, with growing waits, and loses nothing", () =>
    Effect.gen(function* () {
      let failures = 3
      const { batches, exporter } = collecting((batch) => (failures-- > 0 ? unavailable(batch.length) : Effect.void))
      const delivery = yield* Delivery.make(exporter, { batchDelay: 0 })
      delivery.offer(span(1))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(batches, [])
      assert.strictEqual((yield* delivery.ledger).inFlight, 1)
      delivery.offer(span(2))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(batches, [["span 1"], ["span 2"]])
      assertSums(yield* delivery.ledger)
    })
  )

  it.effect("gives up what does not pass, counts it, and goes on with the next", () =>
    Effect.gen(function* () {
      const { batches, exporter } = collecting(([first, ...rest]) =>
        first?.name === "span 1" ? unavailable(1 + rest.length) : Effect.void
      )
      const delivery = yield* Delivery.make(exporter, { batchDelay: 0, batchSize: 1 })
      delivery.offer(span(1))
      delivery.offer(span(2))
      yield* TestClock.adjust("1 minutes")
      assert.deepStrictEqual(batches, [["span 2"]])
      const ledger = yield* delivery.ledger
      assert.strictEqual(ledger.dropped.retries_exhausted, 1)
      assertSums(ledger)
    })
  )

  it.effect("does not try again what was refused for good, and counts what was refused of a batch", () =>
    Effect.gen(function* () {
      let calls = 0
      const { exporter } = collecting(() => {
        calls++
        return new Exporter.ExportError({ exporter: "test", message: "bad attribute", retryable: false, refused: 1 })
      })
      const delivery = yield* Delivery.make(exporter)
      for (const n of [1, 2, 3]) delivery.offer(span(n))
      yield* delivery.flush
      assert.strictEqual(calls, 1)
      const ledger = yield* delivery.ledger
      assert.deepStrictEqual([ledger.exported, ledger.dropped.refused], [2, 1])
      assertSums(ledger)
    })
  )

  it.effect.each<[string, refused: number, () => Effect.Effect<void, Exporter.ExportError>]>([
    ["dies", 1, () => Effect.die(new Error("bug"))],
    [
      "throws",
      1,
      () => {
        throw new Error("bug")
      }
    ],
    ["interrupts itself", 1, () => Effect.interrupt],
    ["gives no Effect", 1, () => Promise.resolve() as never],
    ["fails with something else", 1, () => Effect.fail(undefined as never)],
    [
      "refuses it knows not how many",
      1,
      () =>
        Object.defineProperty(
          new Exporter.ExportError({ exporter: "test", message: "odd", retryable: false, refused: 0 }),
          "refused",
          { value: Number.NaN }
        )
    ],
    [
      "refuses less than nothing",
      0,
      () => new Exporter.ExportError({ exporter: "test", message: "odd", retryable: false, refused: -5 })
    ]
  ])("survives an exporter that %s, and goes on", ([, refused, misbehave]) =>
    Effect.gen(function* () {
      let calls = 0
      const { batches, exporter } = collecting()
      const delivery = yield* Delivery.make({
        ...exporter,
        batchDelay: 0,
        export: (batch) => (++calls === 1 ? misbehave() : exporter.export(batch)),
        flush: Effect.die("bug"),
        shutdown: Effect.interrupt
      })
      delivery.offer(span(1))
      yield* delivery.flush
      delivery.offer(span(2))
      yield* delivery.flush
      assert.deepStrictEqual(batches, [["span 2"]])
      const ledger = yield* delivery.ledger
      assert.strictEqual(ledger.dropped.refused, refused)
      assertSums(ledger)
    })
  )

  it.effect.each<[string, Partial<Exporter.Exporter>]>([
    ["lacks flush and shutdown", { flush: undefined as never, shutdown: undefined as never }],
    ["gives Promises", { flush: (() => Promise.resolve()) as never, shutdown: Promise.resolve() as never }],
    [
      "throws where it is read",
      {
        get flush(): never {
          throw new Error("flush")
        },
        get shutdown(): never {
          throw new Error("shutdown")
        }
      }
    ],
    ["hangs for good in flush", { flush: Effect.uninterruptible(Effect.never) }]
  ])("goes on with an exporter that %s", ([, odd]) =>
    Effect.gen(function* () {
      const { batches, exporter } = collecting()
      const scope = yield* Scope.make()
      const misbehaving = Object.defineProperties({ ...exporter }, Object.getOwnPropertyDescriptors(odd))
      const delivery = yield* Scope.provide(Delivery.make(misbehaving, { shutdownTimeout: "1 seconds" }), scope)
      for (const n of [1, 2]) {
        delivery.offer(span(n))
        const flushing = yield* Effect.forkChild(delivery.flush)
        yield* TestClock.adjust("1 seconds")
        assert.isDefined(flushing.pollUnsafe())
      }
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(closing.pollUnsafe(), Exit.void)
      assert.deepStrictEqual(batches, [["span 1"], ["span 2"]])
      assertSums(yield* delivery.ledger)
    })
  )

  it.effect("gives up on an export that does not end, and goes on", () =>
    Effect.gen(function* () {
      let calls = 0
      const { batches, exporter } = collecting(() => (++calls === 1 ? Effect.never : Effect.void))
      const delivery = yield* Delivery.make(exporter, { batchDelay: 0 })
      delivery.offer(span(1))
      yield* TestClock.adjust(0)
      delivery.offer(span(2))
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(batches, [["span 2"]])
      assertSums(yield* delivery.ledger)
    })
  )

  it.effect("tells of spans that end after it was shut down", () =>
    Effect.gen(function* () {
      const logs: Array<string> = []
      const logger = Logger.make(({ message }) => void logs.push(String(message)))
      const scope = yield* Scope.make()
      const delivery = yield* Delivery.make(collecting().exporter).pipe(
        Scope.provide(scope),
        Effect.provide(Logger.layer([logger]))
      )
      yield* Scope.close(scope, Exit.void)
      delivery.offer(span(1))
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(logs, ['Dropped 1 span on its way to exporter "test": ended after tracing had shut down'])
    })
  )

  it.effect("drops and counts what the queue has no room for, and says so once per burst", () =>
    Effect.gen(function* () {
      const logs: Array<unknown> = []
      const logger = Logger.make(({ logLevel, message }) => void logs.push([logLevel, message]))
      const { batches, exporter } = collecting()
      yield* Effect.gen(function* () {
        const delivery = yield* Delivery.make(exporter, { queueSize: 2, batchDelay: "1 seconds" })
        for (const n of [1, 2, 3, 4]) delivery.offer(span(n))
        yield* TestClock.adjust("1 seconds")
        assert.deepStrictEqual(batches, [["span 1", "span 2"]])
        assert.strictEqual((yield* delivery.ledger).dropped.queue_full, 2)
        assertSums(yield* delivery.ledger)
      }).pipe(Effect.scoped, Effect.provide(Logger.layer([logger])))
      assert.deepStrictEqual(logs, [
        ["Warn", ['Dropped 2 spans on their way to exporter "test": the queue is full with 2']]
      ])
    })
  )

  it.effect("sends what is queued when its scope closes, then flushes and shuts the exporter down", () =>
    Effect.gen(function* () {
      const calls: Array<string> = []
      const { batches, exporter } = collecting()
      const note = (call: string) => Effect.sync(() => void calls.push(`${call} ${batches.length}`))
      const scope = yield* Scope.make()
      const delivery = yield* Scope.provide(
        Delivery.make({ ...exporter, flush: note("flush"), shutdown: note("shutdown") }, { batchDelay: "1 hours" }),
        scope
      )
      delivery.offer(span(1))
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(batches, [["span 1"]])
      assert.deepStrictEqual(calls, ["flush 1", "shutdown 1"])
      delivery.offer(span(2))
      const ledger = yield* delivery.ledger
      assert.strictEqual(ledger.dropped.shutdown, 1)
      assertSums(ledger)
    })
  )

  it.effect("does not wait out a retry when the program ends: the other attempts come quickly", () =>
    Effect.gen(function* () {
      let failures = 2
      const { batches, exporter } = collecting((batch) => (failures-- > 0 ? unavailable(batch.length) : Effect.void))
      const scope = yield* Scope.make()
      const delivery = yield* Scope.provide(Delivery.make(exporter, { batchDelay: 0 }), scope)
      delivery.offer(span(1))
      yield* TestClock.adjust("100 millis")
      yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("500 millis")
      assert.deepStrictEqual(batches, [["span 1"]])
    })
  )

  it.effect("ends within shutdownTimeout, whatever the exporter does, and counts what it left behind", () =>
    Effect.gen(function* () {
      const { exporter } = collecting(() => Effect.never)
      const scope = yield* Scope.make()
      const delivery = yield* Scope.provide(
        Delivery.make(exporter, { batchSize: 1, shutdownTimeout: "3 seconds" }),
        scope
      )
      delivery.offer(span(1))
      delivery.offer(span(2))
      yield* TestClock.adjust("1 seconds")
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("2 seconds")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("1 seconds")
      assert.isDefined(closing.pollUnsafe())
      const ledger = yield* delivery.ledger
      assert.strictEqual(ledger.dropped.shutdown, 2)
      assertSums(ledger)
    })
  )

  it.effect("loses nothing when a caller gives up waiting for flush()", () =>
    Effect.gen(function* () {
      const { batches, exporter } = collecting(() => Effect.sleep("1 seconds"))
      const delivery = yield* Delivery.make(exporter)
      delivery.offer(span(1))
      const flushing = yield* Effect.forkChild(Effect.timeoutOption(delivery.flush, "50 millis"))
      yield* TestClock.adjust("50 millis")
      assert.isDefined(flushing.pollUnsafe())
      assert.deepStrictEqual(yield* delivery.ledger, {
        exporter: "test",
        accepted: 1,
        queued: 0,
        inFlight: 1,
        exported: 0,
        dropped: { queue_full: 0, refused: 0, retries_exhausted: 0, shutdown: 0 }
      })
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(batches, [["span 1"]])
    })
  )

  it.effect("flush() returns though spans keep coming", () =>
    Effect.gen(function* () {
      const { exporter } = collecting(() => Effect.sleep("2 millis"))
      const delivery = yield* Scope.provide(Delivery.make(exporter), yield* Scope.make())
      delivery.offer(span(1))
      yield* Effect.forkChild(
        Effect.forever(
          Effect.delay(
            Effect.sync(() => delivery.offer(span(2))),
            "1 millis"
          )
        )
      )
      const flushing = yield* Effect.forkChild(delivery.flush)
      yield* TestClock.adjust("10 millis")
      assert.isDefined(flushing.pollUnsafe())
    })
  )

  it.effect("tells each cause of loss by itself, also while an export hangs", () =>
    Effect.gen(function* () {
      const logs: Array<string> = []
      const logger = Logger.make(({ message }) => void logs.push(String(message)))
      const { exporter } = collecting(([first]) =>
        first?.name === "span 1"
          ? Effect.delay(
              new Exporter.ExportError({ exporter: "test", message: "413 too large", retryable: false, refused: 1 }),
              "5 seconds"
            )
          : Effect.never
      )
      const scope = yield* Scope.make()
      const delivery = yield* Delivery.make(exporter, {
        queueSize: 1,
        batchDelay: 0,
        shutdownTimeout: "1 seconds"
      }).pipe(Scope.provide(scope), Effect.provide(Logger.layer([logger])))
      delivery.offer(span(1))
      yield* TestClock.adjust(0)
      for (const n of [2, 3, 4]) delivery.offer(span(n))
      yield* TestClock.adjust("1 seconds")
      const queueFull = 'Dropped 2 spans on their way to exporter "test": the queue is full with 1'
      assert.deepStrictEqual(logs, [queueFull])
      yield* TestClock.adjust("10 seconds")
      const refused = 'Dropped 1 span on its way to exporter "test": 413 too large'
      assert.deepStrictEqual(logs, [queueFull, refused])
      yield* Effect.forkChild(Effect.provide(Scope.close(scope, Exit.void), Logger.layer([logger])))
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(logs, [
        queueFull,
        refused,
        'Dropped 1 span on its way to exporter "test": not taken within 1s of shutdown'
      ])
      assertSums(yield* delivery.ledger)
    })
  )

  it.effect("lets the exporter go even if its spans do not leave, and waits for none that cannot be interrupted", () =>
    Effect.gen(function* () {
      let wentDown = false
      const exporter = Exporter.make({
        name: "test",
        export: () => Effect.uninterruptible(Effect.never),
        shutdown: Effect.sync(() => void (wentDown = true))
      })
      const scope = yield* Scope.make()
      const delivery = yield* Scope.provide(
        Delivery.make(exporter, { batchDelay: 0, shutdownTimeout: "3 seconds" }),
        scope
      )
      delivery.offer(span(1))
      yield* TestClock.adjust(0)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("3 seconds")
      assert.isDefined(closing.pollUnsafe())
      assert.isTrue(wentDown)
      assertSums(yield* delivery.ledger)
    })
  )

  it.effect("makes no spans of its own work, in flush() neither", () =>
    Effect.gen(function* () {
      let enabled: boolean | undefined
      const exporter = Exporter.make({
        name: "test",
        export: () => Effect.withFiber((fiber) => Effect.sync(() => void (enabled = fiber.cache.tracerEnabled)))
      })
      const delivery = yield* Delivery.make(exporter, { batchDelay: 0 })
      delivery.offer(span(1))
      yield* TestClock.adjust(0)
      assert.strictEqual(enabled, false)
      enabled = undefined
      delivery.offer(span(2))
      yield* delivery.flush
      assert.strictEqual(enabled, false)
    })
  )
})
