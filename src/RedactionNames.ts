/**
 * Names that say that what they stand for is a secret, such as `authorization` or `apiKey`, and what they stand for in a
 * text: in JSON, queries, headers, connection strings and command lines. Nothing is replaced here.
 *
 * @since 0.1.0
 */

import { hasPlaceholder, isTemplate, looksSecret, skipEscape, type TextRule } from "./RedactionRules.ts"

/**
 * What a name says of its value: the label of the placeholder, and whether a bare number can be such a secret.
 *
 * @since 0.1.0
 */
export interface SecretName {
  readonly label: string
  readonly digits: boolean
}

/**
 * Tells what a name says of its value, `undefined` where it says nothing.
 *
 * @since 0.1.0
 */
export type Names = (name: string) => SecretName | undefined

// The last word of a name counts: `token` is a secret, `token.count` and `input_tokens` are not.
const lastWords = new Map<string, SecretName>()
for (const [label, words] of Object.entries({
  PASSWORD: "password passwords passwd pwd passphrase passcode otp cvv cvc",
  SECRET: "secret secrets",
  TOKEN: "token jwt bearer authtoken accesstoken refreshtoken sessiontoken idtoken",
  COOKIE: "cookie cookies",
  AUTHORIZATION: "authorization",
  CREDENTIALS: "credential credentials",
  APIKEY: "apikey apikeys",
  KEY: "secretkey accesskey privatekey accountkey"
})) {
  for (const word of words.split(" ")) lastWords.set(word, { label, digits: label === "PASSWORD" })
}
const keys: SecretName = { label: "KEY", digits: false }
const apiKeys: SecretName = { label: "APIKEY", digits: false }
const passwords: SecretName = { label: "PASSWORD", digits: true }
const parameter: SecretName = { label: "PARAMETER", digits: true }
const words = (list: string): ReadonlySet<string> => new Set(list.split(" "))
/** What a key is of when it is a secret. Keys of caches, tables, partitions and the public are none. */
const secretKeys = words(
  "access secret private encryption signing auth account shared master storage ssh session client"
)
const passOf = words("db database smtp mysql pg redis mongo user ftp http proxy root admin")
/** Tokens of paging, of vocabularies and of counting. */
const plainTokens = words(
  "next page continuation eos bos pad unk sep cls mask stop start end special max min per first last"
)
/** Names that say so as parameters of a URL alone. */
const parameters = words("key code sig signature auth assertion")

const wordsOf = (name: string): Array<string> =>
  name
    .replace(/([a-z\d])(?=[A-Z])|([A-Z])(?=[A-Z][a-z])/g, "$& ")
    .toLowerCase()
    .split(/[^a-z\d]+/)
    .filter((word) => word !== "")

/**
 * Makes the test of names, with names of one's own besides. A name is tested by its last words, whatever their case and
 * what stands between them; numbers and `value` at its end are left out.
 *
 * @since 0.1.0
 */
export const names = (own: ReadonlyArray<string>): Names => {
  const ownWords = own.map((name) => ({ words: wordsOf(name), secret: { label: ownLabel(name), digits: true } }))
  const read = (name: string): SecretName | undefined => {
    const all = wordsOf(name)
    while (all.length > 1 && /^(?:\d+|values?)$/.test(all.at(-1)!)) all.pop()
    const last = all.at(-1)
    if (last === undefined) return undefined
    for (const { secret, words } of ownWords) {
      if (words.length > 0 && words.every((word, i) => all[all.length - words.length + i] === word)) return secret
    }
    const before = all.at(-2) ?? ""
    if (last === "key" || last === "keys") return before === "api" ? apiKeys : secretKeys.has(before) ? keys : undefined
    if (last === "pass") return passOf.has(before) ? passwords : undefined
    return last === "token" && plainTokens.has(before) ? undefined : lastWords.get(last)
  }
  // Programs use a few dozen names. One that makes names up must not fill the memory.
  const known = new Map<string, SecretName | undefined>()
  return (name) => {
    const secret = known.get(name)
    if (secret !== undefined || known.has(name)) return secret
    if (known.size >= 2000) known.clear()
    const made = read(name)
    if (name.length <= 256) known.set(name, made)
    return made
  }
}

/**
 * The label for a name of one's own.
 *
 * @since 0.1.0
 */
export const ownLabel = (name: string): string =>
  name
    .toUpperCase()
    .replace(/[^A-Z\d]+/g, "_")
    .replace(/^_|_$/g, "") || "SECRET"

/**
 * All labels that this rule gives.
 *
 * @since 0.1.0
 */
export const labels = (own: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...new Set([...lastWords.values(), keys, parameter].map(({ label }) => label)),
  ...own.map(ownLabel)
]

/**
 * Takes the scheme off the credentials of an `Authorization` header, gives how long it is (RFC 9110 §11.4).
 *
 * @since 0.1.0
 */
export const schemeLength = (text: string): number =>
  /^(?:bearer|basic|token|digest|apikey|aws4-hmac-sha256)(?:\s+|$)/i.exec(text)?.[0].length ?? 0

/**
 * Makes the rule that finds the values of secret names in texts.
 *
 * **Details**: in JSON and other quotes, and in the parameters of a URL, a value is taken as it is. A bare one is taken
 * after `=` unless it looks like code, and after `: ` and ` = ` where it looks like a secret.
 *
 * @since 0.1.0
 */
export const rule = (test: Names, own: ReadonlyArray<string>): TextRule => {
  const ends = own.flatMap((name) => wordsOf(name).slice(-1))
  const all = [...lastWords.keys(), ...parameters, "awsaccesskeyid", "key", "keys", "pass", "value", ...ends]
  // By the last two letters of a name, in either case, most names are told from those of secrets.
  const endings = new Uint8Array(1024)
  for (const name of all) {
    const [last = 0, before] = Array.from(name, (sign) => sign.charCodeAt(0) & 31).toReversed()
    if (before === undefined) for (let any = 0; any < 32; any++) endings[(any << 5) | last] = 1
    else endings[(before << 5) | last] = 1
  }
  return {
    name: "named",
    label: "SECRET",
    hints: hintsFor(all),
    find: (text, report) => {
      let flag = -1
      for (let i = 0; i < text.length; i++) {
        const code = text.charCodeAt(i)
        let length = 1
        if (code === dash && text.charCodeAt(i - 1) === dash) flag = i
        if (code <= space) {
          // `--token value`
          const isFlag = code === space && flag >= 0 && i - flag > 1
          flag = -1
          if (!isFlag) continue
        } else if (code === percent) {
          if (!/^3d$/i.test(text.slice(i + 1, i + 3))) continue
          length = 3
        } else if (!isSign(code)) {
          continue
        }
        const nameEnd = endOfName(text, i)
        if (endings[((text.charCodeAt(nameEnd - 2) & 31) << 5) | (text.charCodeAt(nameEnd - 1) & 31)] !== 1) continue
        const found = assignment(text, nameEnd, i, length, test)
        if (found === undefined) continue
        for (const [start, end] of found.values) report(start, end, found.label)
        // The sign at its end may be that of the next one.
        i = Math.max(i, found.end - (isSign(text.charCodeAt(found.end - 1)) ? 2 : 1))
      }
    }
  }
}

const space = 32
const percent = 37
const dash = 45
const colon = 58
const equals = 61
const isSign = (code: number): boolean => code === equals || code === colon

/** Goes back over `"] `, a bounded way. */
const endOfName = (text: string, at: number): number => {
  let end = at
  while (end > 0 && at - end < 16 && isBlank(text.charCodeAt(end - 1))) end--
  while (end > 0 && at - end < 16 && isClosing(text.charCodeAt(end - 1))) end--
  return end
}
const isBlank = (code: number): boolean => code === 32 || code === 9
/** The three quotes, backslash, closing bracket. */
const isClosing = (code: number): boolean => code === 34 || code === 39 || code === 96 || code === 92 || code === 93

interface Assignment {
  readonly label: string
  readonly values: ReadonlyArray<readonly [start: number, end: number]>
  /** Up to here the text was looked at. */
  readonly end: number
}

const longestName = 64

/** Reads the assignment whose sign stands here, `undefined` where what is before it is not the name of a secret. */
const assignment = (text: string, nameEnd: number, at: number, length: number, test: Names): Assignment | undefined => {
  let start = nameEnd
  while (start > 0 && nameEnd - start < longestName && /[\w.-]/.test(text[start - 1]!)) start--
  start = skipEscape(text, start)
  if (start >= nameEnd) return undefined
  const name = text.slice(start, nameEnd)
  // A placeholder is called after its secret.
  if (text[start - 1] === "[" && text[nameEnd] === "]" && name === name.toUpperCase()) return undefined
  const value = at + length
  const isParameter =
    (text[at] === "=" || text[at] === "%") &&
    /(?:[?&#]|%(?:3f|26|23))$/i.test(text.slice(Math.max(0, start - 3), start)) &&
    nameEnd === at
  if (isParameter) return parameterValue(text, value, name, test)
  const secret = test(name)
  if (secret === undefined) return undefined
  const sign = text[at]
  const next = text[value]
  // `a::b`, `token://`, `a == b`
  if ((sign === ":" && (next === ":" || text.startsWith("//", value))) || (sign === "=" && next === "="))
    return undefined
  // `:=`, `=>`
  let from = (sign === ":" && next === "=") || (sign === "=" && next === ">") ? value + 1 : value
  const isTight = sign !== ":" && nameEnd === at && !/\s/.test(text[from] ?? "")
  while (text[from] === " " || text[from] === "\t") from++
  if (text[from] === "[") {
    const first = sticky(listStart, text, from)
    if (first !== "") return quotedValues(text, from + first.length, secret.label, test)
  }
  const quote = sticky(openQuote, text, from)
  if (quote !== "") return quotedValues(text, from, secret.label, test)
  return bareValue(text, from, secret, isTight, test)
}

const sticky = (pattern: RegExp, text: string, at: number): string => {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0] ?? ""
}

// OpenTelemetry asks for AWSAccessKeyId, Signature, sig and X-Goog-Signature by default (Semantic Conventions §URL).
const parameterName = (name: string): SecretName | undefined => {
  const short = name.toLowerCase().replace(/^x-(?:amz|goog)-/, "")
  return parameters.has(short) || short === "awsaccesskeyid" ? parameter : undefined
}
const parameterEnd = /[^\s"'`&#<>\\]*/y
const escapedEnd = /(?:[^\s"'`&#<>\\%]|%(?!26|23))*/y

const parameterValue = (text: string, from: number, name: string, test: Names): Assignment | undefined => {
  const secret = test(name) ?? parameterName(name)
  if (secret === undefined) return undefined
  const value = sticky(text[from - 1] === "=" ? parameterEnd : escapedEnd, text, from)
  // `?code=404`
  const isPlain = value === "" || isTemplate(value) || (secret === parameter && value.length < 5)
  const end = from + value.length
  return { label: secret.label, values: isPlain ? [] : [[from, end]], end }
}

const openQuote = /\\*["'`]/y
const listStart = /\[\s{0,16}(?=\\*["'`])/y
const listNext = /\s{0,16},\s{0,16}(?=\\*["'`])/y
/** What fetch and CORS are told about credentials. */
const plainValues = words("include omit same-origin true false null")

/** Reads one text in quotes or more with commas between. What has no end was cut off, and goes on to the end. */
const quotedValues = (text: string, at: number, label: string, test: Names): Assignment => {
  const values: Array<readonly [number, number]> = []
  for (let from = at; ;) {
    const quote = sticky(openQuote, text, from)
    const start = from + quote.length
    const { close, end } = closing(text, start, quote)
    const scheme = schemeLength(text.slice(start, Math.min(close, start + 32)))
    const value = text.slice(start + scheme, close)
    const isPlain = value === "" || isTemplate(value) || plainValues.has(value) || isName(value, test)
    if (!isPlain) values.push([start + scheme, close])
    const comma = sticky(listNext, text, end)
    if (at === from && text[from - 1] !== "[" && !/\s/.test(text[from - 1] ?? "")) return { label, values, end }
    if (comma === "") return { label, values, end }
    from = end + comma.length
  }
}

/** Finds the quote that closes what this one opened; in JSON within JSON each has backslashes before it. */
const closing = (text: string, from: number, quote: string): { readonly close: number; readonly end: number } => {
  const depth = quote.length - 1
  const sign = quote[depth]!
  for (let at = text.indexOf(sign, from); at >= 0; at = text.indexOf(sign, at + 1)) {
    let start = at
    while (start > from && text[start - 1] === "\\") start--
    const isClose = depth === 0 ? (at - start) % 2 === 0 : at - start <= depth
    if (isClose) return { close: depth === 0 ? at : start, end: at + 1 }
  }
  return { close: text.length, end: text.length }
}

/** `token: "token"`, `apiKey=api_key` */
const isName = (value: string, test: Names): boolean =>
  value.length <= longestName && /^[A-Za-z_.-]+$/.test(value) && test(value) !== undefined

const line = /(?:="[^"\r\n]*"|[^\r\n"'`\\])*/y
/** A cookie, and credentials of schemes with more than one part. */
const cookiePair = /[\w!#$%&*+.^|~-]{1,128}=[^=>\s]/y
const pairs = /[^\r\n"'`\\=]{1,128}=/y
const never = /(?!)/y
const call = /[A-Za-z_$][\w$.?]{0,128}[([{]|[([{|]|\$[({]/y
const member = /^[A-Za-z_$][\w$]*(?:\??\.[A-Za-z_$][\w$]*)+$/
const tightRun = /[^\s"'`&;,<>\\]+/y
const looseRun = /[^\s"'`&;,<>\\=]{1,128}={0,128}/y
/** What stands after `password:` in types, forms and messages. */
const plainWords = words(
  "string str text any unknown object number boolean bool uint8array base64 sha256 sha512 hs256 rs256 es256 utf8 null none " +
    "nil undefined true false required optional invalid incorrect missing wrong empty expired denied forbidden hidden " +
    "redacted secret changed reset unset default"
)

const bareValue = (text: string, from: number, secret: SecretName, isTight: boolean, test: Names): Assignment => {
  const { label } = secret
  const scheme = secret.label === "AUTHORIZATION" ? schemeLength(text.slice(from, from + 32)) : 0
  const start = from + scheme
  if (sticky(label === "COOKIE" ? cookiePair : scheme > 0 ? pairs : never, text, start) !== "") {
    const all = sticky(line, text, start).trimEnd()
    // A padded token ends so too, and is one word.
    const end = start + all.length
    if (label === "COOKIE" || /=[^=\s]/.test(all)) return { label, values: [[start, end]], end }
  }
  const code = sticky(call, text, start)
  if (code !== "" && code !== "[") return { label, values: [], end: start + code.length }
  const run = sticky(isTight ? tightRun : looseRun, text, start)
  const value = run.replace(/[)\]}.:]{1,8}$/, "")
  const isLone = !/[^\r\n"'`\\]/.test(text[start + run.length] ?? "")
  // What was redacted before is not taken again, and what is not taken here may hold an assignment of its own.
  const isSecret = !hasPlaceholder(value) && isBareSecret(value, secret, isTight, isLone, test)
  if (!isSecret) return { label, values: [], end: start }
  // What goes on after `=`, or beyond what is looked at for the decision.
  const rest = sticky(tightRun, text, start + run.length).length
  const end = start + (rest === 0 ? value.length : run.length + rest)
  return { label, values: [[start, end]], end }
}

const isBareSecret = (value: string, secret: SecretName, isTight: boolean, isLone: boolean, test: Names): boolean => {
  if (/^-?\d+(?:\.\d+)?$/.test(value)) return secret.digits && value.length >= 3
  const isCode =
    isTemplate(value) ||
    plainWords.has(value.toLowerCase()) ||
    isName(value, test) ||
    /^--[a-z-]+$/.test(value) ||
    /^[A-Z][A-Z\d]*(?:_[A-Z\d]+)+$/.test(value) ||
    (member.test(value) && !(value.length >= 16 && /\d/.test(value)))
  if (isCode) return false
  if (looksSecret(value) || (value.length >= 20 && /[a-z]/.test(value) && /[A-Z]/.test(value))) return true
  if (isTight) return value.length >= (secret.digits ? 4 : 8)
  // A word alone on the rest of its line is a password; one with a capital letter is rather the name of a type.
  return secret.digits && isLone && value.length >= 4 && value === value.toLowerCase()
}

/** The ends of names together with what may come after them before the value. */
const hintsFor = (names: ReadonlyArray<string>): ReadonlyArray<string> => {
  // Signs in columns, and flags.
  const hints = new Set(["--", "  =", "  :", " \t=", " \t:", "\t =", "\t :", "\t\t=", "\t\t:"])
  for (const name of names.flatMap((name) => [name.toLowerCase(), name.toUpperCase()])) {
    for (const sign of ["=", ":", '"', "'", "`", "\\", "%", "]"]) hints.add(name.slice(-2) + sign)
    for (const signs of [" =", " :", "\t=", "\t:"]) hints.add(name.slice(-1) + signs)
  }
  return [...hints]
}
