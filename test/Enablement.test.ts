import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, SubscriptionRef } from "effect"
import * as Agent from "../src/Agent.ts"
import * as Enablement from "../src/Enablement.ts"
import * as Memory from "../src/exporter/Memory.ts"
import * as Pipeline from "../src/Pipeline.ts"
import * as Propagator from "../src/Propagator.ts"
import * as Sampler from "../src/Sampler.ts"
import * as Sampling from "../src/Sampling.ts"
import * as SamplingRules from "../src/SamplingRules.ts"
import * as Tracing from "../src/Tracing.ts"

const names = Effect.flatMap(Memory.Spans, ({ all }) => Effect.map(all, (spans) => spans.map(({ name }) => name)))
const span = (name: string) => Effect.withSpan(Effect.void, name)
const tracing = (switches?: Enablement.Switches) =>
  Tracing.layerInMemory.pipe(Layer.provideMerge(Enablement.layer(switches)))

const writer = Agent.make("writer", { run: () => span("inside") })
const critic = Agent.make("critic", { run: () => Effect.void })
const studio = Pipeline.make("studio", Pipeline.sequence(writer, critic))
const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

describe("Enablement", () => {
  it.effect("lets everybody pass unless told otherwise", () =>
    Effect.gen(function* () {
      yield* studio()
      assert.strictEqual((yield* names).length, 4)
    }).pipe(Effect.provide(tracing()))
  )

  it.effect("turns tracing off and on while the program runs, also for agents inside of a trace", () =>
    Effect.gen(function* () {
      const { switches } = yield* Enablement.Enablement
      const set = (enabled: boolean) => SubscriptionRef.set(switches, { enabled })
      yield* Effect.withSpan(
        Effect.andThen(Effect.andThen(critic(), set(false)), Effect.andThen(writer(), set(true))),
        "outer"
      )
      yield* set(false)
      yield* span("quiet")
      yield* set(true)
      yield* span("loud")
      assert.deepStrictEqual(yield* names, ["agent_handoff.critic", "outer", "loud"])
    }).pipe(Effect.provide(tracing()))
  )

  it.effect("passes a caller's trace on, unsampled, where it is off", () =>
    Effect.gen(function* () {
      const call = Effect.withSpan(Propagator.inject(), "call")
      const headers = yield* Propagator.withRemoteParent({ traceparent, tracestate: "a=1" })(call)
      assert.match(headers["traceparent"]!, /^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[0-9a-f]{16}-00$/)
      assert.strictEqual(headers["tracestate"], "a=1")
      assert.deepStrictEqual(yield* names, [])
    }).pipe(Effect.provide(tracing({ enabled: false })))
  )

  it.effect("leaves pipelines and agents out by their names, with all they do", () =>
    Effect.gen(function* () {
      const quiet = Pipeline.make("quiet", () => critic())
      yield* Effect.withSpan(Effect.andThen(quiet(), studio()), "outer")
      yield* quiet()
      assert.deepStrictEqual(yield* names, ["agent_handoff.critic", "pipeline.studio", "outer"])
    }).pipe(Effect.provide(tracing({ pipelinesOff: ["quiet"], agentsOff: ["writer"] })))
  )

  it.effect("leaves out whose names a pattern meets", () =>
    Effect.gen(function* () {
      const quiet = Pipeline.make("night.quiet", () => critic())
      yield* Effect.withSpan(Effect.andThen(quiet(), studio()), "outer")
      assert.deepStrictEqual(yield* names, ["agent_handoff.critic", "pipeline.studio", "outer"])
    }).pipe(Effect.provide(tracing({ pipelinesOff: ["night.*"], agentsOff: ["*t*r"] })))
  )

  it.effect("leaves them out with all they do under a sampler that takes what its parent does not", () =>
    Effect.gen(function* () {
      const { switches } = yield* Enablement.Enablement
      yield* studio()
      assert.deepStrictEqual(yield* names, ["agent_handoff.critic", "pipeline.studio"])
      yield* SubscriptionRef.set(switches, { request: ({ hints }) => hints["tier"] !== "free" })
      yield* Sampler.withHints({ tier: "free" })(Effect.withSpan(studio(), "outer"))
      yield* SubscriptionRef.set(switches, { enabled: false })
      yield* Effect.withSpan(
        Effect.andThen(
          SubscriptionRef.set(switches, {}),
          Effect.andThen(studio(), Effect.withSpan(Effect.void, "wanted", { sampled: true }))
        ),
        "outer"
      )
      assert.strictEqual((yield* names).length, 2)
      yield* Effect.withSpan(span("loud"), "turned down", { sampled: false })
      assert.deepStrictEqual((yield* names).slice(2), ["loud"])
    }).pipe(
      Effect.provide(
        Tracing.layerInMemory.pipe(
          Layer.provideMerge(
            Layer.merge(
              Enablement.layer({ agentsOff: ["writer"] }),
              Sampling.layer(Sampler.parentBased({ root: Sampler.always, localParentNotSampled: Sampler.always }))
            )
          )
        )
      )
    )
  )

  describe.each<[name: string, make: () => Sampler.Sampler]>([
    ["a rate", () => Sampler.rateLimited(1)],
    ["a rate of rules", () => SamplingRules.make([{ sampler: Sampler.rateLimited(1) }], Sampler.always)],
    [
      "one that counts",
      () => {
        let asked = 0
        return { name: "the first", decide: () => ({ sampled: asked++ === 0, threshold: undefined }) }
      }
    ]
  ])("before %s", (_, make) => {
    const own = Agent.make("own", { sampling: 1, run: () => Effect.void })
    const trace = Effect.withSpan(Effect.all([writer(), critic(), own(), span("work")]), "outer")
    const whole = ["agent_handoff.critic", "agent_handoff.own", "work", "outer"]

    it.effect("never tears a trace", () =>
      Effect.gen(function* () {
        yield* trace
        yield* trace
        assert.deepStrictEqual(yield* names, whole)
      }).pipe(
        Effect.provide(
          Tracing.layerInMemory.pipe(
            Layer.provideMerge(
              Layer.merge(Enablement.layer({ agentsOff: ["writer"], pipelinesOff: ["quiet"] }), Sampling.layer(make()))
            )
          )
        )
      )
    )
  })

  it.effect("asks about each request once, by its baggage and hints, and traces it where the question throws", () => {
    let asked = 0
    const request = ({ baggage, hints }: Enablement.Request): boolean => {
      asked++
      if (baggage.get("user")?.value === "nobody") return false
      if (hints["tier"] === "broken") throw new Error("broken")
      return hints["tier"] !== "free"
    }
    return Effect.gen(function* () {
      yield* Propagator.withRemoteParent({ traceparent, baggage: "user=nobody" })(span("a"))
      yield* Sampler.withHints({ tier: "free" })(studio())
      yield* Sampler.withHints({ tier: "broken" })(span("c"))
      yield* studio()
      assert.deepStrictEqual(yield* names, [
        "c",
        "inside",
        "agent_handoff.writer",
        "agent_handoff.critic",
        "pipeline.studio"
      ])
      assert.strictEqual(asked, 4)
    }).pipe(Effect.provide(tracing({ request })))
  })

  it.effect("stands before the sampler, which decides about those who pass", () =>
    Effect.gen(function* () {
      yield* span("a")
      yield* SubscriptionRef.set((yield* Sampling.Sampling).sampler, Sampler.always)
      yield* span("b")
      yield* SubscriptionRef.set((yield* Enablement.Enablement).switches, { enabled: false })
      yield* span("c")
      assert.deepStrictEqual(yield* names, ["b"])
    }).pipe(
      Effect.provide(
        Tracing.layerInMemory.pipe(Layer.provideMerge(Layer.merge(Enablement.layer(), Sampling.layer(Sampler.never))))
      )
    )
  )
})
