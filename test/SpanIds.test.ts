import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { vi } from "vitest"
import * as Hex from "../src/Hex.ts"
import * as SpanIds from "../src/SpanIds.ts"

const noTrace = { id: "0".repeat(32) }

const texts = (ids: SpanIds.IdWords) => ({
  traceId: () => {
    const { word0, word1, word2, word3 } = ids.trace("root")
    return [word0, word1, word2, word3].map(Hex.ofWord).join("")
  },
  spanId: () => {
    const { id0, id1 } = ids.span("span", noTrace, undefined)
    return Hex.ofWord(id0) + Hex.ofWord(id1)
  }
})

const anyHex = (digits: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${digits}}$`))

describe("random", () => {
  it("makes valid ids, and none twice", () => {
    const ids = texts(SpanIds.random())
    const traces = Array.from({ length: 10_000 }, ids.traceId)
    const spans = Array.from({ length: 10_000 }, ids.spanId)
    assert.deepStrictEqual(
      [...traces.filter((id) => !/^[0-9a-f]{32}$/.test(id)), ...spans.filter((id) => !/^[0-9a-f]{16}$/.test(id))],
      []
    )
    assert.deepStrictEqual([new Set(traces).size, new Set(spans).size], [10_000, 10_000])
  })

  it("uses every bit", () => {
    const { span, trace } = SpanIds.random()
    const ever = [0, 0, 0, 0, 0, 0]
    const always = [-1, -1, -1, -1, -1, -1]
    for (let n = 0; n < 1_000; n++) {
      const { word0, word1, word2, word3 } = trace("root")
      const { id0, id1 } = span("span", noTrace, undefined)
      for (const [i, word] of [word0, word1, word2, word3, id0, id1].entries()) {
        ever[i]! |= word
        always[i]! &= word
      }
    }
    assert.deepStrictEqual({ ever, always }, { ever: [-1, -1, -1, -1, -1, -1], always: [0, 0, 0, 0, 0, 0] })
  })

  it("never makes an id of zeros, which would mean none", () => {
    const source = vi.spyOn(globalThis.crypto, "getRandomValues").mockImplementation((into) => {
      // What the platform may give, once in 2^64 spans.
      ;(into as unknown as Int32Array).set([0, 0, 7, 0, 0, 0, 0, 0, 8])
      return into
    })
    const ids = texts(SpanIds.random())
    const made = [ids.spanId(), ids.traceId()]
    source.mockRestore()
    assert.deepStrictEqual(made, ["0000000000000007", "00000000000000000000000000000008"])
  })
})

describe("fromTexts", () => {
  it("keeps the ids that it is given", () => {
    fc.assert(
      fc.property(anyHex(32), anyHex(16), (traceId, spanId) => {
        const ids = texts(SpanIds.fromTexts({ traceId: () => traceId, spanId: () => spanId }))
        assert.deepStrictEqual([ids.traceId(), ids.spanId()], [traceId, spanId])
      })
    )
  })

  it("tells which span it needs an id for", () => {
    const asked: Array<unknown> = []
    const ids = SpanIds.fromTexts({
      traceId: (name) => (asked.push(name), "a".repeat(32)),
      spanId: (span) => (asked.push(span), "b".repeat(16))
    })
    ids.trace("root")
    ids.span("child", { id: "a".repeat(32) }, { id0: 1, id1: -1 })
    assert.deepStrictEqual(asked, [
      "root",
      { name: "child", traceId: "a".repeat(32), parentSpanId: "00000001ffffffff" }
    ])
  })
})
