// The kit under test runners other than vitest: each runs a test that passes and one that must fail with our text.
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const file = (name: string): string => fileURLToPath(new URL(`runners/${name}.ts`, import.meta.url))

const isDeno = process.versions["deno"] !== undefined
const runners: ReadonlyArray<[string, Array<string>]> = isDeno
  ? [
      ["deno test", ["test", "--allow-all", "--no-lock", "--quiet", file("deno-test")]],
      ["node:test on Deno", ["test", "--allow-all", "--no-lock", "--quiet", file("node-test")]]
    ]
  : [["node:test", ["--test", "--test-reporter=spec", file("node-test")]]]

describe("the kit", () => {
  it.each(runners)("works under %s", (_, command) => {
    const env = { ...process.env, NO_COLOR: "1", NODE_TEST_CONTEXT: undefined }
    const { status, stderr, stdout } = spawnSync(process.execPath, command, { env, encoding: "utf8", timeout: 60_000 })
    const output = `${stdout}${stderr}`
    assert.strictEqual(status, 1, output)
    assert.match(output, /1 passed|pass 1/)
    assert.match(output, /1 failed|fail 1/)
    assert.include(output, "The trace is not as expected: 1 difference at pipeline.studio › agent_handoff.critic")
    assert.match(output, />\+ +└─ agent_handoff\.critic ✓/)
  })
})
