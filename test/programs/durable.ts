// A workflow over a journal in a file. Told to, its process is killed in the middle of a step, or ends there in order.
import { Deferred, Duration, Effect, Layer, Schema } from "effect"
import * as ClusterWorkflowEngine from "effect/cluster/ClusterWorkflowEngine"
import * as SingleRunner from "effect/cluster/SingleRunner"
import * as Digest from "effect/crypto/Digest"
import * as Activity from "effect/workflow/Activity"
import * as DurableClock from "effect/workflow/DurableClock"
import * as Workflow from "effect/workflow/Workflow"
import * as Delivery from "../../src/Delivery.ts"
import * as Durable from "../../src/Durable.ts"
import * as Tracing from "../../src/Tracing.ts"
import * as Sqlite from "./sqlite.ts"

const [file = "", task = ""] = process.argv.slice(2)

const isBooking = Deferred.makeUnsafe<void>()
const killed = Effect.andThen(
  Effect.flatMap(Delivery.Deliveries, ({ flush }) => flush),
  Effect.sync(() => process.kill(process.pid, "SIGKILL"))
)
const left = Deferred.succeed(isBooking, undefined)
const booked =
  task === "finish" ? Effect.succeed("seat 7") : Effect.andThen(task === "die" ? killed : left, Effect.never)

const Trip = Workflow.make("trip", {
  payload: { id: Schema.String },
  idempotencyKey: ({ id }) => id,
  success: Schema.String
})
const TripLive = Durable.toLayer(
  Trip,
  Effect.fnUntraced(function* () {
    const plan = yield* Activity.make({
      name: "plan",
      success: Schema.String,
      execute: Effect.succeed("by train").pipe(Effect.withSpan("think"))
    })
    yield* DurableClock.sleep({ name: "pause", duration: "300 millis", inMemoryThreshold: 0 })
    const seat = yield* Activity.make({
      name: "book",
      success: Schema.String,
      execute: Effect.andThen(Effect.withSpan(Effect.void, "search"), booked)
    })
    return `${plan}, ${seat}`
  })
)

const Engine = ClusterWorkflowEngine.layer.pipe(
  Layer.provideMerge(
    SingleRunner.layer({
      // The lock of a runner that died would have to run out first.
      runnerStorage: "memory",
      shardingConfig: {
        entityMessagePollInterval: Duration.millis(100),
        entityTerminationTimeout: Duration.millis(100)
      }
    })
  ),
  Layer.provide([Digest.layerWebCrypto, Sqlite.layer(file)]),
  Layer.provide(Durable.layerQuiet)
)

const main = Effect.gen(function* () {
  if (task === "finish") return yield* Durable.quietly(Trip.execute({ id: "1" }))
  yield* Effect.withSpan(Durable.quietly(Trip.execute({ id: "1" }, { discard: true })), "ask")
  yield* Deferred.await(isBooking)
  return "left"
})
const live = TripLive.pipe(Layer.provideMerge(Engine), Layer.provideMerge(Tracing.layerFromEnv))

console.log(await Effect.runPromise(Effect.provide(main, live)))
