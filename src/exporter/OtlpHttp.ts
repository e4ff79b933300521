/**
 * Spans to an OTLP receiver over HTTP in protobuf: the bytes of a batch are the body of a request. One request and what
 * its answer means are here; when to send, and when to send again, is Delivery's. `Otlp` chooses between this and the
 * other ways.
 *
 * It stands on `node:http`, which Node and Deno both have: a request of 115 KB to loopback takes 0.12 ms of CPU on Node
 * and 0.13 ms on Deno; by `fetch` it is 0.7 and 0.2.
 *
 * @since 0.1.0
 */
import type * as Http from "node:http"
import * as Api from "@opentelemetry/api"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { type Exporter, ExportError } from "../Exporter.ts"
import * as OtlpProtobuf from "../OtlpProtobuf.ts"
import { ProtobufReader } from "../ProtobufReader.ts"
import type { Batch } from "../SpanBuffer.ts"
import * as Variable from "../Variable.ts"
import { version } from "../Version.ts"
import { printable, untraced } from "./OpenTelemetry.ts"
import * as OtlpExit from "./OtlpExit.ts"

/**
 * An OTLP exporter that cannot be made as asked for. Its message says what to do.
 *
 * @since 0.1.0
 */
export class OtlpSetupError extends Schema.TaggedError<OtlpSetupError>()("OtlpSetupError", {
  message: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {}

/**
 * How requests are compressed. Every receiver takes gzip; zstd, a fifth smaller at the same cost, is taken by the
 * OpenTelemetry collector, and not by all.
 *
 * @since 0.1.0
 */
export type Compression = "none" | "gzip" | "zstd"

/**
 * Where and how to send spans.
 *
 * @since 0.1.0
 */
export interface Options {
  /** The receiver's URL for traces. A user and password in it are sent as basic authorization. */
  readonly url: URL
  /** Headers of each request. Those that frame its body, such as `Content-Type`, are the exporter's and are left out. */
  readonly headers: Readonly<Record<string, string>>
  /**
   * Paths of PEM files for `https`, read once: authorities to trust instead of the runtime's, and what to show the
   * receiver. Default: the runtime's, and nothing.
   */
  readonly tls?: {
    readonly certificate?: string | undefined
    readonly clientCertificate?: string | undefined
    readonly clientKey?: string | undefined
  }
  /** How long one export may take, from compressing the request to the last byte of the answer. */
  readonly timeout: Duration.Input
  /** What to do with bodies of 1 KiB and more. */
  readonly compression: Compression
}

/**
 * Whether this exporter works here: on Node and Deno, not in a browser.
 *
 * @since 0.1.0
 */
export const isSupported = (): boolean => builtin("node:http") !== undefined

/**
 * Makes an exporter that sends OTLP protobuf over HTTP/1.1 on up to eight connections, which stay open for four seconds.
 *
 * **Details**: what OTLP says of an answer (OTLP §OTLP/HTTP Response) holds for its `ExportError`s:
 * - Retryable are the statuses 429, 502, 503 and 504, with the time of their Retry-After up to five minutes; a
 *   connection that cannot be made or breaks before a status; and no status within `timeout`.
 * - Not retryable is any other status, redirects included, which are not followed; and an answer above 4 MiB.
 * - A status of 2xx is success even where the rest of the answer breaks off, comes too late or is no protobuf; what it
 *   says is lost then. The spans that it refuses (OTLP §Partial Success) are told as refused.
 * - A batch above 64 MiB is not sent (OTLP §OTLP/HTTP Request), and not retryable.
 * - A certificate that cannot be trusted is not retryable: a person has to mend it, and hears of it at once. Where Node
 *   tells that it has expired, or is not valid yet, the error is retryable, as the receiver may renew it.
 *
 * An interrupted export closes its connection, and so does `shutdown` with all. Idle connections do not hold the
 * process. OpenTelemetry's instrumentation, and Deno's, record nothing of the requests. On Deno it needs `--allow-net`
 * for the receiver, and `--allow-read` for the PEM files, nothing else.
 *
 * **Fails with** `OtlpSetupError` when there is no `node:http`, when a PEM file cannot be used, or when HTTP does not
 * allow a header.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as OtlpHttp from "handspan/exporter/OtlpHttp"
 *
 * const url = new URL("http://127.0.0.1:9/v1/traces")
 * const exporting = Effect.gen(function* () {
 *   const exporter = yield* OtlpHttp.make({ url, headers: {}, timeout: "1 second", compression: "gzip" })
 *   return yield* Effect.flip(exporter.export({ bytes: Uint8Array.of(), count: 0 }))
 * })
 * if (!(await Effect.runPromise(exporting)).retryable) throw new Error("expected that nobody is there, for now")
 * ```
 *
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<Exporter, OtlpSetupError> =>
  Effect.gen(function* () {
    const { headers, tls, transport } = yield* setUp(options)
    const timeout = Duration.max(Duration.fromInputUnsafe(options.timeout), Duration.millis(1))
    const told = { warning: false, unreadable: false }
    const once = (kind: keyof typeof told, log: Effect.Effect<void>) =>
      Effect.suspend(() => {
        if (told[kind]) return Effect.void
        told[kind] = true
        return log
      })

    const failure = (batch: Batch, reason: string, retryable: boolean, retryAfterMillis?: number) =>
      new ExportError({
        exporter: name,
        message: `Cannot export a batch of ${batch.count}: ${reason}`,
        retryable,
        refused: batch.count,
        ...(retryAfterMillis === undefined ? {} : { retryAfterMillis })
      })

    const exchange = (batch: Batch) =>
      Effect.suspend(() => {
        const answer: Answer = { status: 0, headers: {}, chunks: [], size: 0, isWhole: false }
        const compression = batch.bytes.length < leastCompressed ? "none" : options.compression
        const body = compression === "none" ? Effect.succeed(batch.bytes) : compress(batch.bytes, compression)
        const encoding: Readonly<Record<string, string>> =
          compression === "none" ? {} : { "content-encoding": compression }
        return Effect.flatMap(body, (bytes) => transport.post(bytes, { ...headers, ...encoding }, answer)).pipe(
          Effect.mapError(({ reason, retryable }) => failure(batch, reason, retryable)),
          Effect.timeoutOrElse({
            duration: timeout,
            orElse: () =>
              answer.status === 0
                ? Effect.fail(failure(batch, `no answer within ${Duration.format(timeout)}`, true))
                : Effect.void
          }),
          Effect.as(answer)
        )
      })

    const taken = (batch: Batch, answer: Answer) => {
      if (answer.size === 0) return Effect.void
      const read =
        answer.isWhole && isProtobuf(answer)
          ? OtlpProtobuf.decodePartialSuccess(bodyOf(answer))
          : Result.fail(undefined)
      if (Result.isFailure(read)) {
        return once("unreadable", Effect.logDebug("handspan: the answer to spans that were taken is no OTLP protobuf"))
      }
      const { errorMessage, rejectedSpans } = read.success
      const refused = Math.min(rejectedSpans, batch.count)
      const words = printable(errorMessage)
      if (refused > 0) {
        const message = `The receiver refused ${refused} of ${batch.count}: ${words === "" ? "no reason given" : words}`
        return new ExportError({ exporter: name, message, retryable: false, refused })
      }
      // OTLP §Partial Success: a receiver that took all may still have something to say.
      return words === ""
        ? Effect.void
        : once("warning", Effect.logWarning(`handspan: the receiver took all spans, but says: ${words}`))
    }

    const judge = (batch: Batch, answer: Answer) =>
      Effect.gen(function* () {
        const { status } = answer
        if (answer.size > maxAnswerBytes) return yield* failure(batch, "the answer is longer than 4 MiB", false)
        if (status >= 200 && status <= 299) return yield* taken(batch, answer)
        const reason = [statusLine(status), redirection(options.url, answer), wordsOf(answer)]
          .filter(Boolean)
          .join(": ")
        if (!retryableStatuses.has(status)) return yield* failure(batch, reason, false)
        const after = retryAfterMillis(answer.headers["retry-after"] ?? "", yield* Clock.currentTimeMillis)
        return yield* failure(batch, reason, true, after)
      })

    return {
      name,
      concurrency,
      spoolAs: `${options.url.host}${options.url.pathname}`,
      pendingSpans: true,
      export: (batch) =>
        batch.bytes.length > maxBodyBytes
          ? failure(batch, `its ${batch.bytes.length} bytes are more than the 64 MiB that OTLP allows`, false)
          : Effect.flatMap(exchange(batch), (answer) => judge(batch, answer)),
      flush: Effect.void,
      shutdown: Effect.sync(transport.close),
      exportAtExit: (batches, timeoutMillis) =>
        OtlpExit.send({ url: options.url.href, headers, tls }, batches, timeoutMillis)
    }
  })

const name = "otlp"
// A program that keeps its event loop busy reads answers late, on Deno a tenth of a second: what is sent in that time
// must be under way. Otherwise one or two do.
const concurrency = 8

/** OTLP §OTLP/HTTP Request: what a client must not send more than, before compression. */
const maxBodyBytes = 64 * 1024 * 1024
/** OTLP §OTLP/HTTP Response: what a client must not read more than. */
const maxAnswerBytes = 4 * 1024 * 1024
/** Some receivers close idle connections after five seconds; a request that crosses with that is lost. */
const idleMillis = 4000
const leastCompressed = 1024
// Bytes of handoff spans by level 1, 3 and 6, of those of plain JSON: 4.0, 3.4 and 3.2 % on Node, 5.6, 3.3 and 2.9 % on
// Deno; CPU per span: 0.7, 0.8 and 2.2 us on Node, 0.4, 0.6 and 1.3 us on Deno.
const compressionLevel = 3

/** What has come of an answer. */
interface Answer {
  /** 0 as long as none has. */
  status: number
  headers: Http.IncomingHttpHeaders
  readonly chunks: Array<Uint8Array>
  size: number
  isWhole: boolean
}

// A dynamic import would do, but bundlers for browsers stumble over it.
const builtin: (typeof process)["getBuiltinModule"] = (id: string) =>
  globalThis.process?.getBuiltinModule?.(id) as never

const setUp = Effect.fnUntraced(function* (options: Options) {
  const secure = options.url.protocol === "https:"
  const http = builtin(secure ? "node:https" : "node:http")
  if (http === undefined) {
    return yield* new OtlpSetupError({ message: "Cannot export by http/protobuf without node:http: use http/json" })
  }
  const { certificate: ca, clientCertificate: cert, clientKey: key } = secure ? (options.tls ?? {}) : {}
  const tls: Record<string, string> = {}
  for (const [use, path] of Object.entries({ ca, cert, key })) if (path !== undefined) tls[use] = yield* readPem(path)
  const headers: Record<string, string> = { "user-agent": `handspan/${version}` }
  for (const [key, value] of Object.entries(options.headers)) headers[key.toLowerCase()] = value
  for (const key of framing) delete headers[key]
  headers["content-type"] = "application/x-protobuf"
  return yield* Effect.try({
    try: () => {
      for (const [name, value] of Object.entries(headers)) {
        builtin("node:http").validateHeaderName(name)
        builtin("node:http").validateHeaderValue(name, value)
      }
      // Now, and not at the first request, where Node refuses keys that are none.
      if (secure) builtin("node:tls").createSecureContext(tls)
      const pool = { keepAlive: true, maxSockets: concurrency, maxFreeSockets: concurrency, timeout: idleMillis }
      return { headers, tls, transport: makeTransport(options.url, http.request, new http.Agent({ ...pool, ...tls })) }
    },
    // Messages of both name what is wrong, and no value.
    catch: (cause) =>
      new OtlpSetupError({ message: `Cannot export to ${options.url.origin}: ${(cause as Error).message}`, cause })
  })
})

/** Headers that say where a body ends and what it is. */
const framing = ["connection", "content-encoding", "content-length", "transfer-encoding"]

const readPem = (path: string) =>
  Effect.try({
    try: () => builtin("node:fs").readFileSync(path, "utf8"),
    catch: (cause) => new OtlpSetupError({ message: `Cannot read "${path}": ${(cause as Error).message}`, cause })
  }).pipe(
    // The runtimes take other text for no certificates at all, silently.
    Effect.filterOrFail(
      (text) => text.includes("-----BEGIN "),
      () => new OtlpSetupError({ message: `Cannot use "${path}": it is no PEM file` })
    )
  )

const compress = (bytes: Uint8Array, compression: "gzip" | "zstd") =>
  Effect.callback<Uint8Array, Trouble>((resume) => {
    const { gzip, zstdCompress } = builtin("node:zlib")
    const done = (error: Error | null, compressed: Uint8Array) =>
      resume(error === null ? Effect.succeed(compressed) : Effect.fail(troubleOf(error)))
    if (compression === "gzip") gzip(bytes, { level: compressionLevel }, done)
    else zstdCompress(bytes, done)
  })

const makeTransport = (url: URL, open: typeof Http.request, agent: Http.Agent) => {
  const requests = new Set<Http.ClientRequest>()
  let closed = false
  return {
    /** Sends a request and notes what comes of its answer. Fails where not even a status does. */
    post: (body: Uint8Array, headers: Readonly<Record<string, string>>, answer: Answer) =>
      Effect.callback<void, Trouble>((resume) => {
        if (closed) return resume(Effect.fail(troubleOf(shutDown)))
        const length = { "content-length": body.length }
        const request = Api.context.with(untraced(), () => {
          const opened = open(url, { method: "POST", agent, headers: { ...headers, ...length } })
          return opened.end(body)
        })
        requests.add(request)
        const end = (result: Effect.Effect<void, Trouble>) => {
          requests.delete(request)
          // Also where the answer came before the receiver had read all: the rest would wait for it.
          if (!answer.isWhole || !request.writableFinished) request.destroy()
          resume(result)
        }
        const fail = (error: SystemError) => end(answer.status === 0 ? Effect.fail(troubleOf(error)) : Effect.void)
        request.on("error", fail)
        request.on("response", (response) => {
          answer.status = response.statusCode ?? 0
          answer.headers = response.headers
          response.on("error", fail)
          response.on("data", (chunk: Uint8Array) => {
            answer.size += chunk.length
            if (answer.size > maxAnswerBytes) end(Effect.void)
            else answer.chunks.push(chunk)
          })
          response.on("end", () => {
            answer.isWhole = true
            // When the connection is free again, for whoever goes on from here to use it.
            queueMicrotask(() => end(Effect.void))
          })
        })
        // Last of all, and alone after an answer of 101, which is neither an error nor a response.
        request.on("close", () => queueMicrotask(() => fail({ message: "the receiver closed the connection" })))
        return Effect.sync(() => {
          requests.delete(request)
          request.destroy()
        })
      }),
    close: () => {
      closed = true
      for (const request of requests) request.destroy(new Error(shutDown.message))
      agent.destroy()
    }
  }
}

/** Why there is no answer. */
interface Trouble {
  readonly reason: string
  readonly retryable: boolean
}

/** What may stand on an error of Node's. */
interface SystemError {
  readonly message: string
  readonly name?: string
  readonly code?: string
  readonly errors?: ReadonlyArray<Error>
}

const shutDown: SystemError = { message: "the exporter has shut down" }

const troubleOf = ({ code = "", errors = [], message, name }: SystemError): Trouble => ({
  // Where a name has several addresses, the failures are told one by one, under an empty message.
  reason: printable(message || errors.map((error) => error.message).join(", ") || code),
  retryable:
    /CERT_HAS_EXPIRED|CERT_NOT_YET_VALID/.test(code) ||
    // NotCapable: Deno refuses a permission, and will again. HPE: what answers does not speak HTTP.
    !(name === "NotCapable" || /^HPE_|CERT|UNABLE_TO_|INVALID_CA|HOSTNAME_MISMATCH/.test(code))
})

// OTLP §Failures: the only statuses after which a client may try again.
const retryableStatuses = new Set([429, 502, 503, 504])

const statusLine = (status: number) => `${status} ${builtin("node:http").STATUS_CODES[status] ?? ""}`.trim()

const redirection = (url: URL, { headers: { location }, status }: Answer) => {
  const target = status >= 300 && status <= 399 && location !== undefined ? URL.parse(location, url) : null
  return target === null
    ? ""
    : `redirects are not followed, set ${printable(Variable.redactUrl(target.href))} as endpoint`
}

const isProtobuf = ({ headers }: Answer) => /^application\/x-protobuf\b/i.test(headers["content-type"] ?? "")

const bodyOf = ({ chunks }: Answer) => {
  const [only] = chunks
  return chunks.length === 1 && only !== undefined ? only : builtin("node:buffer").Buffer.concat(chunks)
}

/** What a receiver says of its refusal: in the `message` of a `google.rpc.Status` (OTLP §Failures), or as any text. */
const wordsOf = (answer: Answer) => {
  const bytes = bodyOf(answer)
  if (!isProtobuf(answer)) return printable(new TextDecoder().decode(bytes.subarray(0, 4096)).trim())
  const reader = new ProtobufReader(bytes)
  let message = ""
  while (reader.next(reader.end)) {
    if (reader.tag === 0x12) message = reader.text()
    else reader.skip()
  }
  return printable(message)
}

const maxRetryAfter = Duration.toMillis("5 minutes")

/** RFC 9110 §10.2.3: seconds, or a date, which is in GMT also in the one form that does not say so (§5.6.7). */
const retryAfterMillis = (text: string, now: number): number | undefined => {
  const date = /^[a-z]{3}/i.test(text) ? Date.parse(text.endsWith("GMT") ? text : `${text} GMT`) : NaN
  const millis = /^\d+$/.test(text) ? Number(text) * 1000 : date - now
  return millis > 0 ? Math.min(millis, maxRetryAfter) : undefined
}
