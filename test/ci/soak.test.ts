// Records for a long time, to a receiver that is now and then unavailable: nothing may be lost, and the heap must not grow.
// HANDSPAN_SOAK_SECONDS shortens the ten minutes.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Receiver from "../receiver.ts"

const seconds = Number(process.env["HANDSPAN_SOAK_SECONDS"] ?? 600)
const program = fileURLToPath(new URL("../programs/soak.ts", import.meta.url))
const runtimeArguments =
  process.versions["deno"] === undefined
    ? ["--expose-gc", "--disable-warning=ExperimentalWarning", program]
    : ["run", "--v8-flags=--expose-gc", "--allow-all", "--no-lock", program]

const run = (...args: ReadonlyArray<string>) =>
  Effect.callback<string>((resume) => {
    const child = spawn(process.execPath, [...runtimeArguments, ...args], { stdio: ["ignore", "pipe", "inherit"] })
    let output = ""
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()))
    child.on("close", () => resume(Effect.succeed(output)))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** The slope of the line that lies nearest to values that come once a second. */
const slope = (values: ReadonlyArray<number>): number => {
  const middle = (values.length - 1) / 2
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const products = values.reduce((sum, value, index) => sum + (index - middle) * (value - mean), 0)
  return products / values.reduce((sum, _, index) => sum + (index - middle) ** 2, 0)
}

describe("a long run", () => {
  it.live(
    "loses nothing and keeps its heap, whatever the receiver does",
    () =>
      Effect.gen(function* () {
        const spanIds = new Set<string>()
        let requests = 0
        const receiver = yield* Receiver.listen((request, response) => {
          requests++
          // Of ten requests one is refused for a moment, and one is cut off.
          if (requests % 10 === 3) return response.writeHead(503, { "retry-after": "1" }).end()
          if (requests % 10 === 7) return response.destroy()
          for (const { spanId } of Receiver.spansOf(request)) spanIds.add(spanId)
          response.writeHead(200, { "content-type": "application/x-protobuf" }).end()
          // What tests look at must not fill this process.
          receiver.requests.length = 0
        })
        const lines = (yield* run(receiver.base, String(seconds))).trim().split("\n")
        const ledger: unknown = JSON.parse(lines.at(-1)?.replace("ledger ", "") ?? "")
        const spans = seconds * 200 * 5
        assert.strictEqual(spanIds.size, spans)
        assert.deepInclude(ledger as object, { started: spans, exported: spans, queued: 0, inFlight: 0, live: 0 })

        const heap = lines.slice(0, -1).map((line) => Number(line.split(" ")[1]))
        assert.strictEqual(heap.length, seconds)
        // The first third is for the engine to settle. 10 KB a second would be 36 MB an hour.
        const growth = slope(heap.slice(Math.ceil(seconds / 3)))
        assert.isBelow(growth, seconds < 120 ? 50_000 : 10_000, `bytes a second; heap: ${heap.join(" ")}`)
      }),
    (seconds + 60) * 1000
  )
})
