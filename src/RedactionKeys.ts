/**
 * The keys that services give out with a prefix of their own, by which they are known wherever they stand.
 *
 * @since 0.1.0
 */
import { hashOf, nextHash, type TextRule } from "./RedactionRules.ts"
import { wordStart } from "./RedactionText.ts"

/** Three characters of the prefix that few texts have, the prefix, and a pattern for the rest. */
type Shape = readonly [hint: string, prefix: string, rest: string]

/** Written out, as the engine keeps a stack for `{16,}` that a text of megabytes overflows, and none for `*`. */
const atLeast = (count: number, signs: string): string => `${signs}{${count}}${signs}*`
/** Services change the lengths of their keys. A name with dashes is none: see `isChance`. */
const any = `${atLeast(16, "[\\w-]")}(?:\\.[\\w-]+){0,8}`
const hex = (length: number): string => `[\\da-f]{${length}}(?![\\w-])`
const letters = (length: number | string): string =>
  `${typeof length === "number" ? atLeast(length, "[A-Za-z\\d]") : `[A-Za-z\\d]{${length}}`}(?![A-Za-z\\d])`

// Their documentation: OpenAI, Anthropic (API reference §Authentication), GitHub ("Behind GitHub's new authentication token
// formats"), GitLab (Token overview), Google (API keys, OAuth 2.0), Slack (Token types), Stripe (API keys), npm (About access
// tokens), PyPI (Help §API tokens), Hugging Face (User access tokens), AWS (IAM identifiers §Unique ID prefixes, Bedrock API
// keys), Vercel (Tokens); the others as in gitleaks, config/gitleaks.toml, and trufflehog, pkg/detectors.

/** Nothing else is written so, and what stands before does not matter. */
const loud: ReadonlyArray<Shape> = [
  ["sk-", "sk-", `(?:ant|proj|svcacct|admin|or-v1|lf)-${any}`],
  ["ghp", "ghp_", any],
  ["gho", "gho_", any],
  ["ghu", "ghu_", any],
  ["ghs", "ghs_", any],
  ["ghr", "ghr_", any],
  ["b_p", "github_pat_", any],
  ["glp", "glp", `(?:at|tt)-${any}`],
  ["gld", "gldt-", any],
  ["glr", "glrt-", any],
  ["glf", "glf", `(?:fc)?t-${any}`],
  ["gli", "glimt-", any],
  ["gla", "glagent-", any],
  ["glo", "gloas-", any],
  ["glc", "glc", `(?:bt-|_)${any}`],
  ["gls", "gls", `(?:oat-|a_)${any}`],
  ["AIz", "AIza", any],
  ["a29", "ya29.", any],
  ["OCS", "GOCSPX-", any],
  ["xox", "xox", `(?:[abceoprs]-|e\\.xox[bp]-)${any}`],
  // What a cookie holds, encoded as in URLs.
  ["xox", "xoxd-", atLeast(16, "[\\w%+/=-]")],
  ["xap", "xapp-", any],
  ["k_l", "sk_live_", any],
  ["k_l", "rk_live_", any],
  ["k_t", "sk_test_", any],
  ["k_t", "rk_test_", any],
  ["whs", "whsec_", any],
  ["pyp", "pypi-", any],
  ["BSK", "ABSK", any],
  ["gsk", "gsk_", any],
  ["xai", "xai-", letters(40)],
  ["plx", "pplx-", any],
  ["tvl", "tvly-", any],
  ["lsv", "lsv2_", `(?:pt|sk)_${any}`],
  ["pcs", "pcsk_", any],
  ["hvs", "hvs.", any],
  ["hvb", "hvb.", any],
  ["hvr", "hvr.", any],
  ["pi_", "lin_api_", any],
  ["pi_", "apify_api_", any],
  ["sbp", "sbp_", any],
  ["sb_", "sb_secret_", any],
  ["dp.", "dp.", `(?:pt|st|ct|sa|scim|audit)\\.${any}`],
  ["o_v", "doo_v1_", hex(64)],
  ["p_v", "dop_v1_", hex(64)],
  ["r_v", "dor_v1_", hex(64)],
  ["p_v", "tgp_v1_", any],
  ["shp", "shp", `(?:at|ca|pa|ss)_${any}`],
  ["RAK", "NRAK-", any],
  ["MAK", "PMAK-", any],
  ["snt", "sntry", `[su]_${any}`],
  ["vap", "nvapi-", any],
  ["ckr", "dckr_", `[po]at_${any}`],
  ["TT3", "ATATT3", atLeast(24, "[\\w=-]")],
  ["TT3", "ATCTT3", atLeast(24, "[\\w=+/-]")],
  ["TBB", "ATBB", atLeast(24, "[\\w=-]")],
  ["sq0", "sq0", `[a-z]{3}-${atLeast(22, "[\\w-]")}`],
  ["gd_", "figd_", any],
  ["yge", "rubygems_", hex(48)],
  ["GE-", "AGE-SECRET-KEY-", "1[A-Z\\d]{58}"],
  ["xke", "xkeysib-", any],
  ["xsm", "xsmtpsib-", any],
  ["CIP", "CCIPAT_", any],
  ["_rw", "vercel_blob_rw_", any],
  ["_ey", "ops_eyJ", `${atLeast(100, "[\\w+/-]")}={0,2}`],
  ["yV1", "FlyV1 ", `fm\\d[ar]?_${atLeast(40, "[\\w+/=,-]")}`],
  ["kua", "bkua_", hex(40)],
  ["sle", "pscale_", `(?:tkn|pw|oauth)_${any}`]
]

/** These end or begin plain words too: they stand at the start of a word. */
const quiet: ReadonlyArray<Shape> = [
  ["sk-", "sk-", atLeast(20, "[\\w-]")],
  ["sk-", "csk-", atLeast(20, "[\\w-]")],
  ["hf_", "hf_", letters(30)],
  ["i_o", "api_org_", letters(30)],
  ["pm_", "npm_", letters("36")],
  ["r8_", "r8_", letters(30)],
  ["fw_", "fw_", letters("20,40")],
  ["ntn", "ntn_", letters("40,60")],
  ["et_", "secret_", letters("43")],
  ["EAA", "EAAA", "[\\w-]{56,64}(?![\\w-])"],
  ["hx_", "phx_", "\\w{40,60}(?!\\w)"],
  ["hc_", "phc_", "\\w{40,60}(?!\\w)"],
  ["fc-", "fc-", hex(32)],
  ["re_", "re_", "[A-Za-z\\d]{8}_[A-Za-z\\d]{24}(?!\\w)"],
  ["ul-", "pul-", hex(40)],
  ["fp_", "nfp_", "\\w{36,44}(?!\\w)"],
  ["gp_", "sgp_", `(?:(?:[\\da-f]{16}|local)_)?${hex(40)}`],
  ["sl.", "sl.", `(?:u\\.)?${atLeast(100, "[\\w-]")}={0,2}`],
  ["fo1", "fo1_", "[\\w-]{43}(?![\\w-])"],
  ["fm1", "fm1", `[ar]_${atLeast(100, "[\\w+/-]")}={0,3}`],
  ["fm2", "fm2_", `${atLeast(100, "[\\w+/-]")}={0,3}`],
  ["ey-", "key-", hex(32)],
  ["ey-", "pubkey-", hex(32)],
  ["pat", "pat", `[A-Za-z\\d]{14}\\.${hex(64)}`],
  ["AQ.", "AQ.", atLeast(40, "[\\w-]")],
  ["pi_", "napi_", letters("40,100")],
  ["dap", "dapi", `[\\da-f]{32}(?:-\\d)?(?![\\w-])`],
  ...signs("piark").map((kind) => [`vc${kind}`, `vc${kind}_`, letters("24,100")] as const),
  // The kind and the first digit make the hint: two letters would be in every text in capitals.
  ...signs("0123456789abcdef").flatMap((first) => [
    [`SK${first}`, `SK${first}`, hex(31)] as const,
    [`AC${first}`, `AC${first}`, hex(31)] as const,
    [`k_${first}`, `sk_${first}`, hex(47)] as const
  ]),
  // The number of a bot in base64, a time and a check.
  ...combine("MNO", "DTjz", "AEIMQUYcgk").map(
    (begin) => [begin, begin, String.raw`[\w-]{20,24}\.[\w-]{6}\.[\w-]{27,40}(?![\w-])`] as const
  )
]

/** Those that something variable is before: it is the group `before`. Of webhooks the path alone is the credential. */
const others: ReadonlyArray<readonly [hint: string, pattern: string]> = [
  ["KIA", String.raw`(?<=(?<before>A))KIA[A-Z\d]{16}`],
  ["SIA", String.raw`(?<=(?<before>A))SIA[A-Z\d]{16}`],
  ["SG.", String.raw`SG\.[\w-]{16,64}\.${atLeast(16, String.raw`[\w-]`)}`],
  [":AA", String.raw`(?<=(?<before>(?<!\d)\d{8,10})):AA[\w-]{33}`],
  ...signs("0123456789").map(
    (digit) =>
      [`${digit}Q~`, String.raw`(?<=(?<before>(?<![\w~.])[\w~.]{3}))${digit}Q~[\w~.-]{31,34}(?![\w~-])`] as const
  ),
  [".sl", String.raw`\.slack\.com\/(?:services|workflows|triggers)\/(?<secret>${atLeast(16, String.raw`[\w/]`)})`],
  ["i/w", String.raw`i\/webhooks\/(?<secret>${atLeast(24, String.raw`[\w/-]`)})`]
]

/** A shape at a place of its hint. */
interface Place {
  readonly hint: string
  /** How far before its hint it begins. */
  readonly back: number
  readonly pattern: RegExp
  /** Whether what it matches may be a name, too. */
  readonly maybeName: boolean
}

const placesOf = (shapes: ReadonlyArray<Shape>, before: string): ReadonlyArray<Place> =>
  shapes.map(([hint, prefix, rest]) => ({
    hint,
    back: prefix.indexOf(hint),
    pattern: new RegExp(before + prefix.replaceAll(".", "\\.") + rest, "y"),
    maybeName: rest.endsWith(any) || prefix.endsWith("sk-")
  }))

const places: ReadonlyArray<Place> = [
  ...placesOf(loud, ""),
  ...placesOf(quiet, wordStart),
  ...others.map(([hint, pattern]) => ({ hint, back: 0, pattern: new RegExp(pattern, "y"), maybeName: false }))
]

const byHash = Map.groupBy(places, ({ hint }) => hashOf(hint))
/** By the last bits of a hash, which is enough to pass most places by. */
const isHint = new Uint8Array(1 << 14)
for (const hash of byHash.keys()) isHint[hash & (isHint.length - 1)] = 1

/** A name is words with dashes between; chance is a long run, one with digits, a mixture, or a UUID. */
const isChance = (text: string): boolean =>
  /[A-Za-z\d]{22}|(?=[A-Za-z]{0,15}\d)(?=\d{0,15}[A-Za-z])[A-Za-z\d]{16}/.test(text) ||
  (/\d/.test(text) && /[A-Z]/.test(text) && /[a-z]/.test(text)) ||
  /[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}/i.test(text)

/**
 * The rule for keys with a prefix. It goes from hint to hint, so that the number of shapes costs nothing.
 *
 * @since 0.1.0
 */
export const apiKeys: TextRule = {
  name: "apikey",
  label: "APIKEY",
  hints: [...new Set(places.map(({ hint }) => hint))],
  find: (text, report) => {
    let hash = 0
    for (let i = 0; i < text.length; i++) {
      hash = nextHash(hash, text.charCodeAt(i))
      if (isHint[hash & (isHint.length - 1)] === 0) continue
      for (const { back, hint, maybeName, pattern } of byHash.get(hash) ?? []) {
        if (i < back + 2 || !text.startsWith(hint, i - 2)) continue
        pattern.lastIndex = i - 2 - back
        const match = pattern.exec(text)
        if (match === null) continue
        // What was looked at is not looked at again.
        i = pattern.lastIndex - 1
        hash = 0
        const key = match[0]
        if (maybeName && !isChance(key)) break
        const { before = "", secret = key } = match.groups ?? {}
        report(pattern.lastIndex - secret.length - before.length, pattern.lastIndex)
        break
      }
    }
  }
}

function signs(text: string): ReadonlyArray<string> {
  return text.split("")
}

/** Every row of letters with one of each of these. */
function combine(...rows: ReadonlyArray<string>): ReadonlyArray<string> {
  return rows.reduce<ReadonlyArray<string>>(
    (all, next) => all.flatMap((one) => signs(next).map((sign) => one + sign)),
    [""]
  )
}
