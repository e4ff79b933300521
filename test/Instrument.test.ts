import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as Agent from "../src/Agent.ts"
import * as Instrument from "../src/Instrument.ts"
import * as TraceContext from "../src/TraceContext.ts"
import { outline, recorded, spanNamed } from "./recorded.ts"

/** Runs plain code with an Instrument, under a span named root. */
const instrumented = <A>(f: (instrument: Instrument.Instrument) => A | Promise<A>) =>
  recorded(
    Effect.gen(function* () {
      const instrument = yield* Instrument.make
      return yield* Effect.promise(async () => f(instrument))
    }).pipe(Effect.withSpan("root"))
  )

describe("Instrument.traceSpan", () => {
  it.effect("wraps a sync function: plain value, this, name, arity, arguments", () =>
    Effect.gen(function* () {
      const { exit, spans } = yield* instrumented(({ traceSpan }) => {
        const scale = traceSpan("scale", (n: number) => ({ n }))(function scale(this: { by: number }, n: number) {
          return this.by * n
        })
        return [scale.call({ by: 3 }, 5), scale.name, scale.length]
      })
      assert.deepStrictEqual(exit, Exit.succeed([15, "scale", 1]))
      assert.strictEqual(outline(spans), "\nroot ok\n  scale ok\n")
      assert.deepStrictEqual(spanNamed(spans, "scale").attributes, { n: 5 })
    })
  )

  it.effect("wraps an async function and nests what it calls, across awaits and timers", () =>
    Effect.gen(function* () {
      const { exit, spans } = yield* instrumented(({ startSpan, traceSpan }) => {
        const inner = traceSpan("inner", { component: "test" })(async (n: number) => {
          await new Promise((resolve) => setTimeout(resolve, 1))
          return n + 1
        })
        const outer = traceSpan("outer")(async (n: number) => {
          await Promise.resolve()
          const one = await inner(n)
          const span = startSpan("by hand")
          span.end()
          return inner(one)
        })
        return Promise.all([outer(1), outer(10)])
      })
      assert.deepStrictEqual(exit, Exit.succeed([3, 12]))
      assert.strictEqual(
        outline(spans),
        "\nroot ok\n  outer ok\n    inner ok\n    by hand ok\n    inner ok\n  outer ok\n    inner ok\n    by hand ok\n    inner ok\n"
      )
    })
  )

  it.effect("wraps a function that gives an Effect, and an Effect: a span for each run", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const { traceSpan } = yield* Instrument.make
        const double = traceSpan("double", (n: number) => ({ n }))((n: number) => Effect.succeed(n * 2))
        const four = double(2)
        const answer = traceSpan("answer")(Effect.succeed(42))
        return [yield* four, yield* four, yield* answer]
      })
      const { exit, spans } = yield* recorded(program)
      assert.deepStrictEqual(exit, Exit.succeed([4, 4, 42]))
      assert.deepStrictEqual(
        spans.map(({ attributes, name }) => [name, attributes]),
        [
          ["double", { n: 2 }],
          ["double", { n: 2 }],
          ["answer", {}]
        ]
      )
    })
  )

  it.effect("records what is thrown or rejected, and lets it pass unchanged", () =>
    Effect.gen(function* () {
      const error = new TypeError("bad photo")
      const { exit, spans } = yield* instrumented(async ({ traceSpan }) => {
        const throwing = traceSpan("throwing")((): never => {
          throw error
        })
        const rejecting = traceSpan("rejecting")(() => Promise.reject(error))
        let thrown: unknown
        try {
          throwing()
        } catch (caught) {
          thrown = caught
        }
        return [thrown === error, (await rejecting().catch((caught: unknown) => caught)) === error]
      })
      assert.deepStrictEqual(exit, Exit.succeed([true, true]))
      for (const name of ["throwing", "rejecting"]) {
        const span = spanNamed(spans, name)
        assert.deepStrictEqual(span.status, { code: "error", message: "bad photo" })
        assert.deepStrictEqual(
          [span.attributes["error.type"], span.events[0]?.attributes["exception.type"]],
          ["TypeError", "TypeError"]
        )
      }
    })
  )

  it.effect("survives attributes that cannot be made", () =>
    Effect.gen(function* () {
      const { exit, spans } = yield* instrumented(({ traceSpan }) => {
        const read = traceSpan("read", (photo: { readonly size: { readonly width: number } }) => ({
          width: photo.size.width
        }))((_: unknown) => "read")
        return read(undefined)
      })
      assert.deepStrictEqual(exit, Exit.succeed("read"))
      assert.deepStrictEqual(spanNamed(spans, "read").attributes, {})
    })
  )

  it.effect("ends the span of a call that a child opened, where the call then gives an Effect", () =>
    Effect.gen(function* () {
      const { spans } = yield* recorded(
        Effect.gen(function* () {
          const { startSpan, traceSpan } = yield* Instrument.make
          const load = traceSpan("load")(() => {
            startSpan("prepare").end()
            return Effect.succeed(1)
          })
          yield* load()
        })
      )
      assert.strictEqual(outline(spans), "\nload ok\n  prepare ok\nload ok\n")
    })
  )

  it.effect("prefers the handoff it was made in to a wrapped function around that", () =>
    Effect.gen(function* () {
      const agent = Agent.make("inner", {
        run: () =>
          Effect.map(Instrument.make, ({ traceSpan }) => {
            traceSpan("fetch")(() => 1)()
          })
      })
      const { spans } = yield* recorded(
        Effect.gen(function* () {
          const { traceSpan } = yield* Instrument.make
          const context = yield* Effect.context<never>()
          const handler = traceSpan("handler")(() => Effect.runPromiseWith(context)(agent()))
          yield* Effect.promise(handler)
        })
      )
      assert.strictEqual(spanNamed(spans, "fetch").parentSpanId, spanNamed(spans, "agent_handoff.inner").spanId)
    })
  )

  it.effect("puts the annotations of the region on its spans", () =>
    Effect.gen(function* () {
      const program = Effect.map(Instrument.make, ({ traceSpan }) => traceSpan("work")(() => 1)())
      const { spans } = yield* recorded(Effect.annotateSpans(program, "handspan.loop.iteration", 2))
      assert.deepStrictEqual(spans[0]?.attributes, { "handspan.loop.iteration": 2 })
    })
  )

  it.effect("gives back the very same function and Effect where tracing is off", () =>
    Effect.gen(function* () {
      const f = (n: number) => n
      const effect = Effect.succeed(1)
      const off = Effect.map(Instrument.make, ({ traceSpan }) => [
        traceSpan("f")(f) === f,
        traceSpan("e")(effect) === effect
      ])
      assert.deepStrictEqual(yield* Effect.provideService(off, TraceContext.TracingEnabled, false), [true, true])
      assert.deepStrictEqual(yield* Effect.withTracerEnabled(off, false), [true, true])
    })
  )

  it.effect("makes spans children of the handoff it was made in", () =>
    Effect.gen(function* () {
      const agent = Agent.make("fetcher", {
        run: () =>
          Effect.gen(function* () {
            const { traceSpan } = yield* Instrument.make
            return yield* Effect.promise(traceSpan("download")(async () => "photo"))
          })
      })
      const { spans } = yield* recorded(agent())
      assert.strictEqual(outline(spans), "\nagent_handoff.fetcher ok\n  download ok\n")
    })
  )

  it.effect("does not record under an unsampled parent", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const { traceSpan } = yield* Instrument.make
        return traceSpan("f")(() => 1)()
      }).pipe(Effect.withSpan("root", { sampled: false }))
      assert.deepStrictEqual((yield* recorded(program)).spans, [])
    })
  )
})

describe("Instrument.startSpan", () => {
  it.effect("measures, takes attributes and events, and ends once", () =>
    Effect.gen(function* () {
      const durations: Array<number> = []
      const { spans } = yield* recorded(
        Effect.gen(function* () {
          const { startSpan } = yield* Instrument.make
          const span = startSpan("work", { component: "bot" })
          yield* TestClock.adjust("20 millis")
          durations.push(span.durationMillis())
          span.setAttributes({ thread_id: "t-1" })
          span.addEvent("halfway", { done: 1 })
          yield* TestClock.adjust("5 millis")
          span.end()
          yield* TestClock.adjust("1 seconds")
          span.fail("too late")
          durations.push(span.durationMillis())
          startSpan("broken").fail(new Error("boom"))
        })
      )
      assert.deepStrictEqual(durations, [20, 25])
      const work = spanNamed(spans, "work")
      assert.deepStrictEqual(work.attributes, { component: "bot", thread_id: "t-1" })
      assert.deepStrictEqual(
        work.events.map(({ attributes, name, timeUnixNano }) => [name, timeUnixNano, attributes]),
        [["halfway", 20_000_000n, { done: 1 }]]
      )
      assert.deepStrictEqual(work.status, { code: "ok" })
      assert.deepStrictEqual(spanNamed(spans, "broken").status, { code: "error", message: "boom" })
    })
  )
})

describe("Instrument.startSpan, where tracing is off", () => {
  it.effect("records nothing", () =>
    Effect.gen(function* () {
      const program = Effect.map(Instrument.make, ({ startSpan }) => startSpan("work").end())
      assert.deepStrictEqual((yield* recorded(Effect.withTracerEnabled(program, false))).spans, [])
    })
  )

  it.effect("survives attributes that cannot be read", () =>
    Effect.gen(function* () {
      const hostile = {
        good: 1,
        get boom(): never {
          throw new Error("no")
        }
      }
      const { spans } = yield* recorded(
        Effect.map(Instrument.make, ({ startSpan }) => {
          const span = startSpan("work", hostile)
          span.addEvent("event", hostile)
          span.end()
        })
      )
      assert.deepStrictEqual(
        [spans[0]?.attributes, spans[0]?.events[0]?.attributes],
        [
          { good: 1, boom: "!UNENCODABLE" },
          { good: 1, boom: "!UNENCODABLE" }
        ]
      )
    })
  )
})

describe("Instrument.withScope", () => {
  it.effect("names the component of the spans inside", () =>
    Effect.gen(function* () {
      const inner = Effect.withSpan(Effect.void, "look").pipe(Instrument.withScope("agency/vision", "2.0.0"))
      const { spans } = yield* recorded(Effect.withSpan(inner, "root"))
      assert.deepStrictEqual(
        spans.map(({ name, scope }) => [name, scope]),
        [
          ["look", { name: "agency/vision", version: "2.0.0" }],
          ["root", { name: "handspan", version: "" }]
        ]
      )
    })
  )
})

describe("Instrument.addEvent", () => {
  it.effect("does nothing outside of spans and under a remote parent", () =>
    Effect.gen(function* () {
      yield* Instrument.addEvent("nowhere")
      const remote = TraceContext.toExternalSpan({
        traceId: "a".repeat(32),
        spanId: "b".repeat(16),
        flags: 1,
        traceState: ""
      })
      yield* Effect.withParentSpan(Instrument.addEvent("nowhere"), remote)
      const { spans } = yield* recorded(Effect.withSpan(Instrument.addEvent("here", { a: 1 }), "span"))
      assert.deepStrictEqual(
        spans[0]?.events.map(({ attributes, name }) => [name, attributes]),
        [["here", { a: 1 }]]
      )
    }).pipe(Effect.provide(Layer.empty))
  )
})
