/**
 * A span over a request and its answer: it may have failed by what the answer says, though whoever asked gets the answer all the
 * same. What says so is `HttpSpan`'s, `McpSpan`'s and `DatabaseSpan`'s.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"

/**
 * Runs work inside of a span. What `tell` makes of the work's end is the span's end; the work's own is given back.
 *
 * @since 0.1.0
 */
export const within = <A, E, R, R2>(
  work: Effect.Effect<A, E, R>,
  tell: (exit: Exit.Exit<A, E>) => Effect.Effect<unknown, unknown>,
  span: (effect: Effect.Effect<unknown, unknown, R>) => Effect.Effect<unknown, unknown, R2>
): Effect.Effect<A, E, R2> =>
  Effect.suspend(() => {
    let outcome: Exit.Exit<A, E> | undefined
    const told = Effect.flatMap(Effect.exit(work), (exit) => {
      outcome = exit
      return tell(exit)
    })
    return Effect.flatMap(Effect.exit(span(told)), (exit) => outcome ?? (exit as Exit.Exit<A, E>))
  })
