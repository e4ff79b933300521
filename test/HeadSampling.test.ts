import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import * as Agent from "../src/Agent.ts"
import * as OtlpProtobuf from "../src/OtlpProtobuf.ts"
import * as Pipeline from "../src/Pipeline.ts"
import * as Propagator from "../src/Propagator.ts"
import * as Recorder from "../src/Recorder.ts"
import * as Sampler from "../src/Sampler.ts"
import * as SamplingRules from "../src/SamplingRules.ts"
import { SpanBuffer } from "../src/SpanBuffer.ts"

/** The names of the spans that a program leaves under a sampler, by when they ended, and what its Recorder counted. */
const sampled = <A, E, R>(
  sampler: Sampler.Sampler | (() => Sampler.Sampler | undefined),
  program: Effect.Effect<A, E, R>
) =>
  Effect.gen(function* () {
    const buffer = new SpanBuffer()
    const recorder = Recorder.make({
      onEnd: (span) => buffer.append(span),
      sampler: typeof sampler === "function" ? sampler : () => sampler
    })
    const value = yield* Effect.withTracer(program, recorder)
    const spans = Result.getOrThrow(OtlpProtobuf.decode(buffer.take().bytes))
    return { value, spans, names: spans.map(({ name }) => name), counts: recorder.counts() }
  })

const writer = Agent.make("writer", { run: (topic: string) => Effect.as(Effect.withSpan(Effect.void, "inner"), topic) })
const critic = Agent.make("critic", { run: (poem: string) => Effect.succeed(poem) })
const studio = Pipeline.make("studio", Pipeline.sequence(writer, critic))

const traceId = "0af7651916cd43dd8448eb211c80319c"
const caller = (flags: string, tracestate?: string) =>
  Propagator.withRemoteParent({
    traceparent: `00-${traceId}-b7ad6b7169203331-${flags}`,
    ...(tracestate === undefined ? {} : { tracestate })
  })

describe("a Recorder with a sampler", () => {
  it.effect("asks once a trace, and records all of it or nothing", () =>
    Effect.gen(function* () {
      let asked = 0
      const alternating: Sampler.Sampler = {
        name: "every second",
        decide: () => ({ sampled: asked++ % 2 === 0, threshold: undefined })
      }
      const { counts, names } = yield* sampled(alternating, Effect.andThen(studio("a"), studio("b")))
      const whole = ["inner", "agent_handoff.writer", "agent_handoff.critic", "pipeline.studio"]
      assert.deepStrictEqual([names, asked], [whole, 2])
      assert.deepStrictEqual(counts, { started: 6, unsampled: 2, live: 0 })
    })
  )

  it.effect("tells whom it calls what was decided, and at which probability", () =>
    Effect.gen(function* () {
      const headers = Effect.withSpan(Propagator.inject(), "call")
      const taken = (yield* sampled(Sampler.parentBased({ root: Sampler.probability(1) }), headers)).value
      assert.match(taken["traceparent"]!, /-03$/)
      assert.strictEqual(taken["tracestate"], "ot=th:0")
      const turnedDown = (yield* sampled(Sampler.never, headers)).value
      assert.match(turnedDown["traceparent"]!, /-02$/)
      assert.isUndefined(turnedDown["tracestate"])
    })
  )

  it.effect("follows callers, or decides for itself", () =>
    Effect.gen(function* () {
      const names = (sampler: Sampler.Sampler, flags: string) =>
        Effect.map(sampled(sampler, caller(flags)(critic("x"))), (result) => result.names)
      const following = Sampler.parentBased({ root: Sampler.always })
      const own = Sampler.parentBased({ root: Sampler.always, remoteParentNotSampled: Sampler.always })
      const handoff = ["agent_handoff.critic"]
      assert.deepStrictEqual(
        [yield* names(following, "01"), yield* names(following, "00"), yield* names(own, "00")],
        [handoff, [], handoff]
      )
      assert.deepStrictEqual([yield* names(Sampler.never, "01"), yield* names(Sampler.always, "00")], [[], handoff])
    })
  )

  it.effect("keeps what the caller's tracestate says, but for a probability that is not true any more", () =>
    Effect.gen(function* () {
      const state = (sampler: Sampler.Sampler) =>
        Effect.map(sampled(sampler, caller("03", "a=1,ot=th:8;rv:ffffffffffffff")(critic("x"))), ({ spans }) =>
          spans.map(({ traceState }) => traceState)
        )
      assert.deepStrictEqual(
        [
          yield* state(Sampler.parentBased({ root: Sampler.never })),
          yield* state(Sampler.probability(0.25)),
          yield* state(Sampler.rateLimited(5))
        ],
        [["a=1,ot=th:8;rv:ffffffffffffff"], ["ot=th:c;rv:ffffffffffffff,a=1"], ["ot=rv:ffffffffffffff,a=1"]]
      )
    })
  )

  it.effect("leaves an agent out of traces by a rule, with all below it, and asks for hints", () =>
    Effect.gen(function* () {
      const rules = Result.getOrThrow(SamplingRules.parse("hint.tier=gold: always; agent=writer: never"))
      const sampler = SamplingRules.make(rules, Sampler.always)
      const gold = Sampler.withHints({ tier: "gold" })(studio("a"))
      assert.deepStrictEqual((yield* sampled(sampler, studio("a"))).names, ["agent_handoff.critic", "pipeline.studio"])
      assert.strictEqual((yield* sampled(sampler, gold)).names.length, 4)
    })
  )

  it.effect("asks about what stands below a span that is not recorded where the sampler wishes so", () =>
    Effect.gen(function* () {
      const sampler = Sampler.parentBased({ root: Sampler.never, localParentNotSampled: Sampler.always })
      const { names } = yield* sampled(sampler, Effect.withSpan(critic("x"), "outer"))
      assert.deepStrictEqual(names, ["agent_handoff.critic"])
    })
  )

  it.effect("does not ask about spans that the program turns down itself", () =>
    Effect.gen(function* () {
      const { names } = yield* sampled(Sampler.always, Effect.withSpan(Effect.void, "quiet", { sampled: false }))
      assert.deepStrictEqual(names, [])
    })
  )

  it.effect("goes by another sampler as soon as there is one, from the next trace on", () =>
    Effect.gen(function* () {
      let current = Sampler.always
      const program = Effect.gen(function* () {
        yield* Effect.withSpan(
          Effect.andThen(
            Effect.sync(() => (current = Sampler.never)),
            critic("x")
          ),
          "first"
        )
        yield* Effect.withSpan(Effect.void, "second")
      })
      assert.deepStrictEqual((yield* sampled(() => current, program)).names, ["agent_handoff.critic", "first"])
    })
  )

  it.effect("records an agent in the share of traces that it says, all of its handoffs in a trace or none", () =>
    Effect.gen(function* () {
      const tenth = Agent.make("tenth", { sampling: 0.1, run: () => Effect.withSpan(Effect.void, "inner") })
      const trace = Effect.withSpan(Effect.andThen(tenth(), tenth()), "root")
      const { counts, spans } = yield* sampled(() => undefined, Effect.replicateEffect(trace, 2000))
      const traces = Map.groupBy(spans, ({ traceId }) => traceId)
      const sizes = new Set(Array.from(traces.values(), (trace) => trace.length))
      assert.deepStrictEqual(sizes, new Set([1, 5]))
      const taken = Array.from(traces.values()).filter((trace) => trace.length === 5).length
      assert.approximately(taken / 2000, 0.1, 0.03)
      assert.strictEqual(counts.unsampled, (2000 - taken) * 4)
      const agent = spans.find(({ name }) => name === "agent_handoff.tenth")
      assert.strictEqual(agent?.traceState, "ot=th:e6666666666668")
    })
  )

  it.effect("never records an agent in a trace that is not taken, and refuses what is no share", () =>
    Effect.gen(function* () {
      const always = Agent.make("always", { sampling: 1, run: () => Effect.void })
      assert.deepStrictEqual((yield* sampled(Sampler.never, always())).names, [])
      assert.deepStrictEqual((yield* sampled(Sampler.always, always())).names, ["agent_handoff.always"])
      assert.deepStrictEqual((yield* sampled(() => undefined, caller("00")(always()))).names, [])
      assert.throws(
        () => Agent.make("x", { sampling: 1.5, run: () => Effect.void }),
        'Cannot make agent "x": sampling is 1.5, and must be from 0 to 1'
      )
    })
  )
})
