/**
 * Says what is wrong with the spool of an exporter, in the log and for health checks: a disk that takes nothing, and what
 * was found damaged on it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Journal } from "./Spool.ts"

/**
 * Watches a journal.
 *
 * @since 0.1.0
 */
export const make = (
  exporter: string,
  journal: Journal | undefined,
  damagedBatches: () => number
): {
  /** What is wrong, `""` where nothing is, or there is no journal. */
  readonly problem: () => string
  /** Warns of what is wrong, once until it changes. */
  readonly tell: Effect.Effect<void>
} => {
  const problem = (): string => {
    const { problem: refusal, setAside = 0 } = journal?.status() ?? {}
    const damaged = damagedBatches()
    return [
      refusal === undefined ? "" : `the spool takes no spans: ${refusal}`,
      damaged + setAside === 0 ? "" : `${damaged} batches and ${setAside} files in the spool cannot be read`
    ]
      .filter((text) => text !== "")
      .join("; ")
  }
  let told = ""
  return {
    problem,
    tell: Effect.suspend(() => {
      const now = problem()
      const isNews = now !== told && now !== ""
      told = now
      return isNews ? Effect.logWarning(`Exporter "${exporter}": ${now}`) : Effect.void
    })
  }
}
