// Effect's own exporter, as `effect/observability` assembles it. It encodes as JSON, which is its fastest way.
import { Effect, Layer } from "effect"
import { FetchHttpClient, HttpClient, HttpClientResponse } from "effect/http"
import { OtlpExporter, OtlpSerialization, OtlpTracer } from "effect/observability"
import type { Assembly, Destination } from "./tracer.ts"

/** Exports to a receiver, or encodes for nobody. */
export const effectOtlp = (to: Destination | undefined): Assembly<OtlpExporter.Flusher, never> => ({
  layer: OtlpTracer.layer({
    url: `http://127.0.0.1:${to?.port ?? 0}/v1/traces`,
    compression: to?.compression === "gzip" ? "gzip" : "none",
    resource: { serviceName: "bench" }
  }).pipe(
    Layer.provide(OtlpSerialization.layerJson),
    Layer.provide(to === undefined ? Layer.succeed(HttpClient.HttpClient, nobody) : FetchHttpClient.layer)
  ),
  flush: Effect.flatMap(OtlpExporter.Flusher, ({ flush }) => flush)
})

const nobody = HttpClient.make((request) =>
  Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status: 200 })))
)
