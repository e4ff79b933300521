import { Context, Effect } from "effect"
import { describe, expectTypeOf, it } from "vitest"
import * as Agent from "../../src/Agent.ts"
import * as Testing from "../../src/Testing.ts"

class Model extends Context.Service<Model, { readonly ask: Effect.Effect<string> }>()("Model") {}
class Store extends Context.Service<Store, { readonly put: Effect.Effect<number> }>()("Store") {}
class Clerk extends Context.Service<Clerk, { readonly file: Effect.Effect<void> }>()("Clerk") {}

const writer = Agent.make("writer", { run: (_: string) => Effect.flatMap(Model, ({ ask }) => ask) })
const keeper = Agent.make("keeper", { run: (_: string) => Effect.flatMap(Store, ({ put }) => put) })
const program = Effect.andThen(
  writer("x"),
  Effect.andThen(
    keeper("y"),
    Effect.flatMap(Clerk, ({ file }) => file)
  )
)

describe("pipeline", () => {
  it("requires what the stubbed agents do not", () => {
    const stubs = [Testing.stub(writer, { output: "poem" }), Testing.stub(keeper, { output: 1 })] as const
    expectTypeOf(Testing.pipeline(program, stubs)).toEqualTypeOf<Effect.Effect<void, never, Clerk>>()
    expectTypeOf(
      Testing.pipeline(program, [Testing.stub(writer, { output: "poem" }), Testing.stub(keeper, { output: 1 })])
    ).toEqualTypeOf<Effect.Effect<void, never, Clerk>>()
    expectTypeOf(Testing.pipeline(program, [])).toEqualTypeOf<Effect.Effect<void, never, Model | Store | Clerk>>()
    expectTypeOf(Testing.pipeline(program, [Testing.stub("writer", { output: "poem" })])).toEqualTypeOf<
      Effect.Effect<void, never, Model | Store | Clerk>
    >()
  })

  it("takes outputs and failures of the agent's own types alone", () => {
    // @ts-expect-error: the writer gives a text
    Testing.stub(writer, { output: 1 })
    // @ts-expect-error: the writer does not fail
    Testing.stub(writer, { failure: "no" })
    // @ts-expect-error: the keeper gives a number
    Testing.stub(keeper, () => Effect.succeed("one"))
  })
})
