import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { createHash } from "node:crypto"
import * as DerivedIds from "../src/DerivedIds.ts"
import * as TraceContext from "../src/TraceContext.ts"

describe("DerivedIds.traceId, DerivedIds.spanId", () => {
  it("are the first digits of the platform's SHA-256, for keys of any length", () => {
    const key = fc.array(fc.oneof(fc.string({ unit: "binary", maxLength: 200 }), fc.integer()), { maxLength: 3 })
    const digest = (kind: string, key: ReadonlyArray<string | number>) =>
      createHash("sha256")
        .update(JSON.stringify([kind, ...key]))
        .digest("hex")
    fc.assert(
      fc.property(key, (key) => {
        assert.strictEqual(DerivedIds.traceId(...key), digest("trace", key).slice(0, 32))
        assert.strictEqual(DerivedIds.spanId(...key), digest("span", key).slice(0, 16))
      }),
      { numRuns: 500 }
    )
  })

  it("are valid, the same for the same key, and others for each other key", () => {
    const keys: ReadonlyArray<ReadonlyArray<string | number>> = [[], [""], ["1"], [1], ["a", "b"], ["ab"], ['a","b']]
    const traceIds = new Set(keys.map((key) => DerivedIds.traceId(...key)))
    const spanIds = new Set(keys.map((key) => DerivedIds.spanId(...key)))
    assert.deepStrictEqual([traceIds.size, spanIds.size], [keys.length, keys.length])
    assert.isTrue([...traceIds].every(TraceContext.isTraceId))
    assert.isTrue([...spanIds].every(TraceContext.isSpanId))
    assert.strictEqual(DerivedIds.traceId("a", 1), DerivedIds.traceId("a", 1))
  })

  it("have random bits that a ratio can go by", () => {
    const bits = Array.from({ length: 56 }, () => 0)
    for (let run = 0; run < 4000; run++) {
      const random = BigInt(`0x${DerivedIds.traceId("trip", run).slice(18)}`)
      for (let bit = 0; bit < 56; bit++) bits[bit]! += Number((random >> BigInt(bit)) & 1n)
    }
    // Half of 4000, give or take five standard deviations.
    assert.deepStrictEqual(
      bits.filter((ones) => Math.abs(ones - 2000) > 158),
      []
    )
  })
})
