import { stripVTControlCharacters } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as SpanRecord from "../../src/SpanRecord.ts"
import * as Tree from "../../src/testing/Tree.ts"
import * as TreeDiff from "../../src/testing/TreeDiff.ts"
import * as TreeMatch from "../../src/testing/TreeMatch.ts"
import * as TraceTree from "../../src/TraceTree.ts"

const [trace] = TraceTree.fromSpans([SpanRecord.make({ name: "work" })])
const rows = TreeMatch.match(Tree.exactly(Tree.span("work", [Tree.span("inner")])), trace!)

// The failure texts themselves are golden files of ExpectTrace.test.ts.
describe("render", () => {
  it("paints what is missing where it may use colours, and says the same", () => {
    const plain = TreeDiff.render(rows, { colors: false })
    const painted = TreeDiff.render(rows, { colors: true })
    assert.notInclude(plain, "\u001b")
    assert.include(painted, "\u001b[31m>- └─ inner\u001b[39m")
    assert.strictEqual(stripVTControlCharacters(painted), plain)
  })
})
