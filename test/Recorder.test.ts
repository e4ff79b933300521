import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Option, Redacted, Result, Tracer } from "effect"
import { TestClock } from "effect/testing"
import * as OtlpProtobuf from "../src/OtlpProtobuf.ts"
import { OwnIds } from "../src/OwnIds.ts"
import * as Pipeline from "../src/Pipeline.ts"
import * as Propagator from "../src/Propagator.ts"
import * as Recorder from "../src/Recorder.ts"
import { SpanBuffer } from "../src/SpanBuffer.ts"
import * as TraceContext from "../src/TraceContext.ts"
import { outline, recorded, spanNamed } from "./recorded.ts"

describe("Recorder.make", () => {
  it.effect("records spans of plain withSpan, with attributes, events, links, kind and times", () =>
    Effect.gen(function* () {
      const upstream = Tracer.externalSpan({ traceId: "a".repeat(32), spanId: "b".repeat(16) })
      const program = Effect.gen(function* () {
        yield* Effect.annotateCurrentSpan("photos", 3)
        yield* Effect.log("fetched")
        yield* Effect.sleep("1 seconds")
      }).pipe(
        Effect.withSpan("fetch", {
          kind: "client",
          attributes: { url: "x" },
          links: [{ span: upstream, attributes: { why: "fan-in" } }]
        })
      )
      const fiber = yield* Effect.forkChild(recorded(program))
      yield* TestClock.adjust("1 seconds")
      const { spans } = yield* Fiber.join(fiber)
      assert.strictEqual(spans.length, 1)
      const [span] = spans
      assert.deepStrictEqual(
        { ...span, events: span?.events.map((event) => ({ ...event, attributes: Object.keys(event.attributes) })) },
        {
          traceId: "00000000000000000000000000000001",
          spanId: "0000000000000001",
          parentSpanId: undefined,
          parentIsRemote: false,
          flags: 3,
          traceState: "",
          name: "fetch",
          kind: "client",
          startTimeUnixNano: 0n,
          endTimeUnixNano: 1_000_000_000n,
          attributes: { url: "x", photos: 3 },
          events: [
            {
              name: "fetched",
              timeUnixNano: 0n,
              attributes: ["effect.fiberId", "effect.logLevel"],
              droppedAttributesCount: 0
            }
          ],
          links: [
            {
              traceId: "a".repeat(32),
              spanId: "b".repeat(16),
              flags: 1,
              traceState: "",
              attributes: { why: "fan-in" },
              droppedAttributesCount: 0
            }
          ],
          status: { code: "ok" },
          droppedAttributesCount: 0,
          droppedEventsCount: 0,
          droppedLinksCount: 0,
          resource: { attributes: {} },
          scope: { name: "handspan", version: "" }
        }
      )
    })
  )

  it.effect("keeps the parent across awaits, timers and forks", () =>
    Effect.gen(function* () {
      const child = (name: string) => Effect.withSpan(Effect.void, name)
      const program = Effect.gen(function* () {
        yield* Effect.promise(() => Promise.resolve())
        yield* child("after await")
        yield* Effect.sleep("1 millis")
        yield* child("after timer")
        yield* Fiber.join(yield* Effect.forkChild(child("in fork")))
        yield* Fiber.join(yield* Effect.forkDetach(child("in detached fork")))
      }).pipe(Effect.withSpan("root"))
      const fiber = yield* Effect.forkChild(recorded(program))
      yield* Effect.yieldNow
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      yield* TestClock.adjust("1 millis")
      const { spans } = yield* Fiber.join(fiber)
      assert.strictEqual(
        outline(spans),
        "\nroot ok\n  after await ok\n  after timer ok\n  in fork ok\n  in detached fork ok\n"
      )
    })
  )

  it.effect("goes on with a remote parent: ids, flags and tracestate", () =>
    Effect.gen(function* () {
      const remote = TraceContext.toExternalSpan({
        traceId: "a".repeat(32),
        spanId: "b".repeat(16),
        flags: 1,
        traceState: "vendor=1"
      })
      const { spans } = yield* recorded(
        Effect.withSpan(Effect.withSpan(Effect.void, "inner"), "outer").pipe(Effect.withParentSpan(remote))
      )
      assert.deepStrictEqual(
        spans.map(({ flags, name, parentIsRemote, parentSpanId, traceId, traceState }) => ({
          name,
          traceId,
          parentSpanId,
          parentIsRemote,
          flags,
          traceState
        })),
        [
          {
            name: "inner",
            traceId: "a".repeat(32),
            parentSpanId: "0000000000000001",
            parentIsRemote: false,
            flags: 1,
            traceState: "vendor=1"
          },
          {
            name: "outer",
            traceId: "a".repeat(32),
            parentSpanId: "b".repeat(16),
            parentIsRemote: true,
            flags: 1,
            traceState: "vendor=1"
          }
        ]
      )
    })
  )

  it.effect("does not record what is unsampled, and passes real ids on", () =>
    Effect.gen(function* () {
      const remote = TraceContext.toExternalSpan({
        traceId: "a".repeat(32),
        spanId: "b".repeat(16),
        flags: 2,
        traceState: "v=1"
      })
      const { exit, spans } = yield* recorded(
        Effect.withSpan(Effect.withSpan(Effect.currentSpan, "inner", { attributes: { a: 1 } }), "outer").pipe(
          Effect.withParentSpan(remote)
        )
      )
      assert.deepStrictEqual(spans, [])
      assert.isTrue(Exit.isSuccess(exit))
      const inner = (exit as Exit.Success<Tracer.Span>).value
      assert.deepStrictEqual(TraceContext.fromSpan(inner), {
        traceId: "a".repeat(32),
        spanId: inner.spanId,
        flags: 2,
        traceState: "v=1"
      })
      assert.strictEqual(inner.status._tag, "Ended")
    })
  )

  it.effect("begins a new trace under a parent whose ids mean nothing", () =>
    Effect.gen(function* () {
      const off = Tracer.externalSpan({ traceId: "noop", spanId: "noop" })
      const { spans } = yield* recorded(Effect.withSpan(Effect.void, "work").pipe(Effect.withParentSpan(off)))
      assert.deepStrictEqual(
        spans.map(({ parentSpanId, traceId }) => [parentSpanId, traceId]),
        [[undefined, "00000000000000000000000000000001"]]
      )
    })
  )

  it.effect("cuts at its limits and counts what it cut", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        yield* Effect.annotateCurrentSpan({ a: "😀😀😀", b: 2, c: 3, d: 4 })
        yield* Effect.annotateCurrentSpan("a", "again, and long")
        yield* Effect.annotateLogs(Effect.log("one"), { x: 1, y: 2 })
        yield* Effect.log("two")
      }).pipe(Effect.withSpan("span"))
      const limits = { attributes: 2, attributeValueLength: 5, events: 1, eventAttributes: 1 }
      const { spans } = yield* recorded(program, { limits })
      assert.deepStrictEqual(
        spans.map(({ attributes, droppedAttributesCount, droppedEventsCount, events }) => ({
          attributes,
          droppedAttributesCount,
          droppedEventsCount,
          events: events.map((event) => [event.name, event.attributes, event.droppedAttributesCount])
        })),
        [
          {
            attributes: { a: "again", b: 2, "handspan.truncated": 2 },
            droppedAttributesCount: 2,
            droppedEventsCount: 1,
            events: [["one", { x: 1 }, 3]]
          }
        ]
      )
    })
  )

  it.effect("never cuts off how a span ended", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        yield* Effect.annotateCurrentSpan({ a: 1, b: 2 })
        yield* Effect.log("one")
        return yield* Effect.die(new TypeError("bad"))
      }).pipe(Effect.withSpan("span"))
      const { spans } = yield* recorded(program, { limits: { attributes: 1, events: 1 } })
      assert.deepStrictEqual(
        [spans[0]?.attributes, spans[0]?.events.map((event) => event.name)],
        [{ a: 1, "error.type": "TypeError" }, ["one", "exception"]]
      )
    })
  )

  it.effect("never cuts off how a pipeline and its handoffs went", () =>
    Effect.gen(function* () {
      const pipeline = Pipeline.make("p", () => Effect.forEach([1, 2, 3], (n) => Effect.log(String(n))))
      const { spans } = yield* recorded(pipeline(), { limits: { events: 2 } })
      assert.deepStrictEqual(
        spans[0]?.events.map((event) => event.name),
        ["pipeline.started", "1", "pipeline.completed"]
      )
      assert.strictEqual(spans[0]?.droppedEventsCount, 2)
    })
  )

  it.effect("takes a __proto__ key for a key like any other", () =>
    Effect.gen(function* () {
      const key = "__proto__"
      const { spans } = yield* recorded(
        Effect.withSpan(Effect.annotateLogs(Effect.log("hi"), JSON.parse(`{"${key}":"x"}`)), "span")
      )
      assert.isTrue(Object.hasOwn(spans[0]?.events[0]?.attributes ?? {}, key))
    })
  )

  it.effect("keeps no linked span alive", () =>
    Effect.gen(function* () {
      const { exit } = yield* recorded(
        Effect.gen(function* () {
          const linked = yield* Effect.makeSpan("linked")
          const span = yield* Effect.makeSpan("span", { links: [{ span: linked, attributes: { n: 1 } }] })
          const before = span.links.map((link) => [link.span._tag, link.span.spanId === linked.spanId, link.attributes])
          span.end(1n, Exit.void)
          return [before, span.links]
        })
      )
      assert.deepStrictEqual(exit, Exit.succeed([[["ExternalSpan", true, { n: 1 }]], []]))
    })
  )

  it.effect("copies attribute values when they arrive", () =>
    Effect.gen(function* () {
      const list = ["a"]
      const { spans } = yield* recorded(
        Effect.andThen(
          Effect.annotateCurrentSpan("list", list),
          Effect.sync(() => list.push("b"))
        ).pipe(Effect.withSpan("span"))
      )
      assert.deepStrictEqual(spans[0]?.attributes, { list: ["a"] })
    })
  )

  it.effect("keeps neither the value nor the error of an Exit", () =>
    Effect.gen(function* () {
      const { exit } = yield* recorded(
        Effect.gen(function* () {
          const span = yield* Effect.makeSpan("by hand")
          span.end(1n, Exit.succeed({ secret: "in the value" }))
          const failed = yield* Effect.makeSpan("failed by hand")
          failed.end(1n, Exit.fail({ _tag: "Denied", password: "hunter2" }))
          return JSON.stringify([span, failed], (_, value) =>
            typeof value === "bigint" ? String(value) : Context.isContext(value) ? "context" : value
          )
        })
      )
      const text = Exit.isSuccess(exit) ? exit.value : ""
      assert.include(text, "by hand")
      assert.notInclude(text, "secret")
      assert.notInclude(text, "hunter2")
    })
  )

  it.effect("leaks no field of a plain-object error", () =>
    Effect.gen(function* () {
      const { spans } = yield* recorded(Effect.withSpan(Effect.fail({ _tag: "Denied", password: "hunter2" }), "login"))
      assert.deepStrictEqual(spans[0]?.status, { code: "error", message: "error Denied" })
      assert.notInclude(JSON.stringify(spans[0]?.events.map((event) => event.attributes)), "hunter2")
    })
  )

  it.effect("records each span once, however often it is ended, and ignores what comes after", () =>
    Effect.gen(function* () {
      const { spans } = yield* recorded(
        Effect.gen(function* () {
          const span = yield* Effect.makeSpan("twice")
          span.end(5n, Exit.void)
          span.end(9n, Exit.fail("late"))
          span.attribute("late", true)
          span.event("late", 9n)
          span.addLinks([{ span, attributes: {} }])
        })
      )
      assert.deepStrictEqual(
        spans.map(({ attributes, endTimeUnixNano, events, links, status }) => ({
          attributes,
          endTimeUnixNano,
          events,
          links,
          status
        })),
        [{ attributes: {}, endTimeUnixNano: 5n, events: [], links: [], status: { code: "ok" } }]
      )
    })
  )

  it.effect("never ends a span before its start, when the clock was set back", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("10 seconds")
      const { spans } = yield* recorded(Effect.map(Effect.makeSpan("span"), (span) => span.end(1n, Exit.void)))
      assert.strictEqual(spans[0]?.endTimeUnixNano, spans[0]?.startTimeUnixNano)
    })
  )

  it.effect("begins a trace of its own for a root span", () =>
    Effect.gen(function* () {
      const { spans } = yield* recorded(Effect.withSpan(Effect.withSpan(Effect.void, "other", { root: true }), "one"))
      assert.notStrictEqual(spanNamed(spans, "other").traceId, spanNamed(spans, "one").traceId)
    })
  )

  it.effect("writes the stack traces of the first 100 failures of a second, and every type and message", () =>
    Effect.gen(function* () {
      const fail = Effect.exit(Effect.withSpan(Effect.die(new TypeError("no")), "fails"))
      const { spans } = yield* recorded(
        Effect.gen(function* () {
          for (let i = 0; i < 150; i++) yield* fail
          yield* TestClock.adjust("1 seconds")
          yield* fail
        })
      )
      const events = spans.map((span) => span.events[0]?.attributes ?? {})
      assert.isTrue(
        events.every((event) => event["exception.type"] === "TypeError" && event["exception.message"] === "no")
      )
      const hasStack = events.map((event) => event["exception.stacktrace"] !== undefined)
      assert.deepStrictEqual(
        hasStack,
        Array.from({ length: 151 }, (_, index) => index < 100 || index === 150)
      )
    })
  )

  it.effect("survives times that are none", () =>
    Effect.gen(function* () {
      const { spans } = yield* recorded(
        Effect.gen(function* () {
          const span = yield* Effect.makeSpan("odd")
          span.event("event", undefined as never)
          span.end(Number.NaN as never, Exit.void)
        })
      )
      assert.deepStrictEqual(
        spans.map(({ endTimeUnixNano, events, startTimeUnixNano }) => [
          endTimeUnixNano === startTimeUnixNano,
          events[0]?.timeUnixNano === startTimeUnixNano
        ]),
        [[true, true]]
      )
    })
  )

  it.effect("has no hook around primitives", () =>
    Effect.sync(() => assert.isUndefined(Recorder.make({ onEnd: () => {} }).context))
  )
})

describe("Recorder.makeNoop", () => {
  const read = Effect.map(Effect.currentSpan, TraceContext.fromSpan)

  it.effect("gives real, unsampled ids to a trace that begins here", () =>
    Effect.gen(function* () {
      const alone = yield* Effect.withSpan(read, "alone")
      assert.isTrue(alone !== undefined && TraceContext.isTraceId(alone.traceId) && TraceContext.isSpanId(alone.spanId))
      assert.strictEqual(alone?.flags, TraceContext.flagRandom)
    }).pipe(Effect.withTracer(Recorder.makeNoop()))
  )

  it.effect("passes a caller's span on as it came, sampled or not", () =>
    Effect.gen(function* () {
      for (const flags of [3, 2]) {
        const caller = { traceId: "a".repeat(32), spanId: "b".repeat(16), flags, traceState: "v=1" }
        const joined = Effect.withSpan(Effect.withSpan(read, "inner"), "outer")
        assert.deepStrictEqual(yield* Effect.withParentSpan(joined, TraceContext.toExternalSpan(caller)), caller)
      }
    }).pipe(Effect.withTracer(Recorder.makeNoop()))
  )
})

describe("Recorder.makeNoop, at depth", () => {
  it.effect("answers for spans 100,000 deep", () =>
    Effect.gen(function* () {
      let span = yield* Effect.makeSpan("root")
      for (let depth = 0; depth < 100_000; depth++) span = yield* Effect.makeSpan("span", { parent: span })
      assert.isTrue(TraceContext.isTraceId(TraceContext.fromSpan(span)?.traceId ?? ""))
    }).pipe(Effect.withTracer(Recorder.makeNoop()))
  )
})

describe("Recorder", () => {
  it.effect("never prints a Redacted attribute", () =>
    Effect.gen(function* () {
      const { spans } = yield* recorded(
        Effect.withSpan(Effect.void, "span", {
          attributes: { key: Redacted.make("hunter2"), nested: { key: Redacted.make("hunter2") } }
        })
      )
      assert.deepStrictEqual(spans[0]?.attributes, { key: "<redacted>", nested: '{"key":"<redacted>"}' })
    })
  )

  it.effect("survives attributes that cannot be read", () =>
    Effect.gen(function* () {
      const hostile = {
        get boom(): never {
          throw new Error("no")
        }
      }
      const { spans } = yield* recorded(
        Effect.withSpan(Effect.void, "span", {
          attributes: {
            hostile,
            symbol: Symbol("x"),
            f: () => 1,
            nothing: null,
            absent: undefined,
            option: Option.some(1)
          }
        })
      )
      assert.deepStrictEqual(spans[0]?.attributes, {
        hostile: '{"boom":"!UNENCODABLE"}',
        symbol: "!UNENCODABLE",
        f: "!UNENCODABLE",
        nothing: "null",
        option: '{"_id":"Option","_tag":"Some","value":1}'
      })
    })
  )

  it.effect("survives names and resources that are no texts, and bounds names", () =>
    Effect.gen(function* () {
      const nameless = Object.create(null)
      const { spans } = yield* recorded(
        Effect.withSpan(
          Effect.flatMap(Effect.orDie(Effect.currentSpan), (span) => Effect.sync(() => span.event(nameless, 1n))),
          nameless
        )
      )
      assert.deepStrictEqual([spans[0]?.name, spans[0]?.events[0]?.name], ["{}", "{}"])

      const long = yield* recorded(Effect.withSpan(Effect.void, "n".repeat(1_000_000)))
      assert.deepStrictEqual(long.spans[0]?.name, "n".repeat(8192))
      assert.deepStrictEqual(long.spans[0]?.attributes, { "handspan.truncated": 1 })

      const attributes = { a: { b: 1 }, gone: undefined, list: [1, 2] } as never
      const buffer = new SpanBuffer()
      const tracer = Recorder.make({ resource: { attributes }, onEnd: (span) => buffer.append(span) })
      yield* Effect.withTracer(Effect.withSpan(Effect.void, "span"), tracer)
      const [span] = Result.getOrThrow(OtlpProtobuf.decode(buffer.take().bytes))
      assert.deepStrictEqual(span?.resource.attributes, { a: '{"b":1}', list: [1, 2] })
    })
  )
})

describe("Recorder.make, where spans bring their ids,", () => {
  const own: OwnIds = { traceId: "c".repeat(32), spanId: "d".repeat(16) }
  const withOwn = (ids: OwnIds) => Effect.withSpan(Effect.void, "own", { annotations: Context.make(OwnIds, ids) })

  it.effect("takes the trace id for a root, and the span id anywhere", () =>
    Effect.gen(function* () {
      const { spans } = yield* recorded(Effect.andThen(withOwn(own), Effect.withSpan(withOwn(own), "around")))
      assert.deepStrictEqual(
        spans.map(({ name, parentSpanId, spanId, traceId }) => ({ name, traceId, spanId, parentSpanId })),
        [
          { name: "own", traceId: own.traceId, spanId: own.spanId, parentSpanId: undefined },
          { name: "own", traceId: "0".repeat(31) + "1", spanId: own.spanId, parentSpanId: "0".repeat(15) + "1" },
          { name: "around", traceId: "0".repeat(31) + "1", spanId: "0".repeat(15) + "1", parentSpanId: undefined }
        ]
      )
    })
  )

  it.effect("does as was decided, also below what is not recorded", () =>
    Effect.gen(function* () {
      const decided = { sampled: true, flags: 3, traceState: "a=1" }
      const refused = { ...decided, sampled: false }
      const caller = { traceparent: `00-${"c".repeat(32)}-${"1".repeat(16)}-00` }
      const both = Effect.andThen(withOwn({ ...own, decided }), withOwn({ ...own, decided: refused }))
      const { spans } = yield* recorded(both.pipe(Propagator.withRemoteParent(caller)))
      assert.deepStrictEqual(
        spans.map(({ flags, parentSpanId, spanId, traceState }) => ({ spanId, parentSpanId, flags, traceState })),
        [{ spanId: own.spanId, parentSpanId: "1".repeat(16), flags: 3, traceState: "a=1" }]
      )
    })
  )

  it("foretells a span without opening one", () => {
    const recorder = Recorder.make({ onEnd: () => undefined })
    const options = {
      name: "own",
      parent: Option.none(),
      annotations: Context.make(OwnIds, own),
      links: [],
      startTime: 0n,
      kind: "internal",
      root: false,
      sampled: true
    } as const
    assert.deepStrictEqual(recorder.foretell({ ...options, links: [] }), { ...own, flags: 3, traceState: "" })
    assert.deepStrictEqual(recorder.counts(), { started: 0, unsampled: 0, live: 0 })
  })
})
