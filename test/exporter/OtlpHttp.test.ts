import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import type * as Http from "node:http"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Zlib from "node:zlib"
import { assert, describe, it, vi } from "@effect/vitest"
import * as Api from "@opentelemetry/api"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import { type Exporter, ExportError } from "../../src/Exporter.ts"
import * as OtlpExit from "../../src/exporter/OtlpExit.ts"
import * as OtlpHttp from "../../src/exporter/OtlpHttp.ts"
import type { Batch } from "../../src/SpanBuffer.ts"
import * as SpanRecord from "../../src/SpanRecord.ts"
import { batchOf } from "../batches.ts"
import * as Deno from "../deno.ts"
import * as Receiver from "../receiver.ts"

const batch = batchOf([SpanRecord.make({ name: "a" }), SpanRecord.make({ name: "b" })])

const defaults: Omit<OtlpHttp.Options, "url"> = { headers: {}, timeout: "10 seconds", compression: "none" }

/** An exporter that is shut down with the test. */
const open = (base: string, options: Partial<OtlpHttp.Options> = {}) =>
  Effect.acquireRelease(
    OtlpHttp.make({ ...defaults, url: new URL("/v1/traces", base), ...options }),
    (exporter) => exporter.shutdown
  )

/** An error as plain data; its message is no property that spreading sees. */
const whole = (error: ExportError) => ({ ...error, message: error.message })

/** What the exporter says of a batch that it could not send. */
const failed = (exporter: Exporter, of: Batch = batch) => Effect.map(Effect.flip(exporter.export(of)), whole)

const failure = (reason: string, retryable: boolean) =>
  whole(new ExportError({ exporter: "otlp", message: `Cannot export a batch of 2: ${reason}`, retryable, refused: 2 }))

/** Runs an effect and gives what it wrote to the log. */
const logged = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const texts: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => void texts.push(`${logLevel}: ${String(message)}`))
  return effect.pipe(
    Effect.provide(Logger.layer([logger])),
    Effect.provideService(References.MinimumLogLevel, "All"),
    Effect.as(texts)
  )
}

/** A protobuf message of a number and a text: `ExportTracePartialSuccess`, or `google.rpc.Status`. */
const numberAndText = (number: number, text: string) =>
  Buffer.concat([Buffer.of(0x08, number, 0x12, Buffer.byteLength(text)), Buffer.from(text)])
const partialSuccess = (rejected: number, text: string) => {
  const inner = numberAndText(rejected, text)
  return Buffer.concat([Buffer.of(0x0a, inner.length), inner])
}

const protobuf = { "content-type": "application/x-protobuf" }

/** A receiver that answers all alike. */
const answering = (status: number, headers: Http.OutgoingHttpHeaders = protobuf, body: string | Uint8Array = "") =>
  Receiver.listen((_, response) => response.writeHead(status, headers).end(body))

/** A server that speaks no HTTP, or breaks off: it does as it is told when the first bytes come. */
const rawServer = (onData: (socket: Net.Socket) => void) =>
  Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const server = Net.createServer((socket) => {
        socket.on("error", () => undefined)
        socket.once("data", () => onData(socket))
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  ).pipe(Effect.map((server) => `http://127.0.0.1:${(server.address() as Net.AddressInfo).port}`))

describe("export", () => {
  it.live("export() posts the bytes of a batch as they are, with its headers", () =>
    Effect.gen(function* () {
      const { base, requests } = yield* answering(200)
      const headers = { "API-Key": "secret", "Content-Type": "text/plain", "content-length": "1", "X-Team": "a" }
      const exporter = yield* open(base, { url: new URL("/as/it?is=1", base), headers })
      yield* exporter.export(batch)
      const [request] = requests
      assert.deepStrictEqual(request?.body, Buffer.from(batch.bytes))
      const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"))
      assert.deepStrictEqual(
        { path: request?.path, ...request?.headers },
        {
          path: "/as/it?is=1",
          host: base.slice("http://".length),
          connection: "keep-alive",
          "user-agent": `handspan/${version}`,
          "content-type": "application/x-protobuf",
          "content-length": String(batch.bytes.length),
          "api-key": "secret",
          "x-team": "a"
        }
      )
    })
  )

  it.live("export() sends user and password of the URL as authorization, unless there is one", () =>
    Effect.gen(function* () {
      const { base, requests } = yield* answering(200)
      const url = new URL(base.replace("//", "//ada:p%40ss@"))
      yield* (yield* open(base, { url })).export(batch)
      yield* (yield* open(base, { url, headers: { Authorization: "Bearer x" } })).export(batch)
      assert.deepStrictEqual(
        requests.map(({ headers }) => headers.authorization),
        [`Basic ${btoa("ada:p@ss")}`, "Bearer x"]
      )
    })
  )

  it.live.each([
    ["gzip", Zlib.gunzipSync],
    ["zstd", Zlib.zstdDecompressSync]
  ] as const)("export() compresses what is large enough for it: %s", ([compression, decompress]) =>
    Effect.gen(function* () {
      const { base, requests } = yield* answering(200)
      const exporter = yield* open(base, { compression })
      const large = batchOf(Array.from({ length: 50 }, () => SpanRecord.make({ name: "a" })))
      yield* exporter.export(batch)
      yield* exporter.export(large)
      assert.deepStrictEqual(
        requests.map(({ headers }) => headers["content-encoding"]),
        [undefined, compression]
      )
      assert.deepStrictEqual(decompress(requests[1]!.body), Buffer.from(large.bytes))
    })
  )

  it.live("export() uses a connection again, and no more than eight", () =>
    Effect.gen(function* () {
      const { base, connections, requests } = yield* answering(200, { "content-type": "application/x-protobuf" })
      const exporter = yield* open(base)
      yield* exporter.export(batch)
      yield* exporter.export(batch)
      assert.strictEqual(connections.opened, 1)
      yield* Effect.forEach(Array.from({ length: 20 }), () => exporter.export(batch), { concurrency: 10 })
      assert.strictEqual(requests.length, 22)
      assert.isAtMost(connections.opened, 8)
    })
  )

  it.live("export() sends nothing above 64 MiB", () =>
    Effect.gen(function* () {
      const { base, requests } = yield* answering(200)
      const exporter = yield* open(base, { compression: "gzip" })
      const bytes = new Uint8Array(64 * 1024 * 1024 + 1)
      assert.deepStrictEqual(
        yield* failed(exporter, { bytes, count: 2 }),
        failure("its 67108865 bytes are more than the 64 MiB that OTLP allows", false)
      )
      assert.deepStrictEqual(requests, [])
    })
  )
})

describe("answers", () => {
  const retryable = new Set([429, 502, 503, 504])
  it.live("export() takes 2xx for success, and only four statuses for failures that may pass", () =>
    Effect.gen(function* () {
      let status = 200
      const { base, requests } = yield* Receiver.listen((_, response) => response.writeHead(status, protobuf).end())
      const exporter = yield* open(base)
      const statuses = Array.from({ length: 400 }, (_, n) => 200 + n)
      for (status of statuses) {
        const error = yield* Effect.match(exporter.export(batch), {
          onSuccess: () => undefined,
          onFailure: ({ refused, retryable }) => ({ refused, retryable })
        })
        const expected = status < 300 ? undefined : { refused: 2, retryable: retryable.has(status) }
        assert.deepStrictEqual([status, error], [status, expected])
      }
      assert.strictEqual(requests.length, statuses.length)
    })
  )

  it.live.each<[string, Http.OutgoingHttpHeaders, string | Uint8Array, string]>([
    ["nothing", protobuf, "", "400 Bad Request"],
    ["a Status", protobuf, numberAndText(3, "no such\u001b[2J field"), "400 Bad Request: no such [2J field"],
    ["no Status", protobuf, "<h1>?", "400 Bad Request"],
    ["text", { "content-type": "text/plain" }, "  no such\nfield ", "400 Bad Request: no such field"],
    ["a whole page", { "content-type": "text/html" }, "<p>".repeat(9999), `400 Bad Request: ${"<p>".repeat(100)}`]
  ])("export() repeats of a refusal what a person can read: %s", ([, headers, body, reason]) =>
    Effect.gen(function* () {
      const { base } = yield* answering(400, headers, body)
      assert.deepStrictEqual(yield* failed(yield* open(base)), failure(reason, false))
    })
  )

  // Under TestClock it is 1970, 0 o'clock.
  it.effect.each<[string, number | undefined]>([
    ["7", 7000],
    ["86400", 300_000],
    ["9".repeat(400), 300_000],
    ["Thu, 01 Jan 1970 00:00:42 GMT", 42_000],
    ["Thursday, 01-Jan-70 00:00:42 GMT", 42_000],
    ["Thu Jan  1 00:00:42 1970", 42_000],
    ["Fri, 31 Dec 9999 23:59:59 GMT", 300_000],
    ["Wed, 31 Dec 1969 23:59:59 GMT", undefined],
    ["0", undefined],
    ["-7", undefined],
    ["7.5", undefined],
    ["soon", undefined],
    ["", undefined]
  ])("export() reads Retry-After: %s", ([text, millis]) =>
    Effect.gen(function* () {
      let status = 0
      const { base } = yield* Receiver.listen((_, response) =>
        response.writeHead(status, { "retry-after": text }).end()
      )
      const exporter = yield* open(base)
      for (status of retryable) assert.strictEqual((yield* failed(exporter)).retryAfterMillis, millis)
      status = 400
      assert.strictEqual((yield* failed(exporter)).retryAfterMillis, undefined)
    })
  )

  it.live("export() follows no redirect, and says where it leads, but for secrets", () =>
    Effect.gen(function* () {
      const target = yield* answering(200)
      const { base } = yield* answering(307, { location: `${target.base}/v1/traces?key=hunter2` })
      assert.deepStrictEqual(
        yield* failed(yield* open(base)),
        failure(
          `307 Temporary Redirect: redirects are not followed, set ${target.base}/v1/traces?<redacted> as endpoint`,
          false
        )
      )
      const relative = yield* answering(308, { location: "../otlp/v1/traces" })
      assert.include((yield* failed(yield* open(relative.base))).message, `set ${relative.base}/otlp/v1/traces as`)
      assert.deepStrictEqual(target.requests, [])
    })
  )

  it.live("export() tells how many spans of a batch were refused, and forgets it again", () =>
    Effect.gen(function* () {
      const answers = [partialSuccess(1, "too\u001b old"), partialSuccess(100, ""), Buffer.of()]
      const { base } = yield* Receiver.listen((_, response) => response.writeHead(200, protobuf).end(answers.shift()))
      const exporter = yield* open(base)
      const refusal = (message: string, refused: number) =>
        whole(new ExportError({ exporter: "otlp", message, retryable: false, refused }))
      assert.deepStrictEqual(yield* failed(exporter), refusal("The receiver refused 1 of 2: too  old", 1))
      assert.deepStrictEqual(yield* failed(exporter), refusal("The receiver refused 2 of 2: no reason given", 2))
      yield* exporter.export(batch)
    })
  )

  it.live("export() passes on once what a receiver says that took all", () =>
    Effect.gen(function* () {
      const { base } = yield* answering(200, protobuf, partialSuccess(0, "use less"))
      const exporter = yield* open(base)
      const texts = yield* logged(Effect.andThen(exporter.export(batch), exporter.export(batch)))
      assert.deepStrictEqual(texts, ["Warn: handspan: the receiver took all spans, but says: use less"])
    })
  )

  it.live.each<[string, Http.OutgoingHttpHeaders, string | Uint8Array]>([
    ["JSON", { "content-type": "application/json" }, '{"partialSuccess":{"rejectedSpans":"1"}}'],
    ["of no type", {}, partialSuccess(1, "")],
    ["broken", protobuf, partialSuccess(1, "too old").subarray(0, 5)]
  ])("export() takes 200 for success with an answer that is %s, and says so once to who debugs", ([, headers, body]) =>
    Effect.gen(function* () {
      const { base } = yield* answering(200, headers, body)
      const exporter = yield* open(base)
      const texts = yield* logged(Effect.andThen(exporter.export(batch), exporter.export(batch)))
      assert.deepStrictEqual(texts, ["Debug: handspan: the answer to spans that were taken is no OTLP protobuf"])
    })
  )

  it.live("export() reads no answer above 4 MiB to its end", () =>
    Effect.gen(function* () {
      const { base, disconnected } = yield* Receiver.serve((_, response) => {
        response.writeHead(200, protobuf)
        const more = (): void => {
          while (response.write(Buffer.alloc(65_536)));
        }
        response.on("drain", more)
        more()
      })
      assert.deepStrictEqual(yield* failed(yield* open(base)), failure("the answer is longer than 4 MiB", false))
      yield* disconnected
    })
  )

  it.live("export() hears an answer that comes before the request is through", () =>
    Effect.gen(function* () {
      const { base, disconnected } = yield* Receiver.serve((_, response) => response.writeHead(413).end("too much"))
      const exporter = yield* open(base)
      const bytes = new Uint8Array(16 * 1024 * 1024)
      assert.deepStrictEqual(
        yield* failed(exporter, { bytes, count: 2 }),
        failure("413 Payload Too Large: too much", false)
      )
      yield* disconnected
    })
  )
})

describe("connections", () => {
  it.live("export() may be tried again where nobody listens", () =>
    Effect.gen(function* () {
      const { base } = yield* Effect.scoped(Receiver.open())
      const { port } = new URL(base)
      assert.deepStrictEqual(yield* failed(yield* open(base)), failure(`connect ECONNREFUSED 127.0.0.1:${port}`, true))
      // A name may have two addresses: all that is known then is that nobody was there.
      const named = yield* failed(yield* open(`http://localhost:${port}`))
      assert.match(named.message, /ECONNREFUSED/)
      assert.isTrue(named.retryable)
    })
  )

  it.live("export() may be tried again for a name that is not known", () =>
    Effect.gen(function* () {
      const error = yield* failed(yield* open("http://collector.invalid:4318"))
      assert.match(error.message, /: getaddrinfo E\w+ collector\.invalid$/)
      assert.isTrue(error.retryable)
    })
  )

  const status = (line: string, body: string) => `HTTP/1.1 ${line}\r\ncontent-length: 10\r\n${body}`
  it.live.each<[string, (socket: Net.Socket) => void, string, boolean]>([
    ["closed without an answer", (socket) => socket.destroy(), "socket hang up", true],
    ["reset without an answer", (socket) => socket.resetAndDestroy(), "read ECONNRESET", true],
    [
      "upgraded",
      (socket) => socket.write(status("101 ?", "connection: upgrade\r\nupgrade: x\r\n\r\n")),
      "the receiver closed the",
      true
    ],
    ["broken off after 503", (socket) => socket.end(status("503 ?", "\r\nno")), "503 Service Unavailable: no", true],
    ["broken off after 400", (socket) => socket.end(status("400 ?", "\r\nno")), "400 Bad Request: no", false],
    ["no HTTP", (socket) => socket.end("\0\0\u0012\u0004 is HTTP/2"), "Parse Error: Expected HTTP/", false]
  ])("export() tells of a connection that is %s", ([, behave, reason, retryable]) =>
    Effect.gen(function* () {
      const error = yield* failed(yield* open(yield* rawServer(behave)))
      assert.include(error.message, `Cannot export a batch of 2: ${reason}`)
      assert.deepStrictEqual([error.retryable, error.refused], [retryable, 2])
    })
  )

  it.live("export() takes 200 for success, though the rest of the answer is reset", () =>
    Effect.gen(function* () {
      const base = yield* rawServer((socket) => {
        socket.write(status("200 OK", "\r\nhalf"), () => socket.resetAndDestroy())
      })
      yield* (yield* open(base)).export(batch)
    })
  )

  it.live("export() takes 200 for success, though the rest of the answer never comes", () =>
    Effect.gen(function* () {
      const { base, disconnected } = yield* Receiver.serve((request, response) => {
        request.resume()
        response.writeHead(200, protobuf).write("\n")
      })
      yield* (yield* open(base, { timeout: "100 millis" })).export(batch)
      yield* disconnected
    })
  )

  it.live("export() gives up a receiver that never answers, and its connection", () =>
    Effect.gen(function* () {
      const { base, disconnected } = yield* Receiver.serve((request) => request.resume())
      const exporter = yield* open(base, { timeout: "50 millis" })
      assert.deepStrictEqual(yield* failed(exporter), failure("no answer within 50ms", true))
      yield* disconnected
    })
  )

  /** An export that is under way, at a receiver that never answers. */
  const underWay = Effect.gen(function* () {
    const asked = yield* Deferred.make<void>()
    const server = yield* Receiver.serve(() => Deferred.doneUnsafe(asked, Exit.void))
    const exporter = yield* open(server.base)
    const exporting = yield* Effect.forkChild(failed(exporter))
    yield* Deferred.await(asked)
    return { ...server, exporter, exporting }
  })

  it.live("export() frees its connection when it is interrupted", () =>
    Effect.gen(function* () {
      const { connections, disconnected, exporting } = yield* underWay
      assert.strictEqual(connections.open, 1)
      yield* Fiber.interrupt(exporting)
      yield* disconnected
    })
  )

  it.live("shutdown closes what is under way, and nothing is sent from then on", () =>
    Effect.gen(function* () {
      const { connections, disconnected, exporter, exporting } = yield* underWay
      yield* exporter.shutdown
      const over = failure("the exporter has shut down", true)
      assert.deepStrictEqual(yield* Fiber.join(exporting), over)
      yield* disconnected
      assert.deepStrictEqual(yield* failed(exporter), over)
      assert.strictEqual(connections.opened, 1)
    })
  )

  it.live("export() is not traced", () =>
    Effect.gen(function* () {
      const { base } = yield* answering(200)
      // As instrumentation does it: in place of the module's own function.
      const http = process.getBuiltinModule("node:http")
      const suppressed: Array<unknown> = []
      const key = Api.createContextKey("OpenTelemetry SDK Context Key SUPPRESS_TRACING")
      const { request } = http
      vi.spyOn(http, "request").mockImplementation((...args: ReadonlyArray<unknown>) => {
        suppressed.push(Api.context.active().getValue(key))
        return Reflect.apply(request, http, args)
      })
      let active = Api.ROOT_CONTEXT
      Api.context.setGlobalContextManager({
        active: () => active,
        with: (context, run, thisArgument, ...args) => {
          active = context
          try {
            return Reflect.apply(run, thisArgument, args)
          } finally {
            active = Api.ROOT_CONTEXT
          }
        },
        bind: (_, target) => target,
        enable() {
          return this
        },
        disable() {
          return this
        }
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => [vi.restoreAllMocks(), Api.context.disable()]))
      yield* (yield* open(base)).export(batch)
      assert.deepStrictEqual(suppressed, [true])
    })
  )

  it.live("export() is not traced by Deno either, and needs no permission but for the host", () =>
    Effect.gen(function* () {
      const { base, requests } = yield* answering(200)
      const program = `
        import * as Effect from "effect/Effect"
        import * as OtlpHttp from "./src/exporter/OtlpHttp.ts"
        const url = new URL("${base}/spans")
        const exporter = await Effect.runPromise(
          OtlpHttp.make({ url, headers: {}, timeout: "10 seconds", compression: "gzip" }))
        await Effect.runPromise(exporter.export({ bytes: new Uint8Array(2000), count: 1 }))
        if (exporter.exportAtExit([{ bytes: new Uint8Array(3), count: 1 }], 10_000)[0] !== 1) throw new Error("lost")`
      const env = { OTEL_DENO: "true", OTEL_EXPORTER_OTLP_ENDPOINT: base }
      const permissions = ["--no-prompt", "--allow-net=127.0.0.1"]
      assert.deepStrictEqual(yield* Deno.run(program, { env, permissions }), { stdout: "", stderr: "" })
      const ours = requests.filter(({ path }) => path === "/spans")
      assert.deepStrictEqual(
        ours.map(({ headers }) => [headers["content-encoding"], headers["traceparent"]]),
        [
          ["gzip", undefined],
          [undefined, undefined]
        ]
      )
    })
  )
})

describe("https", () => {
  const authority = Receiver.certificate()
  const own = Receiver.certificate({ by: authority })

  /** Writes a PEM file, or one that is none. */
  const file = (text: string) =>
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "handspan-pem-"))),
        (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
      ),
      (folder) => {
        const path = join(folder, "file.pem")
        writeFileSync(path, text)
        return path
      }
    )

  const secure = (tls: object) => Receiver.listen((_, response) => response.writeHead(200, protobuf).end(), tls)

  it.live("export() sends to a receiver that an authority of a file vouches for, also at exit", () =>
    Effect.gen(function* () {
      const { base, connections, requests } = yield* secure(own)
      const exporter = yield* open(base, { tls: { certificate: yield* file(authority.cert) } })
      yield* exporter.export(batch)
      yield* exporter.export(batch)
      assert.deepStrictEqual([requests.length, connections.opened], [2, 1])
      const args = ["process.exit", base, "2", yield* file(authority.cert)]
      assert.deepStrictEqual(yield* child("otlp-exit.ts", ...args), { code: 0, stdout: "[1,2]" })
      assert.strictEqual(requests.length, 4)
    })
  )

  it.live("export() shows a certificate to a receiver that asks for one", () =>
    Effect.gen(function* () {
      const { base, requests } = yield* secure({ ...own, ca: authority.cert, requestCert: true })
      const tls = { certificate: yield* file(authority.cert) }
      const error = yield* failed(yield* open(base, { tls }))
      assert.isFalse(error.retryable)
      const client = Receiver.certificate({ by: authority, name: "client" })
      const shown = { clientCertificate: yield* file(client.cert), clientKey: yield* file(client.key) }
      yield* (yield* open(base, { tls: { ...tls, ...shown } })).export(batch)
      assert.strictEqual(requests.length, 1)
    })
  )

  it.live.each<[string, Receiver.Certificate, RegExp]>([
    ["nobody vouches for", Receiver.certificate({ by: Receiver.certificate() }), /certificate/],
    ["is another's", Receiver.certificate({ by: authority, name: "elsewhere" }), /does not match certificate/]
  ])("export() sends nothing to a receiver whose certificate %s", ([, certificate, reason]) =>
    Effect.gen(function* () {
      const { base, requests } = yield* secure(certificate)
      const error = yield* failed(yield* open(base, { tls: { certificate: yield* file(authority.cert) } }))
      assert.match(error.message, reason)
      assert.deepStrictEqual([error.retryable, requests], [false, []])
    })
  )

  it.live("make() refuses files that are no PEM, or not there", () =>
    Effect.gen(function* () {
      const path = yield* file("nonsense")
      const url = new URL("https://127.0.0.1")
      const refused = (tls: OtlpHttp.Options["tls"] & object) =>
        Effect.map(Effect.flip(OtlpHttp.make({ ...defaults, url, tls })), ({ message }) => message)
      assert.strictEqual(yield* refused({ clientKey: path }), `Cannot use "${path}": it is no PEM file`)
      assert.match(yield* refused({ certificate: `${path}.gone` }), /^Cannot read ".*file\.pem\.gone": .*ENOENT/)
      // Nobody reads them without TLS.
      yield* OtlpHttp.make({ ...defaults, url: new URL("http://127.0.0.1"), tls: { clientKey: path } })
    })
  )
})

describe("make", () => {
  it.effect("make() refuses a header that cannot be sent, and does not repeat its value", () =>
    Effect.gen(function* () {
      const url = new URL("http://ada:hunter2@collector/v1/traces?key=hunter2")
      const error = yield* Effect.flip(OtlpHttp.make({ ...defaults, url, headers: { "api-key": "hunter2\n" } }))
      assert.match(error.message, /^Cannot export to http:\/\/collector: .*"api-key"/)
      assert.notInclude(error.message, "hunter2")
    })
  )

  it.effect("make() says what to do where there is no node:http", () =>
    Effect.gen(function* () {
      vi.stubGlobal("process", undefined)
      yield* Effect.addFinalizer(() => Effect.sync(() => vi.unstubAllGlobals()))
      assert.isFalse(OtlpHttp.isSupported())
      const error = yield* Effect.flip(OtlpHttp.make({ ...defaults, url: new URL("http://collector") }))
      assert.strictEqual(error.message, "Cannot export by http/protobuf without node:http: use http/json")
      assert.deepStrictEqual(OtlpExit.send({ url: "http://collector", headers: {}, tls: {} }, [batch], 1000), [0])
    })
  )
})

describe("the process", () => {
  it.live("an idle exporter does not hold the process", () =>
    Effect.gen(function* () {
      const { base, requests } = yield* answering(200, { ...protobuf, "keep-alive": "timeout=600" })
      const started = performance.now()
      assert.deepStrictEqual(yield* child("otlp-idle.ts", base), { code: 0, stdout: "" })
      // Idle connections are closed after four seconds, and the receiver closes them after five.
      assert.isBelow(performance.now() - started, 3500)
      assert.strictEqual(requests.length, 1)
    })
  )

  const ends = ["process.exit", "nothing left to do", ...(process.versions["deno"] === undefined ? [] : ["Deno.exit"])]
  it.live.each(ends)("exportAtExit() delivers what a process has when it ends by %s", (how) =>
    Effect.gen(function* () {
      const { base, connections, requests } = yield* answering(200)
      assert.deepStrictEqual(yield* child("otlp-exit.ts", how, `${base}/v1/traces`, "10"), {
        code: 0,
        stdout: "[1,2,3,1,2,3,1,2,3,1]"
      })
      const names = requests.flatMap((request) => Receiver.spansOf(request).map(({ name }) => name))
      const expected = Array.from({ length: 10 }, (_, n) => Array.from({ length: 1 + (n % 3) }, () => `batch ${n}`))
      assert.deepStrictEqual(names.toSorted(), expected.flat().toSorted())
      assert.isAtMost(connections.opened, 8)
      const { headers } = requests[0]!
      assert.deepStrictEqual([headers["content-type"], headers["x-team"]], ["application/x-protobuf", "photos"])
    })
  )

  it.live("exportAtExit() knows what was refused, what had no answer, and what only the second try brought", () =>
    Effect.gen(function* () {
      // Three batches, of one span, of two and of three.
      const behaviours: Record<string, Array<(response: Http.ServerResponse) => void>> = {
        "batch 0": [
          (response) => void response.socket?.destroy(),
          (response) => void response.writeHead(200, protobuf).end()
        ],
        "batch 1": [(response) => void response.writeHead(200, protobuf).end(partialSuccess(1, "too old"))],
        "batch 2": [(response) => void response.writeHead(503).end()]
      }
      const { base, requests } = yield* Receiver.listen((request, response) => {
        behaviours[Receiver.spansOf(request)[0]!.name]?.shift()?.(response)
      })
      const { stdout } = yield* child("otlp-exit.ts", "process.exit", base, "3")
      assert.deepStrictEqual([stdout, requests.length], ["[1,1,0]", 4])
    })
  )

  it.live("exportAtExit() gives up in time", () =>
    Effect.gen(function* () {
      const { base } = yield* Receiver.serve((request) => request.resume())
      const url = new URL(base).href
      const started = performance.now()
      assert.deepStrictEqual(OtlpExit.send({ url, headers: {}, tls: {} }, [batch, batch], 300), [0, 0])
      assert.isBelow(performance.now() - started, 1500)
      assert.deepStrictEqual(OtlpExit.send({ url, headers: {}, tls: {} }, [], 300), [])
    })
  )
})

const programs = fileURLToPath(new URL("../programs/", import.meta.url))
const onDeno = ["run", "--no-prompt", "--no-lock", "--allow-net=127.0.0.1", `--allow-read=${tmpdir()}`]

/** Runs a program on the runtime of the test. */
const child = (program: string, ...args: ReadonlyArray<string>) =>
  Effect.callback<{ readonly code: number | null; readonly stdout: string }>((resume) => {
    const runtime = process.versions["deno"] === undefined ? [] : onDeno
    const running = spawn(process.execPath, [...runtime, join(programs, program), ...args], {
      cwd: tmpdir(),
      stdio: ["ignore", "pipe", "inherit"]
    })
    let stdout = ""
    running.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()))
    running.on("close", (code) => resume(Effect.succeed({ code, stdout })))
    return Effect.sync(() => running.kill("SIGKILL"))
  })
