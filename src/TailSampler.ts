/**
 * Holds the spans of a trace until its end, and then keeps them all or none. A state machine and nothing else: it reads no
 * clock and runs no Effect, so that every step of it can be tested. What a trace is kept for is said by TailRules; who
 * gives it spans and time is Recording.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { EncodableSpan, FlatAttributes, TraceWords } from "./EncodableSpan.ts"
import { HeldSpans } from "./HeldSpans.ts"
import * as Hex from "./Hex.ts"
import * as OtelTraceState from "./OtelTraceState.ts"
import { field } from "./ProtobufWriter.ts"
import type { EncodedSpan } from "./SpanEncoder.ts"
import type * as SpanRecord from "./SpanRecord.ts"
import { Jury, type Rule, type SpanSummary, type TraceSummary } from "./TailRules.ts"

/**
 * How traces are decided, and how many of them may wait.
 *
 * @since 0.1.0
 */
export interface Options {
  /** Asked in their order; a trace that none keeps is dropped. */
  readonly rules: ReadonlyArray<Rule>
  /** Given the spans that stay, those of a trace in the order in which they ended. The bytes hold during the call. */
  readonly onKeep: (span: EncodedSpan) => void
  /** Told of each rule that throws or gives no number, once. Its traces are kept. */
  readonly onProblem?: ((rule: string, problem: unknown) => void) | undefined
  /** Traces that may wait. Default: 10,000. */
  readonly traces?: number | undefined
  /** Spans that may wait. Default: 100,000. */
  readonly spans?: number | undefined
  /** Bytes that they may have, of which the memory may be twice as much, and 8 KiB for each trace. Default: 64 MiB. */
  readonly bytes?: number | undefined
  /**
   * How long a trace that is complete waits whether more of it starts: work in the background, another call of the same
   * caller. Default: 0 seconds.
   */
  readonly settle?: Duration.Input | undefined
  /** How long a trace waits for its other spans after its local root has ended. Default: 30 seconds. */
  readonly age?: Duration.Input | undefined
  /**
   * How long it may have gone on while its local root is open. Default: an hour. Work of agents may take as long, and its
   * end is what was waited for; memory is bounded without it, and what is open for ever is the oldest when that is full.
   */
  readonly openAge?: Duration.Input | undefined
  /** Without room, whether rules decide the oldest by what is known of it, or it is kept. Default: `decideOldest`. */
  readonly overflow?: "decideOldest" | "keepOldest" | undefined
  /** Of how many traces it is remembered what was decided, at least, and twice as many at most. Default: 10,000. */
  readonly remembered?: number | undefined
}

/** Where the threshold is not 0, it goes into the `tracestate` of spans that have one. */
interface Verdict {
  readonly isKept: boolean
  readonly threshold: bigint
}

/**
 * Decides at the end of each trace whether it stays.
 *
 * **Details**: a trace is complete when none of its spans in this process is open, and decided then and there, or when it
 * has settled. Others are decided all the same, by what is known, when their time is up (`tick`), when there is no room, or
 * at the end of it all (`flush`). Later spans follow the verdict; one whose trace is not known, or not any more, is decided
 * by itself. Never fails.
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
  droppedTraces = 0
  /** Traces that were kept, by the rule that kept them, or by `overflow`. */
  readonly keptBy = new Map<string, number>()
  /** Traces that were decided while spans of them were open. */
  readonly early = { age: 0, overflow: 0, flush: 0 }
  private readonly options: Options
  private readonly bounds: { readonly traces: number; readonly spans: number; readonly bytes: number }
  private readonly settleTime: bigint
  private readonly age: bigint
  private readonly openAge: bigint
  private readonly jury: Jury
  private readonly verdicts: Verdicts
  private readonly traces = new Map<string, Trace>()
  /** Those of them that hold spans, in the order in which they began to. */
  private readonly waiting = new Set<Trace>()
  private readonly pool: Array<Uint8Array<ArrayBuffer>> = []
  /** The latest instant that anybody spoke of. */
  private latest = 0n
  private rewrite: Rewrite | undefined

  /** Throws a `RangeError` where a rule's share is none. */
  constructor(options: Options) {
    const { bytes = 64 * 1024 * 1024, rules, spans = 100_000, traces = 10_000 } = options
    this.options = options
    this.bounds = { traces, spans, bytes }
    this.settleTime = nanos(options.settle ?? "0 seconds")
    this.age = nanos(options.age ?? "30 seconds")
    this.openAge = nanos(options.openAge ?? "1 hour")
    this.jury = new Jury(rules, options.onProblem)
    this.verdicts = new Verdicts(options.remembered ?? 10_000)
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
    if (trace.open === 0 && this.settleTime === 0n) this.decide(trace)
    if (this.isOverfull) this.makeRoom()
  }

  /** Decides what has waited for long enough at an instant: nanoseconds since the Unix epoch. */
  tick(now: bigint): void {
    this.see(now)
    for (const trace of Array.from(this.waiting)) if (this.isDue(trace, now)) this.decide(trace, "age")
  }

  /** Decides all that is there, because nobody will wait any more. */
  flush(): void {
    for (const trace of Array.from(this.waiting)) this.decide(trace, "flush")
  }

  /** How often a rule threw, or counted what is no number. */
  get problems(): number {
    return this.jury.problems
  }

  /** Traces that wait. */
  get heldTraces(): number {
    return this.waiting.size
  }

  private get isOverfull(): boolean {
    const { bytes, spans, traces } = this.bounds
    return this.held > spans || this.heldBytes > bytes || this.heldTraces > traces
  }

  private isDue(trace: Trace, now: bigint): boolean {
    if (trace.open === 0) return trace.lastEndTimeUnixNano + this.settleTime <= now
    if (trace.openRoots > 0) return trace.startTimeUnixNano + this.openAge <= now
    return trace.rootEndTimeUnixNano + this.age <= now
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
  private decide(trace: Trace, reason?: keyof TailSampler["early"]): void {
    const { id, spans } = trace
    const early = trace.open > 0 ? reason : undefined
    // A rule that records spans itself may have had this one decided meanwhile.
    if (spans === undefined || !this.waiting.delete(trace)) return
    this.traces.delete(id)
    this.heldBytes -= spans.length
    if (early !== undefined) this.early[early]++
    const isKeptBlindly = early === "overflow" && this.options.overflow === "keepOldest"
    const verdict = isKeptBlindly ? this.keep("overflow", 0n) : this.judge(trace, spans)
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
  }

  private judge(trace: Trace, spans: HeldSpans): Verdict {
    const summary: TraceSummary = {
      traceId: trace.id,
      spans: spans.count,
      durationNanos: trace.openRoots > 0 ? this.latest - trace.startTimeUnixNano : trace.rootDurationNanos,
      isComplete: trace.open === 0
    }
    const found = this.jury.judge(summary, trace.sums, trace.traceState)
    if (found !== undefined) return this.keep(found.rule, found.threshold)
    this.droppedTraces++
    return dropped
  }

  private keep(reason: string, threshold: bigint): Verdict {
    this.keptBy.set(reason, (this.keptBy.get(reason) ?? 0) + 1)
    return { isKept: true, threshold }
  }

  private settle(span: EncodedSpan, traceState: string, { isKept, threshold }: Verdict): void {
    if (!isKept) {
      this.dropped++
      return
    }
    this.kept++
    this.options.onKeep(threshold === 0n ? span : this.atThreshold(span, traceState, threshold))
  }

  private atThreshold(span: EncodedSpan, traceState: string, threshold: bigint): EncodedSpan {
    if (this.rewrite?.before !== traceState || this.rewrite.threshold !== threshold) {
      this.rewrite = rewriteOf(traceState, threshold)
    }
    return this.rewrite.after === undefined ? span : withTraceState(span, this.rewrite)
  }
}

const dropped: Verdict = { isKept: false, threshold: 0n }
const maxPooled = 64
/** What one large trace has grown must not go round among small ones that wait. */
const maxPooledBytes = 4 * HeldSpans.initialBytes

const nanos = (duration: Duration.Input): bigint =>
  Option.getOrElse(Duration.toNanos(Duration.fromInputUnsafe(duration)), () => 2n ** 64n)

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
  private recent = new Map<string, Verdict>()
  private older = new Map<string, Verdict>()
  private readonly half: number

  constructor(half: number) {
    this.half = half
  }

  get(id: string): Verdict | undefined {
    const recent = this.recent.get(id)
    if (recent !== undefined) return recent
    const older = this.older.get(id)
    if (older !== undefined) this.set(id, older)
    return older
  }

  set(id: string, verdict: Verdict): void {
    if (this.recent.size >= this.half) {
      this.older = this.recent
      this.recent = new Map()
    }
    this.recent.set(id, verdict)
  }
}

/** What becomes of a `tracestate` in the spans of a trace that stays by chance. */
interface Rewrite {
  readonly before: string
  readonly threshold: bigint
  /** How many bytes its field has. */
  readonly length: number
  /** The field in its place, `undefined` where it stays as it is. */
  readonly after: Uint8Array | undefined
}

/** Where nobody knows how probable it was that a span came this far, nobody knows it now. */
const rewriteOf = (before: string, threshold: bigint): Rewrite => {
  const own = OtelTraceState.threshold(before)
  const isTold = own === undefined || own >= threshold
  const after = isTold ? undefined : traceStateField(OtelTraceState.withThreshold(before, threshold))
  return { before, threshold, length: traceStateField(before).length, after }
}

const traceStateField = (traceState: string): Uint8Array => field(0x1a, new TextEncoder().encode(traceState))

/** What SpanEncoder writes begins with both ids, 28 bytes, and then comes the tracestate. */
const withTraceState = (span: EncodedSpan, { after = new Uint8Array(), length }: Rewrite): EncodedSpan => {
  const { bytes, resource, scope } = span
  let ids = 1
  while (bytes[ids++]! > 0x7f);
  const rest = bytes.subarray(ids + 28 + length, span.length)
  const head = field(0x12, bytes.subarray(ids, ids + 28), after.length + rest.length)
  const written = new Uint8Array(head.length + after.length + rest.length)
  written.set(head)
  written.set(after, head.length)
  written.set(rest, head.length + after.length)
  return { bytes: written, length: written.length, resource, scope }
}
