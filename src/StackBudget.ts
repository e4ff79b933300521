/**
 * Bounds what failures cost: the text of a stack trace is by far the dearest of what a failing span writes.
 *
 * @since 0.1.0
 */

/**
 * How many stack traces may be written. Their text costs 10 to 100 µs each, so a program in which everything fails
 * writes those of the first 100 failures of each second; types and messages are always written.
 *
 * @since 0.1.0
 */
export class StackBudget {
  private second = -1n
  private left = 0

  mayTake(now: bigint): boolean {
    const second = now / 1_000_000_000n
    if (second !== this.second) {
      this.second = second
      this.left = 100
    }
    return this.left-- > 0
  }
}
