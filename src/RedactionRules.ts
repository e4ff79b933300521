/**
 * What a rule of redaction is, and what tells at a glance which rules have to see a text. The default rules stand in
 * `RedactionKeys`, `RedactionShapes` and `RedactionNames`.
 *
 * @since 0.1.0
 */

/**
 * Takes note of a secret: where it begins and ends, and the label of its placeholder unless that is the rule's.
 *
 * @since 0.1.0
 */
export type Report = (start: number, end: number, label?: string) => void

/**
 * A rule as the redactor runs it. It looks at each character a bounded number of times: what it took, or looked at in
 * vain, it does not look at again.
 *
 * @since 0.1.0
 */
export interface TextRule {
  readonly name: string
  readonly label: string
  /**
   * Three characters each, or `@` or `digits` (at least 13, with nothing but signs of `fillers` between): a text with a
   * secret of this rule has at least one of them. Most texts have none, and no rule is run on them.
   */
  readonly hints: ReadonlyArray<string>
  readonly find: (text: string, report: Report) => void
}

const other = 0
const digit = 1
const filler = 2
const at = 3
/** So many digits make a card. */
const cardDigits = 13
/** What may stand between the digits of a card; of characters after the first 128 those count that have the same last 7 bits. */
const fillers = " -+._/\u2011\u2012\u2013\u2014"
/** Of the signs that stand for `@`, the only one that the table does not know by its last 7 bits. */
const wideAt = "\uff20"

/**
 * What tells which rules have to see a text.
 *
 * @since 0.1.0
 */
export interface Hints {
  /** By a hash of three characters. */
  readonly table: Uint8Array
  /** What each of the first 128 characters is; those after count as one of these, which costs time and nothing else. */
  readonly signs: Uint8Array
  readonly at: number
  readonly digits: number
}

/**
 * Gathers the hints of rules, 8 at most.
 *
 * @since 0.1.0
 */
export const makeHints = (rules: ReadonlyArray<TextRule>): Hints => {
  const table = new Uint8Array(hashes)
  const signs = new Uint8Array(128)
  for (const sign of "0123456789") signs[sign.charCodeAt(0)] = digit
  for (const sign of fillers) signs[sign.charCodeAt(0) & 127] = filler
  signs[64] = at
  const masks = { "@": 0, digits: 0 }
  for (const [i, { hints }] of rules.entries()) {
    for (const hint of hints) {
      if (hint === "@" || hint === "digits") masks[hint] |= 1 << i
      else for (const index of indexes(hint)) table[index]! |= 1 << i
    }
  }
  return { table, signs, at: masks["@"], digits: masks.digits }
}

/** 256 kB, in which hints share a place with almost nothing else: in tables of half the size many plain words do. */
const hashes = 1 << 18

/**
 * Takes the next character into the hash of the last three.
 *
 * @since 0.1.0
 */
export const nextHash = (hash: number, code: number): number =>
  ((hash << 6) ^ ((code & 127) << 1) ^ ((code & 127) >> 6)) & (hashes - 1)

/**
 * The hash of a hint.
 *
 * @since 0.1.0
 */
export const hashOf = (hint: string): number =>
  Array.from(hint).reduce((hash, sign) => nextHash(hash, sign.charCodeAt(0)), 0)

/** A name of one letter makes a hint of two, which any character may be before. */
const indexes = (hint: string): ReadonlyArray<number> =>
  hint.length > 2
    ? [hashOf(hint)]
    : Array.from({ length: 128 }, (_, before) => hashOf(String.fromCharCode(before) + hint))

/**
 * Tells which rules have to see a text, a bit each. Every text of every span is read here, and most are read no further:
 * 3 ns a character.
 *
 * @since 0.1.0
 */
export const scan = (text: string, { at: atMask, digits: digitsMask, signs, table }: Hints): number => {
  let hash = 0
  let hit = 0
  let run = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i) & 127
    hash = ((hash << 6) ^ (code << 1) ^ (code >> 6)) & 0x3ffff
    hit |= table[hash]!
    const sign = signs[code]!
    if (sign === other) run = 0
    else if (sign === digit && ++run === cardDigits) hit |= digitsMask
    else if (sign === at) hit |= atMask
  }
  // In a text of one byte a character the engine knows at once that this is not there.
  return text.includes(wideAt) ? hit | atMask : hit
}
