import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import * as SqlText from "../src/SqlText.ts"

const text = (sql: string, system = "postgresql") => SqlText.read(sql, system).text

describe("SqlText.read", () => {
  it("replaces literals, and leaves names and placeholders", () => {
    const cases: ReadonlyArray<readonly [sql: string, told: string]> = [
      ["SELECT 'it''s', 'C:\\', x FROM t", "SELECT ?, ?, x FROM t"],
      [String.raw`SELECT E'it\'s', e'\\', x`, "SELECT ?, ?, x"],
      ["SELECT X'CAFE', b'01', N'é', DATE '2020-01-01'", "SELECT ?, ?, ?, DATE ?"],
      ["SELECT $$it's$$, $a$ $$ $b$ $a$, $1, a$b$c", "SELECT ?, ?, $1, a$b$c"],
      ["SELECT 1, -2.5e-10, .5, 0xFF, 1_000, t1.c2, a+3", "SELECT ?, -?, ?, ?, ?, t1.c2, a+?"],
      ['SELECT "it\'s 1", "a""b" FROM "T 2"', 'SELECT "it\'s 1", "a""b" FROM "T 2"'],
      ["SELECT 1 -- it's 1\n, 2 /* 'a /* b */ 'c */ , 3", "SELECT ? \n, ?   , ?"],
      [
        "SELECT ?, ?1, :name, @name, $name, x::text, data #>> '{a}'",
        "SELECT ?, ?1, :name, @name, $name, x::text, data #>> ?"
      ],
      ["SELECT 'never ends", "SELECT ?"],
      ["SELECT \"never ends 'x'", "SELECT ?"],
      ["SELECT $tag$ never ends $$", "SELECT ?"],
      ["", ""]
    ]
    for (const [sql, told] of cases) assert.strictEqual(text(sql), told)
  })

  it("reads MySQL's strings, names and comments, also where it does not know the system", () => {
    const sql = String.raw`SELECT 'it\'s', "say \"1\"", ${"`a 1`"} FROM t # it's 1` + "\n WHERE 5--'1' -- '2'"
    for (const system of ["mysql", "mariadb", "other_sql"]) {
      assert.strictEqual(text(sql, system), "SELECT ?, ?, `a 1` FROM t \n WHERE ?--?")
    }
  })

  it("finds the operation and the first table", () => {
    const cases: ReadonlyArray<readonly [sql: string, ...found: ReadonlyArray<string | undefined>]> = [
      ["select a from users u join orders o", "SELECT", "users"],
      ['SELECT extract(year from ts) FROM "Shop"."Users 1" WHERE x', "SELECT", "Shop.Users 1"],
      ["INSERT INTO shop.users (id) SELECT id FROM old", "INSERT", "shop.users"],
      ["update only users set a = 1", "UPDATE", "users"],
      ["DELETE FROM `users` WHERE a", "DELETE", "users"],
      ["CREATE TABLE IF NOT EXISTS users (id INTEGER)", "CREATE", "users"],
      ["WITH a AS (SELECT 1 FROM b) UPDATE users SET x", "UPDATE", "users"],
      ["/* who */ SELECT x FROM (SELECT 1 FROM inner_one) t", "SELECT", undefined],
      ["BEGIN; DELETE FROM users", "BEGIN", undefined],
      ["COMMIT", "COMMIT", undefined],
      ["'hunter2' FROM users", "FROM", undefined],
      ["", undefined, undefined]
    ]
    for (const [sql, ...found] of cases) {
      const { collection, operation } = SqlText.read(sql, "postgresql")
      assert.deepStrictEqual([operation, collection], found)
    }
  })

  const secret = fc.stringMatching(/^[a-z]{3} ?[a-z]{3}$/).map((word) => `zq${word}qz`)
  const anything = fc.array(fc.oneof(fc.string(), fc.constantFrom("'", '"', "\\", "$", "--", "/*", "*/", "\n", "#")))
  /** A literal around a secret among whatever may stand in one, as its dialect writes it. */
  const literal = (isMySql: boolean): fc.Arbitrary<string> =>
    fc.tuple(secret, anything, anything, fc.constantFrom("'", "E'", "$", '"')).map(([secret, before, after, quote]) => {
      const content = `${before.join("")}${secret}${after.join("")}`
      const mark = isMySql && quote !== '"' ? "'" : quote === '"' && !isMySql ? "'" : quote
      if (mark === "$") return `$t$${content.replaceAll("$", "")}$t$`
      const end = mark.at(-1)!
      const doubled = content.replaceAll(end, end + end)
      return `${mark}${isMySql || mark === "E'" ? doubled.replaceAll("\\", "\\\\") : doubled}${end}`
    })
  const filler = fc.constantFrom(
    "SELECT",
    "FROM users",
    ", ",
    " /* it's */ ",
    "\n-- it's\n",
    '"a name"',
    "(",
    ")",
    "= $1",
    "x1"
  )

  it("lets no literal through, whatever it is made of and stands among", () => {
    for (const system of ["postgresql", "sqlite", "mysql"]) {
      const isMySql = system === "mysql"
      const between = isMySql ? filler.filter((part) => !part.includes('"')) : filler
      const statement = fc
        .array(
          fc.tuple(
            between,
            fc.oneof(
              literal(isMySql),
              fc.nat().map(() => "90807060")
            )
          )
        )
        .map((parts) => parts.map(([before, value]) => `${before} ${value} `).join(""))
      fc.assert(
        fc.property(statement, (sql) => {
          const read = SqlText.read(sql, system)
          assert.notMatch(JSON.stringify(read), /zq|qz|90807060/)
        }),
        { numRuns: 500 }
      )
    }
  })

  it("takes any text, and tells 8,192 characters at most", () => {
    fc.assert(
      fc.property(anything, fc.constantFrom("postgresql", "mysql"), (parts, system) => {
        const { text } = SqlText.read(parts.join("").repeat(100), system)
        return text.length <= 8193
      })
    )
  })

  it("does not look twice at what is long", () => {
    const half = 500_000
    for (const part of ["'", "''", '"', "`", "\\'", "E'\\", "/*", "$a$", "--", "1", "a.", "(", "e1+", "$"]) {
      for (const system of ["postgresql", "mysql"]) {
        assert.isAtMost(text(`SELECT ${part.repeat(half)}`, system).length, 8193)
        assert.isAtMost(text(`SELECT '${part.repeat(half)}`, system).length, 8193)
      }
    }
  })
})
