// A program with two exporters that take all the time they are given at its exit, and print how much that was.
import { writeSync } from "node:fs"
import { Duration, Effect, Layer, ManagedRuntime } from "effect"
import { Exporter, Tracing } from "../../src/index.ts"

const busy = (name: string): Exporter.Exporter => ({
  ...Exporter.make({ name, batchDelay: "1 minute", export: () => Effect.void }),
  exportAtExit: (batches, timeoutMillis) => {
    writeSync(1, `${name} ${Math.ceil(timeoutMillis)}\n`)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, timeoutMillis)
    return batches.map(({ count }) => count)
  }
})

const runtime = ManagedRuntime.make(
  Layer.orDie(Tracing.layer({ exporters: [busy("first"), busy("second")], shutdownTimeout: Duration.millis(400) }))
)
await runtime.runPromise(Effect.withSpan(Effect.void, "last"))
process.exit(0)
