// A program whose traces a test collects: a pipeline that asks two agents side by side, then one that asks another
// process. It prints the environment that it found.
import { spawn } from "node:child_process"
import { Effect } from "effect"
import { Agent, Pipeline, Propagator, Tracing } from "../../src/index.ts"

const [role = "pipeline", traceparent = ""] = process.argv.slice(2)

// The first to begin is the second by name, and they overlap.
const slow = Agent.make("zebra", { run: () => Effect.sleep("80 millis") })
const quick = Agent.make("ant", { run: () => Effect.sleep("20 millis") })
const remote = Agent.make("remote", {
  run: () =>
    Effect.flatMap(Propagator.inject(), (headers) =>
      Effect.callback<void>((resume) => {
        const runtimeArguments = process.versions["deno"] === undefined ? [] : ["run", "--allow-all", "--no-lock"]
        const child = spawn(
          process.execPath,
          [...runtimeArguments, import.meta.filename, "spawned", headers["traceparent"] ?? ""],
          { stdio: "inherit" }
        )
        child.on("close", () => resume(Effect.void))
      })
    )
})
const spawned = Agent.make("spawned", { run: () => Effect.void })

const studio = Pipeline.make("studio", () =>
  Effect.all([slow(), Effect.delay(quick(), "20 millis")], { concurrency: 2 }).pipe(Effect.andThen(remote()))
)

const program = role === "spawned" ? spawned().pipe(Propagator.withRemoteParent({ traceparent })) : studio()

await Effect.runPromise(program.pipe(Effect.asVoid, Effect.provide(Tracing.layerFromEnv)))
const seen = Object.keys(process.env).filter((name) => /TRACEPARENT|TRACING|OTEL|OTLP|HANDSPAN|^TEST_/.test(name))
console.log(role, seen.toSorted().join(" "))
