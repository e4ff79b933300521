// A real Jaeger takes in the traces of the main example, and is asked for them as its page and its users ask.
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Result, Schedule } from "effect"
import { spawn } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as OtlpJson from "../../src/OtlpJson.ts"
import * as TraceTree from "../../src/TraceTree.ts"
import * as Programs from "./interop/programs.ts"
import * as Service from "./interop/service.ts"

let jaeger = ""
beforeAll(async () => {
  jaeger = join(await Programs.jaeger(), "jaeger")
}, Programs.buildMillis)

/** Starts a Jaeger that keeps traces in memory, on ports that it chooses. */
const start = Effect.suspend(() => {
  const ports = [
    "admin.http",
    "collector.grpc-server",
    "collector.http-server",
    "collector.otlp.grpc",
    "collector.otlp.http",
    "query.http-server"
  ].map((name) => `--${name}.host-port=127.0.0.1:0`)
  // It takes the same text twice for the same port.
  return Service.start(jaeger, [...ports, "--query.grpc-server.host-port=localhost:0"], (log) => {
    const of = (msg: string, key: string) => log.find((entry) => entry["msg"] === msg && key in entry)?.[key]
    const query = of("Query server started", "http_addr")
    if (typeof query !== "string") return undefined
    const [grpc, http] = ["GRPC", "HTTP"].map((protocol) => of(`Starting ${protocol} server`, "endpoint"))
    return { query: `http://${query}`, grpc: `http://${String(grpc)}`, http: `http://${String(http)}` }
  })
})

const example = fileURLToPath(new URL("../../examples/photo-agency/main.ts", import.meta.url))
const runtimeArguments = process.versions["deno"] === undefined ? [] : ["run", "--allow-all", "--no-lock"]

/** Runs the example to its end, which sends its spans there. */
const runExample = (endpoint: string, protocol: string) =>
  Effect.callback<number | null>((resume) => {
    const env = {
      TRACING_EXPORTER: "otlp",
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_EXPORTER_OTLP_PROTOCOL: protocol
    }
    const child = spawn(process.execPath, [...runtimeArguments, example], {
      env: { ...process.env, ...env },
      stdio: "ignore"
    })
    child.once("close", (code) => resume(Effect.succeed(code)))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const getJson = async (url: string): Promise<any> => (await fetch(url)).json()
const get = (url: string) => Effect.promise(() => getJson(url))

/** The operations of the example, and how many spans there are of each in one run. */
const operations = {
  PUT: 4,
  "agent_handoff.photo_fetcher": 1,
  "agent_handoff.schema_extractor": 4,
  "agent_handoff.sharepoint_uploader": 4,
  "agent_handoff.validation_reporter": 1,
  "agent_handoff.vision_analyzer": 4,
  photo: 4,
  "pipeline.photo_agency": 1
}
const spansOfOneRun = Object.values(operations).reduce((sum, count) => sum + count, 0)

const operationOf = (name: string): string => (name.startsWith("photo ") ? "photo" : name)

describe("Jaeger", () => {
  it.live(
    "shows each run of the example as one trace, under names that stay",
    () =>
      Effect.gen(function* () {
        const { grpc, http, query } = yield* start
        const runs = [
          [http, "http/protobuf"],
          [http, "http/json"],
          [grpc, "grpc"]
        ] as const
        for (const [endpoint, protocol] of runs) assert.strictEqual(yield* runExample(endpoint, protocol), 0)

        // It answers before it has stored all.
        const { data } = yield* get(`${query}/api/traces?service=photo-agency&limit=100`).pipe(
          Effect.repeat({
            until: ({ data }) => data.flatMap(({ spans }: any) => spans).length >= runs.length * spansOfOneRun,
            schedule: Schedule.spaced("100 millis").pipe(Schedule.upTo({ times: 100 }))
          })
        )
        const names = new Set<string>()
        const ids: ReadonlyArray<string> = data.map(({ traceID }: { readonly traceID: string }) => traceID)
        assert.strictEqual(ids.length, runs.length)

        for (const id of ids) {
          const { result } = yield* get(`${query}/api/v3/traces/${id}`)
          const spans = Result.getOrThrow(OtlpJson.decode(result))
          assert.deepStrictEqual(
            TraceTree.fromSpans(spans).map(({ problems, roots, traceId }) => [
              traceId,
              roots.map(({ span }) => span.name),
              problems
            ]),
            [[id, ["pipeline.photo_agency"], []]]
          )
          for (const { name } of spans) names.add(name)
          const byOperation = Object.entries(Object.groupBy(spans, ({ name }) => operationOf(name)))
          assert.deepStrictEqual(
            Object.fromEntries(byOperation.map(([name, spans = []]) => [name, spans.length])),
            operations
          )
        }

        assert.deepStrictEqual((yield* get(`${query}/api/services`)).data, ["photo-agency"])
        const shown: ReadonlyArray<string> = (yield* get(`${query}/api/services/photo-agency/operations`)).data
        assert.deepStrictEqual(shown.toSorted(), [...names].toSorted())
        assert.strictEqual(names.size, Object.keys(operations).length + 3, "each photo has a name of its own")
      }).pipe(Effect.scoped),
    60_000
  )
})
