import { assert, describe, it } from "@effect/vitest"
import { Cause, Console, Effect, Exit, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import * as Agent from "../src/Agent.ts"
import * as Correlation from "../src/Correlation.ts"
import type { SpanRecord } from "../src/SpanRecord.ts"
import { recorded } from "./recorded.ts"

const ids = { trace_id: "00000000000000000000000000000001", span_id: "0000000000000001" }

/** What a logger was given to log, by message. */
const structured = () => {
  const logs: Array<{ readonly message: unknown; readonly annotations: Record<string, unknown> }> = []
  const logger = Logger.map(
    Logger.formatStructured,
    ({ annotations, message }) => void logs.push({ message, annotations })
  )
  return { logs, logger }
}

/** The lines that a program wrote to the console. */
const lines = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const written: Array<string> = []
    const console: Console.Console = Object.assign(Object.create(globalThis.console), {
      log: (line: string) => void written.push(line)
    })
    yield* Effect.provideService(program, Console.Console, console)
    return written
  })

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
      yield* recorded(program).pipe(Effect.provide(Layer.provideMerge(Correlation.layer, Logger.layer([logger]))))
      assert.deepStrictEqual(logs, [
        { message: "before", annotations: {} },
        { message: "planning", annotations: { user: "ada", ...ids, agent: "planner" } },
        { message: "deeper", annotations: { user: "ada", ...ids, span_id: "0000000000000002", agent: "planner" } },
        {
          message: "no agent",
          annotations: { trace_id: "00000000000000000000000000000002", span_id: "0000000000000003" }
        }
      ])
    })
  )

  it.effect("keeps logs as events of spans, without ids they do not need", () =>
    Effect.gen(function* () {
      const program = Effect.withSpan(Effect.annotateLogs(Effect.log("hello"), "n", 1), "span")
      const { spans } = yield* recorded(program).pipe(Effect.provide(Correlation.layer))
      assert.deepStrictEqual(
        spans[0]?.events.map(({ attributes, name }) => [name, Object.keys(attributes)]),
        [["hello", ["n", "effect.fiberId", "effect.logLevel"]]]
      )
    })
  )

  it.effect("writes no field of an error that is logged on the span", () =>
    Effect.gen(function* () {
      const cause = Cause.fail({ _tag: "Denied", password: "hunter2" })
      const { spans } = yield* recorded(
        Effect.withSpan(Effect.logError("login failed", { try: 2 }, cause), "span")
      ).pipe(Effect.provide(Correlation.layer))
      assert.deepStrictEqual(
        spans[0]?.events.map(({ attributes, name }) => [
          name,
          attributes["effect.cause"],
          attributes["effect.logLevel"]
        ]),
        [['login failed {"try":2}', "error Denied", "ERROR"]]
      )
      assert.notInclude(JSON.stringify(spans[0]?.events.map((event) => event.attributes)), "hunter2")
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
      const { exit, spans } = yield* recorded(Effect.withSpan(program, "span")).pipe(Effect.provide(Correlation.layer))
      assert.isTrue(Exit.isSuccess(exit))
      assert.deepStrictEqual(
        spans[0]?.events.map(({ name }) => name),
        ["user !UNENCODABLE", "failed TypeError: refused"]
      )
    })
  )

  it.effect("tells the agent also where the trace is not recorded", () =>
    Effect.gen(function* () {
      const { logger, logs } = structured()
      const agent = Agent.make("planner", { run: () => Effect.withSpan(Effect.log("planning"), "step") })
      yield* recorded(Effect.withSpan(agent(), "root", { sampled: false })).pipe(
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
      const written = yield* lines(
        recorded(program).pipe(
          Effect.provide(Correlation.layerJson({ service: "erni-foto-agency", environment: "production" }))
        )
      )
      const shared = { service: "erni-foto-agency", environment: "production", timestamp: "2025-01-15T10:30:45.123Z" }
      assert.deepStrictEqual(
        written.map((line) => JSON.parse(line)),
        [
          { event: 'starting\nup {"photos":3}', ...shared },
          { event: "Processing image", ...ids, ...shared }
        ]
      )
      assert.isTrue(written.every((line) => !line.includes("\n")))
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
        let spans: ReadonlyArray<SpanRecord> = []
        const program = Effect.withSpan(Effect.log("hello"), "span")
        const written = yield* lines(
          Effect.map(recorded(program), (done) => {
            spans = done.spans
          }).pipe(Effect.provide(Layer.provideMerge(json, below)))
        )
        assert.deepStrictEqual(
          written.map((line) => [JSON.parse(line).event, JSON.parse(line).service]),
          [["hello", "s"]]
        )
        assert.deepStrictEqual(logs, [{ message: "hello", annotations: ids }])
        assert.deepStrictEqual(
          spans[0]?.events.map((event) => [event.name, Object.keys(event.attributes)]),
          [["hello", ["effect.fiberId", "effect.logLevel"]]]
        )
      }
    })
  )

  it.effect("escapes what a terminal could obey, so that the line is still the same JSON", () =>
    Effect.gen(function* () {
      const hostile = "\u009b2J\u202eevil\u2066\u007f\u001b[31m"
      const [line = ""] = yield* lines(
        Effect.log(hostile).pipe(Effect.provide(Correlation.layerJson({ service: "s", environment: "e" })))
      )
      assert.notMatch(line, /[\p{Cc}\p{Cf}]/u)
      assert.strictEqual(JSON.parse(line).event, hostile)
    })
  )

  it.effect("tells the cause of a log with its event", () =>
    Effect.gen(function* () {
      const [line] = yield* lines(
        Effect.logError("failed", Cause.fail("no light")).pipe(
          Effect.provide(Correlation.layerJson({ service: "s", environment: "e" }))
        )
      )
      assert.strictEqual(JSON.parse(line ?? "").event, "failed\nno light")
    })
  )
})
