// Tells what it is given, and ends after as many results as it is told on the command line.
import { Effect, Queue } from "effect"
import { EventBus } from "handspan"
import { run } from "./agent.ts"

const times = Number(process.argv[2] ?? 1)

run(
  "output",
  Effect.scoped(
    Effect.gen(function* () {
      const results = yield* Queue.unbounded<unknown>()
      yield* EventBus.agent("output", {
        topics: ["processed.data"],
        onEvent: ({ payload }) => Effect.andThen(Effect.log("result", payload), Queue.offer(results, payload))
      })
      yield* Queue.takeN(results, times)
    })
  )
)
