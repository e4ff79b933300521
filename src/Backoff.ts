/**
 * When to try a receiver again that could not take spans: twice as long each time, never quite the same, and when it
 * says itself. A value that changes; the clock and the dice are the caller's.
 *
 * @since 0.1.0
 */

const firstMillis = 100
const maxMillis = 5000

/**
 * How a receiver has been failing.
 *
 * **Details**: the waits are 0.1, 0.2, 0.4, 0.8, 1.6, 3.2 and from then on 5 seconds, each up to half less: many
 * processes that lost one receiver do not come back in step. A longer wait that the receiver asks for is kept.
 *
 * @since 0.1.0
 */
export class Backoff {
  private failures = 0
  private wait = 0
  private failedAt = 0

  /** Whether the last attempt failed. */
  get isFailing(): boolean {
    return this.failures > 0
  }

  /**
   * An attempt failed at `now` (milliseconds): `random` is from 0 to 1, `askedMillis` what the receiver asked for, or
   * 0. Attempts that were under way together fail together, and count as one; the longest wait they ask for is kept.
   */
  fail(now: number, random: number, askedMillis: number): void {
    let wait = this.waitMillis(now)
    if (wait === 0) {
      wait = Math.ceil(Math.min(firstMillis * 2 ** this.failures, maxMillis) * (1 - random / 2))
      this.failures++
    }
    this.wait = Math.max(wait, askedMillis)
    this.failedAt = now
  }

  succeed(): void {
    this.failures = 0
  }

  /** How long to wait, at `now`, before the next attempt. */
  waitMillis(now: number): number {
    const waited = now - this.failedAt
    // A clock that was set back says nothing any more: better a moment too early than an hour too late.
    return this.isFailing && waited >= 0 ? Math.max(this.wait - waited, 0) : 0
  }
}
