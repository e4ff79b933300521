/**
 * Values of names that say that they are secrets, where they stand in a text: in JSON, queries, headers, connection strings,
 * settings and command lines. Which names these are is said by `RedactionWords`. Nothing is replaced here.
 *
 * @since 0.1.0
 */

import type { TextRule } from "./RedactionRules.ts"
import {
  block,
  closing,
  isSpace,
  isTemplate,
  lineEnd,
  looksSecret,
  openQuote,
  placeholderLength,
  schemeLength,
  settingEnd,
  skipEscape,
  sticky,
  trimmed,
  wasRedacted,
  withoutPlaceholders
} from "./RedactionText.ts"
import {
  endingsOf,
  hintsOf,
  isElse,
  isPlainParameter,
  isSecretNumber,
  type Names,
  parameterName,
  type SecretName,
  words
} from "./RedactionWords.ts"

/**
 * Makes the rule that finds the values of secret names in texts.
 *
 * **Details**: in JSON and other quotes, in XML, and in the parameters of a URL, a value is taken as it is, and so it is after
 * `=` and a name in capitals. Another bare one is taken after `=` unless it looks like code, and after `: ` and ` = ` where it
 * looks like a secret.
 *
 * @since 0.1.0
 */
export const rule = (test: Names, own: ReadonlyArray<string>): TextRule => {
  const endings = endingsOf(own)
  return {
    name: "named",
    label: "SECRET",
    hints: hintsOf(own),
    find: (text, report) => {
      let flag = -1
      let within = 0
      for (let i = 0; i < text.length; i++) {
        const code = text.charCodeAt(i)
        if (code > greater || signs[code] === 0) continue
        let length = 1
        if (code === dash) {
          if (text.charCodeAt(i - 1) === dash) flag = i
          continue
        } else if (code === quote || code === apostrophe) {
          // `"--token", "value"`
          if (flag < 0 || text[i + 1] !== ",") continue
          flag = -1
          length = 2
        } else if (code <= space) {
          // `--token value`
          const isFlag = code === space && flag >= 0 && i - flag > 1
          flag = -1
          if (!isFlag) continue
        } else if (code === percent) {
          if (!/^3d$/i.test(text.slice(i + 1, i + 3))) continue
          length = 3
        }
        const nameEnd = endOfName(text, i)
        if (endings[((text.charCodeAt(nameEnd - 2) & 31) << 5) | (text.charCodeAt(nameEnd - 1) & 31)] !== 1) continue
        const found = code === greater ? element(text, i, test) : assignment(text, nameEnd, i, length, within, test)
        if (found === undefined) continue
        within = found.within ?? within
        for (const [start, end] of found.values) report(start, end, found.label)
        // The sign at its end may be that of the next one.
        i = Math.max(i, found.end - (isSign(text.charCodeAt(found.end - 1)) ? 2 : 1))
      }
    }
  }
}

const space = 32
const quote = 34
const percent = 37
const apostrophe = 39
const dash = 45
const colon = 58
const equals = 61
const greater = 62
const isSign = (code: number): boolean => code === equals || code === colon
const signs = new Uint8Array(greater + 1)
for (const code of [9, 10, 13, space, quote, percent, apostrophe, dash, colon, equals, greater]) signs[code] = 1

/** Goes back over `[]"] `, a bounded way. */
const endOfName = (text: string, at: number): number => {
  let end = at
  while (end > 0 && at - end < 16 && isBlank(text.charCodeAt(end - 1))) end--
  while (end > 0 && at - end < 16 && isClosing(text.charCodeAt(end - 1))) end--
  if (text[end - 1] === "[" && text[end] === "]") return end - 1
  return text.startsWith("%5B%5D", end - 6) ? end - 6 : end
}
const isBlank = (code: number): boolean => code === 32 || code === 9
/** The three quotes, backslash, closing bracket. */
const isClosing = (code: number): boolean => code === 34 || code === 39 || code === 96 || code === 92 || code === 93

interface Assignment {
  readonly label: string
  readonly values: ReadonlyArray<readonly [start: number, end: number]>
  /** Up to here the text was looked at. */
  readonly end: number
  /** Up to here all that is in quotes, and numbers, was taken. */
  readonly within?: number
}

const longestName = 64
/** So much of a value is looked at before it is known for a secret, and so is no value looked at twice in full. */
const longestLook = 256

const startOfName = (text: string, nameEnd: number): number => {
  let start = nameEnd
  while (start > 0 && nameEnd - start < longestName && nameSigns[text.charCodeAt(start - 1)] === 1) start--
  return skipEscape(text, start)
}
const nameSigns = new Uint8Array(128)
for (let code = 0; code < 128; code++) nameSigns[code] = /[\w.-]/.test(String.fromCharCode(code)) ? 1 : 0

/** Reads the assignment whose sign stands here, `undefined` where what is before it is not the name of a secret. */
const assignment = (
  text: string,
  nameEnd: number,
  at: number,
  length: number,
  within: number,
  test: Names
): Assignment | undefined => {
  const start = startOfName(text, nameEnd)
  if (start >= nameEnd) return undefined
  const name = text.slice(start, nameEnd)
  // A placeholder is called after its secret.
  if (text[start - 1] === "[" && text[nameEnd] === "]" && name === name.toUpperCase()) return undefined
  const value = at + length
  const sign = text[at]
  if (sign === "=" || sign === "%") {
    const isParameter =
      /(?:[?&#]|%(?:3f|26|23))$/i.test(text.slice(Math.max(0, start - 3), start)) &&
      /^(?:\[\]|%5B%5D)?$/i.test(text.slice(nameEnd, at))
    if (isParameter) return parameterValue(text, value, name, test)
  }
  const secret = test(name)
  if (secret === undefined) return undefined
  const next = text[value]
  // `a::b`, `token://`, `a == b`
  if ((sign === ":" && (next === ":" || text.startsWith("//", value))) || (sign === "=" && next === "="))
    return undefined
  // What a parser stumbled over: `Unexpected token: identifier1`.
  if (
    secret.orElse === "word" &&
    /\b(?:(?:un)?expected|illegal|unrecognized) $/i.test(text.slice(Math.max(0, start - 14), start))
  )
    return undefined
  // `:=`, `=>`
  let from = (sign === ":" && next === "=") || (sign === "=" && next === ">") ? value + 1 : value
  const isTight = sign !== ":" && nameEnd === at && !isSpace(text.charCodeAt(from))
  while (isBlank(text.charCodeAt(from))) from++
  const isQuoted = isClosing(text.charCodeAt(nameEnd))
  if (isQuoted && sign === ":") from += sticky(nextLine, text, from).length
  const { digits, label } = secret
  const open = sticky(openStructure, text, from)
  if (open !== "" && (open[0] === "[" || isQuoted || !looseLabels.has(label)))
    return from < within ? { label, values: [], end: from + 1 } : structure(text, from, secret)
  const openedBy = sticky(openQuote, text, from)
  // What comes after a flag in a list is in quotes; it may be another flag.
  if ((sign === '"' || sign === "'") && (openedBy === "" || text[from + openedBy.length] === "-")) return undefined
  if (openedBy !== "") return quotedValue(text, from, openedBy, secret)
  if (secret.orElse === "number") {
    const end = from + sticky(shortNumber, text, from).length
    return { label, values: end > from ? [[from, end]] : [], end }
  }
  if (sign === "=" && isTight && label !== "COOKIE" && label !== "AUTHORIZATION") {
    const isInList = text[start - 1] === ";" || (text[start - 1] === " " && text[start - 2] === ";")
    const before = sticky(nextInList, text, from)
    if (/^[A-Z]/.test(name) && (isInList || before !== ""))
      return settingValue(text, from, { label, digits }, "", before !== "", test)
    if (/^[A-Z][A-Z\d_]*$/.test(name)) return settingValue(text, from, secret, text[start - 1] ?? "", false, test)
  }
  const lines = sign === ":" ? block(text, from) : undefined
  if (lines !== undefined) return { label: secret.label, values: [lines], end: lines[1] }
  return bareValue(text, from, secret, isTight, test)
}

/** A code of one time, and no version. */
const shortNumber = /\d{3,12}(?![\w-]|\.\d)/y
const nextLine = /\s{1,256}(?=\\*["'`\d[{])/y
const nextInList = /[^;\r\n"'`]{0,256};[A-Za-z][\w .-]{0,40}=/y
const openStructure =
  /\[(?:\s{0,16}\[){0,4}\s{0,256}(?=\\*["'`]|[\d{])|\{\s{0,256}(?:\\n\s{0,256})?(?=\\*["'`][^"'`\r\n]{0,64}["'`]\s{0,16}:|\w{1,64}:)/y
/** What has a name of these, not in quotes, is in code often. */
const looseLabels = words("TOKEN COOKIE AUTHORIZATION CREDENTIALS SESSION")

const parameterEnd = /[\s"'`&#<>\\]/g
const escapedEnd = /[\s"'`&#<>\\]|%(?:26|23)/g

const parameterValue = (text: string, from: number, name: string, test: Names): Assignment | undefined => {
  const secret = test(name) ?? parameterName(name)
  if (secret === undefined) return undefined
  const stop = text[from - 1] === "=" ? parameterEnd : escapedEnd
  stop.lastIndex = from
  const end = stop.exec(text)?.index ?? text.length
  const value = text.slice(from, end)
  const isPlain = isPlainText(value, secret) || isPlainParameter(secret, value)
  return { label: secret.label, values: isPlain ? [] : [[from, end]], end }
}

/** Tells what is no secret although it is all that stands for one. */
const isPlainText = (value: string, secret: SecretName): boolean =>
  value === "" || isTemplate(value) || isElse(value, secret) || wasRedacted(value)

const quotedValue = (text: string, from: number, quote: string, secret: SecretName): Assignment => {
  const { close, end } = closing(text, from + quote.length, quote)
  const start = from + quote.length
  const begin = start + schemeLength(text.slice(start, Math.min(close, start + 65)), secret.label)
  const isPlain = isPlainText(text.slice(begin, close), secret)
  return { label: secret.label, values: isPlain ? [] : [[begin, close]], end }
}

const longestStructure = 8192
/** The vocabulary of JSON Schema in which no value of what it describes stands. */
const schemaTypes = words("string number integer boolean object array null")
const schemaValues = words("default const value example examples enum")

/** Reads all that is in an object or a list: texts in quotes that are not names, and numbers. */
const structure = (text: string, from: number, secret: SecretName): Assignment => {
  const values: Array<readonly [start: number, end: number, name: string]> = []
  let isSchema = false
  let depth = 0
  let name = ""
  let i = from
  const limit = Math.min(text.length, from + longestStructure)
  while (i < limit) {
    const sign = text[i]!
    const quote = /["'`\\]/.test(sign) ? sticky(openQuote, text, i) : ""
    if (quote !== "") {
      const start = i + quote.length
      const { close, end } = closing(text, start, quote)
      i = end
      if (sticky(colonAfter, text, end) !== "") {
        name = text.slice(start, Math.min(close, start + longestName))
        continue
      }
      const begin = start + schemeLength(text.slice(start, Math.min(close, start + 65)), secret.label)
      const value = text.slice(begin, close)
      isSchema ||= (name === "type" && schemaTypes.has(value)) || name === "$ref"
      if (!isPlainText(value, secret)) values.push([begin, close, name])
    } else if (/[\w-]/.test(sign)) {
      const word = sticky(bareWord, text, i)
      if (sticky(colonAfter, text, i + word.length) !== "") name = word.slice(0, longestName)
      else if (isSecretNumber(word, secret)) values.push([i, i + word.length, name])
      i += word.length
    } else {
      i += Math.max(1, sticky(escape, text, i).length)
      if (sign === "{" || sign === "[") depth++
      else if ((sign === "}" || sign === "]") && --depth === 0) break
    }
  }
  const secrets = isSchema ? values.filter(([, , name]) => schemaValues.has(name)) : values
  return { label: secret.label, values: secrets.map(([start, end]) => [start, end]), end: from + 1, within: i }
}
const escape = /\\+[^\\]?/y
const colonAfter = /\s{0,16}:/y
const bareWord = /[\w.-]+/y

/** `<password>x9</password>` */
const element = (text: string, at: number, test: Names): Assignment | undefined => {
  const start = startOfName(text, at)
  const before = text.slice(Math.max(0, start - 34), start)
  const secret = /<(?:[\w-]{1,32}:)?$/.test(before) ? test(text.slice(start, at)) : undefined
  if (secret === undefined) return undefined
  const end = text.indexOf("<", at)
  if (end < 0 || text[end + 1] !== "/" || isPlainText(text.slice(at + 1, end).trim(), secret)) return undefined
  return { label: secret.label, values: [[at + 1, end]], end }
}

/** What is after `NAME=`, in files of settings and in connection strings, is taken whatever it is. */
const settingValue = (
  text: string,
  from: number,
  secret: SecretName,
  around: string,
  isInList: boolean,
  test: Names
): Assignment => {
  const { label } = secret
  const none = { label, values: [], end: from }
  if (sticky(template, text, from) !== "") return none
  const limit = Math.min(text.length, from + longestLook)
  const look = settingEnd(text, from, limit, around, isInList)
  const value = trimmed(text.slice(from, look))
  if (isPlainText(value, secret) || isReference(value, test)) return none
  if (/^-?\d+(?:\.\d+)?$/.test(value) && !isSecretNumber(value, secret)) return none
  const end = look < limit ? from + value.length : settingEnd(text, look, text.length, around, isInList)
  return { label, values: [[from, end]], end }
}
/** What a shell puts in may hold white space. */
const template = /\$(?:\([^()\r\n]{1,256}\)|\{[^{}\r\n]{1,256}\})(?![\w$])/y
/** `YOUR_API_KEY`, `process.env.API_KEY` */
const isReference = (value: string, test: Names): boolean =>
  (/^your[-_]/i.test(value) && isName(value.replaceAll("-", "_"), test)) ||
  /^(?:process\.env|import\.meta\.env|os\.environ)\b/.test(value)

/** `token: "token"`, `apiKey=api_key`, `$token` */
const isName = (value: string, test: Names): boolean =>
  value.length <= longestName && /^\$?[A-Za-z_][A-Za-z_.]*$/.test(value) && test(value.replace("$", "")) !== undefined

/** A cookie, and credentials of schemes with more than one part. */
const cookiePair = /[\w!#$%&*+.^|~-]{1,128}=[^=>\s]/y
const pairs = /[^\r\n"'`\\=]{1,128}=[^=\s]/y
const call = /[A-Za-z_$][\w$.?]{0,128}[([{]|[([{|]|\$[({]/y
const member = /^[A-Za-z_$][\w$]*(?:\??\.[A-Za-z_$][\w$]*){1,32}$/
const tightRun = /[^\s"'`&;,<>\\]{1,256}/y
const looseRun = /[^\s"'`&;,<>\\=]{1,128}={0,128}/y
const restOfRun = /[^\s"'`&;,<>\\]+/y
/** A comma is of a value that goes on after it, unless with the next name. */
const afterComma = /,(?![\w.-]{0,64}[=:])[^\s"'`&;,<>\\]{1,256}/y
const endOfWord = /[\r\n"'`\\]|[ \t]{1,64}#/y
/** What stands after `password:` in types, forms and messages. */
const plainWords = words(
  "string str text any unknown object number boolean bool uint8array base64 sha256 sha512 hs256 rs256 es256 utf8 null none " +
    "nil undefined true false required optional invalid incorrect missing wrong empty expired denied forbidden hidden " +
    "redacted changed reset unset default"
)

const bareValue = (text: string, from: number, secret: SecretName, isTight: boolean, test: Names): Assignment => {
  const { label } = secret
  const scheme = label === "AUTHORIZATION" ? schemeLength(text.slice(from, from + 65), label) : 0
  const start = from + scheme
  if ((label === "COOKIE" || scheme > 0) && sticky(label === "COOKIE" ? cookiePair : pairs, text, start) !== "") {
    const end = start + text.slice(start, lineEnd(text, start)).trimEnd().length
    return { label, values: [[start, end]], end }
  }
  const word = sticky(isTight ? tightRun : looseRun, text, start)
  const code = callLength(text, start, word)
  if (code > 0) return { label, values: [], end: start + code }
  const look = isTight
    ? start + word.length + sticky(afterComma, text, start + word.length).length
    : start + word.length
  const value = trimmed(text.slice(start, look))
  const unknown = withoutPlaceholders(value)
  const isLone = unknown === value && (look === text.length || sticky(endOfWord, text, look) !== "")
  // What was redacted before is not taken again, and what is not taken here may hold an assignment of its own.
  const isSecret =
    !isPlainText(value, secret) &&
    !isCode(trimmed(word), secret, test) &&
    isBareSecret(unknown, secret, isTight, isLone)
  if (!isSecret) return { label, values: [], end: start }
  // What goes on after `=` or a comma, or beyond what is looked at for the decision.
  let end = look
  for (let more = -1; more !== 0; end += more)
    more = sticky(restOfRun, text, end).length || (isTight ? sticky(afterComma, text, end).length : 0)
  if (end === look) end = start + value.length
  return { label, values: [[start, end]], end }
}

/** How long the beginning of what looks like code is: a call, an index, a type. A password may have brackets, too. */
const callLength = (text: string, start: number, run: string): number => {
  const code = sticky(call, text, start)
  if (code === "" || placeholderLength(text.slice(start + code.length - 1, start + code.length + 80)) > 0) return 0
  if (!looksSecret(run) || code === "(" || code === "[" || code === "{") return code.length
  const open = code.at(-1)!
  const close = text.slice(start, start + longestLook).search(open === "(" ? /\)/ : open === "[" ? /\]/ : /\}/)
  return open === "|" || close < 0 || /\w/.test(text[start + close + 1] ?? "") ? 0 : code.length
}

const isCode = (value: string, { label }: SecretName, test: Names): boolean =>
  plainWords.has(value.toLowerCase()) ||
  (isName(value, test) && (label !== "PASSWORD" || test(value)?.label !== "SECRET")) ||
  /^--[a-z-]+$/.test(value) ||
  /^[A-Z]+(?:_[A-Z]+)+$/.test(value) ||
  (member.test(value) && !(value.length >= 16 && /\d/.test(value)))

const isBareSecret = (value: string, secret: SecretName, isTight: boolean, isLone: boolean): boolean => {
  if (/^-?\d+(?:\.\d+)?$/.test(value)) return isSecretNumber(value, secret)
  if (looksSecret(value) || (value.length >= 20 && /[a-z]/.test(value) && /[A-Z]/.test(value))) return true
  if (isTight) return value.length >= (secret.digits ? 4 : 8)
  // A word alone on the rest of its line is a password.
  return secret.digits && isLone && value.length >= 4
}

/**
 * Gives the name of the secret that the next item of a list is: `["--password", "hunter2"]`.
 *
 * @since 0.1.0
 */
export const flagName = (item: string, test: Names): SecretName | undefined =>
  item.length <= longestName && /^--?[A-Za-z]/.test(item) ? test(item) : undefined
