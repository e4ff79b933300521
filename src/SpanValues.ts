/**
 * How a Recorder takes in what programs write on spans: copied, without secrets, and no longer than it may be. What stands on
 * a span is `RecorderSpan`'s.
 *
 * @since 0.1.0
 */
import { Content, toMessages } from "./Content.ts"
import type { FlatAttributes } from "./EncodableSpan.ts"
import type { Redactor } from "./Redaction.ts"
import * as SpanEnd from "./SpanEnd.ts"
import * as SpanRecord from "./SpanRecord.ts"
import { reach } from "./SpanRecord.ts"

/**
 * How much one span may hold; what goes beyond is cut off and counted on the record. Defaults are OpenTelemetry's.
 *
 * @since 0.1.0
 */
export interface Limits {
  /** Attributes of a span. Default: 128. */
  readonly attributes: number
  /** Characters of an attribute's text. Default: no limit. */
  readonly attributeValueLength: number
  /** Characters of what an agent or a pipeline got or gave. Default: 16,384. */
  readonly contentLength: number
  /** Events of a span. Default: 128. */
  readonly events: number
  /** Links of a span. Default: 128. */
  readonly links: number
  /** Attributes of one event. Default: 128. */
  readonly eventAttributes: number
  /** Attributes of one link. Default: 128. */
  readonly linkAttributes: number
}

/** Logs are events by what they say, so names of events need a limit too. */
const maxNameLength = 8192
const maxRememberedName = 128
const maxRememberedNames = 1000

/**
 * The span that something is written on: the trace that its placeholders belong to, and how many of its texts were cut.
 *
 * @since 0.1.0
 */
interface Holder {
  readonly trace: { readonly id: string }
  truncated: number
}

/**
 * Takes in values for the spans of one Recorder.
 *
 * @since 0.1.0
 */
export class SpanValues {
  readonly limits: Limits
  private readonly redactor: Redactor | undefined
  /** Names that were looked at, and had nothing to be taken out. */
  private readonly harmlessNames = new Set<string>()

  constructor(limits: Limits, redactor: Redactor | undefined) {
    this.limits = limits
    this.redactor = redactor
  }

  /** How many characters an error may say: there is a limit also where nobody set one for attributes. */
  get errorLength(): number {
    return Math.min(this.limits.attributeValueLength, SpanEnd.defaultTextLength)
  }

  /** Copies the value of an attribute; gives nothing for what is none. */
  take(
    span: Holder,
    key: string,
    value: unknown,
    length = this.limits.attributeValueLength
  ): SpanRecord.AttributeValue | undefined {
    const { redactor } = this
    // What most values are needs no look at what else they could be.
    if (typeof value === "number" && redactor === undefined) return value
    if (typeof value === "object" && value instanceof Content) return this.messages(span, value, length)
    const seen =
      typeof value === "string"
        ? value.length > length + reach
          ? value.slice(0, length + reach)
          : value
        : SpanRecord.toAttributeValue(value, length + reach)
    if (seen === undefined) return undefined
    const clean = redactor === undefined ? seen : redactor.value(span.trace.id, key, seen)
    if (length === Infinity) return clean
    if (typeof clean === "string") return short(span, clean, length, typeof seen === "string" ? seen : clean)
    if (typeof clean !== "object") return clean
    const items: ReadonlyArray<unknown> = typeof seen === "object" ? seen : []
    return clean.map((item, i) =>
      typeof item === "string" ? short(span, item, length, typeof items[i] === "string" ? items[i] : item) : item
    )
  }

  /** Copies attributes of which none is to be cut off. */
  takeAll(span: Holder, attributes: SpanRecord.Attributes, length: number): FlatAttributes {
    return Object.entries(attributes).flatMap(([key, value]) => [key, this.take(span, key, value, length) ?? ""])
  }

  /** Copies attributes up to a number of them, and counts the rest. Of what cannot be read, nothing is taken. */
  copy(
    span: Holder,
    from: Readonly<Record<string, unknown>> | undefined,
    limit: number,
    length?: number
  ): { readonly flatAttributes: FlatAttributes; readonly droppedAttributes: number } {
    if (from === undefined) return { flatAttributes: [], droppedAttributes: 0 }
    const flatAttributes: Array<string | SpanRecord.AttributeValue> = []
    let droppedAttributes = 0
    for (const [key, value] of SpanRecord.entries(from)) {
      if (flatAttributes.length >= limit * 2) {
        droppedAttributes++
        continue
      }
      const copied = this.take(span, key, value, length)
      if (copied !== undefined) flatAttributes.push(key, copied)
    }
    return { flatAttributes, droppedAttributes }
  }

  /** The name of a span or an event, whatever plain JavaScript gives for one. Most names come again and again. */
  name(span: Holder, name: unknown): string {
    if (typeof name === "string" && this.harmlessNames.has(name)) return name
    const taken = this.newName(span, name)
    if (taken === name && taken.length < maxRememberedName && this.harmlessNames.size < maxRememberedNames) {
      // A key of an object is a text by itself: a piece of a long one would keep all of that alive.
      this.harmlessNames.add(Object.keys({ [taken]: true })[0]!)
    }
    return taken
  }

  private newName(span: Holder, name: unknown): string {
    const whole = SpanRecord.textOf(name, maxNameLength + reach)
    return this.text(
      span,
      whole.length > maxNameLength + reach ? whole.slice(0, maxNameLength + reach) : whole,
      maxNameLength
    )
  }

  /** A text by itself, of which `reach` more than `length` characters are there at most. */
  text(span: Holder, seen: string, length: number): string {
    return short(span, this.clean(span, seen), length, seen)
  }

  /** Bounded before it is written as JSON, which stays whole unless attributes have a limit. */
  private messages(span: Holder, { role, text }: Content, length: number): string {
    return short(span, toMessages(role, this.text(span, text, this.limits.contentLength)), length, "")
  }

  private clean(span: Holder, text: string): string {
    return this.redactor?.text(span.trace.id, text) ?? text
  }
}

/**
 * Cuts a text where it is longer than it may be, never inside of a character, and counts that. Where there was more than what was
 * seen of it, its end may be half a secret, and is left out.
 */
const short = (span: Holder, text: string, length: number, seen: string): string => {
  const hasMore = seen.length >= length + reach - 1
  if (!hasMore && text.length <= length) return text
  span.truncated++
  return SpanRecord.cut(text, hasMore ? Math.max(0, Math.min(length, text.length - reach)) : length)
}
