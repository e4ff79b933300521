import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Hex from "../src/Hex.ts"

describe("ofWord", () => {
  it("writes eight digits, whatever the sign", () => {
    assert.deepStrictEqual([0, 1, 0xff, 0x0123_4567, 0x7fff_ffff, -1, -0x8000_0000, 0x89ab_cdef | 0].map(Hex.ofWord), [
      "00000000",
      "00000001",
      "000000ff",
      "01234567",
      "7fffffff",
      "ffffffff",
      "80000000",
      "89abcdef"
    ])
  })
})

describe("toWord", () => {
  it("reads the word that ofWord wrote, wherever it stands", () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1, maxLength: 4 }), (words) => {
        const hex = words.map(Hex.ofWord).join("")
        assert.deepStrictEqual(
          words.map((_, index) => Hex.toWord(hex, index)),
          words
        )
      })
    )
  })
})

describe("ofBytes", () => {
  it("writes eight bytes from where it is told", () => {
    const bytes = Uint8Array.of(0xee, 0x00, 0x01, 0x0a, 0x10, 0x7f, 0x80, 0xa0, 0xff, 0xee)
    assert.strictEqual(Hex.ofBytes(bytes, 1), "00010a107f80a0ff")
  })
})
