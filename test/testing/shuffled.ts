// A scheduler that lets fibers take turns in an order of chance, and takes their turn away after a few steps.
import type { Scheduler } from "effect"

/** The order follows from the seed (mulberry32). */
export const shuffled = (seed: number): Scheduler.Scheduler => {
  let state = seed
  const random = (below: number): number => {
    state = (state + 0x6d2b_79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
  const tasks: Array<() => void> = []
  let isDue = false
  const runAll = (): void => {
    while (tasks.length > 0) tasks.splice(random(tasks.length), 1)[0]!()
    isDue = false
  }
  const dispatcher: Scheduler.SchedulerDispatcher = {
    scheduleTask: (task) => {
      tasks.push(task)
      if (isDue) return
      isDue = true
      queueMicrotask(runAll)
    },
    flush: runAll
  }
  return {
    executionMode: "async",
    shouldYield: (fiber) => fiber.currentOpCount >= 2 && random(3) === 0,
    makeDispatcher: () => dispatcher
  }
}
