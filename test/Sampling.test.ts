import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result, SubscriptionRef } from "effect"
import * as Agent from "../src/Agent.ts"
import * as Exporter from "../src/Exporter.ts"
import * as Memory from "../src/exporter/Memory.ts"
import * as Pipeline from "../src/Pipeline.ts"
import * as Recorder from "../src/Recorder.ts"
import * as Sampler from "../src/Sampler.ts"
import * as Sampling from "../src/Sampling.ts"
import * as Settings from "../src/Settings.ts"
import * as Tracing from "../src/Tracing.ts"
import { traceIds } from "./trace-ids.ts"

const samplerOf = (environment: Record<string, string>) =>
  Sampling.fromSettings(Result.getOrThrow(Settings.fromRecord(environment)))

const question = (traceId: string, name = "work"): Sampler.Question => ({
  traceId,
  name,
  kind: "internal",
  startTimeUnixNano: 0n,
  parent: undefined,
  hints: {},
  baggage: new Map()
})

const ids = traceIds(20_000)

const share = (sampler: Sampler.Sampler | undefined) =>
  ids.filter((id) => sampler?.decide(question(id)).sampled ?? true).length / ids.length

const names = Effect.flatMap(Memory.Spans, ({ all }) => Effect.map(all, (spans) => spans.map(({ name }) => name)))
const span = (name: string) => Effect.withSpan(Effect.void, name)

describe("fromSettings", () => {
  it.each<[Record<string, string>, name: string | undefined, share: number]>([
    [{}, undefined, 1],
    [{ OTEL_TRACES_SAMPLER: "parentbased_always_on" }, undefined, 1],
    [{ OTEL_TRACES_SAMPLER: "always_on" }, "always", 1],
    [{ OTEL_TRACES_SAMPLER: "always_off" }, "never", 0],
    [{ OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.25" }, "ratio 0.25", 0.25],
    [{ OTEL_TRACE_SAMPLER: "parentbased_always_off" }, "parent's, or never", 0],
    [
      { HANDSPAN_SAMPLER: "parentbased_traceidratio", HANDSPAN_SAMPLER_ARG: "0.5", OTEL_TRACES_SAMPLER: "always_off" },
      "parent's, or ratio 0.5",
      0.5
    ],
    [{ HANDSPAN_PROFILE: "development" }, "always", 1],
    [{ HANDSPAN_PROFILE: "production" }, "parent's, or ratio 0.1", 0.1]
  ])("makes of %j the sampler %j, which takes %d of all traces", (environment, name, expected) => {
    const sampler = samplerOf(environment)
    assert.strictEqual(sampler?.name, name)
    assert.approximately(share(sampler), expected, 0.01)
  })

  it("keeps the whole of one pipeline in ten for production, as a Recorder asks", () => {
    const kept = ids.slice(0, 10_000)
    let next = 0
    let spans = 0
    const names = new Map<string, number>()
    const recorder = Recorder.make({
      ids: { traceId: () => kept[next++]!, spanId: () => (++spans).toString(16).padStart(16, "0") },
      onEnd: (_, { name }) => names.set(name, (names.get(name) ?? 0) + 1),
      sampler: () => samplerOf({ HANDSPAN_PROFILE: "production" })
    })
    const agent = Agent.make("writer", { run: () => Effect.void })
    const program = Effect.replicateEffect(Pipeline.make("studio", () => agent())(), kept.length)
    Effect.runSync(Effect.withTracer(program, recorder))
    const taken = names.get("pipeline.studio") ?? 0
    // Four standard deviations of as many coins.
    assert.approximately(taken / kept.length, 0.1, 0.012)
    assert.deepStrictEqual(
      [names, next],
      [
        new Map([
          ["agent_handoff.writer", taken],
          ["pipeline.studio", taken]
        ]),
        kept.length
      ]
    )
  })

  it("puts rules before the sampler", () => {
    const sampler = samplerOf({
      HANDSPAN_SAMPLING_RULES: "name=health: never; agent=critic: always",
      OTEL_TRACES_SAMPLER: "always_off"
    })
    assert.deepStrictEqual(
      ["health", "agent_handoff.critic", "work"].map((name) => sampler?.decide(question(ids[0]!, name)).sampled),
      [false, true, false]
    )
  })
})

describe("Sampling", () => {
  it.effect("is what settings say, for every exporter", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const exporters = ["first", "second"].map((name) =>
        Exporter.make({
          name,
          export: (spans) => Effect.sync(() => seen.push(...spans.map((span) => `${name} ${span.name}`)))
        })
      )
      for (const sampler of ["always_off", "always_on"] as const) {
        yield* Effect.provide(span(sampler), Tracing.layer({ exporters, sampler }))
      }
      assert.deepStrictEqual(seen.toSorted(), ["first always_on", "second always_on"])
    })
  )

  it.effect("goes before settings as a service, and can be changed from one trace to the next", () =>
    Effect.gen(function* () {
      const { sampler } = yield* Sampling.Sampling
      const critic = Agent.make("critic", { run: () => SubscriptionRef.set(sampler, Sampler.never) })
      yield* Effect.withSpan(Effect.andThen(critic(), span("inside")), "first")
      yield* span("second")
      yield* SubscriptionRef.set(sampler, Sampler.always)
      yield* span("third")
      assert.deepStrictEqual(yield* names, ["agent_handoff.critic", "inside", "first", "third"])
    }).pipe(Effect.provide(Tracing.layerInMemory.pipe(Layer.provideMerge(Sampling.layer(Sampler.always)))))
  )
})
