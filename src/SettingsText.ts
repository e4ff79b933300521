/**
 * Settings as text and as data for people to read: each with its value and who set it, and without what is secret. Pure;
 * the command line prints it.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import { pad, safe, widest } from "./analysis/Printable.ts"
import { type Setting, type Settings, table as rows } from "./Settings.ts"
import type * as Variable from "./Variable.ts"

/**
 * A value as JSON has it: durations as texts such as `5 seconds`, `null` for one that is not set, `Infinity` for one
 * without an end, and `<redacted>` for a secret.
 *
 * @since 0.1.0
 */
export type Data = null | boolean | number | string | ReadonlyArray<string> | { readonly [name: string]: string }

/**
 * Gives each setting as plain data, by its name.
 *
 * **Details**: headers keep their names and lose their values; a URL loses its user, password and query.
 *
 * @example
 * ```ts
 * import { Result } from "effect"
 * import { Settings } from "handspan"
 * import * as SettingsText from "handspan/SettingsText"
 *
 * const settings = Result.getOrThrow(Settings.fromRecord({ HANDSPAN_OTLP_HEADERS: "api-key=hunter2" }))
 * const text = JSON.stringify(SettingsText.data(settings)["otlpHeaders"])
 * if (text !== '{"value":{"api-key":"<redacted>"},"source":"HANDSPAN_OTLP_HEADERS"}') throw new Error("expected no key")
 * ```
 *
 * @since 0.1.0
 */
export const data = (settings: Settings): Readonly<Record<string, Setting<Data>>> =>
  Object.fromEntries(
    Object.entries<Variable.Row<unknown>>(rows).map(([name, row]) => {
      const { source, value } = (settings as unknown as Readonly<Record<string, Setting<unknown>>>)[name]!
      // What errors may not repeat is secret here as well.
      const tell = row.variables[0]?.parser.tell
      return [name, { value: dataOf(typeof value === "string" && tell !== undefined ? tell(value) : value), source }]
    })
  )

const dataOf = (value: unknown): Data => {
  if (value === undefined || value === null) return null
  if (Duration.isDuration(value)) return durationText(value)
  if (Redacted.isRedacted(value)) return redacted
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value)
  if (typeof value === "boolean" || typeof value === "string") return value
  if (Array.isArray(value)) return value.map(String)
  return Object.fromEntries(
    Object.entries(value).map(([name, part]) => [name, Redacted.isRedacted(part) ? redacted : String(part)])
  )
}

const redacted = "<redacted>"

/** As variables and code take it: a whole number of the largest unit that makes it one. */
const durationText = (duration: Duration.Duration): string => {
  const millis = Duration.toMillis(duration)
  if (!Number.isFinite(millis)) return String(millis)
  const [unit, size] = units.find(([, size]) => millis >= size && millis % size === 0) ?? ["milli", 1]
  const count = millis / size
  return `${count} ${unit}${count === 1 ? "" : "s"}`
}

const units = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000]
] as const

/**
 * Writes a value on one line, a list as its variable takes it; nothing for one that is not set, or empty.
 *
 * @since 0.1.0
 */
export const valueText = (value: unknown): string => {
  const plain = dataOf(value)
  if (plain === null) return ""
  if (typeof plain !== "object") return safe(String(plain))
  const parts = Array.isArray(plain) ? plain : Object.entries(plain).map(([name, part]) => `${name}=${part}`)
  return safe(parts.join(","))
}

/**
 * Writes all settings as a table: name, value, who set it. `-` is a value that is not set, or empty.
 *
 * @since 0.1.0
 */
export const table = (settings: Settings): string => {
  const lines = [
    ["setting", "value", "source"] as const,
    ...Object.entries(data(settings)).map(
      ([name, { source, value }]) => [name, valueText(value) || "-", source] as const
    )
  ]
  const nameWidth = widest(lines.map(([name]) => name))
  return lines
    .map(([name, value, source]) => `${pad(name, nameWidth)}  ${pad(value, valueWidth)}  ${source}`)
    .join("\n")
}

// A longer value pushes its own source to the right, not that of all the others.
const valueWidth = 34

/**
 * Makes lines safe to print, each for itself: texts of the environment are not to move the cursor.
 *
 * @since 0.1.0
 */
export const safeLines = (text: string): string => text.split("\n").map(safe).join("\n")
