import { assert, describe, it } from "@effect/vitest"
import * as Api from "@opentelemetry/api"
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import * as TestClock from "effect/testing/TestClock"
import * as Ambient from "../../src/exporter/Ambient.ts"
import * as Instrument from "../../src/Instrument.ts"
import * as Propagator from "../../src/Propagator.ts"
import * as TraceContext from "../../src/TraceContext.ts"
import * as Deno from "../deno.ts"
import * as Receiver from "../receiver.ts"

/** Registers the SDK as a program would have, and runs an effect under the ambient tracer. */
const recorded = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const exporter = new InMemorySpanExporter()
      Api.trace.setGlobalTracerProvider(
        new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
      )
      return exporter
    }),
    (exporter) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(Effect.withTracer(effect, yield* Ambient.tracer))
        return { exit, spans: exporter.getFinishedSpans() }
      }),
    () => Effect.sync(() => Api.trace.disable())
  )

const traceId = "12345678901234567890123456789012"
const spanId = "1234567890123456"
const remote = { traceparent: `00-${traceId}-${spanId}-01`, tracestate: "a=1,b=2" }

const endOf = ({ attributes, events, status }: ReadableSpan) => ({
  attributes,
  events: events.map(({ attributes: { "exception.stacktrace": stack, ...rest } = {}, name }) => [
    name,
    rest,
    typeof stack
  ]),
  status
})

describe("tracer", () => {
  it.effect("tracer gives the provider every part of a span", () =>
    Effect.gen(function* () {
      const linked = TraceContext.toExternalSpan({ traceId, spanId, flags: 1, traceState: "c=3" })
      const program = Effect.gen(function* () {
        const span = yield* Effect.currentSpan
        yield* Effect.annotateCurrentSpan({ list: ["a"], object: { width: 3 }, big: 12n, none: undefined })
        yield* TestClock.adjust("1500 millis")
        span.event("tick", 1_000_000_001n, { n: 1 })
        span.addLinks([
          { span: linked, attributes: { why: "join" } },
          { span: Tracer.externalSpan({ traceId: "noop", spanId: "noop" }), attributes: {} }
        ])
      }).pipe(Effect.withSpan("handoff", { kind: "client", attributes: { agent: "planner" } }))
      const { spans } = yield* recorded(program)
      const [span] = spans as [ReadableSpan]
      assert.deepStrictEqual(
        {
          name: span.name,
          kind: span.kind,
          parent: span.parentSpanContext,
          start: span.startTime,
          end: span.endTime,
          attributes: span.attributes,
          events: span.events,
          status: span.status,
          scope: span.instrumentationScope.name,
          links: span.links.map(({ attributes, context: { traceState, ...context } }) => [
            { ...context, traceState: traceState?.serialize() },
            attributes
          ])
        },
        {
          name: "handoff",
          kind: Api.SpanKind.CLIENT,
          parent: undefined,
          start: [0, 0],
          end: [1, 500_000_000],
          attributes: { agent: "planner", list: ["a"], object: '{"width":3}', big: 12 },
          events: [{ name: "tick", time: [1, 1], attributes: { n: 1 }, droppedAttributesCount: 0 }],
          status: { code: Api.SpanStatusCode.OK },
          scope: "handspan",
          links: [[{ traceId, spanId, traceFlags: 1, isRemote: true, traceState: "c=3" }, { why: "join" }]]
        }
      )
    })
  )

  it.effect("tracer makes children of spans, of remote parents with their tracestate, and of the active span", () =>
    Effect.gen(function* () {
      const headers = yield* recorded(
        Propagator.inject().pipe(
          Effect.withSpan("inner"),
          Effect.withSpan("outer"),
          Propagator.withRemoteParent(remote)
        )
      )
      const [inner, outer] = headers.spans as [ReadableSpan, ReadableSpan]
      assert.deepStrictEqual(outer.parentSpanContext?.spanId, spanId)
      assert.deepStrictEqual(inner.parentSpanContext, outer.spanContext())
      assert.deepStrictEqual(yield* headers.exit, {
        traceparent: `00-${traceId}-${inner.spanContext().spanId}-01`,
        tracestate: "a=1,b=2"
      })
    })
  )

  it.effect("tracer takes OpenTelemetry's active span as parent, unless a span asks to be a root", () =>
    Effect.gen(function* () {
      const active = Api.trace.setSpanContext(Api.ROOT_CONTEXT, { traceId, spanId, traceFlags: 1 })
      Api.context.setGlobalContextManager({
        active: () => active,
        with: (_, evaluate, self, ...args) => evaluate.call(self as ThisParameterType<typeof evaluate>, ...args),
        bind: (_, target) => target,
        enable: () => Api.context as never,
        disable: () => Api.context as never
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => Api.context.disable()))
      const parents = Effect.map(Effect.currentSpan, ({ parent }) => Option.map(parent, (span) => span.spanId))
      const { exit, spans } = yield* recorded(
        Effect.all([Effect.withSpan(parents, "joined"), Effect.withSpan(parents, "root", { root: true })])
      )
      assert.deepStrictEqual(yield* exit, [Option.some(spanId), Option.none()])
      assert.deepStrictEqual(
        spans.map((span) => [span.name, span.parentSpanContext?.spanId, span.spanContext().traceId === traceId]),
        [
          ["joined", spanId, true],
          ["root", undefined, false]
        ]
      )
    })
  )

  const exception = (type: string, message: string, stack: string) => [
    "exception",
    { "exception.type": type, "exception.message": message },
    stack
  ]

  it.effect.each<[string, Effect.Effect<unknown, unknown>, ReturnType<typeof endOf>]>([
    ["success", Effect.succeed(1), { attributes: {}, events: [], status: { code: Api.SpanStatusCode.OK } }],
    [
      "a failure",
      Effect.fail({ _tag: "Denied", password: "hunter2" }),
      {
        attributes: { "error.type": "Denied" },
        events: [exception("Denied", "error Denied", "undefined")],
        status: { code: Api.SpanStatusCode.ERROR, message: "error Denied" }
      }
    ],
    [
      "a defect",
      Effect.die(new TypeError("boom")),
      {
        attributes: { "error.type": "TypeError" },
        events: [exception("TypeError", "boom", "string")],
        status: { code: Api.SpanStatusCode.ERROR, message: "boom" }
      }
    ],
    [
      "an interruption",
      Effect.interrupt,
      { attributes: { "handspan.interrupted": true }, events: [], status: { code: Api.SpanStatusCode.UNSET } }
    ]
  ])("tracer ends the span of %s as the Recorder does", ([, effect, expected]) =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(recorded(Effect.withSpan(effect, "work")))
      const { spans } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(spans.map(endOf), [expected])
    })
  )

  it.effect("tracer keeps neither the program's values nor what comes after the end", () =>
    Effect.gen(function* () {
      const { exit, spans } = yield* recorded(
        Effect.gen(function* () {
          const span = yield* Effect.withSpan(Effect.currentSpan, "work")
          span.attribute("late", 1)
          span.event("late", 1n)
          span.addLinks([{ span, attributes: {} }])
          span.end(1n, span.status._tag === "Ended" ? span.status.exit : yield* Effect.exit(Effect.void))
          return span.status
        })
      )
      const status = yield* exit
      assert.deepStrictEqual(status._tag === "Ended" && status.exit, yield* Effect.exit(Effect.void))
      assert.deepStrictEqual(spans.map(endOf), [
        { attributes: {}, events: [], status: { code: Api.SpanStatusCode.OK } }
      ])
    })
  )

  it.effect("tracer asks the provider for the scope that a span claims", () =>
    Effect.gen(function* () {
      const look = Effect.withSpan(Effect.void, "look").pipe(Instrument.withScope("agency/vision", "2.0.0"))
      const { spans } = yield* recorded(Effect.withSpan(look, "root"))
      assert.deepStrictEqual(
        spans.map(({ instrumentationScope: { name, version }, name: span }) => [span, name, version]),
        [
          ["look", "agency/vision", "2.0.0"],
          ["root", "handspan", undefined]
        ]
      )
    })
  )

  it.effect("tracer keeps unsampled spans from the provider, and their context goes on", () =>
    Effect.gen(function* () {
      const program = Propagator.inject().pipe(Effect.withSpan("inner"), Effect.withSpan("outer", { sampled: false }))
      const { exit, spans } = yield* recorded(Effect.all([program, program.pipe(Propagator.withRemoteParent(remote))]))
      const [own, continued] = yield* exit
      assert.strictEqual(spans.length, 0)
      assert.match(own["traceparent"] ?? "", /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)
      assert.strictEqual(continued["tracestate"], "a=1,b=2")
      assert.match(continued["traceparent"] ?? "", new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`))
    })
  )

  it.effect("tracer lets programs run where no provider is, and no invalid id gets out", () =>
    Effect.gen(function* () {
      const headers = Effect.withTracer(Effect.withSpan(Propagator.inject(), "work"), yield* Ambient.tracer)
      assert.deepStrictEqual(yield* headers, {})
    })
  )

  it.live(
    "tracer joins Deno's own OpenTelemetry",
    () =>
      Effect.gen(function* () {
        const { base, requests } = yield* Receiver.open()
        const program = `
          import * as Effect from "effect/Effect"
          import * as Ambient from "./src/exporter/Ambient.ts"
          const work = Effect.withSpan(Effect.withSpan(Effect.void, "inner", { attributes: { agent: "planner" } }), "outer")
          await Effect.runPromise(Effect.flatMap(Ambient.tracer, (tracer) => Effect.withTracer(work, tracer)))`
        const printed = yield* Deno.run(program, {
          env: {
            OTEL_DENO: "true",
            OTEL_SERVICE_NAME: "photos",
            OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
            OTEL_EXPORTER_OTLP_ENDPOINT: base
          },
          permissions: ["--no-prompt"]
        })
        assert.deepStrictEqual(printed, { stdout: "", stderr: "" })
        const spans = requests
          .filter(({ path }) => path === "/v1/traces")
          .flatMap(({ body }) => JSON.parse(body.toString()).resourceSpans)
          .flatMap(({ scopeSpans }) => scopeSpans)
          .flatMap((scope) => scope.spans)
        const [inner, outer] = ["inner", "outer"].map((name) => spans.find((span) => span.name === name))
        assert.deepStrictEqual(
          [inner.traceId, inner.parentSpanId, outer.parentSpanId, inner.status.code],
          [outer.traceId, outer.spanId, "", 1]
        )
        assert.deepStrictEqual(inner.attributes, [{ key: "agent", value: { stringValue: "planner" } }])
      }),
    30_000
  )

  it.live(
    "tracer has Deno's own spans of fetch under those of Effect, where plain code is told of them",
    () =>
      Effect.gen(function* () {
        const { base, requests } = yield* Receiver.open()
        const program = `
          import * as Effect from "effect/Effect"
          import * as Tracing from "./src/Tracing.ts"
          const work = Effect.withSpan(Effect.promise(() => fetch("${base}/photos")), "work")
          await Effect.runPromise(Effect.provide(work, Tracing.layerAmbientWith({ context: "async" })))`
        yield* Deno.run(program, {
          env: {
            OTEL_DENO: "true",
            OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
            OTEL_EXPORTER_OTLP_ENDPOINT: base
          },
          permissions: ["--no-prompt", "--allow-net=127.0.0.1", "--allow-env"]
        })
        const spans = requests
          .filter(({ path }) => path === "/v1/traces")
          .flatMap(({ body }) => JSON.parse(body.toString()).resourceSpans)
          .flatMap(({ scopeSpans }) => scopeSpans)
          .flatMap((scope) => scope.spans)
        const [fetched, work] = ["GET", "work"].map((name) => spans.find((span) => span.name === name))
        assert.deepStrictEqual([fetched.traceId, fetched.parentSpanId], [work.traceId, work.spanId])
      }),
    30_000
  )
})
