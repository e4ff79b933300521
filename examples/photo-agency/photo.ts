// What the agents hand to each other. Schemas, so that each handoff can check what it is given and what it gives.
import { Schema } from "effect"

export const Photo = Schema.Struct({ name: Schema.NonEmptyString, bytes: Schema.Uint8Array })
export type Photo = typeof Photo.Type

export const Skipped = Schema.Struct({ name: Schema.String, reason: Schema.String })

/** A folder's worth of photos, and those that were left where they are. */
export const Batch = Schema.Struct({
  folder: Schema.String,
  photos: Schema.Array(Photo),
  skipped: Schema.Array(Skipped)
})
export type Batch = typeof Batch.Type

/** What the camera wrote into the file; most of it may be missing. */
export const Metadata = Schema.Struct({
  width: Schema.Int,
  height: Schema.Int,
  camera: Schema.UndefinedOr(Schema.String),
  /** As `2004-05-22`. */
  takenOn: Schema.UndefinedOr(Schema.String)
})
export type Metadata = typeof Metadata.Type

const Ratio = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))

/** What is to be seen. */
export const Analysis = Schema.Struct({
  description: Schema.String,
  /** The most frequent colours, that which covers most first. */
  colours: Schema.Array(Schema.String),
  brightness: Ratio,
  sharpness: Ratio
})
export type Analysis = typeof Analysis.Type

/** Where the document library keeps a photo. */
export const Stored = Schema.Struct({ path: Schema.String, sizeBytes: Schema.Int })
export type Stored = typeof Stored.Type
