/**
 * What all texts about traces share: traced data made safe to print, readable units, columns that align, and colours.
 * The texts themselves live beside it.
 *
 * @since 0.1.0
 */
import { EventName, Key } from "../Conventions.ts"
import type { SpanEvent, SpanRecord } from "../SpanRecord.ts"

/**
 * Makes traced text safe to print on one line: what a terminal could obey is shown as an escape instead.
 *
 * **Details**: a span's name can come from a model, and a terminal obeys what it prints (colours, titles, the
 * clipboard). Shown as escapes are control characters, line breaks, invisible and direction-changing characters and
 * broken surrogates; the joiner inside emoji stays.
 *
 * @example
 * ```ts
 * import * as Printable from "handspan/analysis/Printable"
 *
 * if (Printable.safe("red\u001b[31m\n") !== "red\\u001b[31m\\n") throw new Error("expected escapes")
 * ```
 *
 * @since 0.1.0
 */
export const safe = (text: string): string => text.replace(unprintable, escapeOf)

const unprintable = /(?!\u200d)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

const shortEscapes: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }

// By UTF-16 units, as JSON escapes, so that JSON made safe is still JSON.
const escapeOf = (character: string): string =>
  shortEscapes[character] ??
  character
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("")

/**
 * Writes a duration with three digits that matter, in the unit that suits it: `640 ns`, `12.1 ms`, `1.24 s`, `2 m 05 s`.
 *
 * @since 0.1.0
 */
export const duration = (nanos: bigint): string => {
  if (nanos === 0n) return "0 ms"
  const total = Number(nanos)
  for (const [unit, size] of units) {
    const value = total / size
    const digits = value.toFixed(value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2)
    if (Number(digits) < (unit === "s" ? 60 : 1000)) return `${unit === "ns" ? value : digits} ${unit}`
  }
  const seconds = Math.round(total / 1e9)
  const [large, small] = seconds < 3600 ? [seconds, 1] : [Math.round(seconds / 60), 60]
  const rest = String(large % 60).padStart(2, "0")
  return small === 1 ? `${Math.floor(large / 60)} m ${rest} s` : `${Math.floor(large / 60)} h ${rest} m`
}

const units = [
  ["ns", 1],
  ["µs", 1e3],
  ["ms", 1e6],
  ["s", 1e9]
] as const

/**
 * Writes one time as a share of another: `98.3 %`, `100 %`, `<0.1 %`, and `-` of nothing.
 *
 * @since 0.1.0
 */
export const share = (part: bigint, whole: bigint): string => {
  if (whole === 0n) return "-"
  const percent = (Number(part) / Number(whole)) * 100
  if (part > 0n && percent < 0.1) return "<0.1 %"
  return `${percent >= 99.95 || part === 0n ? percent.toFixed(0) : percent.toFixed(1)} %`
}

/**
 * How a span ended, for a reader. `unset` is a span of a tracer that does not say.
 *
 * @since 0.1.0
 */
export type Outcome = "ok" | "error" | "interrupted" | "unset"

/**
 * Tells how a span ended.
 *
 * @since 0.1.0
 */
export const outcome = (span: SpanRecord): Outcome =>
  span.status.code === "unset" && span.attributes[Key.interrupted] === true ? "interrupted" : span.status.code

/**
 * The sign of each outcome, one column wide.
 *
 * @since 0.1.0
 */
export const mark: Readonly<Record<Outcome, string>> = { ok: "✓", error: "✗", interrupted: "⏹", unset: "·" }

/**
 * The events of a span that tell what its name, times and outcome do not: all but the beginning and end of a pipeline,
 * exceptions, and the last attempt of a handoff.
 *
 * @since 0.1.0
 */
export const notableEvents = (span: SpanRecord): ReadonlyArray<SpanEvent> =>
  span.events.filter((event) =>
    event.name === EventName.handoffAttempt ? Key.attemptWaitMillis in event.attributes : !toldElsewhere.has(event.name)
  )

const toldElsewhere: ReadonlySet<string> = new Set([
  EventName.pipelineStarted,
  EventName.pipelineCompleted,
  EventName.exception
])

/**
 * How many columns a terminal needs for a text that `safe` made: wide letters and emoji take two, accents none.
 *
 * @since 0.1.0
 */
export const width = (text: string): number => {
  // Nearly all text is this, and a segmenter takes a hundred times as long.
  if (/^[\x20-\x7e\u00ae-\u00ff\u2500-\u257f]*$/.test(text)) return text.length
  let columns = 0
  for (const { segment } of segmenter.segment(text)) columns += wide.test(segment) ? 2 : 1
  return columns
}

const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" })

// East Asian wide and full-width letters, and what is drawn as a picture.
const wide =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}|\ufe0f/u

/**
 * The width of the widest of some texts, in columns.
 *
 * @since 0.1.0
 */
export const widest = (texts: ReadonlyArray<string>): number =>
  texts.reduce((most, text) => Math.max(most, width(text)), 0)

/**
 * Fills a text with spaces on its right, or on its left, up to a width in columns.
 *
 * @since 0.1.0
 */
export const pad = (text: string, columns: number, side: "left" | "right" = "right"): string => {
  const space = " ".repeat(Math.max(0, columns - width(text)))
  return side === "right" ? text + space : space + text
}

/**
 * Shortens a text to a width in columns; what is cut off is told by `…`.
 *
 * @since 0.1.0
 */
export const truncate = (text: string, columns: number): string => {
  if (width(text) <= columns) return text
  let kept = ""
  let used = 1
  for (const { segment } of segmenter.segment(text)) {
    used += width(segment)
    if (used > columns) break
    kept += segment
  }
  return `${kept}…`
}

/**
 * Ways to paint a piece of text.
 *
 * @since 0.1.0
 */
export type Palette = Readonly<Record<"dim" | "bold" | "red" | "green" | "yellow" | "cyan", (text: string) => string>>

/**
 * Gives the colours of a terminal, or plain text.
 *
 * @since 0.1.0
 */
export const palette = (colors: boolean): Palette => ({
  dim: paint(colors, 2, 22),
  bold: paint(colors, 1, 22),
  red: paint(colors, 31, 39),
  green: paint(colors, 32, 39),
  yellow: paint(colors, 33, 39),
  cyan: paint(colors, 36, 39)
})

const paint =
  (colors: boolean, on: number, off: number) =>
  (text: string): string =>
    colors && text !== "" ? `\u001b[${on}m${text}\u001b[${off}m` : text

/**
 * Paints a text in the colour of an outcome.
 *
 * @since 0.1.0
 */
export const paintOutcome = (colors: Palette, how: Outcome, text: string): string =>
  how === "ok"
    ? colors.green(text)
    : how === "error"
      ? colors.red(text)
      : how === "interrupted"
        ? colors.yellow(text)
        : text
