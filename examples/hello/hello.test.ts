// The whole program, as the process that it is: what it sends is held against the same words as the trace of a test.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Testing from "handspan/testing"

const { expectTrace } = Testing
const { exactly, handoff, pipeline } = Testing.Tree

describe("hello", () => {
  it.live("sends one trace of two handoffs, and ends well", () =>
    Effect.gen(function* () {
      const { exitCode, traces } = yield* Testing.collect("examples/hello/main.ts")
      assert.strictEqual(exitCode, 0)
      assert.strictEqual(traces.length, 1)
      expectTrace(traces[0]!)
        .toMatchTree(pipeline("studio", exactly(handoff("writer"), handoff("critic"))))
        .toRunBefore("writer", "critic")
        .toObeyLaws()
    })
  )
})
