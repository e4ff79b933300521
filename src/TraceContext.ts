/**
 * W3C Trace Context (level 2) and W3C Baggage as values: parsing, formatting, and the way both ride on Effect's spans.
 * Nothing here reads a header record or runs an Effect; that is `Propagator`'s.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

/**
 * What identifies a span to other processes.
 *
 * @since 0.1.0
 */
export interface TraceContext {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string
  /** 16 lower-case hex digits, not all zero. */
  readonly spanId: string
  /** `flagSampled`, `flagRandom` and `flagDebug`, added up. */
  readonly flags: number
  /** W3C tracestate, `""` where there is none. */
  readonly traceState: string
}

/**
 * The flag of a trace that its maker records.
 *
 * @since 0.1.0
 */
export const flagSampled = 0x01

/**
 * The flag of a trace whose id has at least 56 random bits on its right, so that ratio sampling can trust it.
 *
 * @since 0.1.0
 */
export const flagRandom = 0x02

/**
 * The flag of a trace that somebody debugs, which B3 alone can say: it goes on with the trace, and is in no `traceparent`.
 *
 * @since 0.1.0
 */
export const flagDebug = 0x100

/** What goes on from span to span whatever is decided about one of them. */
const ofTrace = flagRandom | flagDebug

/**
 * Those of a context's flags that are the whole trace's.
 *
 * @since 0.1.0
 */
export const traceFlags = (flags: number): number => flags & ofTrace

const knownFlags = flagSampled | flagRandom

/**
 * Checks that a text is a trace id that may cross a boundary: Effect's `"noop"` is not.
 *
 * @since 0.1.0
 */
export const isTraceId = (text: string): boolean => /^(?!0+$)[0-9a-f]{32}$/.test(text)

/**
 * Checks that a text is a span id that may cross a boundary.
 *
 * @since 0.1.0
 */
export const isSpanId = (text: string): boolean => /^(?!0+$)[0-9a-f]{16}$/.test(text)

// W3C Trace Context §3.2.2: lower case only; §3.2.4: a higher version may go on after a further dash.
const traceparentPattern = /^[ \t]*([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[^,]*)?[ \t]*$/

/**
 * Reads a `traceparent` header, for whoever takes in a request or a message.
 *
 * **Details**: the tracestate of the result is `""`. Of a higher version only what version 00 has is read, and unknown
 * flags are cleared (§3.2.4). Gives `undefined` for whatever the specification calls invalid; never fails.
 *
 * @example
 * ```ts
 * import { TraceContext } from "handspan"
 *
 * const context = TraceContext.parseTraceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
 * if (context?.spanId !== "b7ad6b7169203331" || context.flags !== 1) throw new Error("expected a sampled context")
 * ```
 *
 * @since 0.1.0
 */
export const parseTraceparent = (header: string): TraceContext | undefined => {
  const [, version, traceId, spanId, flags, rest] = traceparentPattern.exec(header) ?? []
  if (traceId === undefined || spanId === undefined || flags === undefined || version === "ff") return undefined
  if (version === "00" && rest !== undefined) return undefined
  if (!isTraceId(traceId) || !isSpanId(spanId)) return undefined
  return { traceId, spanId, flags: Number.parseInt(flags, 16) & knownFlags, traceState: "" }
}

/**
 * Writes the `traceparent` header of a context with valid ids, always as version 00.
 *
 * @since 0.1.0
 */
export const formatTraceparent = (context: TraceContext): string =>
  `00-${context.traceId}-${context.spanId}-0${context.flags & knownFlags}`

// §3.3.1: at most 32 members; key and value of at most 256 characters each. The key's rule is level 2's, where `@` is a
// character like any other.
const memberPattern =
  /^([a-z0-9][a-z0-9_\-*/@]{0,255})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/
const maxStateMembers = 32
const maxStateLength = 512
const longMember = 128

/**
 * Reads one or more `tracestate` headers, in their order, into the one normal text of them.
 *
 * **Details**: white space and empty members go. A member that is invalid, a key that comes twice or a 33rd member make
 * the whole list worthless, so it gives `""`, as the W3C test harness demands. Beyond 512 characters whole members are
 * dropped: first those of more than 128 characters, then from the right (§3.3.1.5). Never fails.
 *
 * @example
 * ```ts
 * import { TraceContext } from "handspan"
 *
 * if (TraceContext.parseTraceState(["a=1 , b=2", ",c=3"]) !== "a=1,b=2,c=3") throw new Error("expected one list")
 * if (TraceContext.parseTraceState("a=1,a=2") !== "") throw new Error("expected a twofold key to void the list")
 * ```
 *
 * @since 0.1.0
 */
export const parseTraceState = (headers: string | ReadonlyArray<string>): string => {
  const members = listMembers(headers)
  if (members.length > maxStateMembers) return ""
  const keys = new Set<string>()
  for (const member of members) {
    const key = memberPattern.exec(member)?.[1]
    if (key === undefined || keys.has(key)) return ""
    keys.add(key)
  }
  let length = members.length - 1
  for (const member of members) length += member.length
  const drop = (index: number) => {
    for (const member of members.splice(index, 1)) length -= member.length + 1
  }
  for (let index = members.length - 1; index >= 0 && length > maxStateLength; index--) {
    if (members[index]!.length > longMember) drop(index)
  }
  while (length > maxStateLength) drop(members.length - 1)
  return members.join(",")
}

const listMembers = (headers: string | ReadonlyArray<string>): Array<string> => {
  const text = typeof headers === "string" ? headers : headers.join(",")
  return text
    .split(",")
    .map(trimBlanks)
    .filter((member) => member !== "")
}

// OWS is space and tab only (RFC 9110 §5.6.3); String.trim would take more.
const trimBlanks = (text: string): string => {
  let start = 0
  let end = text.length
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

const isBlank = (code: number): boolean => code === 0x20 || code === 0x09

/**
 * The annotation of an external span that holds the whole context it came with: Effect's own external span has room for
 * `sampled` alone, so tracestate and the random flag would be lost.
 *
 * @since 0.1.0
 */
export const Remote: Context.Reference<TraceContext | undefined> = Context.Reference("handspan/TraceContext/Remote", {
  defaultValue: (): TraceContext | undefined => undefined
})

/**
 * Makes the parent span that stands for a context from elsewhere.
 *
 * @since 0.1.0
 */
export const toExternalSpan = (context: TraceContext): Tracer.ExternalSpan =>
  Tracer.externalSpan({
    traceId: context.traceId,
    spanId: context.spanId,
    sampled: (context.flags & flagSampled) !== 0,
    annotations: Context.make(Remote, context)
  })

/**
 * What is done with the trace context that callers send: their trace is gone on with, or a trace of our own links to it, or
 * it is not looked at. Baggage is taken from those alone whose trace is gone on with.
 *
 * @since 0.1.0
 */
export type Trust = "follow" | "link" | "ignore"

/**
 * Whether tracing is on. Wrappers ask it, to give back the very thing they were given where it is off.
 *
 * @since 0.1.0
 */
export const TracingEnabled: Context.Reference<boolean> = Context.Reference("handspan/TraceContext/TracingEnabled", {
  defaultValue: () => true
})

/**
 * Reads the context of any tracer's span.
 *
 * **Details**: spans that have `flags` and `traceState` of their own, as the Recorder's do, give those; external spans
 * give their `Remote` annotation. Spans of tracers that know of neither give `sampled` as their flag and take the rest
 * from the nearest ancestor in their trace that knows. Gives `undefined` for ids that may not cross a boundary, such as
 * those of a span made while tracing is off.
 *
 * @example
 * ```ts
 * import { Tracer } from "effect"
 * import { TraceContext } from "handspan"
 *
 * const context = { traceId: "1".repeat(32), spanId: "2".repeat(16), flags: 3, traceState: "a=1" }
 * const back = TraceContext.fromSpan(TraceContext.toExternalSpan(context))
 * if (back?.flags !== 3 || back.traceState !== "a=1") throw new Error("expected the same context")
 * const off = Tracer.externalSpan({ traceId: "noop", spanId: "noop" })
 * if (TraceContext.fromSpan(off) !== undefined) throw new Error("expected no context")
 * ```
 *
 * @since 0.1.0
 */
export const fromSpan = (span: Tracer.AnySpan): TraceContext | undefined => {
  const { spanId, traceId } = span
  if (!isTraceId(traceId) || !isSpanId(spanId)) return undefined
  const sampled = span.sampled ? flagSampled : 0
  let ancestor: Tracer.AnySpan | undefined = span
  while (ancestor !== undefined && ancestor.traceId === traceId) {
    const known: Partial<TraceContext> | undefined =
      ancestor._tag === "ExternalSpan" ? Context.get(ancestor.annotations, Remote) : ancestor
    if (typeof known?.flags === "number" && typeof known.traceState === "string") {
      return { traceId, spanId, flags: traceFlags(known.flags) | sampled, traceState: known.traceState }
    }
    ancestor = ancestor._tag === "Span" ? Option.getOrUndefined(ancestor.parent) : undefined
  }
  return { traceId, spanId, flags: sampled, traceState: "" }
}

/**
 * What one name of the baggage says.
 *
 * @since 0.1.0
 */
export interface BaggageEntry {
  readonly value: string
  /** The entry's properties as they came, such as `ttl=3;private`, `""` where there are none. */
  readonly metadata: string
}

/**
 * Facts that travel with a trace, by name: whom the work is for, which run it belongs to. They go to every service that
 * is called, so they are no place for secrets.
 *
 * @since 0.1.0
 */
export type Baggage = ReadonlyMap<string, BaggageEntry>

/**
 * The baggage of the running fiber, empty unless a propagator or the program gave one.
 *
 * @since 0.1.0
 */
export const CurrentBaggage: Context.Reference<Baggage> = Context.Reference("handspan/TraceContext/CurrentBaggage", {
  defaultValue: (): Baggage => new Map()
})

// W3C Baggage §3.3: what a platform must carry at least, and all that we carry.
const maxBaggageMembers = 64
const maxBaggageBytes = 8192
const tokenPattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const propertiesPattern = /^[\x20-\x2b\x2d-\x7e\t]*$/

/**
 * Reads one or more `baggage` headers, in their order.
 *
 * **Details**: values are percent-decoded as UTF-8, with U+FFFD for what is not UTF-8. Members without a valid name are
 * left out, of a name that comes twice the last value counts, and after 64 members or 8192 bytes whole members are left
 * out. Never fails.
 *
 * @example
 * ```ts
 * import { TraceContext } from "handspan"
 *
 * const baggage = TraceContext.parseBaggage("user = alice%20b ; private, run=7")
 * if (baggage.get("user")?.value !== "alice b" || baggage.size !== 2) throw new Error("expected two entries")
 * ```
 *
 * @since 0.1.0
 */
export const parseBaggage = (headers: string | ReadonlyArray<string>): Baggage => {
  const baggage = new Map<string, BaggageEntry>()
  for (const member of withinLimits(listMembers(headers))) {
    const [pair = "", ...properties] = member.split(";")
    const equals = pair.indexOf("=")
    const name = trimBlanks(pair.slice(0, Math.max(equals, 0)))
    if (!tokenPattern.test(name)) continue
    const metadata = properties.map(trimBlanks).join(";")
    baggage.set(name, {
      value: decodePercent(trimBlanks(pair.slice(equals + 1))),
      metadata: propertiesPattern.test(metadata) ? metadata : ""
    })
  }
  return baggage
}

/**
 * Writes the `baggage` header, `""` for none.
 *
 * **Details**: values are percent-encoded as UTF-8. Names that are no token and properties that would break the header
 * are left out; after 64 members or 8192 bytes whole members are. Never fails.
 *
 * @since 0.1.0
 */
export const formatBaggage = (baggage: Baggage): string => {
  const members: Array<string> = []
  for (const [name, { metadata, value }] of baggage) {
    if (!tokenPattern.test(name)) continue
    const properties = metadata !== "" && propertiesPattern.test(metadata) ? `;${metadata}` : ""
    members.push(`${name}=${encodePercent(value)}${properties}`)
  }
  return withinLimits(members).join(",")
}

const withinLimits = (members: ReadonlyArray<string>): ReadonlyArray<string> => {
  let bytes = -1
  let count = 0
  return members.filter((member) => {
    if (count === maxBaggageMembers || bytes + 1 + member.length > maxBaggageBytes) return false
    count += 1
    bytes += 1 + member.length
    return true
  })
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true })

const decodePercent = (text: string): string =>
  text.replace(/(?:%[0-9A-Fa-f]{2})+/g, (run) =>
    utf8.decode(Uint8Array.from(run.slice(1).split("%"), (byte) => Number.parseInt(byte, 16)))
  )

// Everything but W3C Baggage §3.2's baggage-octet; `%` always (it would be read back), and `+`, which OpenTelemetry's
// Python propagator reads as a space.
const encodePercent = (text: string): string =>
  text.replace(/[^\x21\x23\x24\x26-\x2a\x2d-\x3a\x3c-\x5b\x5d-\x7e]+/g, (run) => encodeURIComponent(run.toWellFormed()))
