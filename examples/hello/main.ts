// Two agents, one pipeline, and a Layer that says where the spans go.
// deno: --allow-env=ENABLE_TRACING,ENVIRONMENT,HANDSPAN_*,JAEGER_ENDPOINT,LOOM_TELEMETRY_AUTO,NO_COLOR,OTEL_*,OTLP_ENDPOINT,TRACING_* --allow-net=127.0.0.1,localhost
import { Effect } from "effect"
import { Agent, Pipeline, Tracing } from "handspan"

const writer = Agent.make("writer", { run: (topic: string) => Effect.succeed(`A poem on ${topic}`) })
const critic = Agent.make("critic", { run: (poem: string) => Effect.succeed(`${poem}, improved`) })
const studio = Pipeline.make("studio", Pipeline.sequence(writer, critic))

// The environment decides; unasked, it is a tree on stderr. `--json` gives tools a document on stdout.
const tracing = process.argv.includes("--json")
  ? Tracing.layerConsole({ format: "json", output: "stdout" })
  : Tracing.layerFromEnv

await Effect.runPromise(studio("tides").pipe(Effect.provide(tracing)))
