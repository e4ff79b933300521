import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Spelling from "../src/Spelling.ts"

describe("nearest", () => {
  const names = ["ENABLED", "EXPORTER", "SAMPLER", "SAMPLER_ARG", "SPOOL_AGE", "SPOOL_DIRECTORY"]

  it.each([
    ["a letter too few", "SAMPLR", "SAMPLER"],
    ["a letter too many", "ENABBLED", "ENABLED"],
    ["a wrong letter", "SPOOL_AGO", "SPOOL_AGE"],
    ["two letters the wrong way round", "EXPROTER", "EXPORTER"],
    ["a name that is not finished", "SPOOL_DIR", "SPOOL_DIRECTORY"],
    ["a name that goes on", "EXPORTERS", "EXPORTER"],
    ["the name itself", "SAMPLER", "SAMPLER"],
    ["nothing near", "COLOUR", undefined],
    ["what is too short", "SP", undefined],
    ["nothing", "", undefined]
  ])("nearest() finds %s", (_, text, expected) => {
    assert.strictEqual(Spelling.nearest(text, names), expected)
  })

  it("nearest() finds nothing where there are no names", () => {
    assert.strictEqual(Spelling.nearest("SAMPLER", []), undefined)
  })

  it("nearest() finds each name that is there, whatever the others", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string(), { minLength: 1 }), (texts) => {
        for (const text of texts) assert.strictEqual(Spelling.nearest(text, texts), text)
      })
    )
  })
})
