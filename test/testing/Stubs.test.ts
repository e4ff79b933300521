import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Data, Effect, Exit, Schema } from "effect"
import * as Agent from "../../src/Agent.ts"
import * as Pipeline from "../../src/Pipeline.ts"
import * as Testing from "../../src/Testing.ts"

const { expectTrace } = Testing
const { handoff, pipeline } = Testing.Tree

class Refused extends Data.TaggedError("Refused")<{ readonly why: string }> {}
class Model extends Context.Service<Model, { readonly ask: (prompt: string) => Effect.Effect<string> }>()("Model") {}

const writer = Agent.make("writer", {
  input: Schema.NonEmptyString,
  output: Schema.NonEmptyString,
  retry: Agent.retryTransient({ maxAttempts: 3, minWait: "1 second", maxWait: "1 second" }),
  run: (topic) =>
    Effect.flatMap(Model, ({ ask }): Effect.Effect<string, Refused> =>
      topic === "war" ? new Refused({ why: "war" }) : ask(topic)
    )
})
const critic = Agent.make("critic", { run: (poem: string) => Effect.succeed(`${poem}, improved`) })
const studio = Pipeline.make("studio", Pipeline.sequence(writer, critic))

describe("pipeline", () => {
  it.effect("runs stubs in place of agents, whose services nobody needs then, and records every handoff", () =>
    Effect.gen(function* () {
      const program: Effect.Effect<string, Refused | Agent.HandoffMismatch> = Testing.pipeline(studio("tides"), [
        Testing.stub(writer, { output: "a poem", delay: "1 hour" }),
        Testing.stub(critic, (poem) => Effect.succeed(`${poem}!`))
      ])
      const { exit, trace } = yield* Testing.record(program, { advance: "1 hour" })
      assert.deepStrictEqual(exit, Exit.succeed("a poem!"))
      expectTrace(trace).toMatchTree(pipeline("studio", [handoff("writer"), handoff("critic")]))
      assert.strictEqual(trace.endTimeUnixNano, 3_600_000_000_000n)
    })
  )

  it.effect("counts the calls of a stub, and lets the agent's own retry make them again", () =>
    Effect.gen(function* () {
      const program = Testing.pipeline(studio("tides"), [
        Testing.stub(writer, (topic, call) =>
          call < 3 ? new Refused({ why: `${topic} ${call}` }) : Effect.succeed(`poem ${call}`)
        ),
        Testing.stub("critic", (poem) => Effect.succeed(poem))
      ])
      const { exit, trace } = yield* Testing.record(program, { advance: "1 minute" })
      assert.deepStrictEqual(exit, Exit.succeed("poem 3"))
      expectTrace(trace).toHaveAttempts("writer", 3).toHaveAttempts("critic", 1)
    })
  )

  it.effect("checks what a stub takes and gives by the Schemas of its agent", () =>
    Effect.gen(function* () {
      const stubbed = (topic: string, output: string) =>
        Effect.flip(Testing.pipeline(writer(topic), [Testing.stub(writer, { output })]))
      const errors = [yield* stubbed("", "poem"), yield* stubbed("tides", "")]
      assert.deepStrictEqual(
        errors.map((error) => error._tag === "HandoffMismatch" && [error.agent, error.side]),
        [
          ["writer", "input"],
          ["writer", "output"]
        ]
      )
    })
  )

  it.effect("fails and dies as it is told", () =>
    Effect.gen(function* () {
      const refused = new Refused({ why: "tired" })
      const failing = Testing.pipeline(critic("x"), [Testing.stub("critic", { failure: refused })])
      const dying = Testing.pipeline(critic("x"), [Testing.stub(critic, { defect: "boom" })])
      const squashed = (exit: Exit.Exit<unknown, unknown>) =>
        Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.strictEqual(squashed(yield* Effect.exit(failing)), refused)
      assert.strictEqual(squashed(yield* Effect.exit(dying)), "boom")
    })
  )

  it.effect("refuses agents that have no stub, unless they may run", () =>
    Effect.gen(function* () {
      const stubs = [Testing.stub(writer, { output: "a poem" })]
      const exit = yield* Effect.exit(Testing.pipeline(studio("tides"), stubs))
      const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.strictEqual(
        (defect as Error).message,
        'Agent "critic" has no stub (there are "writer"): add one, or set others to "run"'
      )
      const output = yield* Testing.pipeline(studio("tides"), stubs, { others: "run" })
      assert.strictEqual(output, "a poem, improved")
    })
  )

  it("refuses two stubs for one agent", () => {
    const stub = Testing.stub(critic, { output: "x" })
    assert.throws(() => Effect.runSync(Testing.pipeline(critic("x"), [stub, stub])), 'Agent "critic" has two stubs')
  })

  it.effect("stands in for agents in branches and inner pipelines too, and is gone afterwards", () =>
    Effect.gen(function* () {
      const inner = Pipeline.make("inner", critic)
      const outer = Pipeline.make("outer", (poem: string) => Pipeline.forEach([poem, poem], inner, { concurrency: 2 }))
      const stubbed = Testing.pipeline(outer("x"), [Testing.stub(critic, { output: "stub" })])
      assert.deepStrictEqual(yield* stubbed, ["stub", "stub"])
      assert.deepStrictEqual(yield* outer("x"), ["x, improved", "x, improved"])
    })
  )
})
