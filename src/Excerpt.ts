/**
 * What other people wrote, in messages about it: as much of it as helps to find it, and no more.
 *
 * @since 0.1.0
 */

/**
 * Cuts a text at so many characters, and says so with `…`.
 *
 * @since 0.1.0
 */
export const cut = (text: string, length = 200): string => (text.length > length ? `${text.slice(0, length)}…` : text)

/**
 * Tells what is wrong with rules: of the first three, and how many more there are. Gives nothing where nothing is.
 *
 * @since 0.1.0
 */
export const ofProblems = (problems: ReadonlyArray<{ readonly rule: string; readonly problem: string }>): string => {
  const told = problems
    .slice(0, maxProblems)
    .map(({ problem, rule }) => `rule ${JSON.stringify(cut(rule, 80))}: ${cut(problem)}`)
  const rest = problems.length - told.length
  return [...told, ...(rest > 0 ? [`and ${rest} more`] : [])].join("; ")
}

const maxProblems = 3
