/**
 * The spans of the Recorder: what stands on one while it is open, and how it is written when it ends. Written for speed:
 * ids are words until somebody asks for their text, attributes a flat list until somebody asks for a Map.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import { Content, toMessages } from "./Content.ts"
import { EventName, Key } from "./Conventions.ts"
import { type EncodableEvent, type EncodableLink, type EncodableSpan, type FlatAttributes } from "./EncodableSpan.ts"
import * as Hex from "./Hex.ts"
import type { Redactor } from "./Redaction.ts"
import { type EncodedSpan, type SpanEncoder } from "./SpanEncoder.ts"
import * as SpanEnd from "./SpanEnd.ts"
import type { IdWords } from "./SpanIds.ts"
import * as SpanRecord from "./SpanRecord.ts"
import { type Facts, reach } from "./SpanRecord.ts"
import { begin, parentOf, type SpanOptions, type Trace } from "./SpanTrace.ts"
import type { StackBudget } from "./StackBudget.ts"
import * as TraceContext from "./TraceContext.ts"

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

/**
 * What all spans of a Recorder share, and where it keeps those that are open: a ring, so that one leaves it without a search.
 *
 * @since 0.1.0
 */
export interface Recording {
  readonly encoder: SpanEncoder
  readonly onEnd: (encoded: EncodedSpan, span: EncodableSpan) => void
  readonly resource: SpanRecord.Resource
  readonly limits: Limits
  /** Takes secrets out of what spans hold, where somebody asked for it. */
  readonly redactor: Redactor | undefined
  readonly ids: IdWords
  readonly stacks: StackBudget
  /** Facts that hold no secret, and none that is too long. */
  readonly harmless: WeakSet<Facts>
  started: number
  unsampled: number
  ended: number
  /** The span that opened first, and the one that opened last, of those that are open. */
  first: RecorderSpan | undefined
  last: RecorderSpan | undefined
}

/**
 * A span that is recorded. `flags` and `traceState` are W3C's, for whoever carries the context elsewhere.
 *
 * @since 0.1.0
 */
export class RecorderSpan implements Tracer.Span, EncodableSpan {
  readonly _tag = "Span"
  readonly name: string
  readonly trace: Trace
  readonly id0: number
  readonly id1: number
  readonly parentId0: number
  readonly parentId1: number
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly annotations: Context.Context<never>
  readonly kind: Tracer.SpanKind
  readonly sampled = true
  readonly startTimeUnixNano: bigint
  endTimeUnixNano = 0n
  endStatus: SpanRecord.SpanStatus = unset
  endAttributes: FlatAttributes = nothing
  droppedAttributes = 0
  droppedEvents = 0
  droppedLinks = 0
  /** The neighbours among the open spans, in the order in which they opened. */
  before: RecorderSpan | undefined
  after: RecorderSpan | undefined
  /** Whether somebody was told that it is open for long. */
  overdue = false
  private readonly recording: Recording
  private flat: Array<string | SpanRecord.AttributeValue> = []
  private compactAt = 0
  /** How many texts were cut. */
  private truncated = 0
  private map: Map<string, SpanRecord.AttributeValue> | undefined
  private ownEvents: Array<EncodableEvent> | undefined
  private ownLinks: Array<EncodableLink> | undefined
  private isOpen = true
  private idText: string | undefined

  /** Begins its own trace, or goes on with its parent's, unless it is told which one it belongs to. */
  constructor(recording: Recording, options: SpanOptions, trace?: Trace) {
    const parent = parentOf(options.parent)
    const name = SpanRecord.textOf(options.name)
    this.recording = recording
    this.annotations = options.annotations
    this.kind = options.kind
    this.startTimeUnixNano = options.startTime
    if (parent === undefined) {
      this.parent = Option.none()
      this.trace = trace ?? begin(recording.ids, name)
      this.parentId0 = 0
      this.parentId1 = 0
    } else {
      this.parent = options.parent
      this.trace = trace ?? parent.trace
      this.parentId0 = parent.id0
      this.parentId1 = parent.id1
    }
    // The name of a span can come from anywhere.
    this.name = this.nameOf(name)
    const { id0, id1 } = recording.ids.span(name, this.trace, parent)
    this.id0 = id0
    this.id1 = id1
    if (options.links.length > 0) this.addLinks(options.links)
    this.enter()
  }

  get traceId(): string {
    return this.trace.id
  }

  get spanId(): string {
    return (this.idText ??= Hex.ofWord(this.id0) + Hex.ofWord(this.id1))
  }

  get flags(): number {
    return this.trace.flags | TraceContext.flagSampled
  }

  get traceState(): string {
    return this.trace.traceState
  }

  get parentIsRemote(): boolean {
    return Option.isSome(this.parent) && this.parent.value._tag === "ExternalSpan"
  }

  get resource(): SpanRecord.Resource {
    return this.recording.resource
  }

  get scope(): SpanRecord.InstrumentationScope {
    return this.annotations === noAnnotations
      ? SpanRecord.defaultScope
      : Context.get(this.annotations, SpanRecord.Scope)
  }

  get attributeLimit(): number {
    return this.recording.limits.attributes
  }

  get flatAttributes(): FlatAttributes {
    return this.flat
  }

  get flatEvents(): ReadonlyArray<EncodableEvent> {
    return this.ownEvents ?? noEvents
  }

  get flatLinks(): ReadonlyArray<EncodableLink> {
    return this.ownLinks ?? noLinks
  }

  // The Exit holds the program's own values; a span that somebody keeps must not keep those.
  get status(): Tracer.SpanStatus {
    return this.isOpen
      ? { _tag: "Started", startTime: this.startTimeUnixNano }
      : {
          _tag: "Ended",
          startTime: this.startTimeUnixNano,
          endTime: this.endTimeUnixNano,
          exit: this.endStatus.code === "ok" ? Exit.void : Exit.fail(this.endStatus)
        }
  }

  get attributes(): ReadonlyMap<string, SpanRecord.AttributeValue> {
    return (this.map ??= this.toMap())
  }

  /** What the span links to, by its ids alone: the linked spans themselves are not kept alive. */
  get links(): ReadonlyArray<Tracer.SpanLink> {
    return this.flatLinks.map((link) => ({
      span: TraceContext.toExternalSpan(link),
      attributes: Object.fromEntries(pairs(link.flatAttributes))
    }))
  }

  attribute(key: string, value: unknown): void {
    if (!this.isOpen) return
    const copied = this.take(key, value)
    if (copied === undefined) return
    this.map = undefined
    // A value that comes again is found when the span is written, where each key is looked up anyway.
    const length = this.flat.push(key, copied)
    if (length > 512 && length > this.compactAt) this.compact()
  }

  /** Takes what is the same on many spans: what had nothing to be taken out of it once never will. */
  addFacts(facts: Facts): void {
    if (!this.isOpen) return
    const { flat, map } = this
    if (map === undefined && this.recording.harmless.has(facts)) {
      for (let i = 0; i < facts.length; i++) flat.push(facts[i]!)
      return
    }
    const start = flat.length
    for (let i = 0; i < facts.length; i += 2) this.attribute(facts[i] as string, facts[i + 1])
    if (this.flat === flat && facts.every((fact, i) => flat[start + i] === fact)) this.recording.harmless.add(facts)
  }

  event(name: string, startTime: bigint, attributes?: Record<string, unknown>): void {
    if (!this.isOpen) return
    const { eventAttributes, events } = this.recording.limits
    const own = (this.ownEvents ??= [])
    if (own.length >= events && !neverCutOff.has(name)) {
      this.droppedEvents++
    } else {
      own.push({
        name: this.nameOf(name),
        timeUnixNano: typeof startTime === "bigint" ? startTime : this.startTimeUnixNano,
        ...this.copy(attributes, eventAttributes, neverCutOff.has(name) ? this.errorLength : undefined)
      })
    }
  }

  addLinks(links: ReadonlyArray<Tracer.SpanLink>): void {
    if (!this.isOpen) return
    const { linkAttributes, links: limit } = this.recording.limits
    const own = (this.ownLinks ??= [])
    for (const { attributes, span } of links) {
      const context = TraceContext.fromSpan(span)
      if (context === undefined || own.length >= limit) {
        this.droppedLinks++
      } else {
        own.push({ ...context, ...this.copy(attributes, linkAttributes) })
      }
    }
  }

  end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    if (!this.isOpen) return
    if (typeof endTime !== "bigint") return this.end(this.startTimeUnixNano, exit)
    if (Exit.isSuccess(exit)) {
      this.close(endTime, ok, nothing)
      return
    }
    const length = this.errorLength
    const end = SpanEnd.fromExit(exit, {
      textLength: length + reach,
      stacks: this.recording.stacks.mayTake(endTime)
    })
    // How a span ended is never what the limits cut off.
    for (const { attributes, name } of end.events) {
      const flatAttributes = this.takeAll(attributes, length)
      ;(this.ownEvents ??= []).push({ name, timeUnixNano: endTime, flatAttributes, droppedAttributes: 0 })
    }
    const { status } = end
    const told =
      status.code === "error"
        ? { code: status.code, message: this.short(this.clean(status.message), length, status.message) }
        : status
    this.close(endTime, told, this.takeAll(end.attributes, length))
  }

  /** Ends the span, writes it, and gives it to whoever takes finished spans. */
  close(endTime: bigint, status: SpanRecord.SpanStatus, attributes: FlatAttributes): void {
    if (!this.isOpen) return
    const { recording } = this
    // A wall clock may be set back while a span is open; a negative duration would be refused or shown as nonsense.
    this.endTimeUnixNano = endTime < this.startTimeUnixNano ? this.startTimeUnixNano : endTime
    this.endStatus = status
    this.endAttributes = this.truncated === 0 ? attributes : [...attributes, Key.truncated, this.truncated]
    this.isOpen = false
    this.leave()
    recording.ended++
    const encoded = recording.encoder.encode(this)
    recording.onEnd(encoded, this)
    this.ownEvents = undefined
    this.ownLinks = undefined
  }

  /** Gives the span as it is now, if it is still open. */
  picture(take: (span: EncodedSpan) => void): void {
    if (!this.isOpen) return
    this.endAttributes = pending
    take(this.recording.encoder.encode(this))
    this.endAttributes = nothing
  }

  /** Copies a value, without secrets, and cut where it is too long. */
  private take(
    key: string,
    value: unknown,
    length = this.recording.limits.attributeValueLength
  ): SpanRecord.AttributeValue | undefined {
    const { redactor } = this.recording
    // What most values are needs no look at what else they could be.
    if (typeof value === "number" && redactor === undefined) return value
    if (typeof value === "object" && value instanceof Content) return this.messages(value, length)
    const seen =
      typeof value === "string"
        ? value.length > length + reach
          ? value.slice(0, length + reach)
          : value
        : SpanRecord.toAttributeValue(value, length + reach)
    if (seen === undefined) return undefined
    const clean = redactor === undefined ? seen : redactor.value(this.trace.id, key, seen)
    if (length === Infinity) return clean
    if (typeof clean === "string") return this.short(clean, length, typeof seen === "string" ? seen : clean)
    if (typeof clean !== "object") return clean
    const items: ReadonlyArray<unknown> = typeof seen === "object" ? seen : []
    return clean.map((item, i) =>
      typeof item === "string" ? this.short(item, length, typeof items[i] === "string" ? items[i] : item) : item
    )
  }

  /** Bounded before it is written as JSON, which stays whole unless attributes have a limit. */
  private messages({ role, text }: Content, length: number): string {
    const json = toMessages(role, this.short(this.clean(text), this.recording.limits.contentLength, text))
    return this.short(json, length, "")
  }

  private takeAll(attributes: SpanRecord.Attributes, length: number): FlatAttributes {
    return Object.entries(attributes).flatMap(([key, value]) => [key, this.take(key, value, length) ?? ""])
  }

  private clean(text: string): string {
    return this.recording.redactor?.text(this.trace.id, text) ?? text
  }

  /** The name of a span or an event: logs are events by what they say, so it has a limit of its own. */
  private nameOf(name: unknown): string {
    const whole = SpanRecord.textOf(name, maxNameLength)
    const seen = whole.length > maxNameLength + reach ? whole.slice(0, maxNameLength + reach) : whole
    return this.short(this.clean(seen), maxNameLength, seen)
  }

  /**
   * Cuts a text where it is longer than it may be, never inside of a character, and counts that. Where there was more than what
   * was seen of it, its end may be half a secret, and is left out.
   */
  private short(text: string, length: number, seen: string): string {
    const hasMore = seen.length >= length + reach - 1
    if (!hasMore && text.length <= length) return text
    this.truncated++
    return SpanRecord.cut(text, hasMore ? Math.max(0, Math.min(length, text.length - reach)) : length)
  }

  /** Copies attributes up to a number of them, and counts the rest. Of what cannot be read, nothing is taken. */
  private copy(
    from: Readonly<Record<string, unknown>> | undefined,
    limit: number,
    length?: number
  ): { readonly flatAttributes: FlatAttributes; readonly droppedAttributes: number } {
    if (from === undefined) return { flatAttributes: nothing, droppedAttributes: 0 }
    const flatAttributes: Array<string | SpanRecord.AttributeValue> = []
    let droppedAttributes = 0
    for (const [key, value] of SpanRecord.entries(from)) {
      if (flatAttributes.length >= limit * 2) {
        droppedAttributes++
        continue
      }
      const copied = this.take(key, value, length)
      if (copied !== undefined) flatAttributes.push(key, copied)
    }
    return { flatAttributes, droppedAttributes }
  }

  /** What an error says has a limit, also where nobody set one for attributes. */
  private get errorLength(): number {
    return Math.min(this.recording.limits.attributeValueLength, SpanEnd.defaultTextLength)
  }

  private enter(): void {
    const { recording } = this
    recording.started++
    const { last } = recording
    this.before = last
    if (last === undefined) recording.first = this
    else last.after = this
    recording.last = this
  }

  private leave(): void {
    const { after, before, recording } = this
    if (before === undefined) recording.first = after
    else before.after = after
    if (after === undefined) recording.last = before
    else after.before = before
    this.before = undefined
    this.after = undefined
  }

  /** A key that is set again and again must not fill the memory. */
  private compact(): void {
    const { attributes } = this.recording.limits
    const seen = new Map<string, SpanRecord.AttributeValue>()
    for (const [key, value] of pairs(this.flat)) {
      if (seen.size < attributes || seen.has(key)) seen.set(key, value)
      else this.droppedAttributes++
    }
    this.flat = Array.from(seen).flat(1)
    this.compactAt = this.flat.length * 2
  }

  private toMap(): Map<string, SpanRecord.AttributeValue> {
    const map = new Map<string, SpanRecord.AttributeValue>()
    for (const [key, value] of pairs(this.flat)) {
      if (map.size < this.attributeLimit || map.has(key)) map.set(key, value)
    }
    for (const [key, value] of pairs(this.endAttributes)) map.set(key, value)
    return map
  }
}

const ok: SpanRecord.SpanStatus = { code: "ok" }
const unset: SpanRecord.SpanStatus = { code: "unset" }
const nothing: FlatAttributes = []
const pending: FlatAttributes = [Key.pending, true]
const maxNameLength = 8192

const noEvents: ReadonlyArray<EncodableEvent> = []
const noLinks: ReadonlyArray<EncodableLink> = []
const noAnnotations = Context.empty()

/** What tells how a handoff or a pipeline went is never cut off by what the program wrote besides. */
const neverCutOff = new Set<string>([EventName.handoffAttempt, EventName.pipelineCompleted])

const pairs = function* (flat: FlatAttributes): Generator<readonly [string, SpanRecord.AttributeValue]> {
  for (let i = 0; i < flat.length; i += 2) yield [flat[i] as string, flat[i + 1]!]
}
