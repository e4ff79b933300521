// Starts the services, each a process of its own, sends one chat to them, and gives the answer with the traces of all of them.
import { Effect, Schema } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { TraceTree } from "handspan"
import * as Subprocess from "handspan/Subprocess"
import { OtlpReceiver } from "handspan/testing"
import { commandOf, type Runtime } from "../runtime.ts"
import { openFakeProvider } from "./fake-provider.ts"

const Started = Schema.Struct({ address: Schema.NonEmptyString })

const Reply = Schema.Union([Schema.Struct({ answer: Schema.String }), Schema.Struct({ error: Schema.String })])

/** Sends a message as somebody who is not traced would. */
const post = (gateway: string, message: string) =>
  HttpClientRequest.post(`${gateway}/api/v1/chat`).pipe(
    HttpClientRequest.setHeaders({ "x-request-id": "request-1", "x-user-id": "alice" }),
    HttpClientRequest.bodyJsonUnsafe({ message }),
    HttpClient.execute,
    Effect.flatMap((response) =>
      Effect.map(HttpClientResponse.schemaBodyJson(Reply)(response), (reply) => ({ status: response.status, reply }))
    ),
    Effect.provide(FetchHttpClient.layer),
    Effect.provideService(HttpClient.TracerDisabledWhen, () => true)
  )

/** Has the services answer one message; `fails` is whether the provider of models does. */
export const chat = (folder: string, message: string, { fails }: { readonly fails: boolean }) =>
  Effect.gen(function* () {
    // Where all processes send their spans; it stands in for a collector.
    const receiver = yield* OtlpReceiver.open
    const env = {
      HANDSPAN_EXPORTER: "otlp",
      HANDSPAN_OTLP_ENDPOINT: receiver.url,
      HANDSPAN_BAGGAGE_ATTRIBUTES: "jeeves.request.id,jeeves.user.id,jeeves.envelope.id"
    }
    const start = (service: string, runtime: Runtime, next: string) =>
      Effect.gen(function* () {
        const command = commandOf(runtime, `${folder}/services/${service}.ts`, next)
        const { connection } = yield* Subprocess.spawn({ ...command, env })
        const { address } = yield* Schema.decodeUnknownEffect(Started)(yield* connection.receive)
        return address
      })

    const exchange = Effect.gen(function* () {
      const provider = yield* openFakeProvider({ fails })
      const modelGateway = yield* start("model-gateway", "deno", provider)
      const orchestrator = yield* start("orchestrator", "node", modelGateway)
      const gateway = yield* start("gateway", "node", orchestrator)
      return yield* post(gateway, message)
    })
    // Services that have ended have sent all.
    const answered = yield* Effect.scoped(exchange)
    return { ...answered, traces: TraceTree.fromSpans(receiver.spans()) }
  }).pipe(Effect.scoped)
