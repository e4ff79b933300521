import { assert, describe, it } from "@effect/vitest"
import * as Api from "@opentelemetry/api"
import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer"
import { InMemorySpanExporter } from "@opentelemetry/sdk-trace-base"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { ExportError } from "../../src/Exporter.ts"
import * as OpenTelemetry from "../../src/exporter/OpenTelemetry.ts"
import * as SpanRecord from "../../src/SpanRecord.ts"
import { batchOf } from "../batches.ts"

const traceId = "12345678901234567890123456789012"

const full = SpanRecord.make({
  traceId,
  spanId: "1234567890123456",
  parentSpanId: "6543210987654321",
  parentIsRemote: true,
  flags: 3,
  traceState: "a=1,b=2",
  name: "agent_handoff.planner",
  kind: "client",
  startTimeUnixNano: 1_700_000_000_123_456_789n,
  endTimeUnixNano: 1_700_000_002_000_000_000n,
  attributes: { text: "a", int: 7, double: 1.5, bool: true, list: ["a", "b"], big: 12n, huge: 2n ** 60n + 1n },
  events: [{ name: "tick", timeUnixNano: 1_700_000_001_000_000_001n, attributes: { n: 1 }, droppedAttributesCount: 2 }],
  links: [
    {
      traceId: "f".repeat(32),
      spanId: "e".repeat(16),
      flags: 1,
      traceState: "c=3",
      attributes: { why: "join" },
      droppedAttributesCount: 1
    }
  ],
  status: { code: "error", message: "boom" },
  droppedAttributesCount: 1,
  droppedEventsCount: 2,
  droppedLinksCount: 3,
  resource: { attributes: { "service.name": "photos" } },
  scope: { name: "photos", version: "2" }
})

const exporterOf = (
  report: (done: (result: { readonly code: number; readonly error?: Error }) => void) => void,
  ends?: Partial<OpenTelemetry.SpanExporter>
): OpenTelemetry.SpanExporter => ({
  export: (_, done) => report(done),
  shutdown: () => Promise.resolve(),
  ...ends
})

const failure = (error: Error | undefined, code = 1) =>
  Effect.flip(
    OpenTelemetry.fromSpanExporter(
      "x",
      exporterOf((done) => done(error === undefined ? { code } : { code, error }))
    ).export(batchOf([full, full]))
  )

describe("toReadableSpan", () => {
  it("toReadableSpan() presents every field", () => {
    const { resource, spanContext, parentSpanContext, links, ...span } = OpenTelemetry.toReadableSpan(full)
    const plain = ({ traceState, ...context }: Api.SpanContext) => ({
      ...context,
      traceState: traceState?.serialize() ?? ""
    })
    assert.deepStrictEqual(span, {
      name: "agent_handoff.planner",
      kind: Api.SpanKind.CLIENT,
      startTime: [1_700_000_000, 123_456_789],
      endTime: [1_700_000_002, 0],
      duration: [1, 876_543_211],
      ended: true,
      status: { code: Api.SpanStatusCode.ERROR, message: "boom" },
      attributes: {
        text: "a",
        int: 7,
        double: 1.5,
        bool: true,
        list: ["a", "b"],
        big: 12,
        huge: "1152921504606846977"
      },
      events: [{ name: "tick", time: [1_700_000_001, 1], attributes: { n: 1 }, droppedAttributesCount: 2 }],
      instrumentationScope: { name: "photos", version: "2" },
      droppedAttributesCount: 1,
      droppedEventsCount: 2,
      droppedLinksCount: 3
    })
    const context = { traceId, traceFlags: 3, traceState: "a=1,b=2" }
    assert.deepStrictEqual(plain(spanContext()), { ...context, spanId: full.spanId })
    assert.deepStrictEqual(plain(parentSpanContext!), { ...context, spanId: "6543210987654321", isRemote: true })
    assert.deepStrictEqual(
      links.map((link) => ({ ...link, context: plain(link.context) })),
      [
        {
          context: { traceId: "f".repeat(32), spanId: "e".repeat(16), traceFlags: 1, traceState: "c=3" },
          attributes: { why: "join" },
          droppedAttributesCount: 1
        }
      ]
    )
    assert.deepStrictEqual(resource.attributes, { "service.name": "photos" })
    assert.deepStrictEqual(resource.getRawAttributes(), [["service.name", "photos"]])
    assert.deepStrictEqual(
      resource.merge(OpenTelemetry.toReadableSpan({ ...full, resource: { attributes: { a: 1 } } }).resource).attributes,
      { "service.name": "photos", a: 1 }
    )
  })

  it("toReadableSpan() of a root has no parent and no tracestate", () => {
    const span = OpenTelemetry.toReadableSpan(SpanRecord.make({ name: "root", traceId, status: { code: "ok" } }))
    assert.isFalse("parentSpanContext" in span)
    assert.deepStrictEqual(span.spanContext(), { traceId, spanId: "0000000000000001", traceFlags: 1 })
    assert.deepStrictEqual(span.status, { code: Api.SpanStatusCode.OK })
  })

  it("toReadableSpan() gives spans of one resource the same resource, so that exporters group them", () => {
    const [one, two, other] = [full, { ...full }, { ...full, resource: { attributes: {} } }].map(
      (span) => OpenTelemetry.toReadableSpan(span).resource
    )
    assert.strictEqual(one, two)
    assert.notStrictEqual(one, other)
  })

  it("toReadableSpan() makes what the SDK's encoder takes", () => {
    assert.isAbove(ProtobufTraceSerializer.serializeRequest([OpenTelemetry.toReadableSpan(full)])!.length, 200)
  })
})

describe("fromSpanExporter", () => {
  it.effect("fromSpanExporter() hands whole batches to the SDK's own exporters", () =>
    Effect.gen(function* () {
      const memory = new InMemorySpanExporter()
      const exporter = OpenTelemetry.fromSpanExporter("memory", memory)
      yield* exporter.export(batchOf([full, SpanRecord.make({ name: "second" })]))
      yield* exporter.flush
      assert.strictEqual(exporter.name, "memory")
      assert.deepStrictEqual(
        memory.getFinishedSpans().map((span) => span.name),
        ["agent_handoff.planner", "second"]
      )
      yield* exporter.shutdown
      const refused = yield* Effect.flip(exporter.export(batchOf([full])))
      assert.deepStrictEqual(
        [refused.refused, refused.message],
        [1, "Cannot export a batch of 1: Exporter has been stopped"]
      )
    })
  )

  it.effect.each<[string, Error | undefined, boolean, string]>([
    ["HTTP 503", Object.assign(new Error("Service Unavailable"), { code: 503 }), true, "503 Service Unavailable"],
    ["HTTP 429", Object.assign(new Error("Too Many"), { code: 429 }), true, "429 Too Many"],
    [
      "HTTP 400",
      Object.assign(new Error("Bad Request"), { code: 400, data: "no such field" }),
      false,
      "400 Bad Request no such field"
    ],
    ["HTTP 500", Object.assign(new Error("Oops"), { code: 500, data: "" }), false, "500 Oops"],
    ["gRPC UNAVAILABLE", Object.assign(new Error("14 UNAVAILABLE"), { code: 14 }), true, "14 14 UNAVAILABLE"],
    ["gRPC INVALID_ARGUMENT", Object.assign(new Error("bad"), { code: 3 }), false, "3 bad"],
    ["a refused connection", Object.assign(new Error("connect"), { code: "ECONNREFUSED" }), true, "connect"],
    [
      "a long page",
      Object.assign(new Error("No"), { code: 404, data: "x".repeat(999) }),
      false,
      `404 No ${"x".repeat(293)}`
    ],
    [
      "a permission Deno refuses",
      Object.assign(new Error("Requires net"), { name: "NotCapable" }),
      false,
      "Requires net"
    ],
    ["no error", undefined, true, "no reason given"]
  ])("fromSpanExporter() tells %s, and whether it may pass", ([, error, retryable, reason]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        { ...(yield* failure(error)) },
        {
          ...new ExportError({
            exporter: "x",
            message: `Cannot export a batch of 2: ${reason}`,
            retryable,
            refused: 2
          })
        }
      )
    })
  )

  it.effect("fromSpanExporter() takes an exporter that throws for one that never will take the batch", () =>
    Effect.gen(function* () {
      const broken = exporterOf(() => {
        throw new Error("bug")
      })
      const error = yield* Effect.flip(OpenTelemetry.fromSpanExporter("x", broken).export(batchOf([full])))
      assert.deepStrictEqual([error.message, error.retryable], ["Cannot export a batch of 1: bug", false])
    })
  )

  it.live("fromSpanExporter() does not wait for ever, nor fail, when the exporter's end hangs or fails", () =>
    Effect.gen(function* () {
      const hanging = exporterOf(() => {}, {
        forceFlush: () => new Promise(() => {}),
        shutdown: () => new Promise(() => {})
      })
      const failing = exporterOf(() => {}, { shutdown: () => Promise.reject(new Error("no")) })
      for (const exporter of [hanging, failing]) {
        const adapted = OpenTelemetry.fromSpanExporter("x", exporter, { shutdownTimeout: "5 millis" })
        assert.isTrue(Exit.isSuccess(yield* Effect.exit(adapted.flush)))
        assert.isTrue(Exit.isSuccess(yield* Effect.exit(adapted.shutdown)))
      }
    })
  )

  it.effect("fromSpanExporter() runs the exporter with OpenTelemetry's tracing suppressed", () =>
    Effect.gen(function* () {
      let active = Api.ROOT_CONTEXT
      Api.context.setGlobalContextManager({
        active: () => active,
        with: (context, evaluate, self, ...args) => {
          const outer = active
          active = context
          try {
            return evaluate.call(self as ThisParameterType<typeof evaluate>, ...args)
          } finally {
            active = outer
          }
        },
        bind: (_, target) => target,
        enable: () => Api.context as never,
        disable: () => Api.context as never
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => Api.context.disable()))
      const suppressed = Api.createContextKey("OpenTelemetry SDK Context Key SUPPRESS_TRACING")
      const seen: Array<unknown> = []
      const exporter = exporterOf((done) => {
        seen.push(Api.context.active().getValue(suppressed))
        done({ code: 0 })
      })
      yield* OpenTelemetry.fromSpanExporter("x", exporter).export(batchOf([full]))
      assert.deepStrictEqual([...seen, Api.context.active().getValue(suppressed)], [true, undefined])
    })
  )
})

describe("toAttributes", () => {
  it("toAttributes() writes numbers that have no exact value on the wire as text", () => {
    assert.deepStrictEqual<unknown>(
      OpenTelemetry.toAttributes({ nan: Number.NaN, low: -Infinity, large: 1e21, half: 1.5, list: [1, Number.NaN] }),
      { nan: "NaN", low: "-Infinity", large: "1e+21", half: 1.5, list: [1, "NaN"] }
    )
  })
})
