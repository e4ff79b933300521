import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as NamePattern from "../src/NamePattern.ts"

/** What a pattern means, as simply as it can be said: a star is met by no character, or by one and then a star. */
const meets = (pattern: string, name: string): boolean => {
  if (pattern === "") return name === ""
  if (pattern.startsWith("*")) {
    return meets(pattern.slice(1), name) || (name !== "" && meets(pattern, name.slice(1)))
  }
  return name.startsWith(pattern[0]!) && meets(pattern.slice(1), name.slice(1))
}

describe("matcher", () => {
  it.each<[pattern: string, meets: ReadonlyArray<string>, others: ReadonlyArray<string>]>([
    ["", [""], ["a"]],
    ["critic", ["critic"], ["critics", "Critic", ""]],
    ["*", ["", "a", "a\nb"], []],
    ["cr*", ["cr", "critic", "cr\u2028"], ["acr"]],
    ["*ic", ["ic", "critic"], ["icy"]],
    ["a*a", ["aa", "aba"], ["a", "ab"]],
    ["a*b*c", ["abc", "a-b-c", "abcbc"], ["acb", "ab"]],
    ["a**b", ["ab", "axb"], ["a"]],
    ["a.b(*", ["a.b(c", "a.b("], ["axb(c"]],
    ["*🌍*", ["a 🌍"], ["a \ud83c"]]
  ])("%j is met by %j, and not by %j", (pattern, some, others) => {
    const test = NamePattern.matcher(pattern)
    assert.deepStrictEqual([some.filter((name) => !test(name)), others.filter(test)], [[], []])
  })

  it("means the same as the plain definition", () => {
    const text = (characters: string) => fc.string({ unit: fc.constantFrom(...characters), maxLength: 12 })
    fc.assert(
      fc.property(text("ab**.1\\"), text("ab.1\\"), (pattern, name) => {
        assert.strictEqual(NamePattern.matcher(pattern)(name), meets(pattern, name))
      }),
      { numRuns: 2000 }
    )
  })

  it("finishes, whatever pattern meets whatever name", () => {
    // Trying every way to share the letters out among the stars would outlast the sun.
    const stars = `${"*a".repeat(20)}*b`
    assert.isFalse(NamePattern.matcher(stars)("a".repeat(100_000)))
    assert.isTrue(NamePattern.matcher(stars)(`${"a".repeat(100_000)}b`))
    assert.isFalse(NamePattern.matcher(`${"*ab".repeat(20)}*c`)("ab".repeat(50_000)))
  })
})
