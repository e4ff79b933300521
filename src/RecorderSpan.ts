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
import { EventName, Key } from "./Conventions.ts"
import { type EncodableEvent, type EncodableLink, type EncodableSpan, type FlatAttributes } from "./EncodableSpan.ts"
import * as Hex from "./Hex.ts"
import { type EncodedSpan, type SpanEncoder } from "./SpanEncoder.ts"
import * as SpanEnd from "./SpanEnd.ts"
import type { IdWords } from "./SpanIds.ts"
import * as SpanRecord from "./SpanRecord.ts"
import { type Facts, reach } from "./SpanRecord.ts"
import type { SpanValues } from "./SpanValues.ts"
import { begin, parentOf, type SpanOptions, type Trace } from "./SpanTrace.ts"
import type { StackBudget } from "./StackBudget.ts"
import * as TraceContext from "./TraceContext.ts"

/**
 * What all spans of a Recorder share, and where it keeps those that are open: a ring, so that one leaves it without a search.
 *
 * @since 0.1.0
 */
export interface Recording {
  readonly encoder: SpanEncoder
  readonly onEnd: (encoded: EncodedSpan, span: EncodableSpan) => void
  readonly resource: SpanRecord.Resource
  readonly values: SpanValues
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
  truncated = 0
  private map: Map<string, SpanRecord.AttributeValue> | undefined
  private ownEvents: Array<EncodableEvent> | undefined
  private ownLinks: Array<EncodableLink> | undefined
  private isOpen = true
  private idText: string | undefined

  /** Begins its own trace, or goes on with its parent's, unless it is told which one it belongs to. */
  constructor(recording: Recording, options: SpanOptions, trace?: Trace, ids: IdWords = recording.ids) {
    const parent = parentOf(options.parent)
    const name = SpanRecord.textOf(options.name)
    this.recording = recording
    this.annotations = options.annotations
    this.kind = options.kind
    this.startTimeUnixNano = options.startTime
    if (parent === undefined) {
      this.parent = Option.none()
      this.trace = trace ?? begin(ids, name)
      this.parentId0 = 0
      this.parentId1 = 0
    } else {
      this.parent = options.parent
      this.trace = trace ?? parent.trace
      this.parentId0 = parent.id0
      this.parentId1 = parent.id1
    }
    // The name of a span can come from anywhere.
    this.name = recording.values.name(this, name)
    const { id0, id1 } = ids.span(name, this.trace, parent)
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
    return this.recording.values.limits.attributes
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
    const copied = this.recording.values.take(this, key, value)
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
    const { values } = this.recording
    const { eventAttributes, events } = values.limits
    const own = (this.ownEvents ??= [])
    if (own.length >= events && !neverCutOff.has(name)) {
      this.droppedEvents++
    } else {
      own.push({
        name: values.name(this, name),
        timeUnixNano: typeof startTime === "bigint" ? startTime : this.startTimeUnixNano,
        ...values.copy(this, attributes, eventAttributes, neverCutOff.has(name) ? values.errorLength : undefined)
      })
    }
  }

  addLinks(links: ReadonlyArray<Tracer.SpanLink>): void {
    if (!this.isOpen) return
    const { values } = this.recording
    const { linkAttributes, links: limit } = values.limits
    const own = (this.ownLinks ??= [])
    for (const { attributes, span } of links) {
      const context = TraceContext.fromSpan(span)
      if (context === undefined || own.length >= limit) {
        this.droppedLinks++
      } else {
        own.push({ ...context, ...values.copy(this, attributes, linkAttributes) })
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
    const { values } = this.recording
    const length = values.errorLength
    const end = SpanEnd.fromExit(exit, {
      textLength: length + reach,
      stacks: this.recording.stacks.mayTake(endTime)
    })
    // How a span ended is never what the limits cut off.
    for (const { attributes, name } of end.events) {
      const flatAttributes = values.takeAll(this, attributes, length)
      ;(this.ownEvents ??= []).push({ name, timeUnixNano: endTime, flatAttributes, droppedAttributes: 0 })
    }
    const { status } = end
    const told =
      status.code === "error" ? { code: status.code, message: values.text(this, status.message, length) } : status
    this.close(endTime, told, values.takeAll(this, end.attributes, length))
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
    const { attributes } = this.recording.values.limits
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
const noEvents: ReadonlyArray<EncodableEvent> = []
const noLinks: ReadonlyArray<EncodableLink> = []
const noAnnotations = Context.empty()

/** What tells how a handoff or a pipeline went is never cut off by what the program wrote besides. */
const neverCutOff = new Set<string>([EventName.handoffAttempt, EventName.pipelineCompleted])

const pairs = function* (flat: FlatAttributes): Generator<readonly [string, SpanRecord.AttributeValue]> {
  for (let i = 0; i < flat.length; i += 2) yield [flat[i] as string, flat[i + 1]!]
}
