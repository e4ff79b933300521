import { assert, describe, it } from "@effect/vitest"
import { Cause, Console, Effect, Exit, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import * as Agent from "../src/Agent.ts"
import * as Correlation from "../src/Correlation.ts"
import * as Memory from "../src/exporter/Memory.ts"
import * as Testing from "../src/Testing.ts"
import type * as TraceTree from "../src/TraceTree.ts"
import * as Tracing from "../src/Tracing.ts"

const { Tree, expectTrace } = Testing
const { handoff, span } = Tree

/** The ids of a span, as a log tells them. */
const idsOf = (trace: TraceTree.Trace, name: string) => {
  const [found, ...others] = Testing.spansNamed(trace, name)
  assert.deepStrictEqual(others, [])
  return { trace_id: trace.traceId, span_id: found?.spanId }
}

/** What a logger was given to log, by message. */
const structured = () => {
  const logs: Array<{ readonly message: unknown; readonly annotations: Record<string, unknown> }> = []
  const logger = Logger.map(
    Logger.formatStructured,
    ({ annotations, message }) => void logs.push({ message, annotations })
  )
  return { logs, logger }
}

/** What a program gives, and the lines that it wrote to the console. */
const written = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const console: Console.Console = Object.assign(Object.create(globalThis.console), {
      log: (line: string) => void lines.push(line)
    })
    const value = yield* Effect.provideService(program, Console.Console, console)
    return { lines, value }
  })

/** The trace of a program under some logging, and the lines that it wrote to the console. */
const printed = <A, E>(program: Effect.Effect<A, E>, logging: Layer.Layer<never>) =>
  Effect.map(written(Effect.provide(Testing.record(program), logging)), ({ lines, value }) => ({
    lines,
    trace: value.trace
  }))

describe("Correlation.layer", () => {
  it.effect("adds trace_id, span_id and agent to every log inside of a span, and nothing outside", () =>
    Effect.gen(function* () {
      const { logger, logs } = structured()
      const agent = Agent.make("planner", {
        run: () =>
          Effect.gen(function* () {
            yield* Effect.log("planning")
            yield* Effect.withSpan(Effect.log("deeper"), "step")
          })
      })
      const program = Effect.gen(function* () {
        yield* Effect.log("before")
        yield* Effect.annotateLogs(agent(), "user", "ada")
        yield* Effect.withSpan(Effect.log("no agent"), "plain")
      })
      const { traces } = yield* Testing.record(program).pipe(
        Effect.provide(Layer.provideMerge(Correlation.layer, Logger.layer([logger])))
      )
      assert.strictEqual(traces.length, 2)
      expectTrace(traces[0]!).toMatchTree(handoff("planner", [span("step")]))
      expectTrace(traces[1]!).toMatchTree(span("plain"))
      assert.deepStrictEqual<unknown>(logs, [
        { message: "before", annotations: {} },
        { message: "planning", annotations: { user: "ada", ...idsOf(traces[0]!, "planner"), agent: "planner" } },
        { message: "deeper", annotations: { user: "ada", ...idsOf(traces[0]!, "step"), agent: "planner" } },
        { message: "no agent", annotations: idsOf(traces[1]!, "plain") }
      ])
    })
  )

  it.effect("keeps logs as events of spans, without ids they do not need", () =>
    Effect.gen(function* () {
      const program = Effect.withSpan(Effect.annotateLogs(Effect.log("hello"), "n", 1), "span")
      const { trace } = yield* Testing.record(program).pipe(Effect.provide(Correlation.layer))
      expectTrace(trace).toMatchTree(
        span("span", { events: [{ name: "hello", attributes: Tree.only({ n: 1, "effect.logLevel": "INFO" }) }] })
      )
      // The kit leaves the fiber's number out, as it is another each time.
      const [recorded] = yield* Effect.andThen(
        program,
        Effect.flatMap(Memory.Spans, ({ all }) => all)
      ).pipe(Effect.provide(Tracing.layerInMemory))
      assert.deepStrictEqual(Object.keys(recorded?.events[0]?.attributes ?? {}), [
        "n",
        "effect.fiberId",
        "effect.logLevel"
      ])
    })
  )

  it.effect("writes no field of an error that is logged on the span", () =>
    Effect.gen(function* () {
      const cause = Cause.fail({ _tag: "Denied", password: "hunter2" })
      const { trace } = yield* Testing.record(
        Effect.withSpan(Effect.logError("login failed", { try: 2 }, cause), "span")
      ).pipe(Effect.provide(Correlation.layer))
      expectTrace(trace).toMatchTree(
        span("span", {
          events: [
            {
              name: 'login failed {"try":2}',
              attributes: Tree.only({ "effect.cause": "error Denied", "effect.logLevel": "ERROR" })
            }
          ]
        })
      )
    })
  )

  it.effect("survives what cannot be read, and writes no field of an error that is logged as a message", () =>
    Effect.gen(function* () {
      const hostile = {
        get boom(): never {
          throw new Error("no")
        }
      }
      const error = Object.assign(new TypeError("refused"), { apiKey: "sk-secret" })
      const program = Effect.andThen(Effect.log("user", hostile), Effect.logError("failed", error))
      const { exit, trace } = yield* Testing.record(Effect.withSpan(program, "span")).pipe(
        Effect.provide(Correlation.layer)
      )
      assert.isTrue(Exit.isSuccess(exit))
      expectTrace(trace).toMatchTree(
        span("span", { events: ['user {"boom":"!UNENCODABLE"}', "failed TypeError: refused"] })
      )
    })
  )

  it.effect("tells the agent also where the trace is not recorded", () =>
    Effect.gen(function* () {
      const { logger, logs } = structured()
      const agent = Agent.make("planner", { run: () => Effect.withSpan(Effect.log("planning"), "step") })
      yield* Testing.record(Effect.withSpan(agent(), "root", { sampled: false })).pipe(
        Effect.provide(Layer.provideMerge(Correlation.layer, Logger.layer([logger])))
      )
      assert.strictEqual(logs[0]?.annotations["agent"], "planner")
    })
  )

  it.effect("tells no ids that mean nothing, while tracing is off", () =>
    Effect.gen(function* () {
      const { logger, logs } = structured()
      yield* Effect.withTracerEnabled(Effect.withSpan(Effect.log("off"), "span"), false).pipe(
        Effect.provide(Layer.provideMerge(Correlation.layer, Logger.layer([logger])))
      )
      assert.deepStrictEqual(logs, [{ message: "off", annotations: {} }])
    })
  )
})

describe("Correlation.layerJson", () => {
  it.effect("logs one record a line with exactly the six keys, without ids outside of spans", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.UTC(2025, 0, 15, 10, 30, 45, 123))
      const agent = Agent.make("vision", { run: () => Effect.log("Processing image") })
      const program = Effect.andThen(Effect.log("starting\nup", { photos: 3 }), agent())
      const { lines, trace } = yield* printed(
        program,
        Correlation.layerJson({ service: "erni-foto-agency", environment: "production" })
      )
      const shared = { service: "erni-foto-agency", environment: "production", timestamp: "2025-01-15T10:30:45.123Z" }
      assert.deepStrictEqual<unknown>(
        lines.map((line) => JSON.parse(line)),
        [
          { event: 'starting\nup {"photos":3}', ...shared },
          { event: "Processing image", ...idsOf(trace, "vision"), ...shared }
        ]
      )
      assert.isTrue(lines.every((line) => !line.includes("\n")))
    })
  )

  it.effect("takes the place of Effect's console loggers alone, and is there once", () =>
    Effect.gen(function* () {
      const { logger, logs } = structured()
      const json = Correlation.layerJson({ service: "s", environment: "e" })
      const consoles = [Logger.defaultLogger, Logger.consoleJson, Logger.consoleLogFmt, Logger.consoleStructured]
      for (const below of [
        Logger.layer([...consoles, logger, Logger.tracerLogger]),
        Logger.layer([logger, Logger.tracerLogger]),
        Layer.provideMerge(Correlation.layer, Logger.layer([Logger.defaultLogger, logger, Logger.tracerLogger])),
        Layer.provideMerge(
          Correlation.layerJson({ service: "outer", environment: "e" }),
          Logger.layer([logger, Logger.tracerLogger])
        )
      ]) {
        logs.length = 0
        const program = Effect.withSpan(Effect.log("hello"), "span")
        const { lines, trace } = yield* printed(program, Layer.provideMerge(json, below))
        assert.deepStrictEqual(
          lines.map((line) => [JSON.parse(line).event, JSON.parse(line).service]),
          [["hello", "s"]]
        )
        assert.deepStrictEqual<unknown>(logs, [{ message: "hello", annotations: idsOf(trace, "span") }])
        expectTrace(trace).toMatchTree(
          span("span", { events: [{ name: "hello", attributes: Tree.only({ "effect.logLevel": "INFO" }) }] })
        )
      }
    })
  )

  it.effect("escapes what a terminal could obey, so that the line is still the same JSON", () =>
    Effect.gen(function* () {
      const hostile = "\u009b2J\u202eevil\u2066\u007f\u001b[31m"
      const { lines } = yield* written(
        Effect.log(hostile).pipe(Effect.provide(Correlation.layerJson({ service: "s", environment: "e" })))
      )
      const [line = ""] = lines
      assert.notMatch(line, /[\p{Cc}\p{Cf}]/u)
      assert.strictEqual(JSON.parse(line).event, hostile)
    })
  )

  it.effect("tells the cause of a log with its event", () =>
    Effect.gen(function* () {
      const { lines } = yield* written(
        Effect.logError("failed", Cause.fail("no light")).pipe(
          Effect.provide(Correlation.layerJson({ service: "s", environment: "e" }))
        )
      )
      const [line] = lines
      assert.strictEqual(JSON.parse(line ?? "").event, "failed\nno light")
    })
  )
})
