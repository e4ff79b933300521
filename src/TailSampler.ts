/**
 * Holds the spans of a trace until its end, and then keeps them all or none. A state machine and nothing else: it reads no
 * clock and runs no Effect, so that every step of it can be tested. What a trace is kept for is said by TailRules, how much
 * may wait by TailOptions; who gives it spans and time is Recording.
 *
 * @since 0.1.0
 */
import type { EncodableSpan, FlatAttributes, TraceWords } from "./EncodableSpan.ts"
import { HeldSpans } from "./HeldSpans.ts"
import * as Hex from "./Hex.ts"
import type { EncodedSpan } from "./SpanEncoder.ts"
import type * as SpanRecord from "./SpanRecord.ts"
import { type Finding, TailJury } from "./TailJury.ts"
import { type Bounds, boundsOf, type Decision, type Options } from "./TailOptions.ts"
import type { SpanSummary, TraceSummary } from "./TailRules.ts"
import { ThresholdWriter } from "./TailTraceState.ts"

export type { Decision, Options } from "./TailOptions.ts"

/**
 * Decides at the end of each trace whether it stays.
 *
 * **Details**: a trace is complete when none of its spans in this process is open, and decided then and there, or when it
 * has settled. Others are decided all the same, by what is known, when their time is up (`tick`), when there is no room, when
 * somebody wants to see them off (`decideEnded`), or at the end of it all (`flush`). Later spans follow the verdict; one
 * whose trace is not known, or not any more, is decided by itself. Never fails.
 *
 * @example
 * ```ts
 * import { SpanBuffer, TailRules, TailSampler } from "handspan"
 *
 * const buffer = new SpanBuffer.SpanBuffer()
 * const tail = new TailSampler.TailSampler({
 *   rules: TailRules.errorsOrSlower({ than: "2 seconds", share: 0.1 }),
 *   onKeep: (span) => buffer.append(span)
 * })
 * tail.flush()
 * if (tail.held + tail.kept + tail.dropped !== 0) throw new Error("expected no spans")
 * ```
 *
 * @since 0.1.0
 */
export class TailSampler {
  /** Spans that wait for their trace's end, and their bytes. */
  held = 0
  heldBytes = 0
  /** Spans that were given to `onKeep`, and those that were not, by verdict. */
  kept = 0
  dropped = 0
  private readonly options: Options
  private readonly bounds: Bounds
  private readonly jury: TailJury
  private readonly verdicts: Verdicts
  private readonly thresholds = new ThresholdWriter()
  private readonly traces = new Map<string, Trace>()
  /** Those of them that hold spans, in the order in which they began to. */
  private readonly waiting = new Set<Trace>()
  private readonly pool: Array<Uint8Array<ArrayBuffer>> = []
  /** The latest instant that anybody spoke of. */
  private latest = 0n

  /** Throws a `RangeError` where a bound, a time or a rule's share is none. */
  constructor(options: Options) {
    this.options = options
    this.bounds = boundsOf(options)
    this.jury = new TailJury(options.rules, options.onProblem)
    this.verdicts = new Verdicts(this.bounds.remembered)
  }

  /** A span has started. To be told of each that will end. */
  start(span: EncodableSpan): void {
    const id = idOf(span.trace)
    this.see(span.startTimeUnixNano)
    let trace = this.traces.get(id)
    if (trace === undefined) {
      if (this.verdicts.get(id) !== undefined) return
      trace = this.begin(id, span)
    }
    trace.open++
    if (isLocalRoot(span, trace)) trace.openRoots++
  }

  /** A span has ended. Its bytes are copied. */
  end(encoded: EncodedSpan, span: EncodableSpan): void {
    const id = idOf(span.trace)
    this.see(span.endTimeUnixNano)
    const known = this.traces.get(id)
    const verdict = known === undefined ? this.verdicts.get(id) : undefined
    if (verdict !== undefined) {
      this.settle(encoded, span.traceState, verdict)
      // Rules that compare roots must not miss those that outlast their trace's wait: they are the slow ones.
      if (isLocalRoot(span)) this.jury.count(summarize(span, true), [])
      return
    }
    const trace = known ?? this.begin(id, span)
    const isRoot = isLocalRoot(span, trace)
    // Before any rule runs: one that records spans itself writes over the bytes.
    this.hold(encoded, span.traceState, trace)
    if (trace.open > 0) trace.open--
    if (isRoot) this.endRoot(trace, span)
    this.jury.count(summarize(span, isRoot), trace.sums)
    trace.lastEndTimeUnixNano = span.endTimeUnixNano
    if (trace.open === 0 && this.bounds.settle === 0n) this.decide(trace)
    if (this.isOverfull) this.makeRoom()
  }

  /** Decides what has waited for long enough at an instant: nanoseconds since the Unix epoch. */
  tick(now: bigint): void {
    this.see(now)
    for (const trace of Array.from(this.waiting)) if (this.isDue(trace, now)) this.decide(trace, "age")
  }

  /**
   * Decides the traces whose local root has ended, because somebody wants to see them off. Those whose root is open wait on:
   * how they end is not known.
   */
  decideEnded(): void {
    for (const trace of Array.from(this.waiting)) if (trace.openRoots === 0) this.decide(trace, "flush")
  }

  /** Decides all that is there, because nobody will wait any more. */
  flush(): void {
    for (const trace of Array.from(this.waiting)) this.decide(trace, "flush")
  }

  /** Traces that wait. */
  get heldTraces(): number {
    return this.waiting.size
  }

  private get isOverfull(): boolean {
    const { maxBytes, maxSpans, maxTraces } = this.bounds
    return this.held > maxSpans || this.heldBytes > maxBytes || this.heldTraces > maxTraces
  }

  private isDue(trace: Trace, now: bigint): boolean {
    if (trace.open === 0) return trace.lastEndTimeUnixNano + this.bounds.settle <= now
    if (trace.openRoots > 0) return trace.startTimeUnixNano + this.bounds.openAge <= now
    return trace.rootEndTimeUnixNano + this.bounds.age <= now
  }

  private makeRoom(): void {
    for (const oldest of this.waiting) {
      this.decide(oldest, "overflow")
      if (!this.isOverfull) return
    }
  }

  private see(now: bigint): void {
    if (now > this.latest) this.latest = now
  }

  private begin(id: string, span: EncodableSpan): Trace {
    const trace = new Trace(id, span)
    this.traces.set(id, trace)
    return trace
  }

  private endRoot(trace: Trace, span: EncodableSpan): void {
    const duration = span.endTimeUnixNano - span.startTimeUnixNano
    if (trace.openRoots > 0) trace.openRoots--
    if (duration > trace.rootDurationNanos) trace.rootDurationNanos = duration
    if (span.endTimeUnixNano > trace.rootEndTimeUnixNano) trace.rootEndTimeUnixNano = span.endTimeUnixNano
  }

  private hold(encoded: EncodedSpan, traceState: string, trace: Trace): void {
    trace.spans ??= new HeldSpans(this.pool.pop())
    this.waiting.add(trace)
    trace.spans.append(encoded, traceState)
    this.held++
    this.heldBytes += encoded.length
  }

  /** Lets a trace go, and then says whether its spans stay. */
  private decide(trace: Trace, reason?: Decision["early"]): void {
    const { id, spans } = trace
    const early = trace.open > 0 ? reason : undefined
    // A rule that records spans itself may have had this one decided meanwhile.
    if (spans === undefined || !this.waiting.delete(trace)) return
    this.traces.delete(id)
    this.heldBytes -= spans.length
    const isKeptBlindly = early === "overflow" && this.bounds.overflow === "keepOldest"
    const verdict = isKeptBlindly ? keptForWantOfRoom : this.judge(trace, spans)
    this.verdicts.set(id, verdict)
    if (verdict.isKept) {
      spans.each((span, traceState) => {
        this.held--
        this.settle(span, traceState, verdict)
      })
    } else {
      this.held -= spans.count
      this.dropped += spans.count
    }
    if (this.pool.length < maxPooled && spans.bytes.length <= maxPooledBytes) this.pool.push(spans.bytes)
    this.options.onDecision?.({ isKept: verdict.isKept, rule: verdict.rule, early })
  }

  private judge(trace: Trace, spans: HeldSpans): Finding {
    const summary: TraceSummary = {
      traceId: trace.id,
      spans: spans.count,
      durationNanos: trace.openRoots > 0 ? this.latest - trace.startTimeUnixNano : trace.rootDurationNanos,
      isComplete: trace.open === 0
    }
    return this.jury.judge(summary, trace.sums, trace.traceState)
  }

  private settle(span: EncodedSpan, traceState: string, { isKept, threshold }: Finding): void {
    if (!isKept) {
      this.dropped++
      return
    }
    this.kept++
    this.options.onKeep(this.thresholds.write(span, traceState, threshold))
  }
}

const keptForWantOfRoom: Finding = { isKept: true, rule: "overflow", threshold: 0n }
const maxPooled = 64
/** What one large trace has grown must not go round among small ones that wait. */
const maxPooledBytes = 4 * HeldSpans.initialBytes

/** The Recorder's traces know their ids as texts. */
const idOf = (trace: TraceWords & { readonly id?: string }): string =>
  trace.id ?? Hex.ofWord(trace.word0) + Hex.ofWord(trace.word1) + Hex.ofWord(trace.word2) + Hex.ofWord(trace.word3)

/** The first span of a trace may also stand below one that is not recorded. */
const isLocalRoot = (
  span: EncodableSpan,
  { id0, id1 }: { readonly id0?: number; readonly id1?: number } = {}
): boolean =>
  (span.parentId0 === 0 && span.parentId1 === 0) || span.parentIsRemote || (span.id0 === id0 && span.id1 === id1)

const summarize = (span: EncodableSpan, isLocalRoot: boolean): SpanSummary => ({
  name: span.name,
  kind: span.kind,
  status: span.endStatus,
  durationNanos: span.endTimeUnixNano - span.startTimeUnixNano,
  isLocalRoot,
  attribute: (key) => lastOf(span.endAttributes, key) ?? lastOf(span.flatAttributes, key)
})

/** A later value of a key replaces an earlier one. */
const lastOf = (flat: FlatAttributes, key: string): SpanRecord.AttributeValue | undefined => {
  for (let i = flat.length - 2; i >= 0; i -= 2) if (flat[i] === key) return flat[i + 1]
  return undefined
}

/** A trace that is not decided. Until a span of it has ended there is nothing to hold, and it costs less than that span. */
class Trace {
  readonly id: string
  readonly id0: number
  readonly id1: number
  readonly startTimeUnixNano: bigint
  readonly traceState: string
  open = 0
  openRoots = 0
  rootDurationNanos = 0n
  rootEndTimeUnixNano = 0n
  lastEndTimeUnixNano = 0n
  /** What the rules counted, by their places. */
  readonly sums: Array<number> = []
  spans: HeldSpans | undefined

  constructor(id: string, first: EncodableSpan) {
    this.id = id
    this.id0 = first.id0
    this.id1 = first.id1
    this.startTimeUnixNano = first.startTimeUnixNano
    this.traceState = first.traceState
  }
}

/** The verdicts of the last traces, in two halves of which the older one is forgotten as a whole. */
class Verdicts {
  private recent = new Map<string, Finding>()
  private older = new Map<string, Finding>()
  private readonly half: number

  constructor(half: number) {
    this.half = half
  }

  get(id: string): Finding | undefined {
    const recent = this.recent.get(id)
    if (recent !== undefined) return recent
    const older = this.older.get(id)
    if (older !== undefined) this.set(id, older)
    return older
  }

  set(id: string, verdict: Finding): void {
    if (this.recent.size >= this.half) {
      this.older = this.recent
      this.recent = new Map()
    }
    this.recent.set(id, verdict)
  }
}
