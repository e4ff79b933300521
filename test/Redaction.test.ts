import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Redaction from "../src/Redaction.ts"

const trace = "0af7651916cd43dd8448eb211c80319c"
const redact = (text: string, options?: Redaction.Options) => Redaction.make(options).text(trace, text)

// Secrets are put together here, so that nobody takes this file for a leak.
const join = (...parts: ReadonlyArray<string>) => parts.join("")
const chance = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5bC7dE9fG1hJ4kL6mN8pQ0rS2t"
const hex = "0123456789abcdef".repeat(4)
const json = (value: object) => `eyJ${btoa(JSON.stringify(value)).slice(3).replaceAll("=", "")}`
const token = [json({ alg: "HS256" }), json({ sub: "1" }), chance].join(".")
const pem = (kind: string) => `-----BEGIN ${kind}PRIVATE KEY-----\nMIIEvQ${chance}\n-----END ${kind}PRIVATE KEY-----`

const apiKeys: ReadonlyArray<readonly [kind: string, key: string]> = [
  ["OpenAI, older", "sk-" + "a".repeat(48)],
  ["OpenAI project", "sk-proj-" + chance],
  ["OpenAI service account", "sk-svcacct-" + chance],
  ["OpenAI admin", "sk-admin-" + chance],
  ["Anthropic", "sk-ant-api03-" + chance + "-_" + chance],
  ["OpenRouter", "sk-or-v1-" + hex],
  ["Langfuse", join("sk-lf-", "12345678-1234-4234-8234-123456789012")],
  ["DeepSeek", "sk-" + hex.slice(0, 32)],
  ...["ghp", "gho", "ghu", "ghs", "ghr"].map((prefix) => ["GitHub", `${prefix}_${chance.slice(0, 36)}`] as const),
  ["GitHub fine-grained", "github_pat_" + chance.slice(0, 22) + "_" + chance],
  ["GitLab", join("glpat-", "aB3-E5_G7hJ9-L1mN3pQ")],
  ["AWS", join("AKIA", "ABCDEFGHIJKL2345")],
  ["AWS temporary", join("ASIA", "ABCDEFGHIJKL2345")],
  ["Google", "AIza" + chance.slice(0, 35)],
  ["Google OAuth", "ya29." + chance],
  ...["a", "b", "p", "r", "s"].map((kind) => ["Slack", `xox${kind}-123456789012-${chance.slice(0, 24)}`] as const),
  ["Slack app", join("xapp-1-", "A0123456789-1234567890123-") + hex],
  ["Stripe", join("sk_", "live_") + chance.slice(0, 24)],
  ["Stripe restricted", join("rk_", "live_") + chance.slice(0, 24)],
  ["Stripe webhook", "whsec_" + chance.slice(0, 32)],
  ["npm", "npm_" + chance.slice(0, 36)],
  ["PyPI", "pypi-" + chance],
  ["Hugging Face", "hf_" + chance.slice(0, 34)],
  ["Groq", "gsk_" + chance.slice(0, 52)],
  ["SendGrid", ["SG", chance.slice(0, 22), chance.slice(0, 43)].join(".")],
  ["Telegram", join("123456789", ":AA") + chance.slice(0, 33)],
  ["Replicate", "r8_" + chance.slice(0, 37)],
  ["Shopify", "shpat_" + hex.slice(0, 32)],
  ["Linear", "lin_api_" + chance.slice(0, 40)],
  ["LangSmith", "lsv2_pt_" + hex.slice(0, 32) + "_0123456789"],
  ["Supabase", "sb_secret_" + chance.slice(0, 31)],
  ["DigitalOcean", "dop_v1_" + hex],
  ["Sentry", "sntrys_" + chance],
  ["Doppler", "dp.pt." + chance.slice(0, 40)]
]

const alone: ReadonlyArray<readonly [kind: string, secret: string, label: string]> = [
  ...apiKeys.map(([kind, key]) => [kind, key, "APIKEY"] as const),
  ["a JSON Web Token", token, "JWT"],
  ["one that was cut off", token.slice(0, -chance.length - 1), "JWT"],
  ["an encrypted one", [json({ alg: "A" }), "a1", "b2", "c3", "d4"].join("."), "JWT"],
  ["a private key", pem(""), "PRIVATEKEY"],
  ["an RSA key", pem("RSA "), "PRIVATEKEY"],
  ["an OpenSSH key", pem("OPENSSH "), "PRIVATEKEY"],
  ["Visa", "4111111111111111", "CARD"],
  ["Visa with spaces", "4111 1111 1111 1111", "CARD"],
  ["Visa with dashes", "4111-1111-1111-1111", "CARD"],
  ["Visa of 13 digits", "4222222222222", "CARD"],
  ["Mastercard", "5555555555554444", "CARD"],
  ["Mastercard of the second range", "2223003122003222", "CARD"],
  ["American Express", "3782 822463 10005", "CARD"],
  ["Diners Club", "3056 930902 5904", "CARD"],
  ["Discover", "6011000990139424", "CARD"],
  ["JCB", "3530111333300000", "CARD"],
  ["UnionPay", "6200000000000005", "CARD"],
  ["an address", "ada@example.com", "EMAIL"],
  ["one with signs", "ada.love-lace+photos@mail.example.co.uk", "EMAIL"],
  ["one of other letters", "søren@københavn.dk", "EMAIL"]
]

/** What is before the secret, the secret, what is after it, and the label. */
const inside: ReadonlyArray<readonly [before: string, secret: string, after: string, label: string]> = [
  ["Bearer ", hex, "", "TOKEN"],
  ["authorization: bearer ", "abc.def-123", "\nhost: x", "TOKEN"],
  ["curl -H 'Authorization: Bearer ", "abc123def456", "' https://example.com", "TOKEN"],
  ["Basic ", btoa("ada:lovelace"), " and so on", "PASSWORD"],
  ["Authorization: Digest ", 'username="ada", response="0a4f"', "\nhost: x", "AUTHORIZATION"],
  ["Cookie: ", 'session=abc; theme="dark"', "\nhost: x", "COOKIE"],
  ["https://", "ada:lovelace", "@example.com/photos", "CREDENTIALS"],
  ["postgres://", "ada:love/lace", "@db:5432/photos", "CREDENTIALS"],
  ["redis://", ":hunter2", "@cache:6379", "CREDENTIALS"],
  ["https://", chance, "@github.com/org/repo.git", "CREDENTIALS"],
  [join("https://hooks.", "slack.com/services/"), "T012345/B012345/" + chance.slice(0, 24), "", "APIKEY"],
  ["https://discord.com/api/webhooks/", "123456789012345678/" + chance, "", "APIKEY"],
  ["https://example.com/?token=", "abcdef", "&page=2", "TOKEN"],
  ["https://example.com/?page=2&api_key=", "abcdef", "#top", "APIKEY"],
  ["https://example.com/?key=", "abcdef", "", "PARAMETER"],
  ["/callback?code=", "4/0AbcDef", "&state=photos", "PARAMETER"],
  ["https://b.blob.core.windows.net/c?sv=2024-08-04&sig=", "a%2Fb%3D", "&se=2026", "PARAMETER"],
  ["https://s3.amazonaws.com/b/k?X-Amz-Signature=", hex, "&X-Amz-Expires=60", "PARAMETER"],
  ["https://storage.googleapis.com/b?X-Goog-Signature=", hex, "", "PARAMETER"],
  ["grant_type=x&client_secret=", "abc", "&scope=all", "SECRET"],
  ["#access_token=", "abcdef", "&expires_in=3600", "TOKEN"],
  ["?next=https%3A%2F%2Fexample.com%3Ftoken%3D", "abcdef", "%26page%3D2", "TOKEN"],
  ["?email=", "ada%40example.com", "&page=2", "EMAIL"],
  ['{"password":"', "correct horse", '","max_tokens":100}', "PASSWORD"],
  ['{"accessToken" : "', "abc", '"}', "TOKEN"],
  ['{"pin":1,"password":', "123456", "}", "PASSWORD"],
  ['{"arguments":"{\\"api_key\\":\\"', 'a\\\\\\"b', '\\",\\"page\\":2}"}', "APIKEY"],
  ['{"headers":{"authorization":["Bearer ', "abc", '"]}}', "AUTHORIZATION"],
  ['{"token":"', "cut off he", "", "TOKEN"],
  ["Server=db;Database=photos;User Id=ada;Password=", "letmein", ";Encrypt=true", "PASSWORD"],
  ["host=db user=ada password=", "letmein", " dbname=photos", "PASSWORD"],
  ["AccountName=x;AccountKey=", "abcdABCD1234==", ";EndpointSuffix=core.windows.net", "KEY"],
  ["AWS_SECRET_ACCESS_KEY=", "wJalrXUtnFEMI/K7MDENG", " aws s3 ls", "KEY"],
  ["deploy --token ", "abcdef123", " --verbose", "TOKEN"],
  ["deploy --db-password=", "letmein", "", "PASSWORD"],
  ["login failed, password: ", "hunter2", ", user: ada", "PASSWORD"],
  ["user: ada\npassword: ", "letmein", "\nhost: x", "PASSWORD"],
  ['password := "', "x y", '"', "PASSWORD"],
  ["'secret' => '", "x y", "'", "SECRET"],
  ['headers["x-api-key"] = "', "x y", '"', "APIKEY"],
  ['{"line":"one\\n', "sk-" + "a1".repeat(20), '"}', "APIKEY"],
  ['{"line":"one\\n', "ada@example.com", '"}', "EMAIL"],
  ['{"line":"one\\npassword: ', "hunter2", '\\ntwo"}', "PASSWORD"]
]

describe("text", () => {
  it.each(alone)("text() finds %s", (_, secret, label) => {
    assert.strictEqual(redact(secret), `[${label}_1]`)
    assert.strictEqual(redact(`before ${secret} after`), `before [${label}_1] after`)
    assert.strictEqual(redact(`{"a":["${secret}"]}`), `{"a":["[${label}_1]"]}`)
  })

  it.each(inside)("text() finds what is after %s", (before, secret, after, label) => {
    assert.strictEqual(redact(before + secret + after), `${before}[${label}_1]${after}`)
  })

  it.each([
    ["a trace id", trace],
    ["a span id", "b7ad6b7169203331"],
    ["a span id of digits", "1234567890123456"],
    ["a traceparent", `00-${trace}-b7ad6b7169203331-01`],
    ["a UUID", "123e4567-e89b-12d3-a456-426614174000"],
    ["a UUID of digits", "41111111-1111-4111-8111-411111111111"],
    ["a time in nanoseconds", "1700000000000000000"],
    ["a time in milliseconds", "1700000000000 to 1700000000128"],
    ["a date", "2026-11-05T10:20:30.123456789Z, 2026-11-05 10:20:30 +0100"],
    ["a hash", `sha256:${hex} d41d8cd98f00b204e9800998ecf8427e`],
    ["a hash in base64", "sha512-q7Tq3kZVnTNKvL9p0XkqP1xH8uZ2mYw4bR6cJ5dFhG1sAeWt=="],
    ["an order number that fails the check digit", "order 4111111111111112, 5555-5555-5555-4445"],
    ["a number of no issuer", "9999999999999995 0000000000000000"],
    ["fractions", "0.4111111111111111 and 4111111111111111.5"],
    ["digits in a word", "a4111111111111111f"],
    ["phone numbers", "+49 30 1234567, (555) 123-4567"],
    ["versions", "4.1.0-beta.3 v22.12.0 effect@4.1.0 vitest@5.0.0-rc.1 logo@2x.png @effect/vitest"],
    ["remotes", "git@github.com:effect-ts/effect.git ssh://git@github.com/effect-ts/effect.git"],
    ["addresses", "https://example.com:8080/a@b/c?page=2&max_tokens=100&sort_key=name#top http://[::1]:4318/v1/traces"],
    ["statuses", "https://example.com/?code=404&key=on"],
    ["token counts", "input_tokens=12 output_tokens: 34 token.count=5 max_tokens: 100 token=42"],
    [
      "usage in JSON",
      '{"max_tokens":100,"token_count":5,"tokens":["a"],"next_token":"abc","eos_token":"</s>","token":5}'
    ],
    ["models", "gpt-4o-2024-08-06 claude-sonnet-4-5-20250929 gemini-2.5-pro llama3.1:70b text-embedding-3-small"],
    [
      "names with dashes",
      "task-management-of-long-names sk-estimator-doc-link-label-arrow hf_transfer_enabled_by_default"
    ],
    [
      "prose",
      "The bearer of this token has basic knowledge: the secret is that the password is required. Basic authentication"
    ],
    ["types", "{ password: string, token: string | undefined, apiKey: Redacted<string>, secret: Uint8Array }"],
    ["functions", "const isCookie = (cookie: Cookie): boolean => cookie.name === name"],
    ["code", "const token = await getToken(); login({ password: input.password, apiKey: process.env.API_KEY, token })"],
    ["comparisons", "if (token === other || password == null) return Token::new(token)"],
    ["Python", 'client = Client(api_key=os.environ["OPENAI_API_KEY"], token=self.token, password=password)'],
    [
      "shell",
      'curl -H "Authorization: Bearer ${TOKEN}" -u "$USER:$PASSWORD" --token "$TOKEN" https://${USER}:${PASS}@example.com'
    ],
    ["manuals", "set OPENAI_API_KEY=YOUR_API_KEY or password=<password>, token={token}, secret: ***"],
    ["messages", "Unexpected token: } at 12; password: must have 8 characters; secret: unknown"],
    [
      "a stack",
      "Error: no\n    at run (file:///app/src/main.ts:12:34)\n    at node:internal/process/task_queues:105:5"
    ],
    [
      "JSON",
      '{"id":"chatcmpl-123","object":"chat.completion","created":1700000000,"credentials":"include","access-control-allow-credentials":"true"}'
    ],
    ["base64", btoa("The quick brown fox jumps over the lazy dog: {}")],
    ["what was redacted by others", 'password: <redacted>, {"token":"<redacted>"}, api_key=***']
  ])("text() leaves %s as it is", (_, text) => {
    assert.strictEqual(redact(text), text)
  })

  it("text() gives a secret the same placeholder all over a trace, and another secret another number", () => {
    const redactor = Redaction.make()
    assert.deepStrictEqual(
      [
        redactor.text(trace, "ada@example.com and bob@example.com"),
        redactor.text(trace, "bob@example.com pays with 4111 1111 1111 1111"),
        redactor.text(trace, "4111111111111111"),
        redactor.value(trace, "password", "hunter2"),
        redactor.text(trace, '{"secret":"hunter2","password":"hunter3"}'),
        redactor.text("another trace", "bob@example.com")
      ],
      [
        "[EMAIL_1] and [EMAIL_2]",
        "[EMAIL_2] pays with [CARD_1]",
        "[CARD_1]",
        "[PASSWORD_1]",
        '{"secret":"[PASSWORD_1]","password":"[PASSWORD_2]"}',
        "[EMAIL_1]"
      ]
    )
  })

  it("text() remembers so many traces and so many secrets of each", () => {
    const redactor = Redaction.make({ maxTraces: 2, maxSecrets: 2 })
    assert.strictEqual(
      redactor.text("1", "a@x.org b@x.org c@x.org d@x.org a@x.org"),
      "[EMAIL_1] [EMAIL_2] [EMAIL] [EMAIL] [EMAIL_1]"
    )
    redactor.text("2", "a@x.org")
    redactor.text("1", "a@x.org")
    redactor.text("3", "a@x.org")
    assert.deepStrictEqual(
      ["1", "2"].map((id) => redactor.text(id, "b@x.org")),
      ["[EMAIL_2]", "[EMAIL_1]"]
    )
  })

  it("text() replaces what several rules found as one, and counts it once", () => {
    const redactor = Redaction.make()
    assert.strictEqual(redactor.text(trace, "?token=(ada@example.com)&x"), "?token=[TOKEN_1]&x")
    assert.strictEqual(redactor.text(trace, `password: ada@example.com`), "password: [EMAIL_1]")
    assert.deepStrictEqual(
      Object.entries(redactor.counts).filter(([, count]) => count > 0),
      [
        ["email", 1],
        ["named", 1]
      ]
    )
  })

  it("text() takes a private key without an end for all that follows", () => {
    assert.strictEqual(redact(`a ${pem("").slice(0, 60)} and`), "a [PRIVATEKEY_1]")
    assert.strictEqual(redact(`${pem("")} a ${pem("EC ")} b`), "[PRIVATEKEY_1] a [PRIVATEKEY_2] b")
  })

  it("text() leaves out the default rules that it is told to", () => {
    const text = "ada@example.com, password: hunter2"
    assert.strictEqual(redact(text, { without: ["email"] }), "ada@example.com, password: [PASSWORD_1]")
    assert.strictEqual(redact(text, { without: ["named"] }), "[EMAIL_1], password: hunter2")
  })
})

describe("value", () => {
  const value = (key: string, value: string | number | boolean | ReadonlyArray<string>) =>
    Redaction.make({ names: ["customer id"] }).value(trace, key, value)

  it.each([
    ["http.request.header.authorization", "AUTHORIZATION"],
    ["http.response.header.set-cookie", "COOKIE"],
    ["http.request.header.x-api-key", "APIKEY"],
    ["db.password", "PASSWORD"],
    ["clientSecret", "SECRET"],
    ["CLIENT_SECRET", "SECRET"],
    ["apiKey", "APIKEY"],
    ["apikey", "APIKEY"],
    ["awsSecretAccessKey", "KEY"],
    ["private_key", "KEY"],
    ["session.token", "TOKEN"],
    ["idToken", "TOKEN"],
    ["cookie.0", "COOKIE"],
    ["token.value", "TOKEN"],
    ["user.credentials", "CREDENTIALS"],
    ["smtp_pass", "PASSWORD"],
    ["app.customerId", "CUSTOMER_ID"]
  ])("value() replaces all of %s", (key, label) => {
    assert.strictEqual(value(key, "any words"), `[${label}_1]`)
    assert.deepStrictEqual(value(key, ["any words", "others", "any words"]), [
      `[${label}_1]`,
      `[${label}_2]`,
      `[${label}_1]`
    ])
    assert.strictEqual(value(key, true), true)
    assert.strictEqual(value(key, ""), "")
    assert.strictEqual(value(key, `[${label}_1]`), `[${label}_1]`)
    assert.strictEqual(value(key, "<redacted>"), "<redacted>")
  })

  it.each([
    "gen_ai.usage.input_tokens",
    "max_tokens",
    "token.count",
    "token_type",
    "next_token",
    "tokenizer",
    "secretary",
    "cookie.consent",
    "password.length",
    "messaging.kafka.message.key",
    "cache.key",
    "public_key",
    "monkey",
    "test.pass",
    "authorization.type",
    "customer",
    "id"
  ])("value() leaves %s as it is", (key) => {
    const list = ["any words", "others"]
    assert.strictEqual(value(key, "any words"), "any words")
    assert.strictEqual(value(key, 5), 5)
    assert.strictEqual(value(key, list), list)
  })

  it("value() finds secrets in texts and lists under any key", () => {
    assert.strictEqual(value("user", "ada@example.com"), "[EMAIL_1]")
    assert.deepStrictEqual(value("users", ["ada@example.com", "eve", "ada@example.com"]), [
      "[EMAIL_1]",
      "eve",
      "[EMAIL_1]"
    ])
    assert.strictEqual(value("url.query", "code=abcdef&page=2"), "code=[PARAMETER_1]&page=2")
    assert.strictEqual(value("url.query", "page=2"), "page=2")
  })

  it("value() finds numbers that are cards or passwords, and no others", () => {
    const redactor = Redaction.make()
    const card = 4111111111111111
    assert.strictEqual(redactor.value(trace, "payment", card), "[CARD_1]")
    assert.strictEqual(redactor.value(trace, "payment", BigInt(card)), "[CARD_1]")
    assert.deepStrictEqual(redactor.value(trace, "payments", [card, 1]), ["[CARD_1]", "1"])
    assert.strictEqual(redactor.value(trace, "otp", 123456), "[PASSWORD_1]")
    assert.strictEqual(redactor.value(trace, "token", 5), 5)
    for (const plain of [card + 1, 1_700_000_000_000_000_000n, 1.5, -card, Number.NaN, Infinity]) {
      assert.deepStrictEqual(redactor.value(trace, "payment", plain), plain)
    }
  })

  it("value() knows a credential with and without its scheme", () => {
    const redactor = Redaction.make()
    assert.strictEqual(redactor.value(trace, "authorization", `Bearer ${hex}`), "[AUTHORIZATION_1]")
    assert.strictEqual(redactor.text(trace, `sent Bearer ${hex}`), "sent Bearer [AUTHORIZATION_1]")
  })
})

describe("rules of one's own", () => {
  it("make() takes patterns, with and without a group", () => {
    const rules = [
      { name: "customer id", pattern: /\bC-\d{6}\b/y },
      { name: "room", pattern: /room (?<secret>\d+)/i }
    ]
    const redactor = Redaction.make({ rules })
    assert.strictEqual(
      redactor.text(trace, "C-204511 in Room 12, C-204512 in room 13, C-204511 again"),
      "[CUSTOMER_ID_1] in Room [ROOM_1], [CUSTOMER_ID_2] in room [ROOM_2], [CUSTOMER_ID_1] again"
    )
    assert.strictEqual(redactor.counts["customer id"], 3)
    assert.strictEqual(redactor.counts["room"], 2)
  })

  it("make() takes functions", () => {
    const find = (text: string) => (text.startsWith("private") ? [[0, text.length] as const] : [])
    assert.strictEqual(redact("private talk", { rules: [{ name: "talk", find }] }), "[TALK_1]")
    assert.strictEqual(redact("public talk", { rules: [{ name: "talk", find }] }), "public talk")
  })

  it.each([
    [
      "throws",
      () => {
        throw new Error("no")
      }
    ],
    ["gives nonsense", () => [[5, 2] as const]],
    ["gives what is outside", () => [[0, 1000] as const]],
    ["gives nothing at all", () => undefined as unknown as []]
  ])("a rule that %s replaces all of the text", (_, find) => {
    const redactor = Redaction.make({ rules: [{ name: 'my "rule"', find }] })
    const failed = '[REDACTED: rule "my _rule_" failed]'
    assert.strictEqual(redactor.text(trace, "ada@example.com"), failed)
    assert.deepStrictEqual(redactor.value(trace, "users", ["ada", "eve"]), [failed, failed])
    assert.strictEqual(redactor.failures["my _rule_"], 3)
  })

  it("a rule sees long texts in windows, and finds what lies across their edges", () => {
    const longest: Array<number> = []
    const rule = {
      name: "word",
      find: (text: string) => {
        longest.push(text.length)
        return Array.from(text.matchAll(/<\w+>/g), (match) => [match.index, match.index + match[0].length] as const)
      }
    }
    for (let before = 0; before < 40; before++) {
      const text = `${" ".repeat(before)}<secret>${" ".repeat(50)}`
      assert.strictEqual(redact(text, { rules: [rule], windowLength: 16 }), text.replace("<secret>", "[WORD_1]"))
    }
    assert.isAtMost(Math.max(...longest), 16)
  })

  it("a rule whose secret is longer than its window takes all that follows", () => {
    const rules = [{ name: "all", pattern: /<[^>]*>?/ }]
    assert.strictEqual(redact(`ab<${"x".repeat(40)}>cd`, { rules, windowLength: 16 }), "ab[ALL_1]")
    assert.strictEqual(redact(`ab<${"x".repeat(12)}>cd`, { rules, windowLength: 16 }), "ab[ALL_1]cd")
  })
})

const pick = (signs: string, minLength: number, maxLength = minLength) =>
  fc.string({ unit: fc.constantFrom(...signs), minLength, maxLength })
const lower = "abcdefghijklmnopqrstuvwxyz"
const letters = lower + lower.toUpperCase()
const digits = "0123456789"
const withCheckDigit = (payload: string) => [...digits].map((digit) => payload + digit).find((card) => isLuhn(card))!
const isLuhn = (card: string) =>
  [...card]
    .toReversed()
    .reduce((sum, digit, i) => sum + [...String(Number(digit) * (1 + (i % 2)))].reduce((a, b) => a + Number(b), 0), 0) %
    10 ===
  0

/** What is before the secret and after it belongs to how it is found. */
const planted = fc.oneof(
  fc
    .tuple(
      fc.constantFrom("sk-", "sk-proj-", "sk-ant-api03-", "ghp_", "npm_", "hf_", "AIza", "glpat-", "xoxb-"),
      pick(letters + digits, 36, 60)
    )
    .map((parts) => ["", parts.join(""), ""] as const),
  pick("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16).map((rest) => ["", "AKIA" + rest, ""] as const),
  pick(letters + digits + "-_", 40, 200).map(
    (rest) => ["", `${json({ alg: "HS256" })}.${json({ sub: "1" })}.${rest}`, ""] as const
  ),
  pick(letters + digits, 40, 200).map((rest) => ["", pem("RSA ").replace(chance, rest), ""] as const),
  pick(digits, 14).map((rest) => ["", withCheckDigit("4" + rest), ""] as const),
  fc
    .tuple(pick(lower + digits + ".-+_", 1, 30), pick(lower, 1, 20))
    .map(([name, host]) => ["", `a${name}@${host}.com`, ""] as const),
  pick(letters + digits + ".-_~+/", 20, 60).map((rest) => ["Bearer ", `1${rest}`, ""] as const),
  pick(letters + digits + "!%*+", 6, 20).map((rest) => ["https://ada:", rest + "xyz", "@example.com"] as const),
  fc
    .tuple(
      fc.constantFrom("token", "key", "sig", "api_key", "password", "client_secret"),
      pick(letters + digits + "-._~%", 8, 30)
    )
    .map(([name, rest]) => [`?${name}=`, `${rest}xyz`, "&page=2"] as const),
  fc
    .tuple(
      fc.constantFrom("token", "apiKey", "password", "client-secret", "Authorization"),
      fc.string({ minLength: 8 })
    )
    .map(([name, rest]) => {
      const [before = "", after = ""] = JSON.stringify({ [name]: "|" }).split("|")
      return [before, JSON.stringify(`9${rest}`).slice(1, -1), after] as const
    }),
  fc
    .tuple(fc.constantFrom("PASSWORD=", "password: ", "--password "), pick(letters, 4, 20))
    .map(([name, rest]) => [name, `${rest}123`, " "] as const)
)
const edge = fc.constantFrom(" ", "\n", "\t", ", ", " (", "\r\n", '"', "'", "<", ">", "\\n")
const around = fc.oneof(
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.string({ maxLength: 60 }),
  fc.string({
    unit: fc.constantFrom(
      "token",
      "password",
      "=",
      ":",
      '"',
      "\\",
      "[",
      "]",
      "_1]",
      "EMAIL",
      "@",
      "a.b",
      "://",
      " ",
      "1234",
      "-",
      "%",
      "?",
      "&"
    ),
    maxLength: 20
  })
)

describe("properties", () => {
  it("no planted secret comes out, whatever is around it", () => {
    fc.assert(
      fc.property(around, edge, planted, edge, around, (before, edge1, [open, secret, close], edge2, after) => {
        const text = before + edge1 + open + secret + close + edge2 + after
        assert.notInclude(redact(text), secret)
      }),
      { numRuns: 1000 }
    )
  })

  it("texts of plain words come out as they are", () => {
    const words =
      "the agent takes a photo of token password secret key basic bearer code 12 3.5 v1.2.3 and plans".split(" ")
    const signs = fc.constantFrom(" ", ", ", ". ", " - ", "\n", " (", ") ", "; ")
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(...words), signs)), (parts) => {
        const text = parts.flat().join("")
        assert.strictEqual(redact(text), text)
      })
    )
  })

  it("what was redacted comes out as it is", () => {
    const redactor = Redaction.make()
    fc.assert(
      fc.property(around, edge, planted, edge, around, (before, edge1, [open, secret, close], edge2, after) => {
        const once = redactor.text(trace, before + edge1 + open + secret + close + edge2 + after)
        assert.strictEqual(redactor.text(trace, once), once)
      }),
      { numRuns: 1000 }
    )
  })

  it("the same secrets have the same placeholders, others have others", () => {
    const addresses = fc.array(
      pick(lower, 3, 4).map((name) => `${name}@example.com`),
      { minLength: 1, maxLength: 60 }
    )
    fc.assert(
      fc.property(addresses, (addresses) => {
        const redactor = Redaction.make()
        const placeholders = addresses.map((address) => redactor.text(trace, address))
        assert.strictEqual(new Set(placeholders).size, new Set(addresses).size)
        assert.deepStrictEqual(
          addresses.map((address) => redactor.text(trace, address)),
          placeholders
        )
      })
    )
  })

  it("value() never throws, whatever it is given", () => {
    const redactor = Redaction.make()
    const plain = fc.oneof(fc.string({ unit: "binary" }), fc.double(), fc.bigInt(), fc.boolean())
    fc.assert(
      fc.property(fc.string(), fc.oneof(plain, fc.array(plain)), (key, value) => {
        redactor.value(trace, key, value)
      })
    )
  })
})
