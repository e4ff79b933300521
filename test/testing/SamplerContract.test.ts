import { AlwaysOnSampler, ParentBasedSampler, TraceIdRatioBasedSampler } from "@opentelemetry/sdk-trace-base"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { fromSampler } from "../../src/exporter/OpenTelemetrySampler.ts"
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
    ["share", { decide: Sampler.probability(0.2).decide }, 0.1, /^(19|20)\d\d of 10000$/]
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

describe("fromSampler", () => {
  it("tells the sampler of the parent and the hints, and takes a trace where it throws", () => {
    const seen: Array<unknown> = []
    const sampler = fromSampler({
      shouldSample: (context, traceId, name, kind, attributes) => {
        seen.push(traceId, name, kind, attributes)
        throw new Error("broken")
      },
      toString: () => "broken"
    })
    const decision = sampler.decide({
      traceId: "0af7651916cd43dd8448eb211c80319c",
      name: "chat",
      kind: "client",
      startTimeUnixNano: 0n,
      parent: undefined,
      hints: { tier: "gold", big: 1n },
      baggage: new Map()
    })
    assert.deepStrictEqual(decision, { sampled: true, threshold: undefined })
    assert.deepStrictEqual(seen, ["0af7651916cd43dd8448eb211c80319c", "chat", 2, { tier: "gold" }])
  })
})
