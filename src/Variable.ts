/**
 * What the text of an environment variable may be: parsers that say what they allow. Nothing here reads an environment;
 * `Settings` does, and has the table of the variables.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"

/**
 * Reads the text of a variable, which is trimmed and not empty.
 *
 * @since 0.1.0
 */
export interface Parser<A> {
  /** Completes "use …" in the message about a value that is not allowed. */
  readonly allowed: string
  /** Gives `undefined` for a value that is not allowed. Never throws. */
  readonly parse: (text: string) => A | undefined
  /** What messages may repeat of a text that is not allowed. Default: all of it. */
  readonly tell?: (text: string) => string
  /**
   * What is left of a text that is not allowed, in variables whose rules are OpenTelemetry's: where it says to warn of
   * values of this kind and go on. Gives `undefined` where nothing is left: the variable then counts as unset. Without
   * this function such a text is an error there too.
   */
  readonly salvage?: (text: string) => Salvaged<A> | undefined
  /** Whether a value that code gives is allowed, where its type does not tell. */
  readonly accepts?: (value: unknown) => boolean
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
    salvage: (text) => {
      const known = [...read(text)]
      const value = known.length > 1 ? known.filter((name) => !isNone(name)) : known
      return value.length === 0 ? undefined : { value, text: value.join(",") }
    }
  }
}

const split = (text: string): ReadonlyArray<string> => text.split(",").flatMap((part) => part.trim() || [])

const isNone = (name: string): boolean => name === "none"

/**
 * Takes true, 1, yes and on for `yes`, and false, 0, no and off for its opposite, in any case.
 *
 * @since 0.1.0
 */
export const flag = (yes: boolean): Parser<boolean> => ({
  allowed: "true or false",
  parse: (text) => (/^(true|1|yes|on)$/i.test(text) ? yes : /^(false|0|no|off)$/i.test(text) ? !yes : undefined)
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
  salvage: ignored
})

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
  accepts: (value) => typeof value === "number" && isRatio(value)
}

const isRatio = (number: number): boolean => number >= 0 && number <= 1

/**
 * Takes whole numbers of milliseconds, as OpenTelemetry's variables have them.
 *
 * @since 0.1.0
 */
export const millis: Parser<Duration.Duration> = {
  allowed: "a whole number of milliseconds",
  parse: (text) => (/^\d{1,15}$/.test(text) ? Duration.millis(Number(text)) : undefined),
  salvage: ignored
}

/**
 * Takes whole numbers of milliseconds, and 0 for no limit (OpenTelemetry Common Configuration §Timeout).
 *
 * **Details**: no limit is 2³¹ - 1 ms, the longest time that a timer of JavaScript takes, which is 24 days.
 *
 * @since 0.1.0
 */
export const timeout: Parser<Duration.Duration> = {
  allowed: `${millis.allowed}, 0 for no limit`,
  parse: (text) => {
    const time = millis.parse(text)
    return time !== undefined && (Duration.isZero(time) || Duration.isGreaterThan(time, noLimit)) ? noLimit : time
  },
  salvage: ignored
}

const noLimit = Duration.millis(2 ** 31 - 1)

/**
 * Takes durations with their unit, as Effect writes them.
 *
 * @since 0.1.0
 */
export const duration: Parser<Duration.Duration> = {
  allowed: 'a duration such as "5 seconds"',
  parse: (text) =>
    /^\d+(\.\d+)? \w+$/.test(text) ? Option.getOrUndefined(Duration.fromInput(text as "5 seconds")) : undefined
}

/**
 * Takes any text for a no, as `NO_COLOR` is to be read (no-color.org).
 *
 * @since 0.1.0
 */
export const anyIsNo: Parser<boolean> = { allowed: "any text", parse: () => false }

/**
 * Takes any text.
 *
 * @since 0.1.0
 */
export const anyText: Parser<string> = { allowed: "a text", parse: (text) => text }

/**
 * Reads an http or https URL, gives `undefined` for anything else.
 *
 * **Details**: a bare `host:port` is taken for `http://host:port`.
 *
 * @since 0.1.0
 */
export const httpUrl = (text: string): URL | undefined => {
  const url = URL.parse(/^[\w.-]+:\d+(\/|$)/.test(text) ? `http://${text}` : text)
  return url?.protocol === "http:" || url?.protocol === "https:" ? url : undefined
}

/**
 * Makes the URL that takes traces of the base URL of an OTLP receiver, by the path rules of OpenTelemetry's
 * `OTEL_EXPORTER_OTLP_ENDPOINT`; gives `undefined` for what is no http or https URL.
 *
 * **Details**: `/v1/traces` is added to the path unless it ends so already.
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
  if (url?.pathname.endsWith("/v1/traces") === false) url.pathname = url.pathname.replace(/\/*$/, "/v1/traces")
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

/**
 * Takes the name or address of a host, without a port.
 *
 * @since 0.1.0
 */
export const host: Parser<string> = {
  allowed: "the name or address of a host",
  tell: redactUrl,
  parse: (text) => (URL.parse(`http://${text}`)?.hostname === text.toLowerCase() ? text : undefined)
}

const urlAllowed = "an http:// or https:// URL"

/**
 * Takes the URL of an OTLP receiver for traces, as it is.
 *
 * @since 0.1.0
 */
export const endpoint: Parser<string> = {
  allowed: urlAllowed,
  tell: redactUrl,
  parse: (text) => httpUrl(text)?.href
}

/**
 * Takes the base URL of an OTLP receiver, gives its URL for traces.
 *
 * @since 0.1.0
 */
export const baseEndpoint: Parser<string> = { allowed: urlAllowed, tell: redactUrl, parse: tracesUrl }

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
    const sendable = entries.every(
      ([name, value]) => /^[\w!#$%&'*+.^`|~-]+$/.test(name) && /^[\t\x20-\x7e]*$/.test(value)
    )
    return sendable ? Object.fromEntries(entries.map(([name, value]) => [name, Redacted.make(value)])) : undefined
  }
}
