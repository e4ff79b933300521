// One test of a pipeline for runners that are not vitest, which import it as a user would.
import { Effect } from "effect"
import * as Agent from "../../../src/Agent.ts"
import * as Pipeline from "../../../src/Pipeline.ts"
import * as Testing from "../../../src/Testing.ts"

const writer = Agent.make("writer", { run: (topic: string) => Effect.succeed(`On ${topic}`) })
const critic = Agent.make("critic", { run: (poem: string) => Effect.succeed(`${poem}, improved`) })
const studio = Pipeline.make("studio", Pipeline.sequence(writer, critic))
const { handoff, pipeline } = Testing.Tree

/** Runs the pipeline and holds its trace against `agents`. */
export const check = async (...agents: ReadonlyArray<string>): Promise<void> => {
  const { trace } = await Effect.runPromise(Testing.record(studio("tides")))
  Testing.expectTrace(trace).toMatchTree(
    pipeline(
      "studio",
      agents.map((agent) => handoff(agent))
    )
  )
}
