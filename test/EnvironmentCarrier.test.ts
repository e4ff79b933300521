// A program that knows nothing of who starts it, in real processes of the runtime that runs the test.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { fileURLToPath } from "node:url"
import * as Propagator from "../src/Propagator.ts"
import * as Subprocess from "../src/Subprocess.ts"

const program = fileURLToPath(new URL("programs/inherited.ts", import.meta.url))
const flags = "Deno" in globalThis ? ["run", "--allow-all", "--no-lock"] : ["--disable-warning=ExperimentalWarning"]

const traceId = "0af7651916cd43dd8448eb211c80319c"
const caller = { traceparent: `00-${traceId}-b7ad6b7169203331-03`, tracestate: "vendor=1", baggage: "user=alice" }

/** What the program tells, started from inside of a span of somebody's. */
const started = (env: Readonly<Record<string, string>>, carrier: Propagator.Carrier = caller) =>
  Effect.gen(function* () {
    const { connection } = yield* Subprocess.spawn({
      command: process.execPath,
      args: [...flags, program],
      env: { HANDSPAN_EXPORTER: "in_memory", HANDSPAN_LOG_FORMAT: "none", ...env }
    })
    return (yield* connection.receive) as {
      readonly spans: ReadonlyArray<Record<string, unknown>>
      readonly names: ReadonlyArray<string>
      readonly traceparent: string
    }
  }).pipe(Effect.scoped, Propagator.withRemoteParent(carrier))

describe("Tracing.layerFromEnv", () => {
  it.live("goes on with the trace of whoever started the process, and has its baggage", () =>
    Effect.gen(function* () {
      const { names, spans } = yield* started({ HANDSPAN_BAGGAGE_ATTRIBUTES: "user" })
      assert.deepStrictEqual<unknown>(spans, [
        { name: "agent_handoff.agent", traceId, parentSpanId: "b7ad6b7169203331", parentIsRemote: true, user: "alice" }
      ])
      assert.deepStrictEqual(names, ["baggage", "traceparent", "tracestate"])
    })
  )

  it.live("goes on with it in the format that is asked for, and where nothing is recorded", () =>
    Effect.gen(function* () {
      const environment = { B3: `${traceId}-b7ad6b7169203331-1` }
      const { names, spans } = yield* started({ HANDSPAN_PROPAGATORS: "b3", ...environment }, {})
      assert.deepStrictEqual([spans[0]?.["traceId"], names], [traceId, ["b3"]])
      const off = yield* started({ HANDSPAN_PROPAGATORS: "b3", HANDSPAN_ENABLED: "false", ...environment }, {})
      assert.deepStrictEqual([off.spans, off.names], [[], ["b3"]])
      const { traceparent } = yield* started({ HANDSPAN_EXPORTER: "none" })
      assert.match(traceparent, new RegExp(`^00-${traceId}-`))
    })
  )

  it.live("begins a trace where the environment tells of none, of none that is valid, or is not trusted", () =>
    Effect.gen(function* () {
      const roots = [
        yield* started({}, {}),
        yield* started({ TRACEPARENT: "garbage", TRACESTATE: ",,=" }, {}),
        yield* started({ HANDSPAN_INBOUND_TRUST: "ignore" }),
        yield* started({ HANDSPAN_INBOUND_TRUST: "link" })
      ]
      for (const { spans } of roots) {
        const [span] = spans
        assert.deepStrictEqual([spans.length, span?.["parentSpanId"]], [1, undefined])
        assert.notStrictEqual(span?.["traceId"], traceId)
      }
    })
  )
})
