/**
 * Which of the known names somebody may have meant.
 *
 * @since 0.1.0
 */

/**
 * Finds the name that is spelt nearest to a text; gives `undefined` where none is near.
 *
 * **Details**: near is a name with one typing mistake (a letter too many, too few, wrong, or two the wrong way round) for
 * every four letters begun, and one that begins as the text does, or the text as it, for at least five letters. Case
 * counts.
 *
 * @example
 * ```ts
 * import * as Spelling from "handspan/Spelling"
 *
 * if (Spelling.nearest("SAMPLR", ["EXPORTER", "SAMPLER"]) !== "SAMPLER") throw new Error("expected the sampler")
 * ```
 *
 * @since 0.1.0
 */
export const nearest = (text: string, names: Iterable<string>): string | undefined => {
  let found: string | undefined
  let least = Infinity
  for (const name of names) {
    const letters = distance(text, name)
    const begun = Math.min(text.length, name.length) >= 5 && (name.startsWith(text) || text.startsWith(name))
    // What was left out at the end, or added there, was left out or added at once.
    const mistakes = begun ? Math.min(letters, 1 + letters / 100) : letters
    if (mistakes <= Math.ceil(text.length / 4) && mistakes < least) {
      found = name
      least = mistakes
    }
  }
  return found
}

/** Counts typing mistakes: the optimal string alignment distance, by rows of its table. */
const distance = (from: string, to: string): number => {
  let before: ReadonlyArray<number> = []
  let last: ReadonlyArray<number> = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let row = 1; row <= from.length; row++) {
    const next = [row]
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1]
      const turned = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      next.push(
        Math.min(
          (last[column] ?? 0) + 1,
          (next[column - 1] ?? 0) + 1,
          (last[column - 1] ?? 0) + (same ? 0 : 1),
          turned ? (before[column - 2] ?? 0) + 1 : Infinity
        )
      )
    }
    before = last
    last = next
  }
  return last[to.length] ?? 0
}
