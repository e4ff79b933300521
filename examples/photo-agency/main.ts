// The photo agency: five agents over a folder of photos.
//
// Its report goes to stdout, its trace to wherever the environment says: by default a tree on stderr. It reads and
// writes what it is told to; its document library, and a collector or a model if there are any, are on this machine.
// deno: --allow-read --allow-write --allow-net=127.0.0.1,localhost --allow-env=ENABLE_TRACING,ENVIRONMENT,HANDSPAN_*,JAEGER_ENDPOINT,LOOM_TELEMETRY_AUTO,NO_COLOR,OTEL_*,OTLP_ENDPOINT,TRACING_*,OPENAI_*,WS_*
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect, FileSystem, Layer, Logger, Redacted } from "effect"
import { FetchHttpClient } from "effect/http"
import { Tracing } from "handspan"
import { orTell, parse, UsageError } from "../command-line.ts"
import { layerLoopback } from "./document-library.ts"
import { photoAgency } from "./photo-agency.ts"
import { layerModel } from "./vision-model.ts"
import { layerPixels } from "./vision-pixels.ts"

/** A model looks at the photos, if there is one to ask. */
const { OPENAI_API_BASE: baseUrl, OPENAI_API_KEY: apiKey = "", OPENAI_MODEL_NAME: model = "gpt-4o-mini" } = process.env
const vision = baseUrl ? layerModel({ baseUrl, apiKey: Redacted.make(apiKey), model }) : layerPixels

const main = Effect.gen(function* () {
  const { argument: folder = "node_modules/exif-js/example", options } = yield* parse({
    faults: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    out: { type: "string" }
  })
  const { faults, json, out } = options
  const fs = yield* FileSystem.FileSystem
  const isFolder = yield* Effect.match(fs.stat(folder), {
    onSuccess: ({ type }) => type === "Directory",
    onFailure: () => false
  })
  if (!isFolder) return yield* new UsageError({ message: `There is no folder "${folder}"` })

  const print = json ? Console.error : Console.log
  const deliver = (report: string) =>
    out === undefined ? print(report) : Effect.andThen(fs.writeFileString(out, report), print(`Report: ${out}\n`))

  // The same program under another Layer sends its spans elsewhere.
  const tracing = json
    ? Tracing.layerConsole({ serviceName: "photo-agency", serviceVersion: "1.0.0", format: "json", output: "stdout" })
    : Tracing.layerFromEnvWith({ serviceName: "photo-agency", serviceVersion: "1.0.0", console: { summary: true } })

  yield* photoAgency(folder).pipe(
    Effect.flatMap(({ text }) => deliver(`${text}\n`)),
    Effect.catchTag("Terminated", ({ reason }) => print(`Nothing to do: ${reason}\n`)),
    Effect.provide([vision, layerLoopback({ faults })]),
    Effect.provide(tracing)
  )
})

main.pipe(
  orTell("npm start -- [FOLDER] [--faults] [--out FILE] [--json]"),
  Effect.provide(Layer.merge(FetchHttpClient.layer, NodeServices.layer)),
  Effect.provideService(Logger.LogToStderr, true),
  NodeRuntime.runMain
)
