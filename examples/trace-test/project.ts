// Reads loom.toml: which agents a project has, and on which runtime each runs.
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
