/**
 * How long the last spans of a name took, in little room: what TailRules compares a root with. It counts by buckets, and
 * knows no clock.
 *
 * @since 0.1.0
 */

const bucketsPerDoubling = 16
/** From a microsecond up to twelve days; 5 KB for each name. */
const bucketCount = bucketsPerDoubling * 40

/**
 * The durations of the last spans of a name, by buckets of 4 %, in two halves of which the older one is forgotten as a whole.
 *
 * @since 0.1.0
 */
export class RecentDurations {
  private recent = new Uint32Array(bucketCount)
  private older = new Uint32Array(bucketCount)
  private inRecent = 0
  private inOlder = 0
  private readonly slowShare: number
  private readonly enough: number
  private readonly half: number

  constructor(slowShare: number, enough: number, window: number) {
    this.slowShare = slowShare
    this.enough = enough
    this.half = Math.floor(window / 2)
  }

  /** Says whether a span is slow beside those that came before it, and remembers it. */
  takeIsSlow(durationNanos: bigint): boolean {
    const micros = Math.max(Number(durationNanos) / 1e3, 0)
    const bucket = Math.min(Math.floor(Math.log2(1 + micros) * bucketsPerDoubling), bucketCount - 1)
    const isSlow = this.isSlow(bucket)
    this.recent[bucket]!++
    if (++this.inRecent >= this.half) {
      const forgotten = this.older.fill(0)
      this.older = this.recent
      this.recent = forgotten
      this.inOlder = this.inRecent
      this.inRecent = 0
    }
    return isSlow
  }

  private isSlow(bucket: number): boolean {
    const all = this.inRecent + this.inOlder
    if (all < this.enough) return false
    let left = all * this.slowShare
    for (let i = bucketCount - 1; i >= bucket && left > 0; i--) left -= this.recent[i]! + this.older[i]!
    return left > 0
  }
}
