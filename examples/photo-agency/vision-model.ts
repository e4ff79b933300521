// Looks at photos by asking a model, at any endpoint that speaks OpenAI's protocol.
import { Effect, flow, Layer, Redacted, Schema } from "effect"
import { Base64 } from "effect/encoding"
import { HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import { Key, modelSpanName, Operation } from "handspan/Conventions"
import { Analysis, type Photo } from "./photo.ts"
import { Vision, VisionError } from "./vision.ts"

const question =
  "Describe this photo. Answer with JSON alone: description (one sentence), colours (names, the most frequent first), " +
  "brightness (0 to 1), sharpness (0 to 1)."

const Completion = Schema.Struct({
  model: Schema.String,
  choices: Schema.NonEmptyArray(
    Schema.Struct({
      finish_reason: Schema.String,
      message: Schema.Struct({ content: Schema.fromJsonString(Analysis) })
    })
  ),
  usage: Schema.Struct({ prompt_tokens: Schema.Int, completion_tokens: Schema.Int })
})

export const layerModel = (options: {
  readonly baseUrl: string
  readonly apiKey: Redacted.Redacted
  readonly model: string
}) =>
  Layer.effect(
    Vision,
    Effect.gen(function* () {
      const client = (yield* HttpClient.HttpClient).pipe(
        HttpClient.mapRequest(
          flow(HttpClientRequest.prependUrl(options.baseUrl), HttpClientRequest.bearerToken(options.apiKey))
        ),
        HttpClient.filterStatusOk
      )

      const look = ({ bytes }: Photo) =>
        Effect.gen(function* () {
          const url = `data:image/jpeg;base64,${Base64.encode(bytes)}`
          const response = yield* HttpClientRequest.post("/chat/completions").pipe(
            HttpClientRequest.bodyJsonUnsafe({
              model: options.model,
              response_format: { type: "json_object" },
              messages: [
                {
                  role: "user",
                  content: [
                    { type: "text", text: question },
                    { type: "image_url", image_url: { url } }
                  ]
                }
              ]
            }),
            client.execute
          )
          const { choices, model, usage } = yield* HttpClientResponse.schemaBodyJson(Completion)(response)
          yield* Effect.annotateCurrentSpan({
            [Key.responseModel]: model,
            [Key.finishReasons]: choices.map((choice) => choice.finish_reason),
            [Key.inputTokens]: usage.prompt_tokens,
            [Key.outputTokens]: usage.completion_tokens
          })
          return choices[0].message.content
        }).pipe(
          Effect.mapError(
            (error) => new VisionError({ message: error.message, transient: HttpClient.isTransientError(error) })
          ),
          // The question is a span of its own, by the GenAI conventions, inside of the handoff to the agent that asks.
          Effect.withSpan(modelSpanName(options.model), {
            kind: "client",
            attributes: {
              [Key.operationName]: Operation.chat,
              [Key.providerName]: "openai",
              [Key.requestModel]: options.model
            }
          })
        )

      return { look }
    })
  )
