// Two real processes that print into one pipe, whose reader is slow: every line must come out whole.
import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const runtime = process.versions["deno"] === undefined ? "" : "run --allow-all --no-lock"
const print = (name: string, format: string) =>
  `"${process.execPath}" ${runtime} test/programs/lines.ts ${name} ${format}`

const shapes = {
  trace:
    /^\[TRACE\] agent_handoff\.(one|two) \| trace_id=[0-9a-f]{32} \| span_id=[0-9a-f]{16} \| duration=[\d.]+ms \| \{.*\}$/,
  continuum: /^TRACE: agent_handoff\.(one|two) \([\d.]+-[\d.]+\) status=OK$/
}

// The pipes of Windows are others, and so is its shell.
describe.skipIf(process.platform === "win32")("layerConsole", () => {
  for (const [format, shape] of Object.entries(shapes)) {
    it(`prints ${format} lines whole beside another process`, () => {
      const both = `(${print("one", format)} & ${print("two", format)} & wait) 2>&1`
      const { stdout } = spawnSync("sh", ["-c", `${both} | (sleep 1; cat)`], {
        cwd: root,
        encoding: "utf8",
        maxBuffer: 1e8
      })
      const lines = stdout.trimEnd().split("\n")
      assert.deepStrictEqual(
        lines.filter((line) => !shape.test(line)),
        []
      )
      assert.strictEqual(lines.length, 2000)
    })
  }
})
