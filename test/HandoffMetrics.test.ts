import { assert, describe, it } from "@effect/vitest"
import { Data, Effect, Fiber, Layer, Metric } from "effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as OtlpMetrics from "effect/observability/OtlpMetrics"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import { TestClock } from "effect/testing"
import * as Agent from "../src/Agent.ts"
import { names } from "../src/HandoffMetrics.ts"
import * as Pipeline from "../src/Pipeline.ts"
import * as Sampler from "../src/Sampler.ts"
import * as Sampling from "../src/Sampling.ts"
import * as Tracing from "../src/Tracing.ts"
import * as Receiver from "./receiver.ts"

class Busy extends Data.TaggedError("Busy")<{}> {}

/** Count and sum of seconds by what the metric is of, of the metrics of this test's own agents. */
const durations = (own: string) =>
  Effect.map(Metric.snapshot, (snapshots) =>
    Object.fromEntries(
      snapshots.flatMap(({ attributes = {}, id, state }) => {
        const owner = attributes["gen_ai.agent.name"] ?? attributes["gen_ai.workflow.name"] ?? ""
        if (!owner.startsWith(own) || !("sum" in state)) return []
        return [[[id, owner, attributes["error.type"]].filter(Boolean).join(" "), [state.count, state.sum]]]
      })
    )
  )

/** A pipeline of agents of its own, so that no test sees the numbers of another. */
const workOf = (own: string) => {
  const agent = (name: string, run: () => Effect.Effect<void, Busy>) => Agent.make(`${own} ${name}`, { run })
  const slow = agent("slow", () => Effect.sleep("2 seconds"))
  const failing = agent("failing", () => new Busy())
  const stopping = agent("stopping", () => Pipeline.terminate("enough") as Effect.Effect<never>)
  return Pipeline.make(`${own} work`, () =>
    Effect.gen(function* () {
      yield* slow()
      yield* Effect.ignore(failing())
      yield* Effect.timeoutOption(slow(), "1 second")
      yield* stopping()
    })
  )
}

const run = <A>(own: string, layer: Layer.Layer<A>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(Effect.ignore(workOf(own)()).pipe(Effect.provide(layer)))
    yield* TestClock.adjust("1 minute")
    yield* Fiber.join(fiber)
    return yield* durations(own)
  })

const expected = (own: string) => ({
  [`${names.agent} ${own} slow`]: [2, 3],
  [`${names.agent} ${own} failing Busy`]: [1, 0],
  [`${names.agent} ${own} stopping`]: [1, 0],
  [`${names.pipeline} ${own} work`]: [1, 3]
})

describe("HandoffMetrics", () => {
  it.effect("tells how long agents and pipelines take, and which fail: interruptions and early stops do not", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* run("recorded", Layer.empty), expected("recorded"))
    })
  )

  it.effect("counts what no sampler takes as well", () =>
    Effect.gen(function* () {
      const tracing = Tracing.layerInMemory.pipe(Layer.provide(Sampling.layer(Sampler.never)))
      assert.deepStrictEqual(yield* run("unsampled", tracing), expected("unsampled"))
    })
  )

  it.live("is there for Prometheus and for receivers of OTLP, also of traces that nobody records", () =>
    Effect.gen(function* () {
      const { base, requests } = yield* Receiver.open()
      const metrics = OtlpMetrics.layer({ url: `${base}/v1/metrics`, resource: { serviceName: "test" } }).pipe(
        Layer.provide([FetchHttpClient.layer, OtlpSerialization.layerJson])
      )
      const text = yield* Agent.make("told agent", { run: () => Effect.void })().pipe(
        Effect.andThen(PrometheusMetrics.format()),
        Effect.provide(Layer.merge(metrics, Tracing.layerNoop))
      )
      assert.match(text, /^gen_ai_invoke_agent_duration_count\{.*gen_ai_agent_name="told agent".*\} 1$/m)
      const sent = requests.map(({ body }) => body.toString()).find((body) => body.includes("told agent"))
      assert.include(sent, `"${names.agent}"`)
    })
  )

  it.effect("counts nothing where tracing is off", () =>
    Effect.gen(function* () {
      yield* Effect.ignore(Effect.withTracerEnabled(Agent.make("off agent", { run: () => Effect.void })(), false))
      assert.deepStrictEqual(yield* durations("off"), {})
    })
  )
})
