// Starts the bus and its agents, each a process of its own, and gives the traces of all of them.
import { Data, Effect } from "effect"
import { Bridge, EventBus, TraceTree, Tracing } from "handspan"
import * as Subprocess from "handspan/Subprocess"
import { OtlpReceiver } from "handspan/testing"
import { commandOf } from "../runtime.ts"
import { readProject } from "./project.ts"

class AgentFailed extends Data.TaggedError("AgentFailed")<{ readonly agent: string }> {
  override readonly message = `The agent ${this.agent} has failed; it says above why`
}

/** Lets so many readings go through all agents. */
export const traceTest = (folder: string, readings: number) =>
  Effect.gen(function* () {
    const { agents, project } = yield* readProject(`${folder}/loom.toml`)
    // Where all processes send their spans; it stands in for a collector.
    const receiver = yield* OtlpReceiver.open
    const env = { HANDSPAN_EXPORTER: "otlp", HANDSPAN_OTLP_ENDPOINT: receiver.url }

    const bus = Effect.gen(function* () {
      const running = yield* Effect.forEach(Object.entries(agents), ([id, agent]) =>
        Effect.gen(function* () {
          const child = yield* Subprocess.spawn({
            ...commandOf(agent.runtime, `${folder}/${agent.program}`, String(readings)),
            env
          })
          yield* Effect.forkScoped(Bridge.serve(child.connection))
          return [id, child] as const
        })
      )
      // The last one of the chain knows when all is done; the others end with their stdin.
      for (const [id, child] of running) {
        if (id === "output" && (yield* child.exitCode) !== 0) return yield* new AgentFailed({ agent: id })
      }
    })
    const tracing = Tracing.layerOtlp({ otlpEndpoint: receiver.url, serviceName: project.name })
    yield* Effect.provide(Effect.scoped(bus), [EventBus.layerMemory, tracing])
    return TraceTree.fromSpans(receiver.spans())
  }).pipe(Effect.scoped)
