// Loom's trace test: three agents in three processes, one of them on Deno, around one bus. Each reading is one trace through
// all of them. The agents stand in loom.toml; what the processes record comes together here.
// deno: --allow-read --allow-run --allow-net=127.0.0.1 --allow-env
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect, Logger } from "effect"
import { OtlpJson } from "handspan"
import * as TreeText from "handspan/analysis/TreeText"
import { orTell, parse } from "../command-line.ts"
import { traceTest } from "./trace-test.ts"

const main = Effect.gen(function* () {
  const { options } = yield* parse({ json: { type: "boolean", default: false } })
  const traces = yield* traceTest(import.meta.dirname, options.json ? 1 : 2)
  if (options.json) {
    const spans = traces.flatMap(({ spans }) => spans)
    return yield* Console.log(JSON.stringify(OtlpJson.encode(spans)))
  }
  for (const trace of traces) yield* Console.log(`${TreeText.render(trace)}\n`)
})

main.pipe(
  orTell("npm run example -- trace-test [--json]"),
  Effect.provide(NodeServices.layer),
  Effect.provideService(Logger.LogToStderr, true),
  NodeRuntime.runMain
)
