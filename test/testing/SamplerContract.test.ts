import { trace } from "@opentelemetry/api"
import { AlwaysOnSampler, ParentBasedSampler, TraceIdRatioBasedSampler } from "@opentelemetry/sdk-trace-base"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Agent from "../../src/Agent.ts"
import * as Enablement from "../../src/Enablement.ts"
import { fromSampler } from "../../src/exporter/OpenTelemetrySampler.ts"
import * as Recorder from "../../src/Recorder.ts"
import * as Sampler from "../../src/Sampler.ts"
import * as SamplingRules from "../../src/SamplingRules.ts"
import { samplerContract, type SamplerContractOptions, type SamplerRule } from "../../src/testing/SamplerContract.ts"

const samplers: Record<string, SamplerContractOptions> = {
  always: { make: () => Sampler.always, share: 1 },
  never: { make: () => Sampler.never, share: 0 },
  ratio: { make: () => Sampler.ratio(0.1), share: 0.1 },
  probability: { make: () => Sampler.probability(0.3), share: 0.3 },
  parentBased: { make: () => Sampler.parentBased({ root: Sampler.probability(0.5) }), share: 0.5 },
  rateLimited: { make: () => Sampler.rateLimited(5), counts: true },
  rules: {
    make: () => SamplingRules.make([{ agent: "*", hints: { text: "a" }, sampler: Sampler.never }], Sampler.always),
    share: 1
  },
  "rules with rates": {
    make: () =>
      SamplingRules.make(
        [
          { hints: { tier: "*" }, sampler: Sampler.never },
          { name: "agent_handoff.*", sampler: Sampler.rateLimited(5) },
          { sampler: Sampler.rateLimited(1) }
        ],
        Sampler.rateLimited(5)
      ),
    counts: true
  },
  "a gate before a rate": {
    make: () => Enablement.gate({ agentsOff: ["nobody"], pipelinesOff: ["quiet*"] }, Sampler.rateLimited(5)),
    counts: true
  },
  "a gate before rules with a rate": {
    make: () =>
      Enablement.gate(
        { agentsOff: ["nobody"] },
        SamplingRules.make([{ sampler: Sampler.rateLimited(5) }], Sampler.always)
      ),
    counts: true
  },
  "OpenTelemetry's always": { make: () => fromSampler(new AlwaysOnSampler()), share: 1 },
  "OpenTelemetry's ratio": { make: () => fromSampler(new TraceIdRatioBasedSampler(0.2)), share: 0.2 },
  "OpenTelemetry's parent": {
    make: () => fromSampler(new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(0.5) })),
    share: 0.5
  }
}

for (const [name, options] of Object.entries(samplers)) {
  describe(`samplerContract: ${name}`, () => {
    for (const { check, rule } of samplerContract(options)) it.effect(rule, () => check)
  })
}

describe("samplerContract", () => {
  const broken: ReadonlyArray<[SamplerRule, Partial<Sampler.Sampler>, share: number | undefined, seen: RegExp]> = [
    ["name", { name: "" }, undefined, /^the name ""$/],
    [
      "always answers",
      {
        decide: ({ name }) => {
          if (name === "") throw new TypeError("no name")
          return { sampled: true, threshold: undefined }
        }
      },
      undefined,
      /^it died of TypeError: no name$/
    ],
    ["always answers", { decide: () => undefined as never }, undefined, /^sampled is nothing for \{"traceId"/],
    [
      "same answer",
      (() => {
        let asked = 0
        return { decide: () => ({ sampled: asked++ % 7 === 0, threshold: undefined }) }
      })(),
      undefined,
      /^(true, and then false|false, and then true), for \{"traceId"/
    ],
    [
      "threshold",
      { decide: () => ({ sampled: true, threshold: 2n ** 56n }) },
      undefined,
      /^the threshold 72057594037927936n$/
    ],
    ["share", { decide: Sampler.probability(0.2).decide }, 0.1, /^(19|20)\d\d of 10000$/],
    [
      "whole",
      { asksInside: "taken", decide: Sampler.rateLimited(5).decide },
      undefined,
      /^a span that is turned down inside of a trace that was taken: \{"traceId"/
    ]
  ]

  for (const [id, parts, share, seen] of broken) {
    it.effect(`tells of a sampler that breaks the rule: ${id}`, () =>
      Effect.gen(function* () {
        const options = { make: () => ({ ...Sampler.always, ...parts }), share }
        const error = yield* Effect.flip(samplerContract(options).find((one) => one.id === id)!.check)
        assert.match(error.seen, seen)
      })
    )
  }

  it("has a broken sampler for each rule", () => {
    assert.deepStrictEqual(
      new Set(broken.map(([id]) => id as string)),
      new Set(samplerContract({ make: () => Sampler.always }).map(({ id }) => id))
    )
  })
})

const question = (fields: Partial<Sampler.Question> = {}): Sampler.Question => ({
  traceId: "0af7651916cd43dd8448eb211c80319c",
  name: "chat",
  kind: "client",
  startTimeUnixNano: 0n,
  parent: undefined,
  hints: {},
  baggage: new Map(),
  ...fields
})

describe("fromSampler", () => {
  it("tells the sampler of the parent and the hints, and does as the parent does where it throws", () => {
    const seen: Array<unknown> = []
    const sampler = fromSampler({
      shouldSample: (context, traceId, name, kind, attributes) => {
        seen.push([trace.getSpanContext(context)?.spanId, traceId, name, kind, attributes])
        throw new Error("broken")
      },
      toString: () => "broken"
    })
    const parent = { spanId: "b7ad6b7169203331", sampled: false, isRemote: false, flags: 2, traceState: "a=1" }
    const asked = question({ hints: { tier: "gold", big: 1n } })
    assert.deepStrictEqual(sampler.decide(asked), { sampled: true, threshold: undefined })
    assert.deepStrictEqual(sampler.decide({ ...asked, parent }), { sampled: false, threshold: undefined })
    const told = ["0af7651916cd43dd8448eb211c80319c", "chat", 2, { tier: "gold" }]
    assert.deepStrictEqual(seen, [
      [undefined, ...told],
      [parent.spanId, ...told]
    ])
  })

  it.effect("asks it about every span, as OpenTelemetry does, or about as many as it is told", () =>
    Effect.gen(function* () {
      const asked = (options?: Parameters<typeof fromSampler>[1]) =>
        Effect.gen(function* () {
          const names: Array<string> = []
          const sampler = fromSampler(
            {
              shouldSample: (_context, _traceId, name) => {
                names.push(name)
                return { decision: name === "off" ? 0 : 2 }
              },
              toString: () => "but off"
            },
            options
          )
          const recorder = Recorder.make({ onEnd: () => undefined, sampler: () => sampler })
          const span = (name: string, inside: Effect.Effect<void> = Effect.void) => Effect.withSpan(inside, name)
          const below = Agent.make("below", { run: () => Effect.void })
          yield* Effect.withTracer(span("root", Effect.andThen(span("off", below()), span("on"))), recorder)
          return names
        })
      const every = ["root", "off", "agent_handoff.below", "on"]
      assert.deepStrictEqual(
        [
          yield* asked(),
          yield* asked({ asksInside: "all" }),
          yield* asked({ asksInside: "taken" }),
          yield* asked({ asksInside: "none" })
        ],
        [every, every, ["root", "off", "on"], ["root"]]
      )
    })
  )

  it.effect("does with each kind of parent as the SDK's ParentBasedSampler says", () =>
    Effect.gen(function* () {
      const only = (wanted: string) => ({
        shouldSample: (_context: unknown, _traceId: string, name: string) => ({ decision: name === wanted ? 2 : 0 }),
        toString: () => wanted
      })
      const recorded = (options: { readonly localParentSampled?: object; readonly localParentNotSampled?: object }) =>
        Effect.gen(function* () {
          const names: Array<string> = []
          const sampler = fromSampler(new ParentBasedSampler({ root: new AlwaysOnSampler(), ...options } as never))
          const recorder = Recorder.make({ onEnd: (_, { name }) => names.push(name), sampler: () => sampler })
          const span = (name: string, inside: Effect.Effect<void> = Effect.void) => Effect.withSpan(inside, name)
          const program = span("root", Effect.andThen(span("off", Effect.andThen(span("in"), span("off"))), span("on")))
          yield* Effect.withTracer(program, recorder)
          return names
        })
      assert.deepStrictEqual(
        [
          yield* recorded({}),
          yield* recorded({ localParentSampled: only("on") }),
          yield* recorded({ localParentSampled: only("on"), localParentNotSampled: only("in") })
        ],
        [
          ["in", "off", "off", "on", "root"],
          ["on", "root"],
          ["in", "on", "root"]
        ]
      )
    })
  )
})
