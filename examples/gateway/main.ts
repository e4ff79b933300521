// The way of one chat: HTTP to a gateway, gRPC to an orchestrator of agents, gRPC to a model gateway on Deno, and HTTP to a provider
// of models, here one that pretends. The three services are processes; what they record comes together here as one trace.
// deno: --allow-read --allow-run --allow-net=127.0.0.1 --allow-env
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Logger } from "effect"
import { OtlpJson } from "handspan"
import * as TreeText from "handspan/analysis/TreeText"
import { orTell, parse, UsageError } from "../command-line.ts"
import { chat } from "./jeeves.ts"

const main = Effect.gen(function* () {
  const { argument: message = "How many hours has a week?", options } = yield* parse({
    fail: { type: "boolean", default: false },
    json: { type: "boolean", default: false }
  })
  if (message.trim() === "") return yield* new UsageError({ message: "The message is empty" })
  const { reply, traces } = yield* chat(import.meta.dirname, message, { fails: options.fail })
  if (options.json) return yield* Console.log(JSON.stringify(OtlpJson.encode(traces.flatMap(({ spans }) => spans))))
  yield* Console.log(`${message} ${"answer" in reply ? reply.answer : reply.error}\n`)
  for (const trace of traces) yield* Console.log(TreeText.render(trace))
})

main.pipe(
  orTell("npm run example -- gateway [MESSAGE] [--fail] [--json]"),
  Effect.provideService(Logger.LogToStderr, true),
  NodeRuntime.runMain
)
