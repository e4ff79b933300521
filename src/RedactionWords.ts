/**
 * Names that say that what they stand for is a secret, such as `authorization` or `apiKey`. Where names stand in a text, and
 * what their values are, is for `RedactionNames`.
 *
 * @since 0.1.0
 */

/**
 * What a name says of its value.
 *
 * @since 0.1.0
 */
export interface SecretName {
  /** The label of the placeholder. */
  readonly label: string
  /** A short number can be such a secret. */
  readonly digits: boolean
  /** What the name stands for elsewhere: the folder one is in, a number that is no code, a piece of a sentence, a talk. */
  readonly orElse?: "folder" | "number" | "word" | "talk"
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
  PASSWORD: "password passwords passwd passphrase passcode",
  SECRET: "secret secrets",
  TOKEN: "jwt bearer authtoken accesstoken refreshtoken sessiontoken idtoken",
  COOKIE: "cookie cookies",
  SESSION: "sessionid phpsessid jsessionid",
  AUTHORIZATION: "authorization",
  CREDENTIALS: "credential credentials",
  APIKEY: "apikey apikeys",
  KEY: "secretkey accesskey privatekey accountkey"
})) {
  for (const word of words.split(" ")) lastWords.set(word, { label, digits: label === "PASSWORD" })
}
lastWords.set("pwd", { label: "PASSWORD", digits: true, orElse: "folder" })
for (const word of ["otp", "pin", "cvv", "cvc"])
  lastWords.set(word, { label: "PASSWORD", digits: true, orElse: "number" })
lastWords.set("token", { label: "TOKEN", digits: false, orElse: "word" })
const keys: SecretName = { label: "KEY", digits: false }
const apiKeys: SecretName = { label: "APIKEY", digits: false }
const passwords: SecretName = { label: "PASSWORD", digits: true }
/** `pass` alone, which tests count by. */
const pass: SecretName = { label: "PASSWORD", digits: false }
/** Agents call their talks sessions, too, and give them UUIDs. */
const session: SecretName = { label: "SESSION", digits: false, orElse: "talk" }
const npmLogin: SecretName = { label: "TOKEN", digits: false }
const parameter: SecretName = { label: "PARAMETER", digits: true }
const signature: SecretName = { label: "PARAMETER", digits: true }

/**
 * Makes a set of words.
 *
 * @since 0.1.0
 */
export const words = (list: string): ReadonlySet<string> => new Set(list.split(" "))

/** What a key is of when it is a secret, and whose. Keys of caches, tables, partitions and the public are none. */
const secretKeys = words(
  "access secret private encryption decryption signing auth account shared master storage ssh session client subscription " +
    "functions license webhook hmac jwt aes rsa tls ssl pem deploy app application " +
    "openai anthropic claude gemini google azure aws groq mistral cohere deepseek openrouter fireworks replicate huggingface " +
    "hf nvidia xai perplexity elevenlabs deepgram assemblyai tavily serper serpapi exa firecrawl langsmith langfuse wandb " +
    "pinecone qdrant weaviate supabase stripe twilio sendgrid mailgun resend algolia datadog dd newrelic sentry posthog " +
    "mixpanel amplitude github gitlab slack discord telegram notion airtable figma shopify paypal braintree plaid " +
    "cloudflare vercel netlify heroku digitalocean"
)
const passOf = words("db database smtp mysql pg redis mongo user ftp http proxy root admin")
/** Tokens of paging, of vocabularies, of counting and of models. */
const plainTokens = words(
  "next page continuation eos bos pad unk sep cls mask stop start end special max min per first last total count stream " +
    "streamed delta sampled input output prompt completion generated progress"
)
/** Names that say so as parameters of a URL alone. Those that other things have too say so of what looks like chance. */
const parameters = new Map<string, SecretName>([
  ...["key", "code", "auth"].map((name) => [name, parameter] as const),
  ...["sig", "signature", "assertion", "awsaccesskeyid"].map((name) => [name, signature] as const)
])

const wordsOf = (name: string): Array<string> =>
  name
    .replace(/([a-z\d])(?=[A-Z])|([A-Z])(?=[A-Z][a-z])/g, "$& ")
    .toLowerCase()
    .split(/[^a-z\d]+/)
    .filter((word) => word !== "")

/**
 * Makes the test of names, with names of one's own besides. A name is tested by its last words, whatever their case and
 * what stands between them; numbers, `value` and `confirmation` at its end are left out. `session.id`, the attribute of
 * OpenTelemetry, is none; `session_id` and `sessionId` are, unless the value is a UUID.
 *
 * @since 0.1.0
 */
export const names = (own: ReadonlyArray<string>): Names => {
  const ownWords = own.map((name) => ({ words: wordsOf(name), secret: { label: ownLabel(name), digits: true } }))
  const read = (name: string): SecretName | undefined => {
    const all = wordsOf(name)
    while (all.length > 1 && /^(?:\d+|values?|confirm(?:ation)?)$/.test(all.at(-1)!)) all.pop()
    const last = all.at(-1)
    if (last === undefined) return undefined
    for (const { secret, words } of ownWords) {
      if (words.length > 0 && words.every((word, i) => all[all.length - words.length + i] === word)) return secret
    }
    return (
      readWord(name, all, last) ??
      (/[a-z]\d{1,2}$/.test(last) ? readWord(name, all, last.replace(/\d+$/, "")) : undefined)
    )
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

const readWord = (name: string, all: ReadonlyArray<string>, last: string): SecretName | undefined => {
  const before = all.at(-2) ?? ""
  if (last === "key" || last === "keys") return before === "api" ? apiKeys : secretKeys.has(before) ? keys : undefined
  if (last === "pass") return all.length === 1 ? pass : passOf.has(before) ? passwords : undefined
  if (last === "base") return before === "key" && all.at(-3) === "secret" ? keys : undefined
  if (last === "id") return before === "session" && !/\Wid$/i.test(name.replaceAll("-", "")) ? session : undefined
  if (last === "auth") return /(?:^|[^A-Za-z\d])_auth$/.test(name) ? npmLogin : undefined
  // `PGPASSWORD`
  if (/.(?:password|passwd|passphrase)$/.test(last)) return passwords
  return last === "token" && plainTokens.has(before) ? undefined : lastWords.get(last)
}

/**
 * Tells what the name of a parameter of a URL says, where names elsewhere would not. OpenTelemetry asks for AWSAccessKeyId,
 * Signature, sig and X-Goog-Signature by default (Semantic Conventions §URL).
 *
 * @since 0.1.0
 */
export const parameterName = (name: string): SecretName | undefined =>
  parameters.get(name.toLowerCase().replace(/^x-(?:amz|goog)-/, ""))

/**
 * Tells whether the value of a parameter is no secret: `?code=404`, `?key=en-US`, `?key=photo-12`, `?code=E1234`.
 *
 * @since 0.1.0
 */
export const isPlainParameter = (secret: SecretName, value: string): boolean => {
  if (secret === signature) return value.length < 5
  if (secret !== parameter) return false
  if (value.length < 5 || value.length > 256) return value.length < 5
  const parts = value.split(/%[\dA-Fa-f]{2}|[^A-Za-z\d]/)
  return parts.length < 10 && parts.every((part) => plainPart.test(part)) && !/^\d+$/.test(value)
}
/** A word, a number, or a number of something. */
const plainPart = /^(?:[A-Za-z]{0,14}|\d{1,6}|[A-Za-z]{1,3}\d{1,6})$/

/** What fetch and CORS are told about credentials, and what stands for nothing. */
const plainValues = words("include omit same-origin true false null none nil undefined")

/**
 * Tells a value that is something else than the secret that its name says: nothing, a folder, a version, the id of a talk.
 *
 * @since 0.1.0
 */
export const isElse = (value: string, { orElse }: SecretName): boolean =>
  (value.length < 16 && plainValues.has(value.toLowerCase())) ||
  (orElse === "folder" && /^(?:[/~]|[A-Za-z]:[\\/])/.test(value)) ||
  (orElse === "talk" && /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i.test(value)) ||
  (orElse === "number" && /^(?:\d{1,2}|\d{1,8}(?:\.\d{1,8}){1,4})$/.test(value))

/**
 * Tells a number that is a secret under such a name.
 *
 * @since 0.1.0
 */
export const isSecretNumber = (digits: string, { digits: isShort, orElse }: SecretName): boolean =>
  orElse === "number"
    ? /^\d{3,12}$/.test(digits)
    : /^\d{6,64}$/.test(digits) || (isShort && digits.length >= 3 && /^-?\d{1,64}(?:\.\d{1,64})?$/.test(digits))

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
 * All labels that these names give.
 *
 * @since 0.1.0
 */
export const labels = (own: ReadonlyArray<string>): ReadonlyArray<string> => [
  ...new Set([...lastWords.values(), keys, parameter].map(({ label }) => label)),
  ...own.map(ownLabel)
]

/** What names of secrets end with. */
const ends = (own: ReadonlyArray<string>): ReadonlyArray<string> =>
  [...lastWords.keys(), ...parameters.keys(), "key", "keys", "pass", "value", "confirmation", "confirm"].concat(
    own.flatMap((name) => wordsOf(name).slice(-1))
  )
/** And those with a number, `password1`. */
const numbered = ["d", "s", "t", "n", "y"].flatMap((last) => ["1", "2", "3"].map((number) => last + number))

/**
 * Makes a table of the last two letters of names of secrets, five bits each, so that case does not matter. Most names are told
 * from those of secrets by them.
 *
 * @since 0.1.0
 */
export const endingsOf = (own: ReadonlyArray<string>): Uint8Array => {
  const endings = new Uint8Array(1024)
  for (const name of [...ends(own), ...numbered, "base"]) {
    const [last = 0, before] = Array.from(name, (sign) => sign.charCodeAt(0) & 31).toReversed()
    if (before === undefined) for (let any = 0; any < 32; any++) endings[(any << 5) | last] = 1
    else endings[(before << 5) | last] = 1
  }
  return endings
}

/**
 * The ends of names of secrets together with what may come after them before the value: a text without has none.
 *
 * @since 0.1.0
 */
export const hintsOf = (own: ReadonlyArray<string>): ReadonlyArray<string> => {
  // Signs in columns, flags, and `SECRET_KEY_BASE`, which ends as many names do.
  const hints = new Set(["--", "  =", "  :", " \t=", " \t:", "\t =", "\t :", "\t\t=", "\t\t:", "y_b", "Y_B"])
  for (const name of ends(own).flatMap((name) => [name.toLowerCase(), name.toUpperCase()])) {
    for (const sign of ["=", ":", '"', "'", "`", "\\", "%", "]", "[", ">"]) hints.add(name.slice(-2) + sign)
    for (const signs of [" =", " :", "\t=", "\t:"]) hints.add(name.slice(-1) + signs)
  }
  for (const end of numbered.flatMap((end) => [end, end.toUpperCase()]))
    for (const sign of ["=", ":", '"', "'"]) hints.add(end + sign)
  return [...hints]
}
