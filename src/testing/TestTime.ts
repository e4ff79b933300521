/**
 * The time of a test: a clock that knows until when fibers sleep, over a scheduler that knows whether any is about to run.
 * Only when all sleep, or wait for something outside, may a test move time.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scheduler from "effect/Scheduler"
import type { TestClock } from "effect/testing"

/**
 * Moves the time of a test.
 *
 * @since 0.1.0
 */
export class TestTime extends Context.Service<
  TestTime,
  {
    /**
     * Moves time from one waking fiber to the next, whenever all sleep, until a fiber is done or so much time is over. Says so
     * where the fiber then still sleeps.
     */
    readonly advance: (by: Duration.Duration, fiber: Fiber.Fiber<unknown, unknown>) => Effect.Effect<void>
  }
>()("handspan/testing/TestTime") {}

/**
 * Makes a scheduler that schedules as another does, and tells of each fiber that takes a turn.
 *
 * @since 0.1.0
 */
export const watchScheduler = (
  scheduler: Scheduler.Scheduler,
  onTurn: (fiber: Fiber.Fiber<unknown, unknown>) => void
): { readonly scheduler: Scheduler.Scheduler; readonly pending: () => number } => {
  let pending = 0
  return {
    pending: () => pending,
    scheduler: {
      executionMode: scheduler.executionMode,
      shouldYield: (fiber) => {
        onTurn(fiber)
        return scheduler.shouldYield(fiber)
      },
      makeDispatcher: () => {
        const dispatcher = scheduler.makeDispatcher()
        return {
          scheduleTask: (task, priority) => {
            pending++
            dispatcher.scheduleTask(() => {
              pending--
              task()
            }, priority)
          },
          flush: () => dispatcher.flush()
        }
      }
    }
  }
}

/**
 * Makes a clock that sleeps as a test's clock does, and the service that moves it. A test that sleeps and is never moved is
 * told so after a second, as Effect's own clock would.
 *
 * @since 0.1.0
 */
export const watchClock = (
  testClock: TestClock.TestClock,
  pending: () => number
): { readonly clock: Clock.Clock; readonly time: TestTime["Service"] } => {
  /** When each sleep ends, in milliseconds. */
  const sleeps = new Set<{ readonly until: number }>()
  let isMoved = false
  const now = () => testClock.currentTimeMillisUnsafe()

  const adjust = (by: Duration.Input) =>
    Effect.suspend(() => {
      isMoved = true
      return testClock.adjust(by)
    })
  const clock: TestClock.TestClock = {
    ...testClock,
    adjust,
    setTime: (time) =>
      Effect.suspend(() => {
        isMoved = true
        return testClock.setTime(time)
      }),
    sleep: (duration) =>
      Effect.suspend(() => {
        const sleep = { until: now() + Duration.toMillis(duration) }
        sleeps.add(sleep)
        const warning = isMoved ? undefined : setTimeout(warnUnlessMoved, 1000)
        return Effect.ensuring(
          testClock.sleep(duration),
          Effect.sync(() => {
            clearTimeout(warning)
            sleeps.delete(sleep)
          })
        )
      })
  }

  const warnUnlessMoved = (): void => {
    if (isMoved) return
    isMoved = true
    Effect.runFork(Effect.logWarning("A test sleeps and nobody moves its clock: use TestClock.adjust, or advance"))
  }

  /** A turn of the event loop, so that what was resolved in it has come as far as it can. */
  const turn = Effect.callback<void>((resume) => {
    const timer = setTimeout(() => resume(Effect.void))
    return Effect.sync(() => clearTimeout(timer))
  })

  const advance: TestTime["Service"]["advance"] = (by, fiber) =>
    Effect.gen(function* () {
      const end = now() + Duration.toMillis(by)
      while (fiber.pollUnsafe() === undefined) {
        yield* turn
        // Some are to run yet, or all that are left wait for something real.
        if (pending() > 0 || sleeps.size === 0 || fiber.pollUnsafe() !== undefined) continue
        const next = Math.min(...Array.from(sleeps, ({ until }) => until))
        if (next > end) break
        yield* adjust(Duration.millis(Math.max(next - now(), 0)))
      }
      if (fiber.pollUnsafe() === undefined) {
        yield* adjust(Duration.millis(Math.max(end - now(), 0)))
        yield* Effect.logWarning(`The program still sleeps after ${Duration.format(by)}: let it advance further`)
      }
    })
  return { clock, time: TestTime.of({ advance }) }
}
