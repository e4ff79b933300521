// The service that looks at photos. Who provides it decides how: `vision-pixels.ts` measures, `vision-model.ts` asks.
import { Context, Schema } from "effect"
import type { Effect } from "effect"
import type { Analysis, Photo } from "./photo.ts"

export class VisionError extends Schema.TaggedError<VisionError>()("VisionError", {
  message: Schema.String,
  /** Whether the same question may be answered a moment later. */
  transient: Schema.Boolean
}) {}

export class Vision extends Context.Service<
  Vision,
  { readonly look: (photo: Photo) => Effect.Effect<Analysis, VisionError> }
>()("photo-agency/Vision") {}
