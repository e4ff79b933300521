// Whether the time that redaction takes goes by the length of a text or by its square, for texts that are made to be hard.
import { assert, describe, it } from "@effect/vitest"
import * as Redaction from "../../src/Redaction.ts"
import { apiKeys } from "../../src/RedactionKeys.ts"
import * as RedactionNames from "../../src/RedactionNames.ts"
import { shapeRules } from "../../src/RedactionShapes.ts"
import * as RedactionWords from "../../src/RedactionWords.ts"

const trace = "0af7651916cd43dd8448eb211c80319c"
const redactor = Redaction.make()

const timeOf = (text: string): number => {
  const start = performance.now()
  redactor.text(trace, text)
  return performance.now() - start
}
/**
 * For eight times the text it is eight times, or 64 times where time goes by the square. Others use the machine too, so one
 * good attempt is enough.
 */
const assertLinear = (before: string, unit: string, after: string, length: number): void => {
  const text = (length: number): string => before + unit.repeat(Math.ceil(length / unit.length)) + after
  const [short, long] = [text(length), text(8 * length)]
  let excess = Infinity
  for (let attempt = 0; attempt < 8 && excess > 0; attempt++)
    excess = Math.min(excess, timeOf(long) - 24 * timeOf(short) - 50)
  assert.isAtMost(excess, 0, JSON.stringify([before, unit, after]))
}

const names = ["token", "password", "DB_PASSWORD", "Password", "cookie", "authorization", "session_id", "pin", "pwd"]
/** What may stand after a name: every way that a value begins, and none of them ends. */
const openings = [
  "=",
  ":",
  ": ",
  " = ",
  ":=",
  "=>",
  "%3D",
  "[]=",
  '="',
  "='",
  "=`",
  '":"',
  '\\":\\"',
  '\\\\\\":\\\\\\"',
  '"',
  ">",
  '": {',
  '":{"a":',
  '":["',
  '":[',
  '":[[',
  '": \n "',
  ": |\n  ",
  ": |\\n  ",
  '", "',
  "=$(",
  "=${",
  "={{",
  "=<",
  "=[",
  "=(",
  "=a(",
  "=a1b2c3(",
  "=|",
  "=x,",
  "=a;b=",
  "=a.",
  "=a.b,",
  "=\\",
  '=a\\"',
  '=a"',
  "=[EMAIL_1]",
  "=a[EMAIL_1]",
  "=[EMAIL_1]a1b2c3",
  ": [EMAIL_1] ",
  "=-",
  "=1",
  "=1.",
  "=true ",
  "=bearer a=",
  ": digest a=",
  ": basic a= "
]

const units = [
  "a",
  "1",
  " ",
  "@",
  "a@",
  "a.",
  "@a.",
  "@a-",
  "é@",
  "字@字.",
  "＠",
  '"a b"@',
  '" @',
  "\n",
  "\t",
  "=",
  ":",
  "\\",
  '\\"',
  '"',
  "'",
  "`",
  "<<<",
  "<",
  ">",
  "<a>",
  "{",
  "}",
  "{{",
  "[{",
  "[",
  "$",
  "${",
  "$(",
  "%",
  "%40",
  "%3d",
  "; ",
  "? ",
  "eyJ",
  "eyJhbGciOi.",
  "eyJhbGciOi..",
  "sk-",
  "sk-a-",
  "sk-ant-",
  "sk-ant-a.",
  "sk_live_",
  "AKIA",
  "SG.a",
  "://",
  "://a:",
  "://a:/",
  "://a:1#",
  "x://a:1#",
  "://a@",
  "x://a:b/",
  "https://a:b@c ",
  "Bearer ",
  "bearer a1",
  "Basic ",
  "basic YTpi ",
  "curl ",
  " -u ",
  " -u a:",
  "curl -u ",
  "curl -u a:",
  "curl -u 'a:",
  "-----BEGIN ",
  "-----BEGIN PRIVATE KEY-----",
  "-----BEGIN PRIVATE KEY----------END ",
  "---- BEGIN ",
  "---- BEGIN SSH2 PRIVATE KEY ----",
  "PuTTY-User-Key-File-3: ",
  "Private-MAC: ",
  '"kty":',
  '{"kty":',
  '"kty":{',
  '"kty":"d":"a"',
  '"d":"a","kty":',
  '\\"kty\\":',
  '"kty\\\\\\\\',
  "4111 ",
  "4111-1111-1111-1111-",
  "41111111111111111",
  "1 ",
  "1.",
  "1_",
  "1234 123456 ",
  "4111\u00a0",
  "4111.1",
  "hooks.slack.com/services/",
  "/api/webhooks/",
  "xoxd-%",
  "123456789:AA",
  "abc8Q~",
  "MTkA.",
  "FlyV1 fm2_",
  "re_a_",
  "--",
  "--a",
  "-- ",
  "--token ",
  '"--token",',
  '"--token","',
  "<token>",
  "?token=",
  "?key=",
  "&code=",
  "#a=",
  "?token={",
  "[EMAIL_1]",
  "[A_1",
  '[REDACTED: rule "',
  '[REDACTED: rule "a" ',
  "expected token=",
  "password.password_",
  "authorization: basic a= ",
  '"password":{"password":',
  "password: |\n password",
  "a,b=",
  "=x ",
  "token=token:"
]

describe("time", () => {
  it.each(units.map((unit) => [unit] as const))("text() needs no square of time for a long text of %j", (unit) => {
    assertLinear("", unit, "", 50_000)
  })

  it.each(names.map((name) => [name] as const))("text() needs none for what may stand after %s", (name) => {
    for (const opening of openings)
      for (const before of ["", '"', "<", "?", ";"]) assertLinear("", before + name + opening, "", 10_000)
  })

  it("text() needs none for whatever makes a rule look at a text", () => {
    const named = RedactionNames.rule(RedactionWords.names([]), [])
    const hints = new Set([apiKeys, ...shapeRules, named].flatMap(({ hints }) => hints))
    for (const hint of hints) assertLinear("", hint, "", 10_000)
  })

  it("text() needs none for a value that was redacted before, at the end of many names", () => {
    for (const unit of ["token=", "PASSWORD=", "token: ", '"token":', "?token="])
      assertLinear("", unit, "[EMAIL_1]", 20_000)
  })

  it.each([
    ["token=", "a."],
    ["token=a", ",b"],
    ["token=", "[A_1]"],
    ["DB_PASSWORD=", "a;"],
    ["DB_PASSWORD=", "\\"],
    ["password = a", "="],
    ["password: |\n  ", "x\n  "],
    ["password: |\\n  ", "\\n  x"],
    ['{"password":[', "1"],
    ['{"password":{"a":', "\\"],
    ['cookie: a=b="', "x"],
    ["%3Ftoken%3D", "%"],
    ["Server=db;Password=", " a"],
    ['"otp":"', "1."],
    ["authorization: bearer ", "1."],
    ["bearer ", "a/"],
    ["basic ", "YTpi"],
    ["eyJ", "a"],
    ["eyJhbGciOi.", "a."],
    ["sk-ant-", "a-"],
    ["xoxd-aaaaaaaaaaaaaaaa", "%"],
    ["SG.aaaaaaaaaaaaaaaa.", "a"],
    ["ops_eyJ", "a"],
    ["hooks.slack.com/services/", "a/"],
    ["curl -u a:", "x"],
    ['"kty":', "\\"],
    ["ada@", "a."],
    ["", "1 "],
    ["", "1234 "],
    ["", "12"],
    ["", "\\"],
    ["", "＠"]
  ])("text() does not fail on a text of 10 MB of %j and many %j", (before, unit) => {
    const redactor = Redaction.make()
    redactor.text(trace, before + unit.repeat(10_000_000 / unit.length))
    assert.deepStrictEqual(
      Object.entries(redactor.failures).filter(([, count]) => count > 0),
      []
    )
  })
})
