import { SpanKind, SpanStatusCode } from "@opentelemetry/api"
import { JsonTraceSerializer } from "@opentelemetry/otlp-transformer"
import { resourceFromAttributes } from "@opentelemetry/resources"
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as OtlpJson from "../src/OtlpJson.ts"
import * as SpanRecord from "../src/SpanRecord.ts"
import { sampleSpans as spans } from "./sample-spans.ts"

const hrTime = (nanos: bigint): [number, number] => [Number(nanos / 1_000_000_000n), Number(nanos % 1_000_000_000n)]

const traceState = (value: string) => {
  const state = { serialize: () => value, get: () => undefined, set: () => state, unset: () => state }
  return value === "" ? {} : { traceState: state }
}

/** The same span as OpenTelemetry JS holds it. */
const toReadable = (span: SpanRecord.SpanRecord, resources: Map<string, ReadableSpan["resource"]>): ReadableSpan => {
  const key = JSON.stringify(span.resource)
  resources.set(key, resources.get(key) ?? resourceFromAttributes(span.resource.attributes as Record<string, string>))
  const context = { traceId: span.traceId, spanId: span.spanId, traceFlags: span.flags, ...traceState(span.traceState) }
  return {
    name: span.name,
    kind: SpanKind[span.kind.toUpperCase() as keyof typeof SpanKind],
    spanContext: () => context,
    ...(span.parentSpanId === undefined
      ? {}
      : {
          parentSpanContext: {
            traceId: span.traceId,
            spanId: span.parentSpanId,
            traceFlags: span.flags,
            isRemote: span.parentIsRemote
          }
        }),
    startTime: hrTime(span.startTimeUnixNano),
    endTime: hrTime(span.endTimeUnixNano),
    duration: hrTime(SpanRecord.durationNanos(span)),
    ended: true,
    status: {
      code: SpanStatusCode[span.status.code.toUpperCase() as keyof typeof SpanStatusCode],
      ...(span.status.code === "error" ? { message: span.status.message } : {})
    },
    attributes: span.attributes as ReadableSpan["attributes"],
    events: span.events.map((event) => ({
      name: event.name,
      time: hrTime(event.timeUnixNano),
      attributes: event.attributes as ReadableSpan["attributes"],
      droppedAttributesCount: event.droppedAttributesCount
    })),
    links: span.links.map((link) => ({
      context: { traceId: link.traceId, spanId: link.spanId, traceFlags: link.flags, ...traceState(link.traceState) },
      attributes: link.attributes as ReadableSpan["attributes"],
      droppedAttributesCount: link.droppedAttributesCount
    })),
    resource: resources.get(key)!,
    instrumentationScope: span.scope,
    droppedAttributesCount: span.droppedAttributesCount,
    droppedEventsCount: span.droppedEventsCount,
    droppedLinksCount: span.droppedLinksCount
  }
}

const asJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

const decoded = (document: unknown): ReadonlyArray<SpanRecord.SpanRecord> =>
  Result.getOrThrow(OtlpJson.decode(document))

const failure = (result: Result.Result<unknown, OtlpJson.OtlpJsonError>): string =>
  Result.isFailure(result) ? result.failure.message : expect.fail("expected a failure")

const bySpanId = (records: ReadonlyArray<SpanRecord.SpanRecord>): ReadonlyArray<SpanRecord.SpanRecord> =>
  records.toSorted((a, b) => (a.spanId < b.spanId ? -1 : 1))

/** A document of one span with these fields. */
const documentOf = (fields: object): unknown => ({
  resourceSpans: [
    { scopeSpans: [{ spans: [{ traceId: "0".repeat(31) + "1", spanId: "0".repeat(15) + "1", name: "s", ...fields }] }] }
  ]
})

const attributeOf = (value: unknown): unknown =>
  decoded(documentOf({ attributes: [{ key: "k", value }] }))[0]?.attributes["k"]

describe("encode", () => {
  it("writes what OpenTelemetry's own serializer writes", () => {
    const resources = new Map<string, ReadableSpan["resource"]>()
    const bytes = JsonTraceSerializer.serializeRequest(spans.map((span) => toReadable(span, resources)))
    // Two differences, both on purpose: integers are strings, and the flags of a link do not claim to know "remote".
    const theirs = JSON.parse(new TextDecoder().decode(bytes), function (this: object, key, value) {
      if (key === "intValue") return String(value)
      return key === "flags" && !("kind" in this) ? value & 0xff : value
    })
    expect(asJson(OtlpJson.encode(spans))).toEqual(theirs)
  })

  it("groups spans whose resources and scopes hold the same values", () => {
    const groups = OtlpJson.encode([...spans, ...spans]).resourceSpans
    expect(
      groups.map((group) =>
        group.scopeSpans.map((scope) => [scope.scope.version, scope.spans.map((span) => span.name)])
      )
    ).toEqual([
      [
        ["", ["pipeline.photo_agency", "pipeline.photo_agency"]],
        ["0.1.0", ["chat gpt-4o", "chat gpt-4o"]]
      ],
      [["", ["other service", "other service"]]]
    ])
  })

  it("writes numbers that JSON cannot hold as strings", () => {
    const attributes = { nan: NaN, inf: -Infinity, long: 2n ** 63n - 1n, tooLong: 2n ** 63n, whole: 2 ** 53 }
    const span = OtlpJson.encode([SpanRecord.make({ name: "s", attributes })]).resourceSpans[0]?.scopeSpans[0]?.spans[0]
    expect(span?.attributes.map(({ value }) => value)).toEqual([
      { doubleValue: "NaN" },
      { doubleValue: "-Infinity" },
      { intValue: "9223372036854775807" },
      { stringValue: "9223372036854775808" },
      { doubleValue: 9007199254740992 }
    ])
  })

  it("writes an empty document for no spans", () => {
    expect(OtlpJson.encode([])).toEqual({ resourceSpans: [] })
  })
})

describe("decode", () => {
  it("reads back what encode writes", () => {
    expect(decoded(asJson(OtlpJson.encode(spans)))).toEqual(spans)
  })

  it("reads back any span that encode writes", () => {
    fc.assert(
      fc.property(fc.array(spanArbitrary, { maxLength: 5 }), (any) => {
        // Grouping moves spans of one resource together, so compare by span id.
        expect(bySpanId(decoded(asJson(OtlpJson.encode(any))))).toEqual(bySpanId(any))
      })
    )
  })

  it("never throws, whatever JSON it is given", () => {
    const junk = fc.oneof(fc.jsonValue(), fc.constantFrom("", "0x1", -1, 2 ** 64, "9".repeat(30)))
    const fields = fc.constantFrom("traceId", "parentSpanId", "flags", "kind", "startTimeUnixNano", "events", "status")
    const kinds = fc.constantFrom("stringValue", "boolValue", "intValue", "doubleValue", "arrayValue", "kvlistValue")
    const documents = fc.oneof(
      fc.jsonValue(),
      fc.dictionary(fields, junk).map(documentOf),
      fc.dictionary(kinds, junk).map((value) => documentOf({ attributes: [{ key: "k", value }] }))
    )
    fc.assert(
      fc.property(documents, (document) => {
        expect(Result.isResult(OtlpJson.decode(document))).toBe(true)
      })
    )
  })

  it("reads the example of the OTLP repository, with ids in upper case", () => {
    const document = {
      resourceSpans: [
        {
          resource: { attributes: [{ key: "service.name", value: { stringValue: "my.service" } }] },
          scopeSpans: [
            {
              scope: {
                name: "my.library",
                version: "1.0.0",
                attributes: [{ key: "my.scope.attribute", value: { stringValue: "some scope attribute" } }]
              },
              spans: [
                {
                  traceId: "5B8EFFF798038103D269B633813FC60C",
                  spanId: "EEE19B7EC3C1B174",
                  parentSpanId: "EEE19B7EC3C1B173",
                  name: "I'm a server span",
                  startTimeUnixNano: "1544712660000000000",
                  endTimeUnixNano: "1544712661000000000",
                  kind: 2,
                  attributes: [{ key: "my.span.attr", value: { stringValue: "some value" } }]
                }
              ]
            }
          ]
        }
      ]
    }
    expect(decoded(document)).toEqual([
      SpanRecord.make({
        traceId: "5b8efff798038103d269b633813fc60c",
        spanId: "eee19b7ec3c1b174",
        parentSpanId: "eee19b7ec3c1b173",
        flags: 0,
        name: "I'm a server span",
        kind: "server",
        startTimeUnixNano: 1544712660000000000n,
        endTimeUnixNano: 1544712661000000000n,
        attributes: { "my.span.attr": "some value" },
        resource: { attributes: { "service.name": "my.service" } },
        scope: { name: "my.library", version: "1.0.0" }
      })
    ])
  })

  it("reads the forms in which emitters write the same thing", () => {
    const parents = [undefined, null, "", "0000000000000000"]
    expect(parents.map((parentSpanId) => decoded(documentOf({ parentSpanId }))[0]?.parentSpanId)).toEqual(
      parents.map(() => undefined)
    )
    const starts = [1795225539188422144, "1795225539188422249", null]
    expect(starts.map((startTimeUnixNano) => decoded(documentOf({ startTimeUnixNano }))[0]?.startTimeUnixNano)).toEqual(
      [1795225539188422144n, 1795225539188422249n, 0n]
    )
    expect([0, 2, 9, undefined].map((kind) => decoded(documentOf({ kind }))[0]?.kind)).toEqual([
      "internal",
      "server",
      "internal",
      "internal"
    ])
    expect([0x101, 0x301, 0x201].map((flags) => decoded(documentOf({ flags }))[0]?.parentIsRemote)).toEqual([
      false,
      true,
      false
    ])
    expect(decoded({ resourceLogs: [] })).toEqual([])
  })

  it("reads each sort of attribute value", () => {
    expect(
      [
        { intValue: 123 },
        { intValue: "-123" },
        { intValue: "9007199254740993" },
        { doubleValue: 123.0 },
        { doubleValue: "NaN" },
        { doubleValue: "1.5" },
        { boolValue: false },
        { bytesValue: "aGVsbG8=" },
        { stringValue: "" },
        {},
        null,
        undefined,
        { arrayValue: {} },
        { arrayValue: { values: [{ stringValue: "a" }, { intValue: "9007199254740993" }, {}] } },
        { arrayValue: { values: [{ kvlistValue: { values: [{ key: "role", value: { stringValue: "user" } }] } }] } },
        { kvlistValue: { values: [{ key: "__proto__", value: { intValue: "9007199254740993" } }, { key: "empty" }] } }
      ].map(attributeOf)
    ).toEqual([
      123,
      -123,
      9007199254740993n,
      123,
      NaN,
      1.5,
      false,
      "aGVsbG8=",
      "",
      "",
      "",
      "",
      [],
      ["a", 9007199254740993n, ""],
      ['{"role":"user"}'],
      '{"__proto__":"9007199254740993","empty":null}'
    ])
  })

  it("keeps a key named __proto__ as a key", () => {
    const [span] = decoded(documentOf({ attributes: [{ key: "__proto__", value: { stringValue: "x" } }] }))
    expect(Object.entries(span?.attributes ?? {})).toEqual([["__proto__", "x"]])
    expect(Object.getPrototypeOf(span?.attributes)).toBe(Object.prototype)
  })

  it("gives a span that never ended its start as its end", () => {
    const [span] = decoded(documentOf({ startTimeUnixNano: "5", endTimeUnixNano: "0" }))
    expect(span?.endTimeUnixNano).toBe(5n)
  })

  it("says where a document is wrong, what is there and what is allowed", () => {
    let nested: unknown = { stringValue: "deep" }
    for (let depth = 0; depth < 100_000; depth++) nested = { arrayValue: { values: [nested] } }
    const span = "Cannot read OTLP JSON: resourceSpans[0].scopeSpans[0].spans[0]"
    const long = "traces.json ".repeat(9)
    expect(
      [
        null,
        [],
        "spans",
        { resourceSpans: {} },
        { resourceSpans: [null, 1] },
        documentOf({ traceId: "W47/95gDgQPSabYzgT/GDA==" }),
        documentOf({ spanId: undefined }),
        documentOf({ traceId: "0".repeat(32) }),
        documentOf({ name: 5 }),
        documentOf({ startTimeUnixNano: long }),
        documentOf({ startTimeUnixNano: -1 }),
        documentOf({ flags: 1.5 }),
        documentOf({ attributes: [{ key: "k", value: { intValue: "9223372036854775808" } }] }),
        documentOf({ attributes: [{ key: "k", value: { boolValue: "yes" } }] }),
        documentOf({ attributes: [{ key: "k", value: { doubleValue: "many" } }] })
      ].map((document) => failure(OtlpJson.decode(document)))
    ).toEqual([
      "Cannot read OTLP JSON: expected an object, got null",
      "Cannot read OTLP JSON: expected an object, got an array",
      'Cannot read OTLP JSON: expected an object, got "spans"',
      "Cannot read OTLP JSON: resourceSpans: expected an array, got an object",
      "Cannot read OTLP JSON: resourceSpans[1]: expected an object, got 1",
      `${span}.traceId: expected 32 hex digits, not all 0, got "W47/95gDgQPSabYzgT/GDA=="`,
      `${span}.spanId: expected 16 hex digits, not all 0, got nothing`,
      `${span}.traceId: expected 32 hex digits, not all 0, got "00000000000000000000000000000000"`,
      `${span}.name: expected a string, got 5`,
      `${span}.startTimeUnixNano: expected an unsigned integer of 64 bits, got "traces.json traces.json traces.json trac…"`,
      `${span}.startTimeUnixNano: expected an unsigned integer of 64 bits, got -1`,
      `${span}.flags: expected an unsigned integer of 32 bits, got 1.5`,
      `${span}.attributes[0].value.intValue: expected an integer of 64 bits, got "9223372036854775808"`,
      `${span}.attributes[0].value.boolValue: expected true or false, got "yes"`,
      `${span}.attributes[0].value.doubleValue: expected a number, got "many"`
    ])
    expect(failure(OtlpJson.decode(documentOf({ attributes: [{ key: "k", value: nested }] })))).toMatch(
      /expected at most 64 levels of nesting, got an object$/
    )
  })
})

describe("decodeText", () => {
  const line = JSON.stringify(OtlpJson.encode(spans.slice(0, 1)))

  it("reads one document, or one per line", () => {
    const first = spans[0]
    expect(OtlpJson.decodeText(JSON.stringify(JSON.parse(line), null, 2))).toEqual(Result.succeed([first]))
    expect(OtlpJson.decodeText(`${line}\n\n{"resourceLogs":[]}\r\n${line}\n`)).toEqual(Result.succeed([first, first]))
    expect(OtlpJson.decodeText("")).toEqual(Result.succeed([]))
  })

  it("names the line that is wrong", () => {
    const broken = line.slice(0, 20)
    expect(failure(OtlpJson.decodeText(`${line}\n${broken}`))).toBe(
      `Cannot read OTLP JSON: line 2: expected JSON, got ${JSON.stringify(broken)}`
    )
    expect(failure(OtlpJson.decodeText(`${line}\n{"resourceSpans":[{"scopeSpans":1}]}`))).toBe(
      "Cannot read OTLP JSON: line 2: resourceSpans[0].scopeSpans: expected an array, got 1"
    )
    expect(failure(OtlpJson.decodeText(`${line}\n7`))).toBe("Cannot read OTLP JSON: line 2: expected an object, got 7")
  })
})

const hex = (digits: number) =>
  fc.stringMatching(new RegExp(`^[0-9a-f]{${digits}}$`)).filter((text) => !/^0+$/.test(text))
const nanos = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
// A double -0 reads back as the integer 0; a small bigint as a number.
const scalar = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.boolean(),
  fc.double().map((value) => (value === 0 ? 0 : value)),
  fc.integer(),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n })
)
const attributesArbitrary: fc.Arbitrary<SpanRecord.Attributes> = fc
  .array(fc.tuple(fc.string({ unit: "binary" }), fc.oneof(scalar, fc.array(scalar))))
  .map((entries) => Object.fromEntries(entries))
const uint32 = fc.nat({ max: 2 ** 32 - 1 })
const spanArbitrary: fc.Arbitrary<SpanRecord.SpanRecord> = fc.record({
  traceId: hex(32),
  spanId: hex(16),
  parentSpanId: fc.option(hex(16), { nil: undefined }),
  parentIsRemote: fc.boolean(),
  flags: fc.nat({ max: 255 }),
  traceState: fc.string(),
  name: fc.string({ unit: "binary" }),
  kind: fc.constantFrom("internal", "server", "client", "producer", "consumer"),
  startTimeUnixNano: fc.constant(0n),
  endTimeUnixNano: nanos,
  attributes: attributesArbitrary,
  events: fc.array(
    fc.record({
      name: fc.string(),
      timeUnixNano: nanos,
      attributes: attributesArbitrary,
      droppedAttributesCount: uint32
    }),
    { maxLength: 3 }
  ),
  links: fc.array(
    fc.record({
      traceId: hex(32),
      spanId: hex(16),
      flags: fc.nat({ max: 255 }),
      traceState: fc.string(),
      attributes: attributesArbitrary,
      droppedAttributesCount: uint32
    }),
    { maxLength: 3 }
  ),
  status: fc.oneof(
    fc.constant({ code: "unset" } as const),
    fc.constant({ code: "ok" } as const),
    fc.string().map((message) => ({ code: "error", message }) as const)
  ),
  droppedAttributesCount: uint32,
  droppedEventsCount: uint32,
  droppedLinksCount: uint32,
  resource: fc.record({ attributes: attributesArbitrary }),
  scope: fc.record({ name: fc.string(), version: fc.string() })
})
