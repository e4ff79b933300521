// That spans which have ended keep nothing of the long texts that pieces were cut from: by the size of the heap.
import { assert, describe, it } from "@effect/vitest"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { Effect } from "effect"
import * as Tracing from "../../src/Tracing.ts"

const collectGarbage = (): void => {
  setFlagsFromString("--expose-gc")
  runInNewContext("gc")()
}

/** How many megabytes more there are after ten spans, each with a piece of a text of 20 MB under a key of its own. */
const kept = (piece: (text: string) => string, options: Tracing.Options) =>
  Effect.gen(function* () {
    collectGarbage()
    const before = process.memoryUsage().heapUsed
    for (let i = 0; i < 10; i++) {
      const text = `${"x".repeat(20_000_000)}${i}`
      // Reading a character makes it one text, and not a list of parts.
      text.charCodeAt(7)
      for (let again = 0; again < 3; again++) {
        yield* Effect.withSpan(Effect.void, "work", { attributes: { [`text${i}`]: piece(text) } })
      }
    }
    collectGarbage()
    return (process.memoryUsage().heapUsed - before) / 1e6
  }).pipe(Effect.provide(Tracing.layer({ exporters: [], ...options })))

// Deno has neither of the two ways to its garbage collector that are used here.
describe.skipIf("Deno" in globalThis)("texts of spans that have ended", () => {
  it.live("go where a limit cut them", () =>
    Effect.gen(function* () {
      assert.isBelow(yield* kept((text) => text, { attributeValueLength: 40 }), 30)
      assert.isBelow(yield* kept((text) => text, { attributeValueLength: 40, redaction: false }), 30)
    })
  )

  it.live("go where the program passed a piece of them", () =>
    Effect.gen(function* () {
      assert.isBelow(yield* kept((text) => text.slice(5, 45), {}), 30)
    })
  )
})
