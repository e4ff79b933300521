/**
 * A span as one line of text, in three forms: for people and log tools, and the two forms of earlier tools. Trees live
 * in TreeText.
 *
 * @since 0.1.0
 */
import type { Attributes, AttributeValue, SpanRecord } from "../SpanRecord.ts"
import { durationMillis, durationNanos } from "../SpanRecord.ts"
import * as Printable from "./Printable.ts"

/**
 * Writes a span as one readable line of a log: `<time> <mark> <name> duration=… trace_id=… span_id=… key=value …`.
 *
 * **Details**: the time is when the span ended, in UTC. What follows the name is logfmt: values with spaces, quotes or
 * `=` stand in double quotes; the duration is one that Go's `time.ParseDuration` reads, such as `12.1ms`, `2m05s` or
 * `0ms`. Attributes of the names `duration`, `trace_id` and `span_id` are left out, and so is `error` on a span that
 * failed with a message.
 *
 * @since 0.1.0
 */
export const readable = (span: SpanRecord, colors: Printable.Palette = Printable.palette(false)): string => {
  const how = Printable.outcome(span)
  const error: Attributes =
    span.status.code === "error" && span.status.message !== "" ? { error: span.status.message } : {}
  const own = {
    duration: Printable.duration(durationNanos(span)).replaceAll(" ", ""),
    trace_id: span.traceId,
    span_id: span.spanId,
    ...error
  }
  // Twice: at the start for the order, at the end so that no attribute stands in for one of them.
  const { duration, ...rest } = { ...own, ...span.attributes, ...own }
  return [
    colors.dim(isoTime(span.endTimeUnixNano)),
    Printable.paintOutcome(colors, how, Printable.mark[how]),
    colors.bold(Printable.safe(span.name)),
    fields({ duration }),
    colors.dim(fields(rest))
  ].join(" ")
}

// Dates end long before 64 bits of nanoseconds do not; BigInt keeps the division exact.
const isoTime = (nanos: bigint): string => new Date(Number(BigInt.asUintN(64, nanos) / 1_000_000n)).toISOString()

/**
 * Writes attributes as logfmt, safe to print.
 *
 * @since 0.1.0
 */
export const fields = (attributes: Attributes): string =>
  Object.entries(attributes)
    .map(([key, value]) => `${Printable.safe(key).replace(/[\s="]/g, "_")}=${logfmtValue(value)}`)
    .join(" ")

const logfmtValue = (value: AttributeValue): string => {
  const text = Array.isArray(value) ? value.join(",") : String(value)
  return needsQuotes.test(text) ? `"${Printable.safe(text.replaceAll(/["\\]/g, "\\$&"))}"` : text
}

const needsQuotes = /^$|[\s="\\\p{C}]/u

/**
 * Writes a span as `[TRACE] <name> | trace_id=<id> | span_id=<id> | duration=<ms>ms | <metadata>`, milliseconds with two
 * decimals.
 *
 * **Details**: the metadata are the span's attributes as a Python dict, as `repr` writes it, so that
 * `ast.literal_eval` reads it back. Numbers that Python has no literal for are strings (`'NaN'`, `'Infinity'`).
 *
 * @example
 * ```ts
 * import { SpanRecord } from "handspan"
 * import * as LineText from "handspan/analysis/LineText"
 *
 * const line = LineText.trace(SpanRecord.make({ name: "agent.invoke", attributes: { cached: true } }))
 * if (!line.endsWith("| duration=0.00ms | {'cached': True}")) throw new Error("expected a Python dict")
 * ```
 *
 * @since 0.1.0
 */
export const trace = (span: SpanRecord): string =>
  [
    `[TRACE] ${Printable.safe(span.name)}`,
    `trace_id=${span.traceId}`,
    `span_id=${span.spanId}`,
    `duration=${durationMillis(span).toFixed(2)}ms`,
    pythonDict(span.attributes)
  ].join(" | ")

const pythonDict = (attributes: Attributes): string =>
  `{${Object.entries(attributes)
    .map(([key, value]) => `${pythonString(key)}: ${pythonValue(value)}`)
    .join(", ")}}`

const pythonValue = (value: AttributeValue): string => {
  switch (typeof value) {
    case "string":
      return pythonString(value)
    case "boolean":
      return value ? "True" : "False"
    case "bigint":
      return String(value)
    case "number":
      return Number.isFinite(value) ? String(value) : pythonString(String(value))
    default:
      return `[${value.map(pythonValue).join(", ")}]`
  }
}

// As repr(): single quotes, unless there is a single quote inside and no double one.
const pythonString = (text: string): string => {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  const escaped = text
    .replaceAll("\\", "\\\\")
    .replaceAll(quote, `\\${quote}`)
    .replace(notPythonPrintable, (character) => pythonEscape(character.codePointAt(0) ?? 0, character))
  return quote + escaped + quote
}

// What str.isprintable() denies: control, format, surrogate, private, unassigned, and separators other than a space.
const notPythonPrintable = /(?! )[\p{C}\p{Z}]/gu

const pythonEscape = (code: number, character: string): string => {
  if (character === "\n") return "\\n"
  if (character === "\r") return "\\r"
  if (character === "\t") return "\\t"
  const hex = code.toString(16)
  return code <= 0xff
    ? `\\x${hex.padStart(2, "0")}`
    : code <= 0xffff
      ? `\\u${hex.padStart(4, "0")}`
      : `\\U${hex.padStart(8, "0")}`
}

/**
 * Writes a span as `TRACE: <name> (<start>-<end>) status=<UNSET|OK|ERROR>`, times in seconds since the Unix epoch with
 * three decimals, status in OpenTelemetry's words.
 *
 * @since 0.1.0
 */
export const continuum = (span: SpanRecord): string => {
  const times = `${epochSeconds(span.startTimeUnixNano)}-${epochSeconds(span.endTimeUnixNano)}`
  return `TRACE: ${Printable.safe(span.name)} (${times}) status=${span.status.code.toUpperCase()}`
}

// In whole milliseconds, because seconds as a double would round today's times at the last digit.
const epochSeconds = (nanos: bigint): string => {
  const millis = (nanos + 500_000n) / 1_000_000n
  return `${millis / 1000n}.${String(millis % 1000n).padStart(3, "0")}`
}
