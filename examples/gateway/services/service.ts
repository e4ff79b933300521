// What each service does to run: it tells whoever started it where it listens, and traces as the environment says.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Layer, Logger, type Scope } from "effect"
import { Recorder, Tracing } from "handspan"
import * as Subprocess from "handspan/Subprocess"

/** What this house calls the spans of Handspan; which agent it was stands on the span. */
const names = Layer.succeed(Recorder.SpanNames, ({ name }) =>
  name.startsWith("agent_handoff.") ? "agent.process" : name.startsWith("pipeline.") ? "pipeline.execute" : name
)

/** Runs a service until stdin ends. It is given the address of the one that it calls, and gives its own. */
export const run = (serviceName: string, service: (next: string) => Effect.Effect<string, Error, Scope.Scope>): void =>
  Effect.gen(function* () {
    const starter = yield* Subprocess.parent
    yield* starter.send({ address: yield* service(process.argv[2] ?? "") })
    // Nothing comes, until whoever started it has gone.
    yield* Effect.ignore(starter.receive)
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.provide(Tracing.layerFromEnvWith({ serviceName, serviceVersion: "4.0.0" }), names)),
    Effect.provideService(Logger.LogToStderr, true),
    NodeRuntime.runMain
  )
