// Processes that end without asking, right after their last span: every one must arrive, once.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { spawn } from "node:child_process"
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Receiver from "./receiver.ts"

const isDeno = process.versions["deno"] !== undefined
const runtimeArguments = isDeno ? ["run", "--allow-all", "--no-lock"] : []

/** Runs a program to its end, which it may ask for. */
const runProgram = (name: string, ...args: ReadonlyArray<string>) =>
  Effect.callback<string>((resume) => {
    const program = fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url))
    const child = spawn(process.execPath, [...runtimeArguments, program, ...args])
    let output = ""
    child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()))
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString()
      if (output.includes("kill me")) child.kill("SIGKILL")
    })
    child.on("close", (code, signal) => resume(Effect.succeed(`${output}${signal ?? code}`)))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const run = (...args: ReadonlyArray<string>) => runProgram("exit", ...args)

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "handspan-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
)

const endings = [
  "process.exit",
  "exception",
  "rejection",
  "nothing left to do",
  ...(isDeno ? ["Deno.exit"] : [])
] as const

describe("a process that ends", () => {
  for (const how of endings) {
    it.live(
      `loses nothing by: ${how}`,
      () =>
        Effect.gen(function* () {
          const receiver = yield* Receiver.open(200, "")
          yield* run(how, receiver.base, "20000")
          const spans = receiver.requests.flatMap(Receiver.spansOf)
          assert.strictEqual(new Set(spans.map(({ spanId }) => spanId)).size, 20_000)
          assert.strictEqual(spans.length, 20_000)
        }),
      30_000
    )
  }

  it.live(
    "ends the spans that are open, and says why",
    () =>
      Effect.gen(function* () {
        const receiver = yield* Receiver.open(200, "")
        yield* run("open spans", receiver.base)
        const spans = receiver.requests.flatMap(Receiver.spansOf)
        assert.deepStrictEqual(
          spans.map(({ attributes, name }) => [name, attributes["handspan.abandoned"]]),
          [
            ["agent_handoff.step", undefined],
            ["open", "exit"]
          ]
        )
      }),
    30_000
  )

  for (const [how, code] of [
    ["nothing left to do", 0],
    ["process.exit", 3]
  ] as const) {
    it.live(
      `is not held by a receiver that is down, and says what it could not send, by: ${how}`,
      () =>
        Effect.gen(function* () {
          const started = performance.now()
          const output = yield* run(how, "http://127.0.0.1:9", "10")
          assert.match(output, /Dropped 10 spans on their way to exporter "otlp": not taken before the process exited/)
          assert.match(output, new RegExp(`${code}$`))
          assert.isBelow(performance.now() - started, 10_000)
        }),
      30_000
    )
  }

  it.live("gives all exporters one deadline together", () =>
    Effect.gen(function* () {
      const given = /^first (\d+)\nsecond (\d+)\n0$/.exec(yield* runProgram("two-exporters"))
      assert.isNotNull(given)
      const [first, second] = given.slice(1).map(Number)
      assert.isAbove(first!, 300)
      assert.isBelow(second!, 100)
    })
  )

  it.live(
    "leaves what it could not send to the next one that has its spool, also when it was killed",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        let isDown = true
        const receiver = yield* Receiver.listen((_, response) => {
          response.writeHead(isDown ? 503 : 200, { "content-type": "application/x-protobuf" }).end()
        })
        for (const how of ["process.exit", "end of the scope", "killed", "killed"]) {
          const output = yield* run(how, receiver.base, "1000", folder)
          assert.notInclude(output, "Dropped")
        }
        isDown = false
        receiver.requests.length = 0
        yield* run("nothing left to do", receiver.base, "1", folder)
        yield* run("nothing left to do", receiver.base, "1", folder)
        const spans = receiver.requests.flatMap(Receiver.spansOf)
        assert.strictEqual(new Set(spans.map(({ spanId }) => spanId)).size, 4002)
        const left = readdirSync(folder, { recursive: true }).filter((name) => String(name).endsWith(".spool1"))
        assert.deepStrictEqual(left, [])
      }).pipe(Effect.timeoutOption("25 seconds"), Effect.map(Option.isSome), Effect.map(assert.isTrue)),
    30_000
  )
})
