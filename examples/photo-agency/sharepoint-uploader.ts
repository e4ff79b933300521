// The fourth agent: puts a photo into the document library, filed by the year it was taken in.
import { Effect, Schema } from "effect"
import { HttpClient, type HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"
import { Agent } from "handspan"
import { DocumentLibrary } from "./document-library.ts"
import { Analysis, Metadata, Photo, Stored } from "./photo.ts"

const Job = Schema.Struct({ photo: Photo, metadata: Metadata, analysis: Analysis })
type Job = typeof Job.Type

export class UploadError extends Schema.TaggedError<UploadError>()("UploadError", {
  message: Schema.String,
  /** Whether the library may take the photo a moment later. */
  transient: Schema.Boolean
}) {}

export const sharepointUploader = Agent.make("sharepoint_uploader", {
  kind: "tool",
  handoffType: "document_upload",
  input: Job,
  output: Stored,
  // A library that is busy is asked again; one that says no is believed. All attempts are one handoff.
  retry: Agent.retryTransient({
    maxAttempts: 3,
    minWait: "100 millis",
    maxWait: "1 second",
    while: (error: UploadError) => error.transient
  }),
  run: ({ metadata, photo }: Job) =>
    Effect.gen(function* () {
      const library = yield* DocumentLibrary
      const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
      const year = metadata.takenOn?.slice(0, 4) ?? "undated"
      const response = yield* HttpClientRequest.put(
        `${library.url}/photos/${year}/${encodeURIComponent(photo.name)}`
      ).pipe(HttpClientRequest.bodyUint8Array(photo.bytes, "image/jpeg"), client.execute)
      return yield* HttpClientResponse.schemaBodyJson(Stored)(response)
    }).pipe(Effect.mapError(toUploadError))
})

const toUploadError = (error: HttpClientError.HttpClientError | Schema.SchemaError) =>
  new UploadError({
    message:
      error._tag === "HttpClientError" && error.response !== undefined
        ? `The document library answered ${error.response.status}`
        : error.message,
    transient: HttpClient.isTransientError(error)
  })
