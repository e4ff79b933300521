/**
 * The tracer under which programs run: it alone makes ids, and it writes each span once, when the span ends. What stands
 * on a span is `RecorderSpan`'s, where the bytes go is Delivery's, and which Layer puts a Recorder in place is said by
 * `Tracing`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Tracer from "effect/Tracer"
import { Key } from "./Conventions.ts"
import { withCaller } from "./ForeignCall.ts"
import * as HeadSampling from "./HeadSampling.ts"
import * as Hex from "./Hex.ts"
import { OwnIds } from "./OwnIds.ts"
import { OwnShare } from "./OwnShare.ts"
import { PassedSpan } from "./PassedSpan.ts"
import { type Recording, RecorderSpan } from "./RecorderSpan.ts"
import type { Redactor } from "./Redaction.ts"
import type { Sampler } from "./Sampler.ts"
import type { EncodableSpan } from "./EncodableSpan.ts"
import { type EncodedSpan, type NameOf, SpanEncoder } from "./SpanEncoder.ts"
import * as SpanIds from "./SpanIds.ts"
import * as SpanRecord from "./SpanRecord.ts"
import { begin, decidedBefore, parentOf, type SpanOptions, type Trace } from "./SpanTrace.ts"
import { type Limits, SpanValues } from "./SpanValues.ts"
import { StackBudget } from "./StackBudget.ts"
import * as TraceContext from "./TraceContext.ts"
import { UnsampledSpan } from "./UnsampledSpan.ts"

export type { Limits } from "./SpanValues.ts"
export type { Ids } from "./SpanIds.ts"

/**
 * The limits that hold unless others are given.
 *
 * @since 0.1.0
 */
export const defaultLimits: Limits = {
  attributes: 128,
  attributeValueLength: Infinity,
  contentLength: 16_384,
  events: 128,
  links: 128,
  eventAttributes: 128,
  linkAttributes: 128
}

/**
 * How many spans a Recorder has seen: `started` is the sum of the unsampled, the live and those that were given to `onEnd`.
 *
 * @since 0.1.0
 */
export interface Counts {
  readonly started: number
  readonly unsampled: number
  /** Sampled spans that are open. */
  readonly live: number
}

/**
 * A tracer that records.
 *
 * @since 0.1.0
 */
export interface Recorder extends Tracer.Tracer {
  /** Whether a span below one that is not recorded may be recorded all the same: its sampler is to be asked. */
  readonly asksBelow: (parent: Tracer.AnySpan) => boolean
  /** Says what others are to be told of a span that opens only later. The sampler is asked now. */
  readonly foretell: (span: SpanOptions) => TraceContext.TraceContext
  readonly counts: () => Counts
  /**
   * Names the spans that opened before an instant (nanoseconds since the Unix epoch) and are open still, each once.
   */
  readonly takeOverdue: (openedBefore: bigint) => ReadonlyArray<OpenSpan>
  /**
   * Ends all spans that are open, because nobody else will: at a shutdown, say. They are `unset`, with the reason as
   * `handspan.abandoned`.
   */
  readonly abandon: (reason: string, at: bigint) => void
}

/**
 * A span that is open.
 *
 * @since 0.1.0
 */
export interface OpenSpan {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly startTimeUnixNano: bigint
}

/**
 * What spans are called where they go, for houses with names of their own, `undefined` for Handspan's: the Layers of `Tracing` ask
 * what is provided to them. Rules, switches and samplers go by Handspan's names all the same.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Agent, Memory, Recorder, Tracing } from "handspan"
 *
 * const house = Layer.succeed(Recorder.SpanNames, ({ name }) => name.startsWith("agent_handoff.") ? "agent.process" : name)
 * const planner = Agent.make("planner", { run: () => Effect.succeed("a plan") })
 * const program = Effect.andThen(planner(), Effect.flatMap(Memory.Spans, (spans) => spans.all))
 * const [span] = await Effect.runPromise(Effect.provide(program, Layer.provide(Tracing.layerInMemory, house)))
 * if (span?.name !== "agent.process" || span.attributes["agent"] !== "planner") throw new Error("expected the house's name")
 * ```
 *
 * @since 0.1.0
 */
export const SpanNames: Context.Reference<NameOf | undefined> = Context.Reference("handspan/Recorder/SpanNames", {
  defaultValue: (): NameOf | undefined => undefined
})

/**
 * Makes a tracer that gives each sampled span to `onEnd` once, written as OTLP protobuf, when it ends.
 *
 * **Details**: an unsampled span has real ids, passes them on, and records nothing. Attribute values are copied as they
 * arrive; of the Exit only what `SpanEnd.fromExit` reads is kept, never its value. Spans of plain `Effect.withSpan` are
 * recorded like those of agents. There is no hook around primitives: code inside of a span runs at its usual speed.
 *
 * **Gotchas**: the bytes that `onEnd` gets are written over by the next span: copy what is to stay.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Recorder, SpanBuffer } from "handspan"
 *
 * const buffer = new SpanBuffer.SpanBuffer()
 * const tracer = Recorder.make({ onEnd: (span) => buffer.append(span) })
 * Effect.runSync(Effect.withSpan(Effect.void, "work").pipe(Effect.withTracer(tracer)))
 * if (buffer.take().count !== 1) throw new Error("expected the span")
 * ```
 *
 * @since 0.1.0
 */
export const make = (options: {
  /** Given each sampled span when it ends: written, and as it was written from. */
  readonly onEnd: (encoded: EncodedSpan, span: EncodableSpan) => void
  /** Told of each sampled span when it opens. */
  readonly onStart?: ((span: EncodableSpan) => void) | undefined
  /**
   * Given a picture of each sampled span that is still open at the end of the turn in which it started: without an end,
   * with `handspan.pending`.
   */
  readonly onPending?: ((span: EncodedSpan) => void) | undefined
  /** Default: no attributes. */
  readonly resource?: SpanRecord.Resource | undefined
  readonly limits?: Partial<Limits> | undefined
  /** Takes secrets out of names, attributes, events, links, errors and the resource. Default: nobody does. */
  readonly redactor?: Redactor | undefined
  /** Names in the baggage whose values stand on every sampled span. Default: none. */
  readonly baggageAttributes?: ReadonlyArray<string> | undefined
  /** What spans are called where they go. Default: by their names. */
  readonly spanNames?: NameOf | undefined
  /** Default: random ones from the platform's secure source. */
  readonly ids?: SpanIds.Ids | undefined
  /**
   * Gives the sampler that is in place, for each span anew; `undefined` while every trace is taken, and callers of other
   * processes are followed. Default: always `undefined`.
   */
  readonly sampler?: (() => Sampler | undefined) | undefined
}): Recorder => {
  const recording: Recording = {
    encoder: new SpanEncoder(options.spanNames && harmless(options.spanNames)),
    onEnd: options.onEnd,
    resource: withoutSecrets(options.resource ?? SpanRecord.emptyResource, options.redactor),
    values: new SpanValues({ ...defaultLimits, ...options.limits }, options.redactor),
    ids: idsOf(options),
    stacks: new StackBudget(),
    harmless: new WeakSet(),
    started: 0,
    unsampled: 0,
    ended: 0,
    first: undefined,
    last: undefined
  }
  const { baggageAttributes = [], onPending, onStart, sampler } = options
  const open = (span: SpanOptions, ids: SpanIds.IdWords, sampled: boolean, trace?: Trace): Tracer.Span => {
    if (sampled) {
      const made = new RecorderSpan(recording, span, trace, ids)
      if (baggageAttributes.length > 0) addBaggage(made, baggageAttributes)
      onStart?.(made)
      // Its attributes come after it.
      if (onPending !== undefined) queueMicrotask(() => made.picture(onPending))
      return made
    }
    recording.started++
    recording.unsampled++
    return new UnsampledSpan(ids, span, trace)
  }
  const samplerOf = (span: SpanOptions): Sampler | undefined =>
    HeadSampling.withOwnShare(
      sampler?.(),
      span.annotations === noAnnotations ? undefined : Context.get(span.annotations, OwnShare)
    )
  const tracer = Tracer.make({
    span: (asked) => {
      const span = withCaller(asked)
      const own = span.annotations === noAnnotations ? undefined : Context.get(span.annotations, OwnIds)
      const ids = own === undefined ? recording.ids : SpanIds.own(own, recording.ids)
      if (own?.decided !== undefined)
        return open(span, ids, own.decided.sampled, decidedBefore(own.traceId, own.decided))
      const current = samplerOf(span)
      if (current === undefined) return open(span, ids, span.sampled)
      const { sampled, trace } = HeadSampling.decide(current, ids, span)
      return open(span, ids, sampled, trace)
    }
  })
  return Object.assign(tracer, {
    asksBelow: (parent: Tracer.AnySpan) => {
      const current = sampler?.()
      return current !== undefined && (parent._tag === "ExternalSpan" || current.asksInside === "all")
    },
    foretell: (span: SpanOptions) => {
      const own = Context.get(span.annotations, OwnIds)
      const ids = own === undefined ? recording.ids : SpanIds.own(own, recording.ids)
      const current = samplerOf(span)
      const parent = parentOf(span.parent)
      const { sampled, trace } =
        current === undefined
          ? { sampled: span.sampled, trace: parent?.trace ?? begin(ids, span.name) }
          : HeadSampling.decide(current, ids, span)
      const { id0, id1 } = ids.span(span.name, trace, parent)
      const flags = trace.flags | (sampled ? TraceContext.flagSampled : 0)
      return { traceId: trace.id, spanId: Hex.ofWord(id0) + Hex.ofWord(id1), flags, traceState: trace.traceState }
    },
    counts: () => {
      const { ended, started, unsampled } = recording
      return { started, unsampled, live: started - unsampled - ended }
    },
    takeOverdue: (openedBefore: bigint) => {
      const overdue: Array<OpenSpan> = []
      for (let span = recording.first; span !== undefined; span = span.after) {
        if (span.startTimeUnixNano > openedBefore) break
        if (!span.overdue) overdue.push(span)
        span.overdue = true
      }
      return overdue
    },
    abandon: (reason: string, at: bigint) => {
      // Closing one takes it out of the ring.
      for (let span = recording.last; span !== undefined; span = recording.last) {
        span.close(at, { code: "unset" }, [Key.abandoned, reason])
      }
    }
  })
}

/**
 * Makes a tracer that records nothing. A caller's context goes on to whoever is called as it came, so that a service which does not
 * record leaves no gap; what begins here has real ids, and is unsampled.
 *
 * @since 0.1.0
 */
export const makeNoop = (options: { readonly ids?: SpanIds.Ids | undefined } = {}): Tracer.Tracer => {
  const ids = idsOf(options)
  return Tracer.make({
    span: (asked) => {
      const span = withCaller(asked)
      const parent = Option.getOrUndefined(span.parent)
      const called = parent === undefined || parent instanceof UnsampledSpan ? undefined : TraceContext.fromSpan(parent)
      return called === undefined ? new UnsampledSpan(ids, span) : new PassedSpan(span, called)
    }
  })
}

/** What the program says of itself, without secrets; plain JavaScript may give anything. */
const withoutSecrets = (resource: SpanRecord.Resource, redactor: Redactor | undefined): SpanRecord.Resource => ({
  attributes: Object.fromEntries(
    SpanRecord.entries(resource.attributes).flatMap(([key, given]) => {
      const value = SpanRecord.toAttributeValue(given)
      return value === undefined ? [] : [[key, redactor?.value("", key, value) ?? value]]
    })
  )
})

/** A function of the user's that fails must not fail the program whose spans it names. */
const harmless =
  (nameOf: NameOf): NameOf =>
  (span) => {
    const named: Result.Result<unknown, unknown> = Result.try(() => nameOf(span))
    return Result.isSuccess(named) && typeof named.success === "string" ? named.success : span.name
  }

/** What is said on the span goes before what is said around it: a span of plain code may begin where there is no fiber. */
const addBaggage = (span: RecorderSpan, names: ReadonlyArray<string>): void => {
  const baggage =
    Context.getOrUndefined(span.annotations, TraceContext.CurrentBaggage) ??
    Fiber.getCurrent()?.getRef(TraceContext.CurrentBaggage)
  for (const name of names) {
    const entry = baggage?.get(name)
    if (entry !== undefined) span.attribute(name, entry.value)
  }
}

const noAnnotations = Context.empty()

const idsOf = ({ ids }: { readonly ids?: SpanIds.Ids | undefined }): SpanIds.IdWords =>
  ids === undefined ? SpanIds.random() : SpanIds.fromTexts(ids)
