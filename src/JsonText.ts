/**
 * JSON of any value, for people to read on a span: without secrets that are marked as such, without end in circles, and of a
 * huge value no more than will be looked at. What attributes hold is said by `SpanRecord`.
 *
 * @since 0.1.0
 */
import * as Redactable from "effect/Redactable"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"

/**
 * What stands for what cannot be told.
 *
 * @since 0.1.0
 */
export const unencodable = "!UNENCODABLE"

/**
 * Writes a value as JSON, of a large one the beginning: `length` characters of it are right, and little more are written. Never
 * fails.
 *
 * **Details**: of `fields`, where they are given, only these are written, of a list those of its items; a value that has no
 * fields then gives `undefined`. `Redacted` values read `<redacted>`, binary data `<12 bytes>`, what lies deeper than 64 levels
 * `…`, and what throws when it is looked at `!UNENCODABLE`. A Map is a list of pairs, a Set a list.
 *
 * @since 0.1.0
 */
export const write = (value: unknown, length: number, fields?: ReadonlyArray<string>): string | undefined =>
  Result.getOrElse(
    Result.try(() => JSON.stringify(new Excerpt(length).of(value, fields))),
    () => unencodable
  )

const maxDepth = 64
const boxed = /^\[object (?:String|Number|Boolean)\]$/

/** Copies as much of a value as so many characters can tell. What is taken off the budget is never more than what is written. */
class Excerpt {
  private left: number
  private readonly around: Array<object> = []

  constructor(length: number) {
    this.left = length
  }

  of(value: unknown, fields?: ReadonlyArray<string>): unknown {
    switch (typeof value) {
      case "string":
        return fields === undefined ? this.text(value) : undefined
      case "bigint":
        return fields === undefined ? `${value}n` : undefined
      case "object":
        return value === null ? (fields === undefined ? null : undefined) : this.object(value, fields)
      default:
        return fields === undefined ? value : undefined
    }
  }

  private text(text: string): string {
    this.left -= text.length
    return this.left < 0 ? text.slice(0, this.left) : text
  }

  private object(value: object, fields: ReadonlyArray<string> | undefined): unknown {
    if (Redacted.isRedacted(value)) return "<redacted>"
    if (Redactable.isRedactable(value)) return this.of(Redactable.redact(value), fields)
    if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return `<${value.byteLength} bytes>`
    if (this.around.includes(value)) return undefined
    if (this.around.length === maxDepth) return "…"
    this.around.push(value)
    const copy = this.inside(value, fields)
    this.around.pop()
    return copy
  }

  private inside(value: object, fields: ReadonlyArray<string> | undefined): unknown {
    if (Array.isArray(value) || value instanceof Set || value instanceof Map) return this.list(value, fields)
    if (boxed.test(Object.prototype.toString.call(value))) return Object(value).valueOf()
    if (fields !== undefined)
      return this.record(
        value,
        fields.filter((field) => field in value)
      )
    const toJson: unknown = Reflect.get(value, "toJSON")
    if (typeof toJson === "function") return this.of(Reflect.apply(toJson, value, [""]))
    return value instanceof Error
      ? this.record(value, [...new Set([...Object.keys(value), "name", "message"])])
      : this.record(value, Object.keys(value))
  }

  private list(items: Iterable<unknown>, fields: ReadonlyArray<string> | undefined): ReadonlyArray<unknown> {
    const copy: Array<unknown> = []
    for (const item of items) {
      if (this.left <= 0) break
      this.left--
      copy.push(this.guarded(() => item, fields))
    }
    return copy
  }

  private record(value: object, keys: ReadonlyArray<string>): Record<string, unknown> {
    // Without a prototype, so that a field may have any name.
    const copy: Record<string, unknown> = Object.create(null)
    for (const key of keys) {
      if (this.left <= 0) break
      const item = this.guarded(() => Reflect.get(value, key))
      if (item === undefined || typeof item === "function" || typeof item === "symbol") continue
      this.left -= key.length
      copy[key] = item
    }
    return copy
  }

  /** One field that throws costs no other. */
  private guarded(read: () => unknown, fields?: ReadonlyArray<string>): unknown {
    const depth = this.around.length
    return Result.getOrElse(
      Result.try(() => this.of(read(), fields)),
      () => {
        this.around.length = depth
        return unencodable
      }
    )
  }
}
