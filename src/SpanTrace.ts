/**
 * What the spans of one trace share, and how a new span finds it: at its parent, ours or not, or by beginning a trace.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import { traceWords, type TraceWords } from "./EncodableSpan.ts"
import * as Hex from "./Hex.ts"
import * as OtelTraceState from "./OtelTraceState.ts"
import type { Decision, Memory } from "./Sampler.ts"
import type { IdWords, SpanWords } from "./SpanIds.ts"
import * as TraceContext from "./TraceContext.ts"

/**
 * What `Tracer.span` is given.
 *
 * @since 0.1.0
 */
export type SpanOptions = Parameters<Tracer.Tracer["span"]>[0]

/**
 * What the spans of one trace share. Where a decision changes what is said of it, those below share another one, which has
 * the same memory.
 *
 * @since 0.1.0
 */
export class Trace implements TraceWords, Memory {
  readonly word0: number
  readonly word1: number
  readonly word2: number
  readonly word3: number
  /** Those of all its spans. A trace begun here has a random id; one begun elsewhere keeps what its maker said. */
  readonly flags: number
  readonly traceState: string
  private readonly state: State
  /** The one that this came of. None refers to itself: programs write spans as JSON. */
  private readonly origin: Trace | undefined
  private text: string | undefined
  /** Made when a sampler remembers something, which most never do. */
  private remembered: Map<object, Decision> | undefined

  constructor(
    words: TraceWords,
    flags: number,
    traceState: string,
    text: string | undefined,
    state: State = "told",
    origin?: Trace
  ) {
    this.word0 = words.word0
    this.word1 = words.word1
    this.word2 = words.word2
    this.word3 = words.word3
    this.flags = flags
    this.traceState = traceState
    this.state = state
    this.origin = origin
    this.text = text
    this.remembered = undefined
  }

  get id(): string {
    return (this.text ??=
      Hex.ofWord(this.word0) + Hex.ofWord(this.word1) + Hex.ofWord(this.word2) + Hex.ofWord(this.word3))
  }

  get(key: object): Decision | undefined {
    return (this.origin ?? this).remembered?.get(key)
  }

  set(key: object, decision: Decision): void {
    const origin = this.origin ?? this
    origin.remembered ??= new Map()
    origin.remembered.set(key, decision)
  }

  /** Whether whoever turned it down did so with all that stands below. */
  get isOff(): boolean {
    return this.state === "off"
  }

  /** Its tracestate as samplers are to see it: where nobody was asked, all traces are taken, which goes without saying. */
  get knownState(): string {
    return this.state === "unasked" ? OtelTraceState.withThreshold(this.traceState, 0n) : this.traceState
  }

  /** As it goes on where a sampler took it. */
  takenAt(threshold: bigint | undefined): Trace {
    return this.as("told", OtelTraceState.withThreshold(this.traceState, threshold))
  }

  /** As it goes on where it is not recorded, and so stands for no other (OpenTelemetry Trace SDK §CompositeSampler). */
  turnedDown(withAllBelow = false): Trace {
    return this.as(withAllBelow ? "off" : this.state, OtelTraceState.withThreshold(this.traceState, undefined))
  }

  private as(state: State, traceState: string): Trace {
    if (state === this.state && traceState === this.traceState) return this
    return new Trace(this, this.flags, traceState, this.text, state, this.origin ?? this)
  }
}

/** Whether no sampler was asked about a trace that began here, or its tracestate tells all, or it is off. */
type State = "unasked" | "told" | "off"

/**
 * Begins a trace.
 *
 * @since 0.1.0
 */
export const begin = (
  ids: IdWords,
  name: string,
  /** Whether a sampler decides about it. Default: false, so that all are taken. */
  isAsked = false
): Trace => new Trace(ids.trace(name), TraceContext.flagRandom, "", undefined, isAsked ? "told" : "unasked")

/**
 * The trace of a span about which was decided before it opened.
 *
 * @since 0.1.0
 */
export const decidedBefore = (
  traceId: string,
  { flags, traceState }: { readonly flags: number; readonly traceState: string }
): Trace => new Trace(traceWords(traceId), TraceContext.traceFlags(flags), traceState, traceId)

/**
 * What a new span needs of its parent.
 *
 * @since 0.1.0
 */
export interface Parent extends SpanWords {
  readonly trace: Trace
}

/**
 * The parent of a new span, as far as it has ids that mean something: Effect's, while its tracing is off, have none.
 *
 * @since 0.1.0
 */
export const parentOf = (parent: Option.Option<Tracer.AnySpan>): Parent | undefined => {
  if (Option.isNone(parent)) return undefined
  const span: Tracer.AnySpan & Partial<Parent> = parent.value
  if (span.trace instanceof Trace) return span as Tracer.AnySpan & Parent
  const context = TraceContext.fromSpan(span)
  if (context === undefined) return undefined
  const { spanId, traceId } = context
  return {
    trace: decidedBefore(traceId, context),
    id0: Hex.toWord(spanId, 0),
    id1: Hex.toWord(spanId, 1)
  }
}
