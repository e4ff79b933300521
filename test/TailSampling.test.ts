import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Logger, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Agent from "../src/Agent.ts"
import * as Delivery from "../src/Delivery.ts"
import * as Memory from "../src/exporter/Memory.ts"
import * as Exporter from "../src/Exporter.ts"
import * as Ledger from "../src/Ledger.ts"
import * as Pipeline from "../src/Pipeline.ts"
import * as Sampler from "../src/Sampler.ts"
import * as Sampling from "../src/Sampling.ts"
import type { SpanRecord } from "../src/SpanRecord.ts"
import * as TailRules from "../src/TailRules.ts"
import * as TailSampling from "../src/TailSampling.ts"
import * as Tracing from "../src/Tracing.ts"

const tracing = (options: TailSampling.Options) =>
  Tracing.layerInMemory.pipe(Layer.provide(TailSampling.layer(options)))

const names = Effect.flatMap(Memory.Spans, ({ all }) => Effect.map(all, (spans) => spans.map(({ name }) => name)))
const ledger = Effect.flatMap(Delivery.Deliveries, ({ ledgers }) => Effect.map(ledgers, (all) => all[0]!))

const writer = Agent.make("writer", { run: (fails: boolean) => (fails ? Effect.fail("no") : Effect.succeed("poem")) })
const critic = Agent.make("critic", { run: (poem: string) => Effect.succeed(poem) })
const studio = Pipeline.make("studio", (fails: boolean) => Effect.flatMap(writer(fails), critic))

describe("TailSampling", () => {
  it.effect("keeps whole traces by what became of them, and accounts for every span", () =>
    Effect.gen(function* () {
      for (const fails of [false, true, false]) yield* Effect.ignore(studio(fails))
      const outer = yield* Effect.forkChild(Effect.withSpan(Effect.andThen(studio(false), Effect.never), "outer"))
      yield* Effect.yieldNow
      assert.deepStrictEqual(yield* names, ["agent_handoff.writer", "pipeline.studio"])
      const during = yield* ledger
      assert.deepStrictEqual(
        [during.started, during.exported, during.unsampled, during.held, during.live],
        [3 + 2 + 3 + 4, 2, 6, 3, 1]
      )
      assert.isTrue(Ledger.isBalanced(during))
      outer.interruptUnsafe()
      yield* Effect.yieldNow
      const after = yield* ledger
      assert.deepStrictEqual([after.unsampled, after.held, after.live], [10, 0, 0])
    }).pipe(Effect.provide(tracing({ rules: [TailRules.errors()] })))
  )

  it.effect("keeps what takes long, by the clock", () =>
    Effect.gen(function* () {
      const sleeping = (name: string, time: "1 second" | "3 seconds") => Effect.withSpan(Effect.sleep(time), name)
      const both = Effect.all([sleeping("quick", "1 second"), sleeping("slow", "3 seconds")], { concurrency: 2 })
      yield* Effect.forkChild(both)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* names, ["slow"])
    }).pipe(Effect.provide(tracing({ rules: [TailRules.slowerThan("2 seconds")] })))
  )

  it.effect("decides at the end of the program about all that is there, and of spans that nobody ends", () =>
    Effect.gen(function* () {
      const taken: Array<SpanRecord> = []
      const exporter = Exporter.make({ name: "test", export: (spans) => Effect.sync(() => void taken.push(...spans)) })
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        Tracing.layer({ exporters: [exporter] }).pipe(Layer.provide(TailSampling.layer({ rules: [TailRules.always] }))),
        scope
      )
      yield* Effect.provide(Effect.andThen(Effect.makeSpan("open"), Effect.void), context)
      const fiber = yield* Effect.forkChild(
        Effect.provide(Effect.withSpan(Effect.andThen(critic("x"), Effect.never), "outer"), context)
      )
      yield* Effect.yieldNow
      assert.deepStrictEqual(taken, [])
      yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(
        Object.fromEntries(taken.map(({ attributes, name }) => [name, attributes["handspan.abandoned"]])),
        { "agent_handoff.critic": undefined, open: "shutdown", outer: "shutdown" }
      )
      fiber.interruptUnsafe()
    })
  )

  it.effect("lets a trace go that waits too long", () =>
    Effect.gen(function* () {
      const child = Effect.withSpan(Effect.never, "background")
      yield* Effect.withSpan(Effect.forkDetach(child, { startImmediately: true }), "root")
      yield* Effect.yieldNow
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(yield* names, [])
      yield* TestClock.adjust("11 seconds")
      assert.deepStrictEqual(yield* names, ["root"])
    }).pipe(Effect.provide(tracing({ rules: [TailRules.always] })))
  )

  it.effect("says how probable a kept trace was, where the head knows it", () =>
    Effect.gen(function* () {
      yield* Effect.replicateEffect(studio(false), 400)
      const spans = yield* (yield* Memory.Spans).all
      const states = new Set(spans.map(({ traceState }) => traceState))
      assert.deepStrictEqual(states, new Set(["ot=th:8"]))
      assert.approximately(spans.length / 3, 200, 60)
    }).pipe(
      Effect.provide(tracing({ rules: [TailRules.share(0.5)] }).pipe(Layer.provide(Sampling.layer(Sampler.always))))
    )
  )

  it.effect("keeps the traces of a rule that throws, and tells of it once", () =>
    Effect.gen(function* () {
      const logs: Array<string> = []
      const logger = Logger.make(({ message }) => void logs.push(String(message)))
      const broken = TailRules.attribute("x", () => {
        throw new Error("broken")
      })
      yield* Effect.gen(function* () {
        const odd = Effect.withSpan(Effect.void, "odd", { attributes: { x: 1 } })
        yield* Effect.andThen(odd, odd)
        assert.deepStrictEqual(yield* names, ["odd", "odd"])
      }).pipe(Effect.provide(tracing({ rules: [broken] }).pipe(Layer.provideMerge(Logger.layer([logger])))))
      assert.strictEqual(logs.length, 1)
      assert.match(logs[0]!, /^The tail rule ".*" is broken, and keeps its traces: .*broken$/)
    })
  )
})
