// The one service that knows a provider of models: asks it by OpenAI's protocol, and tells what that took.
import { status } from "@grpc/grpc-js"
import { Data, Effect, Schema } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { Key, Operation } from "handspan/Conventions"
import { serve } from "../protocol.ts"
import { run } from "./service.ts"

const Completion = Schema.Struct({
  model: Schema.String,
  choices: Schema.NonEmptyArray(
    Schema.Struct({ finish_reason: Schema.String, message: Schema.Struct({ content: Schema.String }) })
  ),
  usage: Schema.Struct({ prompt_tokens: Schema.Int, completion_tokens: Schema.Int })
})

const model = "gpt-4o-mini"

/** Code and message are what callers get to know; the cause stands on the span. */
class ProviderFailed extends Data.TaggedError("ProviderFailed")<{ readonly cause: Error }> {
  readonly code = status.UNAVAILABLE
  override readonly message = "The provider of models has failed"
}

const ask = (provider: string, content: string) =>
  Effect.gen(function* () {
    const request = HttpClientRequest.post(`${provider}/chat/completions`).pipe(
      HttpClientRequest.bodyJsonUnsafe({ model, messages: [{ role: "user", content }] })
    )
    const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
    const response = yield* client.execute(request)
    const { choices, model: answering, usage } = yield* HttpClientResponse.schemaBodyJson(Completion)(response)
    yield* Effect.annotateCurrentSpan({
      [Key.responseModel]: answering,
      [Key.finishReasons]: choices.map((choice) => choice.finish_reason),
      [Key.inputTokens]: usage.prompt_tokens,
      [Key.outputTokens]: usage.completion_tokens
    })
    return choices[0].message.content
  }).pipe(
    Effect.mapError((cause) => new ProviderFailed({ cause })),
    Effect.withSpan("llm.provider.call", {
      kind: "client",
      attributes: { [Key.operationName]: Operation.chat, [Key.providerName]: "openai", [Key.requestModel]: model }
    }),
    // The span tells of the request already, and the provider is not to be told of the trace.
    Effect.provideService(HttpClient.TracerDisabledWhen, () => true)
  )

run("jeeves-model-gateway", (provider) =>
  serve("Generate", ({ text }) => Effect.map(ask(provider, text), (text) => ({ text }))).pipe(
    Effect.provide(FetchHttpClient.layer)
  )
)
