/**
 * Spans as OTLP JSON and back: the form in which every OpenTelemetry tool writes and reads traces in files and over
 * HTTP. Protobuf lives in exporter/, files and requests with those who read them.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SpanRecord from "./SpanRecord.ts"

/**
 * An attribute value of OTLP JSON. 64-bit integers are decimal strings, as JSON numbers lose digits above 2^53; doubles
 * that JSON cannot write are `"NaN"`, `"Infinity"` and `"-Infinity"`.
 *
 * @since 0.1.0
 */
export type AnyValue =
  | { readonly stringValue: string }
  | { readonly boolValue: boolean }
  | { readonly intValue: string }
  | { readonly doubleValue: number | string }
  | { readonly arrayValue: { readonly values: ReadonlyArray<AnyValue> } }

/**
 * A document of OTLP JSON: `TracesData` in a file, `ExportTraceServiceRequest` in a request. The two are the same.
 *
 * @since 0.1.0
 */
export type TracesData = ReturnType<typeof encode>

/**
 * Says where a document is not OTLP JSON.
 *
 * @since 0.1.0
 */
export class OtlpJsonError extends Schema.TaggedError<OtlpJsonError>()("OtlpJsonError", {
  /** Where in the document, such as `resourceSpans[0].scopeSpans[0].spans[3].traceId`; `""` is the document itself. */
  path: Schema.String,
  /** What is allowed there. */
  expected: Schema.String,
  /** What is there instead, shortened. */
  got: Schema.String
}) {
  override get message(): string {
    return `Cannot read OTLP JSON: ${this.path === "" ? "" : `${this.path}: `}expected ${this.expected}, got ${this.got}`
  }
}

// The enum starts at 1; 0 is "unspecified", which OTLP lets receivers read as internal.
const spanKinds: ReadonlyArray<SpanRecord.SpanKind> = ["internal", "server", "client", "producer", "consumer"]
const statusCodes = ["unset", "ok", "error"] as const

// OTLP trace.proto, SpanFlags: the low byte is W3C's, then "the next bit is known" and "the parent is remote".
const traceFlagsMask = 0xff
const hasIsRemote = 0x100
const isRemote = 0x200

// Real values nest a few levels. The bound keeps a hostile document from overflowing the stack.
const maxNesting = 64

/**
 * Writes spans as one OTLP JSON document, grouped by resource and scope in the order in which they first appear.
 *
 * **Details**: resources and scopes that hold the same values are one group. Whole numbers up to 2^53 and bigints of 64
 * bits are integers, other numbers doubles, larger bigints strings. Never fails.
 *
 * @example
 * ```ts
 * import { Result } from "effect"
 * import { OtlpJson, SpanRecord } from "handspan"
 *
 * const text = JSON.stringify(OtlpJson.encode([SpanRecord.make({ name: "pipeline.photo_agency" })]))
 * const spans = Result.getOrThrow(OtlpJson.decode(JSON.parse(text)))
 * if (spans[0]?.name !== "pipeline.photo_agency") throw new Error("expected the span back")
 * ```
 *
 * @since 0.1.0
 */
export const encode = (spans: ReadonlyArray<SpanRecord.SpanRecord>) => {
  // Spans of one process share one Resource, so its key is built once and not once per span.
  const keys = new Map<SpanRecord.Resource, string>()
  const resourceKey = ({ resource }: SpanRecord.SpanRecord): string => {
    const key = keys.get(resource) ?? JSON.stringify(encodeAttributes(resource.attributes))
    keys.set(resource, key)
    return key
  }
  return {
    resourceSpans: Array.from(Map.groupBy(spans, resourceKey).values(), (ofResource) => ({
      resource: { attributes: encodeAttributes(ofResource[0]!.resource.attributes), droppedAttributesCount: 0 },
      scopeSpans: Array.from(Map.groupBy(ofResource, scopeKey).values(), (ofScope) => ({
        scope: { name: ofScope[0]!.scope.name, version: ofScope[0]!.scope.version },
        spans: ofScope.map(encodeSpan)
      }))
    }))
  }
}

const scopeKey = ({ scope }: SpanRecord.SpanRecord): string => `${scope.name}\0${scope.version}`

const encodeSpan = (span: SpanRecord.SpanRecord) => ({
  traceId: span.traceId,
  spanId: span.spanId,
  ...(span.parentSpanId === undefined ? {} : { parentSpanId: span.parentSpanId }),
  ...(span.traceState === "" ? {} : { traceState: span.traceState }),
  flags: (span.flags & traceFlagsMask) | hasIsRemote | (span.parentIsRemote ? isRemote : 0),
  name: span.name,
  kind: spanKinds.indexOf(span.kind) + 1,
  startTimeUnixNano: String(span.startTimeUnixNano),
  endTimeUnixNano: String(span.endTimeUnixNano),
  attributes: encodeAttributes(span.attributes),
  droppedAttributesCount: span.droppedAttributesCount,
  events: span.events.map((event) => ({
    name: event.name,
    timeUnixNano: String(event.timeUnixNano),
    attributes: encodeAttributes(event.attributes),
    droppedAttributesCount: event.droppedAttributesCount
  })),
  droppedEventsCount: span.droppedEventsCount,
  links: span.links.map((link) => ({
    traceId: link.traceId,
    spanId: link.spanId,
    ...(link.traceState === "" ? {} : { traceState: link.traceState }),
    // A SpanLink does not know whether its span is remote, so the two remote bits stay 0: "unknown".
    flags: link.flags & traceFlagsMask,
    attributes: encodeAttributes(link.attributes),
    droppedAttributesCount: link.droppedAttributesCount
  })),
  droppedLinksCount: span.droppedLinksCount,
  status: {
    code: statusCodes.indexOf(span.status.code),
    ...(span.status.code === "error" ? { message: span.status.message } : {})
  }
})

const encodeAttributes = (attributes: SpanRecord.Attributes) =>
  Object.entries(attributes).map(([key, value]) => ({ key, value: encodeValue(value) }))

const encodeValue = (value: SpanRecord.AttributeValue): AnyValue => {
  switch (typeof value) {
    case "string":
      return { stringValue: value }
    case "boolean":
      return { boolValue: value }
    case "bigint":
      return BigInt.asIntN(64, value) === value ? { intValue: String(value) } : { stringValue: String(value) }
    case "number":
      return Number.isSafeInteger(value)
        ? { intValue: String(value) }
        : { doubleValue: Number.isFinite(value) ? value : String(value) }
    default:
      return { arrayValue: { values: value.map(encodeValue) } }
  }
}

/**
 * Reads the spans of one OTLP JSON document, in document order, for whoever parsed it from a file or a request.
 *
 * **Details**: takes what OTLP allows and known emitters write: ids in either case, 64-bit integers as numbers or
 * strings, `""` or zeros as the parent of a root, absent or null fields, unknown fields (a document of logs has no
 * spans). What a SpanRecord cannot hold is made flat: maps and nested arrays become JSON text, bytes stay base64, empty
 * values become `""`. Integers within 2^53 become numbers, larger ones bigints. A span that ends before it starts gets
 * its start as its end. Schema URLs and the scope's own attributes are not kept.
 *
 * **Fails with** `OtlpJsonError` at the first place that is not OTLP; nothing of such a document is returned.
 *
 * @example
 * ```ts
 * import { Result } from "effect"
 * import { OtlpJson } from "handspan"
 *
 * const result = OtlpJson.decode({ resourceSpans: "none" })
 * if (!Result.isFailure(result)) throw new Error("expected a failure")
 * if (result.failure.path !== "resourceSpans") throw new Error("expected the path")
 * ```
 *
 * @since 0.1.0
 */
export const decode = (input: unknown): Result.Result<ReadonlyArray<SpanRecord.SpanRecord>, OtlpJsonError> =>
  decodeAt(input, "")

const decodeAt = (
  input: unknown,
  place: string
): Result.Result<ReadonlyArray<SpanRecord.SpanRecord>, OtlpJsonError> => {
  const root: Cursor = { value: input, key: place, parent: undefined, problems: [] }
  const spans = items(field(root, "resourceSpans")).flatMap((resourceSpans) => {
    const resource = { attributes: attributes(field(field(resourceSpans, "resource"), "attributes")) }
    return items(field(resourceSpans, "scopeSpans")).flatMap((scopeSpans) => {
      const at = field(scopeSpans, "scope")
      const scope = { name: text(field(at, "name")), version: text(field(at, "version")) }
      return items(field(scopeSpans, "spans")).map((span) => decodeSpan(span, resource, scope))
    })
  })
  const problem = root.problems[0]
  return problem === undefined ? Result.succeed(spans) : Result.fail(problem)
}

/**
 * Reads a text that holds one OTLP JSON document, or one per line as collectors write to files. Blank lines are skipped.
 *
 * **Fails with** `OtlpJsonError` when a document is not JSON or not OTLP; the path begins with its line.
 *
 * @since 0.1.0
 */
export const decodeText = (input: string): Result.Result<ReadonlyArray<SpanRecord.SpanRecord>, OtlpJsonError> => {
  const whole = parseJson(input)
  if (Result.isSuccess(whole)) return decode(whole.success)
  const spans: Array<SpanRecord.SpanRecord> = []
  for (const [index, line] of input.split("\n").entries()) {
    if (line.trim() === "") continue
    const place = `line ${index + 1}`
    const decoded = parseJson(line).pipe(
      Result.mapError(() => new OtlpJsonError({ path: place, expected: "JSON", got: describe(line) })),
      Result.flatMap((document) => decodeAt(document, place))
    )
    if (Result.isFailure(decoded)) return decoded
    for (const span of decoded.success) spans.push(span)
  }
  return Result.succeed(spans)
}

const parseJson = (input: string): Result.Result<unknown, unknown> =>
  Result.try({ try: () => JSON.parse(input) as unknown, catch: (cause) => cause })

// Reading is total: a reader that meets something else notes the problem and returns a value of its type, so that no
// reader has to pass failures on. The first problem fails the document.
interface Cursor {
  readonly value: unknown
  readonly key: string | number
  readonly parent: Cursor | undefined
  readonly problems: Array<OtlpJsonError>
}

const field = (at: Cursor, key: string): Cursor => {
  const { value, problems } = at
  const known = typeof value === "object" && value !== null && !Array.isArray(value)
  if (!known && !isAbsent(at)) refuse(at, "an object", undefined)
  return { value: known && Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined, key, parent: at, problems }
}

const items = (at: Cursor): ReadonlyArray<Cursor> =>
  Array.isArray(at.value)
    ? at.value.map((value: unknown, key) => ({ value, key, parent: at, problems: at.problems }))
    : isAbsent(at)
      ? []
      : refuse(at, "an array", [])

// Proto3 JSON: null stands for the field's default, as absence does. A document cannot be absent.
const isAbsent = (at: Cursor): boolean => at.parent !== undefined && (at.value === undefined || at.value === null)

const refuse = <A>(at: Cursor, expected: string, instead: A): A => {
  if (at.problems.length === 0)
    at.problems.push(new OtlpJsonError({ path: path(at), expected, got: describe(at.value) }))
  return instead
}

const path = (at: Cursor): string => {
  if (at.parent === undefined) return String(at.key)
  const parent = path(at.parent)
  if (typeof at.key === "number") return `${parent}[${at.key}]`
  return parent === "" ? at.key : `${parent}${at.parent.parent === undefined ? ": " : "."}${at.key}`
}

const describe = (value: unknown): string => {
  if (value === undefined) return "nothing"
  if (Array.isArray(value)) return "an array"
  if (typeof value === "string") return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
  return typeof value === "number" || typeof value === "boolean" || value === null ? `${value}` : "an object"
}

const text = (at: Cursor): string =>
  typeof at.value === "string" ? at.value : isAbsent(at) ? "" : refuse(at, "a string", "")

const integer = (at: Cursor, fit: (bits: number, value: bigint) => bigint, bits: number): bigint => {
  const { value } = at
  if (isAbsent(at)) return 0n
  if (typeof value === "string" ? /^-?\d{1,20}$/.test(value) : Number.isInteger(value)) {
    const found = BigInt(value as string | number)
    if (fit(bits, found) === found) return found
  }
  return refuse(at, `${fit === BigInt.asUintN ? "an unsigned" : "an"} integer of ${bits} bits`, 0n)
}

const time = (at: Cursor): bigint => integer(at, BigInt.asUintN, 64)

const count = (at: Cursor): number => Number(integer(at, BigInt.asUintN, 32))

const id = (at: Cursor, digits: number): string => {
  const found = text(at).toLowerCase()
  return found.length === digits && /^[0-9a-f]*[1-9a-f][0-9a-f]*$/.test(found)
    ? found
    : refuse(at, `${digits} hex digits, not all 0`, "")
}

const decodeSpan = (
  at: Cursor,
  resource: SpanRecord.Resource,
  scope: SpanRecord.InstrumentationScope
): SpanRecord.SpanRecord => {
  const parent = field(at, "parentSpanId")
  const flags = count(field(at, "flags"))
  const startTimeUnixNano = time(field(at, "startTimeUnixNano"))
  const endTimeUnixNano = time(field(at, "endTimeUnixNano"))
  const status = field(at, "status")
  const code = statusCodes[count(field(status, "code"))] ?? "unset"
  return {
    traceId: id(field(at, "traceId"), 32),
    spanId: id(field(at, "spanId"), 16),
    parentSpanId: /^0*$/.test(text(parent)) ? undefined : id(parent, 16),
    parentIsRemote: (flags & hasIsRemote) !== 0 && (flags & isRemote) !== 0,
    flags: flags & traceFlagsMask,
    traceState: text(field(at, "traceState")),
    name: text(field(at, "name")),
    kind: spanKinds[count(field(at, "kind")) - 1] ?? "internal",
    startTimeUnixNano,
    endTimeUnixNano: endTimeUnixNano < startTimeUnixNano ? startTimeUnixNano : endTimeUnixNano,
    attributes: attributes(field(at, "attributes")),
    events: items(field(at, "events")).map((event) => ({
      name: text(field(event, "name")),
      timeUnixNano: time(field(event, "timeUnixNano")),
      attributes: attributes(field(event, "attributes")),
      droppedAttributesCount: count(field(event, "droppedAttributesCount"))
    })),
    links: items(field(at, "links")).map((link) => ({
      traceId: id(field(link, "traceId"), 32),
      spanId: id(field(link, "spanId"), 16),
      flags: count(field(link, "flags")) & traceFlagsMask,
      traceState: text(field(link, "traceState")),
      attributes: attributes(field(link, "attributes")),
      droppedAttributesCount: count(field(link, "droppedAttributesCount"))
    })),
    status: code === "error" ? { code, message: text(field(status, "message")) } : { code },
    droppedAttributesCount: count(field(at, "droppedAttributesCount")),
    droppedEventsCount: count(field(at, "droppedEventsCount")),
    droppedLinksCount: count(field(at, "droppedLinksCount")),
    resource,
    scope
  }
}

// Object.fromEntries defines own properties, so a key such as "__proto__" is a key like any other.
const attributes = (at: Cursor): SpanRecord.Attributes =>
  Object.fromEntries(
    items(at).map((entry) => {
      const value = plain(field(entry, "value"), 0)
      return [text(field(entry, "key")), Array.isArray(value) ? value.map(flat) : flat(value)]
    })
  )

/**
 * Makes a plain value of what OTLP allows in an attribute and a SpanRecord does not: maps and nested lists become JSON
 * text, nothing becomes empty text.
 *
 * @since 0.1.0
 */
export const flat = (value: unknown): string | number | bigint | boolean => {
  switch (typeof value) {
    case "string":
    case "number":
    case "bigint":
    case "boolean":
      return value
    default:
      return value === null
        ? ""
        : JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? String(inner) : inner))
  }
}

const valueKinds = ["stringValue", "boolValue", "intValue", "doubleValue", "arrayValue", "kvlistValue", "bytesValue"]

const plain = (at: Cursor, depth: number): unknown => {
  if (depth > maxNesting) return refuse(at, `at most ${maxNesting} levels of nesting`, null)
  const kind = valueKinds.find((key) => !isAbsent(field(at, key))) ?? "emptyValue"
  const found = field(at, kind)
  switch (kind) {
    case "stringValue":
    case "bytesValue":
      return text(found)
    case "boolValue":
      return typeof found.value === "boolean" ? found.value : refuse(found, "true or false", null)
    case "intValue": {
      const value = integer(found, BigInt.asIntN, 64)
      return Number.isSafeInteger(Number(value)) ? Number(value) : value
    }
    case "doubleValue": {
      const value = typeof found.value === "string" && found.value.trim() !== "" ? Number(found.value) : found.value
      const isNumber = typeof value === "number" && (found.value === "NaN" || !Number.isNaN(value))
      return isNumber ? value : refuse(found, "a number", null)
    }
    case "arrayValue":
      return items(field(found, "values")).map((item) => plain(item, depth + 1))
    case "kvlistValue":
      return Object.fromEntries(
        items(field(found, "values")).map((entry) => [
          text(field(entry, "key")),
          plain(field(entry, "value"), depth + 1)
        ])
      )
    default:
      return null
  }
}
