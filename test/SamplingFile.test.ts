import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Memory from "../src/exporter/Memory.ts"
import * as Sampler from "../src/Sampler.ts"
import * as SamplingFile from "../src/SamplingFile.ts"
import * as Sampling from "../src/Sampling.ts"
import * as Tracing from "../src/Tracing.ts"

const temporaryFile = Effect.acquireRelease(
  Effect.sync(() => join(mkdtempSync(join(tmpdir(), "handspan-")), "rules.json")),
  (file) => Effect.sync(() => rmSync(join(file, ".."), { recursive: true }))
)

const names = Effect.flatMap(Memory.Spans, ({ all }) => Effect.map(all, (spans) => spans.map(({ name }) => name)))
const span = (name: string) => Effect.withSpan(Effect.void, name)

describe("layer", () => {
  it.effect("goes by the rules of a file, and by others once they stand there", () =>
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const write = (text: string) => Effect.sync(() => writeFileSync(file, text))
      const logs: Array<string> = []
      const logger = Logger.make(({ message }) => void logs.push(String(message)))
      yield* write('[{ "name": "health", "sample": "never" }]')
      const sampling = SamplingFile.layer(file, Sampler.always)
      yield* Effect.gen(function* () {
        const both = (n: number) => Effect.andThen(span("health"), span(`work ${n}`))
        yield* both(1)
        yield* write('[{ "name": "work *", "sample": "never" }]')
        yield* both(2)
        yield* TestClock.adjust("1 second")
        yield* both(3)
        yield* write("[{ nonsense")
        yield* TestClock.adjust("3 seconds")
        yield* both(4)
        yield* Effect.sync(() => rmSync(file))
        yield* TestClock.adjust("1 second")
        yield* both(5)
        assert.deepStrictEqual(yield* names, ["work 1", "work 2", "health", "health", "health"])
      }).pipe(
        Effect.provide(Tracing.layerInMemory.pipe(Layer.provide(sampling), Layer.provideMerge(Logger.layer([logger]))))
      )
      assert.strictEqual(logs.length, 2)
      assert.match(logs[0]!, /^Cannot read sampling rules from ".*": .*JSON.*; the sampling rules before it hold$/)
      assert.match(logs[1]!, /ENOENT/)
    })
  )

  it.effect("goes on looking whatever the file turns into, and whatever a logger does", () =>
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const logs: Array<string> = []
      const logger = Logger.make(({ message }) => {
        logs.push(String(message))
        throw new Error("a logger that throws")
      })
      writeFileSync(file, '[{ "name": "health", "sample": "never" }]')
      yield* Effect.gen(function* () {
        yield* Effect.andThen(span("health"), span("work 1"))
        rmSync(file)
        symlinkSync(file, file)
        yield* TestClock.adjust("3 seconds")
        yield* Effect.andThen(span("health"), span("work 2"))
        rmSync(file)
        mkdirSync(file)
        yield* TestClock.adjust("3 seconds")
        rmSync(file, { recursive: true })
        writeFileSync(file, '[{ "name": "work *", "sample": "never" }]')
        yield* TestClock.adjust("1 second")
        yield* Effect.andThen(span("health"), span("work 3"))
        assert.deepStrictEqual(yield* names, ["work 1", "work 2", "health"])
      }).pipe(
        Effect.provide(
          Tracing.layerInMemory.pipe(
            Layer.provide(SamplingFile.layer(file, Sampler.always)),
            Layer.provideMerge(Logger.layer([logger]))
          )
        )
      )
      assert.deepStrictEqual(
        logs.map((line) => /ELOOP|no regular file/.exec(line)?.[0]),
        ["ELOOP", "no regular file"]
      )
    })
  )

  const problemOf = (file: string) =>
    Effect.map(Effect.flip(Effect.scoped(Layer.build(SamplingFile.layer(file, Sampler.always)))), ({ message }) =>
      message.slice(`Cannot read sampling rules from "${file}": `.length)
    )

  it.effect.skipIf(process.platform === "win32")("does not wait for a pipe", () =>
    Effect.gen(function* () {
      const file = yield* temporaryFile
      execFileSync("mkfifo", [file])
      assert.strictEqual(yield* problemOf(file), "it is no regular file")
    })
  )

  it.effect("tells of few problems, where there are many", () =>
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const rule = { agnt: "x".repeat(10_000), sample: 1 }
      writeFileSync(file, JSON.stringify(Array.from({ length: 20_000 }, () => rule).slice(0, 500)))
      const problem = yield* problemOf(file)
      assert.isBelow(problem.length, 1_000)
      assert.match(problem, /^rule "{\\"agnt\\":\\"x+…": "agnt" is no condition: .*; rule .*; rule .*; and 497 more$/)
    })
  )

  it.effect("tells what is wrong with JSON that is none", () =>
    Effect.gen(function* () {
      const file = yield* temporaryFile
      for (const [text, problem] of [
        ["[{ nonsense", /JSON/],
        ["", /JSON/],
        ['{ "name": "health" }', /^it must be a JSON array of rules$/],
        ["null", /^it must be a JSON array of rules$/]
      ] as const) {
        writeFileSync(file, text)
        const told = yield* problemOf(file)
        assert.match(told, problem)
        assert.notInclude(told, "Cannot read the sampling rule")
      }
    })
  )

  it.effect("takes a file that begins with a byte order mark", () =>
    Effect.gen(function* () {
      const file = yield* temporaryFile
      writeFileSync(file, '\uFEFF[{ "name": "health", "sample": "never" }]')
      yield* Effect.gen(function* () {
        yield* Effect.andThen(span("health"), span("work"))
        assert.deepStrictEqual(yield* names, ["work"])
      }).pipe(Effect.provide(Tracing.layerInMemory.pipe(Layer.provide(SamplingFile.layer(file, Sampler.always)))))
    })
  )

  it.effect("fails where there is no such file, or nothing in it that could be read", () =>
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const failing = Effect.map(
        Effect.flip(Effect.scoped(Layer.build(SamplingFile.layer(file, Sampler.always)))),
        ({ message }) => message
      )
      assert.include(yield* failing, `Cannot read sampling rules from "${file}": ENOENT`)
      yield* Effect.sync(() => writeFileSync(file, '[{ "agnt": "x", "sample": 1 }]'))
      assert.include(yield* failing, '"agnt" is no condition')
    })
  )
})

describe("samplingRulesFile", () => {
  const kept = (settings: { readonly samplingRulesFile: string; readonly samplingRules?: string }) =>
    Effect.gen(function* () {
      for (const name of ["health", "chat", "work"]) yield* span(name)
      const { all } = yield* Effect.fromOption(yield* Effect.serviceOption(Memory.Spans))
      return (yield* all).map(({ name }) => name)
    }).pipe(Effect.provide(Tracing.layerFromEnvWith({ exporters: ["in_memory"], ...settings })))

  it.effect("puts the rules of a file before other rules, and a sampler of the program before both", () =>
    Effect.gen(function* () {
      const samplingRulesFile = yield* temporaryFile
      writeFileSync(
        samplingRulesFile,
        '[{ "name": "health", "sample": "never" }, { "name": "chat", "sample": "always" }]'
      )
      const settings = { samplingRulesFile, samplingRules: "name=health: always; name=chat: never; name=work: never" }
      assert.deepStrictEqual(yield* kept({ samplingRulesFile }), ["chat", "work"])
      assert.deepStrictEqual(yield* kept(settings), ["chat"])
      assert.deepStrictEqual(yield* Effect.provide(kept(settings), Sampling.layer(Sampler.always)), [
        "health",
        "chat",
        "work"
      ])
    })
  )

  it.effect("fails where it cannot be read", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(kept({ samplingRulesFile: "no/such.json" }))
      assert.match(String(error), /Cannot read sampling rules from "no\/such.json": ENOENT/)
    })
  )
})
