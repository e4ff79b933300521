// Every example as a user runs it: in all that they record, in however many processes, no span has lost its parent.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { OtlpJson, TraceTree } from "handspan"
import * as Testing from "handspan/testing"
import { globSync } from "node:fs"
import { basename, dirname, join } from "node:path"

const examples = globSync("*/main.ts", { cwd: import.meta.dirname }).map(
  (main) => [basename(dirname(main)), main] as const
)

describe("the examples", () => {
  it.live.each(examples)(
    "record no orphan: %s",
    ([name, main]) =>
      Effect.gen(function* () {
        const { exitCode, stderr, stdout } = yield* Testing.collect(join(import.meta.dirname, main), {
          arguments: ["--json"],
          timeout: "100 seconds"
        })
        assert.strictEqual(exitCode, 0, `${name}: ${stderr}`)
        const traces = TraceTree.fromSpans(yield* Effect.fromResult(OtlpJson.decodeText(stdout)))
        assert.isAbove(traces.length, 0)
        for (const { problems, spans } of traces) {
          assert.isAbove(spans.length, 1)
          assert.deepStrictEqual(problems, [])
        }
      }),
    120_000
  )
})
