import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import * as Redaction from "../src/Redaction.ts"
import { isTemplate } from "../src/RedactionText.ts"

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
  ["Doppler", "dp.pt." + chance.slice(0, 40)],
  ...["xoxc-", "xoxd-", "xoxe-", "xoxe.xoxp-1-"].map((prefix) => ["Slack", prefix + chance.slice(0, 40)] as const),
  ["NVIDIA", "nvapi-" + chance + "_-3"],
  ["Docker", join("dckr_", "pat_") + chance.slice(0, 27)],
  ["Docker of an organization", join("dckr_", "oat_") + chance.slice(0, 32)],
  ["Databricks", "dapi" + hex.slice(0, 32)],
  ["Databricks with a number", "dapi" + hex.slice(0, 32) + "-2"],
  ["Twilio", "SK" + hex.slice(0, 32)],
  ["Twilio account", "AC" + hex.slice(0, 32)],
  ["Atlassian", join("ATATT3", "xFfGF0") + chance + chance + "_-=ABCD1234"],
  ["Atlassian of an organization", join("ATCTT3", "xFfGN0") + chance + "=ABCD1234"],
  ["Bitbucket", "ATBB" + chance.slice(0, 32)],
  ["Square", "sq0atp-" + chance.slice(0, 22)],
  ["Square, a secret", "sq0csp-" + chance.slice(0, 43)],
  ["Square, newer", "EAAA" + chance.slice(0, 60)],
  ["Figma", "figd_" + chance.slice(0, 40)],
  ["RubyGems", "rubygems_" + hex.slice(0, 48)],
  ["PostHog", "phx_" + chance.slice(0, 43)],
  ["PostHog project", "phc_" + chance.slice(0, 43)],
  ["ElevenLabs", "sk_" + hex.slice(0, 48)],
  ["Firecrawl", "fc-" + hex.slice(0, 32)],
  ["Resend", "re_" + chance.slice(0, 8) + "_" + chance.slice(0, 24)],
  ...["s", "b", "r"].map((kind) => ["Vault", `hv${kind}.` + chance + "-_" + chance.slice(0, 30)] as const),
  ["age", join("AGE-SECRET-", "KEY-1") + "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L".repeat(2).slice(0, 58)],
  ["Apify", "apify_api_" + chance.slice(0, 36)],
  ["Pulumi", "pul-" + hex.slice(0, 40)],
  ["Netlify", "nfp_" + chance.slice(0, 36)],
  ["Sourcegraph", "sgp_" + hex.slice(0, 40)],
  ["Sourcegraph with an instance", "sgp_" + hex.slice(0, 16) + "_" + hex.slice(0, 40)],
  ["Dropbox", "sl." + chance.repeat(3).slice(0, 135)],
  ["Dropbox, newer", "sl.u." + chance.repeat(3).slice(0, 140)],
  ["Fly", "fo1_" + chance.slice(0, 43)],
  ["Fly, newer", join("FlyV1 ", "fm2_") + chance + chance + "+/=="],
  ["Together", "tgp_v1_" + chance.slice(0, 43)],
  ["Brevo", "xkeysib-" + hex + "-" + chance.slice(0, 16)],
  ["Mailgun", "key-" + hex.slice(0, 32)],
  ["Mailgun, public", "pubkey-" + hex.slice(0, 32)],
  ["Airtable", "pat" + chance.slice(0, 14) + "." + hex],
  ["Azure AD", "abC8Q~" + chance.slice(0, 33) + "."],
  ["Notion", "secret_" + chance.slice(0, 43)],
  ["Notion, newer", "ntn_12345678901" + chance.slice(0, 35)],
  ["Google, newer", "AQ.Ab8" + chance.slice(0, 47)],
  ["Buildkite", "bkua_" + hex.slice(0, 40)],
  ["CircleCI", "CCIPAT_" + chance.slice(0, 22) + "_" + hex.slice(0, 40)],
  ...["p", "i", "a", "r", "k"].map((kind) => ["Vercel", `vc${kind}_` + chance.slice(0, 56)] as const),
  ["Vercel Blob", "vercel_blob_rw_" + chance.slice(0, 16) + "_" + chance.slice(0, 30)],
  ["Neon", "napi_" + chance.toLowerCase()],
  ["Hugging Face organization", "api_org_" + chance.slice(0, 34)],
  ["Discord", join("MTk4NjIyNDgzNDcxOTI1MjQ4", ".", "Cl2FMQ", ".", "ZnCjm1XVW7vRze4b7Cq4se7kKWs")],
  ["1Password", join("ops_", "ey") + "J" + chance.repeat(5)],
  ["OpenAI and others, a UUID", join("sk-", "12345678-1234-4234-8234-123456789012")]
]

const alone: ReadonlyArray<readonly [kind: string, secret: string, label: string]> = [
  ...apiKeys.map(([kind, key]) => [kind, key, "APIKEY"] as const),
  ["a JSON Web Token", token, "JWT"],
  ["one that was cut off", token.slice(0, -chance.length - 1), "JWT"],
  ["an encrypted one", [json({ alg: "A" }), "a1", "b2", "c3", "d4"].join("."), "JWT"],
  ["a private key", pem(""), "PRIVATEKEY"],
  ["an RSA key", pem("RSA "), "PRIVATEKEY"],
  ["an OpenSSH key", pem("OPENSSH "), "PRIVATEKEY"],
  [
    "a key of SSH2",
    `---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nComment: x\nP2/56wAAA${chance}\n---- END SSH2 ENCRYPTED PRIVATE KEY ----`,
    "PRIVATEKEY"
  ],
  [
    "a key of PuTTY",
    `PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nPrivate-Lines: 1\n${chance}\nPrivate-MAC: ${hex}`,
    "PRIVATEKEY"
  ],
  ["Visa", "4111111111111111", "CARD"],
  ["Visa with spaces", "4111 1111 1111 1111", "CARD"],
  ["Visa with dashes", "4111-1111-1111-1111", "CARD"],
  ...["\u00a0", "\u202f", ".", "_", "/", "\u2013"].map(
    (sign) => [`Visa with ${JSON.stringify(sign)}`, ["4111", "1111", "1111", "1111"].join(sign), "CARD"] as const
  ),
  ["American Express with points", "3782.822463.10005", "CARD"],
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
  ["one of other letters", "søren@københavn.dk", "EMAIL"],
  ["one in Chinese", "用户@例子.公司", "EMAIL"],
  ["one in Hindi", "अजय@डाटा.भारत", "EMAIL"],
  ["one of an encoded domain", "ada@xn--mnchen-3ya.xn--p1ai", "EMAIL"],
  ["one with a wide sign", "ada＠example.com", "EMAIL"]
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
  ["https://example.com/?key=", "abcdef12", "", "PARAMETER"],
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
  ['{"line":"one\\npassword: ', "hunter2", '\\ntwo"}', "PASSWORD"],
  // In quotes all is taken.
  ['{"password":"', "TopSecret", '"}', "PASSWORD"],
  ['{"password":"', "SuperSecretPassword", '"}', "PASSWORD"],
  ['{"client_secret":"', "my-secret-token", '"}', "SECRET"],
  ['{"password":"', "$upersecret", '"}', "PASSWORD"],
  ['{"password":"', "hunter2[KEY_1]", '"}', "PASSWORD"],
  ['{"password":"', "${half open", '"}', "PASSWORD"],
  ["{'password': '", "it is (not) |code|; at {all}", "'}", "PASSWORD"],
  ['{\n  "password":\n    "', "x", '"\n}', "PASSWORD"],
  ['{"apiKey":', "1234567890", "}", "APIKEY"],
  ['{"token": ', "123456", ', "page": 2}', "TOKEN"],
  ['{"password":{"value":"', "hunter2", '"}}', "PASSWORD"],
  ['{"password": {"value": ', "123456", "}}", "PASSWORD"],
  ['{"secrets":[{"value":"', "abc", '"}]}', "SECRET"],
  ['{"a":"{\\"password\\":{\\"value\\":\\"', "hunter2", '\\"}}"}', "PASSWORD"],
  ["{ password: { value: '", "hunter2", "' } }", "PASSWORD"],
  ['{"password":{"type":"string","description":"of the user","default":"', "hunter2", '"}}', "PASSWORD"],
  ['deploy "--password", "', "hunter2xyz", '", "--verbose"', "PASSWORD"],
  ["<password>", "x9", "</password>", "PASSWORD"],
  ["<ns:Password>", "letmein", "</ns:Password>", "PASSWORD"],
  // After a name in capitals all is taken up to white space.
  ...[
    "super-secret",
    "hunter2(x9Kq",
    "p4ss{word}9",
    "|x9Kq77zz",
    "$upersecret",
    "abc,def12345",
    "hunter2&moreSecret",
    "hunter2;moreSecret",
    "hunter2xyz[KEY_1]",
    "password",
    "letmein()",
    'a"b',
    "a<b>c",
    "ab\\cd",
    "x"
  ].map((secret) => ["export DB_PASSWORD=", secret, "\nDB_USER=ada", "PASSWORD"] as const),
  ["API_SECRET=", "XK9_77PLM_QQ", " next", "SECRET"],
  ['{"env":["DB_PASSWORD=', "super-secret", '","X=1"]}', "PASSWORD"],
  ['{"env":"DB_PASSWORD=', "super-secret", '\\nX=1"}', "PASSWORD"],
  ["docker run -e 'DB_PASSWORD=", "a(b", "' image", "PASSWORD"],
  ["Server=db;Password=", "xK9(mm2pq", ";Encrypt=true", "PASSWORD"],
  ["Server=db;User Id=ada;Password=", "correct horse", ";Encrypt=true", "PASSWORD"],
  ["Server=db;Pwd=", "/x9", "", "PASSWORD"],
  ["login?password=", "hunter2", "&more=1", "PASSWORD"],
  ["password=", "p4ss{word}9", " next", "PASSWORD"],
  ["password=", "hunter2(x9Kq", " next", "PASSWORD"],
  ["password=", "|x9Kq77zz", "", "PASSWORD"],
  ["password=", "abc,def12345", ", user=ada", "PASSWORD"],
  ["host=db password=", "secret", " dbname=photos", "PASSWORD"],
  // Words alone on their lines.
  ["password: ", "secret", "\n", "PASSWORD"],
  ["password: ", "letmein", " # dev", "PASSWORD"],
  ["user: ada\npassword: ", "Sommer", "\nhost: x", "PASSWORD"],
  ["password: |\n  ", "correct horse", "\nuser: ada", "PASSWORD"],
  ["key:\n  password: >-\n    ", "correct\n    horse", "\n  user: ada", "PASSWORD"],
  ['{"yaml":"password: |\\n  ', "correct horse", '\\nuser: ada"}', "PASSWORD"],
  ["curl -u ada:", "hunter2", " https://example.com", "PASSWORD"],
  ["curl --user 'ada:", "hunter 2", "' https://example.com", "PASSWORD"],
  ['["curl","-u","ada:', "hunter2", '","https://example.com"]', "PASSWORD"],
  ["?token[]=", "abc123", "&page=2", "TOKEN"],
  ["?token%5B%5D=", "abc123", "&page=2", "TOKEN"],
  ["//registry.npmjs.org/:_auth=", "abc123==", "\n", "TOKEN"],
  ["//registry.npmjs.org/:_authToken=", "abc123", "\n", "TOKEN"],
  ["postgres://", "ada:$upersecret", "@db", "CREDENTIALS"],
  ["postgres://", "ada:1234#5678", "@db", "CREDENTIALS"],
  ["https://", "ada:hunter2[KEY_1]", "@host", "CREDENTIALS"],
  // Names.
  ["pass=", "hunter2", "", "PASSWORD"],
  ['{"pass":"', "letmein", '"}', "PASSWORD"],
  ['{"password1":"', "letmein", '"}', "PASSWORD"],
  ["password2=", "hunter2", "&x=1", "PASSWORD"],
  ["user[password_confirmation]=", "hunter2", "&x=1", "PASSWORD"],
  ["SECRET_KEY_BASE=", "abcdef", "", "KEY"],
  ["OPENAI_KEY=", "abcdef", "", "KEY"],
  ['{"stripeKey":"', "abcdef", '"}', "KEY"],
  ["Ocp-Apim-Subscription-Key: ", hex.slice(0, 32), "\n", "KEY"],
  ["x-functions-key: ", "a1B2c3D4e5==", "\n", "KEY"],
  ['{"session_id":"', "abcdef", '"}', "SESSION"],
  ["PHPSESSID=", "298zf09hf012fh2", "; theme=dark", "SESSION"],
  ["pin: ", "1234", ", next", "PASSWORD"],
  ['{"pin":', "123456", "}", "PASSWORD"],
  ["OTP=", "123456", "", "PASSWORD"],
  // D
  ["Authorization: Negotiate ", "YIIJvwYGKwYBBQUCoIIJszCC", "\nhost: x", "AUTHORIZATION"],
  ["Basic ", btoa(`ada:${"x".repeat(6000)}`), " and so on", "PASSWORD"],
  [
    '{"kty":"RSA","n":"abc","d":"',
    "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97I",
    '","e":"AQAB"}',
    "PRIVATEKEY"
  ],
  ['{"d":"', "abc", '","kty":"EC","x":"def"}', "PRIVATEKEY"],
  ['{"keys":[{"kty":"oct","k":"', "abc", '"},{"d":"day"}]}', "PRIVATEKEY"],
  ["%B", "4111111111111111", "^LOVELACE/ADA^2512", "CARD"],
  [";", "4111111111111111", "=2512101", "CARD"],
  ["paid ", "4111111111111111", ".00 and", "CARD"],
  ["to ", '"ada lovelace"@example.com', " and", "EMAIL"]
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
    ["what was redacted by others", 'password: <redacted>, {"token":"<redacted>"}, api_key=***'],
    ["folders", 'pwd=/home/ada/project PWD=/x OLDPWD=/y {"PWD":"/home/ada"}'],
    ["faults of parsers", "Unexpected token: identifier1, and unexpected token=IDENT42x"],
    ["what is no code of one time", "otp: 27, OTP=27.1.2, pin: 5, PIN=A0"],
    ["parameters", "/photos?key=en-US /photos?key=photos /photos?code=E1234 /photos?key=photo-12&code=NOT_FOUND"],
    [
      "names that begin as keys do",
      "npm_config_registry_mirror_URL2 npm_package_devDependencies_typescript1A hf_hub_download_with_retries_v2Beta"
    ],
    [
      "more of them",
      "xai-explainability-report-2024 pypi-internationalization-mirror-2 sk_task_management_list key-value"
    ],
    ["names of files", "IMG_20240101_4111111111111111.jpg IMG_4111111111111111.jpg 20240101_4111111111111111"],
    ["what tests say", 'pass: 12, fail: 3 # pass 120 {"pass":120,"fail":3}'],
    [
      "sessions of OpenTelemetry, and of agents",
      'session.id=abc12345 mcp.session.id: abc12345 {"session_id":"123e4567-e89b-12d3-a456-426614174000"}'
    ],
    ["schemas", '{"password":{"type":"string","description":"of the user","minLength":8},"token":{"$ref":"#/x"}}'],
    ["users of containers", "docker run -u 1000:1000 curl -u 1000:1000 curl -u $USER:$PASSWORD"],
    ["a member of the name d", '{"d":"day","x":"kty"} {"kty":"EC","x":"abc"} {"d":"day"}'],
    ["a header of HTML", "<label for=password>Password</label> <password> and <token></token>"],
    [
      "a dotted list",
      "10.0.0.1 10.0.0.2 10.0.0.3 4111.1111 1111/1111 4111-1111.1111-1111 [.4300.0020.0011.0002] /4111/1111/1111/1111"
    ],
    [
      "shell",
      'password=$password deploy --token $token PASSWORD=${PASSWORD} TOKEN=$(cat /run/token) "$TOKEN" "--token","--x"'
    ]
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

  // All that is hard for it is in test/ci/redaction-time.test.ts.
  it.each(["authorization: basic a= ", "token=", '"kty":', "1234 "])(
    "text() needs no square of time for a long text of %j",
    (unit) => {
      const redactor = Redaction.make()
      const timeOf = (length: number) => {
        const text = `${unit.repeat(length / unit.length)}[EMAIL_1]`
        const start = performance.now()
        redactor.text(trace, text)
        return performance.now() - start
      }
      let excess = Infinity
      for (let attempt = 0; attempt < 8 && excess > 0; attempt++)
        excess = Math.min(excess, timeOf(160_000) - 24 * timeOf(20_000) - 50)
      assert.isAtMost(excess, 0)
    }
  )

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
    ["app.customerId", "CUSTOMER_ID"],
    ["pass", "PASSWORD"],
    ["pin", "PASSWORD"],
    ["password1", "PASSWORD"],
    ["password_confirmation", "PASSWORD"],
    ["PGPASSWORD", "PASSWORD"],
    ["SECRET_KEY_BASE", "KEY"],
    ["OPENAI_KEY", "KEY"],
    ["stripeKey", "KEY"],
    ["http.request.header.ocp-apim-subscription-key", "KEY"],
    ["x-functions-key", "KEY"],
    ["session_id", "SESSION"],
    ["PHPSESSID", "SESSION"]
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
    "stream.token",
    "session.id",
    "compass",
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
    assert.strictEqual(value("url.query", "code=abcdef12&page=2"), "code=[PARAMETER_1]&page=2")
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

  it("value() leaves the path of a folder, and what is no code of one time", () => {
    assert.strictEqual(value("process.env.PWD", "/home/ada/project"), "/home/ada/project")
    assert.strictEqual(value("process.env.PWD", "C:\\photos"), "C:\\photos")
    assert.strictEqual(value("db.pwd", "letmein"), "[PASSWORD_1]")
    assert.strictEqual(value("otp", "27.1.2"), "27.1.2")
    assert.strictEqual(value("otp", 27), 27)
    assert.strictEqual(value("stream.token", "Hello"), "Hello")
  })

  it("value() finds long numbers under the name of any secret", () => {
    assert.strictEqual(value("apiKey", 1234567890), "[APIKEY_1]")
    assert.strictEqual(value("apiKey", 12345), 12345)
  })

  it("value() finds what is after a flag in a list", () => {
    assert.deepStrictEqual(value("process.command_args", ["deploy", "--password", "hunter2xyz", "--verbose", "a"]), [
      "deploy",
      "--password",
      "[PASSWORD_1]",
      "--verbose",
      "a"
    ])
    assert.deepStrictEqual(value("args", ["--token", "--verbose"]), ["--token", "--verbose"])
    assert.deepStrictEqual(value("args", ["curl", "-u", "ada:hunter2"]), ["curl", "-u", "ada:[PASSWORD_1]"])
  })

  it("value() finds a private key whose lines are a list", () => {
    const lines = ["a", ...pem("RSA ").split("\n"), "b"]
    assert.deepStrictEqual(value("lines", lines), ["a", "[PRIVATEKEY_1]", "[PRIVATEKEY_1]", "[PRIVATEKEY_1]", "b"])
    assert.deepStrictEqual(value("lines", lines.slice(0, 3)), ["a", "[PRIVATEKEY_1]", "[PRIVATEKEY_1]"])
    assert.deepStrictEqual(value("lines", [pem(""), "b"]), ["[PRIVATEKEY_1]", "b"])
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

  it("a rule sees numbers too", () => {
    const redactor = Redaction.make({ rules: [{ name: "customer", pattern: /\b\d{6}\b/ }] })
    assert.strictEqual(redactor.value(trace, "id", 204511), "[CUSTOMER_1]")
    assert.strictEqual(redactor.value(trace, "id", 204511n), "[CUSTOMER_1]")
    assert.strictEqual(redactor.value(trace, "id", "204511"), "[CUSTOMER_1]")
    assert.strictEqual(redactor.value(trace, "id", 2045), 2045)
    assert.deepStrictEqual(redactor.value(trace, "ids", [1, 204511, 204512]), ["1", "[CUSTOMER_1]", "[CUSTOMER_2]"])
    assert.strictEqual(redactor.value(trace, "isOpen", true), true)
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
const ascii = String.fromCharCode(...Array.from({ length: 94 }, (_, i) => i + 33))
/** Anything that can be typed, but for what only stands in for a secret, which is left as it is. */
const printable = (minLength: number) =>
  fc
    .oneof(
      fc.string({ unit: "grapheme-ascii", minLength, maxLength: 40 }),
      fc.string({ unit: "grapheme", minLength, maxLength: 40 })
    )
    .filter((text) => !isTemplate(text) && !/^(?:true|false|null|none|nil|undefined|include|omit)$/i.test(text))
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
      fc.constantFrom("sk-", "sk-proj-", "sk-ant-api03-", "ghp_", "hf_", "AIza", "glpat-", "xoxb-", "nvapi-"),
      pick(letters + digits, 36, 60)
    )
    .map((parts) => ["", parts.join(""), ""] as const),
  pick(letters + digits, 36).map((rest) => ["", "npm_" + rest, ""] as const),
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
      fc.constantFrom("token", "sig", "api_key", "password", "client_secret"),
      pick(letters + digits + "-._~%", 8, 30)
    )
    .map(([name, rest]) => [`?${name}=`, `${rest}xyz`, "&page=2"] as const),
  pick(letters + digits + "-._~%", 8, 30).map((rest) => ["?key=", `9x9${rest}xyz`, "&page=2"] as const),
  fc.tuple(fc.constantFrom("token", "apiKey", "password", "client-secret"), printable(8)).map(([name, secret]) => {
    const [before = "", after = ""] = JSON.stringify({ [name]: "|" }).split("|")
    return [before, JSON.stringify(secret).slice(1, -1), after] as const
  }),
  // Quotes and backslashes may end such a value, and so may what is the next one of a list.
  pick(ascii.replace(/["'`\\;<]/g, ""), 6, 30).map((rest) => ["DB_PASSWORD=", `x${rest}9`, "\n"] as const),
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
  it("a password in quotes is replaced whole, whatever it is of", () => {
    const name = fc.constantFrom("password", "db_password", "clientSecret", "apiKey", "access_token")
    fc.assert(
      fc.property(name, printable(1), fc.boolean(), (name, password, isNested) => {
        const value = { [name]: password, page: 2 }
        const text = isNested ? JSON.stringify({ arguments: JSON.stringify(value) }) : JSON.stringify(value, null, 2)
        const redacted: unknown = JSON.parse(redact(text))
        const inner: unknown = isNested ? JSON.parse((redacted as { arguments: string }).arguments) : redacted
        assert.match((inner as Record<string, string>)[name] ?? "", /^\[[A-Z]+_1\]$/)
        assert.deepStrictEqual(inner, { ...value, [name]: (inner as Record<string, string>)[name] })
      }),
      { numRuns: 1000 }
    )
  })

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
    // Where quotes and brackets do not match, a placeholder may close what stood open.
    const matching = around.map((text) => text.replace(/["'`[\]{}\\]/g, "[EMAIL_1]"))
    fc.assert(
      fc.property(matching, edge, planted, edge, matching, (before, edge1, [open, secret, close], edge2, after) => {
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
