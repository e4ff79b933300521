import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
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
    ["millis takes a number", Variable.millis, "250", Duration.millis(250)],
    ["millis refuses a unit", Variable.millis, "1 second", undefined],
    ["duration takes a unit", Variable.duration, "2 minutes", Duration.minutes(2)],
    ["duration refuses a bare number", Variable.duration, "250", undefined],
    ["duration refuses an unknown unit", Variable.duration, "2 lightyears", undefined],
    ["endpoint leaves the path alone", Variable.endpoint, "https://a/b?c=d", "https://a/b?c=d"],
    ["baseEndpoint adds the path", Variable.baseEndpoint, "https://a/b/?c=d", "https://a/b/v1/traces?c=d"],
    ["baseEndpoint adds it once", Variable.baseEndpoint, "http://a:4318/v1/traces", "http://a:4318/v1/traces"],
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
