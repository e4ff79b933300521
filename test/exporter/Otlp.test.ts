import { createRequire } from "node:module"
import * as Zlib from "node:zlib"
import { assert, describe, it, vi } from "@effect/vitest"
import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import { ExportError } from "../../src/Exporter.ts"
import * as OpenTelemetry from "../../src/exporter/OpenTelemetry.ts"
import * as Otlp from "../../src/exporter/Otlp.ts"
import * as SpanRecord from "../../src/SpanRecord.ts"
import { batchOf } from "../batches.ts"
import * as Deno from "../deno.ts"
import * as Receiver from "../receiver.ts"

const span = SpanRecord.make({
  traceId: "12345678901234567890123456789012",
  spanId: "1234567890123456",
  name: "agent_handoff.planner",
  startTimeUnixNano: 1_700_000_000_123_456_789n,
  attributes: { agent: "planner" },
  resource: { attributes: { "service.name": "photos" } }
})

/** Runs an effect and gives what it warned of. */
const warnings = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const texts: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => void texts.push(`${logLevel}: ${String(message)}`))
  return Effect.map(Effect.provide(effect, Logger.layer([logger])), (value) => ({ texts, value }))
}

/** An error as plain data; its message is no property that spreading sees. */
const whole = (error: ExportError) => ({ ...error, message: error.message })

describe("make", () => {
  it.live("make() sends OTLP JSON to the base URL and path, with headers and nothing of the environment", () =>
    Effect.gen(function* () {
      vi.stubEnv("OTEL_EXPORTER_OTLP_HEADERS", "x-stray=1")
      vi.stubEnv("OTEL_EXPORTER_OTLP_TIMEOUT", "nonsense")
      yield* Effect.addFinalizer(() => Effect.sync(() => vi.unstubAllEnvs()))
      const { base, requests } = yield* Receiver.open()
      const exporter = yield* Otlp.make({
        endpoint: `${base}/otlp/`,
        protocol: "http/json",
        headers: { "api-key": Redacted.make("a=b; c,d"), "x-team": "a" }
      })
      yield* exporter.export(batchOf([span]))
      yield* exporter.shutdown
      assert.strictEqual(process.env["OTEL_EXPORTER_OTLP_HEADERS"], "x-stray=1")
      const [{ body, headers, path }] = requests as [Receiver.Request]
      assert.deepStrictEqual(
        [path, headers["content-type"], headers["api-key"], headers["x-team"], headers["x-stray"]],
        ["/otlp/v1/traces", "application/json", "a=b; c,d", "a", undefined]
      )
      assert.deepStrictEqual(JSON.parse(body.toString()), {
        resourceSpans: [
          {
            resource: {
              attributes: [{ key: "service.name", value: { stringValue: "photos" } }],
              droppedAttributesCount: 0
            },
            scopeSpans: [
              {
                scope: { name: "handspan", version: "" },
                spans: [
                  {
                    traceId: span.traceId,
                    spanId: span.spanId,
                    name: span.name,
                    kind: 1,
                    startTimeUnixNano: "1700000000123456789",
                    endTimeUnixNano: "1700000000123456789",
                    attributes: [{ key: "agent", value: { stringValue: "planner" } }],
                    droppedAttributesCount: 0,
                    events: [],
                    droppedEventsCount: 0,
                    status: { code: 0 },
                    links: [],
                    droppedLinksCount: 0,
                    flags: 257
                  }
                ]
              }
            ]
          }
        ]
      })
    })
  )

  it.live("make() sends OTLP protobuf unless told otherwise, compressed when asked, to a URL as it is", () =>
    Effect.gen(function* () {
      const { base, requests } = yield* Receiver.open(200, "")
      const headers = { "api-key": Redacted.make("a=b; c,d") }
      const exporter = yield* Otlp.make({ url: `${base}/as/it/is`, headers, compression: "gzip" })
      const batch = batchOf(Array.from({ length: 20 }, () => span))
      yield* exporter.export(batch)
      yield* exporter.shutdown
      const [request] = requests as [Receiver.Request]
      assert.deepStrictEqual(
        [request.path, request.headers["content-type"], request.headers["api-key"]],
        ["/as/it/is", "application/x-protobuf", "a=b; c,d"]
      )
      assert.deepStrictEqual(Zlib.gunzipSync(request.body), Buffer.from(batch.bytes))
    })
  )

  const encoded = Buffer.from(ProtobufTraceSerializer.serializeRequest([OpenTelemetry.toReadableSpan(span)])!)

  it.live("make() sends OTLP over gRPC with headers as metadata, and tells its codes", () =>
    Effect.gen(function* () {
      const { received, address } = yield* grpcReceiver(encoded.length)
      const exporter = yield* Otlp.make({
        endpoint: `http://${address}`,
        protocol: "grpc",
        headers: { "Api-Key": Redacted.make("a=b; c,d") }
      })
      yield* exporter.export(batchOf([span]))
      const refused = yield* Effect.flip(exporter.export(batchOf([span, span])))
      yield* exporter.shutdown
      assert.deepStrictEqual(received[0], { body: encoded, key: ["a=b; c,d"] })
      assert.deepStrictEqual(
        whole(refused),
        whole(
          new ExportError({
            exporter: "otlp",
            message: "Cannot export a batch of 2: 3 3 INVALID_ARGUMENT: too long",
            retryable: false,
            refused: 2
          })
        )
      )
    })
  )

  it.live.each<[number, string, boolean, string]>([
    [400, "no such field", false, "400 Bad Request no such field"],
    [413, "", false, "413 Payload Too Large"],
    [500, "", false, "500 Internal Server Error"],
    [429, "", true, "Export failed with retryable status"],
    [503, "", true, "Export failed with retryable status"]
  ])("make() gives an exporter that tells status %d as it should be taken", ([status, answer, retryable, reason]) =>
    Effect.gen(function* () {
      const { base, requests } = yield* Receiver.open(status, answer)
      const exporter = yield* Otlp.make({ endpoint: base, protocol: "http/json" })
      assert.deepStrictEqual(
        whole(yield* Effect.flip(exporter.export(batchOf([span])))),
        whole(
          new ExportError({ exporter: "otlp", message: `Cannot export a batch of 1: ${reason}`, retryable, refused: 1 })
        )
      )
      // Delivery tries again; OpenTelemetry's own retry beside it would hold the process.
      assert.strictEqual(requests.length, 1)
    })
  )

  it.live("make() gives an exporter that tells how many spans of a batch were refused, and forgets it again", () =>
    Effect.gen(function* () {
      let answer = '{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too\\u001b old"}}'
      const { base } = yield* Receiver.open(200, () => answer)
      const exporter = yield* Otlp.make({ endpoint: base, protocol: "http/json" })
      assert.deepStrictEqual(
        whole(yield* Effect.flip(exporter.export(batchOf([span, span])))),
        whole(
          new ExportError({
            exporter: "otlp",
            message: "The receiver refused 1 of 2: too  old",
            retryable: false,
            refused: 1
          })
        )
      )
      answer = "{}"
      yield* exporter.export(batchOf([span]))
    })
  )

  it.live("make() gives an exporter that lets its connections go, also to a receiver that never answers", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const { base, disconnected } = yield* Receiver.serve(() => Deferred.doneUnsafe(asked, Exit.void))
      const exporter = yield* Otlp.make({ endpoint: base, protocol: "http/json" })
      const exporting = yield* Effect.forkChild(Effect.exit(exporter.export(batchOf([span]))))
      yield* Deferred.await(asked)
      yield* Fiber.interrupt(exporting)
      yield* exporter.shutdown
      // An open connection would hold the process; without the mending this waits for the request's own ten seconds.
      yield* Effect.timeout(disconnected, "5 seconds")
    })
  )

  it.live("make() gives an exporter that tells of a receiver that is not there, and that ends", () =>
    Effect.gen(function* () {
      const { base } = yield* Effect.scoped(Receiver.open())
      const exporter = yield* Otlp.make({ endpoint: base, protocol: "http/json" })
      const error = yield* Effect.flip(exporter.export(batchOf([span])))
      assert.match(error.message, /ECONNREFUSED/)
      assert.isTrue(error.retryable)
      yield* exporter.shutdown
    })
  )

  it.effect.each(["ftp://collector", "collector", "http://", ""])("make() refuses the URL %j", (endpoint) =>
    Effect.gen(function* () {
      for (const options of [{ endpoint }, { url: endpoint }]) {
        const error = yield* Effect.flip(Otlp.make(options))
        assert.strictEqual(error.message, `Cannot export to "${endpoint}": it is no http:// or https:// URL`)
      }
    })
  )

  it.effect("make() repeats no secret of a URL", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Otlp.make({ endpoint: "grpc://user:hunter2@host?key=hunter2" }))
      assert.strictEqual(
        error.message,
        'Cannot export to "grpc://<redacted>@host?<redacted>": it is no http:// or https:// URL'
      )
    })
  )

  it.effect("make() sends JSON where there is no process, as in a browser, and gives headers there too", () =>
    Effect.gen(function* () {
      const made = yield* packages()
      yield* Otlp.make()
      yield* withoutProcess
      yield* Otlp.make({ headers: { "api-key": Redacted.make("a=b; c,d") } })
      assert.deepStrictEqual(made, [["http", "http://localhost:4318/v1/traces", { "api-key": "a=b; c,d" }]])
    })
  )
})

const withoutProcess = Effect.acquireRelease(
  Effect.sync(() => vi.stubGlobal("process", undefined)),
  () => Effect.sync(() => vi.unstubAllGlobals())
)

/** Stands for the packages of OpenTelemetry and keeps what they are asked for. */
const packages = (...missing: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const made: Array<readonly [name: string, url: string, headers?: object]> = []
    for (const name of ["http", "grpc"]) {
      vi.doMock(`@opentelemetry/exporter-trace-otlp-${name}`, () => {
        if (missing.includes(name)) throw new Error("not installed")
        return {
          OTLPTraceExporter: class {
            constructor({ headers, url }: { readonly url: string; readonly headers?: object }) {
              made.push(headers === undefined ? [name, url] : [name, url, headers])
            }
            export(_: unknown, done: (result: object) => void) {
              done({ code: 1, error: new Error("reset") })
            }
          }
        }
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => vi.doUnmock(`@opentelemetry/exporter-trace-otlp-${name}`)))
    }
    return made
  })

describe("make with zstd", () => {
  it.effect("says which protocol takes it, before anything is sent", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Otlp.make({ protocol: "http/json", compression: "zstd" }))
      assert.strictEqual(
        error.message,
        "Cannot compress by zstd for http/json: use gzip, or the protocol http/protobuf"
      )
    })
  )
})

describe("make at port 4317", () => {
  const endpoint = "http://collector:4317"
  const install =
    "package @opentelemetry/exporter-trace-otlp-grpc is missing: run `npm install @opentelemetry/exporter-trace-otlp-grpc`"

  it.effect("make() takes gRPC where its package is installed", () =>
    Effect.gen(function* () {
      const made = yield* packages()
      const { texts } = yield* warnings(Otlp.make({ endpoint }))
      assert.deepStrictEqual([made, texts], [[["grpc", endpoint]], []])
    })
  )

  it.effect("make() takes HTTP at port 4318 where it is not, and says so", () =>
    Effect.gen(function* () {
      const made = yield* packages("grpc")
      const warning = (protocol: string) =>
        `Warn: handspan: port 4317 of collector is OTLP's port for gRPC, so spans go to port 4318 by ${protocol}. ` +
        `For gRPC: Cannot export by grpc: ${install}`
      const { texts } = yield* warnings(Otlp.make({ endpoint }))
      assert.deepStrictEqual([made, texts], [[], [warning("http/protobuf")]])
      yield* withoutProcess
      const inBrowser = yield* warnings(Otlp.make({ endpoint }))
      assert.deepStrictEqual(
        [made, inBrowser.texts],
        [[["http", "http://collector:4318/v1/traces", {}]], [warning("http/json")]]
      )
    })
  )

  it.effect("make() does as it is told, and says in the log and in each failure what is wrong", () =>
    Effect.gen(function* () {
      const made = yield* packages()
      const hint = (protocol: string) =>
        `port 4317 of collector is OTLP's port for gRPC, but the protocol is ${protocol}: use port 4318, ` +
        "or set OTEL_EXPORTER_OTLP_PROTOCOL=grpc"
      const json = yield* warnings(Otlp.make({ endpoint, protocol: "http/json" }))
      assert.deepStrictEqual(made, [["http", "http://collector:4317/v1/traces", {}]])
      assert.deepStrictEqual(json.texts, [`Warn: handspan: ${hint("http/json")}`])
      const error = yield* Effect.flip(json.value.export(batchOf([span])))
      assert.strictEqual(error.message, `Cannot export a batch of 1: reset; ${hint("http/json")}`)

      const protobuf = yield* warnings(Otlp.make({ endpoint, protocol: "http/protobuf" }))
      assert.deepStrictEqual(protobuf.texts, [`Warn: handspan: ${hint("http/protobuf")}`])
      yield* protobuf.value.shutdown
      const other = yield* Effect.flip(protobuf.value.export(batchOf([span])))
      assert.strictEqual(
        other.message,
        `Cannot export a batch of 1: the exporter has shut down; ${hint("http/protobuf")}`
      )
    })
  )

  it.effect("make() fails for a protocol whose package is missing, and says what to install", () =>
    Effect.gen(function* () {
      yield* packages("grpc", "http")
      const error = yield* Effect.flip(Otlp.make({ endpoint, protocol: "grpc" }))
      assert.strictEqual(error.message, `Cannot export by grpc: ${install}`)
      const other = yield* Effect.flip(Otlp.make({ protocol: "http/json" }))
      assert.include(other.message, "run `npm install @opentelemetry/exporter-trace-otlp-http`")
    })
  )
})

describe("make on Deno", () => {
  it.live.each(["http/json", "http/protobuf"])(
    "make() on Deno sends by %s with no permission but for the receiver's host",
    (protocol) =>
      Effect.gen(function* () {
        const { base, requests } = yield* Receiver.open(200, "")
        const program = `
          import * as Effect from "effect/Effect"
          import * as Otlp from "./src/exporter/Otlp.ts"
          import * as SpanRecord from "./src/SpanRecord.ts"
          import { batchOf } from "./test/batches.ts"
          const exporter = await Effect.runPromise(Otlp.make({ endpoint: "${base}", protocol: "${protocol}" }))
          await Effect.runPromise(exporter.export(batchOf([SpanRecord.make({ name: "deno" })])))
          await Effect.runPromise(exporter.shutdown)`
        const permissions = ["--no-prompt", "--allow-net=127.0.0.1"]
        const printed = yield* Deno.run(program, { env: { OTEL_EXPORTER_OTLP_HEADERS: "x-stray=1" }, permissions })
        assert.deepStrictEqual(printed, { stdout: "", stderr: "" })
        assert.deepStrictEqual(
          requests.map(({ headers, path }) => [path, headers["x-stray"]]),
          [["/v1/traces", undefined]]
        )
      }),
    30_000
  )
})

// gRPC's package comes with the exporter's and is nobody else's to import.
const requireGrpc = createRequire(
  createRequire(import.meta.url).resolve("@opentelemetry/exporter-trace-otlp-grpc")
) as (name: "@grpc/grpc-js") => typeof import("@grpc/grpc-js")

/** A gRPC receiver that keeps what it gets, and refuses requests longer than a limit. */
const grpcReceiver = (maxLength: number) =>
  Effect.gen(function* () {
    const Grpc = requireGrpc("@grpc/grpc-js")
    const received: Array<{ readonly body: Buffer; readonly key: ReadonlyArray<unknown> }> = []
    const server = new Grpc.Server()
    const same = (bytes: Buffer) => bytes
    server.addService(
      {
        export: {
          path: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
          requestStream: false,
          responseStream: false,
          requestSerialize: same,
          requestDeserialize: same,
          responseSerialize: same,
          responseDeserialize: same
        }
      },
      {
        export: (
          call: { readonly request: Buffer; readonly metadata: { readonly get: (name: string) => Array<unknown> } },
          done: (error: object | null, answer?: Buffer) => void
        ) => {
          received.push({ body: call.request, key: call.metadata.get("api-key") })
          if (call.request.length > maxLength) done({ code: 3, details: "too long" })
          else done(null, Buffer.alloc(0))
        }
      }
    )
    const port = yield* Effect.acquireRelease(
      Effect.callback<number>((resume) => {
        server.bindAsync("127.0.0.1:0", Grpc.ServerCredentials.createInsecure(), (_, bound) =>
          resume(Effect.succeed(bound))
        )
      }),
      () => Effect.sync(() => server.forceShutdown())
    )
    return { received, address: `127.0.0.1:${port}` }
  })
