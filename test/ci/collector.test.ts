// A real OpenTelemetry Collector takes in what the exporters send, by every protocol, and writes it to a file.
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Clock, Data, Effect, Result } from "effect"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Agent from "../../src/Agent.ts"
import * as Otlp from "../../src/exporter/Otlp.ts"
import * as OtlpJson from "../../src/OtlpJson.ts"
import * as Pipeline from "../../src/Pipeline.ts"
import * as SpanRecord from "../../src/SpanRecord.ts"
import * as Testing from "../../src/Testing.ts"
import * as TraceTree from "../../src/TraceTree.ts"
import * as Tracing from "../../src/Tracing.ts"
import { batchOf } from "../batches.ts"
import { sampleSpans } from "../sample-spans.ts"
import * as Programs from "./interop/programs.ts"
import * as Service from "./interop/service.ts"

let collector = ""
beforeAll(async () => {
  collector = join(await Programs.goPrograms(), "collector")
}, Programs.buildMillis)

const ways = [
  { protocol: "http/json", compression: "none" },
  { protocol: "http/json", compression: "gzip" },
  { protocol: "http/protobuf", compression: "none" },
  { protocol: "http/protobuf", compression: "gzip" },
  { protocol: "http/protobuf", compression: "zstd" },
  { protocol: "grpc", compression: "none" },
  { protocol: "grpc", compression: "gzip" }
] as const

/** The spans that a Collector has written when it has ended, of what is sent to it. */
const collected = <E>(protocol: Otlp.Protocol, send: (endpoint: string) => Effect.Effect<unknown, E>) =>
  Effect.gen(function* () {
    const folder = mkdtempSync(join(tmpdir(), "handspan-collector-"))
    yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
    const file = join(folder, "spans.jsonl")
    const anyPort = { endpoint: "127.0.0.1:0" }
    const configuration = {
      receivers: { otlp: { protocols: { http: anyPort, grpc: anyPort } } },
      exporters: { file: { path: file } },
      service: { pipelines: { traces: { receivers: ["otlp"], exporters: ["file"] } } }
    }
    const server = `Starting ${protocol === "grpc" ? "GRPC" : "HTTP"} server`
    const started = Service.start(collector, [`--config=yaml:${JSON.stringify(configuration)}`], (log) =>
      log.some(({ msg }) => String(msg).startsWith("Everything is ready"))
        ? log.find(({ msg }) => msg === server)?.["endpoint"]
        : undefined
    )
    yield* Effect.scoped(Effect.flatMap(started, (address) => send(`http://${String(address)}`)))
    return Result.getOrThrow(OtlpJson.decodeText(readFileSync(file, "utf8")))
  }).pipe(Effect.scoped)

const service = (name: string): SpanRecord.Resource => ({ attributes: { "service.name": name, "host.cpus": 2 } })

/** What a double is not exact for, or JSON has no number for; OpenTelemetry's own exporters get a text of it. */
const extremes = {
  largest: 2n ** 63n - 1n,
  smallest: -(2n ** 63n),
  huge: Number.MAX_VALUE,
  nan: Number.NaN,
  endless: [-Infinity, Infinity]
}
const extremeTexts = {
  largest: "9223372036854775807",
  smallest: "-9223372036854775808",
  huge: "1.7976931348623157e+308",
  nan: "NaN",
  endless: ["-Infinity", "Infinity"]
}

/** Besides the sample spans: every kind of span, texts of all the world, numbers at the edge, two services of two scopes. */
const spans = (extremes: SpanRecord.Attributes): ReadonlyArray<SpanRecord.SpanRecord> => [
  ...sampleSpans,
  ...(["internal", "server", "client", "producer", "consumer"] as const).flatMap((kind, index) =>
    ["façade", "日本 🎉"].map((scope, at) =>
      SpanRecord.make({
        traceId: "0af7651916cd43dd8448eb211c80319c",
        spanId: `b7ad6b71692033${index}${at}`,
        parentSpanId: "00f067aa0ba902b7",
        flags: 2,
        traceState: "vendor=1,b@c=x y",
        name: `${kind} "für" 🎉\n\u0000`,
        kind,
        startTimeUnixNano: 1_795_225_539_184_899_250n,
        endTimeUnixNano: 2n ** 63n,
        attributes: {
          "schlüssel 🔑": "\u0001\u2028",
          tiny: Number.MIN_VALUE,
          numbers: [1, -1, 0],
          doubles: [0.5, -0.5],
          switches: [true, false],
          empty: "",
          "": "no name",
          ...extremes
        },
        resource: service(`service ${at}`),
        scope: { name: scope, version: kind }
      })
    )
  )
]

const byId = (all: ReadonlyArray<SpanRecord.SpanRecord>) =>
  all.toSorted((a, b) => (a.traceId + a.spanId < b.traceId + b.spanId ? -1 : 1))

const painter = Agent.make("painter", {
  run: (theme: string) =>
    Effect.gen(function* () {
      const span = yield* Effect.orDie(Effect.currentSpan)
      span.event("mixed colours", yield* Clock.currentTimeNanos, { theme, colours: ["blé", "赤"] })
      return theme
    })
})
class NoWords extends Data.TaggedError("NoWords")<{ readonly message: string }> {}
const critic = Agent.make("critic", {
  run: (picture: string) => (picture === "日本 🎉" ? new NoWords({ message: "no words" }) : Effect.succeed(picture))
})
const jury = Agent.make("jury", { run: (pictures: ReadonlyArray<string>) => Effect.succeed(pictures.length) })
const gallery = Pipeline.make("gallery", (themes: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const pictures = yield* Pipeline.forEach(themes, painter)
    yield* Effect.forEach(pictures, (picture) => Effect.ignore(critic(picture)))
    return yield* Pipeline.fanIn(jury, pictures)
  })
)
const program = Effect.annotateSpans(gallery(["façade", "日本 🎉"]), "room", "für 🎉")

describe.each(ways)("a Collector, by $protocol, compression $compression", ({ compression, protocol }) => {
  it.live("writes every span as it was, whole", () =>
    Effect.gen(function* () {
      const written = yield* collected(protocol, (endpoint) =>
        Effect.gen(function* () {
          const exporter = yield* Otlp.make({ endpoint, protocol, compression })
          yield* exporter.export(batchOf(spans(extremes)))
          yield* exporter.shutdown
        })
      )
      assert.deepStrictEqual(byId(written), byId(spans(protocol === "http/protobuf" ? extremes : extremeTexts)))
    })
  )

  it.live("writes the trace that a program recorded under layerOtlp", () =>
    Effect.gen(function* () {
      const written = yield* collected(protocol, (otlpEndpoint) => {
        const otlpProtocol = protocol
        const otlpCompression = compression
        const tracing = Tracing.layerOtlp({ otlpEndpoint, otlpProtocol, otlpCompression, serviceName: "Ateliér 🎨" })
        return Effect.provide(program, tracing)
      })
      const [trace, ...others] = TraceTree.fromSpans(written)
      assert.deepStrictEqual([others, trace!.problems], [[], []])
      assert.deepStrictEqual(
        new Set(written.map(({ resource }) => resource.attributes["service.name"])),
        new Set(["Ateliér 🎨"])
      )
      const { trace: recorded } = yield* Testing.record(program)
      assert.strictEqual(Testing.renderTree(trace!), Testing.renderTree(recorded))
    })
  )
})

const post = async (url: string, document: unknown): Promise<void> => {
  const headers = { "content-type": "application/json" }
  const { status } = await fetch(url, { method: "POST", headers, body: JSON.stringify(document) })
  assert.strictEqual(status, 200)
}

describe("a Collector", () => {
  it.live("takes what OtlpJson.encode() writes for what it is, whole", () =>
    Effect.gen(function* () {
      const written = yield* collected("http/json", (endpoint) =>
        Effect.promise(() => post(`${endpoint}/v1/traces`, OtlpJson.encode(spans(extremes))))
      )
      assert.deepStrictEqual(byId(written), byId(spans(extremes)))
    })
  )
})
