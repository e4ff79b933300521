// Prints a line for each of many handoffs, as fast as it can.
import { Effect } from "effect"
import * as Agent from "../../src/Agent.ts"
import * as Tracing from "../../src/Tracing.ts"

const [name = "agent", format = "trace"] = process.argv.slice(2)
const agent = Agent.make(name, { run: () => Effect.void })

await Effect.forEach(Array.from({ length: 1000 }), () => agent(), { discard: true }).pipe(
  Effect.provide(Tracing.layerConsole({ format: format as "trace" | "line" | "continuum" })),
  Effect.runPromise
)
