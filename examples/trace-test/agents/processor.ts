// Makes one and a half of each reading.
import { Effect, Fiber, Schema } from "effect"
import { EventBus } from "handspan"
import { run } from "./agent.ts"

const Reading = Schema.Struct({ value: Schema.Finite })

const processor = EventBus.agent("processor", {
  topics: ["sensor.data"],
  onEvent: ({ payload }) =>
    Effect.flatMap(Schema.decodeUnknownEffect(Reading)(payload), ({ value }) =>
      EventBus.publish("processed.data", { type: "result", payload: { value: value * 1.5 } })
    )
})

run("processor", Effect.scoped(Effect.flatMap(processor, Fiber.join)))
