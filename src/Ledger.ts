/**
 * The count of every span on its way to one exporter: no span is ever without a place in it.
 *
 * @since 0.1.0
 */

/**
 * Why a span was dropped, for good.
 *
 * - `queue_full`: no room in the queue, and none on disk
 * - `refused`: the receiver or the exporter will not have it
 * - `retries_exhausted`: it failed again and again while others went through
 * - `too_large`: alone, it is larger than a request may be
 * - `damaged`: what was kept of it on disk could not be read
 * - `expired`: it was on disk for longer than the spool keeps spans
 * - `shutdown`: the program ended before it could leave
 *
 * @since 0.1.0
 */
export type DropReason =
  | "queue_full"
  | "refused"
  | "retries_exhausted"
  | "too_large"
  | "damaged"
  | "expired"
  | "shutdown"

/**
 * Nothing was dropped, for any reason.
 *
 * @since 0.1.0
 */
export const noneDropped: Readonly<Record<DropReason, number>> = {
  queue_full: 0,
  refused: 0,
  retries_exhausted: 0,
  too_large: 0,
  damaged: 0,
  expired: 0,
  shutdown: 0
}

/**
 * Where every span is, at one instant: `started + recovered` is always the sum of all that follow.
 *
 * @since 0.1.0
 */
export interface Ledger {
  readonly exporter: string
  /** Spans that were started under the Recorder. */
  readonly started: number
  /** Spans that earlier processes left in the spool and this one took over. */
  readonly recovered: number
  /** Open spans. */
  readonly live: number
  /** Spans that a sampling decision left out, at the start of their trace or at its end. */
  readonly unsampled: number
  /** Ended spans that wait for their trace's end, which decides about them. */
  readonly held: number
  /** Ended spans that wait in memory. */
  readonly queued: number
  /** Ended spans that are being sent. */
  readonly inFlight: number
  /** Ended spans that wait on disk alone. */
  readonly spooled: number
  /** Spans that the exporter took. */
  readonly exported: number
  readonly dropped: Readonly<Record<DropReason, number>>
}

/**
 * How an exporter is doing, for a health check.
 *
 * @since 0.1.0
 */
export interface Health {
  readonly exporter: string
  /** `ok`, or `failing` while the last attempt to send failed, or `degraded` where the spool cannot be written. */
  readonly status: "ok" | "degraded" | "failing"
  /** What is wrong, `""` where nothing is. */
  readonly problem: string
  /** Since when it fails, in milliseconds since the epoch; `undefined` where it does not. */
  readonly since: number | undefined
  /** Spans exported, of all that were exported or dropped: 1 where none were. */
  readonly successRate: number
  readonly ledger: Ledger
}

/**
 * How many spans were dropped, for whatever reason.
 *
 * @since 0.1.0
 */
export const totalDropped = (ledger: Ledger): number => Object.values(ledger.dropped).reduce((sum, n) => sum + n, 0)

/**
 * Says whether a ledger sums, as it always should: a span that is nowhere in it was lost silently.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Delivery, Ledger, Tracing } from "handspan"
 *
 * const program = Effect.gen(function* () {
 *   yield* Effect.withSpan(Effect.void, "work")
 *   const [ledger] = yield* (yield* Delivery.Deliveries).ledgers
 *   return ledger !== undefined && Ledger.isBalanced(ledger) && ledger.started === 1
 * })
 * if (!(await Effect.runPromise(Effect.provide(program, Tracing.layerInMemory)))) throw new Error("expected a sum")
 * ```
 *
 * @since 0.1.0
 */
export const isBalanced = (ledger: Ledger): boolean => {
  const { exported, held, inFlight, live, queued, recovered, spooled, started, unsampled } = ledger
  const waiting = live + held + queued + inFlight + spooled
  return started + recovered === waiting + unsampled + exported + totalDropped(ledger)
}
