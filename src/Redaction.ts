/**
 * Takes secrets out of what spans hold: keys, tokens, cards, passwords and e-mail addresses, by rules on texts and by the
 * names of attributes. What is a secret by default stands in `RedactionKeys`, `RedactionShapes` and `RedactionNames`; here it
 * is replaced.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { makePlaceholders, Recent } from "./RedactionMemory.ts"
import * as RedactionKeys from "./RedactionKeys.ts"
import * as RedactionNames from "./RedactionNames.ts"
import * as RedactionRules from "./RedactionRules.ts"
import * as RedactionShapes from "./RedactionShapes.ts"
import * as RedactionText from "./RedactionText.ts"
import * as RedactionWords from "./RedactionWords.ts"
import type { AttributeValue } from "./SpanRecord.ts"

/**
 * A rule of one's own: a pattern, or a function that gives where the secrets of a text begin and end.
 *
 * **Details**: of a pattern with a group named `secret` that group is replaced, else all that it matches. The placeholder
 * is called after the name: `customer id` gives `[CUSTOMER_ID_1]`. Both see long texts in windows (`windowLength`), and
 * numbers of attributes as texts.
 *
 * **Gotchas**: a pattern that backtracks exponentially may hang the program. Nothing can stop it: a window bounds what it
 * sees, and not how long it takes.
 *
 * @since 0.1.0
 */
export type Rule =
  | { readonly name: string; readonly pattern: RegExp }
  | {
      readonly name: string
      readonly find: (text: string) => Iterable<readonly [start: number, end: number]>
    }

/**
 * The default rules by name: prefixed keys of services, JSON Web Tokens, bearer and basic credentials, PEM private keys,
 * payment cards, e-mail addresses, user and password of URLs, and what has the name of a secret (`named`): values of
 * attributes, JSON, XML, queries, headers, settings, connection strings and command lines.
 *
 * **Gotchas**: a number in the range of a network that passes the check digit (Luhn) is taken for a card, whatever it is. An
 * id that is a number of 13 to 19 digits may be one: `card` can be left out. `session_id` is taken for a secret unless its
 * value is a UUID; `session.id`, the attribute of OpenTelemetry, is left as it is.
 *
 * @since 0.1.0
 */
export type DefaultRule = "apikey" | "jwt" | "token" | "privatekey" | "card" | "email" | "url" | "named"

/**
 * What a redactor does besides its defaults.
 *
 * @since 0.1.0
 */
export interface Options {
  /** Rules of one's own. Default: none. */
  readonly rules?: ReadonlyArray<Rule> | undefined
  /** Names of secrets besides `password`, `token` and so on, as the last words of a name. Default: none. */
  readonly names?: ReadonlyArray<string> | undefined
  /** Default rules to leave out. Default: none. */
  readonly without?: ReadonlyArray<DefaultRule> | undefined
  /** How many traces have placeholders of their own at a time; the one used longest ago is forgotten. Default: 1000. */
  readonly maxTraces?: number | undefined
  /** How many secrets of a trace have a number; those after share one placeholder without. Default: 100. */
  readonly maxSecrets?: number | undefined
  /**
   * How many characters of a text a rule of one's own sees at a time. Windows overlap by half, so a secret of up to half
   * a window is always seen whole; where one fills a window, all that follows is replaced too. Default: 8192.
   */
  readonly windowLength?: number | undefined
}

/**
 * Takes secrets out of texts and values.
 *
 * @since 0.1.0
 */
export interface Redactor {
  /** Gives a text without its secrets, the same text where it has none. `""` is the trace of what is in none. Never fails. */
  readonly text: (traceId: string, text: string) => string
  /** Gives the value of an attribute without its secrets, the same value where it has none. Never fails. */
  readonly value: (traceId: string, key: string, value: AttributeValue) => AttributeValue
  /** How many secrets each rule has replaced. It goes on counting. */
  readonly counts: Readonly<Record<string, number>>
  /** How many texts each rule has failed on; in their place stands that it failed. It goes on counting. */
  readonly failures: Readonly<Record<string, number>>
}

/**
 * What the Layers of `Tracing` take out of spans besides their defaults, before anything else sees them. Provide it to
 * one of them. The setting `redaction` turns all of it off.
 *
 * **Gotchas**: keys of attributes and the tracestate are not looked at, so no secret may stand there. With `layerAmbient`
 * spans are another SDK's, and nothing is taken out of them. Log lines lose secrets where they stand on spans, and not where
 * loggers write them.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Memory, Redaction, Tracing } from "handspan"
 *
 * const program = Effect.gen(function* () {
 *   yield* Effect.withSpan(Effect.void, "refund", { attributes: { note: "C-204511, ada@example.com" } })
 *   return yield* (yield* Memory.Spans).all
 * })
 * const redaction = Redaction.layer({ rules: [{ name: "customer", pattern: /\bC-\d{6}\b/ }] })
 * const tracing = Layer.provide(Tracing.layerInMemory, redaction)
 * const [span] = await Effect.runPromise(Effect.provide(program, tracing))
 * if (span?.attributes["note"] !== "[CUSTOMER_1], [EMAIL_1]") throw new Error("expected placeholders")
 * ```
 *
 * @since 0.1.0
 */
export class Redaction extends Context.Service<Redaction, Options>()("handspan/Redaction/Redaction") {}

/**
 * Takes these out too.
 *
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Redaction> => Layer.succeed(Redaction, options)

interface LiveRule {
  readonly name: string
  readonly label: string
  readonly find: (text: string, report: RedactionRules.Report) => void
}

interface Found {
  readonly start: number
  readonly end: number
  readonly label: string
  readonly rule: LiveRule
}

const named = "named"

/**
 * Makes a redactor.
 *
 * **Details**: a secret becomes a placeholder that says what it was, such as `[EMAIL_1]`. In one trace the same secret
 * always gets the same one, of whichever kind it was first, and another secret another number. What is remembered for
 * that is a keyed hash of 53 bits and never the secret: of 1000 traces, 100 secrets each, 10 MB at the very most. Where rules
 * overlap, all that they found is replaced as one. Values under the name of a secret are replaced whole, texts and each
 * item of lists; numbers where a password may be one or from six digits on; true and false never. A rule that throws replaces all of the
 * text by `[REDACTED: rule "name" failed]`. Never fails.
 *
 * **Gotchas**: give it texts before they are cut to a length, or a secret at the cut is not known for one. Numbers of
 * placeholders are those of one process: another one, or a trace that was forgotten, begins at 1 again. Secrets are found
 * by their shapes and names: one with neither, such as a password in a sentence, is not found.
 *
 * @example
 * ```ts
 * import { Redaction } from "handspan"
 *
 * const redactor = Redaction.make({ rules: [{ name: "customer", pattern: /\bC-\d{6}\b/ }] })
 * const traceId = "0af7651916cd43dd8448eb211c80319c"
 * const text = redactor.text(traceId, "C-204511 wrote to ada@example.com, and ada@example.com wrote back")
 * if (text !== "[CUSTOMER_1] wrote to [EMAIL_1], and [EMAIL_1] wrote back") throw new Error(text)
 *
 * const header = redactor.value(traceId, "http.request.header.authorization", ["Bearer " + "a1".repeat(20)])
 * if (String(header) !== "[AUTHORIZATION_1]") throw new Error(String(header))
 * ```
 *
 * @since 0.1.0
 */
export const make = (options: Options = {}): Redactor => {
  const {
    maxSecrets = 100,
    maxTraces = 1000,
    names: ownNames = [],
    rules = [],
    windowLength = 8192,
    without = []
  } = options
  const nameOf = RedactionWords.names(ownNames)
  const isOff = (name: string): boolean => without.some((one) => one === name)
  const own = rules.map((rule) => ownRule(rule, Math.max(2, windowLength)))
  const standard = [RedactionKeys.apiKeys, ...RedactionShapes.shapeRules, RedactionNames.rule(nameOf, ownNames)].filter(
    ({ name }) => !isOff(name)
  )
  const keyRule: LiveRule = { name: named, label: "SECRET", find: () => undefined }
  const cardRule: LiveRule = { name: "card", label: "CARD", find: () => undefined }
  const placeholders = makePlaceholders(maxTraces, maxSecrets)
  const labels = [...own, ...standard].map(({ label }) => label).concat(RedactionWords.labels(ownNames))
  const placeholder = new RegExp(`\\[(?:${[...new Set(labels)].join("|")})(?:_\\d{1,6})?\\]|${failurePattern}`, "g")
  const hints = RedactionRules.makeHints(standard)
  const names = [...own, ...standard].map(({ name }) => name)
  const counts = Object.fromEntries(names.map((name) => [name, 0]))
  const failures = { ...counts }

  const replaceOne = (traceId: string, rule: LiveRule, label: string, secret: string, start = 0): string => {
    counts[rule.name] = (counts[rule.name] ?? 0) + 1
    return placeholders(traceId, label, secret, start, secret.length)
  }

  const search = (traceId: string, text: string, hit: number): string => {
    const found: Array<Found> = []
    let running: LiveRule = keyRule
    const run = (rule: LiveRule): void => {
      running = rule
      rule.find(text, (start, end, label = rule.label) => found.push({ start, end, label, rule }))
    }
    const outcome = Result.try(() => {
      for (const rule of own) run(rule)
      for (let i = 0; i < standard.length; i++) if ((hit & (1 << i)) !== 0) run(standard[i]!)
    })
    if (Result.isFailure(outcome)) {
      failures[running.name] = (failures[running.name] ?? 0) + 1
      return failureText(running.name)
    }
    return found.length === 0 ? text : replace(traceId, text, found)
  }

  const replace = (traceId: string, text: string, all: Array<Found>): string => {
    const secrets = merge(withoutPlaceholders(text, all, placeholder))
    let replaced = ""
    let done = 0
    for (const { end, label, rule, start } of secrets) {
      counts[rule.name] = (counts[rule.name] ?? 0) + 1
      replaced += text.slice(done, start) + placeholders(traceId, label, text, start, end)
      done = end
    }
    return secrets.length === 0 ? text : replaced + text.slice(done)
  }

  const clean = new Recent<true>()
  const text = (traceId: string, text: string): string => {
    if (clean.get(text) === true) return text
    const hit = RedactionRules.scan(text, hints)
    const redacted = hit === 0 && own.length === 0 ? text : search(traceId, text, hit)
    if (redacted === text) clean.offer(text, true)
    return redacted
  }

  const kinds = new Recent<KeyKind>()
  const kindOf = (key: string): KeyKind => {
    const recent = kinds.get(key)
    if (recent !== undefined) return recent
    const secret = isOff(named) ? undefined : nameOf(key)
    const made = secret ?? (key.endsWith("query") && /(?:^|[._])ur[il][._]query$/.test(key) ? "query" : "plain")
    kinds.offer(key, made)
    return made
  }

  const isPlaceholder = (text: string): boolean => {
    placeholder.lastIndex = 0
    return text.startsWith("[") && placeholder.exec(text)?.[0].length === text.length
  }

  const textUnder = (traceId: string, kind: KeyKind, value: string): string => {
    if (kind === "plain") return text(traceId, value)
    // A query without its question mark: there a name may be at the beginning.
    if (kind === "query")
      return value.startsWith("?") ? text(traceId, value) : text(traceId, `?${value}`).replace(/^\?/, "")
    if (value === "" || value === "<redacted>" || isPlaceholder(value) || RedactionWords.isElse(value, kind))
      return value
    const scheme = RedactionText.schemeLength(value, kind.label)
    return isPlaceholder(value.slice(scheme))
      ? value
      : replaceOne(traceId, keyRule, kind.label, value, scheme === value.length ? 0 : scheme)
  }

  const item = (
    traceId: string,
    kind: KeyKind,
    value: string | number | bigint | boolean
  ): string | number | bigint | boolean => {
    if (typeof value === "string") return textUnder(traceId, kind, value)
    if (typeof value === "boolean" || (value < 1e12 && typeof kind === "string" && own.length === 0)) return value
    const digits = String(value)
    if (typeof kind === "object" && isNumberOf(kind, digits)) return replaceOne(traceId, keyRule, kind.label, digits)
    if (value >= 1e12 && !isOff("card") && RedactionShapes.isCard(digits))
      return replaceOne(traceId, cardRule, cardRule.label, digits)
    if (own.length === 0) return value
    const redacted = search(traceId, digits, 0)
    return redacted === digits ? value : redacted
  }

  /** What is secret in lists of arguments and of lines is told by the item before. */
  const list = (traceId: string, values: ReadonlyArray<string>): ReadonlyArray<string> => {
    const items = [...values]
    for (const { first, label, last, rule, start } of RedactionShapes.inList(values)) {
      if (isOff(rule.name)) continue
      const secret = [values[first]!.slice(start), ...values.slice(first + 1, last + 1)].join("\n")
      const made = replaceOne(traceId, rule, label, secret)
      items[first] = values[first]!.slice(0, start) + made
      items.fill(made, first + 1, last + 1)
    }
    for (const [i, item] of items.entries()) {
      const flag =
        i === 0 || item.startsWith("-") || isOff(named) ? undefined : RedactionNames.flagName(items[i - 1]!, nameOf)
      items[i] = textUnder(traceId, flag ?? "plain", item)
    }
    return items
  }

  return {
    text,
    counts,
    failures,
    value: (traceId, key, value) => {
      const kind = kindOf(key)
      if (typeof value === "string") return textUnder(traceId, kind, value)
      if (typeof value !== "object") return item(traceId, kind, value)
      const items =
        kind === "plain" && value.some(tellsNext) && value.every((one) => typeof one === "string")
          ? list(traceId, value)
          : value.map((one) => item(traceId, kind, one))
      return items.every((one, i) => one === value[i]) ? value : sameKind(items)
    }
  }
}

type KeyKind = RedactionWords.SecretName | "plain" | "query"

/** Under the name of a password, or one of one's own, a number is a secret however short it is. */
const isNumberOf = (kind: RedactionWords.SecretName, digits: string): boolean =>
  (kind.digits && kind.orElse === undefined) || RedactionWords.isSecretNumber(digits, kind)

/** A flag, and the first line of a private key, say what the next item of a list is. */
const tellsNext = (item: unknown): boolean =>
  typeof item === "string" && (item.charCodeAt(0) === 45 || (item.length > 24 && /PRIVATE KEY|PuTTY-/.test(item)))

/** A list of numbers of which one was replaced is a list of texts. */
const sameKind = (items: ReadonlyArray<string | number | bigint | boolean>): AttributeValue =>
  items.every((one) => typeof one === typeof items[0]) ? items : items.map(String)

/** Drops what is within a placeholder: a text that was redacted stays as it is. */
const withoutPlaceholders = (text: string, all: Array<Found>, placeholder: RegExp): Array<Found> => {
  if (!text.includes("[")) return all
  const taken: Array<readonly [number, number]> = []
  placeholder.lastIndex = 0
  for (let match = placeholder.exec(text); match !== null; match = placeholder.exec(text)) {
    taken.push([match.index, placeholder.lastIndex])
  }
  let next = 0
  return all
    .toSorted((a, b) => a.start - b.start)
    .filter(({ end, start }) => {
      while (next < taken.length && taken[next]![1] <= start) next++
      return next >= taken.length || start < taken[next]![0] || end > taken[next]![1]
    })
}

/** Joins what overlaps. The longest of what is joined gives its label, of those as long the first rule's. */
const merge = (all: Array<Found>): ReadonlyArray<Found> => {
  const merged: Array<Found> = []
  let longest = 0
  for (const found of all.toSorted((a, b) => a.start - b.start)) {
    const last = merged.at(-1)
    const length = found.end - found.start
    if (last === undefined || found.start >= last.end) {
      merged.push(found)
      longest = length
    } else {
      const { label, rule } = length > longest ? found : last
      longest = Math.max(longest, length)
      merged[merged.length - 1] = { start: last.start, end: Math.max(last.end, found.end), label, rule }
    }
  }
  return merged
}

const failureText = (name: string): string => `[REDACTED: rule "${name}" failed]`
const failurePattern = String.raw`\[REDACTED: rule "[\w .-]*" failed\]`

const ownRule = (rule: Rule, windowLength: number): LiveRule => {
  const name = rule.name.replace(/[^\w .-]+/g, "_")
  const find = "find" in rule ? rule.find : matches(rule.pattern)
  return {
    name,
    label: RedactionWords.ownLabel(name),
    find: (text, report) => {
      for (let from = 0; ;) {
        const end = Math.min(from + windowLength, text.length)
        const window = from === 0 && end === text.length ? text : text.slice(from, end)
        let next = end - (windowLength >> 1)
        for (const [start, stop] of find(window)) {
          if (!(start >= 0 && stop <= window.length && start <= stop)) throw new RangeError(`rule "${name}"`)
          if (start === stop) continue
          const isCut = from + stop === end && end < text.length
          // One that fills its window may go on for any length, one that reaches its end is looked at again.
          report(from + start, isCut && start === 0 ? text.length : from + stop)
          if (isCut && start > 0) next = Math.min(next, from + start)
        }
        if (end === text.length) return
        from = Math.max(next, from + 1)
      }
    }
  }
}

/** Gives where a pattern matches, or its group `secret`. It runs on a copy, as a global pattern keeps its place. */
const matches = (pattern: RegExp): ((text: string) => ReadonlyArray<readonly [number, number]>) => {
  const flags = new Set(`${pattern.flags}g${pattern.source.includes("(?<secret>") ? "d" : ""}`)
  flags.delete("y")
  const copy = new RegExp(pattern.source, [...flags].join(""))
  return (text) =>
    Array.from(
      text.matchAll(copy),
      (match) => match.indices?.groups?.["secret"] ?? [match.index, match.index + match[0].length]
    )
}
