import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Ledger from "../src/Ledger.ts"

const count = fc.nat({ max: 1_000_000 })
const anyDropped = fc.record({
  queue_full: count,
  refused: count,
  retries_exhausted: count,
  too_large: count,
  damaged: count,
  expired: count,
  shutdown: count
})

/** Wherever spans may be, so that none was lost. */
const balanced: fc.Arbitrary<Ledger.Ledger> = fc
  .record({
    recovered: count,
    live: count,
    unsampled: count,
    held: count,
    queued: count,
    inFlight: count,
    spooled: count,
    exported: count,
    dropped: anyDropped
  })
  .map((places) => {
    const { dropped, recovered, ...others } = places
    const all = [...Object.values(others), ...Object.values(dropped)].reduce((sum, n) => sum + n, 0)
    return { exporter: "test", started: all - recovered, ...places }
  })

/** A ledger, and the same with one more span in one of its places. */
const withOneMore = (ledger: Ledger.Ledger): ReadonlyArray<Ledger.Ledger> => {
  const { dropped, exporter: _, ...counts } = ledger
  return [
    ...Object.entries(counts).map(([place, n]) => ({ ...ledger, [place]: n + 1 })),
    ...Object.entries(dropped).map(([reason, n]) => ({ ...ledger, dropped: { ...dropped, [reason]: n + 1 } }))
  ]
}

describe("Ledger", () => {
  it("isBalanced() holds where every span has a place, and nowhere else", () => {
    fc.assert(
      fc.property(balanced, (ledger) => {
        assert.isTrue(Ledger.isBalanced(ledger))
        const others = withOneMore(ledger)
        assert.deepStrictEqual(
          others.map(Ledger.isBalanced),
          others.map(() => false)
        )
      })
    )
  })

  it("totalDropped() sums all reasons", () => {
    const dropped = {
      queue_full: 1,
      refused: 10,
      retries_exhausted: 100,
      too_large: 1_000,
      damaged: 10_000,
      expired: 100_000,
      shutdown: 1_000_000
    }
    const [ledger] = fc.sample(balanced, 1)
    assert.strictEqual(Ledger.totalDropped({ ...ledger!, dropped }), 1_111_111)
  })
})
