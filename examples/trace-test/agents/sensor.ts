// Reads something every two seconds, each time as a trace of its own, as often as it is told on the command line.
import { Effect } from "effect"
import { EventBus } from "handspan"
import { run } from "./agent.ts"

const read = (value: number) =>
  EventBus.publish("sensor.data", { type: "reading", payload: { value } }).pipe(Effect.withSpan("sensor.emit_data"))

const times = Number(process.argv[2] ?? 1)

run(
  "sensor",
  Effect.forEach(
    Array.from({ length: times }, (_, index) => 20 + index),
    (value, index) => Effect.delay(read(value), index === 0 ? 0 : "2 seconds"),
    { discard: true }
  )
)
