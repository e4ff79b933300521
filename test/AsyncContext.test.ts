// Plain code that Effects wait for: real Promises, timers, generators and callbacks, and OpenTelemetry's own context manager.
import { assert, describe, it } from "@effect/vitest"
import * as Api from "@opentelemetry/api"
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks"
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { Context, Effect, Exit, Fiber, Option, Stream, Tracer } from "effect"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import * as Agent from "../src/Agent.ts"
import * as Memory from "../src/exporter/Memory.ts"
import { running } from "../src/ForeignCall.ts"
import * as Instrument from "../src/Instrument.ts"
import * as Propagator from "../src/Propagator.ts"
import * as Testing from "../src/Testing.ts"
import * as TraceTree from "../src/TraceTree.ts"
import * as Tracing from "../src/Tracing.ts"

const { expectTrace, Tree } = Testing
const { handoff, span } = Tree

const ask = async (url: string) => (await fetch(url)).text()
const turn = () => new Promise<void>((resolve) => setTimeout(resolve))

/** The traces of a program whose plain code is told of spans, in the order in which they began. */
const tracesOf = <A, E>(program: Effect.Effect<A, E>, context: "async" | "none" = "async") =>
  Effect.gen(function* () {
    yield* program
    const spans = yield* (yield* Effect.fromOption(yield* Effect.serviceOption(Memory.Spans))).all
    return TraceTree.fromSpans(spans)
  }).pipe(Effect.provide(Tracing.layerFromEnvWith({ exporters: ["in_memory"], context })))

/** Opens a span outside of anything, as a module of somebody else's would. */
const traced = Effect.map(Instrument.make, ({ traceSpan }) => traceSpan)

const writer = Agent.make("writer", { run: (topic: string) => Effect.succeed(`on ${topic}`) })

describe('context: "async"', () => {
  it.live("nests what plain code traces after it has waited, in Promises, callbacks and async generators", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const traceSpan = yield* traced
        const read = traceSpan("read")(() => 1)
        const later = async () => {
          await turn()
          return read()
        }
        const chunks = async function* () {
          await turn()
          yield read()
          await turn()
          yield read()
        }
        yield* Effect.withSpan(Effect.promise(later), "promise")
        yield* Effect.callback<number>((resume) => {
          setTimeout(() => resume(Effect.succeed(read())))
        }).pipe(Effect.withSpan("callback"))
        yield* Stream.fromAsyncIterable(chunks(), (error) => error).pipe(Stream.runDrain, Effect.withSpan("generator"))
      })
      const [promise, callback, generator, ...others] = yield* tracesOf(program)
      expectTrace(promise!).toMatchTree(span("promise", [span("read")]))
      expectTrace(callback!).toMatchTree(span("callback", [span("read")]))
      expectTrace(generator!).toMatchTree(span("generator", [span("read"), span("read")]))
      assert.deepStrictEqual(others, [])
      assert.strictEqual((yield* tracesOf(program, "none")).length, 7)
    })
  )

  it.live("records what plain code runs by Effect.runPromise, under its caller's span and tracer", () =>
    Effect.gen(function* () {
      const program = Effect.promise(async () => {
        await turn()
        const [text, headers] = await Promise.all([
          Effect.runPromise(writer("tides")),
          Effect.runPromise(Propagator.inject())
        ])
        await new Promise<void>((resolve) =>
          setTimeout(() => void Effect.runPromise(writer("ebb")).then(() => resolve()))
        )
        return { text, headers }
      }).pipe(Effect.withSpan("outer"))
      const [trace, ...others] = yield* tracesOf(program)
      expectTrace(trace!).toMatchTree(span("outer", [handoff("writer"), handoff("writer")]))
      assert.deepStrictEqual(others, [])
      const { headers, text } = yield* Effect.provide(program, Tracing.layer({ exporters: [], context: "async" }))
      assert.strictEqual(text, "on tides")
      assert.match(headers["traceparent"] ?? "", /^00-/)
      assert.strictEqual((yield* tracesOf(program, "none")).flatMap(({ spans }) => spans).length, 1)
    })
  )

  it.live("keeps concurrent fibers apart", () =>
    Effect.gen(function* () {
      const names = ["a", "b", "c", "d"]
      const program = Effect.gen(function* () {
        const traceSpan = yield* traced
        yield* Effect.forEach(
          names,
          (name) =>
            Effect.promise(async () => {
              for (let i = 0; i < 3; i++) {
                await turn()
                traceSpan(`${name}${i}`)(() => undefined)()
              }
            }).pipe(Effect.withSpan(name)),
          { concurrency: "unbounded" }
        )
      })
      const traces = yield* tracesOf(Effect.withSpan(program, "all"))
      const children = names.map((name) => span(name, [span(`${name}0`), span(`${name}1`), span(`${name}2`)]))
      assert.strictEqual(traces.length, 1)
      expectTrace(traces[0]!).toMatchTree(span("all", Tree.anyOrder(...children)))
    })
  )

  it.live("tells nothing to the fiber itself, whose next spans are not part of the call", () =>
    Effect.gen(function* () {
      const stores: Array<unknown> = []
      const step = (name: string) =>
        Effect.andThen(
          Effect.withSpan(Effect.promise(turn), name),
          Effect.sync(() => stores.push(running.getStore()))
        )
      const program = Effect.gen(function* () {
        yield* step("one")
        yield* step("two")
        yield* Fiber.join(yield* Effect.forkChild(step("three")))
      })
      const traces = yield* tracesOf(program)
      assert.deepStrictEqual(
        traces.map(({ spans }) => spans.map(({ name }) => name)),
        [["one"], ["two"], ["three"]]
      )
      assert.deepStrictEqual(stores, [undefined, undefined, undefined])
    })
  )

  it.live("leaves interruption, finalizers and what resumes at once as they are", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const program = Effect.gen(function* () {
        const hanging = Effect.callback<never>((_, signal) => {
          signal.addEventListener("abort", () => seen.push("aborted"))
          return Effect.sync(() => void seen.push("cleaned up"))
        })
        const fiber = yield* Effect.forkChild(Effect.withSpan(hanging, "hanging"), { startImmediately: true })
        yield* Effect.promise(turn)
        yield* Fiber.interrupt(fiber)
        seen.push(yield* Effect.callback<string>((resume) => resume(Effect.succeed("at once"))))
        const failed = Effect.callback<never, string>((resume) => void setTimeout(() => resume(Effect.fail("failed"))))
        seen.push(yield* Effect.flip(failed))
      })
      yield* tracesOf(Effect.withSpan(program, "outer"))
      assert.deepStrictEqual(seen, ["aborted", "cleaned up", "at once", "failed"])
    })
  )

  it.live("has what was begun in a call go on by itself when its span has ended, as a server does", () =>
    Effect.gen(function* () {
      const answers: Array<Promise<unknown>> = []
      const program = Effect.gen(function* () {
        const runtime = yield* Effect.context<never>()
        const server = createServer((_, response) => {
          const answer = Effect.sync(() => void response.end()).pipe(Effect.withSpan("request"))
          // Without a span: those that the program began in are not the request's.
          answers.push(Effect.runPromiseWith(Context.omit(Tracer.ParentSpan)(runtime))(answer))
        })
        yield* Effect.withSpan(
          Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
          "startup"
        )
        const { port } = server.address() as AddressInfo
        yield* Effect.promise(async () => {
          for (let i = 0; i < 2; i++) await ask(`http://127.0.0.1:${port}/`)
          await Promise.all(answers)
          await new Promise((resolve) => server.close(resolve))
        })
      })
      const traces = yield* tracesOf(program)
      assert.deepStrictEqual(
        traces.map(({ spans }) => spans.map(({ name }) => name)),
        [["startup"], ["request"], ["request"]]
      )
    })
  )

  it.live("has what goes on after its fiber's span belong to the call around that", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const traceSpan = yield* traced
        const context = yield* Effect.context<never>()
        const leaf = traceSpan("leaf")(() => 1)
        const outer = traceSpan("outer")(async () => {
          let background: Promise<unknown> = Promise.resolve()
          const begin = Effect.promise(async () => {
            background = turn().then(turn).then(leaf)
          })
          await Effect.runPromiseWith(Context.omit(Tracer.ParentSpan)(context))(Effect.withSpan(begin, "begin"))
          await background
        })
        yield* Effect.promise(outer)
      })
      const [trace, ...others] = yield* tracesOf(program)
      expectTrace(trace!).toMatchTree(span("outer", [span("begin"), span("leaf")]))
      assert.deepStrictEqual(others, [])
    })
  )

  it.live("has what goes on after its span belong to the next one that is open, and then begin traces", () =>
    Effect.gen(function* () {
      const told: Array<Record<string, string>> = []
      const later = async (name: string, wait: Promise<unknown>) => {
        await wait
        told.push(await Effect.runPromise(Propagator.inject()))
        await Effect.runPromise(Effect.withSpan(Effect.void, name))
      }
      const program = Effect.gen(function* () {
        let [isInnerOver, isOuterOver] = [() => {}, () => {}]
        const innerOver = new Promise<void>((resolve) => (isInnerOver = resolve))
        const outerOver = new Promise<void>((resolve) => (isOuterOver = resolve))
        const begun: Array<Promise<unknown>> = []
        const begin = Effect.promise(async () => {
          begun.push(later("goes on", innerOver), later("is alone", outerOver))
        })
        yield* Effect.gen(function* () {
          // Its baggage ends with it: what it began may be a server, which others call.
          yield* Propagator.withRemoteParent({ baggage: "user=inner" })(Effect.withSpan(begin, "inner"))
          isInnerOver()
          yield* Effect.promise(async () => begun[0])
        }).pipe(Effect.withSpan("outer"))
        isOuterOver()
        yield* Effect.promise(() => Promise.all(begun))
      })
      const [trace, alone, ...others] = yield* tracesOf(program)
      expectTrace(trace!).toMatchTree(span("outer", [span("inner"), span("goes on")]))
      expectTrace(alone!).toMatchTree(span("is alone"))
      assert.deepStrictEqual(others, [])
      const outer = trace!.spans.find(({ name }) => name === "outer")!
      assert.deepStrictEqual(told, [{ traceparent: `00-${outer.traceId}-${outer.spanId}-03` }, {}])
    })
  )

  it.live("tells what plain code runs the propagator and the baggage of its caller", () =>
    Effect.gen(function* () {
      const program = Effect.promise(async () => {
        await turn()
        return Effect.runPromise(Propagator.inject())
      }).pipe(Effect.withSpan("outer"), Propagator.withRemoteParent({ baggage: "user=alice" }))
      const headers = (propagators: ReadonlyArray<"b3" | "baggage">) =>
        Effect.map(
          Effect.provide(program, Tracing.layer({ exporters: [], context: "async", propagators })),
          (headers) => Object.keys(headers).join()
        )
      assert.deepStrictEqual([yield* headers(["b3"]), yield* headers(["b3", "baggage"])], ["b3", "b3,baggage"])
    })
  )

  it.live("keeps nothing of the fiber that calls, which has what came of it", () =>
    Effect.gen(function* () {
      const kept: Array<unknown> = []
      const program = Effect.withFiber((fiber) =>
        Effect.promise(async () => void kept.push(Object.values(running.getStore() ?? {}).includes(fiber)))
      )
      yield* tracesOf(Effect.withSpan(program, "outer"))
      assert.deepStrictEqual(kept, [false])
    })
  )

  it.live("leaves programs under other tracers alone, and those that hand spans on to Effect's own", () =>
    Effect.gen(function* () {
      const native = Tracer.nativeTracer
      const names: Array<string> = []
      const wrapping = Tracer.make({
        span: (options) => {
          names.push(options.name)
          return native.span(options)
        }
      })
      const stray = Effect.promise(async () => {
        await turn()
        return Effect.runPromise(Effect.withSpan(Effect.succeed(1), "stray"))
      })
      const program = Effect.withTracer(Effect.withSpan(stray, "outer"), wrapping)
      const scoped = Effect.withSpan(stray, "outer").pipe(Instrument.withScope("house"), Effect.withTracer(native))
      const both = Effect.andThen(program, scoped)
      assert.strictEqual(yield* Effect.provide(both, Tracing.layerAmbientWith({ context: "async" })), 1)
      assert.deepStrictEqual(names, ["outer"])
    })
  )

  it.live("leaves Effect's own tracer what it was, once the last such Layer is gone", () =>
    Effect.gen(function* () {
      const before = Tracer.nativeTracer.span
      const during = yield* Effect.sync(() => Tracer.nativeTracer.span).pipe(
        Effect.tap(() => tracesOf(Effect.void)),
        Effect.provide(Tracing.layerAmbientWith({ context: "async" }))
      )
      assert.notStrictEqual(during, before)
      assert.strictEqual(Tracer.nativeTracer.span, before)
      const exit = yield* Effect.exit(Effect.promise(() => Effect.runPromise(Effect.currentSpan)))
      assert.isTrue(Exit.isFailure(exit))
    })
  )
})

/** Sets OpenTelemetry up as a program would have, and gives what its own spans were. */
const withOpenTelemetry = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const exporter = new InMemorySpanExporter()
      Api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
      Api.trace.setGlobalTracerProvider(
        new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
      )
      return exporter
    }),
    (exporter) => Effect.map(effect, (value) => ({ value, spans: exporter.getFinishedSpans() })),
    () =>
      Effect.sync(() => {
        Api.trace.disable()
        Api.context.disable()
      })
  )

/** What an instrumented library does. */
const library = async () => {
  await turn()
  const user = Api.propagation.getActiveBaggage()?.getEntry("user")?.value
  Api.trace.getTracer("library").startSpan("library").end()
  return user
}

const call = Effect.promise(library).pipe(
  Effect.withSpan("call"),
  Propagator.withRemoteParent({ baggage: "user=alice;private" })
)

describe("OpenTelemetry's active span", () => {
  it.live("is the Recorder's where plain code is called, and the baggage is there", () =>
    Effect.gen(function* () {
      const { spans, value } = yield* withOpenTelemetry(
        Effect.gen(function* () {
          const [trace] = yield* tracesOf(
            Effect.tap(call, (user) => Effect.sync(() => assert.strictEqual(user, "alice")))
          )
          return trace?.spans[0]
        })
      )
      assert.deepStrictEqual(
        spans.map(({ name, parentSpanContext }) => [name, parentSpanContext?.traceId, parentSpanContext?.spanId]),
        [["library", value?.traceId, value?.spanId]]
      )
    })
  )

  it.live("is the ambient provider's, so that spans of libraries nest under those of Effect", () =>
    Effect.gen(function* () {
      const { spans } = yield* withOpenTelemetry(Effect.provide(call, Tracing.layerAmbientWith({ context: "async" })))
      const [inner, outer] = ["library", "call"].map((name) => spans.find((span) => span.name === name))
      assert.isDefined(inner)
      assert.deepStrictEqual(inner?.parentSpanContext?.spanId, outer?.spanContext().spanId)
      const without = yield* withOpenTelemetry(Effect.provide(call, Tracing.layerAmbient))
      assert.isUndefined(without.spans.find(({ name }) => name === "library")?.parentSpanContext)
    })
  )

  it.live("has no baggage of a span that has ended, and keeps what somebody else has set", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const users: Array<string | undefined> = []
        const own = yield* Effect.context<never>()
        const asking = Effect.map(Effect.withSpan(Effect.promise(library), "request"), (user) => void users.push(user))
        let request: Promise<unknown> = Promise.resolve()
        const startup = Effect.promise(async () => {
          request = turn()
            .then(turn)
            .then(() => Effect.runPromiseWith(own)(asking))
        })
        yield* startup.pipe(Effect.withSpan("startup"), Propagator.withRemoteParent({ baggage: "user=starter" }))
        yield* Effect.promise(() => request)
        const theirs = Api.propagation.createBaggage({ user: { value: "theirs" } })
        const within = Api.propagation.setBaggage(Api.context.active(), theirs)
        yield* Effect.promise(() => Api.context.with(within, () => Effect.runPromiseWith(own)(asking)))
        return users
      }).pipe(Effect.provide(Tracing.layerAmbientWith({ context: "async" })))
      const { value } = yield* withOpenTelemetry(program)
      assert.deepStrictEqual(value, [undefined, "theirs"])
    })
  )

  it.live("is nobody's for what comes after the call", () =>
    Effect.gen(function* () {
      const { value } = yield* withOpenTelemetry(
        Effect.andThen(
          call,
          Effect.sync(() => Api.trace.getActiveSpan())
        ).pipe(Effect.provide(Tracing.layerAmbientWith({ context: "async" })))
      )
      assert.isUndefined(value)
      assert.isTrue(Option.isNone(yield* Effect.serviceOption(Memory.Spans)))
    })
  )
})
