// Tracing with a spool, all of it real: what cannot go out now waits on disk and goes out later.
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, Schedule } from "effect"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Delivery from "../src/Delivery.ts"
import * as Exporter from "../src/Exporter.ts"
import * as Ledger from "../src/Ledger.ts"
import * as Spool from "../src/Spool.ts"
import * as Tracing from "../src/Tracing.ts"
import { batchOf } from "./batches.ts"
import * as SpanRecord from "../src/SpanRecord.ts"

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(join(tmpdir(), "handspan-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
)

/** An exporter that keeps the names of what it takes, and does first what it is told. */
const collecting = (first: () => Effect.Effect<void, Exporter.ExportError>) => {
  const names: Array<string> = []
  const exporter = Exporter.make({
    name: "test",
    spoolAs: "somewhere",
    export: (spans) =>
      Effect.andThen(
        first(),
        Effect.sync(() => void names.push(...spans.map(({ name }) => name)))
      )
  })
  return { exporter, names }
}

const unavailable = new Exporter.ExportError({ exporter: "test", message: "503", retryable: true, refused: 0 })

const makeSpans = (from: number, to: number) =>
  Effect.gen(function* () {
    for (let n = from; n < to; n++) yield* Effect.withSpan(Effect.void, `span ${n}`)
  })

const theLedger = Effect.flatMap(Delivery.Deliveries, ({ ledgers }) => Effect.map(ledgers, (all) => all[0]!))

/** Waits, for ten seconds at most, until the ledger is as it should be, and gives it as it is. */
const until = (isRight: (ledger: Ledger.Ledger) => boolean) =>
  theLedger.pipe(Effect.repeat({ until: isRight, times: 500, schedule: Schedule.spaced("20 millis") }))

describe("tracing with a spool", () => {
  it.live("drops nothing during an outage, however small the queue", () =>
    Effect.gen(function* () {
      let isDown = true
      const { exporter, names } = collecting(() => (isDown ? unavailable : Effect.void))
      const layer = Tracing.layer({
        exporters: [exporter],
        spoolDirectory: yield* temporaryFolder,
        queueSize: 100,
        batchSize: 50,
        logFormat: "none"
      })
      yield* Effect.gen(function* () {
        for (let n = 0; n < 5_000; n += 40) yield* Effect.andThen(makeSpans(n, n + 40), Effect.promise(nextTask))
        const during = yield* theLedger
        assert.strictEqual(Ledger.totalDropped(during), 0)
        assert.isAbove(during.spooled, 4_800)
        isDown = false
        const after = yield* until(({ exported }) => exported === 5_000)
        assert.isTrue(Ledger.isBalanced(after))
        assert.deepStrictEqual([after.spooled, Ledger.totalDropped(after)], [0, 0])
      }).pipe(Effect.provide(layer))
      assert.strictEqual(new Set(names).size, 5_000)
    })
  )

  it.live("tries an export again that hangs", () =>
    Effect.gen(function* () {
      let attempts = 0
      const { exporter, names } = collecting(() => (++attempts === 1 ? Effect.never : Effect.void))
      const spoolDirectory = yield* temporaryFolder
      yield* Effect.andThen(
        makeSpans(0, 3),
        until(({ exported }) => exported === 3)
      ).pipe(
        Effect.provide(
          Tracing.layer({
            exporters: [exporter],
            spoolDirectory,
            exportTimeout: Duration.millis(100),
            batchDelay: Duration.millis(10),
            logFormat: "none"
          })
        )
      )
      assert.deepStrictEqual([attempts, names.toSorted()], [2, ["span 0", "span 1", "span 2"]])
    })
  )

  it.live("tells of what it finds damaged, in the log and in its health, and sends the rest", () =>
    Effect.gen(function* () {
      const spoolDirectory = yield* temporaryFolder
      // As a process leaves it that could not send: three batches, of which one is damaged afterwards.
      const leave = Effect.gen(function* () {
        const journal = yield* (yield* Spool.Spool).open("test somewhere")
        for (let n = 0; n < 3; n++) journal.append(batchOf([SpanRecord.make({ name: `left ${n}` })]))
      })
      yield* Effect.scoped(leave).pipe(Effect.provide(Spool.layer({ directory: spoolDirectory })))
      const [segment] = fs.globSync(join(spoolDirectory, "**/*.spool1"))
      const bytes = fs.readFileSync(segment!)
      bytes[bytes.indexOf("left 1")]! ^= 1
      fs.writeFileSync(segment!, bytes)

      const { exporter, names } = collecting(() => Effect.void)
      const warnings: Array<string> = []
      const logger = Logger.make(({ message }) => void warnings.push(String(message)))
      const tracing = Tracing.layer({ exporters: [exporter], spoolDirectory, batchDelay: Duration.millis(10) })
      yield* Effect.gen(function* () {
        const { health } = yield* Delivery.Deliveries
        const { recovered } = yield* until(({ exported }) => exported === 2)
        assert.strictEqual(recovered, 2)
        const [{ problem, status } = { problem: "", status: "" }] = yield* health
        assert.deepStrictEqual([status, problem], ["degraded", "1 batches and 1 files in the spool cannot be read"])
      }).pipe(Effect.provide(Layer.provideMerge(tracing, Logger.layer([logger]))))
      assert.deepStrictEqual(names, ["left 0", "left 2"])
      assert.include(warnings.join("\n"), 'Exporter "test": 1 batches')
    })
  )
})

/** Spans go to disk when the program lets go of the thread. */
const nextTask = () => new Promise<void>((resolve) => setImmediate(resolve))
