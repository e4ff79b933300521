// The market analyst: five agents over a history of prices. No advice, of course.
//
// Its plan goes to stdout, its trace to wherever the environment says: by default a tree on stderr. It reads the file
// that it is told to; a collector, if there is one, is on this machine.
// deno: --allow-read --allow-net=127.0.0.1,localhost --allow-env=ENABLE_TRACING,ENVIRONMENT,HANDSPAN_*,JAEGER_ENDPOINT,LOOM_TELEMETRY_AUTO,NO_COLOR,OTEL_*,OTLP_ENDPOINT,TRACING_*
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect, FileSystem, Logger } from "effect"
import { Tracing } from "handspan"
import { orTell, parse, UsageError } from "../command-line.ts"
import { marketAnalyst } from "./market-analyst.ts"

const main = Effect.gen(function* () {
  const { argument: file = "node_modules/@observablehq/sample-datasets/aapl.csv", options } = yield* parse({
    json: { type: "boolean", default: false }
  })
  const fs = yield* FileSystem.FileSystem
  const isFile = yield* Effect.match(fs.stat(file), {
    onSuccess: ({ type }) => type === "File",
    onFailure: () => false
  })
  if (!isFile) return yield* new UsageError({ message: `There is no file "${file}"` })

  // The same program under another Layer sends its spans elsewhere.
  const tracing = options.json
    ? Tracing.layerConsole({ serviceName: "market-analyst", format: "json", output: "stdout" })
    : Tracing.layerFromEnvWith({ serviceName: "market-analyst", console: { summary: true } })

  yield* marketAnalyst(file).pipe(
    Effect.flatMap(({ text }) => (options.json ? Console.error(text) : Console.log(`${text}\n`))),
    Effect.provide(tracing)
  )
})

main.pipe(
  orTell("npm run example -- market-analyst [FILE.csv] [--json]"),
  Effect.provide(NodeServices.layer),
  Effect.provideService(Logger.LogToStderr, true),
  NodeRuntime.runMain
)
