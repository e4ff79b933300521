// The second agent: reads the EXIF data that the camera wrote into the file.
import { Effect, Schema } from "effect"
import ExifReader from "exifreader"
import { Agent } from "handspan"
import { Metadata, Photo } from "./photo.ts"

class UnreadableMetadata extends Schema.TaggedError<UnreadableMetadata>()("UnreadableMetadata", {
  photo: Schema.String,
  message: Schema.String
}) {}

export const schemaExtractor = Agent.make("schema_extractor", {
  handoffType: "schema_extraction",
  input: Photo,
  output: Metadata,
  run: ({ bytes, name }) =>
    Effect.try({
      try: () => toMetadata(ExifReader.load(bytes.slice().buffer)),
      catch: (error) => new UnreadableMetadata({ photo: name, message: `Cannot read metadata: ${messageOf(error)}` })
    })
})

const toMetadata = (tags: ExifReader.Tags): Metadata => {
  const make = text(tags.Make)
  const model = text(tags.Model)
  return {
    width: tags["Image Width"]?.value ?? 0,
    height: tags["Image Height"]?.value ?? 0,
    // Most makers repeat themselves: "NIKON CORPORATION" and "NIKON D100".
    camera: make === undefined || model?.startsWith(make.split(" ", 1)[0]!) ? model : [make, model].join(" ").trim(),
    takenOn: text(tags.DateTimeOriginal)?.slice(0, 10).replaceAll(":", "-")
  }
}

const text = (tag: { readonly description: string } | undefined) => tag?.description.trim() || undefined

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))
