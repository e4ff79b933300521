import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import * as Agent from "../src/Agent.ts"
import * as Memory from "../src/exporter/Memory.ts"
import * as Instrument from "../src/Instrument.ts"
import * as Propagator from "../src/Propagator.ts"
import * as Recorder from "../src/Recorder.ts"
import type { Sampler } from "../src/Sampler.ts"
import * as Sampling from "../src/Sampling.ts"
import * as Tracing from "../src/Tracing.ts"

/** Runs a program under a sampler, and gives the names of its spans and the lines of its log. */
const under = (sampler: Sampler, program: Effect.Effect<unknown>, samplingRules = "") =>
  Effect.gen(function* () {
    const logs: Array<string> = []
    const logger = Logger.make(({ message }) => void logs.push(String(message)))
    const tracing = Tracing.layerFromEnvWith({ exporters: ["in_memory"], samplingRules }).pipe(
      Layer.provideMerge(Layer.merge(Sampling.layer(sampler), Logger.layer([logger])))
    )
    const spans = yield* Effect.gen(function* () {
      yield* program
      return yield* (yield* Effect.fromOption(yield* Effect.serviceOption(Memory.Spans))).all
    }).pipe(Effect.provide(tracing))
    return { names: spans.map(({ name }) => name), logs: logs.filter((line) => !line.includes("is no setting")) }
  })

const always: Sampler = { name: "mine", decide: () => ({ sampled: true, threshold: 0n }) }

describe("Recording", () => {
  it.effect("tells once of a sampler that is broken, and records as if it took all", () =>
    Effect.gen(function* () {
      const broken: Sampler = {
        name: "odd",
        decide: () => {
          throw new Error("no")
        }
      }
      const program = Effect.forEach(["a", "b"], (name) => Effect.withSpan(Effect.void, name))
      assert.deepStrictEqual(yield* under(broken, program), {
        names: ["a", "b"],
        logs: ['The sampler "odd" is broken, and takes what the parent took: no']
      })
    })
  )

  it.effect("tells of rules that do not count, as the program brings a sampler of its own", () =>
    Effect.gen(function* () {
      const program = Effect.withSpan(Effect.void, "a")
      assert.deepStrictEqual(yield* under(always, program), { names: ["a"], logs: [] })
      assert.deepStrictEqual(yield* under(always, program, "*: never"), {
        names: ["a"],
        logs: ["samplingRules is not used: the program brings `Sampling` of its own"]
      })
    })
  )
})

describe("the environment", () => {
  it.effect("is told of in the log where it cannot be read, and the trace begins here", () =>
    Effect.gen(function* () {
      yield* Effect.acquireRelease(
        Effect.sync(() => Object.assign(process.env, { TRACEPARENT: "garbage", BAGGAGE: "user=alice,=" })),
        () =>
          Effect.sync(() => {
            delete process.env["TRACEPARENT"]
            delete process.env["BAGGAGE"]
          })
      )
      assert.deepStrictEqual(yield* under(always, Effect.withSpan(Effect.void, "a")), {
        names: ["a"],
        logs: ["TRACEPARENT", "BAGGAGE"].map(
          (name) => `${name} cannot be read, or not as a whole: what it says of a trace is left out`
        )
      })
    })
  )
})

describe("Recorder.SpanNames", () => {
  const program = Effect.gen(function* () {
    for (const name of ["planner", "critic"]) yield* Agent.make(name, { run: () => Effect.void })()
    return yield* (yield* Effect.fromOption(yield* Effect.serviceOption(Memory.Spans))).all
  })
  const namesBy = (spanNames: NonNullable<(typeof Recorder.SpanNames)["Service"]>) =>
    Effect.gen(function* () {
      const tracing = Tracing.layerFromEnvWith({ exporters: ["in_memory"], samplingRules: "agent=critic: never" })
      const spans = yield* Effect.provide(program, Layer.provide(tracing, Layer.succeed(Recorder.SpanNames, spanNames)))
      return spans.map(({ name }) => name)
    })

  it.effect("says what spans are called where they go, while rules go by Handspan's names", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* namesBy(({ kind, name }) => `${kind} ${name.replace("agent_handoff.", "")}`), [
        "internal planner"
      ])
    })
  )

  it.effect("leaves spans their names where it throws, or gives no text", () =>
    Effect.gen(function* () {
      const throws = () => {
        throw new Error("no")
      }
      assert.deepStrictEqual(yield* namesBy(throws), ["agent_handoff.planner"])
      assert.deepStrictEqual(yield* namesBy(() => undefined as never), ["agent_handoff.planner"])
    })
  )
})

describe("baggageAttributes", () => {
  const baggage = "user.id=alice,session=7,password=hunter2"
  const attributes = (program: Effect.Effect<unknown>, baggageAttributes: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      yield* Propagator.withRemoteParent({ baggage })(program)
      const spans = yield* (yield* Effect.fromOption(yield* Effect.serviceOption(Memory.Spans))).all
      return Object.fromEntries(spans.map(({ attributes, name }) => [name, attributes]))
    }).pipe(Effect.provide(Tracing.layerFromEnvWith({ exporters: ["in_memory"], baggageAttributes })))

  it.effect("names what of the baggage stands on spans, those of plain code too, and nothing else does", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const { startSpan } = yield* Instrument.make
        yield* Effect.promise(async () => startSpan("plain").end())
      })
      const nested = Effect.withSpan(program, "effect")
      assert.deepStrictEqual(yield* attributes(nested, ["user.id", "unknown"]), {
        effect: { "user.id": "alice" },
        plain: { "user.id": "alice" }
      })
      assert.deepStrictEqual(yield* attributes(nested, []), { effect: {}, plain: {} })
    })
  )

  it.effect("has secrets taken out like any attribute", () =>
    Effect.gen(function* () {
      const spans = yield* attributes(Effect.withSpan(Effect.void, "work"), ["password"])
      assert.deepStrictEqual(Object.keys(spans["work"] ?? {}), ["password"])
      assert.notInclude(String(spans["work"]?.["password"]), "hunter2")
    })
  )
})
