import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, PubSub, Queue, Result, Schema } from "effect"
import { PersistedQueue } from "effect/persistence"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { MessageChannel } from "node:worker_threads"
import * as Envelope from "../src/Envelope.ts"
import * as Propagator from "../src/Propagator.ts"
import * as Testing from "../src/Testing.ts"
import * as TraceContext from "../src/TraceContext.ts"

const { Tree, expectTrace } = Testing
const { span } = Tree

const traceId = "0af7651916cd43dd8448eb211c80319c"
const spanId = "b7ad6b7169203331"
const context: TraceContext.TraceContext = { traceId, spanId, flags: 3, traceState: "a=1,b=2" }
const baggage: TraceContext.Baggage = new Map([["user", { value: "alice b", metadata: "" }]])

const Photo = Schema.Struct({ ...Envelope.fields, path: Schema.String })
type Photo = typeof Photo.Type

/** The message that a program with this parent and baggage sends. */
const injected = <A extends object>(message: A) =>
  Envelope.inject(message).pipe(
    Propagator.withRemoteParent({
      traceparent: TraceContext.formatTraceparent(context),
      tracestate: context.traceState,
      baggage: TraceContext.formatBaggage(baggage)
    })
  )

describe("Envelope.inject", () => {
  it.effect("writes what a traceparent would say, with tracestate and baggage", () =>
    Effect.gen(function* () {
      const message = yield* injected({ path: "a.jpg" })
      assert.deepStrictEqual(message, {
        path: "a.jpg",
        trace_id: traceId,
        span_id: spanId,
        trace_flags: "03",
        tracestate: "a=1,b=2",
        baggage: "user=alice%20b"
      })
      const traceparent = `00-${message.trace_id}-${message.span_id}-${message.trace_flags}`
      assert.strictEqual(traceparent, TraceContext.formatTraceparent(context))
      assert.deepStrictEqual(Envelope.extract(message), { context, baggage })
    })
  )

  it.effect("leaves out what there is nothing of, and takes off what a former sender wrote", () =>
    Effect.gen(function* () {
      const former = yield* injected({ path: "a.jpg", sent_at: 1 })
      assert.deepStrictEqual<object>(yield* Envelope.inject(former), { path: "a.jpg" })
      const passedOn = yield* Testing.record(Effect.withSpan(Envelope.inject(former), "pass on"))
      assert.isTrue(Exit.isSuccess(passedOn.exit))
      if (Exit.isSuccess(passedOn.exit)) {
        assert.deepStrictEqual(Object.keys(passedOn.exit.value), ["path", "trace_id", "span_id", "trace_flags"])
        assert.strictEqual(passedOn.exit.value.span_id, passedOn.trace.spans[0]?.spanId)
      }
    })
  )
})

describe("Envelope.extract", () => {
  it("finds nothing in what is not valid, and never fails", () => {
    const valid = { trace_id: traceId, span_id: spanId, trace_flags: "01" }
    assert.deepStrictEqual(Envelope.extract(valid), { context: { traceId, spanId, flags: 1, traceState: "" } })
    for (const broken of [
      { ...valid, trace_id: traceId.toUpperCase() },
      { ...valid, trace_id: "0".repeat(32) },
      { ...valid, span_id: "noop" },
      { ...valid, span_id: undefined },
      { ...valid, trace_flags: "1" },
      { ...valid, trace_id: `${traceId}-${spanId}` },
      { trace_id: traceId },
      { trace_id: 7 }
    ]) {
      assert.deepStrictEqual(Envelope.extract(broken), { unreadable: ["traceparent"] }, JSON.stringify(broken))
    }
    for (const without of [{}, { trace_id: "", span_id: null }, [], null, "text", 7]) {
      assert.deepStrictEqual(Envelope.extract(without), {}, JSON.stringify(without))
    }
    fc.assert(fc.property(fc.anything(), (message) => void Envelope.extract(message)))
    const hostile = Proxy.revocable({}, {})
    hostile.revoke()
    assert.deepStrictEqual(Envelope.extract(hostile.proxy), {})
  })

  it("keeps the trace where only the tracestate is bad, of however many bytes", () => {
    const message = { trace_id: traceId, span_id: spanId, trace_flags: "01", tracestate: "a=1,".repeat(25_000) }
    assert.deepStrictEqual(Envelope.extract(message).context, { traceId, spanId, flags: 1, traceState: "" })
  })
})

describe("Envelope.fields", () => {
  const decode = Schema.decodeUnknownResult(Photo)

  it("lets messages decode that have none, or broken ones", () => {
    assert.deepStrictEqual(decode({ path: "a.jpg" }), Result.succeed({ path: "a.jpg" }))
    const broken = { path: "a.jpg", trace_id: 7, baggage: null, sent_at: "soon" }
    assert.deepStrictEqual(Envelope.extract(Result.getOrThrow(decode(broken))), {})
  })

  it.effect("goes through JSON, and adds nothing where there is nothing", () =>
    Effect.gen(function* () {
      const json = Schema.fromJsonString(Photo)
      const text = yield* Schema.encodeEffect(json)({ path: "a.jpg", trace_id: undefined })
      assert.strictEqual(text, '{"path":"a.jpg"}')
      const told = yield* Schema.decodeEffect(json)(
        yield* Schema.encodeEffect(json)(yield* injected({ path: "a.jpg" }))
      )
      assert.deepStrictEqual(Envelope.extract(told), { context, baggage })
    })
  )
})

describe("Envelope.send and receive", () => {
  const sent = { kind: "producer", attributes: { "messaging.destination.name": "photos" } } as const
  const processed = { kind: "consumer", attributes: { "handspan.message.wait_ms": 20 } } as const
  /** What every way of sending a message makes. */
  const tree = span("send photos", { ...sent, children: [span("process photos", processed)] })
  const path = (message: Photo) => Effect.succeed(message.path).pipe(Envelope.receive("photos", message))
  const late = TestClock.adjust("20 millis")

  const ways: Readonly<Record<string, Effect.Effect<string, unknown>>> = {
    "a Queue": Effect.gen(function* () {
      const queue = yield* Queue.unbounded<Photo>()
      yield* Envelope.send("photos", { path: "a.jpg" }, (message) => Queue.offer(queue, message))
      yield* late
      return yield* Effect.flatMap(Queue.take(queue), path)
    }),
    "a PubSub": Effect.scoped(
      Effect.gen(function* () {
        const topic = yield* PubSub.unbounded<Photo>()
        const subscription = yield* PubSub.subscribe(topic)
        yield* Envelope.send("photos", { path: "a.jpg" }, (message) => PubSub.publish(topic, message))
        yield* late
        return yield* Effect.flatMap(PubSub.take(subscription), path)
      })
    ),
    "a PersistedQueue": Effect.gen(function* () {
      const queue = yield* PersistedQueue.make({ name: "photos", schema: Photo })
      yield* Envelope.send("photos", { path: "a.jpg" }, (message) => queue.offer(message))
      yield* late
      return yield* queue.take(path)
    }).pipe(Effect.provide(Layer.provide(PersistedQueue.layer, PersistedQueue.layerStoreMemory))),
    JSON: Effect.gen(function* () {
      const text = yield* Envelope.send("photos", { path: "a.jpg" }, (message) =>
        Effect.succeed(JSON.stringify(message))
      )
      yield* late
      return yield* path(yield* Schema.decodeEffect(Schema.fromJsonString(Photo))(text))
    }),
    postMessage: Effect.gen(function* () {
      const { port1, port2 } = new MessageChannel()
      const arrived = yield* Effect.forkChild(
        Effect.promise(() => new Promise<Photo>((resolve) => port2.once("message", resolve)))
      )
      yield* Envelope.send("photos", { path: "a.jpg" }, (message) => Effect.sync(() => port1.postMessage(message)))
      const message = yield* Fiber.join(arrived)
      port1.close()
      yield* late
      return yield* path(message)
    })
  }

  for (const [name, program] of Object.entries(ways)) {
    it.effect(`keeps one trace through ${name}, and measures the wait`, () =>
      Effect.gen(function* () {
        // Somebody else's span is around the consumer, and is not its parent.
        const { exit, trace } = yield* Testing.record(program)
        assert.deepStrictEqual(exit, Exit.succeed("a.jpg"))
        expectTrace(trace).toMatchTree(tree)
      })
    )
  }

  it.effect("begins a trace for a message that tells nothing, and trusts as it is told", () =>
    Effect.gen(function* () {
      const known = yield* injected({ path: "a.jpg" })
      const seen: Array<unknown> = []
      for (const consumer of [
        path({ path: "a.jpg" }),
        path(known),
        Effect.provideService(path(known), Propagator.CurrentTrust, "link")
      ]) {
        const { traces } = yield* Testing.record(Effect.withSpan(consumer, "around"))
        const [span] = traces.flatMap(({ spans }) => spans.filter(({ name }) => name === "process photos"))
        seen.push([span?.parentSpanId, span?.links.map((link) => link.spanId)])
      }
      assert.deepStrictEqual(seen, [
        [undefined, []],
        [spanId, []],
        [undefined, [spanId]]
      ])
    })
  )

  it.effect("says nothing of the wait where the sender's clock is ahead", () =>
    Effect.gen(function* () {
      const { trace } = yield* Testing.record(path({ path: "a.jpg", sent_at: 5 }))
      assert.notProperty(trace.spans[0]!.attributes, "handspan.message.wait_ms")
    })
  )
})
