/**
 * Texts in which quotes keep together what belongs together, as people write rules in a variable.
 *
 * @since 0.1.0
 */

/**
 * Splits a text where a character matches, but for those in quotes.
 *
 * @since 0.1.0
 */
export const split = (text: string, separator: RegExp): ReadonlyArray<string> => {
  const parts = [""]
  let isQuoted = false
  for (const character of text) {
    if (character === '"') isQuoted = !isQuoted
    if (!isQuoted && separator.test(character)) parts.push("")
    else parts[parts.length - 1] += character
  }
  return parts
}

/**
 * The parts of a text, trimmed, without those that are empty.
 *
 * @since 0.1.0
 */
export const parts = (text: string, separator: RegExp): ReadonlyArray<string> =>
  split(text, separator).flatMap((part) => part.trim() || [])

/**
 * Whether every quote that opens is closed.
 *
 * @since 0.1.0
 */
export const isClosed = (text: string): boolean => text.split('"').length % 2 === 1

/**
 * Takes off the quotes around a text.
 *
 * @since 0.1.0
 */
export const unquoted = (text: string): string => text.trim().replace(/^"(.*)"$/s, "$1")
