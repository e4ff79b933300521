// A set of 64-bit ids. Millions of them: JavaScript's own Set of texts would cost the receiver more than all decoding,
// and the receiver must not be what limits the throughput.

/** Counts distinct ids, each given as two unsigned halves. Ids are random, so their bits are hash enough. */
export class IdSet {
  size = 0
  private slots = 1 << 16
  private halves = new Uint32Array(this.slots * 2)
  private hasZero = false

  add(high: number, low: number): void {
    if (high === 0 && low === 0) {
      // An empty slot is zero too.
      if (!this.hasZero) this.size++
      this.hasZero = true
      return
    }
    if (this.insert(high, low)) this.size++
    if (this.size * 2 > this.slots) this.grow()
  }

  private insert(high: number, low: number): boolean {
    const { halves, slots } = this
    for (let slot = (low & (slots - 1)) * 2; ; slot = (slot + 2) & (slots * 2 - 1)) {
      if (halves[slot] === 0 && halves[slot + 1] === 0) {
        halves[slot] = high
        halves[slot + 1] = low
        return true
      }
      if (halves[slot] === high && halves[slot + 1] === low) return false
    }
  }

  private grow(): void {
    const old = this.halves
    this.slots *= 2
    this.halves = new Uint32Array(this.slots * 2)
    for (let slot = 0; slot < old.length; slot += 2) {
      const high = old[slot] ?? 0
      const low = old[slot + 1] ?? 0
      if (high !== 0 || low !== 0) this.insert(high, low)
    }
  }
}
