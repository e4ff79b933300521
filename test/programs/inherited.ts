// Does one handoff under the tracing that its environment asks for, and tells the process that started it how that was
// recorded and what it would tell others.
import { Effect, Option } from "effect"
import * as Agent from "../../src/Agent.ts"
import * as Memory from "../../src/exporter/Memory.ts"
import * as Propagator from "../../src/Propagator.ts"
import * as Subprocess from "../../src/Subprocess.ts"
import * as Tracing from "../../src/Tracing.ts"

const agent = Agent.make("agent", { run: () => Propagator.inject() })

const main = Effect.gen(function* () {
  const { send } = yield* Subprocess.parent
  const headers = yield* agent()
  const memory = yield* Effect.serviceOption(Memory.Spans)
  const spans = Option.isNone(memory) ? [] : yield* memory.value.all
  yield* send({
    spans: spans.map(({ attributes, name, parentIsRemote, parentSpanId, traceId }) => ({
      name,
      traceId,
      parentSpanId,
      parentIsRemote,
      user: attributes["user"]
    })),
    names: Object.keys(headers).toSorted(),
    traceparent: headers["traceparent"]
  })
})

await Effect.runPromise(Effect.scoped(Effect.provide(main, Tracing.layerFromEnv)))
