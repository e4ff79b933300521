/**
 * A finished span as plain data: what the Recorder makes, exporters take and analysis reads. Values only: nothing here
 * reads a clock or the environment, and nothing keeps the traced program's own values alive.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as JsonText from "./JsonText.ts"
import { unencodable } from "./JsonText.ts"

/**
 * What a span's work is to others, in OpenTelemetry's words.
 *
 * @since 0.1.0
 */
export type SpanKind = "internal" | "server" | "client" | "producer" | "consumer"

/**
 * What an attribute can hold. Numbers that are whole travel as OTLP integers, others as doubles.
 *
 * @since 0.1.0
 */
export type AttributeValue = string | number | bigint | boolean | ReadonlyArray<string | number | bigint | boolean>

/**
 * Attributes by key. Keys are open, so read them with `Object.hasOwn` or `Object.entries`.
 *
 * @since 0.1.0
 */
export type Attributes = Readonly<Record<string, AttributeValue>>

/**
 * What is the same on many spans, such as all of one agent: key, value, key, value. The list itself stands for them, so whoever
 * looked at it once knows it.
 *
 * @since 0.1.0
 */
export type Facts = ReadonlyArray<string | number>

/**
 * Something that happened at one instant of a span.
 *
 * @since 0.1.0
 */
export interface SpanEvent {
  readonly name: string
  /** Nanoseconds since the Unix epoch. */
  readonly timeUnixNano: bigint
  readonly attributes: Attributes
  /** How many attributes the limits cut off. */
  readonly droppedAttributesCount: number
}

/**
 * A pointer to another span that this one has to do with, such as each upstream handoff of a fan-in.
 *
 * @since 0.1.0
 */
export interface SpanLink {
  readonly traceId: string
  readonly spanId: string
  /** W3C trace flags of the linked span. */
  readonly flags: number
  /** W3C tracestate of the linked span, `""` where there is none. */
  readonly traceState: string
  readonly attributes: Attributes
  /** How many attributes the limits cut off. */
  readonly droppedAttributesCount: number
}

/**
 * How a span ended. `unset` is a span that ended neither well nor badly: it was interrupted.
 *
 * @since 0.1.0
 */
export type SpanStatus =
  | { readonly code: "unset" }
  | { readonly code: "ok" }
  | { readonly code: "error"; readonly message: string }

/**
 * Who recorded a span: the service and where it runs.
 *
 * @since 0.1.0
 */
export interface Resource {
  readonly attributes: Attributes
}

/**
 * Which part of the program a span belongs to (OpenTelemetry's instrumentation scope).
 *
 * @since 0.1.0
 */
export interface InstrumentationScope {
  readonly name: string
  /** `""` where none is known. */
  readonly version: string
}

/**
 * A finished span as plain data.
 *
 * @since 0.1.0
 */
export interface SpanRecord {
  /** 32 lower-case hex digits. */
  readonly traceId: string
  /** 16 lower-case hex digits. */
  readonly spanId: string
  /** The parent's span id, `undefined` for a root. */
  readonly parentSpanId: string | undefined
  /** True where the parent came from another process. */
  readonly parentIsRemote: boolean
  /** W3C trace flags: 1 sampled, 2 random trace id. */
  readonly flags: number
  /** W3C tracestate, `""` where there is none. */
  readonly traceState: string
  readonly name: string
  readonly kind: SpanKind
  /** Nanoseconds since the Unix epoch. */
  readonly startTimeUnixNano: bigint
  /** Nanoseconds since the Unix epoch, never before the start. */
  readonly endTimeUnixNano: bigint
  readonly attributes: Attributes
  readonly events: ReadonlyArray<SpanEvent>
  readonly links: ReadonlyArray<SpanLink>
  readonly status: SpanStatus
  /** How many attributes, events and links the limits cut off. */
  readonly droppedAttributesCount: number
  readonly droppedEventsCount: number
  readonly droppedLinksCount: number
  readonly resource: Resource
  readonly scope: InstrumentationScope
}

/**
 * How long a span took, in nanoseconds.
 *
 * @since 0.1.0
 */
export const durationNanos = (span: SpanRecord): bigint => span.endTimeUnixNano - span.startTimeUnixNano

/**
 * How long a span took, in milliseconds with fractions, for people and formats that count in them.
 *
 * @example
 * ```ts
 * import { SpanRecord } from "handspan"
 *
 * const span = SpanRecord.make({ name: "agent_handoff.planner", startTimeUnixNano: 0n, endTimeUnixNano: 1_500_000n })
 * if (SpanRecord.durationMillis(span) !== 1.5) throw new Error("expected 1.5 ms")
 * ```
 *
 * @since 0.1.0
 */
export const durationMillis = (span: SpanRecord): number => Number(durationNanos(span)) / 1e6

/**
 * The resource of spans that nobody gave one.
 *
 * @since 0.1.0
 */
export const emptyResource: Resource = { attributes: {} }

/**
 * The scope of spans that no component claimed.
 *
 * @since 0.1.0
 */
export const defaultScope: InstrumentationScope = { name: "handspan", version: "" }

/**
 * The scope that a span claims, as an annotation of the span. `Instrument.withScope` sets it.
 *
 * @since 0.1.0
 */
export const Scope: Context.Reference<InstrumentationScope> = Context.Reference<InstrumentationScope>(
  "handspan/SpanRecord/Scope",
  { defaultValue: () => defaultScope }
)

/**
 * What a program says of its spans before they begin, for samplers: of fibers, or of a span as an annotation. `Sampler.withHints`
 * sets it.
 *
 * @since 0.1.0
 */
export const Hints: Context.Reference<Attributes> = Context.Reference("handspan/SpanRecord/Hints", {
  defaultValue: (): Attributes => ({})
})

/**
 * Turns any value into what an attribute can hold, a copy that keeps nothing of the program alive.
 *
 * **Details**: lists of plain values stay lists, every other object becomes JSON text, where `Redacted` values read
 * `<redacted>`. Texts are cut at `valueLength` characters, never inside of one. `undefined` stays `undefined`: there is
 * no attribute. What cannot be told becomes a visible `!UNENCODABLE`. Never fails.
 *
 * @example
 * ```ts
 * import { SpanRecord } from "handspan"
 *
 * if (SpanRecord.toAttributeValue({ width: 3 }) !== '{"width":3}') throw new Error("expected JSON text")
 * if (SpanRecord.toAttributeValue("abcdef", 3) !== "abc") throw new Error("expected three characters")
 * ```
 *
 * @since 0.1.0
 */
export const toAttributeValue = (value: unknown, valueLength = Infinity): AttributeValue | undefined => {
  switch (typeof value) {
    case "string":
      return cut(value, valueLength)
    case "number":
    case "boolean":
    case "bigint":
    case "undefined":
      return value
    case "object":
      // Getters, proxies and toJSON of foreign objects may throw, and a recorder must not.
      return Result.getOrElse(
        Result.try(() => objectValue(value, valueLength)),
        () => unencodable
      )
    default:
      return unencodable
  }
}

const listKinds = new Set(["string", "number", "bigint", "boolean"])

const objectValue = (value: object | null, valueLength: number): AttributeValue => {
  if (Redacted.isRedacted(value)) return "<redacted>"
  if (Array.isArray(value) && value.length > 0) {
    // A copy: `every` would pass over the holes of a sparse list.
    const items: ReadonlyArray<unknown> = Array.from(value)
    const kind = typeof items[0]
    if (listKinds.has(kind) && items.every((item) => typeof item === kind)) {
      return items.map((item) => (typeof item === "string" ? cut(item, valueLength) : (item as number)))
    }
  }
  return cut(JsonText.write(value, valueLength) ?? unencodable, valueLength)
}

/**
 * Gives the text of whatever plain JavaScript passes where a text is asked for. Never fails.
 *
 * @since 0.1.0
 */
export const textOf = (value: unknown, length = Infinity): string =>
  typeof value === "string" ? value : String(toAttributeValue(value, length))

/**
 * Reads the attributes that a program passed, each by itself: a getter that throws gives `!UNENCODABLE`, and an object
 * that cannot be read at all gives none. Never fails.
 *
 * @since 0.1.0
 */
export const entries = (attributes: Readonly<Record<string, unknown>>): ReadonlyArray<readonly [string, unknown]> =>
  Result.getOrElse(
    Result.try(() => Object.keys(attributes)),
    () => []
  ).map((key) => [
    key,
    Result.getOrElse(
      Result.try(() => attributes[key]),
      () => unencodable
    )
  ])

/**
 * Cuts a text to so many characters (UTF-16 code units) without leaving half of a code point behind.
 *
 * @since 0.1.0
 */
export const cut = (text: string, length: number): string => {
  if (text.length <= length) return text
  const last = text.charCodeAt(length - 1)
  const piece = text.slice(0, last >= 0xd800 && last <= 0xdbff ? length - 1 : length)
  // A copy: in V8 a piece of a text keeps the whole of it alive.
  return JSON.parse(JSON.stringify(piece))
}

/**
 * How far beyond what is kept a text is looked at, in characters: a secret at the cut must be seen whole.
 *
 * @since 0.1.0
 */
export const reach = 4096

/**
 * Makes a SpanRecord from the fields that matter, for tests of exporters and analyses and for readers of other formats.
 *
 * **Details**: without ids it is a root with trace id `0…01` and span id `0…01`; without times it starts at the epoch
 * and takes no time; status is `unset`, flags are 1 (sampled).
 *
 * @example
 * ```ts
 * import { SpanRecord } from "handspan"
 *
 * const span = SpanRecord.make({ name: "pipeline.photo_agency" })
 * if (span.parentSpanId !== undefined || span.status.code !== "unset") throw new Error("expected an unset root")
 * ```
 *
 * @since 0.1.0
 */
export const make = (fields: Partial<SpanRecord> & { readonly name: string }): SpanRecord => {
  const startTimeUnixNano = fields.startTimeUnixNano ?? 0n
  return {
    traceId: "00000000000000000000000000000001",
    spanId: "0000000000000001",
    parentSpanId: undefined,
    parentIsRemote: false,
    flags: 1,
    traceState: "",
    kind: "internal",
    endTimeUnixNano: startTimeUnixNano,
    attributes: {},
    events: [],
    links: [],
    status: { code: "unset" },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
    resource: emptyResource,
    scope: defaultScope,
    ...fields,
    startTimeUnixNano
  }
}
