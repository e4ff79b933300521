/**
 * The clock of work that goes on behind a program: its timers hold no process open. A program that is done ends; what was
 * still to be sent then leaves by the exit. Where a test has put another clock in place, that one holds.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

interface Globals {
  readonly Deno?: { readonly unrefTimer: (timer: number) => void }
}

const letGo = (timer: unknown): void => {
  const { Deno: deno } = globalThis as Globals
  if (typeof timer === "number") deno?.unrefTimer(timer)
  else (timer as { readonly unref?: () => void }).unref?.()
}

/** What a timer can be set to; a longer one would go off at once. */
const maxMillis = 2 ** 31 - 1

/**
 * Runs an effect whose sleeps hold no process open.
 *
 * @since 0.1.0
 */
export const provide = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Clock.Clock, (clock) => {
    // A test's clock moves when the test says so.
    if (clock !== live) return effect
    return Effect.provideService(effect, Clock.Clock, background)
  })

const live = Context.get(Context.empty(), Clock.Clock)

const background: Clock.Clock = Object.assign(Object.create(live) as Clock.Clock, {
  sleep: (duration: Duration.Duration) =>
    Effect.callback<void>((resume) => {
      const timer = setTimeout(() => resume(Effect.void), Math.min(Duration.toMillis(duration), maxMillis))
      letGo(timer)
      return Effect.sync(() => clearTimeout(timer))
    })
})
