/**
 * An OTLP receiver on loopback for tests: what a program really sends, by whatever OpenTelemetry SDK, as spans to assert
 * on. It stands on `node:http`, which Node and Deno both have. `Collect` runs a program and receives from it.
 *
 * @since 0.1.0
 */
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Zlib from "node:zlib"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { Key } from "../Conventions.ts"
import * as OtlpJson from "../OtlpJson.ts"
import * as OtlpProtobuf from "../OtlpProtobuf.ts"
import { field } from "../ProtobufWriter.ts"
import type { SpanRecord } from "../SpanRecord.ts"

/**
 * A receiver that is open, and what it got.
 *
 * @since 0.1.0
 */
export interface OtlpReceiver {
  /** The base URL, such as `OTEL_EXPORTER_OTLP_ENDPOINT` wants it: traces go to `/v1/traces` below it. */
  readonly url: string
  /** The spans so far, in the order in which they came. */
  readonly spans: () => ReadonlyArray<SpanRecord>
  /** What was refused so far, a sentence for each request. */
  readonly faults: () => ReadonlyArray<string>
  /** Returns when no connection is open and no request is at work: whoever has gone by then has sent what it could. */
  readonly settled: Effect.Effect<void>
}

/**
 * Opens a receiver on 127.0.0.1, at a port that is free, until the scope closes.
 *
 * **Details**: takes OTLP/HTTP at `/v1/traces`, in protobuf and JSON, as it is or by gzip, deflate or zstd. A span that is
 * sent twice is there once, and the picture of an open span until the span itself comes. Of a request that it cannot read
 * it takes nothing; one above 64 MiB, as sent or decompressed, is refused, and so is one for a host that is not this
 * machine's, which a web page could send. Never fails; on Deno it needs `--allow-net`.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { OtlpJson, SpanRecord } from "handspan"
 * import * as Testing from "handspan/testing"
 *
 * const test = Effect.gen(function* () {
 *   const receiver = yield* Testing.OtlpReceiver.open
 *   const body = JSON.stringify(OtlpJson.encode([SpanRecord.make({ name: "pipeline.trip" })]))
 *   const headers = { "content-type": "application/json" }
 *   yield* Effect.promise(() => fetch(`${receiver.url}/v1/traces`, { method: "POST", headers, body }))
 *   if (receiver.spans()[0]?.name !== "pipeline.trip") throw new Error("expected the span")
 * })
 * await Effect.runPromise(Effect.scoped(test))
 * ```
 *
 * @since 0.1.0
 */
export const open: Effect.Effect<OtlpReceiver, never, Scope.Scope> = Effect.gen(function* () {
  const spans = new Map<string, SpanRecord>()
  const faults: Array<string> = []
  const work = makeWork()
  const server = Http.createServer((request, response) => {
    const done = work.begin()
    const answer = answerOf(request, response)
    receive(request, (outcome) => {
      if (Result.isFailure(outcome)) {
        const { reason, status } = outcome.failure
        faults.push(`Refused ${request.method} "${request.url}" with status ${status}: ${reason}`)
      } else for (const span of outcome.success) keep(spans, span)
      answer(outcome)
      done()
    })
  })
  server.on("connection", (socket) => {
    socket.on("close", work.begin())
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.on("error", (error) => resume(Effect.die(error)))
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () => Effect.sync(() => [server.close(), server.closeAllConnections()])
  )
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    spans: () => [...spans.values()],
    faults: () => [...faults],
    settled: work.settled
  }
})

/** OTLP §OTLP/HTTP Request: what a client must not send more than. */
const maxBytes = 64 * 1024 * 1024

/** Why a request is not taken. */
interface Refusal {
  readonly status: number
  readonly reason: string
  readonly headers?: Http.OutgoingHttpHeaders
}

type Outcome = Result.Result<ReadonlyArray<SpanRecord>, Refusal>

const refuse = (status: number, reason: string, headers?: Http.OutgoingHttpHeaders): Result.Result<never, Refusal> =>
  Result.fail({ status, reason, ...(headers && { headers }) })

const tooLarge = refuse(413, "a request may have 64 MiB, also decompressed", { connection: "close" })

/** A span is known by its ids; another span that has them as well must not be lost, as it is a fault to be seen. */
const keep = (spans: Map<string, SpanRecord>, span: SpanRecord): void => {
  const key = [span.traceId, span.spanId, span.startTimeUnixNano, span.name].join(" ")
  const known = spans.get(key)
  if (known !== undefined && (isPicture(span) || !isPicture(known))) return
  spans.delete(key)
  spans.set(key, span)
}

const isPicture = ({ attributes }: SpanRecord): boolean => attributes[Key.pending] === true

const receive = (request: Http.IncomingMessage, end: (outcome: Outcome) => void): void => {
  const refusal = refusalOf(request)
  if (refusal !== undefined) {
    end(refusal)
    request.resume()
    return
  }
  let chunks: Array<Uint8Array> = []
  let size = 0
  let isOver = false
  const endOnce = (outcome: Outcome) => {
    if (!isOver) end(outcome)
    isOver = true
    chunks = []
  }
  request.on("data", (chunk: Uint8Array) => {
    size += chunk.length
    if (size > maxBytes) endOnce(tooLarge)
    else if (!isOver) chunks.push(chunk)
  })
  request.on("end", () => {
    if (!isOver) unpack(Buffer.concat(chunks), encodingOf(request), (unpacked) => endOnce(decode(request, unpacked)))
  })
  request.on("error", () => undefined)
  request.on("close", () => {
    if (!request.complete) endOnce(refuse(400, "it broke off before its end"))
  })
}

const refusalOf = (request: Http.IncomingMessage): Outcome | undefined => {
  const { headers, method, url } = request
  if (!isLoopback(headers.host ?? "")) return refuse(403, `the host "${headers.host ?? ""}" is not loopback`)
  if (url?.split("?", 1)[0] !== "/v1/traces") return refuse(404, 'use "/v1/traces"')
  if (method !== "POST") return refuse(405, "use POST", { allow: "POST" })
  const type = typeOf(request)
  if (!types.has(type)) return refuse(415, `content type "${type}": use ${[...types].join(" or ")}`)
  const encoding = encodingOf(request)
  if (Object.hasOwn(decompress, encoding)) return undefined
  const encodings = Object.keys(decompress).join(", ")
  return refuse(415, `content encoding "${encoding}": use one of ${encodings}`, { "accept-encoding": encodings })
}

const protobuf = "application/x-protobuf"
const json = "application/json"
const types = new Set([protobuf, json])

const typeOf = ({ headers }: Http.IncomingMessage): string =>
  (headers["content-type"] ?? "").split(";", 1)[0]!.trim().toLowerCase()

const encodingOf = ({ headers }: Http.IncomingMessage): string =>
  headers["content-encoding"]?.trim().toLowerCase() ?? "identity"

// A page of another site that has its name point to this machine still says its own name.
const isLoopback = (host: string): boolean =>
  /^(localhost|127(\.\d+){3}|\[::1\])$/.test(URL.parse(`http://${host}`)?.hostname ?? "")

type Unpacked = (error: Error | null, bytes: Uint8Array) => void

const atMost = { maxOutputLength: maxBytes }

const decompress: Readonly<Record<string, (bytes: Uint8Array, done: Unpacked) => void>> = {
  identity: (bytes, done) => done(null, bytes),
  gzip: (bytes, done) => Zlib.gunzip(bytes, atMost, done),
  deflate: (bytes, done) => Zlib.inflate(bytes, atMost, done),
  zstd: (bytes, done) => Zlib.zstdDecompress(bytes, atMost, done)
}

const unpack = (
  bytes: Uint8Array,
  encoding: string,
  done: (unpacked: Result.Result<Uint8Array, Refusal>) => void
): void =>
  decompress[encoding]!(bytes, (error: (Error & { readonly code?: string }) | null, unpacked) => {
    if (error === null) done(Result.succeed(unpacked))
    else done(error.code === "ERR_BUFFER_TOO_LARGE" ? tooLarge : refuse(400, `no ${encoding}: ${error.message}`))
  })

const decode = (request: Http.IncomingMessage, unpacked: Result.Result<Uint8Array, Refusal>): Outcome =>
  Result.flatMap(unpacked, (bytes): Outcome => {
    const decoded: Result.Result<ReadonlyArray<SpanRecord>, Error> = typeOf(request) === protobuf
      ? OtlpProtobuf.decode(bytes)
      : OtlpJson.decodeText(new TextDecoder().decode(bytes))
    return Result.mapError(decoded, ({ message }) => ({ status: 400, reason: message }))
  })

// OTLP §OTLP/HTTP Response: in the type of the request; an ExportTraceServiceResponse of which nothing is set, or a
// google.rpc.Status, of which 2 is the message.
const answerOf =
  (request: Http.IncomingMessage, response: Http.ServerResponse) =>
  (outcome: Outcome): void => {
    const type = typeOf(request) === protobuf ? protobuf : json
    const refusal = Result.isFailure(outcome) ? outcome.failure : undefined
    const words = refusal?.reason ?? ""
    const body =
      type === json
        ? JSON.stringify(refusal === undefined ? {} : { message: words })
        : refusal === undefined
          ? ""
          : field(0x12, new TextEncoder().encode(words))
    response.on("error", () => undefined)
    response.writeHead(refusal?.status ?? 200, { ...refusal?.headers, "content-type": type }).end(body)
  }

/** Counts what is under way, for whoever waits until nothing is. */
const makeWork = () => {
  let underWay = 0
  let waiting: ReadonlyArray<() => void> = []
  const resumeAll = () => {
    const resumed = underWay === 0 ? waiting : []
    if (underWay === 0) waiting = []
    for (const resume of resumed) resume()
  }
  return {
    begin: () => {
      underWay++
      return () => {
        underWay--
        resumeAll()
      }
    },
    settled: Effect.callback<void>((resume) => {
      waiting = [...waiting, () => resume(Effect.void)]
      // What a process sent just before its end has yet to be read, in the next turn of the event loop.
      setImmediate(resumeAll)
    })
  }
}
