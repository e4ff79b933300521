/**
 * What the text of an environment variable may be, and the value that code gives in its place: parsers that say what they
 * allow. Those of times are TimeVariable's. Nothing here reads an environment; `Settings` does, and has the table of the
 * variables.
 *
 * @since 0.1.0
 */
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"

/**
 * Reads the text of a variable, which is trimmed and not empty, or the value that code gives in its place.
 *
 * @since 0.1.0
 */
export interface Parser<A> {
  /** Completes "use …" in the message about a value that is not allowed. */
  readonly allowed: string
  /** Gives `undefined` for a value that is not allowed. Never throws. */
  readonly parse: (text: string) => A | undefined
  /** Gives what a value from code means, `undefined` where it is not allowed: plain JavaScript gives anything. Never throws. */
  readonly accept: (value: unknown) => A | undefined
  /** Completes "use …" in the message about a value from code. Default: `allowed`. */
  readonly allowedInCode?: string
  /** What messages may repeat of a text that is not allowed. Default: all of it. */
  readonly tell?: (text: string) => string
  /** Says what is wrong with a text that is not allowed, where `allowed` does not make it plain. */
  readonly reason?: (text: string) => string
  /** Says, for the log, what an allowed text is taken for, where that is not what stands there. */
  readonly remark?: (text: string) => string | undefined
  /**
   * What is left of a text that is not allowed, in variables whose rules are OpenTelemetry's: where it says to warn of
   * values of this kind and go on. Gives `undefined` where nothing is left: the variable then counts as unset. Without
   * this function such a text is an error there too.
   */
  readonly salvage?: (text: string) => Salvaged<A> | undefined
}

/**
 * What is left of a text that is not allowed.
 *
 * @since 0.1.0
 */
export interface Salvaged<A> {
  readonly value: A
  /** The text that would have meant just this. */
  readonly text: string
}

// Enum: "the implementation MUST generate a warning and gracefully ignore the setting". Numeric: "SHOULD generate a
// warning and gracefully ignore the setting" (OpenTelemetry Environment Variables §Type-specific guidance).
const ignored = () => undefined

/** Code gives such a value as a text, too. */
const ofText =
  <A>(parse: (text: string) => A | undefined) =>
  (value: unknown): A | undefined =>
    typeof value === "string" ? parse(value) : undefined

/**
 * A variable and how it is read.
 *
 * @since 0.1.0
 */
export interface Variable<A> {
  readonly name: string
  readonly parser: Parser<A>
  /** Where the variable is a list of pairs: whose value counts. */
  readonly key?: string
}

/**
 * The value of a setting and who set it: `code`, `default` or the name of a variable, which may be that of the profile.
 *
 * @since 0.1.0
 */
export interface Setting<A> {
  readonly value: A
  readonly source: string
}

/**
 * A setting that variables can set.
 *
 * @since 0.1.0
 */
export interface Row<A> {
  readonly description: string
  readonly default: A
  /** From the one that counts most to the one that counts least. */
  readonly variables: ReadonlyArray<Variable<A>>
}

/**
 * Makes a row of the names of its variables, which the parser reads unless they bring their own.
 *
 * @since 0.1.0
 */
export const row = <A>(
  description: string,
  fallback: A,
  parser: Parser<A>,
  ...variables: ReadonlyArray<string | Variable<A>>
): Row<A> => ({
  description,
  default: fallback,
  variables: variables.map((variable) => (typeof variable === "string" ? { name: variable, parser } : variable))
})

/**
 * Takes one of several names, in any case.
 *
 * @since 0.1.0
 */
export const oneOf = <const A extends string>(...names: ReadonlyArray<A>): Parser<A> => ({
  allowed: `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`,
  parse: (text) => names.find((name) => name.toLowerCase() === text.toLowerCase()),
  accept: (value) => names.find((name) => name === value),
  salvage: ignored
})

/**
 * Takes some of several names with commas between, in any case, each once; `none` only alone.
 *
 * @since 0.1.0
 */
export const listOf = <const A extends string>(...names: ReadonlyArray<A>): Parser<ReadonlyArray<A>> => {
  const one = oneOf(...names)
  const read = (text: string) => new Set(split(text).flatMap((part) => one.parse(part) ?? []))
  return {
    allowed: `${one.allowed}, or several with commas between`,
    parse: (text) => {
      const known = read(text)
      const none = known.size === 0 || (known.size > 1 && [...known].some(isNone))
      return none || split(text).some((part) => one.parse(part) === undefined) ? undefined : [...known]
    },
    allowedInCode: `a list of ${one.allowed}`,
    accept: (value) => {
      const known = new Set(Array.isArray(value) ? value.map(one.accept) : [])
      const none = known.size === 0 || known.has(undefined) || (known.size > 1 && [...known].some(isNone))
      return none ? undefined : [...known].flatMap((name) => name ?? [])
    },
    salvage: (text) => {
      const known = [...read(text)]
      const value = known.length > 1 ? known.filter((name) => !isNone(name)) : known
      return value.length === 0 ? undefined : { value, text: value.join(",") }
    }
  }
}

/**
 * Takes any texts with commas between.
 *
 * @since 0.1.0
 */
export const texts: Parser<ReadonlyArray<string>> = {
  allowed: "texts with commas between",
  parse: (text) => split(text),
  allowedInCode: "a list of texts",
  accept: (value) => (Array.isArray(value) && value.every((item) => typeof item === "string") ? value : undefined)
}

const split = (text: string): ReadonlyArray<string> => text.split(",").flatMap((part) => part.trim() || [])

const isNone = (name: string | undefined): boolean => name === "none"

/** What code gives as an object, where every entry of it is right. */
const recordOf =
  <A>(isRight: (entry: [string, unknown]) => entry is [string, A]) =>
  (value: unknown): Readonly<Record<string, A>> | undefined => {
    const entries =
      typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : undefined
    return entries !== undefined && entries.every(isRight) ? Object.fromEntries(entries) : undefined
  }

const acceptFlag = (value: unknown): boolean | undefined => (typeof value === "boolean" ? value : undefined)

/**
 * Takes true, 1, yes and on for `yes`, and false, 0, no and off for its opposite, in any case.
 *
 * @since 0.1.0
 */
export const flag = (yes: boolean): Parser<boolean> => ({
  allowed: "true or false",
  parse: (text) => (/^(true|1|yes|on)$/i.test(text) ? yes : /^(false|0|no|off)$/i.test(text) ? !yes : undefined),
  accept: acceptFlag
})

/**
 * Takes true for `yes` and false for its opposite, in any case. OpenTelemetry allows no other text for a yes, and takes
 * whatever else there is for a no (OpenTelemetry Environment Variables §Boolean).
 *
 * @since 0.1.0
 */
export const openTelemetryFlag = (yes: boolean): Parser<boolean> => ({
  allowed: "true or false",
  parse: (text) => (/^true$/i.test(text) ? yes : /^false$/i.test(text) ? !yes : undefined),
  accept: acceptFlag,
  salvage: () => ({ value: !yes, text: "false" })
})

/**
 * Takes whole numbers from the least one up.
 *
 * @since 0.1.0
 */
export const integer = (least: number): Parser<number> => ({
  allowed: `a whole number of at least ${least}`,
  parse: (text) => (/^\d{1,15}$/.test(text) && Number(text) >= least ? Number(text) : undefined),
  accept: (value) => (Number.isSafeInteger(value) && Number(value) >= least ? Number(value) : undefined),
  salvage: ignored
})

/**
 * Takes whole numbers from the least one up, and `Infinity` for no limit.
 *
 * @since 0.1.0
 */
export const integerOrInfinity = (least: number): Parser<number> => {
  const { accept, allowed, parse } = integer(least)
  return {
    allowed: `${allowed}, or Infinity`,
    parse: (text) => (text.toLowerCase() === "infinity" ? Infinity : parse(text)),
    accept: (value) => (value === Infinity ? Infinity : accept(value))
  }
}

/**
 * Takes numbers from 0 to 1.
 *
 * **Details**: a ratio that is not allowed is an error in OpenTelemetry's variables too: ignored, it would mean all.
 *
 * @since 0.1.0
 */
export const ratio: Parser<number> = {
  allowed: "a number from 0 to 1",
  parse: (text) => {
    const number = /^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN
    return isRatio(number) ? number : undefined
  },
  accept: (value) => (typeof value === "number" && isRatio(value) ? value : undefined)
}

const isRatio = (number: number): boolean => number >= 0 && number <= 1

/**
 * Takes any text for a no, as `NO_COLOR` is to be read (no-color.org).
 *
 * @since 0.1.0
 */
export const anyIsNo: Parser<boolean> = {
  allowed: "any text",
  parse: () => false,
  allowedInCode: "true or false",
  accept: acceptFlag
}

/**
 * Takes any text.
 *
 * @since 0.1.0
 */
export const anyText: Parser<string> = { allowed: "a text", parse: (text) => text, accept: ofText((text) => text) }

/**
 * Reads an http or https URL, gives `undefined` for anything else.
 *
 * **Details**: a bare `host:port` is taken for `http://host:port`.
 *
 * @since 0.1.0
 */
export const httpUrl = (text: string): URL | undefined => {
  const url = URL.parse(isWithoutScheme(text) ? `http://${text}` : text)
  return url?.protocol === "http:" || url?.protocol === "https:" ? url : undefined
}

/**
 * Whether a text is a bare `host:port`, perhaps with a path.
 *
 * @since 0.1.0
 */
export const isWithoutScheme = (text: string): boolean => /^(\[[\da-f:.]+\]|[\w.-]+):\d+(\/|$)/i.test(text)

/**
 * Makes the URL that takes traces of the base URL of an OTLP receiver, by the path rules of OpenTelemetry's
 * `OTEL_EXPORTER_OTLP_ENDPOINT`; gives `undefined` for what is no http or https URL.
 *
 * **Details**: `/v1/traces` is added to the path unless it ends so already, with or without a slash behind it.
 *
 * @example
 * ```ts
 * import * as Variable from "handspan/Variable"
 *
 * if (Variable.tracesUrl("jaeger:4317") !== "http://jaeger:4317/v1/traces") throw new Error("wrong URL")
 * ```
 *
 * @since 0.1.0
 */
export const tracesUrl = (base: string): string | undefined => {
  const url = httpUrl(base)
  if (url !== undefined && !/\/v1\/traces\/?$/.test(url.pathname))
    url.pathname = url.pathname.replace(/\/*$/, "/v1/traces")
  return url?.href
}

/**
 * Shows a text that was meant as a URL without the secrets that it may hold: user and password, query and fragment.
 *
 * **Details**: as the text need not be a URL, all before its last `@` counts as user and password, but for the scheme.
 *
 * @example
 * ```ts
 * import * as Variable from "handspan/Variable"
 *
 * if (Variable.redactUrl("grpc://ada:pw@host") !== "grpc://<redacted>@host") throw new Error("expected no password")
 * ```
 *
 * @since 0.1.0
 */
export const redactUrl = (text: string): string =>
  text.replace(/^([a-z][a-z\d+.-]*:\/\/)?.*@/is, "$1<redacted>@").replace(/([?#]).+$/s, "$1<redacted>")

const hostOf = (text: string): string | undefined =>
  URL.parse(`http://${text}`)?.hostname === text.toLowerCase() ? text : undefined

/**
 * Takes the name or address of a host, without a port.
 *
 * @since 0.1.0
 */
export const host: Parser<string> = {
  allowed: "the name or address of a host",
  tell: redactUrl,
  parse: hostOf,
  accept: ofText(hostOf)
}

const urlOf = (text: string): string | undefined => httpUrl(text)?.href

/**
 * Takes the URL of an OTLP receiver for traces, as it is.
 *
 * @since 0.1.0
 */
export const endpoint: Parser<string> = {
  allowed: "an http:// or https:// URL",
  tell: redactUrl,
  parse: urlOf,
  accept: ofText(urlOf)
}

/**
 * Takes the base URL of an OTLP receiver, gives its URL for traces.
 *
 * @since 0.1.0
 */
export const baseEndpoint: Parser<string> = { ...endpoint, parse: tracesUrl, accept: ofText(tracesUrl) }

/**
 * Takes lists of `name=value` with commas between, the values percent-encoded (OpenTelemetry Resource SDK §Specifying
 * resource information via an environment variable).
 *
 * @since 0.1.0
 */
export const pairs: Parser<Readonly<Record<string, string>>> = {
  allowed: "a list such as name=value,name=value",
  parse: (text) => {
    const entries: Array<readonly [string, string]> = []
    for (const pair of text.split(",")) {
      if (pair.trim() === "") continue
      const equals = pair.indexOf("=")
      const name = pair.slice(0, Math.max(equals, 0)).trim()
      const value = Result.try(() => decodeURIComponent(pair.slice(equals + 1).trim()))
      if (name === "" || Result.isFailure(value)) return undefined
      entries.push([name, value.success])
    }
    return Object.fromEntries(entries)
  },
  allowedInCode: "an object of texts",
  accept: recordOf((entry): entry is [string, string] => typeof entry[1] === "string"),
  // "The entire environment variable value SHOULD be discarded and an error SHOULD be reported", ibid.
  salvage: ignored
}

/**
 * Takes lists of headers, written as `pairs` are (OTLP Exporter §Specifying headers via environment variables).
 *
 * @since 0.1.0
 */
export const headers: Parser<Readonly<Record<string, Redacted.Redacted>>> = {
  allowed: pairs.allowed,
  tell: () => "<redacted>",
  parse: (text) => {
    const entries = Object.entries(pairs.parse(text) ?? { "": "" })
    return entries.every(isSendable)
      ? Object.fromEntries(entries.map(([name, value]) => [name, Redacted.make(value)]))
      : undefined
  },
  allowedInCode: "an object of headers whose values are Redacted texts",
  accept: recordOf(
    (entry): entry is [string, Redacted.Redacted] =>
      Redacted.isRedacted(entry[1]) && isSendable([entry[0], Redacted.value(entry[1])])
  )
}

const isSendable = ([name, value]: readonly [string, unknown]): boolean =>
  /^[\w!#$%&'*+.^`|~-]+$/.test(name) && typeof value === "string" && /^[\t\x20-\x7e]*$/.test(value)
