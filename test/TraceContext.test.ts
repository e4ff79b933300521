import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"
import * as fc from "fast-check"
import * as TraceContext from "../src/TraceContext.ts"

const traceId = "12345678901234567890123456789012"
const spanId = "1234567890123456"
const parsed = (flags: number) => ({ traceId, spanId, flags, traceState: "" })

const hex = (length: number) =>
  fc
    .array(fc.constantFrom(..."0123456789abcdef"), { minLength: length, maxLength: length })
    .map((digits) => digits.join(""))
    .filter((text) => !/^0+$/.test(text))

describe("parseTraceparent", () => {
  // The vectors of w3c/trace-context test/test.py, class TraceContextTest.
  it.each([
    ["version 00", `00-${traceId}-${spanId}-01`, 1],
    ["not sampled", `00-${traceId}-${spanId}-00`, 0],
    ["the random flag of level 2", `00-${traceId}-${spanId}-03`, 3],
    ["unknown flags, which are cleared", `00-${traceId}-${spanId}-ff`, 3],
    ["a future version", `cc-${traceId}-${spanId}-01`, 1],
    ["a future version that goes on", `cc-${traceId}-${spanId}-01-what-the-future-will-be-like`, 1],
    ["white space around it", `\t 00-${traceId}-${spanId}-01 \t`, 1]
  ])("parseTraceparent() takes %s", (_, header, flags) => {
    assert.deepStrictEqual(TraceContext.parseTraceparent(header), parsed(flags))
  })

  it.each([
    ["nothing", ""],
    ["version ff", `ff-${traceId}-${spanId}-01`],
    ["version 00 that goes on with a dot", `00-${traceId}-${spanId}-01.`],
    ["version 00 that goes on", `00-${traceId}-${spanId}-01-what-the-future-will-be-like`],
    ["a future version that goes on without a dash", `cc-${traceId}-${spanId}-01.what`],
    ["a future version of less than 55 characters", `cc-${traceId}-${spanId}-0`],
    ["an illegal version", `.0-${traceId}-${spanId}-01`],
    ["an illegal end of the version", `0.-${traceId}-${spanId}-01`],
    ["a version too long", `000-${traceId}-${spanId}-01`],
    ["a version too short", `0-${traceId}-${spanId}-01`],
    ["an upper-case version", `CC-${traceId}-${spanId}-01`],
    ["a trace id of zeros", `00-${"0".repeat(32)}-${spanId}-01`],
    ["an illegal trace id", `00-.2345678901234567890123456789012-${spanId}-01`],
    ["an illegal end of the trace id", `00-1234567890123456789012345678901.-${spanId}-01`],
    ["an upper-case trace id", `00-${"A".repeat(32)}-${spanId}-01`],
    ["a trace id too long", `00-123456789012345678901234567890123-${spanId}-01`],
    ["a trace id too short", `00-1234567890123456789012345678901-${spanId}-01`],
    ["a parent id of zeros", `00-${traceId}-${"0".repeat(16)}-01`],
    ["an illegal parent id", `00-${traceId}-.234567890123456-01`],
    ["an illegal end of the parent id", `00-${traceId}-123456789012345.-01`],
    ["a parent id too long", `00-${traceId}-12345678901234567-01`],
    ["a parent id too short", `00-${traceId}-123456789012345-01`],
    ["illegal flags", `00-${traceId}-${spanId}-.0`],
    ["an illegal end of the flags", `00-${traceId}-${spanId}-0.`],
    ["upper-case flags", `00-${traceId}-${spanId}-0A`],
    ["flags too long", `00-${traceId}-${spanId}-001`],
    ["flags too short", `00-${traceId}-${spanId}-1`],
    ["two headers in one", `00-${traceId}-${spanId}-01,00-${traceId}-${spanId}-01`],
    ["two headers of a future version in one", `cc-${traceId}-${spanId}-01-x,cc-${traceId}-${spanId}-01`],
    ["a line break after it", `00-${traceId}-${spanId}-01\n`],
    ["what Effect sends while tracing is off", "00-0000000000000000000000000000noop-noop-00"]
  ])("parseTraceparent() refuses %s", (_, header) => {
    assert.strictEqual(TraceContext.parseTraceparent(header), undefined)
  })

  it("parseTraceparent() reads what formatTraceparent() writes", () => {
    fc.assert(
      fc.property(hex(32), hex(16), fc.integer({ min: 0, max: 3 }), (traceId, spanId, flags) => {
        const context = { traceId, spanId, flags, traceState: "" }
        assert.deepStrictEqual(TraceContext.parseTraceparent(TraceContext.formatTraceparent(context)), context)
      })
    )
  })

  it("parseTraceparent() gives a valid context or none for any text", () => {
    const nearly = fc
      .tuple(fc.constantFrom("00", "01", "ff", "cc"), hex(32), hex(16), fc.string())
      .map((parts) => parts.join("-"))
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), nearly), (header) => {
        const context = TraceContext.parseTraceparent(header)
        if (context === undefined) return
        assert.isTrue(TraceContext.isTraceId(context.traceId) && TraceContext.isSpanId(context.spanId))
      })
    )
  })
})

describe("parseTraceState", () => {
  const many = (count: number) => Array.from({ length: count }, (_, index) => `bar${index}=${index}`)
  const allowed = (from: number, to: number) =>
    String.fromCharCode(...Array.from({ length: to - from + 1 }, (_, index) => from + index))
  const value = allowed(0x20, 0x2b) + allowed(0x2d, 0x3c) + allowed(0x3e, 0x7e)

  it.each<[string, string | ReadonlyArray<string>, string]>([
    ["one list", "foo=1,bar=2", "foo=1,bar=2"],
    ["several headers in their order", ["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"],
    ["empty members", ["", "foo=1,,", ""], "foo=1"],
    ["nothing", "", ""],
    ["white space around members", "foo=1 \t , \t bar=2, \t baz=3\t", "foo=1,bar=2,baz=3"],
    ["white space that begins a value", "foo= 1", "foo= 1"],
    ["every allowed character", `abcz0189_-*/@a-z=${value}`, `abcz0189_-*/@a-z=${value}`],
    ["@ anywhere but first in a key, as level 2 allows", "foo@@bar@=1,bar=2", "foo@@bar@=1,bar=2"],
    ["32 members", many(32), many(32).join(",")],
    ["a key of 256 characters", ["foo=1", `${"z".repeat(256)}=1`], `foo=1,${"z".repeat(256)}=1`],
    ["a value of 256 characters", `foo=${"z".repeat(256)}`, `foo=${"z".repeat(256)}`]
  ])("parseTraceState() takes %s", (_, headers, expected) => {
    assert.strictEqual(TraceContext.parseTraceState(headers), expected)
  })

  it.each<[string, string | ReadonlyArray<string>]>([
    ["33 members", many(33)],
    ["a key that comes twice", "foo=1,foo=1"],
    ["a key that comes twice with other values", "foo=1,foo=2"],
    ["a key that comes twice over headers", ["foo=1", "foo=2"]],
    ["a key with a space", "foo =1,bar=2"],
    ["an upper-case key", "FOO=1,bar=2"],
    ["a key with a dot", "foo.bar=1,bar=2"],
    ["a key that begins with @", "@foo=1,bar=2"],
    ["a key of 257 characters", ["foo=1", `${"z".repeat(257)}=1`]],
    ["a value of 257 characters", `foo=${"z".repeat(257)},bar=2`],
    ["a value with =", "foo=bar=baz"],
    ["an empty value", "foo=,bar=3"],
    ["a member without =", "foo,bar=3"],
    ["a character beyond ASCII", "foo=ü,bar=3"]
  ])("parseTraceState() voids the list for %s", (_, headers) => {
    assert.strictEqual(TraceContext.parseTraceState(headers), "")
  })

  it("parseTraceState() beyond 512 characters drops long members first, then from the right", () => {
    const member = (key: string, length: number) => `${key}=${"v".repeat(length - 2)}`
    assert.strictEqual(
      TraceContext.parseTraceState([member("a", 200), member("b", 128), member("c", 128), member("d", 128)]),
      [member("b", 128), member("c", 128), member("d", 128)].join(",")
    )
    assert.strictEqual(
      TraceContext.parseTraceState(["a", "b", "c", "d", "e"].map((key) => member(key, 120))),
      ["a", "b", "c", "d"].map((key) => member(key, 120)).join(",")
    )
  })

  it("parseTraceState() gives for any text a list that it reads as the same list", () => {
    const nearly = fc
      .array(fc.tuple(fc.stringMatching(/^[a-z@ ]{1,8}$/), fc.string({ maxLength: 200 })), { maxLength: 40 })
      .map((members) => members.map((member) => member.join("=")))
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), nearly), (headers) => {
        const state = TraceContext.parseTraceState(headers)
        assert.strictEqual(TraceContext.parseTraceState(state), state)
        assert.isAtMost(state.length, 512)
      })
    )
  })
})

describe("fromSpan", () => {
  const remote = { traceId, spanId, flags: 2, traceState: "a=1,b=2" }

  it("fromSpan() gives back what toExternalSpan() was given", () => {
    for (const flags of [0, 1, 2, 3]) {
      const context = { ...remote, flags }
      const span = TraceContext.toExternalSpan(context)
      assert.strictEqual(span.sampled, flags % 2 === 1)
      assert.deepStrictEqual(TraceContext.fromSpan(span), context)
    }
  })

  it("fromSpan() reads the flags and tracestate that a span has itself", () => {
    const span = Object.assign(Object.create({ _tag: "Span", annotations: Context.empty(), sampled: true }), remote)
    assert.deepStrictEqual(TraceContext.fromSpan({ ...span, _tag: "Span", sampled: true }), { ...remote, flags: 3 })
  })

  it.effect("fromSpan() takes tracestate and random flag of another tracer's span from its remote ancestor", () =>
    Effect.gen(function* () {
      const span = yield* Effect.currentSpan
      assert.deepStrictEqual(TraceContext.fromSpan(span), { ...remote, spanId: span.spanId })
    }).pipe(
      Effect.withSpan("inner"),
      Effect.withSpan("outer"),
      Effect.withParentSpan(TraceContext.toExternalSpan(remote))
    )
  )

  it.effect("fromSpan() of a new root knows nothing but its ids and sampled", () =>
    Effect.gen(function* () {
      const span = yield* Effect.currentSpan
      assert.deepStrictEqual(TraceContext.fromSpan(span), {
        traceId: span.traceId,
        spanId: span.spanId,
        flags: 1,
        traceState: ""
      })
    }).pipe(Effect.withSpan("root", { root: true }), Effect.withParentSpan(TraceContext.toExternalSpan(remote)))
  )

  it.effect("fromSpan() never lets the ids of a span out that was made while tracing was off", () =>
    Effect.gen(function* () {
      assert.strictEqual(TraceContext.fromSpan(yield* Effect.currentSpan), undefined)
      assert.strictEqual(
        TraceContext.fromSpan(Tracer.externalSpan({ traceId: traceId.replaceAll(/\d/g, "0"), spanId })),
        undefined
      )
    }).pipe(Effect.withSpan("off"), Effect.withTracerEnabled(false))
  )
})

describe("baggage", () => {
  const entries = (baggage: TraceContext.Baggage) =>
    [...baggage].map(([name, entry]) => [name, entry.value, entry.metadata])

  // The vectors of w3c/baggage test/baggage/test_baggage.py, and its specification's examples.
  it.each<[string, string | ReadonlyArray<string>, ReadonlyArray<ReadonlyArray<string>>]>([
    ["one member", "SomeKey=SomeValue", [["SomeKey", "SomeValue", ""]]],
    [
      "white space",
      "SomeKey \t = \t SomeValue \t ; \t SomeProp \t , \t SomeKey2 \t = \t SomeValue2 \t",
      [
        ["SomeKey", "SomeValue", "SomeProp"],
        ["SomeKey2", "SomeValue2", ""]
      ]
    ],
    ["properties", "k=v;p1;p2=x=y", [["k", "v", "p1;p2=x=y"]]],
    ["= in values", "SomeKey=SomeValue=equals", [["SomeKey", "SomeValue=equals", ""]]],
    [
      "percent encoding",
      "SomeKey=%09%20%22%27%3B%3Dasdf%21%40%23%24%25%5E%26%2A%28%29",
      [["SomeKey", "\t \"';=asdf!@#$%^&*()", ""]]
    ],
    ["UTF-8", "k=%C3%BC%E2%82%AC%F0%9F%98%80", [["k", "ü€😀", ""]]],
    ["bytes that are not UTF-8", "k=a%FFb%C3", [["k", "a\ufffdb\ufffd", ""]]],
    [
      "a percent sign that encodes nothing",
      "k=100%,l=%GG",
      [
        ["k", "100%", ""],
        ["l", "%GG", ""]
      ]
    ],
    [
      "several headers",
      ["userId=alice", "serverNode=DF%2028,isProduction=false"],
      [
        ["userId", "alice", ""],
        ["serverNode", "DF 28", ""],
        ["isProduction", "false", ""]
      ]
    ],
    ["a name that comes twice", "k=1,k=2", [["k", "2", ""]]],
    ["an empty value", "k=", [["k", "", ""]]],
    ["members without a name, which are left out", "=1, k k=2,,novalue,ok=3", [["ok", "3", ""]]],
    ["nothing", "", []]
  ])("parseBaggage() reads %s", (_, headers, expected) => {
    assert.deepStrictEqual(entries(TraceContext.parseBaggage(headers)), expected)
  })

  const baggageOf = (list: ReadonlyArray<readonly [string, string, string?]>): TraceContext.Baggage =>
    new Map(list.map(([name, value, metadata = ""]) => [name, { value, metadata }]))

  it("formatBaggage() encodes what must be encoded and nothing else", () => {
    assert.strictEqual(
      TraceContext.formatBaggage(
        baggageOf([
          ["k", 'a b%",;\\ü+=!', "ttl=3;private"],
          ["l", ""]
        ])
      ),
      "k=a%20b%25%22%2C%3B%5C%C3%BC%2B=!;ttl=3;private,l="
    )
  })

  it("formatBaggage() leaves out what would break the header", () => {
    assert.strictEqual(
      TraceContext.formatBaggage(
        baggageOf([
          ["a b", "1"],
          ["", "1"],
          ["c", "\r\nx: y", "p\r\nx: y"],
          ["d", "1", "p,q=1"]
        ])
      ),
      "c=%0D%0Ax:%20y,d=1"
    )
  })

  it("formatBaggage() and parseBaggage() keep 64 members and 8192 bytes, in whole members", () => {
    const many = Array.from({ length: 65 }, (_, index) => [`k${index}`, "v"] as const)
    assert.strictEqual(TraceContext.formatBaggage(baggageOf(many)).split(",").length, 64)
    assert.strictEqual(TraceContext.parseBaggage(many.map((pair) => pair.join("="))).size, 64)
    const wide = [
      ["a", "v".repeat(8180)],
      ["b", "v".repeat(20)],
      ["c", "12345"]
    ] as const
    assert.strictEqual(TraceContext.formatBaggage(baggageOf(wide)), `a=${"v".repeat(8180)},c=12345`)
    assert.deepStrictEqual([...TraceContext.parseBaggage(wide.map((pair) => pair.join("="))).keys()], ["a", "c"])
  })

  it("parseBaggage() reads what formatBaggage() writes", () => {
    const name = fc.stringMatching(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,10}$/)
    const entry = fc.record({ value: fc.string({ unit: "grapheme" }), metadata: fc.constantFrom("", "p", "p=1;q") })
    fc.assert(
      fc.property(fc.array(fc.tuple(name, entry), { maxLength: 20 }), (list) => {
        const baggage = new Map(list)
        assert.deepStrictEqual([...TraceContext.parseBaggage(TraceContext.formatBaggage(baggage))], [...baggage])
      })
    )
  })

  it("parseBaggage() and formatBaggage() take any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary-ascii" }), (text, ascii) => {
        for (const header of [text, ascii, `k=${text}`, `k=${ascii};${text}`]) {
          const written = TraceContext.formatBaggage(TraceContext.parseBaggage(header))
          assert.match(written, /^[\x20-\x7e\t]*$/)
        }
      })
    )
  })

  it.effect("CurrentBaggage is empty until somebody gives one", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* TraceContext.CurrentBaggage).size, 0)
    })
  )
})
