import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as OtelTraceState from "../src/OtelTraceState.ts"
import * as TraceContext from "../src/TraceContext.ts"

describe("threshold", () => {
  it.each<[string, bigint | undefined]>([
    ["", undefined],
    ["vendor=1", undefined],
    ["ot=th:0", 0n],
    ["ot=th:8", 2n ** 55n],
    ["a=1,ot=rv:00000000000001;th:c", 3n * 2n ** 54n],
    ["ot=th:", undefined],
    ["ot=th:G", undefined],
    ["ot=th:000000000000000", undefined],
    ["ot=p:8;th:ff", 0xffn * 2n ** 48n]
  ])("of %s", (traceState, threshold) => {
    assert.strictEqual(OtelTraceState.threshold(traceState), threshold)
  })
})

describe("randomness", () => {
  it("is 14 digits, or none", () => {
    assert.deepStrictEqual(
      ["ot=rv:0000000000000a", "ot=th:8;rv:ffffffffffffff", "ot=rv:a", "ot=rv:0000000000000A", "rv=1"].map(
        OtelTraceState.randomness
      ),
      [10n, 2n ** 56n - 1n, undefined, undefined, undefined]
    )
  })
})

describe("withThreshold", () => {
  it("writes the entry first, and leaves others as they are", () => {
    assert.deepStrictEqual(
      [
        ["", 2n ** 55n],
        ["a=1,b=2", 0n],
        ["a=1,ot=th:8;rv:00000000000001,b=2", 3n * 2n ** 54n],
        ["a=1,ot=th:8", 2n ** 55n],
        ["a=1,ot=th:8,b=2", undefined],
        ["a=1,ot=th:8;x:y", undefined],
        ["a=1", undefined]
      ].map(([traceState, threshold]) =>
        OtelTraceState.withThreshold(traceState as string, threshold as bigint | undefined)
      ),
      ["ot=th:8", "ot=th:0,a=1,b=2", "ot=th:c;rv:00000000000001,a=1,b=2", "a=1,ot=th:8", "a=1,b=2", "ot=x:y,a=1", "a=1"]
    )
  })

  it("leaves parts that it does not know as they are", () => {
    assert.strictEqual(OtelTraceState.withThreshold("ot=x;th:8;y:1:2;x", 0n), "ot=th:0;x;y:1:2;x")
    assert.strictEqual(OtelTraceState.withThreshold("ot=x;th:8;y:1:2;x", undefined), "ot=x;y:1:2;x")
  })

  it("keeps a list within 32 members, and lets the right-most of the others go", () => {
    const others = Array.from({ length: 32 }, (_, index) => `k${index}=1`)
    const written = OtelTraceState.withThreshold(others.join(","), 2n ** 55n)
    assert.strictEqual(written, ["ot=th:8", ...others.slice(0, 31)].join(","))
    assert.strictEqual(TraceContext.parseTraceState(written), written)
    const full = [...others.slice(0, 31), "ot=rv:00000000000001"].join(",")
    assert.strictEqual(
      OtelTraceState.withThreshold(full, 0n),
      ["ot=th:0;rv:00000000000001", ...others.slice(0, 31)].join(",")
    )
  })

  it("leaves its own part out where the entry would be longer than 256 characters, and no other", () => {
    const rest = `rv:00000000000001;x:${"y".repeat(256 - 20)}`
    assert.strictEqual(rest.length, 256)
    assert.strictEqual(OtelTraceState.withThreshold(`a=1,ot=${rest}`, 0n), `a=1,ot=${rest}`)
    assert.strictEqual(OtelTraceState.withThreshold(`a=1,ot=th:8;${rest}`, 0n), `ot=${rest},a=1`)
    assert.strictEqual(OtelTraceState.withThreshold(`ot=${rest.slice(5)}`, 0n), `ot=th:0;${rest.slice(5)}`)
  })

  it("is read back", () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 2n ** 56n - 1n }),
        fc.constantFrom("", "a=1", "ot=rv:00000000000001"),
        (threshold, before) => {
          const written = OtelTraceState.withThreshold(before, threshold)
          assert.strictEqual(OtelTraceState.threshold(written), threshold)
          assert.strictEqual(OtelTraceState.randomness(written), OtelTraceState.randomness(before))
        }
      )
    )
  })
})

describe("both", () => {
  it("is the larger one, and not known where either is not", () => {
    assert.deepStrictEqual(
      [
        OtelTraceState.both(1n, 2n),
        OtelTraceState.both(2n, 0n),
        OtelTraceState.both(undefined, 0n),
        OtelTraceState.both(0n, undefined)
      ],
      [2n, 2n, undefined, undefined]
    )
  })
})
