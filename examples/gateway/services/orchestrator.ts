// Answers questions by a pipeline of three agents, the second of which asks a model.
import { Data, Effect, Schema } from "effect"
import { Agent, Pipeline } from "handspan"
import { connect, serve } from "../protocol.ts"
import { run } from "./service.ts"

const tools = {
  multiply: (a: number, b: number) => a * b,
  add: (a: number, b: number) => a + b
}

const Plan = Schema.fromJsonString(
  Schema.Struct({ tool: Schema.Literals(["multiply", "add"]), arguments: Schema.Tuple([Schema.Finite, Schema.Finite]) })
)

class NoRoute extends Data.TaggedError("NoRoute")<{ readonly message: string }> {}

const router = Agent.make("Router", {
  run: (question: string) =>
    /how (many|much)/i.test(question)
      ? Effect.succeed({ question, tools: Object.keys(tools) })
      : Effect.fail(new NoRoute({ message: "Nobody here answers that. Ask how many or how much" }))
})

run("jeeves-orchestrator", (modelGateway) =>
  Effect.gen(function* () {
    const generate = yield* connect("Generate", { address: modelGateway, spanName: "llm.generate" })

    const planner = Agent.make("Planner", {
      kind: "llm",
      run: ({ question, tools }: { readonly question: string; readonly tools: ReadonlyArray<string> }) =>
        generate({ text: `Which of ${tools.join(", ")} answers this, and with what? ${question}` }).pipe(
          Effect.flatMap(({ text }) => Schema.decodeEffect(Plan)(text))
        )
    })

    const executor = Agent.make("Executor", {
      tools: Object.keys(tools),
      run: ({ arguments: [a, b], tool }: typeof Plan.Type) => Effect.succeed(String(tools[tool](a, b)))
    })

    const answer = Pipeline.make("chat", Pipeline.sequence(router, planner, executor))

    return yield* serve("ExecutePipeline", ({ message }) => Effect.map(answer(message), (text) => ({ text })))
  })
)
