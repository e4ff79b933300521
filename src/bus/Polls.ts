/**
 * Polls of a server that outlive who began them: a server may be handing out a message, of which nobody would hear until it is
 * overdue. What was left waiting is the next poller's, and what it brings while it is nobody's is given back.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"

/**
 * Asks a server. It is told when nobody waits for it any more, for what it can do without then.
 *
 * @since 0.1.0
 */
export type Poll<A> = (left: Effect.Effect<void>) => Effect.Effect<A, unknown>

interface Polling<A> {
  readonly fiber: Fiber.Fiber<A, unknown>
  readonly left: Deferred.Deferred<void>
}

/** How long the end of all waits for polls, in milliseconds: servers are asked to wait for less. */
const lastPoll = 5000

/**
 * Polls for whoever is of the same name.
 *
 * @since 0.1.0
 */
export interface Polls<A> {
  /** Waits for what a poll brings, or for one of that name that was left; interruption leaves it. */
  readonly wait: (name: string, poll: Poll<A>) => Effect.Effect<A, unknown>
}

/**
 * Makes a place for polls, which does not close before those that were left have ended.
 *
 * @since 0.1.0
 */
export const make = <A>(
  giveBack: (brought: A) => Effect.Effect<void, unknown>
): Effect.Effect<Polls<A>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const left = new Map<string, Array<Polling<A>>>()
    /** Those that were left once, until they end, and who sees to what they bring. */
    const watched = new Set<Polling<A>>()
    const watches = new Set<Fiber.Fiber<void>>()
    yield* Effect.addFinalizer(() =>
      Effect.timeoutOption(Effect.interruptible(Effect.suspend(() => Fiber.awaitAll(watches))), lastPoll)
    )

    const adopt = (name: string): Polling<A> | undefined => {
      const polls = left.get(name)
      const polling = polls?.shift()
      if (polls?.length === 0) left.delete(name)
      return polling
    }

    /** Whether nobody has taken it since it was left. */
    const isNobodys = (name: string, polling: Polling<A>): boolean => {
      const polls = left.get(name) ?? []
      const others = polls.filter((other) => other !== polling)
      if (others.length === 0) left.delete(name)
      else left.set(name, others)
      return others.length < polls.length
    }

    const leave = (name: string, polling: Polling<A>) =>
      Effect.suspend(() => {
        left.set(name, [...(left.get(name) ?? []), polling])
        if (watched.has(polling)) return Effect.void
        watched.add(polling)
        Deferred.doneUnsafe(polling.left, Exit.void)
        // In one step, as whoever has taken it may leave it once more.
        const watch = Effect.flatMap(Fiber.await(polling.fiber), (exit) => {
          watched.delete(polling)
          return isNobodys(name, polling) && Exit.isSuccess(exit) ? Effect.ignore(giveBack(exit.value)) : Effect.void
        })
        return Effect.map(Effect.forkDetach(watch), (watching) => {
          watches.add(watching)
          watching.addObserver(() => watches.delete(watching))
        })
      })

    return {
      wait: (name, poll) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(
            Effect.suspend(() => {
              const polling = adopt(name)
              if (polling !== undefined) return Effect.succeed(polling)
              const left = Deferred.makeUnsafe<void>()
              const asking = Effect.forkDetach(restore(poll(Deferred.await(left))), { startImmediately: true })
              return Effect.map(asking, (fiber) => ({ fiber, left }))
            }),
            (polling) => Effect.onInterrupt(restore(Fiber.join(polling.fiber)), () => leave(name, polling))
          )
        )
    }
  })
