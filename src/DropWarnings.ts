/**
 * Tells people that spans were dropped: one warning for each burst and reason, a second after it began, so that a
 * collector that is down does not fill the log. The numbers are the queue's.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as References from "effect/References"
import * as BackgroundClock from "./BackgroundClock.ts"
import type { DropReason } from "./Ledger.ts"

/**
 * The warnings of one Delivery.
 *
 * @since 0.1.0
 */
export interface DropWarnings {
  /** Why spans are dropped for a reason, in words; may change until the warning is given. */
  readonly causes: Record<DropReason, string>
  /** Some were dropped just now. */
  readonly notice: () => void
  /** Gives the warnings that are due, at once. */
  readonly tell: Effect.Effect<void>
  /** Gives those that are due, once and for all; what is dropped later is told all the same. */
  readonly settle: Effect.Effect<void>
}

/**
 * Starts to watch the counts of what an exporter's Delivery dropped.
 *
 * @since 0.1.0
 */
export const make = (
  exporter: string,
  dropped: Readonly<Record<DropReason, number>>,
  causes: Record<DropReason, string>
): Effect.Effect<DropWarnings> =>
  Effect.gen(function* () {
    const some = yield* Latch.make()
    const told: Record<DropReason, number> = { ...dropped }

    const tell = Effect.suspend(
      () =>
        Effect.forEach(
          Object.keys(causes) as Array<DropReason>,
          (reason) => {
            const count = dropped[reason] - told[reason]
            told[reason] = dropped[reason]
            const what = count === 1 ? "1 span on its way" : `${count} spans on their way`
            return count === 0
              ? Effect.void
              : Effect.logWarning(`Dropped ${what} to exporter "${exporter}": ${causes[reason]}`)
          },
          { discard: true }
        )
      // What is marked as told must be told.
    ).pipe(Effect.uninterruptible, Effect.provideService(References.TracerEnabled, false))

    const forever = Effect.gen(function* () {
      while (true) {
        yield* some.await
        yield* Effect.sleep("1 seconds")
        some.closeUnsafe()
        yield* tell
      }
    })
    // Of no scope: spans that end after it, in fibers that outlive the program, are lost too, and told.
    let fiber = yield* Effect.forkDetach(BackgroundClock.provide(forever))

    return {
      causes,
      notice: () => some.openUnsafe(),
      tell,
      settle: Effect.gen(function* () {
        fiber.interruptUnsafe()
        some.closeUnsafe()
        fiber = yield* Effect.forkDetach(BackgroundClock.provide(forever))
        yield* tell
      })
    }
  })
