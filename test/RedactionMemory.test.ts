import { assert, describe, it } from "@effect/vitest"
import { afterEach, vi } from "vitest"
import { makePlaceholders, Recent } from "../src/RedactionMemory.ts"

const offerOften = (recent: Recent<number>, text: string, value: number) => {
  for (let i = 0; i < 32; i++) recent.offer(text, value)
}

describe("Recent", () => {
  it("remembers what comes again and again, and not what came once", () => {
    const recent = new Recent<number>()
    recent.offer("once", 1)
    assert.strictEqual(recent.get("once"), undefined)
    offerOften(recent, "often", 2)
    assert.strictEqual(recent.get("often"), 2)
    assert.strictEqual(recent.get(["of", "ten"].join("")), 2)
  })

  it("forgets one for another that has the same place, and never takes one for the other", () => {
    const recent = new Recent<number>()
    const texts = Array.from({ length: 5000 }, (_, i) => `text ${i}`)
    for (const [i, text] of texts.entries()) offerOften(recent, text, i)
    const known = texts.filter((text) => recent.get(text) !== undefined)
    assert.isAtMost(known.length, 1024)
    assert.isAbove(known.length, 16)
    for (const text of known) assert.strictEqual(recent.get(text), texts.indexOf(text))
  })

  it("does not remember texts that are empty or long", () => {
    const recent = new Recent<number>()
    for (const text of ["", "x".repeat(65)]) {
      offerOften(recent, text, 1)
      assert.strictEqual(recent.get(text), undefined)
    }
  })
})

describe("makePlaceholders", () => {
  afterEach(() => vi.restoreAllMocks())

  /** With a key of zeros, a zero before a text makes no difference to its hash. */
  const alike = (): ReadonlyArray<string> => {
    const placeholders = makePlaceholders(1, 10)
    return ["ada", "\0ada", "\0\0ada"].map((text) => placeholders("1", "SECRET", text, 0, text.length))
  }

  it("makePlaceholders() hashes secrets with a key of its own, which is random", () => {
    vi.spyOn(crypto, "getRandomValues").mockImplementation((array) => array)
    assert.deepStrictEqual(alike(), ["[SECRET_1]", "[SECRET_1]", "[SECRET_1]"])
    vi.restoreAllMocks()
    assert.deepStrictEqual(alike(), ["[SECRET_1]", "[SECRET_2]", "[SECRET_3]"])
  })
})
