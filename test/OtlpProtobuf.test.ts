import { JsonTraceSerializer, ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as OpenTelemetry from "../src/exporter/OpenTelemetry.ts"
import * as OtlpJson from "../src/OtlpJson.ts"
import * as OtlpProtobuf from "../src/OtlpProtobuf.ts"
import * as SpanRecord from "../src/SpanRecord.ts"
import { sampleSpans as spans } from "./sample-spans.ts"

// ---------------------------------------------------------------------------------------------------------------------
// Protobuf by hand
// ---------------------------------------------------------------------------------------------------------------------

type Bytes = ReadonlyArray<number>

/** A varint of as many bytes as it takes, or of more. */
const varint = (value: number | bigint, length = 0): Bytes => {
  const out: Array<number> = []
  let rest = BigInt.asUintN(64, BigInt(value))
  do {
    out.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  } while (rest > 0n || out.length < length)
  out.push(out.pop()! & 0x7f)
  return out
}

const tagOf = (field: number, type: number): Bytes => varint((BigInt(field) << 3n) | BigInt(type))

const number = (field: number, value: number | bigint): Bytes => [...tagOf(field, 0), ...varint(value)]

const fixed64 = (field: number, value: bigint): Bytes => [
  ...tagOf(field, 1),
  ...new Uint8Array(BigUint64Array.of(value).buffer)
]

const double = (field: number, value: number): Bytes => [
  ...tagOf(field, 1),
  ...new Uint8Array(Float64Array.of(value).buffer)
]

const fixed32 = (field: number, value: number): Bytes => [
  ...tagOf(field, 5),
  ...new Uint8Array(Uint32Array.of(value).buffer)
]

const sized = (field: number, ...parts: ReadonlyArray<Bytes>): Bytes => {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  return [...tagOf(field, 2), ...varint(length), ...parts.flat()]
}

const text = (field: number, value: string): Bytes => sized(field, [...new TextEncoder().encode(value)])

const traceId: Bytes = sized(
  1,
  Array.from({ length: 16 }, (_, i) => i + 1)
)
const spanId: Bytes = sized(
  2,
  Array.from({ length: 8 }, (_, i) => 0xf0 + i)
)

/** A document of one span with these fields. */
const documentOf = (...fields: ReadonlyArray<Bytes>): Bytes => sized(1, sized(2, sized(2, traceId, spanId, ...fields)))

const attribute = (key: string, ...value: ReadonlyArray<Bytes>): Bytes => sized(9, text(1, key), sized(2, ...value))

const decode = (bytes: Bytes) => OtlpProtobuf.decode(Uint8Array.from(bytes))

const decoded = (bytes: Bytes): ReadonlyArray<SpanRecord.SpanRecord> => Result.getOrThrow(decode(bytes))

const spanOf = (...fields: ReadonlyArray<Bytes>): SpanRecord.SpanRecord => decoded(documentOf(...fields))[0]!

const attributeOf = (...value: ReadonlyArray<Bytes>): unknown => spanOf(attribute("k", ...value)).attributes["k"]

const failure = (result: Result.Result<unknown, OtlpProtobuf.OtlpProtobufError>): string =>
  Result.isFailure(result) ? result.failure.message : expect.fail("expected a failure")

// ---------------------------------------------------------------------------------------------------------------------
// OpenTelemetry's own serializers
// ---------------------------------------------------------------------------------------------------------------------

const serialize = (spans: ReadonlyArray<SpanRecord.SpanRecord>): Uint8Array =>
  ProtobufTraceSerializer.serializeRequest(spans.map(OpenTelemetry.toReadableSpan))!

/** The same spans through JSON. */
const viaJson = (spans: ReadonlyArray<SpanRecord.SpanRecord>): ReadonlyArray<SpanRecord.SpanRecord> => {
  const bytes = JsonTraceSerializer.serializeRequest(spans.map(OpenTelemetry.toReadableSpan))
  return Result.getOrThrow(OtlpJson.decodeText(new TextDecoder().decode(bytes)))
}

// ---------------------------------------------------------------------------------------------------------------------
// The same document, written otherwise
// ---------------------------------------------------------------------------------------------------------------------

/** The messages of OTLP, by their fields that are messages. */
interface Message {
  readonly [field: number]: Message
}
const anyValue: { [field: number]: Message } = {}
const keyValue: Message = { 2: anyValue }
Object.assign(anyValue, { 5: { 1: anyValue }, 6: { 1: keyValue } })
const span: Message = { 9: keyValue, 11: { 3: keyValue }, 13: { 4: keyValue }, 15: {} }
const tracesData: Message = { 1: { 1: { 1: keyValue }, 2: { 1: { 3: keyValue }, 2: span } } }

/** Writes each message with its fields in another order, with unknown ones around them, and with long varints. */
const otherwise = (bytes: Uint8Array, message: Message, unknown: ReadonlyArray<Bytes>): Bytes => {
  const fields: Array<readonly [field: number, bytes: Bytes]> = []
  let at = 0
  const read = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++]!
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
  while (at < bytes.length) {
    const tag = read()
    const [field, type] = [tag >>> 3, tag & 7]
    const start = at
    const length = type === 0 ? undefined : type === 1 ? 8 : type === 5 ? 4 : read()
    const content = at
    if (length === undefined) while (bytes[at++]! >= 0x80);
    else at += length
    const inner = message[field]
    const written =
      type !== 2
        ? [...bytes.subarray(start, at)]
        : ((part: Bytes) => [...varint(part.length, 5), ...part])(
            inner === undefined
              ? [...bytes.subarray(content, at)]
              : otherwise(bytes.subarray(content, at), inner, unknown)
          )
    fields.push([field, [...varint(tag, 5), ...written]])
  }
  return fields
    .toSorted(([left], [right]) => right - left)
    .flatMap(([, field], index) => [...(unknown[index % (unknown.length || 1)] ?? []), ...field])
    .concat(unknown.flat())
}

describe("decode", () => {
  it("reads what OpenTelemetry's own serializer writes", () => {
    expect(Result.getOrThrow(OtlpProtobuf.decode(serialize(spans)))).toEqual(spans)
  })

  it("reads of any spans what OtlpJson reads of the same spans in JSON", () => {
    fc.assert(
      fc.property(fc.array(spanArbitrary, { maxLength: 4 }), (any) => {
        expect(Result.getOrThrow(OtlpProtobuf.decode(serialize(any)))).toEqual(viaJson(any))
      })
    )
  })

  it("reads the same with fields in another order, unknown ones among them, and padded varints", () => {
    fc.assert(
      fc.property(
        fc.array(spanArbitrary, { maxLength: 3 }),
        fc.array(unknownField, { maxLength: 3 }),
        (any, unknown) => {
          expect(decoded(otherwise(serialize(any), tracesData, unknown))).toEqual(viaJson(any))
        }
      )
    )
  })

  it("reads the forms in which emitters write the same thing", () => {
    const parents = [[], sized(4), sized(4, Array(8).fill(0)), sized(4, [0, 0])]
    expect(parents.map((parent) => spanOf(parent).parentSpanId)).toEqual(parents.map(() => undefined))
    expect([0, 2, 9, -1].map((kind) => spanOf(number(6, kind)).kind)).toEqual([
      "internal",
      "server",
      "internal",
      "internal"
    ])
    expect([0x101, 0x301, 0x201].map((flags) => spanOf(fixed32(16, flags)).parentIsRemote)).toEqual([
      false,
      true,
      false
    ])
    expect([0, 1, 2, 3, -1].map((code) => spanOf(sized(15, text(2, "why"), number(3, code))).status)).toEqual([
      { code: "unset" },
      { code: "ok" },
      { code: "error", message: "why" },
      { code: "unset" },
      { code: "unset" }
    ])
    expect(decoded([])).toEqual([])
    expect(decoded([...sized(1), ...sized(1, sized(2)), ...documentOf()])).toEqual([spanOf()])
    expect(spanOf()).toEqual(
      SpanRecord.make({
        traceId: "0102030405060708090a0b0c0d0e0f10",
        spanId: "f0f1f2f3f4f5f6f7",
        flags: 0,
        name: "",
        scope: { name: "", version: "" }
      })
    )
  })

  it("reads each sort of attribute value", () => {
    const list = (...values: ReadonlyArray<Bytes>) => sized(5, ...values.map((value) => sized(1, value)))
    const map = (...entries: ReadonlyArray<readonly [string, Bytes]>) =>
      sized(6, ...entries.map(([key, value]) => sized(1, text(1, key), sized(2, value))))
    const long = number(3, 9007199254740993n)
    expect(
      [
        number(3, 123),
        number(3, -123),
        double(4, 123.0),
        double(4, NaN),
        double(4, 1.5),
        number(2, 0),
        number(2, 1),
        sized(7, [104, 101, 108, 108, 111]),
        text(1, ""),
        [],
        sized(5),
        list(text(1, "a"), long, []),
        list(map(["role", text(1, "user")])),
        list(list(number(3, 1), long), list()),
        sized(6),
        map(["__proto__", long], ["empty", []], ["nan", double(4, NaN)], ["list", list([])])
      ].map((value) => attributeOf(value))
    ).toEqual([
      123,
      -123,
      123,
      NaN,
      1.5,
      false,
      true,
      "aGVsbG8=",
      "",
      "",
      [],
      ["a", 9007199254740993n, ""],
      ['{"role":"user"}'],
      ['[1,"9007199254740993"]', "[]"],
      "{}",
      '{"__proto__":"9007199254740993","empty":null,"nan":null,"list":[null]}'
    ])
    expect(spanOf(sized(9, text(1, "no value"))).attributes).toEqual({ "no value": "" })
  })

  it("reads integers of 64 bits exactly, as numbers where they are", () => {
    const edges = [7n, 14n, 21n, 28n, 31n, 32n, 35n, 49n, 53n, 56n, 63n].flatMap((bits) => [
      2n ** bits - 1n,
      ...(bits === 63n ? [] : [2n ** bits]),
      -(2n ** bits),
      1n - 2n ** bits
    ])
    for (const value of edges) {
      const isNumber = Number.isSafeInteger(Number(value))
      expect(attributeOf(number(3, value))).toBe(isNumber ? Number(value) : value)
    }
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.nat({ max: 10 }), (value, length) => {
        const isNumber = Number.isSafeInteger(Number(value))
        expect(attributeOf([0x18, ...varint(value, length)])).toBe(isNumber ? Number(value) : value)
      })
    )
    // Of a tenth byte, all bits but one are beyond the 64.
    expect(spanOf([0x50, ...varint(5, 9).with(8, 0x80), 0x7e]).droppedAttributesCount).toBe(5)
  })

  it("reads any text, short or long, known or new, as TextDecoder does", () => {
    const bytes = fc.oneof(
      fc.string({ unit: "binary", maxLength: 100 }).map((value) => [...new TextEncoder().encode(value)]),
      fc.array(fc.nat({ max: 255 }), { maxLength: 100 })
    )
    const utf8 = new TextDecoder("utf-8", { ignoreBOM: true })
    fc.assert(
      fc.property(fc.array(bytes), (all) => {
        const document = documentOf(...[...all, ...all].map((value) => sized(11, sized(2, value))))
        expect(decoded(document)[0]!.events.map((event) => event.name)).toEqual(
          [...all, ...all].map((value) => utf8.decode(Uint8Array.from(value)))
        )
      })
    )
    expect(spanOf(sized(5, [0xef, 0xbb, 0xbf, 0x61, 0xff, 0xc3])).name).toBe("\ufeffa\ufffd\ufffd")
  })

  it("keeps a key named __proto__ as a key", () => {
    const { attributes } = spanOf(attribute("__proto__", text(1, "x")), attribute("__proto__", text(1, "y")))
    expect(Object.entries(attributes)).toEqual([["__proto__", "y"]])
    expect(Object.getPrototypeOf(attributes)).toBe(Object.prototype)
  })

  it("takes the last of what comes twice, and puts together what comes in parts", () => {
    const twice = spanOf(
      text(5, "first"),
      attribute("k", text(1, "first")),
      sized(15, text(2, "why"), number(3, 1)),
      text(5, "last"),
      attribute("k", text(1, "first"), number(3, 2)),
      sized(15, number(3, 2))
    )
    expect([twice.name, twice.attributes, twice.status]).toEqual(["last", { k: 2 }, { code: "error", message: "why" }])
    const entry = (key: string, value: number) => sized(1, text(1, key), sized(2, number(3, value)))
    const inParts = (a: number) =>
      sized(
        1,
        sized(1, entry("a", a)),
        sized(2, sized(1, text(1, "scope")), sized(2, traceId, spanId), sized(1, text(2, "1.0"))),
        sized(1, entry("b", 0))
      )
    const scope = { name: "scope", version: "1.0" }
    expect(decoded([...inParts(1), ...inParts(2)]).map(({ resource, scope }) => [resource, scope])).toEqual([
      [{ attributes: { a: 1, b: 0 } }, scope],
      [{ attributes: { a: 2, b: 0 } }, scope]
    ])
  })

  it("skips a known field that has another wire type", () => {
    expect(spanOf(number(5, 1), fixed64(6, 1n), fixed32(9, 1), number(16, 1), text(7, "x"))).toEqual(spanOf())
  })

  it("reads a trace id that is what the document begins with", () => {
    const documentWith = (id: Bytes) => sized(1, sized(2, sized(2, sized(1, id), spanId)))
    const header = documentWith(Array(16).fill(1)).slice(0, 8)
    const document = documentWith([...header, ...header])
    expect(decoded(document)[0]?.traceId).toBe(Buffer.from(document.slice(0, 16)).toString("hex"))
  })

  it("gives a span that never ended its start as its end", () => {
    expect(spanOf(fixed64(7, 5n)).endTimeUnixNano).toBe(5n)
  })

  it("makes one object of resources with the same bytes, and of scopes with the same name and version", () => {
    const group = (service: string, scope: string, version: string) =>
      sized(
        1,
        sized(1, sized(1, text(1, "service.name"), sized(2, text(1, service)))),
        sized(2, sized(1, text(1, scope), text(2, version)), sized(2, traceId, spanId))
      )
    // So many that what is kept between documents is not enough for them.
    const others = Array.from({ length: 3000 }, (_, index) => group(`other ${index}`, `other ${index}`, ""))
    const groups = [group("a", "s", ""), ...others, group("a", "s", ""), group("b", "s1", "0"), group("b", "s", "10")]
    const [first, ...rest] = decoded(groups.flat())
    const again = rest[others.length]
    expect(again?.resource).toBe(first?.resource)
    expect(again?.scope).toBe(first?.scope)
    const [one, two] = rest.slice(-2)
    expect(one?.resource).toBe(two?.resource)
    expect([one?.scope, two?.scope]).toEqual([
      { name: "s1", version: "0" },
      { name: "s", version: "10" }
    ])
    const bytes = Uint8Array.from(group("across", "documents", "1"))
    const [before] = Result.getOrThrow(OtlpProtobuf.decode(bytes))
    const [after] = Result.getOrThrow(OtlpProtobuf.decode(bytes.slice()))
    expect(after?.resource).toBe(before?.resource)
    expect(after?.scope).toBe(before?.scope)
  })

  it("keeps nothing of the bytes, and reads a part of a buffer", () => {
    const around = new Uint8Array([1, 2, 3, ...serialize(spans), 4, 5])
    const read = Result.getOrThrow(OtlpProtobuf.decode(around.subarray(3, -2)))
    around.fill(0xff)
    expect(read).toEqual(spans)
  })

  it("says where a document is wrong and what is allowed", () => {
    const start = 6
    const ids = traceId.length + spanId.length
    const at = (offset: number, expected: string) => `Cannot read OTLP protobuf: byte ${offset}: expected ${expected}`
    const within = "a field that ends within its message"
    const badSpan = (...fields: ReadonlyArray<Bytes>) => sized(1, sized(2, sized(2, ...fields)))
    expect(
      [
        [0x0a, 5],
        [0x0a],
        [0x80],
        [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        [0x0a, ...Array(10).fill(0x80), 0],
        [0x0b],
        [0x0c],
        [0x0e],
        [0x00, 0x00],
        [0x80, 0x80, 0x80, 0x80, 0x10, 0x01],
        badSpan(sized(1, Array(15).fill(1)), spanId),
        badSpan(sized(1, Array(16).fill(0)), spanId),
        badSpan(traceId, sized(2, Array(9).fill(1))),
        badSpan(traceId, sized(2)),
        badSpan(traceId, spanId, sized(4, Array(7).fill(1))),
        badSpan(spanId),
        badSpan(),
        documentOf(sized(13, traceId)),
        documentOf(number(10, 2 ** 32)),
        // A length that fits into the document, but not into the message around it.
        [...sized(1, [0x12, 2]), ...sized(1)],
        [...documentOf([0x4a, 1, 0x0a]), ...documentOf()],
        documentOf(sized(11, [0x20, 0x81]), number(12, 1))
      ].map((document) => failure(decode(document)))
    ).toEqual([
      at(0, within),
      at(0, within),
      at(0, within),
      at(0, within),
      at(0, "a varint of at most 10 bytes"),
      ...[0, 0, 0].map((offset) => at(offset, "a field of wire type 0, 1, 2 or 5")),
      ...[0, 0].map((offset) => at(offset, "a field number from 1 to 2^29 - 1")),
      at(start, "16 bytes, not all 0"),
      at(start, "16 bytes, not all 0"),
      at(start + traceId.length, "8 bytes, not all 0"),
      at(start + traceId.length, "8 bytes, not all 0"),
      at(start + ids, "8 bytes, not all 0"),
      at(4, "a span with a trace id and a span id"),
      at(4, "a span with a trace id and a span id"),
      at(start + ids, "a link with a trace id and a span id"),
      at(start + ids, "an unsigned integer of 32 bits"),
      at(2, within),
      at(start + ids + 2, within),
      at(start + ids + 2, within)
    ])
  })

  it("says the same of the same document again", () => {
    const broken = sized(1, sized(1, sized(1, text(1, "k"), [0x12, 9])), sized(2, sized(2, traceId, spanId)))
    expect(failure(decode(broken))).toBe(failure(decode(broken)))
    expect(decoded(documentOf())).toEqual([spanOf()])
  })

  it("reads values that nest 64 levels, and refuses deeper ones without overflowing the stack", () => {
    // From the inside out, as each length counts what is within.
    const nested = (levels: number, tags: ReadonlyArray<number>): Bytes => {
      const headers: Array<Bytes> = []
      let length = 0
      for (let level = 0; level < levels; level++) {
        for (const tag of tags) length += headers[headers.push([tag, ...varint(length)]) - 1]!.length
      }
      return headers.toReversed().flat()
    }
    for (const tags of [
      [0x0a, 0x2a],
      [0x12, 0x0a, 0x32]
    ]) {
      expect(Result.isSuccess(decode(documentOf(attribute("k", nested(64, tags)))))).toBe(true)
      for (const levels of [65, 100_000]) {
        expect(failure(decode(documentOf(attribute("k", nested(levels, tags)))))).toMatch(
          /expected at most 64 levels of nesting$/
        )
      }
    }
  })

  it("refuses a document above 64 MiB before it reads it", () => {
    expect(failure(OtlpProtobuf.decode(new Uint8Array(64 * 1024 * 1024 + 1)))).toBe(
      "Cannot read OTLP protobuf: byte 0: expected a document of at most 64 MiB"
    )
  })

  describe("never throws", () => {
    const small = serialize(spans.slice(0, 2).map((span) => ({ ...span, attributes: { ...span.attributes, long: 1 } })))

    const isWhole = (span: SpanRecord.SpanRecord): boolean =>
      /^[0-9a-f]{32}$/.test(span.traceId) &&
      /^[0-9a-f]{16}$/.test(span.spanId) &&
      span.links.every((link) => /^[0-9a-f]{32}$/.test(link.traceId))

    const isResult = (bytes: Uint8Array): boolean => {
      const result = OtlpProtobuf.decode(bytes)
      const answer = OtlpProtobuf.decodePartialSuccess(bytes)
      return Result.isResult(answer) && (Result.isFailure(result) || result.success.every(isWhole))
    }

    it("on random bytes", () => {
      fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), isResult), { numRuns: 2000 })
    })

    it("on a document cut off anywhere, which it refuses", () => {
      expect(Result.isSuccess(OtlpProtobuf.decode(small))).toBe(true)
      for (let length = 1; length < small.length; length++) {
        expect(failure(OtlpProtobuf.decode(small.subarray(0, length)))).toMatch(/expected a field that ends within/)
      }
    })

    it("on a document with any bit, or any byte, wrong", () => {
      for (let at = 0; at < small.length; at++) {
        const changes = [1, 2, 4, 8, 16, 32, 64, 128].map((bit) => small[at]! ^ bit).concat(0, 0x7f, 0x80, 0xff)
        for (const byte of changes) expect(isResult(small.with(at, byte))).toBe(true)
      }
    })
  })
})

describe("decodePartialSuccess", () => {
  const answer = (...parts: ReadonlyArray<Bytes>) =>
    OtlpProtobuf.decodePartialSuccess(Uint8Array.from(sized(1, ...parts)))

  it("reads how many spans were refused, and why", () => {
    expect(answer(number(1, 300), text(2, "too old"))).toEqual(
      Result.succeed({ rejectedSpans: 300, errorMessage: "too old" })
    )
    expect(answer(text(2, "use gzip"), fixed64(7, 1n))).toEqual(
      Result.succeed({ rejectedSpans: 0, errorMessage: "use gzip" })
    )
  })

  it("reads an answer that says nothing as none refused", () => {
    const none = Result.succeed({ rejectedSpans: 0, errorMessage: "" })
    expect(OtlpProtobuf.decodePartialSuccess(new Uint8Array())).toEqual(none)
    expect(OtlpProtobuf.decodePartialSuccess(Uint8Array.from(number(9, 1)))).toEqual(none)
    expect(answer()).toEqual(none)
    expect(answer(number(1, -1))).toEqual(none)
  })

  it("refuses what is not protobuf, such as a page of HTML", () => {
    const page = new TextEncoder().encode("<html><body>Sign in</body></html>")
    expect(failure(OtlpProtobuf.decodePartialSuccess(page))).toMatch(/^Cannot read OTLP protobuf: byte 0: expected/)
  })
})

const hex = (digits: number) =>
  fc.stringMatching(new RegExp(`^[0-9a-f]{${digits}}$`)).filter((value) => !/^0+$/.test(value))
const nanos = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const uint32 = fc.nat({ max: 2 ** 32 - 1 })
const scalar = fc.oneof(fc.string({ unit: "binary" }), fc.boolean(), fc.double(), fc.maxSafeInteger())
const attributes: fc.Arbitrary<SpanRecord.Attributes> = fc
  .array(
    fc.tuple(
      fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("__proto__", "constructor", "7", "gen_ai.request.model")),
      fc.oneof(scalar, fc.array(scalar))
    )
  )
  .map((entries) => Object.fromEntries(entries))
const spanArbitrary: fc.Arbitrary<SpanRecord.SpanRecord> = fc.record({
  traceId: hex(32),
  spanId: hex(16),
  parentSpanId: fc.option(hex(16), { nil: undefined }),
  parentIsRemote: fc.boolean(),
  flags: fc.nat({ max: 255 }),
  traceState: fc.constantFrom("", "a=b", "vendor=1,other=2"),
  name: fc.string({ unit: "binary" }),
  kind: fc.constantFrom("internal", "server", "client", "producer", "consumer"),
  startTimeUnixNano: nanos,
  endTimeUnixNano: nanos,
  attributes,
  events: fc.array(fc.record({ name: fc.string(), timeUnixNano: nanos, attributes, droppedAttributesCount: uint32 }), {
    maxLength: 3
  }),
  links: fc.array(
    fc.record({
      traceId: hex(32),
      spanId: hex(16),
      flags: fc.nat({ max: 255 }),
      traceState: fc.constantFrom("", "a=b"),
      attributes,
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
  resource: fc.record({ attributes }),
  scope: fc.record({ name: fc.string(), version: fc.string() })
})
const unknownField: fc.Arbitrary<Bytes> = fc
  .tuple(
    fc.integer({ min: 100, max: 2 ** 29 - 1 }),
    fc.oneof(
      nanos.map((value) => [0, varint(value)] as const),
      nanos.map((value) => [1, [...new Uint8Array(BigUint64Array.of(value).buffer)]] as const),
      fc.array(fc.nat({ max: 255 })).map((value) => [2, [...varint(value.length), ...value]] as const),
      uint32.map((value) => [5, [...new Uint8Array(Uint32Array.of(value).buffer)]] as const)
    )
  )
  .map(([field, [type, value]]) => [...tagOf(field, type), ...value])
