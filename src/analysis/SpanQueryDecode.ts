/**
 * What a query over spans may ask, and how one is read, with everything wrong with it told at once. Answering it lives
 * in SpanQuery.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { SpanKind, SpanStatus } from "../SpanRecord.ts"

/**
 * What JSON can hold.
 *
 * @since 0.1.0
 */
export type Json = string | number | boolean | null | ReadonlyArray<Json> | { readonly [key: string]: Json }

/**
 * What a query asks of one event of a span. All that it asks must hold.
 *
 * @since 0.1.0
 */
export interface EventQuery {
  readonly name_equals?: string
  readonly name_contains?: string
  /** Matches from the start of the name on, as Python's `re.match` does, and need not reach its end. */
  readonly name_matches_regex?: string
  /** These attributes have these values; there may be others. Lists and objects also match their JSON text. */
  readonly has_attributes?: Readonly<Record<string, Exclude<Json, null>>>
  readonly has_attribute_keys?: ReadonlyArray<string>
}

/**
 * What a query asks of a span, of those around it and of its place in the trace. All that it asks must hold, so `{}`
 * asks nothing and every span answers it.
 *
 * @since 0.1.0
 */
export interface SpanQuery extends EventQuery {
  readonly has_status?: SpanStatus["code"]
  /** Seconds. */
  readonly min_duration?: number
  /** Seconds. */
  readonly max_duration?: number
  /** The span does not answer this. */
  readonly not_?: SpanQuery
  /** The span answers all of these. */
  readonly and_?: ReadonlyArray<SpanQuery>
  /** The span answers one of these, or several. Allows no other key beside it. */
  readonly or_?: ReadonlyArray<SpanQuery>
  readonly min_child_count?: number
  readonly max_child_count?: number
  readonly some_child_has?: SpanQuery
  /** Holds without children. */
  readonly all_children_have?: SpanQuery
  readonly no_child_has?: SpanQuery
  /**
   * Where the six keys about descendants and ancestors that hold a query look no further: a span that answers this is
   * still looked at, but nothing beyond it. Counts and depths take no notice.
   */
  readonly stop_recursing_when?: SpanQuery
  readonly min_descendant_count?: number
  readonly max_descendant_count?: number
  readonly some_descendant_has?: SpanQuery
  /** Holds without descendants. */
  readonly all_descendants_have?: SpanQuery
  readonly no_descendant_has?: SpanQuery
  /** How many spans are above at least; a root's depth is 0. */
  readonly min_depth?: number
  /** How many spans are above at most. */
  readonly max_depth?: number
  readonly some_ancestor_has?: SpanQuery
  /** Holds for a root. */
  readonly all_ancestors_have?: SpanQuery
  readonly no_ancestor_has?: SpanQuery
  /** What the span's work is to others. */
  readonly kind_equals?: SpanKind
  /** The same as `has_status`. */
  readonly status_equals?: SpanStatus["code"]
  /** The span failed, with this in its message. */
  readonly status_message_contains?: string
  readonly some_event_has?: EventQuery
  readonly no_event_has?: EventQuery
  readonly min_event_count?: number
  readonly max_event_count?: number
  /** A linked span of the same trace answers this. */
  readonly some_link_to?: SpanQuery
  /** No linked span of the same trace answers this. */
  readonly no_link_to?: SpanQuery
  /** Counts links to other traces too. */
  readonly min_link_count?: number
  /** Counts links to other traces too. */
  readonly max_link_count?: number
  /** Another span that answers this had ended when this one began, or ended right then. */
  readonly starts_after?: SpanQuery
  /** Another span that answers this began when this one ended, or later. */
  readonly ends_before?: SpanQuery
  /** Another span that answers this ran at the same time, for however short. */
  readonly overlaps?: SpanQuery
}

/**
 * Says all that keeps an input from being a query.
 *
 * @since 0.1.0
 */
export class SpanQueryError extends Schema.TaggedError<SpanQueryError>()("SpanQueryError", {
  problems: Schema.Array(
    Schema.Struct({
      /** The query around it, such as `and_[1].some_child_has`; `""` is the whole query. */
      at: Schema.String,
      /** Which of its keys; `""` where the input is no query at all. */
      key: Schema.String,
      /** What is wrong, and what is allowed. */
      problem: Schema.String
    })
  )
}) {
  override get message(): string {
    const lines = this.problems.map(({ at, key, problem }) =>
      key === "" ? problem : `${quote(key)}${at === "" ? "" : ` at ${quote(at)}`}: ${problem}`
    )
    return `Cannot read the query:${lines.length === 1 ? ` ${lines[0]}` : lines.map((line) => `\n- ${line}`).join("")}`
  }
}

/**
 * Reads a query that was JSON, for whoever takes one from a file or a request: gives it back with its type.
 *
 * **Details**: a key that is `undefined` counts as absent. Queries nest up to 64 levels.
 *
 * **Fails with** `SpanQueryError` for anything that is no query, such as an unknown key or an invalid regular expression.
 *
 * @example
 * ```ts
 * import { Result } from "effect"
 * import * as SpanQuery from "handspan/analysis/SpanQuery"
 *
 * const query = SpanQuery.decode({ some_child_has: { name_equls: "chat gpt-4o" } })
 * const message = Result.isFailure(query) ? query.failure.message : ""
 * if (!message.endsWith('"name_equls" at "some_child_has": unknown key, did you mean "name_equals"?')) {
 *   throw new Error("expected to be told the key")
 * }
 * ```
 *
 * @since 0.1.0
 */
export const decode = (input: unknown): Result.Result<SpanQuery, SpanQueryError> => {
  const problems = readSpanQuery(input, { at: "", key: "", level: 0 })
  return problems.length === 0 ? Result.succeed(input as SpanQuery) : Result.fail(new SpanQueryError({ problems }))
}

/**
 * Makes the regular expression of a query, which matches from the start of a text only.
 *
 * @since 0.1.0
 */
export const regexOf = (source: string): RegExp =>
  // Sticky: it stays at the start where `^` before an alternative would not. Unicode: no escape is silently a letter.
  new RegExp(source, "uy")

type Problem = SpanQueryError["problems"][number]

interface Place {
  readonly at: string
  readonly key: string
  /** How many queries, lists and objects are around it. */
  readonly level: number
}

type Reader = (value: unknown, place: Place) => ReadonlyArray<Problem>

// Real queries nest a few levels. The bound keeps a hostile document from overflowing the stack, here and in answering.
const maxLevel = 64

const refuse = ({ at, key }: Place, problem: string): ReadonlyArray<Problem> => [{ at, key, problem }]

const expected =
  (what: string, test: (value: unknown) => boolean): Reader =>
  (value, place) =>
    test(value) ? [] : refuse(place, `expected ${what}, got ${describe(value)}`)

const maxQuoted = 40
const quote = (value: string): string =>
  JSON.stringify(value.length > maxQuoted ? `${value.slice(0, maxQuoted)}…` : value)

const oneOf = (names: ReadonlyArray<string>): Reader =>
  expected(`${names.slice(0, -1).map(quote).join(", ")} or ${quote(names.at(-1)!)}`, (value) =>
    names.some((name) => name === value)
  )

const text: Reader = expected("a text", (value) => typeof value === "string")

const count: Reader = expected(
  "a whole number of at least 0",
  (value) => typeof value === "number" && Number.isSafeInteger(value) && value >= 0
)

const seconds: Reader = expected(
  "a number of seconds of at least 0",
  (value) => typeof value === "number" && Number.isFinite(value) && value >= 0
)

const statuses: ReadonlyArray<SpanStatus["code"]> = ["ok", "error", "unset"]

const kinds: ReadonlyArray<SpanKind> = ["internal", "server", "client", "producer", "consumer"]

const regex: Reader = (value, place) => {
  if (typeof value !== "string") return text(value, place)
  const made = Result.try({ try: () => regexOf(value), catch: String })
  // What engines say begins with the whole expression, which the reader has.
  return Result.isSuccess(made)
    ? []
    : refuse(place, `expected a regular expression, got ${describe(value)}: ${made.failure.replace(/^.*\/uy: /s, "")}`)
}

const entry = (place: Place, key: string): Place => ({ at: path(place), key, level: place.level + 1 })

const path = ({ at, key }: Place): string => (at === "" ? key : `${at}.${key}`)

const listOf =
  (item: Reader): Reader =>
  (value, place) =>
    Array.isArray(value)
      ? // Array.from, as a list with holes is no JSON and flatMap would pass over them.
        Array.from(value).flatMap((inner: unknown, index) =>
          item(inner, { ...place, key: `${place.key}[${index}]`, level: place.level + 1 })
        )
      : refuse(place, `expected a list, got ${describe(value)}`)

const json: Reader = (value, place) => {
  if (place.level > maxLevel) return refuse(place, `nests deeper than ${maxLevel} levels`)
  if (Array.isArray(value)) return listOf(json)(value, place)
  if (isObject(value)) return Object.entries(value).flatMap(([key, inner]) => json(inner, entry(place, key)))
  const isPlain = value === null || typeof value === "string" || typeof value === "boolean" || Number.isFinite(value)
  return isPlain ? [] : refuse(place, `expected what JSON can hold, got ${describe(value)}`)
}

// Null is JSON but no attribute's value, so to ask for it would never find anything.
const attributeValue: Reader = (value, place) =>
  value === null
    ? refuse(place, "expected a text, a number, true, false, a list or an object, got null")
    : json(value, place)

const attributes: Reader = (value, place) =>
  isObject(value)
    ? Object.entries(value).flatMap(([key, inner]) => attributeValue(inner, entry(place, key)))
    : refuse(place, `expected an object, got ${describe(value)}`)

const queryOf =
  (keys: () => Readonly<Record<string, Reader>>): Reader =>
  (value, place) => {
    if (place.level > maxLevel) return refuse(place, `nests deeper than ${maxLevel} levels`)
    if (!isObject(value)) return refuse(place, `expected an object, got ${describe(value)}`)
    const known = keys()
    return Object.entries(value).flatMap(([key, inner]) => {
      if (inner === undefined) return []
      const inside = entry(place, key)
      return Object.hasOwn(known, key) ? known[key]!(inner, inside) : refuse(inside, unknownKey(key, known))
    })
  }

const eventKeys: Readonly<Record<keyof EventQuery, Reader>> = {
  name_equals: text,
  name_contains: text,
  name_matches_regex: regex,
  has_attributes: attributes,
  has_attribute_keys: listOf(text)
}

const readEventQuery = queryOf(() => eventKeys)

const readSpanQuery: Reader = (value, place) => [...ofSpanKeys(value, place), ...loneOr(value, place)]

const ofSpanKeys = queryOf(() => spanKeys)

// As in pydantic: beside others, `or_` reads as if it widened them, and would narrow them.
const loneOr: Reader = (value, place) => {
  if (!isObject(value)) return []
  const given = Object.keys(value).filter((key) => Reflect.get(value, key) !== undefined)
  const others = given.filter((key) => key !== "or_")
  if (others.length === given.length || others.length === 0) return []
  return refuse(
    entry(place, "or_"),
    `allows no other key beside it, put it and ${others.map(quote).join(", ")} into "and_"`
  )
}

const spanKeys: Readonly<Record<keyof SpanQuery, Reader>> = {
  ...eventKeys,
  has_status: oneOf(statuses),
  min_duration: seconds,
  max_duration: seconds,
  not_: readSpanQuery,
  and_: listOf(readSpanQuery),
  or_: listOf(readSpanQuery),
  min_child_count: count,
  max_child_count: count,
  some_child_has: readSpanQuery,
  all_children_have: readSpanQuery,
  no_child_has: readSpanQuery,
  stop_recursing_when: readSpanQuery,
  min_descendant_count: count,
  max_descendant_count: count,
  some_descendant_has: readSpanQuery,
  all_descendants_have: readSpanQuery,
  no_descendant_has: readSpanQuery,
  min_depth: count,
  max_depth: count,
  some_ancestor_has: readSpanQuery,
  all_ancestors_have: readSpanQuery,
  no_ancestor_has: readSpanQuery,
  kind_equals: oneOf(kinds),
  status_equals: oneOf(statuses),
  status_message_contains: text,
  some_event_has: readEventQuery,
  no_event_has: readEventQuery,
  min_event_count: count,
  max_event_count: count,
  some_link_to: readSpanQuery,
  no_link_to: readSpanQuery,
  min_link_count: count,
  max_link_count: count,
  starts_after: readSpanQuery,
  ends_before: readSpanQuery,
  overlaps: readSpanQuery
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const describe = (value: unknown): string => {
  if (typeof value === "string") return quote(value)
  if (Array.isArray(value)) return "a list"
  if (typeof value === "object") return value === null ? "null" : "an object"
  return typeof value === "number" || typeof value === "boolean" ? `${value}` : `a value of type ${typeof value}`
}

const unknownKey = (key: string, known: Readonly<Record<string, unknown>>): string => {
  const names = Object.keys(known)
  const distances = key.length > maxQuoted ? [] : names.map((name) => distance(key.toLowerCase(), name))
  const least = Math.min(...distances)
  // A third of the letters wrong is still the same word; more is a guess.
  return least <= Math.max(1, key.length / 3)
    ? `unknown key, did you mean ${quote(names[distances.indexOf(least)]!)}?`
    : `unknown key, use ${names.slice(0, -1).join(", ")} or ${names.at(-1)}`
}

/** How many letters to add, drop or replace to get from one word to the other (Levenshtein). */
const distance = (from: string, to: string): number => {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let index = 0; index < from.length; index++) {
    const next = [index + 1]
    for (let column = 0; column < to.length; column++) {
      const same = from[index] === to[column] ? 0 : 1
      next.push(Math.min(row[column]! + same, row[column + 1]! + 1, next[column]! + 1))
    }
    row = next
  }
  return row.at(-1)!
}
