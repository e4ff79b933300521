/**
 * How many of its traces a piece of work wants to be in, as it says so itself. Agents write it on their spans, before these
 * begin, and the Recorder reads it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"

/**
 * The share of traces that a span is recorded in, from 0 to 1, as an annotation of the span.
 *
 * @since 0.1.0
 */
export const OwnShare: Context.Reference<number | undefined> = Context.Reference<number | undefined>(
  "handspan/OwnShare",
  { defaultValue: () => undefined }
)
