// Tells the process that started it what it knows of the trace, then what it is sent, until it is told to stop.
import { Effect } from "effect"
import * as Propagator from "../../src/Propagator.ts"
import * as Subprocess from "../../src/Subprocess.ts"

const main = Effect.gen(function* () {
  const { receive, send } = yield* Subprocess.parent
  const { baggage, context } = yield* Subprocess.continued(Propagator.current)
  yield* send({ context, user: baggage.get("user")?.value })
  return yield* Effect.forever(Effect.flatMap(receive, (message) => send({ message })))
})

await Effect.runPromise(Effect.ignore(Effect.scoped(main)))
process.exitCode = 3
