// The first agent: reads the photos of a folder.
import { ByteSize, Effect, FileSystem, Path, Schema } from "effect"
import { Agent, Pipeline } from "handspan"
import { Batch } from "./photo.ts"

/** Decoding a larger photo takes seconds, and a first run should not. */
const maxSize = ByteSize.megabytes(2)

export const photoFetcher = Agent.make("photo_fetcher", {
  kind: "tool",
  handoffType: "photo_fetching",
  input: Schema.NonEmptyString,
  output: Batch,
  run: (folder) =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const names = (yield* fs.readDirectory(folder)).filter((name) => /\.jpe?g$/i.test(name)).toSorted()
      // Nothing to do is no failure: the pipeline stops here, and its spans end well.
      if (names.length === 0) return yield* Pipeline.terminate(`no photos in ${folder}`)

      const [photos, skipped] = yield* Effect.partition(names, (name) =>
        Effect.gen(function* () {
          const file = path.join(folder, name)
          const { size } = yield* fs.stat(file)
          if (size > maxSize) return yield* Effect.fail({ message: `${ByteSize.format(size)}, too large to look at` })
          return { name, bytes: yield* fs.readFile(file) }
        }).pipe(Effect.mapError(({ message }) => ({ name, reason: message })))
      )
      // A log inside of a handoff tells its trace, span and agent, and stands in the tree as well.
      yield* Effect.log(`Fetched ${photos.length} photos`)
      for (const { name, reason } of skipped) yield* Effect.logWarning(`Skipped ${name}: ${reason}`)
      return { folder, photos, skipped }
    })
})
