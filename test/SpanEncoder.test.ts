import { assert, describe, it } from "@effect/vitest"
import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer"
import { Result } from "effect"
import * as fc from "fast-check"
import { toReadableSpan } from "../src/exporter/OpenTelemetry.ts"
import * as OtlpProtobuf from "../src/OtlpProtobuf.ts"
import { SpanBuffer } from "../src/SpanBuffer.ts"
import { type EncodableSpan, type FlatAttributes, fromRecord } from "../src/EncodableSpan.ts"
import { SpanEncoder } from "../src/SpanEncoder.ts"
import * as SpanRecord from "../src/SpanRecord.ts"
import { batchOf, spansOf } from "./batches.ts"

/** A span, written and read back. */
const throughBytes = (span: EncodableSpan, encoder = new SpanEncoder()): SpanRecord.SpanRecord => {
  const buffer = new SpanBuffer()
  buffer.append(encoder.encode(span))
  return spansOf(buffer.take())[0]!
}

const bytesOf = (encoder: SpanEncoder, span: EncodableSpan): Uint8Array => {
  const { bytes, length } = encoder.encode(span)
  return bytes.slice(0, length)
}

/** OpenTelemetry's own document of the same spans. */
const serialized = (...spans: ReadonlyArray<SpanRecord.SpanRecord>): Uint8Array =>
  ProtobufTraceSerializer.serializeRequest(spans.map(toReadableSpan))!

// ---------------------------------------------------------------------------------------------------------------------
// What a span reads as once it was bytes
// ---------------------------------------------------------------------------------------------------------------------

type Scalar = string | number | bigint | boolean

const scalarRead = (value: Scalar): Scalar => {
  if (typeof value === "string") return value.toWellFormed()
  // OTLP's integers know no -0, and one that a double holds exactly is a number.
  if (typeof value === "number") return value === 0 ? 0 : value
  if (typeof value === "boolean") return value
  if (BigInt.asIntN(64, value) !== value) return String(value)
  return Number.isSafeInteger(Number(value)) ? Number(value) : value
}

const attributesRead = (attributes: SpanRecord.Attributes): SpanRecord.Attributes =>
  Object.fromEntries(
    Object.entries(attributes).map(([key, value]) => [
      key.toWellFormed(),
      typeof value === "object" ? value.map(scalarRead) : scalarRead(value)
    ])
  )

const read = (span: SpanRecord.SpanRecord): SpanRecord.SpanRecord => ({
  ...span,
  name: span.name.toWellFormed(),
  traceState: span.traceState.toWellFormed(),
  endTimeUnixNano: span.endTimeUnixNano < span.startTimeUnixNano ? span.startTimeUnixNano : span.endTimeUnixNano,
  attributes: attributesRead(span.attributes),
  events: span.events.map((event) => ({
    ...event,
    name: event.name.toWellFormed(),
    attributes: attributesRead(event.attributes)
  })),
  links: span.links.map((link) => ({
    ...link,
    traceState: link.traceState.toWellFormed(),
    attributes: attributesRead(link.attributes)
  })),
  status: span.status.code === "error" ? { code: "error", message: span.status.message.toWellFormed() } : span.status,
  resource: { attributes: attributesRead(span.resource.attributes) },
  scope: { name: span.scope.name.toWellFormed(), version: span.scope.version.toWellFormed() }
})

// ---------------------------------------------------------------------------------------------------------------------
// Any span
// ---------------------------------------------------------------------------------------------------------------------

/** Where a length takes one more byte, where the writer changes its ways, and where its buffer is too small. */
const edges = [0, 63, 64, 127, 128, 1_340, 4_000, 16_383, 16_384]

const text = fc.oneof(
  { weight: 3, arbitrary: fc.string({ unit: "binary" }) },
  // Any UTF-16, with halves of characters.
  { weight: 1, arbitrary: fc.array(fc.nat({ max: 0xffff })).map((codes) => String.fromCharCode(...codes)) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(...edges), fc.integer({ min: -20, max: 20 }), fc.constantFrom("a", "é", "語", "🌍"))
      .map(([length, more, character]) => character.repeat(Math.max(length + more, 0)))
  }
)
const scalar: fc.Arbitrary<Scalar> = fc.oneof(
  text,
  fc.boolean(),
  fc.double(),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.bigInt({ min: -(2n ** 65n), max: 2n ** 65n }),
  fc.constantFrom(-0, 2 ** 31 - 1, 2 ** 31, 2 ** 53, -(2 ** 53), 2n ** 53n, -(2n ** 63n), 2n ** 63n - 1n, 2n ** 63n)
)
const key = fc.oneof({ weight: 5, arbitrary: text }, { weight: 1, arbitrary: fc.constant("__proto__") })
const attributes: fc.Arbitrary<SpanRecord.Attributes> = fc
  .array(fc.tuple(key, fc.oneof(scalar, fc.array(scalar, { maxLength: 20 }))), { maxLength: 20 })
  .map(Object.fromEntries)
const hex = (digits: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${digits}}$`)).filter((id) => !/^0+$/.test(id))
const nanos = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const flags = fc.nat({ max: 255 })
const uint32 = fc.nat({ max: 2 ** 32 - 1 })
const anySpan: fc.Arbitrary<SpanRecord.SpanRecord> = fc.record({
  traceId: hex(32),
  spanId: hex(16),
  parentSpanId: fc.option(hex(16), { nil: undefined }),
  parentIsRemote: fc.boolean(),
  flags,
  traceState: text,
  name: text,
  kind: fc.constantFrom("internal", "server", "client", "producer", "consumer"),
  startTimeUnixNano: nanos,
  endTimeUnixNano: nanos,
  attributes,
  events: fc.array(fc.record({ name: text, timeUnixNano: nanos, attributes, droppedAttributesCount: uint32 }), {
    maxLength: 3
  }),
  links: fc.array(
    fc.record({
      traceId: hex(32),
      spanId: hex(16),
      flags,
      traceState: text,
      attributes,
      droppedAttributesCount: uint32
    }),
    { maxLength: 3 }
  ),
  status: fc.oneof(
    fc.constantFrom({ code: "unset" } as const, { code: "ok" } as const),
    text.map((message) => ({ code: "error", message }) as const)
  ),
  droppedAttributesCount: uint32,
  droppedEventsCount: uint32,
  droppedLinksCount: uint32,
  resource: fc.record({ attributes }),
  scope: fc.record({ name: text, version: text })
})

// What OpenTelemetry JS can hold as well: no bigints, none but safe integers, nothing infinite, lists of one kind, and
// no root with a remote parent.
const plain = fc.oneof(
  fc.string(),
  fc.boolean(),
  fc.double({ noNaN: true, noDefaultInfinity: true, noInteger: true }),
  fc.maxSafeInteger(),
  fc.array(fc.string()),
  fc.array(fc.maxSafeInteger())
)
const plainAttributes: fc.Arbitrary<SpanRecord.Attributes> = fc.dictionary(fc.string({ minLength: 1 }), plain)
const plainSpan: fc.Arbitrary<SpanRecord.SpanRecord> = fc
  .tuple(anySpan, plainAttributes, plainAttributes)
  .map(([span, attributes, others]) => ({
    ...read(span),
    parentIsRemote: span.parentIsRemote && span.parentSpanId !== undefined,
    traceState: "",
    attributes,
    events: span.events.map((event) => ({ ...event, name: "event", attributes: others })),
    links: span.links.map((link) => ({ ...link, traceState: "", attributes: others })),
    resource: { attributes: { "service.name": "test", ...others } },
    scope: { name: "scope", version: "1" }
  }))

/** What a handoff looks like under an agent that did its work. */
const handoff = SpanRecord.make({
  traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
  spanId: "00f067aa0ba902b8",
  parentSpanId: "00f067aa0ba902b7",
  flags: 3,
  name: "agent_handoff.planner",
  startTimeUnixNano: 1_795_225_539_184_899_251n,
  endTimeUnixNano: 1_795_225_539_189_391_081n,
  attributes: {
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.agent.name": "planner",
    "handspan.handoff.from": "router",
    "handspan.handoff.attempts": 2,
    "gen_ai.usage.input_tokens": 12_345,
    "handspan.input.preview": "Plan a trip to the mountains for two people, by train, in the first week of May."
  },
  events: [
    {
      name: "handoff.attempt",
      timeUnixNano: 1_795_225_539_184_899_251n,
      attributes: { "handspan.attempt": 1 },
      droppedAttributesCount: 0
    }
  ],
  status: { code: "ok" },
  resource: { attributes: { "service.name": "trips" } },
  scope: { name: "handspan", version: "0.1.0" }
})

// ---------------------------------------------------------------------------------------------------------------------

describe("SpanEncoder", () => {
  it("writes any span so that it reads back as it was", () => {
    fc.assert(
      fc.property(anySpan, (span) => {
        assert.deepStrictEqual(throughBytes(fromRecord(span)), read(span))
      }),
      { numRuns: 300 }
    )
  })

  it("writes what OpenTelemetry's own serializer writes", () => {
    fc.assert(
      fc.property(plainSpan, (span) => {
        const theirs = Result.getOrThrow(OtlpProtobuf.decode(serialized(span)))
        assert.deepStrictEqual(theirs, spansOf(batchOf([span])))
      })
    )
  })

  it("needs no more bytes than OpenTelemetry's, but for a few", () => {
    const [one, two] = [handoff, { ...handoff, spanId: "00f067aa0ba902b9" }]
    const ours = batchOf([one, two]).bytes.length - batchOf([one]).bytes.length
    const theirs = serialized(one, two).length - serialized(one).length
    assert.isAtMost(ours, theirs * 1.02 + 4)
  })

  it("writes texts of any length, wherever they stand", () => {
    for (const length of [62, 63, 64, 65, 126, 127, 128, 129, 16_383, 16_384, 2 ** 21 - 1, 2 ** 21]) {
      const value = "x".repeat(length)
      const attributes = { text: value, list: [value, "", value] }
      const span = SpanRecord.make({
        name: value,
        traceState: value,
        attributes,
        events: [{ name: value, timeUnixNano: 1n, attributes, droppedAttributesCount: 1 }],
        links: [
          {
            traceId: handoff.traceId,
            spanId: handoff.spanId,
            flags: 1,
            traceState: value,
            attributes,
            droppedAttributesCount: 1
          }
        ],
        status: { code: "error", message: value },
        resource: { attributes },
        scope: { name: value, version: value }
      })
      assert.deepStrictEqual(throughBytes(fromRecord(span)), span)
    }
  })

  it("writes spans and events of any length", () => {
    for (let length = 16_250; length <= 16_400; length++) {
      const named = SpanRecord.make({ name: "x".repeat(length) })
      assert.deepStrictEqual(throughBytes(fromRecord(named)), named)
      const event = { name: named.name, timeUnixNano: 1n, attributes: {}, droppedAttributesCount: 0 }
      const told = SpanRecord.make({ name: "work", events: [event] })
      assert.deepStrictEqual(throughBytes(fromRecord(told)), told)
    }
  })

  it("has room for what follows a text, wherever that fills the buffer", () => {
    // Three bytes for each character, so that what was asked for is what is used; the buffer begins with 4,096.
    for (let length = 1_320; length <= 1_370; length++) {
      const long = "語".repeat(length)
      const parentSpanId = "00f067aa0ba902b7"
      const named = SpanRecord.make({ name: long, parentSpanId })
      assert.deepStrictEqual(throughBytes(fromRecord(named)), named)
      const stated = SpanRecord.make({ name: "work", traceState: long, parentSpanId })
      assert.deepStrictEqual(throughBytes(fromRecord(stated)), stated)
    }
  })

  it("writes keys of any length", () => {
    const key = "k".repeat(300_000)
    const span = SpanRecord.make({ name: "work", attributes: { [key]: 1 }, resource: { attributes: { [key]: 2 } } })
    assert.deepStrictEqual(throughBytes(fromRecord(span)), span)
  })

  it("writes each key once, with its last value, and counts what the limit leaves out", () => {
    const flat = fc
      .array(fc.tuple(fc.constantFrom(..."abcdefghijkl"), fc.nat({ max: 300 })), { maxLength: 200 })
      .map((entries): FlatAttributes => entries.flat())
    const limit = fc.oneof(fc.nat({ max: 14 }), fc.constant(Infinity))
    fc.assert(
      fc.property(flat, flat, limit, fc.nat({ max: 9 }), (flatAttributes, endAttributes, attributeLimit, before) => {
        const expected = new Map<unknown, unknown>()
        let dropped = before
        for (let i = 0; i < flatAttributes.length; i += 2) {
          const key = flatAttributes[i]
          if (expected.has(key) || expected.size < attributeLimit) expected.set(key, flatAttributes[i + 1])
          else dropped++
        }
        for (let i = 0; i < endAttributes.length; i += 2) expected.set(endAttributes[i], endAttributes[i + 1])
        const span = fromRecord(SpanRecord.make({ name: "work" }))
        const decoded = throughBytes({
          ...span,
          flatAttributes,
          endAttributes,
          attributeLimit,
          droppedAttributes: before
        })
        assert.deepStrictEqual(Object.entries(decoded.attributes), [...expected])
        assert.strictEqual(decoded.droppedAttributesCount, dropped)
      })
    )
  })

  it("writes hundreds of attributes, and limits none of its own accord", () => {
    const attributes = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`key ${n}`, n]))
    const span = SpanRecord.make({ name: "work", attributes })
    assert.deepStrictEqual(throughBytes(fromRecord(span)), span)
  })

  it("writes a span the same, whatever it wrote before", () => {
    const encoder = new SpanEncoder()
    const huge = SpanRecord.make({ name: "huge", attributes: { text: "語".repeat(1_000_000), list: ["x", "y"] } })
    fc.assert(
      fc.property(fc.array(fc.oneof(anySpan, fc.constant(handoff)), { maxLength: 10 }), (spans) => {
        for (const span of spans.map(fromRecord)) {
          assert.deepStrictEqual(bytesOf(encoder, span), bytesOf(new SpanEncoder(), span))
        }
      }),
      { numRuns: 50 }
    )
    assert.deepStrictEqual(throughBytes(fromRecord(huge), encoder), huge)
    assert.deepStrictEqual(throughBytes(fromRecord(handoff), encoder), handoff)
  })

  it("keeps neither a huge buffer nor thousands of keys", () => {
    const encoder = new SpanEncoder()
    encoder.encode(fromRecord(SpanRecord.make({ name: "x".repeat(2_000_000) })))
    assert.isAbove(encoder.bytes.length, 2_000_000)
    encoder.encode(fromRecord(handoff))
    assert.isBelow(encoder.bytes.length, 10_000)

    let most = 0
    for (let n = 0; n < 10_000; n++) {
      const attributes = { [`key ${n}`]: n }
      const span = SpanRecord.make({ name: "work", attributes })
      assert.deepStrictEqual(throughBytes(fromRecord(span), encoder).attributes, attributes)
      most = Math.max(most, encoder["keys"].size)
    }
    assert.isAtMost(most, 5_000)
    // Few keys may be large as well.
    for (let n = 0; n < 20; n++) {
      encoder.encode(fromRecord(SpanRecord.make({ name: "work", attributes: { [`${n}`.repeat(100_000)]: n } })))
      most = Math.max(most, [...encoder["keys"].keys()].join("").length)
    }
    assert.isAtMost(most, 1_000_000)
  })
})
