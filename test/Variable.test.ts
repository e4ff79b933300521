import { assert, describe, it } from "@effect/vitest"
import * as Redacted from "effect/Redacted"
import * as fc from "fast-check"
import * as Variable from "../src/Variable.ts"

describe("parsers", () => {
  it.each<[string, Variable.Parser<unknown>, string, unknown]>([
    ["oneOf() takes a name in any case", Variable.oneOf("a", "b"), "B", "b"],
    ["oneOf() refuses other names", Variable.oneOf("a", "b"), "c", undefined],
    ["flag() takes a yes", Variable.flag(true), "Yes", true],
    ["flag() turns a yes about", Variable.flag(false), "ON", false],
    ["flag() refuses a maybe", Variable.flag(true), "maybe", undefined],
    ["integer() takes the least", Variable.integer(1), "1", 1],
    ["integer() refuses less", Variable.integer(1), "0", undefined],
    ["integer() refuses fractions", Variable.integer(0), "1.5", undefined],
    ["integer() refuses what a number cannot hold", Variable.integer(0), "9".repeat(16), undefined],
    ["integerOrInfinity() takes numbers", Variable.integerOrInfinity(1), "7", 7],
    ["integerOrInfinity() takes no limit", Variable.integerOrInfinity(1), "Infinity", Infinity],
    ["integerOrInfinity() refuses less", Variable.integerOrInfinity(1), "0", undefined],
    ["ratio takes none", Variable.ratio, "0", 0],
    ["ratio takes all", Variable.ratio, "1.0", 1],
    ["ratio takes a share", Variable.ratio, ".25", 0.25],
    ["ratio takes an exponent", Variable.ratio, "1e-3", 0.001],
    ["ratio refuses more", Variable.ratio, "1.0001", undefined],
    ["ratio refuses less", Variable.ratio, "-0.1", undefined],
    ["ratio refuses other numbers", Variable.ratio, "0x1", undefined],
    ["ratio refuses percent", Variable.ratio, "10%", undefined],
    ["openTelemetryFlag() takes true", Variable.openTelemetryFlag(false), "True", false],
    ["openTelemetryFlag() takes false", Variable.openTelemetryFlag(false), "FALSE", true],
    ["openTelemetryFlag() takes no other yes", Variable.openTelemetryFlag(false), "1", undefined],
    ["listOf() takes each once", Variable.listOf("a", "b", "none"), " B, a,,b", ["b", "a"]],
    ["listOf() takes none alone", Variable.listOf("a", "none"), "none", ["none"]],
    ["listOf() refuses none with others", Variable.listOf("a", "none"), "a,none", undefined],
    ["listOf() refuses other names", Variable.listOf("a", "b"), "a,c", undefined],
    ["listOf() refuses an empty list", Variable.listOf("a", "b"), ",", undefined],
    ["endpoint leaves the path alone", Variable.endpoint, "https://a/b?c=d", "https://a/b?c=d"],
    ["baseEndpoint adds the path", Variable.baseEndpoint, "https://a/b/?c=d", "https://a/b/v1/traces?c=d"],
    ["baseEndpoint adds it once", Variable.baseEndpoint, "http://a:4318/v1/traces", "http://a:4318/v1/traces"],
    ["baseEndpoint leaves a slash behind it", Variable.baseEndpoint, "http://a/v1/traces/", "http://a/v1/traces/"],
    ["baseEndpoint takes an address and port", Variable.baseEndpoint, "[::1]:4317", "http://[::1]:4317/v1/traces"],
    ["baseEndpoint takes host and port", Variable.baseEndpoint, "jaeger:4317", "http://jaeger:4317/v1/traces"],
    ["baseEndpoint refuses other schemes", Variable.baseEndpoint, "file:///tmp", undefined],
    ["host takes a name", Variable.host, "jaeger-1.local", "jaeger-1.local"],
    ["host takes an address", Variable.host, "[::1]", "[::1]"],
    ["host refuses spaces", Variable.host, "a b", undefined],
    ["host refuses a port", Variable.host, "a:4318", undefined],
    ["host refuses credentials", Variable.host, "user:hunter2@a", undefined],
    ["host refuses a path", Variable.host, "a/b", undefined],
    ["pairs decodes values", Variable.pairs, " a = b%20c , d=e=f,", { a: "b c", d: "e=f" }],
    ["pairs takes any name", Variable.pairs, "__proto__=a", Object.fromEntries([["__proto__", "a"]])],
    ["pairs refuses a pair without a name", Variable.pairs, "a=b,=c", undefined],
    ["pairs refuses a bad encoding", Variable.pairs, "a=%ff", undefined],
    ["headers refuses a name that is no token", Variable.headers, "a b=c", undefined],
    ["headers refuses a line break", Variable.headers, "a=b%0d%0ac: d", undefined]
  ])("%s", (_, parser, text, expected) => {
    assert.deepStrictEqual(parser.parse(text), expected)
  })

  it.each<[string, Variable.Parser<unknown>, string, unknown]>([
    ["oneOf() leaves nothing", Variable.oneOf("a", "b"), "c", undefined],
    ["integer() leaves nothing", Variable.integer(0), "-1", undefined],
    ["listOf() leaves what it knows", Variable.listOf("a", "b"), "c,B", { value: ["b"], text: "b" }],
    ["listOf() leaves what is beside none", Variable.listOf("a", "none"), "none,a", { value: ["a"], text: "a" }],
    ["listOf() leaves none alone", Variable.listOf("a", "none"), "none,c", { value: ["none"], text: "none" }],
    ["listOf() leaves nothing that it does not know", Variable.listOf("a", "b"), "c", undefined],
    ["openTelemetryFlag() leaves a no", Variable.openTelemetryFlag(false), "1", { value: true, text: "false" }],
    ["pairs leaves nothing", Variable.pairs, "=a", undefined]
  ])("OpenTelemetry's rules: %s", (_, parser, text, expected) => {
    assert.deepStrictEqual(parser.salvage?.(text), expected)
  })

  it.each<[string, Variable.Parser<unknown>]>([
    ["flag()", Variable.flag(true)],
    ["ratio", Variable.ratio],
    ["endpoint", Variable.endpoint],
    ["baseEndpoint", Variable.baseEndpoint],
    ["headers", Variable.headers],
    ["host", Variable.host]
  ])("OpenTelemetry's rules leave an error for %s", (_, parser) => {
    assert.isUndefined(parser.salvage)
  })

  const secret = Redacted.make("a")

  it.each<[string, Variable.Parser<unknown>, value: unknown, expected: unknown]>([
    ["oneOf() takes a name", Variable.oneOf("a", "b"), "b", "b"],
    ["oneOf() takes it in its own case alone", Variable.oneOf("a", "b"), "B", undefined],
    ["oneOf() refuses what is no text", Variable.oneOf("a", "b"), ["a"], undefined],
    ["listOf() takes each once", Variable.listOf("a", "b", "none"), ["b", "a", "b"], ["b", "a"]],
    ["listOf() refuses other names", Variable.listOf("a", "b"), ["a", "c"], undefined],
    ["listOf() refuses none with others", Variable.listOf("a", "none"), ["a", "none"], undefined],
    ["listOf() refuses an empty list", Variable.listOf("a", "b"), [], undefined],
    ["listOf() refuses a text", Variable.listOf("a", "b"), "a", undefined],
    ["flag() takes it as it is", Variable.flag(false), true, true],
    ["flag() refuses a text", Variable.flag(true), "true", undefined],
    ["openTelemetryFlag() takes it as it is", Variable.openTelemetryFlag(false), false, false],
    ["anyIsNo takes it as it is", Variable.anyIsNo, true, true],
    ["integer() takes the least", Variable.integer(1), 1, 1],
    ["integer() refuses less", Variable.integer(1), 0, undefined],
    ["integer() refuses what is no number", Variable.integer(0), Number.NaN, undefined],
    ["integer() refuses no limit", Variable.integer(0), Infinity, undefined],
    ["integer() refuses what a number cannot hold", Variable.integer(0), 2 ** 53, undefined],
    ["integerOrInfinity() takes no limit", Variable.integerOrInfinity(0), Infinity, Infinity],
    ["integerOrInfinity() refuses less", Variable.integerOrInfinity(0), -Infinity, undefined],
    ["ratio takes a share", Variable.ratio, 0.25, 0.25],
    ["ratio refuses what is no number", Variable.ratio, Number.NaN, undefined],
    ["anyText takes a text", Variable.anyText, "", ""],
    ["anyText refuses a number", Variable.anyText, 1, undefined],
    ["host refuses a port", Variable.host, "a:1", undefined],
    ["endpoint leaves the path alone", Variable.endpoint, "https://a/b", "https://a/b"],
    ["baseEndpoint adds the path", Variable.baseEndpoint, "https://a/b", "https://a/b/v1/traces"],
    ["baseEndpoint refuses an object", Variable.baseEndpoint, new URL("https://a"), undefined],
    ["pairs takes texts", Variable.pairs, { a: "b" }, { a: "b" }],
    ["pairs refuses others", Variable.pairs, { a: 1 }, undefined],
    ["pairs refuses a list", Variable.pairs, ["a"], undefined],
    ["pairs refuses nothing", Variable.pairs, null, undefined],
    ["headers takes secrets", Variable.headers, { a: secret }, { a: secret }],
    ["headers refuses a bare text", Variable.headers, { a: "b" }, undefined],
    ["headers refuses a name that is no token", Variable.headers, { "a b": secret }, undefined]
  ])("from code: %s", (_, parser, value, expected) => {
    assert.deepStrictEqual(parser.accept(value), expected)
  })

  it("headers keeps values secret", () => {
    assert.deepStrictEqual(
      Object.entries(Variable.headers.parse("api-key=a%2Cb") ?? {}).map(([name, value]) => [
        name,
        JSON.stringify(value),
        Redacted.value(value)
      ]),
      [["api-key", '"<redacted>"', "a,b"]]
    )
  })

  it.each([
    ["http://collector:4318/otlp/", "http://collector:4318/otlp/"],
    ["grpc://user:hunter2@host", "grpc://<redacted>@host"],
    ["user:hunter2@host:4318/a", "<redacted>@host:4318/a"],
    ["http:\\\\user:hunter2@host", "<redacted>@host"],
    ["http://user:hun/ter@2?#@host", "http://<redacted>@host"],
    ["ftp://host/a?key=hunter2#b", "ftp://host/a?<redacted>"],
    ["ftp://host/a#hunter2", "ftp://host/a#<redacted>"],
    ["", ""]
  ])("redactUrl() shows %j without its secrets", (text, expected) => {
    assert.strictEqual(Variable.redactUrl(text), expected)
  })

  it("pairs reads what was written", () => {
    const text = fc.string({ unit: "grapheme" })
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z.]+$/), text), (record) => {
        const written = Object.entries(record).map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
        assert.deepStrictEqual(Variable.pairs.parse(written.join(",")), { ...record })
      })
    )
  })
})
