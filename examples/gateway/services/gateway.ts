// Takes chats by HTTP and has the orchestrator answer them.
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer, Schema } from "effect"
import { HttpMiddleware, HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { TraceContext } from "handspan"
import * as Http from "handspan/Http"
import { createServer } from "node:http"
import { connect } from "../protocol.ts"
import { run } from "./service.ts"

const Chat = Schema.Struct({ message: Schema.NonEmptyString })

/** Who asks, and by which request: what all services behind this one are to know, too. */
const Caller = Schema.Struct({ "x-request-id": Schema.NonEmptyString, "x-user-id": Schema.NonEmptyString })

run("jeeves-gateway", (orchestrator) =>
  Effect.gen(function* () {
    const execute = yield* connect("ExecutePipeline", { address: orchestrator, spanName: "grpc.ExecutePipeline" })
    const answer = (message: string) =>
      Effect.gen(function* () {
        const [status, body] = yield* Effect.match(execute({ message }), {
          onSuccess: ({ text }) => [200, { answer: text }] as const,
          onFailure: ({ details }) => [502, { error: details }] as const
        })
        return yield* Effect.withSpan(HttpServerResponse.json(body, { status }), "http.response")
      })
    const chat = Effect.gen(function* () {
      const { "x-request-id": request, "x-user-id": user } = yield* HttpServerRequest.schemaHeaders(Caller)
      const { message } = yield* HttpServerRequest.schemaBodyJson(Chat)
      const ids = {
        "jeeves.request.id": request,
        "jeeves.user.id": user,
        "jeeves.envelope.id": `envelope-of-${request}`
      }
      yield* Effect.annotateCurrentSpan(ids)
      const baggage = new Map(Object.entries(ids).map(([name, value]) => [name, { value, metadata: "" }]))
      return yield* Effect.provideService(answer(message), TraceContext.CurrentBaggage, baggage)
    })
    const app = HttpRouter.serve(HttpRouter.add("POST", "/api/v1/chat", chat), {
      disableLogger: true,
      disableListenLog: true
    }).pipe(
      Layer.provide(Http.layerServer),
      Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
      Layer.provide(Layer.succeed(HttpMiddleware.SpanNameGenerator, () => "http.request"))
    )
    const { address } = yield* Effect.provide(HttpServer.HttpServer, yield* Layer.build(app))
    return HttpServer.formatAddress(address)
  })
)
