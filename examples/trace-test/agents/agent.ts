// What each agent does to run: it finds the bus at the other end of stdin and stdout, and traces as the environment says.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Logger } from "effect"
import { Bridge, type EventBus, Tracing } from "handspan"
import * as Subprocess from "handspan/Subprocess"

export const run = (id: string, program: Effect.Effect<unknown, EventBus.EventBusError, EventBus.EventBus>): void =>
  Effect.flatMap(Subprocess.parent, (connection) => Effect.provide(program, Bridge.layer(id, connection))).pipe(
    Effect.scoped,
    // The bridge has gone: there is nothing left to do.
    Effect.catchTag("EventBusError", () => Effect.void),
    Effect.provide(Tracing.layerFromEnvWith({ serviceName: `agent-${id}` })),
    Effect.provideService(Logger.LogToStderr, true),
    NodeRuntime.runMain
  )
