/**
 * How the rules of redaction read a text: where words and values begin and end, and what only stands in for a secret. Which
 * words are secrets is said elsewhere.
 *
 * @since 0.1.0
 */

/**
 * Runs a global pattern over a text.
 *
 * @since 0.1.0
 */
export const each = (pattern: RegExp, text: string, visit: (match: RegExpExecArray) => void): void => {
  pattern.lastIndex = 0
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) visit(match)
}

/**
 * Gives what a sticky pattern matches at a place, `""` where it does not.
 *
 * @since 0.1.0
 */
export const sticky = (pattern: RegExp, text: string, at: number): string => {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0] ?? ""
}

/**
 * The beginning of a word, as a part of a pattern. A letter that belongs to an escape of JSON or of a URL is not a part of the
 * word that follows it.
 *
 * @since 0.1.0
 */
export const wordStart = String.raw`(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt])|(?<=%[0-9A-Fa-f]{2}))`

/**
 * Gives where the word at this place begins: the letters of an escape of JSON or of a URL before it are not a part of it.
 *
 * @since 0.1.0
 */
export const skipEscape = (text: string, start: number): number => {
  const before = text[start - 1]
  if (before === "\\" && /[bfnrt]/.test(text[start] ?? "")) return start + 1
  return before === "%" && /^[\dA-F]{2}/i.test(text.slice(start, start + 2)) ? start + 2 : start
}

/**
 * Tells what stands in for a secret in code, settings and manuals: `${token}`, `$TOKEN`, `{{token}}`, `<token>`, `***`. A
 * dollar before small letters may begin a password.
 *
 * @since 0.1.0
 */
export const isTemplate = (text: string): boolean =>
  text.length <= 256 &&
  /^(?:\$\{[^{}]*\}|\$\([^()]*\)|\$(?:[A-Z_][A-Z\d_]*|[\d@*#?])|\{\{[^{}]*\}\}|\{[A-Za-z_]*\}|<[A-Za-z][A-Za-z _-]*>|%[A-Za-z_]+%|\*+|\.\.\.|…)$/.test(
    text
  )

const placeholder =
  /\[(?:[A-Z][A-Z_]{0,64}_\d{1,6}|PASSWORD|SECRET|TOKEN|COOKIE|SESSION|CREDENTIALS|APIKEY|KEY|EMAIL|CARD|JWT|PRIVATEKEY)\]/y
const placeholders = new RegExp(placeholder, "g")

/**
 * Tells a value that was redacted before: it begins with a placeholder, and nothing that looks like a secret comes after. One
 * with a placeholder further on has something before it that was not.
 *
 * @since 0.1.0
 */
export const wasRedacted = (value: string): boolean => {
  const first = placeholderLength(value)
  return first > 0 && !looksSecret(value.slice(first, first + 256))
}

/**
 * Gives how long the placeholder is that a text begins with, 0 where it begins with none.
 *
 * @since 0.1.0
 */
export const placeholderLength = (text: string): number => sticky(placeholder, text, 0).length

/**
 * Gives what is left of a value without the placeholders in it.
 *
 * @since 0.1.0
 */
export const withoutPlaceholders = (value: string): string =>
  value.includes("[") ? value.replace(placeholders, "") : value

/**
 * Tells a value that looks like a secret from words, numbers, versions and dates.
 *
 * @since 0.1.0
 */
export const looksSecret = (text: string): boolean =>
  text.length >= 6 &&
  /\d/.test(text) &&
  /[A-Za-z]/.test(text) &&
  (text.length > 64 || !/^v?\d+(?:[.:T-]\d+)+Z?$/.test(text))

/**
 * Tells how long the scheme is before credentials (RFC 9110 §11.4), with the white space after it. Under the label of an
 * `Authorization` header it is any of IANA's registry or of some services; a token may have the most common one, and a
 * password begins with what it likes.
 *
 * @since 0.1.0
 */
export const schemeLength = (text: string, label: string): number => {
  const schemes = label === "AUTHORIZATION" ? allSchemes : label === "PASSWORD" ? undefined : bearer
  return schemes?.exec(text.slice(0, 64))?.[0].length ?? 0
}
const bearer = /^bearer\s+/i
const allSchemes =
  /^(?:bearer|basic|bot|token|digest|negotiate|ntlm|hoba|mutual|oauth|dpop|gnap|privatetoken|scram-sha-(?:1|256)|vapid|apikey|api-key|sharedkey(?:lite)?|splunk|hawk|key|geniekey|sso-key|aws4-hmac-sha256)\s+/i

/**
 * A quote with the backslashes before it: JSON within JSON has them.
 *
 * @since 0.1.0
 */
export const openQuote = /\\*["'`]/y

/**
 * Finds the quote that closes what this one opened. In JSON within JSON it has as many backslashes before it, those of the text
 * aside, which each level has doubled. What is never closed was cut off, and goes on to the end.
 *
 * @since 0.1.0
 */
export const closing = (
  text: string,
  from: number,
  quote: string
): { readonly close: number; readonly end: number } => {
  const depth = quote.length - 1
  const sign = quote[depth]!
  for (let at = text.indexOf(sign, from); at >= 0; at = text.indexOf(sign, at + 1)) {
    let start = at
    while (start > from && text[start - 1] === "\\") start--
    if ((at - start) % (2 * depth + 2) === depth) return { close: at - depth, end: at + 1 }
  }
  return { close: text.length, end: text.length }
}

/**
 * Tells white space by its code, with that of other writings.
 *
 * @since 0.1.0
 */
export const isSpace = (code: number): boolean =>
  code <= 32 || code === 160 || (code >= 0x1680 && /\s/.test(String.fromCharCode(code)))

/**
 * Gives where a line ends at the latest: at a break, at one that is an escape, or at a quote. Quotes after `=` belong to it.
 *
 * @since 0.1.0
 */
export const lineEnd = (text: string, from: number): number => {
  for (let i = from; i < text.length; i++) {
    const sign = text[i]!
    if (sign === "\n" || sign === "\r" || sign === "'" || sign === "`" || sign === "\\") return i
    if (sign !== '"') continue
    if (text[i - 1] !== "=") return i
    quoteOrBreak.lastIndex = i + 1
    const close = quoteOrBreak.exec(text)
    if (close?.[0] !== '"') return i
    i = close.index
  }
  return text.length
}
const quoteOrBreak = /["\r\n]/g

/**
 * Gives where a value ends that goes up to white space, as in files of settings. A quote ends it where it closes what is
 * around the name, or where nothing follows that could be of the value; so does the escape of a quote or of white space.
 *
 * **Details**: it is looked for up to `limit`. `isList` ends it at a semicolon, too, as connection strings do; there it may hold
 * white space.
 *
 * @since 0.1.0
 */
export const settingEnd = (text: string, from: number, limit: number, around: string, isList: boolean): number => {
  for (let i = from; i < limit; i++) {
    const code = text.charCodeAt(i)
    if (isList ? code === 10 || code === 13 || code === semicolon : isSpace(code)) return i
    if (code === semicolon && sticky(nextSetting, text, i) !== "") return i
    if (code === backslash) {
      const escape = sticky(escaped, text, i)
      if (/["'`nrt]$/.test(escape)) return i
      i += escape.length - 1
    } else if (isQuote(code)) {
      if (text[i] === around || sticky(afterQuote, text, i) !== "") return i
    } else if (code === less && text.charCodeAt(i + 1) === slash) {
      return i
    }
  }
  return limit
}
const semicolon = 59
const backslash = 92
const less = 60
const slash = 47
const isQuote = (code: number): boolean => code === 34 || code === 39 || code === 96
/** The next of a connection string, or of a list of commands. */
const nextSetting = /;(?:\s|$|[A-Za-z][\w .-]{0,40}=)/y
const escaped = /\\+[^\\]?/y
const afterQuote = /["'`](?:$|[\s,;:)\]}>\\])/y

/**
 * Finds a value of YAML that takes up the indented lines after its name; in JSON their breaks are escapes.
 *
 * @since 0.1.0
 */
export const block = (text: string, from: number): readonly [start: number, end: number] | undefined => {
  const header = sticky(blockHeader, text, from)
  if (header === "") return undefined
  const [lineBreak, nextIndent] = header.includes("\\") ? [escapedBreak, escapedIndent] : [plainBreak, plainIndent]
  const indent = indentOf(header)
  const start = from + header.length
  for (let end = start; ;) {
    lineBreak.lastIndex = end
    end = lineBreak.exec(text)?.index ?? text.length
    const next = sticky(nextIndent, text, end)
    if (indentOf(next) < indent) return [start, end]
    end += next.length
  }
}
const indentOf = (text: string): number => /[ \t]*$/.exec(text.slice(-256))?.[0].length ?? 0
const blockHeader = /[|>][-+\d]{0,2}[ \t]{0,64}(?:\r?\n|(?:\\r)?\\n)[ \t]{1,64}/y
const plainBreak = /[\r\n]/g
const plainIndent = /[\r\n]+[ \t]{1,256}/y
const escapedBreak = /\\[nr]|(?<!\\)"|[\r\n]/g
const escapedIndent = /(?:\\[rn]){1,64}[ \t]{1,256}/y

/**
 * Drops what ends a sentence, and brackets that were opened before the value.
 *
 * @since 0.1.0
 */
export const trimmed = (value: string): string => {
  let end = value.length
  while (end > 0 && value.length - end < 8) {
    const last = value[end - 1]!
    const open = { ")": "(", "]": "[", "}": "{" }[last]
    if (open === undefined ? !".,:;".includes(last) : value.slice(0, end).includes(open)) break
    end--
  }
  return value.slice(0, end)
}
