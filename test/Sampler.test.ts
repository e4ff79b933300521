import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import * as Sampler from "../src/Sampler.ts"
import { question } from "./questions.ts"
import { traceIds } from "./trace-ids.ts"

const parent = (fields: Partial<Sampler.Parent> = {}): Sampler.Parent => ({
  spanId: "b7ad6b7169203331",
  sampled: true,
  isRemote: true,
  flags: 3,
  traceState: "",
  ...fields
})

const countTaken = (sampler: Sampler.Sampler, ids: ReadonlyArray<string>): number =>
  ids.filter((id) => sampler.decide(question({ traceId: id })).sampled).length

describe("always and never", () => {
  it("take every trace and none", () => {
    assert.deepStrictEqual(Sampler.always.decide(question()), { sampled: true, threshold: 0n })
    assert.deepStrictEqual(Sampler.never.decide(question()), { sampled: false, threshold: undefined })
  })
})

describe("ratio", () => {
  it("takes the very traces that OpenTelemetry's SDKs for Python and Go take, of a million", () => {
    const half = "7fffffffffffffff"
    const ids = [...traceIds(1_000_000), `${"f".repeat(16)}${half}`, `${half}8${"0".repeat(15)}`]
    for (const share of [0, 0.1, 1 / 3, 0.5, 1]) {
      const ours = Sampler.ratio(share)
      // As in Go. Python's 64 bits come to the same, and test/ci asks both.
      const bound = BigInt(share * 2 ** 63)
      const others = ids.filter(
        (id) => ours.decide(question({ traceId: id })).sampled !== BigInt(`0x${id.slice(16)}`) >> 1n < bound
      )
      assert.deepStrictEqual(others, [], `ratio ${share}`)
    }
  })

  it("takes the share that it is told, and all that a smaller share takes", () => {
    const ids = traceIds(100_000)
    assert.approximately(countTaken(Sampler.ratio(0.1), ids), 10_000, 300)
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(9_999), (share, index) => {
        const at = question({ traceId: ids[index]! })
        return !Sampler.ratio(share / 2).decide(at).sampled || Sampler.ratio(share).decide(at).sampled
      })
    )
  })

  it.each([-0.1, 1.1, Number.NaN])("refuses %s", (share) => {
    assert.throws(() => Sampler.ratio(share), `Cannot sample: ratio is ${share}, and must be from 0 to 1`)
  })
})

describe("probability", () => {
  it("turns down traces whose random number is below the threshold, and tells it", () => {
    const half = Sampler.probability(0.5)
    const random = (hex: string) => question({ traceId: "f".repeat(18) + hex })
    assert.deepStrictEqual(half.decide(random("80000000000000")), { sampled: true, threshold: 2n ** 55n })
    assert.deepStrictEqual(half.decide(random("7fffffffffffff")), { sampled: false, threshold: undefined })
  })

  it("tells a threshold as exactly as the share is given", () => {
    const told = (share: number) => Sampler.probability(share).decide(question({ traceId: "f".repeat(32) })).threshold
    assert.deepStrictEqual([0.1, 0.25, 1 / 3].map(told), [0xe6666666666666n, 0xc0000000000000n, 0xaaaaaaaaaaaaacn])
  })

  it("takes all of 1 and none of 0", () => {
    const zeros = question({ traceId: `1${"0".repeat(31)}` })
    const ones = question({ traceId: "f".repeat(32) })
    assert.deepStrictEqual(Sampler.probability(1).decide(zeros), { sampled: true, threshold: 0n })
    assert.strictEqual(Sampler.probability(0).decide(ones).sampled, false)
  })

  it("goes by the random number that a caller gave the trace", () => {
    const low = question({ traceId: "f".repeat(32), parent: parent({ traceState: "ot=rv:00000000000001" }) })
    assert.strictEqual(Sampler.probability(0.5).decide(low).sampled, false)
  })

  it("takes the share that it is told", () => {
    assert.approximately(countTaken(Sampler.probability(0.1), traceIds(100_000)), 10_000, 300)
  })
})

describe("parentBased", () => {
  const named = (name: string): Sampler.Sampler => ({
    name,
    decide: () => ({ sampled: true, threshold: BigInt(name.length) })
  })
  const kinds = [
    ["no parent", undefined],
    ["a remote one that is taken", parent()],
    ["a remote one that is not", parent({ sampled: false })],
    ["one in here that is taken", parent({ isRemote: false })],
    ["one in here that is not", parent({ isRemote: false, sampled: false })]
  ] as const

  it("asks another sampler for each kind of parent", () => {
    const sampler = Sampler.parentBased({
      root: named("1"),
      remoteParentSampled: named("22"),
      remoteParentNotSampled: named("333"),
      localParentSampled: named("4444"),
      localParentNotSampled: named("55555")
    })
    assert.deepStrictEqual(
      kinds.map(([, parent]) => sampler.decide(question({ parent })).threshold),
      [1n, 2n, 3n, 4n, 5n]
    )
    assert.strictEqual(sampler.asksInside, "all")
  })

  it("follows callers that turn a trace down, unless it is told what to do with those", () => {
    const follows = (remoteParentNotSampled?: Sampler.Sampler) =>
      Sampler.parentBased({ root: Sampler.never, remoteParentNotSampled }).followsCallers
    assert.deepStrictEqual([follows(), follows(Sampler.never), follows(Sampler.ratio(0.5))], [true, true, false])
  })

  it("does as the parent does unless told otherwise, at the parent's threshold", () => {
    const sampler = Sampler.parentBased({ root: Sampler.never })
    assert.deepStrictEqual(
      kinds.map(([, parent]) => sampler.decide(question({ parent })).sampled),
      [false, true, false, true, false]
    )
    const tenth = question({ parent: parent({ traceState: "a=1,ot=th:e6666666666668" }) })
    assert.deepStrictEqual(sampler.decide(tenth), { sampled: true, threshold: 0xe6666666666668n })
    assert.isUndefined(sampler.asksInside)
  })
})

describe("ask", () => {
  const asking = (asksInside: Sampler.Sampler["asksInside"]): Sampler.Sampler => ({
    name: "other",
    asksInside,
    decide: () => ({ sampled: true, threshold: 1n })
  })
  const decisions = (sampler: Sampler.Sampler) =>
    [
      undefined,
      parent({ sampled: false }),
      parent({ isRemote: false, traceState: "ot=th:8" }),
      parent({ isRemote: false, sampled: false })
    ].map((parent) => Sampler.ask(sampler, question({ parent })))

  it("asks a sampler about the spans that it wishes to be asked about, and does as the parent for others", () => {
    const own = { sampled: true, threshold: 1n }
    const no = { sampled: false, threshold: undefined }
    assert.deepStrictEqual(decisions(asking(undefined)), [own, own, { sampled: true, threshold: 2n ** 55n }, no])
    assert.deepStrictEqual(decisions(asking("taken")), [own, own, own, no])
    assert.deepStrictEqual(decisions(asking("all")), [own, own, own, own])
  })

  it("asParent() takes what has no parent", () => {
    assert.deepStrictEqual(Sampler.asParent(question()), { sampled: true, threshold: undefined })
  })
})

describe("rateLimited", () => {
  const at = (seconds: number) => question({ startTimeUnixNano: BigInt(seconds * 1e9) })
  const takes = (sampler: Sampler.Sampler, ...seconds: ReadonlyArray<number>) =>
    seconds.map((second) => sampler.decide(at(second)).sampled)

  it("takes so many a second, and as many at once", () => {
    assert.deepStrictEqual(takes(Sampler.rateLimited(2), 0, 0, 0, 0.4, 0.5, 0.6, 10, 10, 10), [
      true,
      true,
      false,
      false,
      true,
      false,
      true,
      true,
      false
    ])
  })

  it("takes less than one a second", () => {
    assert.deepStrictEqual(takes(Sampler.rateLimited(0.5), 0, 1, 2, 3, 4), [true, false, true, false, true])
  })

  it("goes on from a clock that is set back, which gives nothing by itself", () => {
    assert.deepStrictEqual(takes(Sampler.rateLimited(1), 1e9, 3600, 3600.5, 3601, 3601), [
      true,
      false,
      false,
      true,
      false
    ])
  })

  it("goes by the time at which it is asked, where that is told", () => {
    const sampler = Sampler.rateLimited(1)
    const asked = (startTimeUnixNano: bigint, now: bigint) =>
      sampler.decide(question({ startTimeUnixNano, now: () => now })).sampled
    assert.deepStrictEqual(
      [asked(0n, 10n ** 10n), asked(9n * 10n ** 9n, 10n ** 10n), asked(0n, 11n * 10n ** 9n)],
      [true, false, true]
    )
  })

  it.each([0, -1, Number.NaN, Infinity])("refuses %s", (rate) => {
    assert.throws(() => Sampler.rateLimited(rate), `tracesPerSecond is ${rate}, and must be a number above 0`)
  })
})

describe("withHints", () => {
  it.effect("adds to what was said further out", () =>
    Effect.gen(function* () {
      const inner = Sampler.withHints({ tier: "gold" })(Effect.map(Sampler.Hints, (hints) => hints))
      assert.deepStrictEqual(yield* Sampler.withHints({ tier: "none", user: 7 })(inner), { tier: "gold", user: 7 })
      assert.deepStrictEqual(yield* Effect.map(Sampler.Hints, (hints) => hints), {})
    })
  )
})
