import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { TestClock } from "effect/testing"
import * as DropWarnings from "../src/DropWarnings.ts"
import { type DropReason, noneDropped } from "../src/Ledger.ts"

/** Warnings over counts that a test changes, and what they logged. */
const watched = Effect.gen(function* () {
  const logged: Array<string> = []
  /** What happens while something is logged, once each. */
  const onLog: Array<() => void> = []
  const logger = Logger.make(({ logLevel, message }) => {
    logged.push(`${logLevel}: ${String(message)}`)
    onLog.pop()?.()
  })
  const dropped = { ...noneDropped }
  const warnings = yield* DropWarnings.make("otlp", dropped, {
    queue_full: "the queue is full",
    refused: "bad request",
    retries_exhausted: "",
    too_large: "",
    damaged: "",
    expired: "",
    shutdown: ""
  }).pipe(Effect.provide(Logger.layer([logger])))
  const drop = (reason: DropReason, count: number): void => {
    dropped[reason] += count
    warnings.notice()
  }
  const settle = Effect.provide(warnings.settle, Logger.layer([logger]))
  const tell = Effect.provide(warnings.tell, Logger.layer([logger]))
  return { causes: warnings.causes, drop, logged, onLog, settle, tell }
})

const full = (count: number) => `Warn: Dropped ${count} spans on their way to exporter "otlp": the queue is full`
const refused = (count: number) => `Warn: Dropped ${count} spans on their way to exporter "otlp": bad request`

describe("DropWarnings", () => {
  it.effect("warns once of each burst and reason, a second after it began", () =>
    Effect.gen(function* () {
      const { drop, logged } = yield* watched
      yield* TestClock.adjust("1 hours")
      assert.deepStrictEqual(logged, [])
      drop("queue_full", 2)
      yield* TestClock.adjust("900 millis")
      drop("queue_full", 40)
      drop("refused", 3)
      assert.deepStrictEqual(logged, [])
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(logged, [full(42), refused(3)])
      yield* TestClock.adjust("1500 millis")
      drop("refused", 4)
      yield* TestClock.adjust("900 millis")
      assert.deepStrictEqual(logged, [full(42), refused(3)])
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(logged, [full(42), refused(3), refused(4)])
    })
  )

  it.effect("tells of one span, and the cause as it is by then", () =>
    Effect.gen(function* () {
      const { causes, drop, logged } = yield* watched
      drop("queue_full", 1)
      causes.queue_full = "the queue is full with 10"
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(logged, ['Warn: Dropped 1 span on its way to exporter "otlp": the queue is full with 10'])
    })
  )

  it.effect("tell gives what is due at once, and it is not said again", () =>
    Effect.gen(function* () {
      const { drop, logged, tell } = yield* watched
      drop("queue_full", 2)
      yield* tell
      assert.deepStrictEqual(logged, [full(2)])
      yield* TestClock.adjust("1 hours")
      yield* tell
      assert.deepStrictEqual(logged, [full(2)])
    })
  )

  it.effect("settle gives what is due, waits for nothing, and what comes later is told all the same", () =>
    Effect.gen(function* () {
      const { drop, logged, settle } = yield* watched
      drop("queue_full", 2)
      yield* TestClock.adjust("500 millis")
      yield* settle
      assert.deepStrictEqual(logged, [full(2)])
      drop("queue_full", 3)
      yield* TestClock.adjust("900 millis")
      assert.deepStrictEqual(logged, [full(2)])
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(logged, [full(2), full(3)])
    })
  )

  it.effect("settle misses nothing that is dropped while it tells", () =>
    Effect.gen(function* () {
      const { drop, logged, onLog, settle } = yield* watched
      onLog.push(() => drop("queue_full", 3))
      drop("queue_full", 2)
      yield* settle
      assert.deepStrictEqual(logged, [full(2)])
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(logged, [full(2), full(3)])
    })
  )
})
