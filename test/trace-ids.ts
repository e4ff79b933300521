/** Trace ids of chance that are the same each time (a linear congruential generator, its high bits mixed in). */
export const traceIds = (count: number): ReadonlyArray<string> => {
  let state = 1
  const word = (): string => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return ((state ^ (state >>> 15)) >>> 0).toString(16).padStart(8, "0")
  }
  return Array.from({ length: count }, () => word() + word() + word() + word())
}
