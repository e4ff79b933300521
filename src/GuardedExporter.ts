/**
 * An exporter, which may be anybody's, with walls around it: whatever it does, Delivery goes on, and what it says of
 * numbers can be counted with.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import { type Exporter, ExportError } from "./Exporter.ts"
import type { Batch } from "./SpanBuffer.ts"
import * as SpanEnd from "./SpanEnd.ts"

/**
 * What Delivery does with an exporter.
 *
 * @since 0.1.0
 */
export interface GuardedExporter {
  /**
   * As the exporter's, and a defect, an interruption or no Effect at all is a refusal of the whole batch. One that takes
   * longer than it may is interrupted, and may be tried again.
   */
  readonly export: (batch: Batch) => Effect.Effect<void, ExportError>
  /** Waits for the exporter's, no longer than so and whatever it is. */
  readonly flush: (timeout: Duration.Duration) => Effect.Effect<void>
  readonly shutdown: (timeout: Duration.Duration) => Effect.Effect<void>
  /** Exports before it returns, and says how many spans of each batch were taken. */
  readonly exportNow: (
    batches: ReadonlyArray<Batch>,
    timeoutMillis: number,
    services: Context.Context<never>
  ) => ReadonlyArray<number>
}

/**
 * Puts walls around an exporter.
 *
 * @since 0.1.0
 */
export const make = (exporter: Exporter, exportTimeout: Duration.Duration): GuardedExporter => {
  const refusal = (message: string, { count }: Batch) =>
    new ExportError({ exporter: exporter.name, message, retryable: false, refused: count })

  const guarded = (batch: Batch): Effect.Effect<void, ExportError> =>
    Effect.suspend(() => {
      const exporting: unknown = exporter.export(batch)
      return Effect.isEffect(exporting)
        ? (exporting as Effect.Effect<void, unknown>)
        : Effect.fail(refusal("export gave no Effect", batch))
    }).pipe(
      Effect.timeoutOrElse({
        duration: exportTimeout,
        orElse: () =>
          Effect.fail(
            new ExportError({
              exporter: exporter.name,
              message: `export took longer than ${Duration.format(exportTimeout)}`,
              retryable: true,
              refused: batch.count
            })
          )
      }),
      Effect.catchCause((cause) => {
        const squashed = Cause.squash(cause)
        return Effect.fail(
          squashed instanceof ExportError ? squashed : refusal(SpanEnd.describe(squashed).message, batch)
        )
      })
    )

  const flush = harmless(() => exporter.flush)
  const shutdown = harmless(() => exporter.shutdown)
  return {
    export: guarded,
    flush: (timeout) => within(timeout, flush),
    shutdown: (timeout) => within(timeout, shutdown),
    exportNow: (batches, timeoutMillis, services) => {
      // What needs no turn of the event loop, such as printing, works at an exit as well.
      const now = (batch: Batch): number =>
        Exit.isSuccess(Effect.runSyncExitWith(services)(Effect.andThen(guarded(batch), flush))) ? batch.count : 0
      const taken = Result.getOrElse(
        Result.try(() => exporter.exportAtExit?.(batches, timeoutMillis) ?? batches.map(now)),
        () => []
      )
      return batches.map(({ count }, index) => clamp(taken[index] ?? 0, count, 0))
    }
  }
}

/**
 * How many spans of a batch an exporter refused. A count that is none means that nothing is known to have been taken.
 *
 * @since 0.1.0
 */
export const refusedOf = (error: ExportError, { count }: Batch): number => clamp(error.refused, count, count)

const clamp = (spans: number, count: number, instead: number): number =>
  Number.isFinite(spans) ? Math.max(Math.min(spans, count), 0) : instead

// Read when it is run, and whatever it is: a foreign exporter must fail nothing.
const harmless = (read: () => unknown): Effect.Effect<void> =>
  Effect.suspend(() => {
    const effect = read()
    return Effect.isEffect(effect) ? (effect as Effect.Effect<unknown, unknown>) : Effect.void
  }).pipe(Effect.ignoreCause)

/**
 * Waits for an effect no longer than so, also where it cannot be interrupted.
 *
 * @since 0.1.0
 */
export const within = (timeout: Duration.Duration, effect: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.flatMap(Effect.forkDetach(effect), (fiber) =>
    Fiber.await(fiber).pipe(
      Effect.interruptible,
      Effect.timeoutOption(timeout),
      Effect.andThen(Effect.sync(() => fiber.interruptUnsafe()))
    )
  )
