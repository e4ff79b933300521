// The fifth agent: joins what became of every photo, and reports what is wrong or missing.
import { Effect, Schema } from "effect"
import { Agent } from "handspan"
import { safe } from "handspan/analysis/Printable"
import { Analysis, Metadata, Photo, Skipped, Stored } from "./photo.ts"

const Filed = Schema.TaggedStruct("Filed", { photo: Photo, metadata: Metadata, analysis: Analysis, stored: Stored })
const Failed = Schema.TaggedStruct("Failed", { photo: Photo, reason: Schema.String })
/** What became of a photo. */
export const Outcome = Schema.Union([Filed, Failed])
export type Outcome = typeof Outcome.Type

const Report = Schema.Struct({
  stored: Schema.Int,
  failed: Schema.Int,
  skipped: Schema.Int,
  /** The report itself, for people. */
  text: Schema.String
})

export const validationReporter = Agent.make("validation_reporter", {
  handoffType: "validation_reporting",
  input: Schema.Struct({
    folder: Schema.String,
    outcomes: Schema.Array(Outcome),
    skipped: Schema.Array(Skipped)
  }),
  output: Report,
  run: ({ folder, outcomes, skipped }) =>
    Effect.sync(() => {
      const failed = outcomes.filter(({ _tag }) => _tag === "Failed").length
      const stored = outcomes.length - failed
      const text = [
        `Photos of ${folder}: ${stored} stored, ${failed} failed, ${skipped.length} skipped`,
        "",
        // Names and EXIF come from strangers, and a report goes to a terminal.
        ...table([...outcomes.map(row), ...skipped.map(({ name, reason }) => ["– skipped", name, reason])]).map(safe)
      ].join("\n")
      return { stored, failed, skipped: skipped.length, text }
    })
})

const row = (outcome: Outcome): ReadonlyArray<string> => {
  const { photo } = outcome
  if (outcome._tag === "Failed") return ["✗ failed", photo.name, outcome.reason]
  const { analysis, metadata, stored } = outcome
  const problems = [
    ...(stored.sizeBytes === photo.bytes.length ? [] : [`${stored.sizeBytes} of ${photo.bytes.length} bytes arrived`]),
    ...(metadata.camera === undefined ? ["no camera"] : []),
    ...(metadata.takenOn === undefined ? ["no date"] : [])
  ]
  return [
    problems.length === 0 ? "✓ stored" : "! stored",
    photo.name,
    `${metadata.width}×${metadata.height}`,
    [metadata.camera, metadata.takenOn, ...problems].filter((part) => part !== undefined).join(", "),
    analysis.description
  ]
}

/** Rows as text, with the columns in line. The last cell of a row may be as long as it likes. */
const table = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const width = (column: number) =>
    Math.max(...rows.map((cells) => (column < cells.length - 1 ? cells[column]!.length : 0)))
  return rows.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(width(column)))
      .join("  ")
      .trimEnd()
  )
}
