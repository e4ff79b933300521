import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Memory from "../../src/exporter/Memory.ts"
import * as SpanRecord from "../../src/SpanRecord.ts"
import { batchOf } from "../batches.ts"

const spans = (...names: ReadonlyArray<string>) => names.map((name) => SpanRecord.make({ name }))

describe("Memory.make", () => {
  it.effect("keeps spans in the order they came, until they are cleared", () =>
    Effect.gen(function* () {
      const memory = Memory.make()
      yield* memory.exporter.export(batchOf(spans("a", "b")))
      yield* memory.exporter.export(batchOf(spans("c")))
      const all = yield* memory.spans.all
      assert.deepStrictEqual(
        all.map(({ name }) => name),
        ["a", "b", "c"]
      )
      yield* memory.spans.clear
      assert.deepStrictEqual(yield* memory.spans.all, [])
      assert.strictEqual(all.length, 3)
    })
  )

  it.effect("keeps no more than its capacity and says how many it refused", () =>
    Effect.gen(function* () {
      const memory = Memory.make({ capacity: 2 })
      const error = yield* Effect.flip(memory.exporter.export(batchOf(spans("a", "b", "c"))))
      assert.deepStrictEqual([error.refused, error.retryable], [1, false])
      assert.strictEqual((yield* Effect.flip(memory.exporter.export(batchOf(spans("d"))))).refused, 1)
      assert.strictEqual((yield* memory.spans.all).length, 2)
    })
  )
})
