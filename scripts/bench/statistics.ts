// The few numbers that all measurements are made of. CPU time instead of wall time, which moves with the load of the
// machine, and medians instead of means, which one pause spoils.

/** The middle of some numbers, `NaN` of none. */
export const median = (numbers: ReadonlyArray<number>): number => {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
}

/** The number that `share` of some numbers, from 0 to 1, do not exceed. */
export const quantile = (numbers: ReadonlyArray<number>, share: number): number =>
  numbers.toSorted((a, b) => a - b)[Math.max(Math.ceil(numbers.length * share) - 1, 0)] ?? Number.NaN

/** CPU time of this process so far, with that of its garbage collector, compiler and workers, in microseconds. */
export const cpuMicros = (): number => {
  const { system, user } = process.cpuUsage()
  return user + system
}
