/**
 * The contract of everything that takes finished spans somewhere: a terminal, a collector, memory. Delivery calls it;
 * implementations live in `exporter/`. Queueing, batching, retrying and counting are Delivery's, not an exporter's.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as OtlpProtobuf from "./OtlpProtobuf.ts"
import type { Batch } from "./SpanBuffer.ts"
import type { SpanRecord } from "./SpanRecord.ts"

/**
 * Spans that an exporter could not take.
 *
 * @since 0.1.0
 */
export class ExportError extends Schema.TaggedError<ExportError>()("ExportError", {
  /** The exporter's name. */
  exporter: Schema.String,
  /** What went wrong, as a sentence for the person who reads the logs. */
  message: Schema.String,
  /** Whether the same batch may succeed later. */
  retryable: Schema.Boolean,
  /** How many spans of the batch were refused; the others were taken. */
  refused: Schema.Int,
  /** When to come back, in milliseconds from now, where the receiver said so. */
  retryAfterMillis: Schema.optionalKey(Schema.Number)
}) {}

/**
 * Takes batches of finished spans somewhere. `make` makes one for code that wants `SpanRecord`s.
 *
 * **Rules**:
 * - `export` takes the whole batch, or fails with an `ExportError` that says how many spans it refused. It is never
 *   called with an empty batch, and by at most `concurrency` callers at once. The batch's bytes hold until `export`
 *   ends or is interrupted; after that others are written into them.
 * - `flush` returns when everything taken so far has left the process (or is where it belongs).
 * - `shutdown` lets go of what the exporter holds; Delivery calls it once, after the last `flush`.
 * - A batch may hold spans of several traces, in the order they ended: children before parents, mostly.
 *
 * @since 0.1.0
 */
export interface Exporter {
  /** A short name for messages and ledgers, such as `console` or `otlp`. */
  readonly name: string
  readonly export: (batch: Batch) => Effect.Effect<void, ExportError>
  readonly flush: Effect.Effect<void>
  readonly shutdown: Effect.Effect<void>
  /** How many exports may be under way at once. Default: 1. */
  readonly concurrency?: number | undefined
  /** How long a span may wait for others to be sent with; unless given, Delivery's own default holds. */
  readonly batchDelay?: Duration.Input | undefined
  /**
   * Where its spans go, in words of its own such as a host and a path: they are kept on disk under this name while it
   * cannot take them, where there is a spool, and come back to none but an exporter of the same. Default: they are not kept.
   */
  readonly spoolAs?: string | undefined
  /** Whether it takes pictures of spans that are still open, which come again under their id. Default: false. */
  readonly pendingSpans?: boolean | undefined
  /**
   * The last resort when the process exits and nothing asynchronous runs any more: sends what it can, synchronously,
   * within so many milliseconds, and says of each batch how many of its spans were taken. Throws nothing.
   */
  readonly exportAtExit?: ((batches: ReadonlyArray<Batch>, timeoutMillis: number) => ReadonlyArray<number>) | undefined
}

/**
 * Makes an exporter from the parts it needs; `flush` and `shutdown` do nothing unless given.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Exporter } from "handspan"
 *
 * const names: Array<string> = []
 * const collectNames = Exporter.make({
 *   name: "names",
 *   export: (spans) => Effect.sync(() => void names.push(...spans.map((span) => span.name)))
 * })
 * if (collectNames.name !== "names") throw new Error("wrong name")
 * ```
 *
 * @since 0.1.0
 */
export const make = (options: {
  readonly name: string
  readonly export: (spans: ReadonlyArray<SpanRecord>) => Effect.Effect<void, ExportError>
  readonly flush?: Effect.Effect<void> | undefined
  readonly shutdown?: Effect.Effect<void> | undefined
  readonly batchDelay?: Duration.Input | undefined
  readonly concurrency?: number | undefined
  readonly spoolAs?: string | undefined
}): Exporter => ({
  name: options.name,
  export: (batch) =>
    Result.match(OtlpProtobuf.decode(batch.bytes), {
      onSuccess: options.export,
      onFailure: ({ message }) =>
        new ExportError({ exporter: options.name, message, retryable: false, refused: batch.count })
    }),
  flush: options.flush ?? Effect.void,
  shutdown: options.shutdown ?? Effect.void,
  batchDelay: options.batchDelay,
  concurrency: options.concurrency,
  spoolAs: options.spoolAs
})
