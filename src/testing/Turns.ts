/**
 * Watches a scheduler, to know when every fiber sleeps or waits for something outside: only then may a test move time.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scheduler from "effect/Scheduler"

/**
 * Waits until no fiber of the test is to run any more, unless something outside wakes one.
 *
 * @since 0.1.0
 */
export class Turns extends Context.Service<Turns, { readonly over: Effect.Effect<void> }>()("handspan/testing/Turns") {}

/**
 * Makes a scheduler that schedules as another does, and what knows when it has nothing left to do.
 *
 * @since 0.1.0
 */
export const watch = (
  scheduler: Scheduler.Scheduler
): { readonly scheduler: Scheduler.Scheduler; readonly turns: Turns["Service"] } => {
  let pending = 0
  const over = Effect.callback<void>((resume) => {
    // After a turn of the event loop, so that what was resolved in it has come as far as it can.
    const look = (): void => {
      timer = setTimeout(() => (pending === 0 ? resume(Effect.void) : look()))
    }
    let timer: ReturnType<typeof setTimeout> | undefined
    look()
    return Effect.sync(() => clearTimeout(timer))
  })
  return {
    turns: Turns.of({ over }),
    scheduler: {
      executionMode: scheduler.executionMode,
      shouldYield: (fiber) => scheduler.shouldYield(fiber),
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
