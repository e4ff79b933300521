// Reads loom.toml: which agents a project has, and how each is run.
import { Effect, FileSystem, Schema } from "effect"
import { Toml } from "effect/encoding"

const Agent = Schema.Struct({ program: Schema.NonEmptyString, runtime: Schema.Literals(["node", "deno"]) })

const Project = Schema.Struct({
  project: Schema.Struct({ name: Schema.NonEmptyString }),
  agents: Schema.Record(Schema.String, Agent)
})

/** What is wrong with the file stands in the error. */
export const readProject = (file: string) =>
  Effect.gen(function* () {
    const text = yield* FileSystem.FileSystem.use((fs) => fs.readFileString(file))
    return yield* Schema.decodeUnknownEffect(Project)(yield* Effect.fromResult(Toml.parse(text)))
  })

/** The command line that runs an agent; on Deno it may do what it needs, and no more. */
export const commandOf = (agent: typeof Agent.Type, folder: string, argument: string) => {
  const program = `${folder}/${agent.program}`
  const node = ["--disable-warning=ExperimentalWarning", program]
  const deno = [
    "run",
    "--quiet",
    "--no-prompt",
    "--no-lock",
    "--allow-env",
    "--allow-read",
    "--allow-net=127.0.0.1",
    program
  ]
  // The other runtime than this program's own is found on the PATH.
  const isOurs = agent.runtime === ("Deno" in globalThis ? "deno" : "node")
  const command = isOurs ? process.execPath : agent.runtime
  return { command, args: [...(agent.runtime === "deno" ? deno : node), argument] }
}
