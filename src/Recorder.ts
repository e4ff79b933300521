/**
 * The tracer under which programs run: it alone makes ids, and it writes each span as a SpanRecord when the span ends.
 * Where records go is Delivery's; which Layer puts a Recorder in place is said by `Tracing`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import { EventName } from "./Conventions.ts"
import * as SpanEnd from "./SpanEnd.ts"
import * as SpanRecord from "./SpanRecord.ts"
import * as TraceContext from "./TraceContext.ts"

/**
 * Where ids come from.
 *
 * @since 0.1.0
 */
export interface Ids {
  /** 32 lower-case hex digits, not all zero, the right-most 14 random (W3C Trace Context level 2, random flag). */
  readonly traceId: () => string
  /** 16 lower-case hex digits, not all zero. */
  readonly spanId: () => string
}

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
 * The limits that hold unless others are given.
 *
 * @since 0.1.0
 */
export const defaultLimits: Limits = {
  attributes: 128,
  attributeValueLength: Infinity,
  events: 128,
  links: 128,
  eventAttributes: 128,
  linkAttributes: 128
}

/**
 * Makes random ids from the platform's secure source, taken in bulk: one call to it serves a few hundred spans.
 *
 * @since 0.1.0
 */
export const randomIds = (): Ids => {
  const pool = new Uint8Array(4096)
  let used = pool.length
  const hex = (bytes: number): string => {
    if (used + bytes > pool.length) {
      crypto.getRandomValues(pool)
      used = 0
    }
    let text = ""
    for (const end = used + bytes; used < end; used++) text += hexDigits[pool[used]!]
    // All zero means "no id" (W3C Trace Context §3.2.2.3).
    return /^0+$/.test(text) ? hex(bytes) : text
  }
  return { traceId: () => hex(16), spanId: () => hex(8) }
}

const hexDigits = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"))

/**
 * Makes a tracer that gives each sampled span to `onEnd` once, as a record, when it ends.
 *
 * **Details**: an unsampled span has real ids, passes them on, and records nothing. Attribute values are copied as they
 * arrive; of the Exit only what `SpanEnd.fromExit` reads is kept, never its value. Spans of plain `Effect.withSpan` are
 * recorded like those of agents. There is no hook around primitives: code inside of a span runs at its usual speed.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Recorder } from "handspan"
 *
 * const names: Array<string> = []
 * const tracer = Recorder.make({ onEnd: (span) => void names.push(span.name) })
 * Effect.runSync(Effect.withSpan(Effect.void, "work").pipe(Effect.withTracer(tracer)))
 * if (names.join() !== "work") throw new Error("expected the span")
 * ```
 *
 * @since 0.1.0
 */
export const make = (options: {
  readonly onEnd: (span: SpanRecord.SpanRecord) => void
  /** Default: no attributes. */
  readonly resource?: SpanRecord.Resource | undefined
  readonly limits?: Partial<Limits> | undefined
  /** Default: `randomIds()`. */
  readonly ids?: Ids | undefined
}): Tracer.Tracer => {
  const recording: Recording = {
    onEnd: options.onEnd,
    resource: options.resource ?? SpanRecord.emptyResource,
    limits: { ...defaultLimits, ...options.limits },
    ids: options.ids ?? randomIds()
  }
  return Tracer.make({
    span: (span) => (span.sampled ? new RecorderSpan(recording, span) : new UnsampledSpan(recording.ids, span))
  })
}

/**
 * Makes a tracer that records nothing: its spans are unsampled, and have real ids so that the context of a caller still
 * goes on to whoever is called.
 *
 * @since 0.1.0
 */
export const makeNoop = (options?: { readonly ids?: Ids | undefined }): Tracer.Tracer => {
  const ids = options?.ids ?? randomIds()
  return Tracer.make({ span: (span) => new UnsampledSpan(ids, span) })
}

interface Recording {
  readonly onEnd: (span: SpanRecord.SpanRecord) => void
  readonly resource: SpanRecord.Resource
  readonly limits: Limits
  readonly ids: Ids
}

type SpanOptions = Parameters<Tracer.Tracer["span"]>[0]

/**
 * A span of the Recorder. `flags` and `traceState` are W3C's, for whoever carries the context elsewhere.
 */
class RecorderSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly flags: number
  readonly traceState: string
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly annotations: Context.Context<never>
  readonly kind: Tracer.SpanKind
  readonly sampled = true
  readonly attributes = new Map<string, SpanRecord.AttributeValue>()
  status: Tracer.SpanStatus
  private readonly recording: Recording
  private readonly parentContext: TraceContext.TraceContext | undefined
  private recordedLinks: Array<SpanRecord.SpanLink> = []
  private events: Array<SpanRecord.SpanEvent> = []
  private droppedAttributes = 0
  private droppedEvents = 0
  private droppedLinks = 0

  constructor(recording: Recording, options: SpanOptions) {
    this.recording = recording
    this.name = options.name
    this.annotations = options.annotations
    this.kind = options.kind
    this.status = { _tag: "Started", startTime: options.startTime }
    this.parentContext = contextOf(options.parent)
    this.parent = this.parentContext === undefined ? Option.none() : options.parent
    this.traceId = this.parentContext?.traceId ?? recording.ids.traceId()
    this.spanId = recording.ids.spanId()
    this.flags = randomFlag(this.parentContext) | TraceContext.flagSampled
    this.traceState = this.parentContext?.traceState ?? ""
    this.addLinks(options.links)
  }

  attribute(key: string, value: unknown): void {
    if (this.status._tag === "Ended") return
    const { attributeValueLength, attributes } = this.recording.limits
    const copied = SpanRecord.toAttributeValue(value, attributeValueLength)
    if (copied === undefined) return
    if (this.attributes.size >= attributes && !this.attributes.has(key)) {
      this.droppedAttributes++
    } else {
      this.attributes.set(key, copied)
    }
  }

  event(name: string, startTime: bigint, attributes?: Record<string, unknown>): void {
    if (this.status._tag === "Ended") return
    const { attributeValueLength, eventAttributes, events } = this.recording.limits
    if (this.events.length >= events && !ownEvents.has(name)) {
      this.droppedEvents++
    } else {
      this.events.push({ name, timeUnixNano: startTime, ...copy(attributes, eventAttributes, attributeValueLength) })
    }
  }

  /** What the span links to, by its ids alone: the linked spans themselves are not kept alive. */
  get links(): ReadonlyArray<Tracer.SpanLink> {
    return this.recordedLinks.map((link) => ({
      span: TraceContext.toExternalSpan(link),
      attributes: link.attributes
    }))
  }

  addLinks(links: ReadonlyArray<Tracer.SpanLink>): void {
    if (this.status._tag === "Ended") return
    const { attributeValueLength, linkAttributes, links: limit } = this.recording.limits
    for (const link of links) {
      const context = TraceContext.fromSpan(link.span)
      if (context === undefined || this.recordedLinks.length >= limit) {
        this.droppedLinks++
      } else {
        this.recordedLinks.push({ ...context, ...copy(link.attributes, linkAttributes, attributeValueLength) })
      }
    }
  }

  end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    if (this.status._tag === "Ended") return
    const startTime = this.status.startTime
    const { attributeValueLength } = this.recording.limits
    const end = SpanEnd.fromExit(
      exit,
      Number.isFinite(attributeValueLength) ? { textLength: attributeValueLength } : {}
    )
    // How a span ended is never what the limits cut off.
    for (const key in end.attributes) this.attributes.set(key, end.attributes[key]!)
    for (const { attributes, name } of end.events) {
      this.events.push({ name, timeUnixNano: endTime, attributes, droppedAttributesCount: 0 })
    }
    // The Exit holds the program's own values; a span that somebody keeps must not keep those.
    this.status = { _tag: "Ended", startTime, endTime, exit: Exit.isSuccess(exit) ? Exit.void : Exit.fail(end.status) }
    const record = this.toRecord(startTime, endTime, end.status)
    this.events = []
    this.recordedLinks = []
    this.recording.onEnd(record)
  }

  private toRecord(startTime: bigint, endTime: bigint, status: SpanRecord.SpanStatus): SpanRecord.SpanRecord {
    return {
      traceId: this.traceId,
      spanId: this.spanId,
      parentSpanId: this.parentContext?.spanId,
      parentIsRemote: Option.isSome(this.parent) && this.parent.value._tag === "ExternalSpan",
      flags: this.flags,
      traceState: this.traceState,
      name: this.name,
      kind: this.kind,
      startTimeUnixNano: startTime,
      // A wall clock may be set back while a span is open; a negative duration would be refused or shown as nonsense.
      endTimeUnixNano: endTime < startTime ? startTime : endTime,
      attributes: Object.fromEntries(this.attributes),
      events: this.events,
      links: this.recordedLinks,
      status,
      droppedAttributesCount: this.droppedAttributes,
      droppedEventsCount: this.droppedEvents,
      droppedLinksCount: this.droppedLinks,
      resource: this.recording.resource,
      scope: Context.get(this.annotations, SpanRecord.Scope)
    }
  }
}

/**
 * A span that is not recorded: what others need to go on with its trace, and nothing else. Its own id is made when
 * somebody asks for it, which mostly nobody does.
 */
class UnsampledSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly name: string
  readonly traceId: string
  readonly flags: number
  readonly traceState: string
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly annotations: Context.Context<never>
  readonly kind: Tracer.SpanKind
  readonly sampled = false
  readonly links: ReadonlyArray<Tracer.SpanLink> = noLinks
  readonly attributes: ReadonlyMap<string, unknown> = noAttributes
  status: Tracer.SpanStatus
  private readonly ids: Ids
  private ownSpanId: string | undefined

  constructor(ids: Ids, options: SpanOptions) {
    const parent = contextOf(options.parent)
    this.ids = ids
    this.name = options.name
    this.traceId = parent?.traceId ?? ids.traceId()
    this.flags = randomFlag(parent)
    this.traceState = parent?.traceState ?? ""
    this.parent = options.parent
    this.annotations = options.annotations
    this.kind = options.kind
    this.status = { _tag: "Started", startTime: options.startTime }
  }

  get spanId(): string {
    return (this.ownSpanId ??= this.ids.spanId())
  }

  attribute(): void {}
  event(): void {}
  addLinks(): void {}

  end(endTime: bigint): void {
    if (this.status._tag === "Ended") return
    this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit: Exit.void }
  }
}

/** What tells how a handoff or a pipeline went is never cut off by what the program wrote besides. */
const ownEvents = new Set<string>([EventName.handoffAttempt, EventName.pipelineCompleted])

const noLinks: ReadonlyArray<Tracer.SpanLink> = []
const noAttributes: ReadonlyMap<string, unknown> = new Map()

/** A parent with ids that mean nothing, as Effect's are while its tracing is off, is no parent. Our own need no check. */
const contextOf = (parent: Option.Option<Tracer.AnySpan>): TraceContext.TraceContext | undefined => {
  if (Option.isNone(parent)) return undefined
  const span = parent.value
  return span instanceof RecorderSpan || span instanceof UnsampledSpan ? span : TraceContext.fromSpan(span)
}

/** A trace begun here has a random id; one begun elsewhere keeps what its maker said (W3C level 2, random flag). */
const randomFlag = (parent: TraceContext.TraceContext | undefined): number =>
  parent === undefined ? TraceContext.flagRandom : parent.flags & TraceContext.flagRandom

/** Copies attributes up to a number of them, and counts the rest. Of what cannot be read, nothing is taken. */
const copy = (
  from: Readonly<Record<string, unknown>> | undefined,
  limit: number,
  valueLength: number
): { readonly attributes: SpanRecord.Attributes; readonly droppedAttributesCount: number } => {
  const attributes: Record<string, SpanRecord.AttributeValue> = {}
  let dropped = 0
  let taken = 0
  for (const [key, value] of from === undefined ? [] : SpanRecord.entries(from)) {
    if (taken >= limit) {
      dropped++
      continue
    }
    const copied = SpanRecord.toAttributeValue(value, valueLength)
    if (copied === undefined) continue
    Object.defineProperty(attributes, key, { value: copied, enumerable: true, configurable: true, writable: true })
    taken++
  }
  return { attributes, droppedAttributesCount: dropped }
}
