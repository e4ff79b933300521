// An endpoint on this machine that speaks OpenAI's protocol, and has not thought about anything.
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer } from "effect"
import { HttpMiddleware, HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"

const plan = { tool: "multiply", arguments: [7, 24] }

const completion = {
  model: "fake-planner-2026",
  choices: [{ finish_reason: "stop", message: { role: "assistant", content: JSON.stringify(plan) } }],
  usage: { prompt_tokens: 31, completion_tokens: 12 }
}

/** Opens it for as long as the scope lives, and gives its base URL. It answers every question the same, or none. */
export const openFakeProvider = ({ fails }: { readonly fails: boolean }) =>
  Effect.gen(function* () {
    const answer = fails ? HttpServerResponse.empty({ status: 500 }) : HttpServerResponse.jsonUnsafe(completion)
    const app = HttpRouter.serve(HttpRouter.add("POST", "/v1/chat/completions", Effect.succeed(answer)), {
      disableLogger: true,
      disableListenLog: true
    }).pipe(
      Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
      // Providers tell nothing of their traces.
      Layer.provide(Layer.succeed(HttpMiddleware.TracerDisabledWhen, () => true))
    )
    const { address } = yield* Effect.provide(HttpServer.HttpServer, yield* Layer.build(app))
    return `${HttpServer.formatAddress(address)}/v1`
  })
