import * as Http from "node:http"
import { createRequire } from "node:module"
import * as Net from "node:net"
import { delimiter, dirname } from "node:path"
import { fileURLToPath } from "node:url"
import * as Zlib from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { Key } from "../../src/Conventions.ts"
import * as OtlpJson from "../../src/OtlpJson.ts"
import * as OtlpProtobuf from "../../src/OtlpProtobuf.ts"
import * as SpanRecord from "../../src/SpanRecord.ts"
import * as TraceTree from "../../src/TraceTree.ts"
import { collect, CollectError, type CollectOptions } from "../../src/testing/Collect.ts"
import * as OtlpReceiver from "../../src/testing/OtlpReceiver.ts"
import { sampleSpans } from "../sample-spans.ts"

const program = (name: string) => new URL(`../programs/collect-${name}.ts`, import.meta.url)

/** Lines of a trace's tree. */
const drawn = (trace: TraceTree.Trace | undefined) =>
  Array.from(TraceTree.walk(trace?.roots ?? []), ({ depth, span }) => `${"  ".repeat(depth)}${span.name}`)

const studio = [
  "pipeline.studio",
  "  agent_handoff.ant",
  "  agent_handoff.zebra",
  "  agent_handoff.remote",
  "    agent_handoff.spawned"
]

// `npm test` has both runtimes on the PATH; a test that is run alone has not.
const root = fileURLToPath(new URL("../..", import.meta.url))
const withRuntimes = Effect.acquireRelease(
  Effect.sync(() => {
    const before = process.env["PATH"]
    const platform = { darwin: "darwin", win32: "windows" }[process.platform as string] ?? "linux"
    const folders = ["", "-glibc", "-musl"].flatMap((libc) => {
      try {
        const deno = `@deno/${platform}-${process.arch}${libc}/package.json`
        return [dirname(createRequire(import.meta.url).resolve(deno))]
      } catch {
        return []
      }
    })
    process.env["PATH"] = [`${root}node_modules/.bin`, ...folders, before].join(delimiter)
    return before
  }),
  (before) =>
    Effect.sync(() => {
      process.env["PATH"] = before
    })
)

const withVariables = (variables: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() => Object.assign(process.env, variables)),
    () => Effect.sync(() => Object.keys(variables).forEach((name) => delete process.env[name]))
  )

/** A server that says when a connection has come, and when it has gone. */
const listening = Effect.gen(function* () {
  const [opened, closed] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
  const server = Net.createServer((socket) => {
    Deferred.doneUnsafe(opened, Effect.void)
    socket.on("error", () => undefined)
    socket.on("close", () => Deferred.doneUnsafe(closed, Effect.void))
    socket.resume()
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () => Effect.sync(() => server.close())
  )
  const { port } = server.address() as Net.AddressInfo
  return { opened: Deferred.await(opened), closed: Deferred.await(closed), port }
})

const spanOf = (name: string, id: number, [start, end]: readonly [number, number], fields = {}) =>
  SpanRecord.make({
    name,
    spanId: id.toString(16).padStart(16, "0"),
    startTimeUnixNano: BigInt(start),
    endTimeUnixNano: BigInt(end),
    ...fields
  })

const json = (spans: ReadonlyArray<SpanRecord.SpanRecord>) => JSON.stringify(OtlpJson.encode(spans))

describe("collect", () => {
  for (const runtime of ["node", "deno"] as const) {
    it.effect(`gives the traces of a program on ${runtime}, with those of the processes that it starts`, () =>
      Effect.gen(function* () {
        yield* withRuntimes
        const collected = yield* collect(program("agents"), { runtime })
        assert.deepStrictEqual(collected.traces.map(drawn), [studio])
        assert.deepStrictEqual(
          [collected.exitCode, collected.signal, collected.stderr, collected.faults],
          [0, null, "", []]
        )
        assert.match(collected.stdout, /^spawned .*\npipeline .*\n$/)
      })
    )
  }

  it.effect("keeps the test's own tracing from the program, but not what it is told", () =>
    Effect.gen(function* () {
      yield* withVariables({
        HANDSPAN_EXPORTER: "console",
        HANDSPAN_SPOOL_DIRECTORY: "/nowhere",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://127.0.0.1:9",
        OTEL_TRACES_SAMPLER: "always_off",
        ENABLE_TRACING: "false",
        TRACING_ENABLED: "false",
        OTLP_ENDPOINT: "http://127.0.0.1:9",
        TRACEPARENT: `00-${"1".repeat(32)}-${"2".repeat(16)}-00`,
        TEST_INHERITED: "yes"
      })
      const { stdout, traces } = yield* collect(program("agents"), {
        arguments: ["spawned"],
        env: { OTEL_SERVICE_NAME: "told", TEST_TOLD: "yes" }
      })
      const names = [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_LOGS_EXPORTER",
        "OTEL_METRICS_EXPORTER",
        "OTEL_SERVICE_NAME",
        "OTEL_TRACES_EXPORTER",
        "TEST_INHERITED",
        "TEST_TOLD"
      ]
      assert.strictEqual(stdout, `spawned ${names.join(" ")}\n`)
      assert.deepStrictEqual(traces.map(drawn), [["agent_handoff.spawned"]])
      assert.strictEqual(traces[0]?.spans[0]?.resource.attributes["service.name"], "told")
    })
  )

  it.effect("gives the traces of OpenTelemetry's own SDK", () =>
    Effect.gen(function* () {
      const { faults, stderr, traces } = yield* collect(program("opentelemetry"))
      assert.deepStrictEqual(
        { faults, stderr, traces: traces.map(drawn) },
        { faults: [], stderr: "", traces: [["plain work"]] }
      )
    })
  )

  it.effect("puts siblings that overlap, be it through others, by name, and others by time", () =>
    Effect.gen(function* () {
      const top = { parentSpanId: "0000000000000001" }
      const other = { traceId: "f".repeat(32) }
      const spans = [
        spanOf("root", 1, [0, 100]),
        spanOf("y", 2, [10, 30], top),
        spanOf("b", 3, [20, 40], top),
        spanOf("a", 4, [35, 50], top),
        spanOf("a", 5, [50, 60], top),
        spanOf("z", 6, [0, 5], top),
        spanOf("below y", 7, [45, 46], { parentSpanId: "0000000000000002" }),
        spanOf("below a", 8, [12, 13], { parentSpanId: "0000000000000004" }),
        spanOf("another root", 9, [50, 200], other),
        spanOf("a later root", 10, [300, 400], { traceId: "e".repeat(32) })
      ]
      const { traces } = yield* collect(program("sender"), { env: { TEST_BODY: json(spans) } })
      const lines = ["root", "  z", "  a", "    below a", "  b", "  y", "    below y", "  a"]
      assert.deepStrictEqual(traces.map(drawn), [["another root"], lines, ["a later root"]])
    })
  )

  it.effect("tells how a program ended, which may be badly", () =>
    Effect.gen(function* () {
      const ended = (how: string) =>
        Effect.map(collect(program("endings"), { arguments: [how] }), ({ exitCode, signal, traces }) => [
          exitCode,
          signal,
          traces
        ])
      assert.deepStrictEqual(yield* ended("ends badly"), [7, null, []])
      assert.deepStrictEqual(yield* ended("is killed"), [null, "SIGTERM", []])
    })
  )

  it.effect("tells what was sent and is no OTLP", () =>
    Effect.gen(function* () {
      const { faults } = yield* collect(program("endings"), { arguments: ["sends nonsense"] })
      assert.deepStrictEqual(faults, [
        'Refused POST "/v1/traces" with status 415: content type "text/plain": use application/x-protobuf or application/json'
      ])
    })
  )

  it.effect("keeps 1 MiB of what a program writes", () =>
    Effect.gen(function* () {
      const { exitCode, stdout } = yield* collect(program("endings"), { arguments: ["says much"] })
      assert.strictEqual(exitCode, 0)
      assert.isTrue(stdout === `${"é".repeat(2 ** 19)}\n[cut after 1 MiB]`)
    })
  )

  const failed = (of: string | URL, options: CollectOptions) =>
    Effect.map(Effect.flip(collect(of, options)), (error) => {
      assert.instanceOf(error, CollectError)
      return error
    })

  it.effect("kills a program that is not done in time, also where the test has a clock of its own", () =>
    Effect.gen(function* () {
      const { message, reason, stderr, stdout } = yield* failed(program("endings"), {
        arguments: ["goes on"],
        timeout: "2 seconds"
      })
      const file = fileURLToPath(program("endings"))
      const problem = "it was not done within 2s, and was killed: allow more by timeout"
      assert.strictEqual(
        message,
        `Cannot collect from "${file}": ${problem}\nstdout:\nworking\nstderr:\n${stderr.trim()}`
      )
      assert.deepStrictEqual([reason, stdout], ["notDone", "working\n"])
      assert.throws(() => process.kill(Number(stderr), 0), /ESRCH/)
    })
  )

  it.effect("does not wait for a daemon that a program has left behind", () =>
    Effect.gen(function* () {
      const options = { runtime: "node", arguments: ["leaves a daemon"], timeout: "4 seconds" } as const
      const { exitCode, stdout } = yield* collect(program("endings"), options)
      assert.deepStrictEqual([exitCode, stdout], [3, "done\n"])
    })
  )

  it.effect("kills a program when it is interrupted", () =>
    Effect.gen(function* () {
      const { closed, opened, port } = yield* listening
      const running = yield* Effect.forkChild(
        collect(program("endings"), { arguments: ["holds a connection", String(port)] }),
        { startImmediately: true }
      )
      yield* opened
      yield* Fiber.interrupt(running)
      yield* closed
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(running)))
    })
  )

  it.effect("says why a program cannot be started", () =>
    Effect.gen(function* () {
      const missing = yield* failed("nowhere.ts", { cwd: root })
      assert.strictEqual(
        missing.message,
        `Cannot collect from "nowhere.ts": there is no such file in "${root}": give its path or URL`
      )
      const file = fileURLToPath(program("endings"))
      const { message, reason } = yield* failed(file, { executable: "no-such-runtime" })
      assert.include(message, `Cannot collect from "${file}": `)
      assert.include(message, ": give an executable that is there, or have it on the PATH")
      const impossible = yield* failed(file, { arguments: ["\0"] })
      assert.deepStrictEqual([missing.reason, reason, impossible.reason], Array(3).fill("notStarted"))
    })
  )
})

/** Sends one request with nothing added to it, and gives the answer. */
const request = (
  url: string,
  body: string | Uint8Array,
  headers: Http.OutgoingHttpHeaders,
  { method = "POST", path = "/v1/traces" } = {}
) =>
  Effect.callback<readonly [status: number | undefined, type: string | undefined, body: string]>((resume) => {
    const sent = Http.request(`${url}${path}`, { method, headers, agent: false }, (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("end", () =>
        resume(
          Effect.succeed([response.statusCode, response.headers["content-type"], Buffer.concat(chunks).toString()])
        )
      )
    })
    // What is refused before its end may break off.
    sent.on("error", () => undefined)
    sent.end(body)
  })

const ofJson = { "content-type": "application/json; charset=utf-8" }
const ofProtobuf = { "content-type": "application/x-protobuf" }

describe("OtlpReceiver", () => {
  it.effect("takes protobuf and JSON, as they are and compressed, and answers in kind", () =>
    Effect.gen(function* () {
      const { bytes } = OtlpProtobuf.encode(sampleSpans)
      for (const [headers, body, answer] of [
        [ofProtobuf, bytes, [200, "application/x-protobuf", ""]],
        [ofJson, Buffer.from(json(sampleSpans)), [200, "application/json", "{}"]]
      ] as const) {
        for (const [encoding, compress] of [
          ["identity", (body: Uint8Array) => body],
          ["gzip", Zlib.gzipSync],
          ["deflate", Zlib.deflateSync],
          ["zstd", Zlib.zstdCompressSync]
        ] as const) {
          const receiver = yield* OtlpReceiver.open
          const encoded = { ...headers, "content-encoding": encoding }
          assert.deepStrictEqual(yield* request(receiver.url, compress(body), encoded), answer)
          assert.deepStrictEqual(receiver.spans(), sampleSpans)
          assert.deepStrictEqual(receiver.faults(), [])
        }
      }
    })
  )

  it.effect("has a span once, and a picture until the span itself comes", () =>
    Effect.gen(function* () {
      const receiver = yield* OtlpReceiver.open
      const send = (...spans: ReadonlyArray<SpanRecord.SpanRecord>) => request(receiver.url, json(spans), ofJson)
      const picture = spanOf("a", 1, [1, 1], { attributes: { [Key.pending]: true } })
      const [a, b, impostor] = [spanOf("a", 1, [1, 5]), spanOf("b", 2, [1, 2]), spanOf("other", 1, [1, 5])]
      yield* send(picture, b)
      assert.deepStrictEqual(receiver.spans(), [picture, b])
      yield* send(a)
      assert.deepStrictEqual(receiver.spans(), [b, a])
      yield* send(picture, a, b)
      assert.deepStrictEqual(receiver.spans(), [b, a])
      yield* send(impostor)
      assert.deepStrictEqual(receiver.spans(), [b, a, impostor])
    })
  )

  it.effect("takes nothing of what it must refuse, and says why", () =>
    Effect.gen(function* () {
      const receiver = yield* OtlpReceiver.open
      const body = json([spanOf("a", 1, [1, 5])])
      const refused = (
        headers: Http.OutgoingHttpHeaders,
        sent: string | Uint8Array = body,
        target?: { method?: string; path?: string }
      ) => Effect.map(request(receiver.url, sent, headers, target), ([status, , answer]) => [status, answer])
      const zeros = Buffer.alloc(65 * 1024 * 1024)
      assert.deepStrictEqual(yield* refused({ ...ofJson, host: "evil.example" }), [
        403,
        '{"message":"the host \\"evil.example\\" is not loopback"}'
      ])
      assert.deepStrictEqual(yield* refused(ofJson, body, { path: "/v1/metrics" }), [
        404,
        '{"message":"use \\"/v1/traces\\""}'
      ])
      assert.deepStrictEqual(yield* refused(ofJson, body, { method: "PUT" }), [405, '{"message":"use POST"}'])
      assert.strictEqual((yield* refused({ "content-type": "text/plain" }))[0], 415)
      assert.strictEqual((yield* refused({ ...ofJson, "content-encoding": "br" }))[0], 415)
      assert.strictEqual((yield* refused({ ...ofJson, "content-encoding": "gzip" }))[0], 400)
      assert.strictEqual((yield* refused({ ...ofJson, "content-encoding": "zstd" }))[0], 400)
      assert.strictEqual((yield* refused(ofJson, "{"))[0], 400)
      const unread = "Cannot read OTLP protobuf: byte 0: expected a field that ends within its message"
      assert.deepStrictEqual(yield* refused(ofProtobuf, Uint8Array.of(0x0a, 5)), [
        400,
        String.fromCharCode(0x12, unread.length) + unread
      ])
      assert.strictEqual((yield* refused({ ...ofJson, "content-encoding": "gzip" }, Zlib.gzipSync(zeros)))[0], 413)
      assert.strictEqual(
        (yield* refused({ ...ofJson, "content-encoding": "zstd" }, Zlib.zstdCompressSync(zeros)))[0],
        413
      )
      assert.strictEqual((yield* refused(ofJson, zeros))[0], 413)
      assert.deepStrictEqual(receiver.spans(), [])
      assert.strictEqual(receiver.faults().length, 12)
      assert.strictEqual(
        receiver.faults()[0],
        'Refused POST "/v1/traces" with status 403: the host "evil.example" is not loopback'
      )
      for (const host of ["localhost:1", "127.1.2.3", "[::1]:4318"]) {
        assert.strictEqual((yield* refused({ ...ofJson, host }))[0], 200)
      }
    })
  )

  it.effect("says that a request broke off", () =>
    Effect.gen(function* () {
      const receiver = yield* OtlpReceiver.open
      yield* Effect.callback<void>((resume) => {
        const { hostname, port } = new URL(receiver.url)
        const socket = Net.connect(Number(port), hostname, () => {
          const head = "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
          socket.end(`${head}content-length: 10\r\n\r\n{`)
        })
        socket.on("error", () => undefined)
        socket.resume()
        socket.on("close", () => resume(Effect.void))
      })
      yield* receiver.settled
      assert.deepStrictEqual(receiver.faults(), [
        'Refused POST "/v1/traces" with status 400: it broke off before its end'
      ])
    })
  )
})
