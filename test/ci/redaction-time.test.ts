// Whether the time that redaction takes goes by the length of a text or by its square, for texts that are made to be hard.
import { assert, describe, it } from "@effect/vitest"
import * as Redaction from "../../src/Redaction.ts"

describe("time", () => {
  it.each(
    [
      "a",
      "1",
      " ",
      "@",
      "a@",
      "a.",
      "@a.",
      "@a-",
      "eyJ",
      "eyJhbGciOi.",
      "eyJhbGciOi..",
      "sk-",
      "sk-a-",
      "sk_live_",
      "AKIA",
      "SG.a",
      "://",
      "://a:",
      "://a:/",
      "://a@",
      "x://a:b/",
      "Bearer ",
      "bearer a1",
      "Basic ",
      "basic YTpi ",
      "-----BEGIN ",
      "-----BEGIN PRIVATE KEY-----",
      "-----BEGIN PRIVATE KEY----------END ",
      "4111 ",
      "4111-1111-1111-1111-",
      "41111111111111111",
      "1 ",
      "=",
      ":",
      "token=",
      "token:",
      "token: ",
      "token = ",
      'token="',
      "token='",
      'token="$',
      '"token":"',
      '\\"token\\":\\"',
      '"token":[',
      '"token":["a",',
      "token=(",
      "token=a(",
      "token=a.",
      "token=a",
      "password:x:",
      "password:a=",
      "password: a",
      "?token=",
      "?token={",
      "?key=",
      "%3Ftoken%3D",
      "token%3D",
      "cookie:",
      "cookie: a=",
      'cookie:="',
      "authorization: digest ",
      "authorization: digest a=",
      "authorization: bearer ",
      "--token ",
      "-- ",
      "--a",
      "[EMAIL_1]",
      "[",
      "\\",
      '\\"',
      "hooks.slack.com/services/",
      "/api/webhooks/",
      "password.password_"
    ].map((unit) => [unit] as const)
  )("text() needs no square of time for a long text of %j", (unit) => {
    const redactor = Redaction.make()
    const time = (length: number): number => {
      const text = unit.repeat(Math.ceil(length / unit.length))
      const start = performance.now()
      redactor.text("0af7651916cd43dd8448eb211c80319c", text)
      return performance.now() - start
    }
    time(10_000)
    // For sixteen times the text it is sixteen times, or 256 times where time goes by the square; others use the machine too.
    let ratio = Infinity
    for (let attempt = 0; attempt < 8 && ratio > 64; attempt++) {
      ratio = Math.min(ratio, time(1_000_000) / Math.max(time(62_500), 0.2))
    }
    assert.isAtMost(ratio, 64)
  })
})
