/**
 * What the default rules of `Redaction` take for a secret, and where in a text it stands. Nothing is replaced here.
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
   * Three characters each, or `@` or `digits` (at least 13, with no more than single signs between): a text with a secret
   * of this rule has at least one of them. Most texts have none, and no rule is run on them.
   */
  readonly hints: ReadonlyArray<string>
  readonly find: (text: string, report: Report) => void
}

const each = (pattern: RegExp, text: string, visit: (match: RegExpExecArray) => void): void => {
  pattern.lastIndex = 0
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) visit(match)
}

// A letter that belongs to an escape of JSON or of a URL is not a part of the word that follows it.
const wordStart = String.raw`(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt])|(?<=%[0-9A-Fa-f]{2}))`

/**
 * Tells what stands in for a secret in code, settings and manuals: `${token}`, `$TOKEN`, `{{token}}`, `<token>`, `***`.
 *
 * @since 0.1.0
 */
export const isTemplate = (text: string): boolean =>
  /^(?:\$\{[^{}]*\}|\$\([^()]*\)|\$[A-Z_]+|\{\{[^{}]*\}\}|\{[a-z_]*\}|<[a-z][a-z _-]*>|%[A-Z_]+%|\*+|\.\.\.|…)$/i.test(
    text
  )

/**
 * Tells whether a placeholder is in a text, maybe without its last bracket: what holds one was redacted before.
 *
 * @since 0.1.0
 */
export const hasPlaceholder = (text: string): boolean =>
  /\[(?:[A-Z][A-Z_]*_\d{1,6}|PASSWORD|SECRET|TOKEN|COOKIE|CREDENTIALS|APIKEY|KEY|EMAIL|CARD|JWT|PRIVATEKEY)(?:\]|$)/.test(
    text
  )

/**
 * Tells a value that looks like a secret from words, numbers, versions and dates.
 *
 * @since 0.1.0
 */
export const looksSecret = (text: string): boolean =>
  text.length >= 6 && /\d/.test(text) && /[A-Za-z]/.test(text) && !/^v?\d+(?:[.:T-]\d+)+Z?$/.test(text)

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

// Prefixes that vendors gave their keys so that they can be found, by hint. Their documentation: OpenAI, Anthropic (API
// reference §Authentication), GitHub ("Behind GitHub's new authentication token formats"), GitLab (Token overview), Google
// (API keys, OAuth 2.0), Slack (Token types), Stripe (API keys), npm (About access tokens), PyPI (Help §API tokens),
// Hugging Face (User access tokens), AWS Bedrock (ABSK); the others as in gitleaks, config/gitleaks.toml.
const prefixes: ReadonlyArray<readonly [hint: string, prefixes: string]> = [
  ["sk-", "sk-ant- sk-proj- sk-svcacct- sk-admin- sk-or-v1- sk-lf-"],
  ["ghp", "ghp_"],
  ["gho", "gho_"],
  ["ghu", "ghu_"],
  ["ghs", "ghs_"],
  ["ghr", "ghr_"],
  ["b_p", "github_pat_"],
  ["glp", "glpat- glptt-"],
  ["gld", "gldt-"],
  ["glr", "glrt-"],
  ["glc", "glcbt- glc_"],
  ["gls", "glsoat- glsa_"],
  ["AIz", "AIza"],
  ["a29", "ya29."],
  ["OCS", "GOCSPX-"],
  ["xox", "xoxa- xoxb- xoxe- xoxe. xoxo- xoxp- xoxr- xoxs-"],
  ["xap", "xapp-"],
  ["k_l", "sk_live_ rk_live_"],
  ["k_t", "sk_test_ rk_test_"],
  ["whs", "whsec_"],
  ["pyp", "pypi-"],
  ["BSK", "ABSK"],
  ["gsk", "gsk_"],
  ["xai", "xai-"],
  ["plx", "pplx-"],
  ["tvl", "tvly-"],
  ["lsv", "lsv2_pt_ lsv2_sk_"],
  ["pcs", "pcsk_"],
  ["hvs", "hvs."],
  ["pi_", "lin_api_"],
  ["ntn", "ntn_"],
  ["sbp", "sbp_"],
  ["sb_", "sb_secret_"],
  ["dp.", "dp.pt."],
  ["p_v", "dop_v1_"],
  ["shp", "shpat_ shpca_ shppa_ shpss_"],
  ["RAK", "NRAK-"],
  ["MAK", "PMAK-"],
  ["snt", "sntrys_ sntryu_"]
]
// These end plain words too, so what follows must look like chance: `sk-` is OpenAI's older keys and those of many others.
const shortPrefixes: typeof prefixes = [
  ["sk-", "sk-"],
  ["sk-", "csk-"],
  ["hf_", "hf_"],
  ["pm_", "npm_"],
  ["r8_", "r8_"],
  ["fw_", "fw_"]
]
// AWS (IAM identifiers §Unique ID prefixes), SendGrid, Telegram.
const shapes = String.raw`(?:AKIA|ASIA)[A-Z0-9]{16}|SG\.[\w-]{16,64}\.[\w-]{16,}|(?<!\d)\d{8,10}:AA[\w-]{33}`
// The paths of Slack's and Discord's webhooks are their credentials.
const webhook = /hooks\.slack\.com\/(?:services|workflows|triggers)\/([\w/]{16,})|\/api\/webhooks\/([\w/-]{24,})/g

const alternatives = (table: typeof prefixes): string =>
  table.map(([, list]) => list.replaceAll(".", "\\.").replaceAll(" ", "|")).join("|")
const longKey = new RegExp(`(?:${alternatives(prefixes)})[\\w-]{16,}(?:\\.[\\w-]+)*|${shapes}`, "g")
const shortKey = new RegExp(`${wordStart}(?:${alternatives(shortPrefixes)})([\\w-]{20,})`, "g")
// A name is words with dashes between; chance is a long run, or a mixture.
const isChance = (text: string): boolean =>
  /[A-Za-z\d]{16}/.test(text) || (/\d/.test(text) && /[A-Z]/.test(text) && /[a-z]/.test(text))

const apiKeys: TextRule = {
  name: "apikey",
  label: "APIKEY",
  hints: [...prefixes, ...shortPrefixes].map(([hint]) => hint).concat("KIA", "SIA", "SG.", ":AA", ".sl", "i/w"),
  find: (text, report) => {
    each(longKey, text, ({ 0: key, index }) => report(index, index + key.length))
    each(shortKey, text, ({ 0: key, 1: rest, index }) => {
      if (isChance(rest!)) report(index, index + key.length)
    })
    each(webhook, text, ({ 0: all, 1: slack, 2: discord, index }) => {
      const end = index + all.length
      report(end - (slack ?? discord ?? all).length, end)
    })
  }
}

// RFC 7519 §3: parts with dots between, of which the first is the base64url of a JSON object, which begins with eyJ. An
// encrypted one (RFC 7516) has five. One that was cut off after its second part still tells what it says.
const jwt: TextRule = {
  name: "jwt",
  label: "JWT",
  hints: ["eyJ"],
  find: (text, report) =>
    each(/eyJ[\w-]{8,}(?:\.[\w-]*){0,4}/g, text, ({ 0: token, index }) => {
      const parts = token.split(".")
      if (parts.length >= 3 || parts[1]?.startsWith("ey") === true) report(index, index + token.length)
    })
}

// RFC 6750 §2.1 and RFC 7617 §2. Prose has both words, so a bearer token must look like chance, and what is called basic
// must be the base64 of a name, a colon and a password.
const scheme = new RegExp(`${wordStart}(?:(bearer)|basic)\\s{1,4}([\\w.~+/|:-]{8,}=*)`, "gi")
const isBasic = (text: string): boolean =>
  /^[A-Za-z\d+/]{4,4096}={0,2}$/.test(text) && /^[ -9;-\u00ff]*:[ -\u00ff]*$/.test(decode(text))
const decode = (text: string): string => {
  const whole = text.replace(/=+$/, "")
  return whole.length % 4 === 1 ? "" : atob(whole)
}
const tokens: TextRule = {
  name: "token",
  label: "TOKEN",
  hints: ["rer", "RER", "sic", "SIC"],
  find: (text, report) =>
    each(scheme, text, ({ 0: all, 1: bearer, 2: value = "", index }) => {
      const isSecret = bearer === undefined ? isBasic(value) : looksSecret(value) || /^[A-Za-z]{24}/.test(value)
      if (isSecret)
        report(index + all.length - value.length, index + all.length, bearer === undefined ? "PASSWORD" : undefined)
    })
}

// RFC 7468 §10 and §11, RFC 4880 §6.2. One without an end was cut off: all that follows may be of the key.
const begin = /-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----/g
const privateKeys: TextRule = {
  name: "privatekey",
  label: "PRIVATEKEY",
  hints: ["--B"],
  find: (text, report) => {
    begin.lastIndex = 0
    for (let match = begin.exec(text); match !== null; match = begin.exec(text)) {
      const end = text.indexOf("-----END ", begin.lastIndex)
      const close = end < 0 ? -1 : text.indexOf("-----", end + 9)
      begin.lastIndex = close < 0 ? text.length : close + 5
      report(match.index, begin.lastIndex)
    }
  }
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
 * Tells whether digits are the number of a payment card.
 *
 * @since 0.1.0
 */
export const isCard = (digits: string): boolean => issuer.test(digits) && passesLuhn(digits)

// How the digits of cards are printed. The groups of a UUID are others.
const layouts = [
  [4, 4, 4, 4],
  [4, 6, 5],
  [4, 6, 4],
  [4, 4, 4, 4, 1],
  [4, 4, 4, 4, 2],
  [4, 4, 4, 4, 3],
  [4, 4, 5]
]
const cards: TextRule = {
  name: "card",
  label: "CARD",
  hints: ["digits"],
  find: (text, report) =>
    each(/\d(?:[ +-]?\d){12,}/g, text, ({ 0: run, index }) => {
      // Most long runs are times and ids without a sign between.
      const groups = /\D/.test(run) ? run.split(/\D/) : [run]
      for (let i = 0, start = index; i < groups.length; start += groups[i++]!.length + 1) {
        for (const layout of [[groups[i]!.length], ...(groups.length > 2 ? layouts : [])]) {
          if (layout.some((length, at) => groups[i + at]?.length !== length)) continue
          const end = start + layout.reduce((sum, length) => sum + length, layout.length - 1)
          if (isCard(groups.slice(i, i + layout.length).join("")) && standsAlone(text, start, end)) report(start, end)
        }
      }
    })
}
// Digits within a word are an id, and those after a point the fraction of a number.
const standsAlone = (text: string, start: number, end: number): boolean =>
  !/^(?:[A-Za-z]|\.\d)/.test(text.slice(end, end + 2)) &&
  !/\d\.$/.test(text.slice(Math.max(start - 2, 0), start)) &&
  (!/[A-Za-z]/.test(text[start - 1] ?? "") || skipEscape(text, start - 1) === start)

// RFC 5321 §4.1.2, without the signs in the local part that other things are made of, with the letters of RFC 6531 for
// Europe. What has a version or a size for its domain (`vitest@5.1.0`, `logo@2x.png`) is none, nor is `git@` of a remote.
const localSign = /[\w.%+\-À-ԯ]/
const domain = /(?:[A-Za-z\d\-À-ԯ]{1,63}\.)+[A-Za-zÀ-ԯ]{2,63}/y
const emails: TextRule = {
  name: "email",
  label: "EMAIL",
  hints: ["@", "%40"],
  find: (text, report) => {
    let from = 0
    each(/@|%40/g, text, ({ 0: at, index }) => {
      let start = index
      while (start > from && localSign.test(text[start - 1]!)) start--
      from = index + at.length
      start = skipEscape(text, start)
      domain.lastIndex = from
      const end = domain.test(text) ? domain.lastIndex : 0
      const isEmail = start < index && end > 0 && !/^v?\d+(?:\.\d|x\.)/.test(text.slice(from, end))
      if (isEmail && text.slice(start, index) !== "git" && !isUserOfUrl(text, start)) report(start, end)
    })
  }
}
const isUserOfUrl = (text: string, start: number): boolean =>
  /[:/]/.test(text[start - 1] ?? "") && /:\/\/[^\s/?#]*$/.test(text.slice(Math.max(0, start - 256), start))

// RFC 3986 §3.2.1. A password may hold a slash by mistake; then what follows the colon is no port.
const authority = /[^\s"'<>`\\/?#]*/y
const beyond = /[^\s"'<>`\\]{0,256}/y
const urls: TextRule = {
  name: "url",
  label: "CREDENTIALS",
  hints: ["://"],
  find: (text, report) => {
    for (let at = text.indexOf("://"); at >= 0; at = text.indexOf("://", at)) {
      at += 3
      let host = sticky(authority, text, at)
      if (!host.includes("@") && /^[^:[]+:(?!\d*$)/.test(host)) host = sticky(beyond, text, at)
      const end = host.lastIndexOf("@")
      const user = host.slice(0, end)
      if (end > 0 && user !== "git" && !hasPlaceholder(user) && !isTemplate(user.slice(user.indexOf(":") + 1)))
        report(at, at + end)
    }
  }
}
const sticky = (pattern: RegExp, text: string, at: number): string => {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0] ?? ""
}

/**
 * The default rules that look for a secret by its own shape, the most telling first.
 *
 * @since 0.1.0
 */
export const shapeRules: ReadonlyArray<TextRule> = [privateKeys, apiKeys, jwt, tokens, cards, urls, emails]

const other = 0
const digit = 1
const filler = 2
const at = 3
/** So many digits make a card. */
const cardDigits = 13
/**
 * What tells which rules have to see a text.
 *
 * @since 0.1.0
 */
export interface Hints {
  /** By a hash of three characters. */
  readonly table: Uint16Array
  /** What each of the first 128 characters is; those after count as one of these, which costs time and nothing else. */
  readonly signs: Uint8Array
  readonly at: number
  readonly digits: number
}

/**
 * Gathers the hints of rules, 16 at most.
 *
 * @since 0.1.0
 */
export const makeHints = (rules: ReadonlyArray<TextRule>): Hints => {
  const table = new Uint16Array(1 << 15)
  const signs = new Uint8Array(128)
  for (const sign of "0123456789") signs[sign.charCodeAt(0)] = digit
  for (const sign of " -+") signs[sign.charCodeAt(0)] = filler
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

/** A name of one letter makes a hint of two, which any character may be before. */
const indexes = (hint: string): ReadonlyArray<number> => {
  const hash = Array.from(hint).reduce((hash, sign) => ((hash << 5) ^ sign.charCodeAt(0)) & 0x7fff, 0)
  return hint.length > 2 ? [hash] : Array.from({ length: 32 }, (_, before) => hash ^ (before << 10))
}

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
    hash = ((hash << 5) ^ code) & 0x7fff
    hit |= table[hash]!
    const sign = signs[code]!
    if (sign === other) run = 0
    else if (sign === digit && ++run === cardDigits) hit |= digitsMask
    else if (sign === at) hit |= atMask
  }
  return hit
}
