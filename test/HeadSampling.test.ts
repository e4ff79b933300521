import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, Option, Result } from "effect"
import { TestClock } from "effect/testing"
import * as Agent from "../src/Agent.ts"
import * as Enablement from "../src/Enablement.ts"
import * as HeadSampling from "../src/HeadSampling.ts"
import * as OtlpProtobuf from "../src/OtlpProtobuf.ts"
import * as Pipeline from "../src/Pipeline.ts"
import * as Propagator from "../src/Propagator.ts"
import * as Recorder from "../src/Recorder.ts"
import * as Sampler from "../src/Sampler.ts"
import * as SamplingRules from "../src/SamplingRules.ts"
import { SpanBuffer } from "../src/SpanBuffer.ts"
import * as SpanEnd from "../src/SpanEnd.ts"
import * as TraceContext from "../src/TraceContext.ts"

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
        // A parent that is followed is recorded at its own threshold.
        [["a=1,ot=th:8;rv:ffffffffffffff"], ["ot=th:c;rv:ffffffffffffff,a=1"], ["ot=rv:ffffffffffffff,a=1"]]
      )
    })
  )

  it.effect("takes the probability out of what is turned down, by whomever, and leaves the rest of it", () =>
    Effect.gen(function* () {
      const call = caller("03", "a=1,ot=th:8;rv:ffffffffffffff")
      const headers = Effect.withSpan(Propagator.inject(), "call")
      const quiet = Effect.withSpan(Propagator.inject(), "quiet", { sampled: false })
      const nested = Effect.withSpan(quiet, "call")
      const told = (sampler: Sampler.Sampler | undefined, program: Effect.Effect<Record<string, string>>) =>
        Effect.map(
          sampled(() => sampler, call(program)),
          ({ value }) => [value["traceparent"]?.slice(-2), value["tracestate"]]
        )
      const turnedDown = ["02", "ot=rv:ffffffffffffff,a=1"]
      assert.deepStrictEqual(
        [
          yield* told(Sampler.never, headers),
          yield* told(Sampler.byDefault, quiet),
          yield* told(undefined, quiet),
          yield* told(Sampler.always, nested),
          yield* told(SamplingRules.make([{ name: "call", sampler: Sampler.never }], Sampler.always), headers)
        ],
        Array.from({ length: 5 }, () => turnedDown)
      )
      const all = Sampler.parentBased({ root: Sampler.never, localParentNotSampled: Sampler.always })
      const { spans } = yield* sampled(all, call(Effect.withSpan(critic("x"), "outer", { sampled: false })))
      assert.deepStrictEqual(
        spans.map(({ traceState }) => traceState),
        ["ot=rv:ffffffffffffff,a=1"]
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

  it.effect("counts a trace once by rules with a rate, and never tears it", () =>
    Effect.gen(function* () {
      const whole = ["inner", "agent_handoff.writer", "agent_handoff.critic", "pipeline.studio"]
      const twice = Effect.andThen(studio("a"), studio("b"))
      const names = (text: string, otherwise = Sampler.always) =>
        Effect.map(
          sampled(SamplingRules.make(Result.getOrThrow(SamplingRules.parse(text)), otherwise), twice),
          (result) => result.names
        )
      for (const text of ["*: 1/s", "name=*: 1/s", "pipeline=studio: 1/s", "agent=critic: always; *: 1/s"]) {
        assert.deepStrictEqual(yield* names(text), whole, text)
      }
      assert.deepStrictEqual(yield* names("agent=nobody: never", Sampler.rateLimited(1)), whole)
      assert.deepStrictEqual(yield* names("agent=*: 1/s"), [...whole, "pipeline.studio"])
      assert.deepStrictEqual(yield* names("agent=critic: 1/s"), [
        ...whole,
        ...whole.filter((name) => !/critic/.test(name))
      ])
      // A caller's trace counts each time that it comes in.
      const calls = caller("01")(twice)
      const rates = SamplingRules.make([{ sampler: Sampler.rateLimited(1) }], Sampler.byDefault)
      assert.deepStrictEqual((yield* sampled(rates, calls)).names, whole)
    })
  )

  it.effect("tells the larger of the thresholds inside of a trace, and does not know what nobody knew", () =>
    Effect.gen(function* () {
      const states = (text: string, otherwise: Sampler.Sampler) =>
        Effect.gen(function* () {
          const rules = SamplingRules.make(Result.getOrThrow(SamplingRules.parse(text)), otherwise)
          const { spans } = yield* sampled(rules, caller("03", "ot=rv:ffffffffffffff")(studio("a")))
          return Object.fromEntries(spans.map(({ name, traceState }) => [name.replace(/.*\./, ""), traceState]))
        })
      const [tenth, unknown] = ["ot=th:e6666666666666;rv:ffffffffffffff", "ot=rv:ffffffffffffff"]
      const all = { studio: tenth, writer: tenth, inner: tenth, critic: tenth }
      const share = Sampler.probability(0.1)
      assert.deepStrictEqual(yield* states("agent=critic: always; agent=writer: 0.5", share), all)
      const none = "ot=th:0;rv:ffffffffffffff"
      assert.deepStrictEqual(yield* states("agent=critic: 0.1", Sampler.always), {
        studio: none,
        writer: none,
        inner: none,
        critic: tenth
      })
      assert.deepStrictEqual(yield* states("agent=writer: 5/s", share), { ...all, writer: unknown, inner: unknown })
      assert.deepStrictEqual(yield* states("agent=critic: always; agent=writer: 0.1", Sampler.ratio(1)), {
        studio: unknown,
        writer: unknown,
        inner: unknown,
        critic: unknown
      })
      const local = Sampler.parentBased({ root: share, remoteParentSampled: share, localParentSampled: Sampler.always })
      assert.deepStrictEqual(yield* states("agent=nobody: never", local), all)
    })
  )

  it.effect("asks by the program's clock, so that spans without timing count as well", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        for (const name of ["a", "b"]) yield* Effect.withSpan(Effect.void, name)
        yield* TestClock.adjust("1 second")
        for (const name of ["c", "d"]) yield* Effect.withSpan(Effect.void, name)
      })
      const { names } = yield* sampled(Sampler.rateLimited(1), Effect.withTracerTiming(program, false))
      assert.deepStrictEqual(names, ["a", "c"])
    })
  )

  it("asks with the hints, the baggage and the clock that stand on a span, before those of the fiber", () => {
    const seen: Array<unknown> = []
    const sampler: Sampler.Sampler = {
      name: "curious",
      decide: ({ baggage, hints, now }) => {
        seen.push([hints, baggage.get("user")?.value, now?.()])
        return { sampled: true, threshold: undefined }
      }
    }
    const recorder = Recorder.make({ onEnd: () => undefined, sampler: () => sampler })
    const span = (annotations: Context.Context<never>) =>
      recorder.span({
        name: "plain",
        parent: Option.none(),
        annotations,
        links: [],
        startTime: 0n,
        kind: "internal",
        root: false,
        sampled: true
      })
    const clock = { ...Context.get(Context.empty(), Clock.Clock), currentTimeNanosUnsafe: () => 7n }
    const annotations = Context.make(Sampler.Hints, { tier: "gold" }).pipe(
      Context.add(TraceContext.CurrentBaggage, new Map([["user", { value: "ada", metadata: "" }]])),
      Context.add(Clock.Clock, clock)
    )
    span(annotations)
    Effect.runSync(Sampler.withHints({ tier: "silver" })(Effect.sync(() => span(annotations))))
    Effect.runSync(
      Effect.provideService(
        Sampler.withHints({ tier: "silver" })(Effect.sync(() => span(Context.empty()))),
        Clock.Clock,
        clock
      )
    )
    span(Context.empty())
    assert.deepStrictEqual(seen.slice(0, 3), [
      [{ tier: "gold" }, "ada", 7n],
      [{ tier: "gold" }, "ada", 7n],
      [{ tier: "silver" }, undefined, 7n]
    ])
    const [hints, user, now] = seen[3] as [unknown, unknown, bigint]
    assert.deepStrictEqual([hints, user, now > 10n ** 18n], [{}, undefined, true])
  })

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
      assert.strictEqual(agent?.traceState, "ot=th:e6666666666666")
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

describe("a broken sampler", () => {
  const broken: Record<string, () => unknown> = {
    throws: () => {
      throw new TypeError("broken")
    },
    "answers nothing": () => undefined,
    "answers later": () => Promise.resolve({ sampled: false, threshold: undefined }),
    "does not say whether": () => ({ threshold: 0n }),
    "has a threshold that is negative": () => ({ sampled: true, threshold: -1n }),
    "has a threshold that is too large": () => ({ sampled: true, threshold: 2n ** 56n }),
    "has a threshold that is no bigint": () => ({ sampled: true, threshold: 0.5 }),
    "throws where one looks": () => ({
      get sampled() {
        throw new TypeError("broken")
      }
    })
  }

  for (const [what, decide] of Object.entries(broken)) {
    it.effect(`takes what its parent took, where it ${what}, and the program goes on`, () =>
      Effect.gen(function* () {
        const sampler = { name: what, asksInside: "all", decide } as unknown as Sampler.Sampler
        const names = (program: Effect.Effect<string>) =>
          Effect.map(sampled(sampler, program), ({ names, value }) => [value, ...names])
        const whole = ["a", "inner", "agent_handoff.writer", "agent_handoff.critic", "pipeline.studio"]
        assert.deepStrictEqual(yield* names(studio("a")), whole)
        assert.deepStrictEqual(yield* names(caller("01")(studio("a"))), whole)
        assert.deepStrictEqual(yield* names(caller("00")(studio("a"))), ["a"])
        const rules = SamplingRules.make([{ agent: "critic", sampler }], Sampler.always)
        const shared = Enablement.gate({ agentsOff: ["nobody"] }, rules)
        assert.deepStrictEqual((yield* sampled(shared, studio("a"))).names, whole.slice(1))
      })
    )
  }

  it.effect("is told of once each, where somebody listens", () =>
    Effect.gen(function* () {
      const told: Array<unknown> = []
      const samplers = Object.entries(broken).map(([name, decide]) => ({ name, decide }) as unknown as Sampler.Sampler)
      let current: Sampler.Sampler | undefined
      const listened = HeadSampling.guarded(
        () => current,
        (sampler, problem) => told.push(`${sampler}: ${SpanEnd.describe(problem).message}`)
      )
      const program = Effect.gen(function* () {
        for (const sampler of [undefined, ...samplers, ...samplers, Sampler.never]) {
          current = sampler
          yield* studio("a")
        }
      })
      const { counts } = yield* sampled(listened, program)
      assert.strictEqual(counts.started - counts.unsampled, 4 * (1 + 2 * samplers.length))
      assert.deepStrictEqual(told, [
        "throws: broken",
        "answers nothing: it answered nothing",
        "answers later: it does not say whether it takes the span",
        "does not say whether: it does not say whether it takes the span",
        "has a threshold that is negative: its threshold is -1, and must be a bigint from 0 to below 2^56",
        "has a threshold that is too large: its threshold is 72057594037927936, and must be a bigint from 0 to below 2^56",
        "has a threshold that is no bigint: its threshold is 0.5, and must be a bigint from 0 to below 2^56",
        "throws where one looks: broken"
      ])
    })
  )

  it("keeps what it says of itself where it is guarded", () => {
    const all = Sampler.parentBased({ root: Sampler.always, localParentNotSampled: Sampler.always })
    const guarded = HeadSampling.guarded(
      () => all,
      () => undefined
    )
    const sampler = guarded()
    assert.strictEqual(sampler, guarded())
    assert.deepStrictEqual(
      [sampler?.name, sampler?.asksInside, sampler?.followsCallers],
      ["parent's, or always", "all", true]
    )
  })
})
