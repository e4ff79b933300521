/**
 * Names as rules have them, with `*` for any text.
 *
 * @since 0.1.0
 */

/**
 * Makes the test that whole names pass.
 *
 * **Details**: it takes time in proportion to the name, however many stars there are. What stands between two of them is
 * looked for from the left, and where it was found it stays: no other place could do better.
 *
 * @since 0.1.0
 */
export const matcher = (pattern: string): ((name: string) => boolean) => {
  const [first = "", ...rest] = pattern.split(/\*+/)
  const last = rest.pop()
  if (last === undefined) return (name) => name === pattern
  return (name) => {
    const end = name.length - last.length
    if (end < first.length || !name.startsWith(first) || !name.endsWith(last)) return false
    let at = first.length
    for (const part of rest) {
      const found = name.indexOf(part, at)
      if (found < 0) return false
      at = found + part.length
    }
    return at <= end
  }
}
