// For tests: an endpoint on this machine that speaks OpenAI's protocol, and has not looked at anything.
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Effect, Layer, Ref } from "effect"
import { HttpMiddleware, HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"

/** What an endpoint was asked. */
interface Question {
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: any
}

export class FakeVisionEndpoint extends Context.Service<
  FakeVisionEndpoint,
  { readonly baseUrl: string; readonly questions: Effect.Effect<ReadonlyArray<Question>> }
>()("photo-agency/FakeVisionEndpoint") {}

const answer = { description: "A picture of nothing", colours: ["grey"], brightness: 0.5, sharpness: 0.25 }

/** Answers every question the same, but the first ones with these statuses. */
export const layerFake = (firstStatuses: ReadonlyArray<number> = []) =>
  Layer.unwrap(
    Effect.map(Ref.make<ReadonlyArray<Question>>([]), (questions) => {
      const answering = Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        const body = yield* request.json
        const count = yield* Ref.modify(questions, (all) => [all.length, [...all, { headers: request.headers, body }]])
        const status = firstStatuses[count] ?? 200
        if (status !== 200) return HttpServerResponse.empty({ status })
        return HttpServerResponse.jsonUnsafe({
          model: "fake-vision-2026",
          choices: [{ finish_reason: "stop", message: { role: "assistant", content: JSON.stringify(answer) } }],
          usage: { prompt_tokens: 85, completion_tokens: 21 }
        })
      })
      return Layer.effect(
        FakeVisionEndpoint,
        HttpServer.HttpServer.useSync(({ address }) => ({
          baseUrl: `${HttpServer.formatAddress(address)}/v1`,
          questions: Ref.get(questions)
        }))
      ).pipe(
        Layer.provideMerge(
          HttpRouter.serve(HttpRouter.add("POST", "/v1/chat/completions", answering), {
            disableLogger: true,
            disableListenLog: true
          })
        )
      )
    })
  ).pipe(
    Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
    Layer.provide(Layer.succeed(HttpMiddleware.TracerDisabledWhen, () => true))
  )
