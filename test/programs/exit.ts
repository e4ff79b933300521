// A program that ends in a way of its own choice, right after its last span. It prints how many spans it ended first.
import { writeSync } from "node:fs"
import { Duration, Effect, Layer, ManagedRuntime } from "effect"
import { Agent, Tracing } from "../../src/index.ts"

const [how, otlpEndpoint = "", count = "1", spoolDirectory = ""] = process.argv.slice(2)

const shutdownTimeout = Duration.millis(how === "end of the scope" ? 300 : 5000)
const runtime = ManagedRuntime.make(
  Layer.orDie(Tracing.layerOtlp({ otlpEndpoint, spoolDirectory, shutdownTimeout, logFormat: "none" }))
)
const step = Agent.make("step", { run: (n: number) => Effect.succeed(n) })
const steps = Effect.gen(function* () {
  for (let n = 0; n < Number(count); n++) yield* step(n)
})
const endings: Record<string, () => unknown> = {
  "process.exit": () => process.exit(3),
  "Deno.exit": () => (globalThis as unknown as { Deno: { exit: (code: number) => never } }).Deno.exit(3),
  exception: () => {
    throw new Error("nobody catches this")
  },
  rejection: () => Promise.reject(new Error("nobody catches this")),
  "open spans": () => {
    runtime.runFork(Effect.withSpan(Effect.never, "open"))
    setTimeout(() => process.exit(3), 1)
  },
  "nothing left to do": () => undefined,
  "end of the scope": () => runtime.dispose(),
  // Whoever started it kills it. The microtask that writes to disk has run when this line is out.
  killed: () => {
    setInterval(() => undefined, 1000)
    setTimeout(() => writeSync(1, "kill me\n"))
  }
}

await runtime.runPromise(Effect.void)
runtime.runSync(steps)
await endings[how ?? ""]?.()
