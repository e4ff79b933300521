/**
 * The ids that a span goes by, where others know it before it is opened: a durable run is the parent of its steps long before
 * it is over. Authoring writes them on the span, and the Recorder, which makes all other ids, takes them.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"

/**
 * Ids that derive from something else than chance.
 *
 * @since 0.1.0
 */
export interface OwnIds {
  /** 16 lower-case hex digits, not all zero. */
  readonly spanId: string
  /** Counts for a span that begins a trace: 32 lower-case hex digits, the right-most 14 as good as random. */
  readonly traceId: string
  /** What was decided about the span when others were told of it. Default: it is decided when the span opens. */
  readonly decided?: { readonly sampled: boolean; readonly flags: number; readonly traceState: string } | undefined
}

/**
 * The ids of a span, as an annotation of the span. Default: the Recorder makes them.
 *
 * @since 0.1.0
 */
export const OwnIds: Context.Reference<OwnIds | undefined> = Context.Reference<OwnIds | undefined>("handspan/OwnIds", {
  defaultValue: () => undefined
})
