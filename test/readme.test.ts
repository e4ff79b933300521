// What README shows is what the program prints, but for ids and times.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { withSettings } from "../scripts/readme-settings.ts"
import * as Agent from "../src/Agent.ts"
import * as Pipeline from "../src/Pipeline.ts"
import * as Settings from "../src/Settings.ts"
import * as Testing from "../src/Testing.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
const readme = readFileSync(`${root}README.md`, "utf8")
const runtime = process.versions["deno"] === undefined ? [] : ["run", "--allow-all", "--no-lock"]

/** The blocks of a language. */
const blocks = (language: string) =>
  Array.from(readme.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, "gm")), ([, text = ""]) => text)

/** The first block of a language. */
const block = (language: string) => blocks(language)[0] ?? ""

const withoutTimes = (text: string) =>
  text
    .trim()
    .replaceAll(/[0-9a-f]{32}/g, "<id>")
    .replaceAll(/ +[\d.]+ (?:ns|µs|ms|s)/g, " <time>")

const writer = Agent.make("writer", { run: (topic: string) => Effect.succeed(`A poem on ${topic}`) })
const critic = Agent.make("critic", { run: (poem: string) => Effect.succeed(`${poem}, improved`) })
const studio = Pipeline.make("studio", Pipeline.sequence(writer, critic))

describe("README", () => {
  it("shows the program of examples/hello", () => {
    const example = readFileSync(`${root}examples/hello/main.ts`, "utf8")
    for (const line of block("ts").split("\n").slice(0, 6)) assert.include(example, line)
  })

  it("shows the tree that it prints", () => {
    const { stderr } = spawnSync(process.execPath, [...runtime, "examples/hello/main.ts"], {
      cwd: root,
      encoding: "utf8"
    })
    assert.strictEqual(withoutTimes(block("text")), withoutTimes(stderr))
  })

  it("shows what a test says that fails", async () => {
    const { trace } = await Effect.runPromise(Testing.record(studio("tides")))
    const { handoff, pipeline } = Testing.Tree
    const review = handoff("critic", { attributes: { handoff_type: "review" } })
    const expectMore = () =>
      Testing.expectTrace(trace).toMatchTree(pipeline("studio", [handoff("writer"), handoff("printer"), review]))
    assert.throws(
      expectMore,
      blocks("text")
        .find((text) => text.startsWith("The trace is not"))
        ?.trimEnd()
    )
  })

  it("names the permissions that each example asks for", () => {
    for (const name of readdirSync(`${root}examples`, { withFileTypes: true }).filter((entry) => entry.isDirectory())) {
      const main = readFileSync(`${root}examples/${name.name}/main.ts`, "utf8")
      const permissions = /^\/\/ deno: (.*)$/m.exec(main)?.[1]
      // Quoted there: some shells take a star for a pattern of files.
      assert.include(readme.replaceAll('"', ""), `deno run ${permissions} examples/${name.name}/main.ts`)
    }
  })

  it("has the table of all settings (if not: npm run readme)", () => {
    assert.strictEqual(withSettings(readme), readme)
  })

  it("names no variable that Settings does not read, but for those of other programs", () => {
    const known = new Set(
      Object.values<{ readonly variables: ReadonlyArray<{ readonly name: string }> }>(Settings.table).flatMap((row) =>
        row.variables.map(({ name }) => name)
      )
    )
    const named = new Set(readme.match(/\b(?:HANDSPAN|OTEL|TRACING|ENABLE|OTLP|JAEGER)_[A-Z_]+\b(?!\*)/g))
    assert.deepStrictEqual(
      [...named].filter((name) => !known.has(name)),
      []
    )
  })
})
