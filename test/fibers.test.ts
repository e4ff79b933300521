// Where an Effect program goes on by itself: fibers of every sort, schedules, streams, and what goes through queues.
import { describe, it } from "@effect/vitest"
import { Effect, Fiber, PubSub, Queue, Schedule, Stream } from "effect"
import * as Agent from "../src/Agent.ts"
import * as Envelope from "../src/Envelope.ts"
import * as Testing from "../src/Testing.ts"

const { Tree, expectTrace } = Testing
const { handoff, span } = Tree

const worker = Agent.make("worker", { run: (n: number) => Effect.succeed(n) })

/** Runs a program as the work of one agent, waits for what that left running, and gives the trace. */
const traceOf = <E>(program: Effect.Effect<unknown, E>) => {
  const boss = Agent.make("boss", { run: () => program })
  const whole = Effect.andThen(boss(), Effect.sleep("20 seconds"))
  return Effect.map(Testing.record(whole, { advance: "1 minute" }), ({ trace }) => trace)
}

describe("the trace of a fiber", () => {
  it.effect("goes on in those that it forks, as its children, detached, and in another scope", () =>
    Effect.gen(function* () {
      const trace = yield* traceOf(
        Effect.scoped(
          Effect.gen(function* () {
            const fibers = [
              yield* Effect.forkChild(worker(1)),
              yield* Effect.forkDetach(worker(2)),
              yield* Effect.forkScoped(worker(3)),
              yield* Effect.forkIn(worker(4), yield* Effect.scope)
            ]
            yield* Fiber.joinAll(fibers)
          })
        )
      )
      expectTrace(trace).toMatchTree(
        handoff(
          "boss",
          Array.from({ length: 4 }, () => handoff("worker"))
        )
      )
    })
  )

  it.effect("goes on each time that a schedule lets it run, and in a detached fiber after it has ended", () =>
    Effect.gen(function* () {
      const trace = yield* traceOf(
        Effect.gen(function* () {
          yield* Effect.repeat(worker(1), Schedule.spaced("1 second").pipe(Schedule.upTo({ times: 2 })))
          yield* Effect.forkDetach(Effect.delay(Effect.withSpan(worker(2), "later"), "10 seconds"))
        })
      )
      expectTrace(trace).toMatchTree(
        handoff("boss", [handoff("worker"), handoff("worker"), handoff("worker"), span("later", [handoff("worker")])])
      )
    })
  )

  it.effect("goes on through streams: mapped side by side, buffered, merged, and by their own span", () =>
    Effect.gen(function* () {
      const trace = yield* traceOf(
        Stream.range(1, 2).pipe(
          Stream.mapEffect(worker, { concurrency: 2 }),
          Stream.withSpan("upstream"),
          Stream.buffer({ capacity: 4 }),
          Stream.merge(Stream.fromEffect(worker(3))),
          Stream.runForEach((n) => Effect.withSpan(Effect.succeed(n), "downstream"))
        )
      )
      expectTrace(trace).toMatchTree(
        handoff(
          "boss",
          Tree.anyOrder(
            span("upstream", [handoff("worker"), handoff("worker")]),
            handoff("worker"),
            span("downstream"),
            span("downstream"),
            span("downstream")
          )
        )
      )
    })
  )

  it.effect("goes on with each message of a Queue and of a PubSub, wherever the consumer began", () =>
    Effect.gen(function* () {
      const { trace } = yield* Testing.record(
        Effect.scoped(
          Effect.gen(function* () {
            const queue = yield* Queue.unbounded<Envelope.Envelope & { readonly n: number }>()
            const hub = yield* PubSub.unbounded<Envelope.Envelope & { readonly n: number }>()
            const subscription = yield* PubSub.subscribe(hub)
            const consume = (take: Effect.Effect<{ readonly n: number }>) =>
              Effect.flatMap(take, (message) => Envelope.receive("jobs", message)(worker(message.n)))
            // Began before there was a span: only the message knows of one.
            const consumers = [
              yield* Effect.forkChild(consume(Queue.take(queue))),
              yield* Effect.forkChild(consume(PubSub.take(subscription)))
            ]
            yield* Effect.gen(function* () {
              yield* Envelope.send("jobs", { n: 1 }, (message) => Queue.offer(queue, message))
              yield* Envelope.send("jobs", { n: 2 }, (message) => PubSub.publish(hub, message))
            }).pipe(Effect.withSpan("producer"))
            yield* Fiber.joinAll(consumers)
          })
        )
      )
      const sent = () =>
        span("send jobs", {
          kind: "producer",
          children: [span("process jobs", { kind: "consumer", children: [handoff("worker")] })]
        })
      expectTrace(trace).toMatchTree(span("producer", [sent(), sent()]))
    })
  )
})
