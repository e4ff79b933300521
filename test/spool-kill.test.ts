// Real processes, killed while they write to one spool: all that they had kept must come back.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const program = fileURLToPath(new URL("programs/spool-writer.ts", import.meta.url))
const runtimeArguments = process.versions["deno"] === undefined ? [program] : ["run", "-A", "--no-lock", program]

/** Runs the writer, and kills it so many lines after it began to write; gives the lines that came out whole. */
const run = (directory: string, first: number, count: number, killAfter: number) =>
  Effect.callback<ReadonlyArray<string>>((resume) => {
    const child = spawn(process.execPath, [...runtimeArguments, directory, String(first), String(count)])
    let output = ""
    child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()))
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString()
      if (output.includes(`kept ${first + killAfter}\n`)) child.kill("SIGKILL")
    })
    child.on("close", () => resume(Effect.succeed(output.split("\n").slice(0, -1))))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const numbers = (lines: ReadonlyArray<string>, what: string) =>
  lines.flatMap((line) => (line.startsWith(`${what} `) ? [Number(line.slice(what.length + 1))] : []))

describe("Journal", () => {
  it.live("gives back all that killed processes had kept, and goes on", () =>
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => fs.mkdtempSync(join(tmpdir(), "handspan-spool-"))),
        (path) => Effect.sync(() => fs.rmSync(path, { recursive: true, force: true }))
      )
      const kept: Array<number> = []
      const delivered = new Set<number>()
      const note = (lines: ReadonlyArray<string>) => {
        assert.deepStrictEqual(
          lines.filter((line) => !/^(kept|delivered) \d+$/.test(line)),
          []
        )
        kept.push(...numbers(lines, "kept"))
        for (const number of numbers(lines, "delivered")) delivered.add(number)
      }
      // Two at a time, that share the folder. One is killed at its first batch, the others anywhere.
      for (let round = 0; round < 5; round++) {
        const runs = [0, 1].map((which) => {
          const killAfter = round + which === 0 ? 0 : Math.floor(Math.random() * 3000)
          return run(directory, (round * 2 + which) * 1_000_000, 100_000, killAfter)
        })
        for (const lines of yield* Effect.all(runs, { concurrency: 2 })) note(lines)
      }
      assert.isAtLeast(kept.length, 10)
      note(yield* run(directory, 99_000_000, 0, 0))
      assert.deepStrictEqual(
        kept.filter((number) => !delivered.has(number)),
        []
      )
      // The spool is as good as new: what one keeps and leaves in order, the next delivers, and nothing stays behind.
      kept.length = 0
      delivered.clear()
      note(yield* run(directory, 0, 100, 1000))
      note(yield* run(directory, 0, 0, 0))
      assert.deepStrictEqual([...delivered], kept)
      assert.deepStrictEqual(fs.readdirSync(join(directory, "to-otlp")), [])
    })
  )
})
