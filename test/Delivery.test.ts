import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Logger, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Delivery from "../src/Delivery.ts"
import * as Exporter from "../src/Exporter.ts"
import * as Ledger from "../src/Ledger.ts"
import * as SpanRecord from "../src/SpanRecord.ts"
import { encoded } from "./batches.ts"

const span = (n: number) => encoded(SpanRecord.make({ name: `span ${n}`, spanId: n.toString(16).padStart(16, "0") }))
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
const assertSums = (ledger: Ledger.Ledger) => assert.isTrue(Ledger.isBalanced(ledger), JSON.stringify(ledger))

const ledger = (fields: Partial<Ledger.Ledger>): Ledger.Ledger => ({
  exporter: "test",
  started: 0,
  recovered: 0,
  live: 0,
  held: 0,
  unsampled: 0,
  queued: 0,
  inFlight: 0,
  spooled: 0,
  exported: 0,
  dropped: Ledger.noneDropped,
  ...fields
})

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
      assert.deepStrictEqual(yield* delivery.ledger, ledger({ started: 3, exported: 3 }))
    })
  )

  it.effect("flush() returns at once where there is nothing to send, however often it is called in a row", () =>
    Effect.gen(function* () {
      const { batches, exporter } = collecting()
      const delivery = yield* Delivery.make(exporter, {})
      for (let n = 0; n < 5; n++) yield* delivery.flush
      delivery.offer(span(1))
      for (let n = 0; n < 5; n++) yield* delivery.flush
      assert.deepStrictEqual(batches, [["span 1"]])
      assert.strictEqual(yield* Clock.currentTimeMillis, 0)
    })
  )

  it.effect("tries again what may pass, with growing waits, and loses nothing", () =>
    Effect.gen(function* () {
      let failures = 3
      const { batches, exporter } = collecting((batch) => (failures-- > 0 ? unavailable(batch.length) : Effect.void))
      const delivery = yield* Delivery.make(exporter, { batchDelay: 0 })
      delivery.offer(span(1))
      yield* TestClock.adjust("300 millis")
      assert.deepStrictEqual(batches, [])
      assertSums(yield* delivery.ledger)
      delivery.offer(span(2))
      yield* TestClock.adjust("400 millis")
      assert.deepStrictEqual(batches.flat(), ["span 1", "span 2"])
      assert.deepStrictEqual(yield* delivery.ledger, ledger({ started: 2, exported: 2 }))
    })
  )

  it.effect("never gives up while nothing goes through, and never waits longer than five seconds", () =>
    Effect.gen(function* () {
      let isDown = true
      let attempts = 0
      const { batches, exporter } = collecting((batch) => {
        attempts++
        return isDown ? unavailable(batch.length) : Effect.void
      })
      const delivery = yield* Delivery.make(exporter, { batchDelay: 0 })
      delivery.offer(span(1))
      yield* TestClock.adjust("10 minutes")
      assert.isAbove(attempts, 120)
      assert.isBelow(attempts, 260)
      isDown = false
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(batches, [["span 1"]])
    })
  )

  it.effect("waits as long as the receiver asks", () =>
    Effect.gen(function* () {
      let attempts = 0
      const { batches, exporter } = collecting(() =>
        ++attempts === 1
          ? new Exporter.ExportError({
              exporter: "test",
              message: "429",
              retryable: true,
              refused: 1,
              retryAfterMillis: 60_000
            })
          : Effect.void
      )
      const delivery = yield* Delivery.make(exporter, { batchDelay: 0 })
      delivery.offer(span(1))
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(attempts, 1)
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(batches, [["span 1"]])
    })
  )

  it.effect("gives up what keeps failing while others go through, alone, counts it, and goes on", () =>
    Effect.gen(function* () {
      const { batches, exporter } = collecting((batch) =>
        batch.some(({ name }) => name === "span 1") ? unavailable(batch.length) : Effect.void
      )
      const delivery = yield* Delivery.make(exporter, { batchDelay: 0 })
      for (let n = 1; n <= 10; n++) {
        delivery.offer(span(n))
        yield* TestClock.adjust("1 minutes")
      }
      assert.deepStrictEqual(batches.flat().toSorted(), [2, 3, 4, 5, 6, 7, 8, 9, 10].map((n) => `span ${n}`).toSorted())
      const counted = yield* delivery.ledger
      assert.strictEqual(counted.dropped.retries_exhausted, 1)
      assertSums(counted)
    })
  )

  it.effect("sends several requests at once where the exporter allows it, and one while it fails", () =>
    Effect.gen(function* () {
      let underWay = 0
      const most: Array<number> = []
      let isDown = false
      const exporter = {
        ...Exporter.make({
          name: "test",
          export: (batch) =>
            Effect.suspend(() => {
              most.push(++underWay)
              return Effect.andThen(Effect.sleep("1 seconds"), isDown ? unavailable(batch.length) : Effect.void)
            }).pipe(Effect.ensuring(Effect.sync(() => void underWay--)))
        }),
        concurrency: 3
      }
      const delivery = yield* Delivery.make(exporter, { batchDelay: 0, batchSize: 1 })
      for (const n of [1, 2, 3, 4]) delivery.offer(span(n))
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(most, [1, 2, 3, 3])
      isDown = true
      for (const n of [5, 6]) delivery.offer(span(n))
      yield* TestClock.adjust("1 minutes")
      assert.deepStrictEqual(most.slice(0, 6), [1, 2, 3, 3, 1, 2])
      assert.isTrue(most.length > 12 && most.slice(6).every((n) => n === 1), most.join())
      isDown = false
      yield* TestClock.adjust("10 seconds")
      assertSums(yield* delivery.ledger)
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
      const counted = yield* delivery.ledger
      assert.deepStrictEqual([counted.exported, counted.dropped.refused], [2, 1])
      assertSums(counted)
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
      const counted = yield* delivery.ledger
      assert.strictEqual(counted.dropped.refused, refused)
      assertSums(counted)
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

  it.effect("tries an export again that does not end, and loses nothing", () =>
    Effect.gen(function* () {
      let calls = 0
      const { batches, exporter } = collecting(() => (++calls === 1 ? Effect.never : Effect.void))
      const delivery = yield* Delivery.make(exporter, { batchDelay: 0 })
      delivery.offer(span(1))
      yield* TestClock.adjust(0)
      delivery.offer(span(2))
      yield* TestClock.adjust("30 seconds")
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(batches.flat().toSorted(), ["span 1", "span 2"])
      assert.deepStrictEqual(yield* delivery.ledger, ledger({ started: 2, exported: 2 }))
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
        [
          "Warn",
          [
            'Dropped 2 spans on their way to exporter "test": the queue is full, with room for 2 spans of 67108864 bytes'
          ]
        ]
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
      const counted = yield* delivery.ledger
      assert.strictEqual(counted.dropped.shutdown, 1)
      assertSums(counted)
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
      const counted = yield* delivery.ledger
      assert.strictEqual(counted.dropped.shutdown, 2)
      assertSums(counted)
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
      assert.deepStrictEqual(yield* delivery.ledger, ledger({ started: 1, inFlight: 1 }))
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
      const queueFull =
        'Dropped 2 spans on their way to exporter "test": the queue is full, with room for 1 spans of 67108864 bytes'
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
