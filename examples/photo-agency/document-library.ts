// Where photos are stored: an HTTP server that stands in for SharePoint, on a free port of this machine.
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Effect, Layer } from "effect"
import { HttpMiddleware, HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"

export class DocumentLibrary extends Context.Service<DocumentLibrary, { readonly url: string }>()(
  "photo-agency/DocumentLibrary"
) {}

/** Starts a library, empty. With faults it is too busy, once, for every photo whose name has an even length. */
export const layerLoopback = (options: { readonly faults: boolean }) =>
  Layer.effect(
    DocumentLibrary,
    HttpServer.HttpServer.useSync(({ address }) => ({ url: HttpServer.formatAddress(address) }))
  ).pipe(
    Layer.provideMerge(HttpRouter.serve(route(options.faults), { disableLogger: true, disableListenLog: true })),
    Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
    // Elsewhere this is another company's server, whose spans are not ours.
    Layer.provide(Layer.succeed(HttpMiddleware.TracerDisabledWhen, () => true))
  )

const route = (faults: boolean) =>
  HttpRouter.use((router) => {
    const seen = new Set<string>()
    return router.add(
      "PUT",
      "/photos/:year/:name",
      Effect.gen(function* () {
        const { name = "", year } = yield* HttpRouter.params
        const body = yield* HttpServerRequest.HttpServerRequest.use((request) => request.arrayBuffer)
        const isFirst = !seen.has(name)
        seen.add(name)
        if (faults && isFirst && name.length % 2 === 0) return HttpServerResponse.empty({ status: 503 })
        const stored = { path: `/photos/${year}/${name}`, sizeBytes: body.byteLength }
        return HttpServerResponse.jsonUnsafe(stored, { status: 201 })
      })
    )
  })
