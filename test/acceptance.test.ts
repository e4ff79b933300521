// What a team needs of tracing before it puts it into its agents, from configuration to propagation: each group once, from
// outside. What each module does in every case is in its own suite.
import { assert, describe, it } from "@effect/vitest"
import { Console, Duration, Effect, Exit, Layer, Logger, Option, Result, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Agent from "../src/Agent.ts"
import * as Correlation from "../src/Correlation.ts"
import * as Delivery from "../src/Delivery.ts"
import * as Exporter from "../src/Exporter.ts"
import * as Memory from "../src/exporter/Memory.ts"
import * as Instrument from "../src/Instrument.ts"
import * as Pipeline from "../src/Pipeline.ts"
import * as Propagator from "../src/Propagator.ts"
import * as Settings from "../src/Settings.ts"
import type { SpanRecord } from "../src/SpanRecord.ts"
import * as Testing from "../src/Testing.ts"
import * as TraceTree from "../src/TraceTree.ts"
import * as Tracing from "../src/Tracing.ts"
import * as Receiver from "./receiver.ts"

const { Tree, expectTrace } = Testing
const { handoff, pipeline, span } = Tree

const vision = Agent.make("vision", {
  handoffType: "vision_analysis",
  run: (photo: string) => Effect.withSpan(Effect.succeed(`a picture of ${photo}`), "look")
})
const agency = Pipeline.make("agency", vision)
const agencyTree = pipeline("agency", {
  status: "ok",
  children: [handoff("vision", { status: "ok", children: [span("look", { status: "ok" })] })]
})

/** What the process is told of tracing, until the test ends: these variables, and none of the machine's own. */
const environment = (variables: Readonly<Record<string, string>>) => {
  const known = Object.values<{ readonly variables: ReadonlyArray<{ readonly name: string }> }>(Settings.table)
  const names = new Set(known.flatMap((row) => row.variables.map(({ name }) => name)))
  const set = (values: Readonly<Record<string, string | undefined>>) =>
    Effect.sync(() => {
      for (const name of names) {
        if (values[name] === undefined) delete process.env[name]
        else process.env[name] = values[name]
      }
    })
  return Effect.acquireRelease(
    Effect.andThen(
      Effect.sync(() => ({ ...process.env })),
      (before) => Effect.as(set(variables), before)
    ),
    set
  )
}

/** An exporter that keeps its spans, and what it was asked for. */
const keeper = (name = "keeper", refusal?: Exporter.ExportError) => {
  const calls: Array<string> = []
  const spans: Array<SpanRecord> = []
  const called = (call: string) => Effect.sync(() => void calls.push(call))
  const exporter = Exporter.make({
    name,
    export: (batch) => {
      if (refusal !== undefined) return refusal
      spans.push(...batch)
      return called("export")
    },
    flush: called("flush"),
    shutdown: called("shutdown")
  })
  return { calls, exporter, traces: () => TraceTree.fromSpans(spans) }
}

/** The trace, where there is just one. */
const theOnly = (traces: ReadonlyArray<TraceTree.Trace>): TraceTree.Trace => {
  assert.strictEqual(traces.length, 1)
  return traces[0]!
}

describe("configuration", () => {
  it("has defaults that a first run can do with", () => {
    const settings = Result.getOrThrow(Settings.fromRecord({}))
    const { enabled, environment: place, exporters, otlpEndpoint, serviceName } = settings
    assert.deepStrictEqual<unknown>(
      { enabled, exporters, otlpEndpoint, serviceName, place },
      {
        enabled: { value: true, source: "default" },
        exporters: { value: ["console"], source: "default" },
        otlpEndpoint: { value: "http://localhost:4318/v1/traces", source: "default" },
        serviceName: { value: "unknown_service", source: "default" },
        place: { value: "production", source: "default" }
      }
    )
  })

  it.effect("comes from the environment, and every value tells from where", () =>
    Effect.gen(function* () {
      yield* environment({ ENABLE_TRACING: "false", OTLP_ENDPOINT: "http://jaeger:4317", ENVIRONMENT: "staging" })
      const { enabled, environment: place, exporters, otlpEndpoint } = yield* Settings.fromEnv()
      assert.deepStrictEqual<unknown>(
        { enabled, exporters, otlpEndpoint, place },
        {
          enabled: { value: false, source: "ENABLE_TRACING" },
          exporters: { value: ["otlp"], source: "default" },
          otlpEndpoint: { value: "http://jaeger:4317/v1/traces", source: "OTLP_ENDPOINT" },
          place: { value: "staging", source: "ENVIRONMENT" }
        }
      )
    })
  )

  it.effect("counts more from code than from the environment, and both describe the service on every span", () =>
    Effect.gen(function* () {
      yield* environment({ OTEL_SERVICE_NAME: "photos", OTEL_SERVICE_VERSION: "1.0.0", ENVIRONMENT: "staging" })
      const spans = yield* Effect.andThen(agency("cats"), Effect.serviceOption(Memory.Spans)).pipe(
        Effect.flatMap((memory) => Option.getOrThrow(memory).all),
        Effect.provide(Tracing.layerFromEnvWith({ exporters: ["in_memory"], environment: "test" }))
      )
      expectTrace(theOnly(TraceTree.fromSpans(spans))).toMatchTree(agencyTree)
      for (const { resource } of spans) {
        const { attributes } = resource
        assert.deepStrictEqual(
          ["service.name", "service.version", "deployment.environment"].map((key) => attributes[key]),
          ["photos", "1.0.0", "test"]
        )
      }
    })
  )

  it.effect("does not start with values that are not allowed, and names all of them at once", () =>
    Effect.gen(function* () {
      yield* environment({ ENABLE_TRACING: "maybe", OTLP_ENDPOINT: "ftp://jaeger" })
      let hasRun = false
      const program = Effect.sync(() => {
        hasRun = true
      })
      const error = yield* Effect.flip(Effect.provide(program, Tracing.layerFromEnv))
      assert.match(
        error.message,
        /^ENABLE_TRACING: "maybe" is not allowed: .*\nOTLP_ENDPOINT: "ftp:\/\/jaeger" is not /
      )
      assert.isFalse(hasRun)
    })
  )
})

describe("lifecycle", () => {
  it.effect("gives every span to every exporter, then flushes and shuts each of them down once", () =>
    Effect.gen(function* () {
      const [one, two] = [keeper("one"), keeper("two")]
      yield* agency("cats").pipe(Effect.provide(Tracing.layer({ exporters: [one.exporter, two.exporter] })))
      for (const { calls, traces } of [one, two]) {
        expectTrace(theOnly(traces())).toMatchTree(agencyTree)
        assert.deepStrictEqual(calls, ["export", "flush", "shutdown"])
      }
    })
  )

  it.effect("shuts down once, however often its scope is closed", () =>
    Effect.gen(function* () {
      const { calls, exporter, traces } = keeper()
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Tracing.layer({ exporters: [exporter] }), scope)
      yield* Effect.provide(agency("cats"), context)
      yield* Scope.close(scope, Exit.void)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(calls, ["export", "flush", "shutdown"])
      expectTrace(theOnly(traces())).toMatchTree(agencyTree)
    })
  )

  it.effect("flushes when it is asked to, and goes on", () =>
    Effect.gen(function* () {
      const { calls, exporter, traces } = keeper()
      const program = Effect.gen(function* () {
        yield* agency("cats")
        yield* (yield* Delivery.Deliveries).flush
        assert.notInclude(calls, "shutdown")
        expectTrace(theOnly(traces())).toMatchTree(agencyTree)
        yield* agency("dogs")
      })
      yield* Effect.provide(program, Tracing.layer({ exporters: [exporter] }))
      assert.strictEqual(traces().length, 2)
    })
  )

  it.effect("ends at shutdown what nobody has ended, and takes nothing after it, and the program does not notice", () =>
    Effect.gen(function* () {
      const { exporter, traces } = keeper()
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Tracing.layer({ exporters: [exporter] }), scope)
      yield* Effect.provide(Effect.makeSpan("forgotten"), context)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* Effect.provide(agency("cats"), context), "a picture of cats")
      yield* TestClock.adjust("1 hour")
      expectTrace(theOnly(traces())).toMatchTree(
        span("forgotten", { attributes: Tree.only({ "handspan.abandoned": "shutdown" }) })
      )
    })
  )

  it.effect("lets the program and the other exporters be where one exporter refuses all", () =>
    Effect.gen(function* () {
      const { exporter, traces } = keeper()
      const refusal = new Exporter.ExportError({ exporter: "bad", message: "no", retryable: false, refused: 3 })
      const bad = keeper("bad", refusal)
      const program = Effect.gen(function* () {
        const answer = yield* agency("cats")
        const deliveries = yield* Delivery.Deliveries
        yield* deliveries.flush
        return { answer, ledgers: yield* deliveries.ledgers }
      })
      const layer = Tracing.layer({ exporters: [bad.exporter, exporter] })
      const { answer, ledgers } = yield* Effect.provide(program, Layer.provideMerge(layer, Logger.layer([])))
      assert.strictEqual(answer, "a picture of cats")
      assert.deepStrictEqual(
        ledgers.map(({ dropped, exported, exporter }) => [exporter, exported, dropped.refused]),
        [
          ["bad", 0, 3],
          ["keeper", 3, 0]
        ]
      )
      expectTrace(theOnly(traces())).toMatchTree(agencyTree)
    })
  )

  it.effect("begins anew each time, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const run = Effect.gen(function* () {
        yield* agency("cats")
        return TraceTree.fromSpans(yield* (yield* Memory.Spans).all)
      }).pipe(Effect.provide(Tracing.layerInMemory))
      const [first, second] = [theOnly(yield* run), theOnly(yield* run)]
      expectTrace(first).toMatchTree(agencyTree)
      expectTrace(second).toMatchTree(agencyTree)
      assert.notStrictEqual(first.traceId, second.traceId)
    })
  )

  it.live("sends by OTLP to where the environment says, before the program has ended", () =>
    Effect.gen(function* () {
      const receiver = yield* Receiver.open()
      yield* environment({ ENABLE_TRACING: "true", HANDSPAN_EXPORTER: "otlp", HANDSPAN_OTLP_ENDPOINT: receiver.base })
      yield* Effect.provide(agency("cats"), Tracing.layerFromEnv)
      expectTrace(theOnly(TraceTree.fromSpans(receiver.requests.flatMap(Receiver.spansOf)))).toMatchTree(agencyTree)
    })
  )

  it.live("records and sends nothing where tracing is off, and the program is the same", () =>
    Effect.gen(function* () {
      const receiver = yield* Receiver.open()
      yield* environment({ ENABLE_TRACING: "false", HANDSPAN_EXPORTER: "otlp", HANDSPAN_OTLP_ENDPOINT: receiver.base })
      const program = Effect.gen(function* () {
        const answer = yield* agency("cats")
        const deliveries = yield* Delivery.Deliveries
        yield* deliveries.flush
        return [answer, yield* deliveries.ledgers]
      })
      assert.deepStrictEqual(yield* Effect.provide(program, Tracing.layerFromEnv), ["a picture of cats", []])
      assert.deepStrictEqual(receiver.requests, [])
    })
  )

  it.live("lets the program end well where there is no receiver, within the deadline", () =>
    Effect.gen(function* () {
      const layer = Tracing.layerOtlp({ otlpEndpoint: "http://127.0.0.1:9", shutdownTimeout: Duration.millis(100) })
      const program = Effect.provide(agency("cats"), Layer.provideMerge(layer, Logger.layer([])))
      assert.deepStrictEqual(yield* Effect.timeoutOption(program, "3 seconds"), Option.some("a picture of cats"))
    })
  )
})

describe("wrappers", () => {
  /** Runs plain code with an Instrument inside of an agent. */
  const inAgent = <A>(code: (instrument: Instrument.Instrument) => A | Promise<A>) => {
    const run = () => Effect.flatMap(Instrument.make, (instrument) => Effect.promise(async () => code(instrument)))
    return Testing.record(Agent.make("worker", { run })())
  }
  const worker = (...children: ReadonlyArray<Testing.Tree.Expected>) => handoff("worker", { status: "ok", children })

  it.effect("record a call of a sync function under the name that was given, inside of the handoff", () =>
    Effect.gen(function* () {
      const { exit, trace } = yield* inAgent(({ traceSpan }) => traceSpan("resize")((n: number) => n / 2)(8))
      assert.deepStrictEqual(exit, Exit.succeed(4))
      expectTrace(trace).toMatchTree(worker(span("resize", { status: "ok", attributes: Tree.only({}) })))
    })
  )

  it.effect("record a call of an async function to its end, and what it calls inside of it", () =>
    Effect.gen(function* () {
      const { exit, trace } = yield* inAgent(({ traceSpan }) => {
        const decode = traceSpan("decode")(async (bytes: number) => bytes * 2)
        return traceSpan("download")(async (bytes: number) => decode(await Promise.resolve(bytes)))(4)
      })
      assert.deepStrictEqual(exit, Exit.succeed(8))
      expectTrace(trace).toMatchTree(worker(span("download", { status: "ok", children: [span("decode")] })))
    })
  )

  it.effect("put attributes on the span: what is always so, or what the arguments say", () =>
    Effect.gen(function* () {
      const { trace } = yield* inAgent(({ traceSpan }) => {
        traceSpan("always", { component: "vision" })(() => 1)()
        traceSpan("each", (photo: string, width: number) => ({ photo, width }))((_: string, width: number) => width)(
          "a.jpg",
          640
        )
      })
      expectTrace(trace).toMatchTree(
        worker(
          span("always", { attributes: Tree.only({ component: "vision" }) }),
          span("each", { attributes: Tree.only({ photo: "a.jpg", width: 640 }) })
        )
      )
    })
  )

  it.effect("record what is thrown or rejected with type, message and stack, and throw the very same", () =>
    Effect.gen(function* () {
      const error = new RangeError("too dark")
      const { exit, trace } = yield* inAgent(async ({ traceSpan }) => {
        const caught: Array<unknown> = []
        try {
          traceSpan("sync")(() => {
            throw error
          })()
        } catch (thrown) {
          caught.push(thrown)
        }
        await traceSpan("async")(async () => {
          throw error
        })().catch((rejected: unknown) => caught.push(rejected))
        return caught.map((one) => one === error)
      })
      assert.deepStrictEqual(exit, Exit.succeed([true, true]))
      const failed = {
        status: { error: "too dark" },
        attributes: Tree.only({ "error.type": "RangeError" }),
        events: [
          {
            name: "exception",
            attributes: Tree.only({
              "exception.type": "RangeError",
              "exception.message": "too dark",
              "exception.stacktrace": "RangeError: too dark"
            })
          }
        ]
      }
      expectTrace(trace).toMatchTree(worker(span("sync", failed), span("async", failed)))
    })
  )

  it.effect("of agents name the span after the agent, and tell what is handed off, by what and to whom", () =>
    Effect.gen(function* () {
      const extractor = Agent.make("schema_extractor", {
        handoffType: "schema_extraction",
        run: function extract(fields: number) {
          return Effect.succeed(fields)
        }
      })
      const { trace } = yield* Testing.record(extractor(3))
      expectTrace(trace).toMatchTree(
        span("agent_handoff.schema_extractor", {
          kind: "internal",
          status: "ok",
          attributes: Tree.only({
            agent: "schema_extractor",
            handoff_type: "schema_extraction",
            "function.name": "extract",
            "gen_ai.agent.name": "schema_extractor",
            "gen_ai.operation.name": "invoke_agent",
            "handspan.agent.kind": "service",
            "handspan.handoff.from": "root",
            "handspan.handoff.to": "schema_extractor",
            "handspan.handoff.attempts": 1
          }),
          events: [],
          links: []
        })
      )
    })
  )
})

describe("logging", () => {
  const talker = Agent.make("talker", {
    run: () => Effect.andThen(Effect.log("hello"), Effect.withSpan(Effect.log("deeper"), "step"))
  })

  /** What a logger is given, by message. */
  const annotations = <A, E, R>(program: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      const logs: Array<readonly [message: unknown, annotations: Record<string, unknown>]> = []
      const logger = Logger.map(
        Logger.formatStructured,
        ({ annotations, message }) => void logs.push([message, annotations])
      )
      yield* Effect.provide(program, Layer.provideMerge(Correlation.layer, Logger.layer([logger])))
      return logs
    })

  it.effect("carries the ids of the very span that it stands in, and its agent", () =>
    Effect.gen(function* () {
      const recorded = Testing.record(talker())
      let trace: TraceTree.Trace | undefined
      const logs = yield* annotations(Effect.map(recorded, (done) => (trace = done.trace)))
      assert.isDefined(trace)
      expectTrace(trace).toMatchTree(handoff("talker", [span("step")]))
      const idsOf = (name: string) => {
        const [found] = Testing.spansNamed(trace!, name)
        return { trace_id: found?.traceId, span_id: found?.spanId, agent: "talker" }
      }
      assert.deepStrictEqual<unknown>(logs, [
        ["hello", idsOf("talker")],
        ["deeper", idsOf("step")]
      ])
    })
  )

  it.effect("carries no ids outside of spans, nor where tracing is off", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* annotations(Effect.log("before")), [["before", {}]])
      const off = yield* annotations(Effect.withTracerEnabled(Effect.withSpan(Effect.log("off"), "span"), false))
      assert.deepStrictEqual(off, [["off", {}]])
    })
  )

  it.effect("stays one line of valid JSON with ids, whatever is logged", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const console: Console.Console = Object.assign(Object.create(globalThis.console), {
        log: (line: string) => void lines.push(line)
      })
      const event = 'two\nlines, "quotes", \u001b[31mred\u001b[0m, \u2028, \u202e and half of a pair \ud83d'
      const { trace } = yield* Testing.record(Effect.withSpan(Effect.log(event), "work")).pipe(
        Effect.provide(Correlation.layerJson({ service: "photos", environment: "test" })),
        Effect.provideService(Console.Console, console)
      )
      const [{ spanId, traceId }] = trace.spans as [SpanRecord]
      assert.strictEqual(lines.length, 1)
      assert.notMatch(lines[0]!, /[\p{Cc}\p{Cf}\p{Zl}]/u)
      assert.deepStrictEqual(JSON.parse(lines[0]!), {
        event,
        trace_id: traceId,
        span_id: spanId,
        service: "photos",
        environment: "test",
        timestamp: "1970-01-01T00:00:00.000Z"
      })
    })
  )
})

const textOf = async (url: string, headers: Record<string, string>): Promise<string> =>
  (await fetch(url, { headers })).text()

describe("propagation", () => {
  const look = Agent.make("look", { run: () => Effect.succeed("a cat") })

  it.live("joins what runs on both sides of an HTTP request into one trace", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        // Taken outside of the caller's span: only the headers tell the handler of it.
        const context = yield* Effect.context<never>()
        const server = yield* Receiver.serve((request, response) => {
          const handled = look().pipe(
            Effect.withSpan("handler", { kind: "server" }),
            Propagator.withRemoteParent(request.headers)
          )
          void Effect.runPromiseWith(context)(handled).then((answer) => response.end(answer))
        })
        const caller = Agent.make("caller", {
          run: () =>
            Effect.flatMap(Propagator.inject({ accept: "text/plain" }), (headers) =>
              Effect.promise(() => textOf(server.base, headers))
            )
        })
        return yield* caller()
      })
      const { exit, trace } = yield* Testing.record(Effect.scoped(program), { clock: "live" })
      assert.deepStrictEqual(exit, Exit.succeed("a cat"))
      expectTrace(trace).toMatchTree(
        handoff("caller", [span("handler", { kind: "server", status: "ok", children: [handoff("look")] })])
      )
    })
  )

  it.effect("continues the trace of a caller that recorded elsewhere, below the caller's own span", () =>
    Effect.gen(function* () {
      const caller = yield* Testing.record(Effect.withSpan(Propagator.inject(), "caller"))
      const headers = yield* caller.exit
      const callee = yield* Testing.record(look().pipe(Propagator.withRemoteParent(headers)))
      assert.strictEqual(callee.trace.traceId, caller.trace.traceId)
      const [both] = TraceTree.fromSpans([...callee.trace.spans, ...caller.trace.spans])
      expectTrace(both!).toMatchTree(span("caller", [handoff("look")]))
      assert.isTrue(callee.trace.spans[0]?.parentIsRemote)
    })
  )

  it.effect("passes a service where tracing is off, and the trace is still one", () =>
    Effect.gen(function* () {
      const silent = (headers: Propagator.Carrier) =>
        Effect.withSpan(Propagator.inject(), "silent").pipe(
          Propagator.withRemoteParent(headers),
          Effect.withTracerEnabled(false)
        )
      const { trace } = yield* Testing.record(
        Effect.gen(function* () {
          const headers = yield* Effect.withSpan(Propagator.inject(), "caller")
          yield* look().pipe(Propagator.withRemoteParent(yield* silent(headers)))
        })
      )
      expectTrace(trace).toMatchTree(span("caller", [handoff("look")]))
    })
  )
})
