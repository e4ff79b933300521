import { assert, describe, it } from "@effect/vitest"
import { Redacted } from "effect"
import * as fc from "fast-check"
import * as SpanRecord from "../src/SpanRecord.ts"

describe("SpanRecord.toAttributeValue", () => {
  it("keeps plain values and lists of one kind, as copies", () => {
    const list = [1, 2]
    const copied = SpanRecord.toAttributeValue(list)
    assert.deepStrictEqual(copied, [1, 2])
    assert.notStrictEqual(copied, list)
    assert.deepStrictEqual(
      ["a", 1, 1.5, 9007199254740993n, true, ["a"], [true]].map((value) => SpanRecord.toAttributeValue(value)),
      ["a", 1, 1.5, 9007199254740993n, true, ["a"], [true]]
    )
  })

  it("writes other objects as JSON text, without secrets and without end in circles", () => {
    const circle: Record<string, unknown> = { name: "circle" }
    circle["self"] = circle
    const sparse = Object.assign([1], { 2: 3 })
    assert.deepStrictEqual(
      [
        sparse,
        [1, undefined],
        [],
        [1, "a"],
        { a: 1 },
        null,
        circle,
        new Date(0),
        { key: Redacted.make("hunter2") }
      ].map((value) => SpanRecord.toAttributeValue(value)),
      [
        "[1,null,3]",
        "[1,null]",
        "[]",
        '[1,"a"]',
        '{"a":1}',
        "null",
        '{"name":"circle"}',
        '"1970-01-01T00:00:00.000Z"',
        '{"key":"<redacted>"}'
      ]
    )
  })

  it("cuts texts at a length, never inside of a character", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.nat(20), (text, length) => {
        const cut = SpanRecord.toAttributeValue(text, length) as string
        return cut.length <= length && text.startsWith(cut) && (!text.isWellFormed() || cut.isWellFormed())
      })
    )
  })

  it("never fails", () => {
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withMap: true, withNullPrototype: true, withSparseArray: true }),
        (value) => {
          SpanRecord.toAttributeValue(value, 10)
        }
      )
    )
    const revoked = Proxy.revocable({}, {})
    revoked.revoke()
    assert.strictEqual(SpanRecord.toAttributeValue(revoked.proxy), "!UNENCODABLE")
  })
})

describe("SpanRecord.durationMillis", () => {
  it("counts milliseconds with fractions", () => {
    const span = SpanRecord.make({ name: "span", startTimeUnixNano: 10n, endTimeUnixNano: 1_500_010n })
    assert.deepStrictEqual([SpanRecord.durationNanos(span), SpanRecord.durationMillis(span)], [1_500_000n, 1.5])
  })
})
