import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { emptyBatch, join, SpanBuffer } from "../src/SpanBuffer.ts"
import { fromRecord } from "../src/EncodableSpan.ts"
import { SpanEncoder } from "../src/SpanEncoder.ts"
import * as SpanRecord from "../src/SpanRecord.ts"
import { batchOf, spansOf } from "./batches.ts"

const resources = ["photos", "trips"].map((name) => ({ attributes: { "service.name": name } }))
const scopes = ["planner", "router"].map((name) => ({ name, version: "1" }))

const span = (n: number, resource: SpanRecord.Resource = resources[0]!, scope = scopes[0]!) =>
  SpanRecord.make({ name: `span ${n}`, resource, scope })

/** How often a text is in a document: what stands at the head of a group is written once for it. */
const occurrences = (bytes: Uint8Array, text: string): number =>
  Buffer.from(bytes).toString("latin1").split(text).length - 1

const anySpans = fc
  .array(fc.record({ resource: fc.constantFrom(...resources), scope: fc.constantFrom(...scopes) }), { maxLength: 30 })
  .map((spans) => spans.map(({ resource, scope }, n) => span(n, resource, scope)))

describe("SpanBuffer", () => {
  it("makes one document of any spans, in their order, and is empty then", () => {
    fc.assert(
      fc.property(fc.array(anySpans, { maxLength: 3 }), (rounds) => {
        const encoder = new SpanEncoder()
        const buffer = new SpanBuffer()
        for (const spans of rounds) {
          let length = 0
          for (const each of spans) {
            const encoded = encoder.encode(fromRecord(each))
            length += encoded.length
            buffer.append(encoded)
          }
          assert.deepStrictEqual({ count: buffer.count, length: buffer.length }, { count: spans.length, length })
          const batch = buffer.take()
          assert.deepStrictEqual({ count: buffer.count, length: buffer.length }, { count: 0, length: 0 })
          assert.strictEqual(batch.count, spans.length)
          // Exactly its size: what is queued would keep the rest alive.
          assert.strictEqual(batch.bytes.buffer.byteLength, batch.bytes.length)
          assert.deepStrictEqual(spansOf(batch), spans)
        }
      })
    )
  })

  it("writes the resource and the scope once for neighbours that share them", () => {
    const [photos, trips] = resources
    const [planner, router] = scopes
    const { bytes } = batchOf([
      span(1, photos, planner),
      span(2, photos, planner),
      span(3, photos, router),
      span(4, photos, router),
      span(5, trips, router)
    ])
    assert.deepStrictEqual(
      ["photos", "trips", "planner", "router"].map((name) => occurrences(bytes, name)),
      [1, 1, 1, 2]
    )
  })

  it("writes a resource of any size", () => {
    const resource = { attributes: { "process.command_line": "x".repeat(300_000) } }
    const spans = [span(1, resource), span(2, resource)]
    assert.deepStrictEqual(spansOf(batchOf(spans)), spans)
  })

  it("keeps what it copied when the encoder goes on, and when it grows", () => {
    const spans = Array.from({ length: 5_000 }, (_, n) =>
      SpanRecord.make({ name: `span ${n}`, attributes: { text: "x".repeat(n % 1_000) } })
    )
    const encoder = new SpanEncoder()
    const buffer = new SpanBuffer()
    for (const each of spans) buffer.append(encoder.encode(fromRecord(each)))
    assert.deepStrictEqual(spansOf(buffer.take()), spans)
  })

  it("lets go of a buffer that a huge span has grown", () => {
    const buffer = new SpanBuffer()
    const encoder = new SpanEncoder()
    const huge = SpanRecord.make({ name: "x".repeat(5_000_000) })
    buffer.append(encoder.encode(fromRecord(huge)))
    assert.deepStrictEqual(spansOf(buffer.take()), [huge])
    assert.isBelow(buffer["bytes"].length, 100_000)
    buffer.append(encoder.encode(fromRecord(span(1))))
    assert.deepStrictEqual(spansOf(buffer.take()), [span(1)])
  })

  it("takes nothing as the batch of no spans", () => {
    assert.deepStrictEqual(new SpanBuffer().take(), emptyBatch)
    assert.deepStrictEqual(spansOf(emptyBatch), [])
  })
})

describe("join", () => {
  it("makes one document of several, in their order", () => {
    fc.assert(
      fc.property(fc.array(anySpans, { maxLength: 4 }), (documents) => {
        const joined = join(documents.map(batchOf))
        assert.strictEqual(joined.count, documents.flat().length)
        assert.deepStrictEqual(spansOf(joined), documents.flat())
      })
    )
  })

  it("copies nothing where there is one", () => {
    const batch = batchOf([span(1)])
    assert.strictEqual(join([batch]), batch)
  })
})
