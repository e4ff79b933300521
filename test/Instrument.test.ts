import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Logger, Result } from "effect"
import { TestClock } from "effect/testing"
import * as Agent from "../src/Agent.ts"
import * as Enablement from "../src/Enablement.ts"
import * as Exporter from "../src/Exporter.ts"
import * as Memory from "../src/exporter/Memory.ts"
import * as Instrument from "../src/Instrument.ts"
import * as Propagator from "../src/Propagator.ts"
import * as Sampler from "../src/Sampler.ts"
import * as Sampling from "../src/Sampling.ts"
import * as SamplingRules from "../src/SamplingRules.ts"
import * as Testing from "../src/Testing.ts"
import * as TraceContext from "../src/TraceContext.ts"
import * as Tracing from "../src/Tracing.ts"

const { Tree, expectTrace } = Testing
const { handoff, span } = Tree

/** Expects a span that ended well, not only without an error. */
const ok = (...children: ReadonlyArray<Testing.Tree.Expected>) => ({ status: "ok", children }) as const

/** Runs plain code with an Instrument, under a span named root. */
const instrumented = <A>(f: (instrument: Instrument.Instrument) => A | Promise<A>, options?: Testing.Options) =>
  Testing.record(
    Effect.gen(function* () {
      const instrument = yield* Instrument.make
      return yield* Effect.promise(async () => f(instrument))
    }).pipe(Effect.withSpan("root")),
    options
  )

/** Lets time pass, so that spans which start one after the other outside of fibers can be told apart by it. */
const tick = () => new Promise((resolve) => setTimeout(resolve, 1))

describe("Instrument.withScope", () => {
  it.effect("names the component, whatever plain JavaScript passes, and leaves the tracer what it was", () =>
    Effect.gen(function* () {
      const scoped = (name: unknown, version?: unknown) =>
        Effect.withSpan(Effect.void, "work").pipe(Instrument.withScope(name as string, version as string))
      const memory = Memory.make()
      yield* Effect.all([
        scoped("agency", "1.0"),
        scoped("agency", 3),
        scoped({ a: 1 }),
        scoped(Object.create(null))
      ]).pipe(Effect.provide(Tracing.layer({ exporters: [memory.exporter] })))
      assert.deepStrictEqual(
        (yield* memory.spans.all).map(({ scope }) => scope),
        [
          { name: "agency", version: "1.0" },
          { name: "agency", version: "3" },
          { name: '{"a":1}', version: "" },
          { name: "{}", version: "" }
        ]
      )
      // A sampler may still take what a caller elsewhere did not.
      const decided = Memory.make()
      const unsampled = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00" }
      const hello = Agent.make("hello", { run: () => Effect.void })
      yield* hello().pipe(
        Instrument.withScope("agency"),
        Propagator.withRemoteParent(unsampled),
        Effect.provide(Tracing.layer({ exporters: [decided.exporter], sampler: "always_on" }))
      )
      assert.deepStrictEqual(
        (yield* decided.spans.all).map(({ name, scope }) => [name, scope.name]),
        [["agent_handoff.hello", "agency"]]
      )
    })
  )
})

describe("Instrument.make", () => {
  it.live("lets samplers ask for hints and baggage where plain code runs, after it has waited too", () =>
    Effect.gen(function* () {
      const names: Array<string> = []
      const exporter = Exporter.make({
        name: "names",
        export: (spans) => Effect.sync(() => void names.push(...spans.map(({ name }) => name)))
      })
      const late = (name: string) =>
        Effect.flatMap(Instrument.make, ({ traceSpan }) =>
          Effect.promise(async () => {
            await tick()
            await traceSpan(name)(async () => tick())()
          })
        )
      const program = Effect.all([
        late("plain"),
        late("quiet").pipe(Propagator.withRemoteParent({ baggage: "quiet=1" })),
        late("free").pipe(Sampler.withHints({ plan: "free" }))
      ])
      const rules = SamplingRules.make(Result.getOrThrow(SamplingRules.parse("hint.plan=free: never")), Sampler.always)
      yield* program.pipe(
        Effect.provide(
          Tracing.layer({ exporters: [exporter] }).pipe(
            Layer.provide([
              Sampling.layer(rules),
              Enablement.layer({ request: ({ baggage }) => !baggage.has("quiet") })
            ])
          )
        )
      )
      assert.deepStrictEqual(names, ["plain"])
    })
  )
})

describe("Instrument.warnIfSlower", () => {
  it("throws at once for what is no duration", () => {
    assert.throws(() => Instrument.warnIfSlower("search", "1 parsec" as "1 second"))
  })
})

describe("Instrument.traceSpan", () => {
  it.effect("wraps a sync function: plain value, this, name, arity, arguments", () =>
    Effect.gen(function* () {
      const { exit, trace } = yield* instrumented(({ traceSpan }) => {
        const scale = traceSpan("scale", (n: number) => ({ n }))(function scale(this: { by: number }, n: number) {
          return this.by * n
        })
        return [scale.call({ by: 3 }, 5), scale.name, scale.length]
      })
      assert.deepStrictEqual(exit, Exit.succeed([15, "scale", 1]))
      expectTrace(trace).toMatchTree(span("root", ok(span("scale", { ...ok(), attributes: Tree.only({ n: 5 }) }))))
    })
  )

  it.effect("wraps an async function and nests what it calls, across awaits and timers", () =>
    Effect.gen(function* () {
      const calls = ({ startSpan, traceSpan }: Instrument.Instrument) => {
        const inner = traceSpan("inner", { component: "test" })(async (n: number) => {
          await tick()
          return n + 1
        })
        const outer = traceSpan("outer")(async (n: number) => {
          await Promise.resolve()
          const one = await inner(n)
          const span = startSpan("by hand")
          await tick()
          span.end()
          return inner(one)
        })
        return Promise.all([outer(1), outer(10)])
      }
      const { exit, trace } = yield* instrumented(calls, { clock: "live" })
      assert.deepStrictEqual(exit, Exit.succeed([3, 12]))
      const outer = span("outer", ok(span("inner", ok()), span("by hand", ok()), span("inner", ok())))
      expectTrace(trace).toMatchTree(span("root", ok(outer, outer)))
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
      const { exit, trace } = yield* Testing.record(Effect.withSpan(program, "root"))
      assert.deepStrictEqual(exit, Exit.succeed([4, 4, 42]))
      const double = span("double", { attributes: Tree.only({ n: 2 }) })
      expectTrace(trace).toMatchTree(span("root", [double, double, span("answer", { attributes: Tree.only({}) })]))
    })
  )

  it.effect("records what is thrown or rejected, and lets it pass unchanged", () =>
    Effect.gen(function* () {
      const error = new TypeError("bad photo")
      const { exit, trace } = yield* instrumented(async ({ traceSpan }) => {
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
      const failed = {
        status: { error: "bad photo" },
        attributes: { "error.type": "TypeError" },
        events: [{ name: "exception", attributes: { "exception.type": "TypeError" } }]
      }
      expectTrace(trace).toMatchTree(span("root", [span("throwing", failed), span("rejecting", failed)]))
    })
  )

  it.effect("survives attributes that cannot be made", () =>
    Effect.gen(function* () {
      const { exit, trace } = yield* instrumented(({ traceSpan }) => {
        const read = traceSpan("read", (photo: { readonly size: { readonly width: number } }) => ({
          width: photo.size.width
        }))((_: unknown) => "read")
        return read(undefined)
      })
      assert.deepStrictEqual(exit, Exit.succeed("read"))
      expectTrace(trace).toMatchTree(span("root", [span("read", { attributes: Tree.only({}) })]))
    })
  )

  it.effect("ends the span of a call that a child opened, where the call then gives an Effect", () =>
    Effect.gen(function* () {
      const { traces } = yield* Testing.record(
        Effect.gen(function* () {
          const { startSpan, traceSpan } = yield* Instrument.make
          const load = traceSpan("load")(() => {
            startSpan("prepare").end()
            return Effect.succeed(1)
          })
          yield* load()
        })
      )
      assert.strictEqual(traces.length, 2)
      expectTrace(traces[0]!).toMatchTree(span("load", ok(span("prepare", ok()))))
      expectTrace(traces[1]!).toMatchTree(span("load", ok()))
    })
  )

  it.effect("nests handoffs that plain code runs, and what they trace", () =>
    Effect.gen(function* () {
      const agent = Agent.make("inner", {
        run: () =>
          Effect.map(Instrument.make, ({ traceSpan }) => {
            traceSpan("fetch")(() => 1)()
          })
      })
      const { trace } = yield* Testing.record(
        Effect.gen(function* () {
          const { traceSpan } = yield* Instrument.make
          const context = yield* Effect.context<never>()
          const handler = traceSpan("handler")(() => Effect.runPromiseWith(context)(agent()))
          yield* Effect.promise(handler)
        })
      )
      expectTrace(trace).toMatchTree(span("handler", [handoff("inner", [span("fetch")])]))
    })
  )

  it.effect("nests under the span that is running, wherever it was made", () =>
    Effect.gen(function* () {
      const { trace } = yield* Testing.record(
        Effect.gen(function* () {
          const { traceSpan } = yield* Instrument.make
          const read = traceSpan("read")(() => 1)
          const wait = traceSpan("wait")(async () => {
            await Promise.resolve()
            return read()
          })
          yield* Effect.withSpan(Effect.sync(read), "first")
          yield* Effect.withSpan(Effect.promise(wait), "second")
          yield* Effect.sync(read)
        }).pipe(Effect.withSpan("root"))
      )
      expectTrace(trace).toMatchTree(
        span("root", [span("first", [span("read")]), span("second", [span("wait", [span("read")])]), span("read")])
      )
    })
  )

  it.effect("puts the annotations of the region on its spans", () =>
    Effect.gen(function* () {
      const program = Effect.map(Instrument.make, ({ traceSpan }) => traceSpan("work")(() => 1)())
      const { trace } = yield* Testing.record(Effect.annotateSpans(program, "handspan.loop.iteration", 2))
      expectTrace(trace).toMatchTree(span("work", { attributes: Tree.only({ "handspan.loop.iteration": 2 }) }))
    })
  )

  it.live("passes a caller's trace through the function where tracing is off", () =>
    Effect.gen(function* () {
      const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
      const told: unknown = yield* Effect.gen(function* () {
        const { traceSpan } = yield* Instrument.make
        const ask = traceSpan("ask")(async function ask(_: string) {
          await new Promise((resolve) => setTimeout(resolve))
          return Effect.runPromise(Propagator.inject())
        })
        assert.deepStrictEqual([ask.name, ask.length], ["ask", 1])
        return yield* Effect.promise(() => ask("photo"))
      }).pipe(
        Propagator.receive({ traceparent, baggage: "user=alice" }, { name: "serve", kind: "server" }),
        Effect.provide(Tracing.layerNoop)
      )
      assert.deepStrictEqual(told, { traceparent, baggage: "user=alice" })
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
      const { trace } = yield* Testing.record(agent())
      expectTrace(trace).toMatchTree(handoff("fetcher", ok(span("download", ok()))))
    })
  )

  it.effect("does not record under an unsampled parent", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const { traceSpan } = yield* Instrument.make
        return traceSpan("f")(() => 1)()
      }).pipe(Effect.withSpan("root", { sampled: false }))
      assert.deepStrictEqual((yield* Testing.record(program)).traces, [])
    })
  )
})

describe("Instrument.startSpan", () => {
  it.effect("measures, takes attributes and events, and ends once", () =>
    Effect.gen(function* () {
      const durations: Array<number> = []
      const { traces } = yield* Testing.record(
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
      assert.strictEqual(traces.length, 2)
      expectTrace(traces[0]!).toMatchTree(
        span("work", {
          ...ok(),
          attributes: Tree.only({ component: "bot", thread_id: "t-1" }),
          events: [{ name: "halfway", attributes: Tree.only({ done: 1 }) }]
        })
      )
      assert.strictEqual(traces[0]?.spans[0]?.events[0]?.timeUnixNano, 20_000_000n)
      expectTrace(traces[1]!).toMatchTree(span("broken", { status: { error: "boom" } }))
    })
  )
})

describe("Instrument.startSpan, where tracing is off", () => {
  it.effect("records nothing", () =>
    Effect.gen(function* () {
      const program = Effect.map(Instrument.make, ({ startSpan }) => startSpan("work").end())
      assert.deepStrictEqual((yield* Testing.record(Effect.withTracerEnabled(program, false))).traces, [])
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
      const { trace } = yield* Testing.record(
        Effect.map(Instrument.make, ({ startSpan }) => {
          const span = startSpan("work", hostile)
          span.addEvent("event", hostile)
          span.end()
        })
      )
      const attributes = Tree.only({ good: 1, boom: "!UNENCODABLE" })
      expectTrace(trace).toMatchTree(span("work", { attributes, events: [{ name: "event", attributes }] }))
    })
  )
})

describe("Instrument.withScope", () => {
  it.effect("names the component of the spans inside", () =>
    Effect.gen(function* () {
      const inner = Effect.withSpan(Effect.void, "look").pipe(Instrument.withScope("agency/vision", "2.0.0"))
      const { trace } = yield* Testing.record(Effect.withSpan(inner, "root"))
      assert.deepStrictEqual(
        trace.spans.map(({ name, scope }) => [name, scope]),
        [
          ["root", { name: "handspan", version: "" }],
          ["look", { name: "agency/vision", version: "2.0.0" }]
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
      const { trace } = yield* Testing.record(Effect.withSpan(Instrument.addEvent("here", { a: 1 }), "span"))
      expectTrace(trace).toMatchTree(span("span", { events: [{ name: "here", attributes: Tree.only({ a: 1 }) }] }))
    }).pipe(Effect.provide(Layer.empty))
  )
})

describe("Instrument.warnIfSlower", () => {
  const search = (takes: string, ends: Effect.Effect<unknown, string> = Effect.void) =>
    Effect.andThen(Effect.sleep(takes as "1 second"), ends).pipe(
      Instrument.warnIfSlower("search", "1 second"),
      Effect.withSpan("search")
    )
  const run = (program: Effect.Effect<unknown, string>) =>
    Effect.gen(function* () {
      const logs: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => void logs.push(`${logLevel} ${String(message)}`))
      const { trace } = yield* Testing.record(program, { advance: "1 minute" }).pipe(
        Effect.provide(Logger.layer([logger]))
      )
      const events = trace.spans[0]!.events.filter(({ name }) => name === "performance.slow")
      return { logs, events: events.map(({ attributes }) => attributes) }
    })

  it.effect("tells in the log and on the span what took longer, however it ended", () =>
    Effect.gen(function* () {
      const slow = {
        logs: ['Warn "search" took 1s 500ms, longer than 1s'],
        events: [{ "handspan.threshold_ms": 1000, "handspan.took_ms": 1500 }]
      }
      assert.deepStrictEqual(yield* run(search("1500 millis")), slow)
      assert.deepStrictEqual(yield* run(search("1500 millis", Effect.fail("no"))), slow)
    })
  )

  it.effect("says nothing of what took no longer", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* run(search("1 second")), { logs: [], events: [] })
    })
  )
})
