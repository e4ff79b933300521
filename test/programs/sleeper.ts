// A program that is stopped from outside while an agent of it is at work. Says "ready" once that is so.
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import * as Agent from "../../src/Agent.ts"
import * as Pipeline from "../../src/Pipeline.ts"
import * as Tracing from "../../src/Tracing.ts"

const quick = Agent.make("quick", { run: () => Effect.void })
const sleeper = Agent.make("sleeper", { run: () => Effect.andThen(Console.log("ready"), Effect.never) })
const nightly = Pipeline.make("nightly", () => Effect.andThen(quick(), sleeper()))

nightly().pipe(Effect.provide(Tracing.layerFromEnv), NodeRuntime.runMain)
