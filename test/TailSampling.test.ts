import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Logger, Metric, Scope } from "effect"
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
import * as TailReport from "../src/TailReport.ts"
import * as TailRules from "../src/TailRules.ts"
import * as TailSampling from "../src/TailSampling.ts"
import * as Tracing from "../src/Tracing.ts"

const tracing = (options: TailSampling.Options) =>
  Tracing.layerInMemory.pipe(Layer.provide(TailSampling.layer(options)))

const names = Effect.flatMap(Memory.Spans, ({ all }) => Effect.map(all, (spans) => spans.map(({ name }) => name)))
const ledger = Effect.flatMap(Delivery.Deliveries, ({ ledgers }) => Effect.map(ledgers, (all) => all[0]!))

/** The lines of the log, and a Layer that collects them. */
const collected = () => {
  const logs: Array<string> = []
  return { logs, logging: Logger.layer([Logger.make(({ message }) => void logs.push(String(message)))]) }
}

/** Starts what is never over, and goes on. */
const background = (name: string) => Effect.forkDetach(Effect.withSpan(Effect.never, name), { startImmediately: true })

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
      yield* Effect.withSpan(background("background"), "root")
      yield* Effect.yieldNow
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual((yield* ledger).held, 1)
      yield* TestClock.adjust("11 seconds")
      assert.deepStrictEqual((yield* ledger).held, 0)
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
      const { logging, logs } = collected()
      const broken = TailRules.attribute("x", () => {
        throw new Error("broken")
      })
      yield* Effect.gen(function* () {
        const odd = Effect.withSpan(Effect.void, "odd", { attributes: { x: 1 } })
        yield* Effect.andThen(odd, odd)
        assert.deepStrictEqual(yield* names, ["odd", "odd"])
      }).pipe(Effect.provide(tracing({ rules: [broken] }).pipe(Layer.provideMerge(logging))))
      assert.strictEqual(logs.length, 1)
      assert.match(logs[0]!, /^The tail rule ".*" is broken, and keeps its traces: .*broken$/)
    })
  )

  it.effect("decides before a flush what has ended, also while it settles, and leaves what is open", () =>
    Effect.gen(function* () {
      const taken: Array<string> = []
      const exporter = Exporter.make({
        name: "test",
        export: (spans) => Effect.sync(() => void taken.push(...spans.map(({ name }) => name)))
      })
      yield* Effect.gen(function* () {
        const { flush } = yield* Delivery.Deliveries
        yield* critic("x")
        yield* Effect.withSpan(background("background"), "with background")
        const open = yield* Effect.forkChild(Effect.withSpan(Effect.andThen(writer(false), Effect.never), "open"))
        yield* Effect.yieldNow
        yield* flush
        assert.deepStrictEqual(taken, ["agent_handoff.critic", "with background"])
        assert.deepStrictEqual((yield* ledger).held, 1)
        open.interruptUnsafe()
        yield* Effect.yieldNow
        yield* flush
        assert.deepStrictEqual(taken.slice(2), ["agent_handoff.writer", "open"])
      }).pipe(
        Effect.provide(
          Tracing.layer({ exporters: [exporter] }).pipe(
            Layer.provide(TailSampling.layer({ rules: [TailRules.always], settle: "2 seconds" }))
          )
        )
      )
    })
  )

  it.effect("decides before memory is read what has ended", () =>
    Effect.gen(function* () {
      yield* critic("x")
      assert.deepStrictEqual(yield* names, ["agent_handoff.critic"])
    }).pipe(Effect.provide(tracing({ rules: [TailRules.always], settle: "2 seconds" })))
  )

  it("refuses at once what is no bound", () => {
    const rules = [TailRules.always]
    assert.throws(() => TailSampling.layer({ rules, maxSpans: NaN }), RangeError, "maxSpans is NaN")
    assert.throws(() => TailSampling.layer({ rules, settle: NaN }), RangeError, "settle is NaN")
  })
})

describe("TailReport", () => {
  /** What was counted of rules whose name begins so, whatever other tests count. */
  const counted = (prefix: string) =>
    Effect.map(Metric.snapshot, (snapshots) =>
      Object.fromEntries(
        snapshots
          .filter(({ attributes, id }) => id === TailReport.names.traces && attributes?.["rule"]?.startsWith(prefix))
          .map(({ attributes, state }) => [
            [attributes?.["verdict"], attributes?.["rule"], attributes?.["early"]].join(" "),
            "count" in state ? Number(state.count) : undefined
          ])
      )
    )

  it.effect("counts traces by verdict and rule, and those that were decided early", () =>
    Effect.gen(function* () {
      const named = (name: string, rule: TailRules.Rule): TailRules.Rule => ({ ...rule, name: `counted ${name}` })
      const rules = [named("critics", TailRules.never(TailRules.agent("critic"))), named("all", TailRules.always)]
      yield* Effect.gen(function* () {
        yield* Effect.all([critic("x"), critic("y"), writer(false)])
        yield* Effect.withSpan(background("background"), "root")
        yield* TestClock.adjust("31 seconds")
        assert.deepStrictEqual(yield* counted("counted "), {
          "dropped counted critics false": 2,
          "kept counted all false": 1,
          "kept counted all true": 1
        })
      }).pipe(Effect.provide(tracing({ rules })))
    })
  )

  it.effect("warns once of each burst of traces for which there is no room, and tells the last at the end", () =>
    Effect.gen(function* () {
      const { logging, logs } = collected()
      const layer = tracing({ rules: [TailRules.always], maxTraces: 1 }).pipe(Layer.provideMerge(logging))
      const open = (count: number) =>
        Effect.replicateEffect(
          Effect.forkDetach(Effect.withSpan(Effect.andThen(writer(false), Effect.never), "open"), {
            startImmediately: true
          }),
          count
        )
      const told = (what: string) =>
        `Tail sampling has no room: decided ${what} before the end; raise maxTraces, maxSpans or maxBytes, or shorten age and openAge`
      yield* Effect.gen(function* () {
        yield* open(4)
        yield* TestClock.adjust("900 millis")
        yield* open(2)
        assert.deepStrictEqual(logs, [])
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(logs, [told("5 traces")])
        yield* open(1)
      }).pipe(Effect.provide(layer))
      assert.deepStrictEqual(logs, [told("5 traces"), told("1 trace")])
    })
  )
})

describe("tailRules", () => {
  const failing = Agent.make("failing", { run: () => Effect.fail("no") })
  const program = Effect.gen(function* () {
    yield* Effect.ignore(failing())
    yield* critic("x")
    yield* Effect.withSpan(Effect.void, "health", { attributes: { tier: "gold" } })
    const { all } = yield* Effect.fromOption(yield* Effect.serviceOption(Memory.Spans))
    return (yield* all).map(({ name }) => name)
  })
  const all = ["agent_handoff.failing", "agent_handoff.critic", "health"]
  const kept = (tailRules: string, more: Parameters<typeof Tracing.layerFromEnvWith>[0] = {}) =>
    Effect.provide(program, Tracing.layerFromEnvWith({ exporters: ["in_memory"], tailRules, ...more }))

  it.effect("say in settings which traces stay, and all do without", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* kept(""), all)
      assert.deepStrictEqual(yield* kept("errors"), ["agent_handoff.failing"])
      assert.deepStrictEqual(yield* kept("errors: never; always"), all.slice(1))
      assert.deepStrictEqual(yield* kept("agent=crit*; attribute tier=gold"), all.slice(1))
      assert.deepStrictEqual(yield* kept("agent=critic: never; share: 1"), [all[0], all[2]])
      assert.deepStrictEqual(yield* kept("slower: 2 seconds; slower: p95; tokens: 10; cost c: 1; share: 0"), [])
    })
  )

  it.effect("come from a variable", () =>
    Effect.gen(function* () {
      process.env["HANDSPAN_TAIL_RULES"] = "attribute tier"
      yield* Effect.addFinalizer(() => Effect.sync(() => delete process.env["HANDSPAN_TAIL_RULES"]))
      const layer = Tracing.layerFromEnvWith({ exporters: ["in_memory"] })
      assert.deepStrictEqual(yield* Effect.provide(program, layer), ["health"])
    })
  )

  it.effect("are refused where they cannot be read, with what is wrong and what is allowed", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(kept("errors; slower: soon"))
      assert.strictEqual(
        String(error.message.split("\n")[0]),
        'tailRules: "errors; slower: soon" is not allowed: rule "slower: soon": write it as slower: 2 seconds, or slower: p95; ' +
          "use rules such as errors; slower: 2 seconds; agent=critic; share: 0.05 (from code)"
      )
    })
  )

  it.effect("do not count where the program brings its own, and the log says so once", () =>
    Effect.gen(function* () {
      const { logging, logs } = collected()
      const own = TailSampling.layer({ rules: [TailRules.agent("critic")] })
      const ownSampling = Sampling.layer(Sampler.always)
      const run = kept("errors", { samplingRules: "*: never" })
      assert.deepStrictEqual(yield* run.pipe(Effect.provide(Layer.mergeAll(own, ownSampling, logging))), [
        "agent_handoff.critic"
      ])
      assert.deepStrictEqual(logs.filter((line) => line.includes("not used")).toSorted(), [
        "samplingRules is not used: the program brings `Sampling` of its own",
        "tailRules is not used: the program brings `TailSampling` of its own"
      ])
    })
  )
})
