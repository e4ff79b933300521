// Real processes, stopped by real signals, with a real receiver: what they had recorded must arrive.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Receiver from "./receiver.ts"

const program = fileURLToPath(new URL("programs/sleeper.ts", import.meta.url))
const runtimeArguments = process.versions["deno"] === undefined ? [program] : ["run", "--allow-all", program]

/** Starts the program, signals it when it is ready, and gives how it ended. */
const stopped = (signal: NodeJS.Signals, env: Record<string, string>) =>
  Effect.callback<{ readonly ending: string; readonly output: string }>((resume) => {
    const child = spawn(process.execPath, runtimeArguments, { env: { ...process.env, ...env } })
    let output = ""
    child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()))
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString()
      if (chunk.toString().includes("ready")) child.kill(signal)
    })
    child.on("close", (code, by) => resume(Effect.succeed({ ending: by ?? `exit ${code}`, output })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

describe("runMain", () => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    it.live(`delivers what was recorded, the interrupted spans too, on ${signal}`, () =>
      Effect.gen(function* () {
        const receiver = yield* Receiver.open()
        const { ending } = yield* stopped(signal, { TRACING_EXPORTER: "otlp", OTLP_ENDPOINT: receiver.base })
        const spans = receiver.requests.flatMap(Receiver.spansOf)
        assert.deepStrictEqual(
          spans.map((span) => [span.name, span.status.code]),
          [
            ["agent_handoff.quick", "ok"],
            ["agent_handoff.sleeper", "unset"],
            ["pipeline.nightly", "unset"]
          ]
        )
        // Node's runMain exits with the code of an interruption, Deno's ends by the signal itself.
        assert.include(["exit 130", signal], ending)
      })
    )
  }

  it.live("ends within the deadline when the receiver is gone, and says what was lost", () =>
    Effect.gen(function* () {
      const { output } = yield* stopped("SIGTERM", {
        TRACING_EXPORTER: "otlp",
        OTLP_ENDPOINT: "http://127.0.0.1:9",
        HANDSPAN_SHUTDOWN_TIMEOUT: "300 millis"
      })
      assert.match(
        output,
        /Dropped 3 spans on their way to exporter "otlp": not taken within 300ms of shutdown; .*ECONNREFUSED 127\.0\.0\.1:9/
      )
    })
  )
})
