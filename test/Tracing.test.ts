import { assert, describe, it } from "@effect/vitest"
import { Console, Duration, Effect, Exit, Layer, Logger, Option, Tracer } from "effect"
import { TestClock } from "effect/testing"
import { readFileSync } from "node:fs"
import * as Agent from "../src/Agent.ts"
import * as Delivery from "../src/Delivery.ts"
import * as Exporter from "../src/Exporter.ts"
import * as Memory from "../src/exporter/Memory.ts"
import * as Instrument from "../src/Instrument.ts"
import * as Pipeline from "../src/Pipeline.ts"
import * as Settings from "../src/Settings.ts"
import * as TraceContext from "../src/TraceContext.ts"
import * as Propagator from "../src/Propagator.ts"
import * as Tracing from "../src/Tracing.ts"

const hello = Agent.make("hello", {
  run: (name: string) => Effect.as(Effect.log(`greeting ${name}`), `Hello, ${name}`)
})
const greet = Pipeline.make("greet", Pipeline.forEach(hello))

/** An exporter that keeps names. */
const named = (name: string) => {
  const names: Array<string> = []
  return {
    names,
    exporter: Exporter.make({
      name,
      export: (spans) => Effect.sync(() => void names.push(...spans.map((span) => span.name)))
    })
  }
}

/** What a program writes to the console, by stream. */
const captured = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const stdout: Array<string> = []
    const stderr: Array<string> = []
    const console: Console.Console = Object.assign(Object.create(globalThis.console), {
      log: (text: string) => void stdout.push(text),
      error: (text: string) => void stderr.push(text)
    })
    const exit = yield* Effect.exit(Effect.provideService(program, Console.Console, console))
    return { exit, stdout: stdout.join("\n"), stderr: stderr.join("\n") }
  })

describe("Tracing.layer", () => {
  it.effect("gives every span to every exporter, and flushes when the program ends", () =>
    Effect.gen(function* () {
      const one = named("one")
      const two = named("two")
      yield* greet(["Ada"]).pipe(Effect.provide(Tracing.layer({ exporters: [one.exporter, two.exporter] })))
      assert.deepStrictEqual(one.names, ["agent_handoff.hello", "pipeline.greet"])
      assert.deepStrictEqual(two.names, one.names)
    })
  )

  it.effect("is not held up by an exporter that hangs: one deadline for all", () =>
    Effect.gen(function* () {
      const good = named("good")
      const hanging = Exporter.make({ name: "hanging", export: () => Effect.never })
      const layer = Tracing.layer({
        exporters: [hanging, good.exporter, hanging],
        shutdownTimeout: Settings.table.shutdownTimeout.default
      })
      const fiber = yield* Effect.forkChild(Effect.provide(greet(["Ada"]), layer))
      yield* TestClock.adjust("5 seconds")
      assert.isDefined(fiber.pollUnsafe())
      assert.deepStrictEqual(good.names, ["agent_handoff.hello", "pipeline.greet"])
    })
  )

  it.effect("flushes after an interruption too", () =>
    Effect.gen(function* () {
      const { exporter, names } = named("one")
      const sleeper = Agent.make("sleeper", { run: () => Effect.never })
      yield* sleeper().pipe(
        Effect.provide(Tracing.layer({ exporters: [exporter] })),
        Effect.timeoutOption("1 seconds"),
        Effect.forkChild
      )
      yield* TestClock.adjust("1 seconds")
      assert.deepStrictEqual(names, ["agent_handoff.sleeper"])
    })
  )

  it.effect("puts the resource on every span: service, version, environment, own attributes, and this SDK", () =>
    Effect.gen(function* () {
      const records: Array<unknown> = []
      const exporter = Exporter.make({
        name: "resources",
        export: (spans) => Effect.sync(() => void records.push(...spans.map((span) => span.resource.attributes)))
      })
      const layer = Tracing.layer({
        exporters: [exporter],
        serviceName: "erni-foto-agency",
        serviceVersion: "1.0.0",
        environment: "staging",
        resourceAttributes: { team: "photo" }
      })
      yield* Effect.provide(hello("Ada"), layer)
      assert.deepStrictEqual(records, [
        {
          "telemetry.sdk.name": "handspan",
          "telemetry.sdk.language": "nodejs",
          "telemetry.sdk.version": JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"))
            .version,
          team: "photo",
          "service.name": "erni-foto-agency",
          "service.version": "1.0.0",
          "deployment.environment": "staging",
          "deployment.environment.name": "staging"
        }
      ])
    })
  )

  it.effect("ties logs to spans, as annotations or as JSON records", () =>
    Effect.gen(function* () {
      const { exporter } = named("one")
      const annotations: Array<ReadonlyArray<string>> = []
      const logger = Logger.map(Logger.formatStructured, (log) => void annotations.push(Object.keys(log.annotations)))
      yield* hello("Ada").pipe(
        Effect.provide(Layer.provideMerge(Tracing.layer({ exporters: [exporter] }), Logger.layer([logger])))
      )
      assert.deepStrictEqual(annotations, [["trace_id", "span_id", "agent"]])

      const json = yield* captured(
        hello("Ada").pipe(Effect.provide(Tracing.layer({ exporters: [exporter], logFormat: "json", serviceName: "s" })))
      )
      assert.deepStrictEqual(Object.keys(JSON.parse(json.stdout)), [
        "event",
        "trace_id",
        "span_id",
        "service",
        "environment",
        "timestamp"
      ])
    })
  )
})

describe("Tracing.layerInMemory", () => {
  it.effect("has every span that ended, at once, and starts empty each time", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        yield* greet(["Ada", "Grace"])
        const spans = yield* Memory.Spans
        return (yield* spans.all).map((span) => span.name)
      }).pipe(Effect.provide(Tracing.layerInMemory))
      const names = ["agent_handoff.hello", "agent_handoff.hello", "pipeline.greet"]
      assert.deepStrictEqual(yield* program, names)
      assert.deepStrictEqual(yield* program, names)
    })
  )
})

describe("Memory.Spans", () => {
  it.effect("does not wait for other exporters", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        yield* hello("Ada")
        return (yield* (yield* Memory.Spans).all).length
      })
      // The console takes what it is given at once; only its flush would print what is not whole yet.
      const { exit, stderr } = yield* captured(
        Effect.gen(function* () {
          const spans = yield* Effect.serviceOption(Memory.Spans)
          yield* Effect.withSpan(hello("Ada"), "open")
          return Option.isSome(spans) ? (yield* spans.value.all).length : 0
        }).pipe(
          Effect.withSpan("root"),
          Effect.provide(Tracing.layerFromEnvWith({ exporters: ["console", "in_memory"] }))
        )
      )
      assert.deepStrictEqual(exit, Exit.succeed(2))
      assert.notInclude(stderr, "incomplete")
      assert.strictEqual(yield* Effect.provide(program, Tracing.layerInMemory), 1)
    })
  )
})

describe("Tracing.layerConsole", () => {
  it.effect("prints a tree on stderr, so that stdout stays the program's", () =>
    Effect.gen(function* () {
      const { stderr, stdout } = yield* captured(
        greet(["Ada"]).pipe(Effect.provide(Tracing.layerConsole({ logFormat: "none" })))
      )
      assert.include(stderr, "pipeline.greet")
      assert.include(stderr, "agent_handoff.hello")
      assert.notInclude(stdout, "agent_handoff.hello")
    })
  )

  it.effect("prints the formats that are asked for", () =>
    Effect.gen(function* () {
      const print = (format: "line" | "trace" | "continuum" | "json") =>
        Effect.map(
          captured(hello("Ada").pipe(Effect.provide(Tracing.layerConsole({ format, output: "stdout" })))),
          ({ stdout }) => stdout.split("\n").find((line) => line.includes("agent_handoff.hello")) ?? stdout
        )
      assert.match(
        yield* print("trace"),
        /^\[TRACE\] agent_handoff\.hello \| trace_id=[0-9a-f]{32} \| span_id=[0-9a-f]{16} \| duration=0\.00ms \| \{'gen_ai/
      )
      assert.strictEqual(yield* print("continuum"), "TRACE: agent_handoff.hello (0.000-0.000) status=OK")
      assert.deepStrictEqual(Object.keys(JSON.parse(yield* print("json"))), ["resourceSpans"])
      assert.match(yield* print("line"), /agent_handoff\.hello/)
    })
  )
})

describe("Tracing.layerNoop", () => {
  it.effect("runs the program as it is, with real ids that are unsampled, and wrappers that do nothing", () =>
    Effect.gen(function* () {
      const f = () => 1
      const program = Effect.gen(function* () {
        const { traceSpan } = yield* Instrument.make
        const context = yield* Effect.withSpan(Effect.map(Effect.currentSpan, TraceContext.fromSpan), "span")
        return { greeting: yield* hello("Ada"), same: traceSpan("f")(f) === f, context }
      })
      const { context, greeting, same } = yield* Effect.provide(program, Tracing.layerNoop)
      assert.deepStrictEqual({ greeting, same }, { greeting: "Hello, Ada", same: true })
      assert.strictEqual(context?.flags, TraceContext.flagRandom)
    })
  )
})

describe("Tracing.layerNoop, between others", () => {
  it.effect("leaves no gap: whoever it calls goes on with its caller's span", () =>
    Effect.gen(function* () {
      const caller = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03", tracestate: "vendor=1" }
      const work = Effect.withSpan(Propagator.inject(), "work")
      const served = Propagator.receive(caller, { name: "serve", kind: "server" })(work)
      const told = yield* Effect.provide(served, Tracing.layerNoop)
      assert.deepStrictEqual(told, caller)
      const explicit = Effect.flatMap(Effect.currentSpan, (parent) =>
        Effect.withSpan(Propagator.inject(), "c", { parent })
      )
      const inside = Propagator.receive(caller, { name: "serve", kind: "server" })(Effect.withSpan(explicit, "work"))
      assert.deepStrictEqual(yield* Effect.provide(inside, Tracing.layerNoop), caller)
      const own = yield* Effect.provide(Effect.withSpan(Propagator.inject(), "root"), Tracing.layerNoop)
      assert.match(own["traceparent"] ?? "", /^00-[0-9a-f]{32}-[0-9a-f]{16}-02$/)
    })
  )
})

describe("Tracing.layerFromEnv", () => {
  const spansOf = (options: Parameters<typeof Tracing.layerFromEnvWith>[0]) =>
    Effect.gen(function* () {
      yield* hello("Ada")
      const spans = yield* Effect.serviceOption(Memory.Spans)
      return Option.isNone(spans) ? undefined : (yield* spans.value.all).length
    }).pipe(Effect.provide(Tracing.layerFromEnvWith(options)))

  it.effect("takes the Layer that the settings name", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* spansOf({ exporters: ["in_memory"] }), 1)
      assert.isUndefined(yield* spansOf({ exporters: ["none"] }))
      assert.isUndefined(yield* spansOf({ exporters: ["in_memory"], enabled: false }))
      const { stderr } = yield* captured(spansOf({ exporters: ["console", "in_memory"], consoleFormat: "continuum" }))
      assert.include(stderr, "TRACE: agent_handoff.hello")
    })
  )
})

describe("Tracing", () => {
  const layers: Record<string, Layer.Layer<Delivery.Deliveries, unknown>> = {
    layerConsole: Tracing.layerConsole(),
    layerInMemory: Tracing.layerInMemory,
    layerNoop: Tracing.layerNoop,
    layerAmbient: Tracing.layerAmbient,
    layerOtlp: Tracing.layerOtlp({
      otlpEndpoint: "http://127.0.0.1:9/v1/traces",
      shutdownTimeout: Duration.millis(100)
    }),
    layer: Tracing.layer({ exporters: [] }),
    layerFromEnv: Tracing.layerFromEnvWith({ exporters: ["in_memory"] })
  }
  /** How many spans each Layer's exporters were given: two handoffs and the pipeline, where there are exporters. */
  const taken: Record<string, ReadonlyArray<number>> = {
    layerConsole: [3],
    layerInMemory: [3],
    layerNoop: [],
    layerAmbient: [],
    layerOtlp: [3],
    layer: [],
    layerFromEnv: [3]
  }
  for (const [name, layer] of Object.entries(layers)) {
    it.live(`${name} runs the same program to the same end, and can be flushed`, () =>
      Effect.gen(function* () {
        const program = Effect.gen(function* () {
          const greetings = yield* greet(["Ada", "Grace"])
          const tracer = yield* Tracer.Tracer
          const deliveries = yield* Delivery.Deliveries
          if (name !== "layerOtlp") yield* deliveries.flush
          const ledgers = yield* deliveries.ledgers
          return {
            greetings,
            ours: tracer !== Tracer.nativeTracer,
            taken: ledgers.map(({ live, started }) => started - live)
          }
        })
        const { exit } = yield* captured(Effect.provide(program, layer))
        const expected = { greetings: ["Hello, Ada", "Hello, Grace"], ours: true, taken: taken[name] }
        assert.deepStrictEqual<unknown>(exit, Exit.succeed(expected))
      })
    )
  }
})

describe("Tracing.stats", () => {
  it.effect("tells the current span, and where all spans are", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        yield* hello("Ada")
        yield* TestClock.adjust("20 millis")
        const current = yield* Effect.currentSpan
        const { ledgers, span } = yield* Tracing.stats
        const { name, spanId, traceId } = current
        assert.deepStrictEqual(span, { name, traceId, spanId, sampled: true, durationMillis: 20 })
        return ledgers
      }).pipe(Effect.withSpan("request"))
      const [ledger] = yield* Effect.provide(program, Tracing.layerInMemory)
      assert.deepStrictEqual([ledger?.exporter, ledger?.started, ledger?.live], ["memory", 2, 1])
    })
  )

  it.effect("has a span and no ledger under another tracer, and neither outside of spans", () =>
    Effect.gen(function* () {
      const { ledgers, span } = yield* Effect.withSpan(Tracing.stats, "request")
      assert.deepStrictEqual([ledgers, span?.name], [[], "request"])
      assert.deepStrictEqual(yield* Tracing.stats, { span: undefined, ledgers: [] })
    })
  )
})

describe("OTEL_PROPAGATORS", () => {
  const headers = (propagators?: ReadonlyArray<"tracecontext" | "baggage" | "none">) =>
    Effect.map(
      Effect.withSpan(Propagator.inject(), "call").pipe(
        Propagator.withRemoteParent({ baggage: "user=ada" }),
        Effect.provide(Tracing.layer({ exporters: [], ...(propagators && { propagators }) }))
      ),
      (headers) => Object.keys(headers).toSorted()
    )

  it.effect("says what goes out, and leaves the program's own propagator where it says nothing", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        [
          yield* headers(),
          yield* headers(["tracecontext"]),
          yield* headers(["baggage"]),
          yield* headers(["none"]),
          yield* Effect.provideService(headers(), Propagator.CurrentPropagator, Propagator.baggage)
        ],
        [["baggage", "traceparent"], ["traceparent"], ["baggage"], [], ["baggage"]]
      )
    })
  )
})
