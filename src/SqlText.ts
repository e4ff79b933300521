/**
 * What may be told of a SQL statement: its text without values, its operation and its table. It is read word by word and not
 * parsed: no dialect is known in full, and a statement that makes no sense is not to make trouble.
 *
 * @since 0.1.0
 */
import { cut } from "./Excerpt.ts"

/**
 * What may be told of a statement.
 *
 * @since 0.1.0
 */
export interface SqlText {
  /** The statement with `?` in the place of literals, and without comments; 8,192 characters at most. */
  readonly text: string
  /** What it does, in capitals: its first word, or the first after those of a `WITH`. Of many statements, the first's. */
  readonly operation: string | undefined
  /** The first table that it is about, as it is written, but without quotes. */
  readonly collection: string | undefined
}

const maxLength = 8192
const maxNameLength = 255

/** Names of systems whose strings know no backslash, and whose double quotes are for names. In MySQL it is otherwise. */
const standard = new Set(["postgresql", "sqlite", "microsoft.sql_server"])

/**
 * Whatever is not to be passed over: strings with the letter before them, words, placeholders with a number, numbers, dollar
 * quotes, comments and names in quotes. At each place the first that fits counts, so a word is a word as a whole.
 */
const tokens =
  /[ebnx]?'|[a-z_\u0080-\uffff][\w$\u0080-\uffff]*|[$?]\d+|\.?\d[\w.]*(?:(?<=e)[+-]\d[\w.]*)?|\$(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$|--|\/\*|#|["`();]/gi

/**
 * Reads what may be told of a statement, in time that grows with its length alone.
 *
 * **Details**: `system` is the `db.system.name`, which tells how strings are written; where it is not known, a text in double
 * quotes counts as a string, too. In SQLite it counts as a name, and stays, also where SQLite would find no such column and take
 * it for a string (SQLite, Quirks §8). A literal that does not end goes to the end. Never fails.
 *
 * @since 0.1.0
 */
export const read = (sql: string, system: string): SqlText => {
  const isStandard = standard.has(system)
  const known = isStandard ? remembered.get(sql) : undefined
  if (known !== undefined) return known
  const told = readAnew(sql, isStandard)
  // Only what holds no literal is kept: that comes again, and holds no secret.
  if (isStandard && told.text === sql && sql.length <= maxRememberedLength) {
    if (remembered.size >= maxRemembered) remembered.clear()
    remembered.set(sql, told)
  }
  return told
}

const remembered = new Map<string, SqlText>()
const maxRemembered = 500
const maxRememberedLength = 2048

const readAnew = (sql: string, isStandard: boolean): SqlText => {
  const names = new Names()
  let text = ""
  let end = 0
  tokens.lastIndex = 0
  for (let found = tokens.exec(sql); found !== null && text.length <= maxLength; found = tokens.exec(sql)) {
    const token = found[0]
    const start = found.index
    text += sql.slice(end, start)
    end = start + token.length
    const last = token.at(-1)!
    if (last === "'" || (last === '"' && !isStandard)) {
      end = endOfQuote(sql, end, last, !isStandard || /^e/i.test(token))
      text += "?"
    } else if (last === '"' || last === "`") {
      const closed = endOfQuote(sql, end, last, false)
      const isWhole = sql[closed - 1] === last && closed > end
      text += isWhole ? sql.slice(start, closed) : "?"
      if (isWhole) names.add(sql.slice(end, closed - 1), true, sql[start - 1] === ".")
      end = closed
    } else if (last === "$") {
      end = endAfter(sql, token, end)
      text += "?"
    } else if (token === "/*") {
      end = endOfComment(sql, end)
      text += " "
    } else if (token === "--" || token === "#") {
      const isComment = isStandard ? token === "--" : token === "#" || !/\S/.test(sql[end] ?? " ")
      if (isComment) end = endAfter(sql, "\n", end)
      text += isComment ? "\n" : token
    } else if (/^\.?\d/.test(token)) {
      text += "?"
    } else {
      if (/^[();]$/.test(token)) names.punctuate(token)
      else if (!/^[$?]/.test(token)) names.add(token, false, sql[start - 1] === ".")
      text += token
    }
    tokens.lastIndex = end
  }
  if (text.length <= maxLength) text += sql.slice(end, end + maxLength)
  return { text: cut(text.trim(), maxLength), operation: names.operation, collection: names.collection }
}

/** Words that an operation after `WITH` begins with. */
const operations = new Set(["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "VALUES"])
/** Operations whose table follows at once. */
const direct = new Set(["UPDATE", "TRUNCATE", "COPY"])
/** Words that a table follows. */
const introducing = new Set(["FROM", "INTO", "TABLE"])
/** Words that may stand between the two. */
const between = new Set(["ONLY", "TABLE", "IF", "NOT", "EXISTS", "OR", "IGNORE", "REPLACE"])

/** Finds the operation and its first table among the words that are in no parentheses. */
class Names {
  operation: string | undefined
  collection: string | undefined
  private depth = 0
  private hasWith = false
  private isExpected = false
  private isOver = false

  add(word: string, isQuoted: boolean, isAfterDot: boolean): void {
    if (this.isOver || this.depth > 0) return
    if (this.collection !== undefined) {
      if (isAfterDot) this.collection = cut(`${this.collection}.${word}`, maxNameLength)
      else this.isOver = true
      return
    }
    const upper = isQuoted ? "" : word.toUpperCase()
    if (this.operation === undefined) {
      if (upper === "WITH") this.hasWith = true
      else if (this.hasWith ? operations.has(upper) : /^[A-Z]{1,32}$/.test(upper)) {
        this.operation = upper
        this.isExpected = direct.has(upper)
      }
    } else if (!this.isExpected) {
      this.isExpected = introducing.has(upper)
    } else if (!between.has(upper)) {
      this.collection = cut(word, maxNameLength)
    }
  }

  punctuate(token: string): void {
    this.isExpected = false
    if (token === ";") this.isOver ||= this.operation !== undefined
    else if (token === ")") this.depth = Math.max(0, this.depth - 1)
    else if (this.operation !== undefined || this.hasWith) this.depth++
  }
}

/** Where a quoted text ends, behind its closing quote; a quote that is doubled does not close it. */
const endOfQuote = (sql: string, from: number, quote: string, hasEscapes: boolean): number => {
  for (let at = sql.indexOf(quote, from); at >= 0; at = sql.indexOf(quote, at)) {
    let escapes = 0
    while (hasEscapes && at - escapes > from && sql[at - escapes - 1] === "\\") escapes++
    if (escapes % 2 === 1) at += 1
    else if (sql[at + 1] === quote) at += 2
    else return at + 1
  }
  return sql.length
}

/** PostgreSQL's comments nest; what takes the others' to do so as well leaves out too much rather than too little. */
const endOfComment = (sql: string, from: number): number => {
  const marks = /\/\*|\*\//g
  marks.lastIndex = from
  let depth = 1
  for (let found = marks.exec(sql); found !== null; found = marks.exec(sql)) {
    depth += found[0] === "/*" ? 1 : -1
    if (depth === 0) return marks.lastIndex
  }
  return sql.length
}

const endAfter = (sql: string, mark: string, from: number): number => {
  const at = sql.indexOf(mark, from)
  return at < 0 ? sql.length : at + mark.length
}
