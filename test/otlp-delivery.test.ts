// The main example as a user runs it, with the environment alone choosing OTLP: every span must arrive, once, in its place.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as TraceContext from "../src/TraceContext.ts"
import * as TraceTree from "../src/TraceTree.ts"
import * as Receiver from "./receiver.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
const isDeno = process.versions["deno"] !== undefined
// `npm start` is Node's; on Deno the same program runs by itself.
const command = isDeno ? ["run", "--allow-all", "examples/photo-agency/main.ts"] : ["scripts/run.mjs", "start"]

const run = (env: Record<string, string>) =>
  Effect.callback<number | null>((resume) => {
    const child = spawn(process.execPath, command, { cwd: root, env: { ...process.env, ...env }, stdio: "ignore" })
    child.on("close", (code) => resume(Effect.succeed(code)))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

describe("TRACING_EXPORTER=otlp", () => {
  it.live(
    "delivers the photo agency's whole trace to a receiver",
    () =>
      Effect.gen(function* () {
        const receiver = yield* Receiver.open()
        const code = yield* run({ TRACING_EXPORTER: "otlp", OTEL_EXPORTER_OTLP_ENDPOINT: receiver.base })
        assert.strictEqual(code, 0)
        assert.deepStrictEqual(new Set(receiver.requests.map(({ path }) => path)), new Set(["/v1/traces"]))

        const spans = receiver.requests.flatMap(Receiver.spansOf)
        const traces = TraceTree.fromSpans(spans)
        assert.deepStrictEqual(
          traces.map(({ problems, roots }) => [roots.map(({ span }) => span.name), problems]),
          [[["pipeline.photo_agency"], []]]
        )
        assert.isTrue(
          spans.every(({ spanId, traceId }) => TraceContext.isSpanId(spanId) && TraceContext.isTraceId(traceId))
        )
        assert.strictEqual(new Set(spans.map(({ spanId }) => spanId)).size, spans.length)

        // Four photos: each an own branch of three handoffs and one request, between a fetcher and a reporter.
        const names = Map.groupBy(spans, ({ name }) => (name.startsWith("photo ") ? "photo" : name))
        assert.deepStrictEqual(Object.fromEntries(Array.from(names, ([name, all]) => [name, all.length])), {
          "agent_handoff.photo_fetcher": 1,
          photo: 4,
          "agent_handoff.schema_extractor": 4,
          "agent_handoff.vision_analyzer": 4,
          "agent_handoff.sharepoint_uploader": 4,
          PUT: 4,
          "agent_handoff.validation_reporter": 1,
          "pipeline.photo_agency": 1
        })
        const parentOf = new Map(spans.map((span) => [span.spanId, span.name]))
        for (const span of names.get("agent_handoff.vision_analyzer") ?? []) {
          assert.match(parentOf.get(span.parentSpanId ?? "") ?? "", /^photo /)
        }
        const join = spans.find(({ name }) => name === "agent_handoff.validation_reporter")
        assert.deepStrictEqual(
          join?.links.map(({ spanId }) => parentOf.get(spanId)),
          Array.from({ length: 4 }, () => "agent_handoff.sharepoint_uploader")
        )
      }),
    30_000
  )
})
