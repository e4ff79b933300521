/** An OTLP receiver on loopback, for tests of what is really sent. */
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Effect from "effect/Effect"

export interface Request {
  readonly path: string | undefined
  readonly headers: Http.IncomingHttpHeaders
  readonly body: Buffer
}

/** Opens a receiver that keeps what it gets and answers with one status, until the scope closes. */
export const open = (status = 200, answer: string | (() => string) = "{}") =>
  Effect.gen(function* () {
    const requests: Array<Request> = []
    const server = Http.createServer((request, response) => {
      const chunks: Array<Buffer> = []
      request.on("data", (chunk: Buffer) => chunks.push(chunk))
      request.on("end", () => {
        requests.push({ path: request.url, headers: request.headers, body: Buffer.concat(chunks) })
        response
          .writeHead(status, { "content-type": "application/json" })
          .end(typeof answer === "string" ? answer : answer())
      })
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () => Effect.sync(() => [server.closeAllConnections(), server.close()])
    )
    return { requests, base: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
  })
