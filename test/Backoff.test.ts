import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { Backoff } from "../src/Backoff.ts"

/** How long each of so many attempts waits, where each follows the last as soon as it may. */
const waits = (failures: number, random: number): ReadonlyArray<number> => {
  const backoff = new Backoff()
  let now = 1_000
  return Array.from({ length: failures }, () => {
    backoff.fail(now, random, 0)
    const wait = backoff.waitMillis(now)
    now += wait
    return wait
  })
}

describe("Backoff", () => {
  it("does not wait before the first failure, nor after a success", () => {
    const backoff = new Backoff()
    const state = () => [backoff.isFailing, backoff.waitMillis(0)]
    assert.deepStrictEqual(state(), [false, 0])
    backoff.fail(0, 0, 0)
    assert.deepStrictEqual(state(), [true, 100])
    backoff.succeed()
    assert.deepStrictEqual(state(), [false, 0])
    backoff.fail(0, 0, 0)
    assert.deepStrictEqual(state(), [true, 100])
  })

  it("waits twice as long each time, up to five seconds", () => {
    assert.deepStrictEqual(waits(9, 0), [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000])
    assert.strictEqual(waits(2_000, 0).at(-1), 5000)
  })

  it("waits up to half less, as the dice fall", () => {
    assert.deepStrictEqual(waits(7, 1), [50, 100, 200, 400, 800, 1600, 2500])
    const longest = waits(9, 0)
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (random) => {
        assert.deepStrictEqual(
          waits(9, random),
          longest.map((wait) => Math.ceil(wait * (1 - random / 2)))
        )
      })
    )
  })

  it("waits as long as the receiver asks, where that is longer", () => {
    const backoff = new Backoff()
    backoff.fail(0, 0, 30_000)
    assert.strictEqual(backoff.waitMillis(0), 30_000)
    assert.strictEqual(backoff.waitMillis(29_999), 1)
    assert.strictEqual(backoff.waitMillis(30_000), 0)
    backoff.fail(30_000, 0, 10)
    assert.strictEqual(backoff.waitMillis(30_000), 200)
  })

  it("counts attempts that fail together once, and keeps the longest wait that is asked for", () => {
    const backoff = new Backoff()
    backoff.fail(0, 0, 0)
    backoff.fail(10, 0, 0)
    assert.strictEqual(backoff.waitMillis(10), 90)
    backoff.fail(20, 0, 2_000)
    assert.strictEqual(backoff.waitMillis(20), 2_000)
    backoff.fail(30, 0, 500)
    assert.strictEqual(backoff.waitMillis(30), 1_990)
    backoff.fail(2_020, 0, 0)
    assert.strictEqual(backoff.waitMillis(2_020), 200)
  })

  it("never waits longer because the clock was set, and still waits longer each time", () => {
    const hour = 3_600_000
    const backoff = new Backoff()
    backoff.fail(hour, 0, 0)
    assert.strictEqual(backoff.waitMillis(0), 0)
    backoff.fail(0, 0, 0)
    assert.strictEqual(backoff.waitMillis(0), 200)
    assert.strictEqual(backoff.waitMillis(hour), 0)
    backoff.fail(hour, 0, 0)
    assert.strictEqual(backoff.waitMillis(hour), 400)
  })
})
