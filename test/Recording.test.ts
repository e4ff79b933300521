import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import * as Memory from "../src/exporter/Memory.ts"
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
