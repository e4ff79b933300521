/**
 * What is a secret by its own shape: JSON Web Tokens, credentials of HTTP and URLs, private keys, cards and e-mail addresses.
 * Keys with prefixes of services stand in `RedactionKeys`.
 *
 * @since 0.1.0
 */
import type { TextRule } from "./RedactionRules.ts"
import { each, isTemplate, looksSecret, skipEscape, sticky, wasRedacted, wordStart } from "./RedactionText.ts"

// RFC 7519 §3: parts with dots between, of which the first is the base64url of a JSON object, which begins with eyJ. An
// encrypted one (RFC 7516) has five. One that was cut off after its second part still tells what it says.
const webToken = /eyJ[\w-]{8}[\w-]*(?:\.[\w-]*){0,4}/g
const jwt: TextRule = {
  name: "jwt",
  label: "JWT",
  hints: ["eyJ"],
  find: (text, report) =>
    each(webToken, text, ({ 0: token, index }) => {
      const parts = token.split(".")
      if (parts.length >= 3 || parts[1]?.startsWith("ey") === true) report(index, index + token.length)
    })
}

// RFC 6750 §2.1 and RFC 7617 §2. Prose has both words, so a bearer token must look like chance, and what is called basic
// must be the base64 of a name, a colon and a password.
const scheme = new RegExp(`${wordStart}(?:(bearer)|basic)\\s{1,4}([\\w.~+/|:-]{8}[\\w.~+/|:-]*=*)`, "gi")
const isBasic = (text: string): boolean =>
  /^[A-Za-z\d+/]{4}[A-Za-z\d+/]*={0,2}$/.test(text) && /^[ -9;-\u00ff]*:[ -\u00ff]*$/.test(decode(text))
/** The beginning tells; it is a multiple of four. */
const decode = (text: string): string => {
  const whole = text.slice(0, 4096).replace(/=+$/, "")
  return whole.length % 4 === 1 ? "" : atob(whole)
}
// What curl and its like take for name and password, as a command line or a list. Numbers are a user and a group of a container.
const login =
  /(?:^|[\s"'])(?:-u|--user|--proxy-user|-U)(?:[ \t=]|\\*["'],\s{0,16}(?=\\*["']))?(?:\\*(["'])([^"'\r\n\\:]{0,128}):((?:(?!\1)[^\r\n\\]){1,4096})|([^\s"'\\:]{1,128}):([^\s"'\\]{1,4096}))/g
const tokens: TextRule = {
  name: "token",
  label: "TOKEN",
  hints: ["rer", "RER", "sic", "SIC", " -u", "\t-u", '"-u', "'-u", "--u", "y-u", " -U", '"-U', "'-U"],
  find: (text, report) => {
    each(scheme, text, ({ 0: all, 1: bearer, 2: value = "", index }) => {
      const isSecret = bearer === undefined ? isBasic(value) : looksSecret(value) || /^[A-Za-z]{24}/.test(value)
      if (isSecret)
        report(index + all.length - value.length, index + all.length, bearer === undefined ? "PASSWORD" : undefined)
    })
    if (!/\bcurl\b/.test(text)) return
    each(login, text, ({ 2: quotedUser, 3: quoted, 4: user, 5: bare }) => {
      const password = quoted ?? bare ?? ""
      const isGroup = /^\d+$/.test(quotedUser ?? user ?? "") && /^\d+$/.test(password)
      if (!isGroup && !isTemplate(password) && !wasRedacted(password))
        report(login.lastIndex - password.length, login.lastIndex, "PASSWORD")
    })
  }
}

// RFC 7468 §10 and §11, RFC 4880 §6.2, RFC 4716 §3.2 for public keys, whose form ssh.com gave private ones too, and PuTTY's
// own (its manual, appendix C). One without an end was cut off: all that follows may be of the key.
const begin =
  /(-----BEGIN )[A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----|(---- BEGIN )SSH2 [A-Z ]{0,16}PRIVATE KEY ----|PuTTY-User-Key-File-\d: /g
const privateKeys: TextRule = {
  name: "privatekey",
  label: "PRIVATEKEY",
  hints: ["--B", "SH2", "PuT", "kty"],
  find: (text, report) => {
    each(begin, text, ({ 1: pem, 2: ssh2, index }) => {
      begin.lastIndex =
        pem !== undefined
          ? endOfKey(text, begin.lastIndex, "-----END ", "-----")
          : ssh2 !== undefined
            ? endOfKey(text, begin.lastIndex, "---- END ", "----")
            : endOfKey(text, begin.lastIndex, "Private-MAC: ", /[\da-f]*/y)
      report(index, begin.lastIndex)
    })
    if (text.includes("kty")) webKeys(text, report)
  }
}
const endOfKey = (text: string, from: number, mark: string, last: string | RegExp): number => {
  const at = text.indexOf(mark, from)
  if (at < 0) return text.length
  const after = at + mark.length
  if (typeof last !== "string") return after + sticky(last, text, after).length
  const close = text.indexOf(last, after)
  return close < 0 ? text.length : close + last.length
}

/**
 * A secret of a list whose items belong together: where it begins in the first item that it is in, and the last of them.
 */
interface ListSecret {
  readonly rule: TextRule
  readonly label: string
  readonly first: number
  readonly start: number
  readonly last: number
}

/**
 * Finds what no item of a list tells by itself: the lines of a private key, and a password among the arguments of curl.
 *
 * @since 0.1.0
 */
export const inList = (items: ReadonlyArray<string>): ReadonlyArray<ListSecret> => {
  const found: Array<ListSecret> = []
  const isCurl = items.some((item) => /(?:^|[\\/])curl(?:\.exe)?$/.test(item))
  for (let first = 0; first < items.length; first++) {
    const item = items[first]!
    if (isCurl && first > 0 && /^(?:-u|-U|--user|--proxy-user)$/.test(items[first - 1]!)) {
      const start = item.indexOf(":") + 1
      const password = item.slice(start)
      if (start > 0 && password !== "" && !isTemplate(password) && !wasRedacted(password))
        found.push({ rule: tokens, label: "PASSWORD", first, start, last: first })
    } else if (/PRIVATE KEY|PuTTY-/.test(item) && !isEndOfKey(item)) {
      begin.lastIndex = 0
      const start = begin.exec(item)?.index
      if (start === undefined) continue
      const end = items.findIndex((item, i) => i > first && isEndOfKey(item))
      const last = end < 0 ? items.length - 1 : end
      found.push({ rule: privateKeys, label: privateKeys.label, first, start, last })
      first = last
    }
  }
  return found
}
const isEndOfKey = (item: string): boolean => /-----END |---- END |Private-MAC: /.test(item)

// RFC 7517 §4 and RFC 7518 §6: an object with the member `kty`, in which these are private. They are texts, never objects.
const keyType = /"kty\\*"\s{0,16}:/g
const privateMember = /"(?:d|p|q|dp|dq|qi|k)\\*"\s{0,16}:\s{0,16}\\*"([\w-]+)/g
const longestWebKey = 16_384
const webKeys = (text: string, report: (start: number, end: number) => void): void => {
  let done = 0
  each(keyType, text, ({ index }) => {
    if (index < done) return
    const before = text.slice(Math.max(done, index - longestWebKey), index)
    const start = index - before.length + before.lastIndexOf("{") + 1
    done = endOfObject(text, index)
    each(privateMember, text.slice(start, done), ({ 1: value = "" }) => {
      const at = start + privateMember.lastIndex
      report(at - value.length, at)
    })
  })
}
const endOfObject = (text: string, from: number): number => {
  const limit = Math.min(text.length, from + longestWebKey)
  for (let i = from; i < limit; i++) if (text[i] === "}" || text[i] === "{") return i
  return limit
}

// ISO/IEC 7812-1, annex B for the check digit. Ranges and lengths: those that the networks publish, in this order Visa,
// Mastercard, American Express, Diners Club, Discover and RuPay, JCB, UnionPay, Maestro, Mir.
const issuer = new RegExp(
  [
    String.raw`^(?:4(?:\d{12}|\d{15}|\d{18})`,
    String.raw`(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}`,
    String.raw`3[47]\d{13}`,
    String.raw`3(?:0[0-59]|[689]\d)\d{11,16}`,
    String.raw`6(?:0\d\d|4[4-9]\d|5\d\d)\d{12,15}`,
    String.raw`35(?:2[89]|[3-8]\d)\d{12,15}`,
    String.raw`(?:62|81)\d{14,17}`,
    String.raw`(?:50|5[6-8]|6[37])\d{11,17}`,
    String.raw`220[0-4]\d{12,15})$`
  ].join("|")
)
/** The check digit: every second digit from the right counts twice. */
const passesLuhn = (digits: string): boolean => {
  let sum = 0
  for (let i = digits.length - 1, twice = 0; i >= 0; i--, twice = 1 - twice) {
    const digit = digits.charCodeAt(i) - 48
    sum += twice === 0 ? digit : digit > 4 ? digit * 2 - 9 : digit * 2
  }
  return sum % 10 === 0
}

/**
 * Tells whether digits are the number of a payment card. One number in ten of those in the range of a network passes for one.
 *
 * @since 0.1.0
 */
export const isCard = (digits: string): boolean =>
  digits.length >= 13 && digits.length <= 19 && issuer.test(digits) && passesLuhn(digits)

// How the digits of cards are printed, with the same sign between all groups. The groups of a UUID are others.
const layouts = [
  [4, 4, 4, 4],
  [4, 6, 5],
  [4, 6, 4],
  [4, 4, 4, 4, 1],
  [4, 4, 4, 4, 2],
  [4, 4, 4, 4, 3],
  [4, 4, 5]
]
const mostGroups = 5
const separators = new Set(" -+._/\u00a0\u202f\u2011\u2012\u2013\u2014")
const cards: TextRule = {
  name: "card",
  label: "CARD",
  hints: ["digits"],
  find: (text, report) => {
    // Digits without a sign between, the last of those that one same sign is between.
    let groups: Array<readonly [start: number, end: number]> = []
    for (let i = 0; i < text.length; i++) {
      if (!isDigit(text.charCodeAt(i))) continue
      const start = i
      while (isDigit(text.charCodeAt(i + 1))) i++
      const end = i + 1
      const last = groups.at(-1)
      const isNext = last?.[1] === start - 1 && separators.has(text[start - 1]!)
      const isSame = groups.length < 2 || text[last![0] - 1] === text[start - 1]
      if (!isNext) groups = []
      else if (!isSame) groups = groups.slice(-1)
      else if (groups.length === mostGroups) groups.shift()
      groups.push([start, end])
      if (isCard(text.slice(start, Math.min(end, start + 20))) && standsAlone(text, start, end)) report(start, end)
      if (groups.length > 2) for (const layout of layouts) inGroups(text, groups, layout, report)
    }
  }
}
const isDigit = (code: number): boolean => code >= 48 && code <= 57
const inGroups = (
  text: string,
  groups: ReadonlyArray<readonly [start: number, end: number]>,
  layout: ReadonlyArray<number>,
  report: (start: number, end: number) => void
): void => {
  const first = groups.length - layout.length
  if (first < 0 || layout.some((length, i) => groups[first + i]![1] - groups[first + i]![0] !== length)) return
  const start = groups[first]![0]
  const end = groups.at(-1)![1]
  // Before the first group, or after the last, it goes on: a path, or a table of weights.
  const sign = text[groups[first + 1]![0] - 1]!
  const goesOn = text[start - 1] === sign || (text[end] === sign && isDigit(text.charCodeAt(end + 1)))
  if ("._/".includes(sign) && goesOn) return
  const digits = text.slice(start, end).replace(/\D/g, "")
  if (isCard(digits) && standsAlone(text, start, end)) report(start, end)
}
/**
 * Digits within a word are an id, those after a point the fraction of a number, and those after a date, or before the ending of
 * a file, a part of its name. Tables write `.00` after whole numbers; a track of a magnetic stripe has `%B` before
 * (ISO/IEC 7813).
 */
const standsAlone = (text: string, start: number, end: number): boolean => {
  const before = text.slice(Math.max(start - 2, 0), start)
  const after = text.slice(end, end + 6)
  if (/^(?:[A-Za-z]|\.\d)/.test(after) && !/^\.00?(?!\d)/.test(after)) return false
  if (/\d[._]$/.test(before) || (/[A-Za-z]_$/.test(before) && /^\.[a-z]{2,4}\b/i.test(after))) return false
  return !/[A-Za-z]$/.test(before) || skipEscape(text, start - 1) === start || (before === "%B" && after[0] === "^")
}

// RFC 5321 §4.1.2, without the signs in the local part that other things are made of, with the letters of RFC 6531, and the wide
// sign of East Asian keyboards. What has a version or a size for its domain (`vitest@5.1.0`, `logo@2x.png`) is none, nor is
// `git@` of a remote. A domain has 253 characters at most (RFC 1035 §2.3.4).
const localSign = /[\w.%+\-\p{L}\p{M}\p{N}]/u
const domain =
  /(?:[A-Za-z\d\-\p{L}\p{M}\p{N}]{1,63}\.){1,32}(?:xn--[A-Za-z\d-]{2,59}|[A-Za-z\u00c0-\u052f]{2,63}|[\p{L}\p{M}]{2,63})/uy
const emails: TextRule = {
  name: "email",
  label: "EMAIL",
  hints: ["@", "%40"],
  find: (text, report) => {
    let from = 0
    each(/[@\uff20]|%40/g, text, ({ 0: at, index }) => {
      const local = startOfLocal(text, index, from)
      from = index + at.length
      domain.lastIndex = from
      const end = local < index && domain.test(text) ? domain.lastIndex : 0
      const isEmail = end > 0 && !/^v?\d+(?:\.\d|x\.)/.test(text.slice(from, end))
      if (isEmail && text.slice(local, index) !== "git" && !isUserOfUrl(text, local)) report(local, end)
    })
  }
}
const startOfLocal = (text: string, at: number, from: number): number => {
  let start = at
  while (start > from && localSign.test(text[start - 1]!)) start--
  if (start < at || text[at - 1] !== '"') return skipEscape(text, start)
  // `"ada lovelace"@example.com`, RFC 5321 §4.1.2 Quoted-string.
  const quoted = /(?<!\\)(\\*)"[\w.%+ -]{1,64}\1"$/.exec(text.slice(Math.max(from, at - 72), at))?.[0].length ?? 0
  return at - quoted
}
const isUserOfUrl = (text: string, start: number): boolean =>
  /[:/]/.test(text[start - 1] ?? "") && /:\/\/[^\s/?#]*$/.test(text.slice(Math.max(0, start - 256), start))

// RFC 3986 §3.2.1. A password may hold a slash by mistake; then what follows the colon is no port. Nor is it before a number
// sign, but on the web, where a fragment may begin there.
const authority = /[^\s"'<>`\\/?#]*/y
const beyond = /[^\s"'<>`\\]{0,256}/y
const urls: TextRule = {
  name: "url",
  label: "CREDENTIALS",
  hints: ["://"],
  find: (text, report) => {
    for (let at = text.indexOf("://"); at >= 0; at = text.indexOf("://", at)) {
      const isWeb = /(?:http|ws)s?$/i.test(text.slice(Math.max(0, at - 5), at))
      at += 3
      let host = sticky(authority, text, at)
      const isPort = /^[^:[]*:\d*$/.test(host) && (isWeb || text[at + host.length] !== "#")
      if (!host.includes("@") && !isPort && /^[^:[]*:/.test(host)) host = sticky(beyond, text, at)
      const end = host.lastIndexOf("@")
      const user = host.slice(0, end)
      const password = user.slice(user.indexOf(":") + 1)
      if (end > 0 && user !== "git" && !wasRedacted(user) && !wasRedacted(password) && !isTemplate(password))
        report(at, at + end)
    }
  }
}

/**
 * The default rules that look for a secret by its own shape, the most telling first.
 *
 * @since 0.1.0
 */
export const shapeRules: ReadonlyArray<TextRule> = [privateKeys, jwt, tokens, cards, urls, emails]
