// What scripts/check-examples.ts asks of the trace that an example prints.
import { assert, describe, it } from "vitest"
import { faultsInTrace } from "../scripts/check-examples.ts"

const traceId = "0af7651916cd43dd8448eb211c80319c"
const root = { name: "root", traceId, spanId: "b7ad6b7169203331" }
const child = { name: "child", traceId, spanId: "00f067aa0ba902b7", parentSpanId: root.spanId }
const document = (...spans: ReadonlyArray<object>) => JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans }] }] })

describe("faultsInTrace()", () => {
  it("accepts one whole trace", () => {
    assert.deepStrictEqual(faultsInTrace(document(root, child)), [])
  })

  it("names each fault of a broken one", () => {
    const cases: ReadonlyArray<readonly [string, string]> = [
      [document(), "The trace must have a span: it has none"],
      [document(child, root, { ...root, spanId: "1" }), 'Span "root": spanId must be 16 hex digits: it is "1"'],
      [
        document({ ...root, traceId: "0".repeat(32) }),
        `Span "root": traceId must be 32 hex digits: it is "${"0".repeat(32)}"`
      ],
      [
        document(root, { ...child, parentSpanId: "53995c3f42cd8ad8" }),
        'Span "child": its parent 53995c3f42cd8ad8 is missing'
      ],
      [document(root, root), "Span ids must differ: two spans have the same"],
      [document(root, { ...child, parentSpanId: "" }), "The trace must have one root: it has 2 (root, child)"]
    ]
    for (const [text, fault] of cases) assert.include(faultsInTrace(text), fault)
  })

  it("accepts nothing beside the document", () => {
    assert.match(
      faultsInTrace(`${document(root)}\n${document(root)}`).join("\n"),
      /one OTLP JSON document and nothing else/
    )
    assert.match(faultsInTrace("{}").join("\n"), /one OTLP JSON document and nothing else/)
  })
})
