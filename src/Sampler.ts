/**
 * Whether a trace is recorded, decided when it begins: rules that are pure functions of what is known of its first span.
 * The Recorder asks; every exporter obeys. Which sampler is in place is said by settings or code; what is decided at a
 * trace's end is TailSampler's.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as OtelTraceState from "./OtelTraceState.ts"
import { type Attributes, Hints, type SpanKind } from "./SpanRecord.ts"
import type * as TraceContext from "./TraceContext.ts"

export { Hints } from "./SpanRecord.ts"

/**
 * What is known of a span before it begins.
 *
 * @since 0.1.0
 */
export interface Question {
  /** 32 lower-case hex digits. */
  readonly traceId: string
  readonly name: string
  readonly kind: SpanKind
  /** Nanoseconds since the Unix epoch. */
  readonly startTimeUnixNano: bigint
  /** Its parent, `undefined` for the first span of a trace. */
  readonly parent: Parent | undefined
  /** What the program says of it beforehand; attributes come only after the decision. */
  readonly hints: Attributes
  /** What travels with the trace. */
  readonly baggage: TraceContext.Baggage
  /**
   * Gives the instant at which this is asked, in nanoseconds since the Unix epoch, by the program's clock: a span may have
   * started before, or be without times (`Effect.withTracerTiming(false)`). Default: its start.
   */
  readonly now?: (() => bigint) | undefined
  /** Default: nothing is remembered. */
  readonly memory?: Memory | undefined
}

/**
 * What samplers remember of a trace, each by an object of its own: the same for all of its spans in this process. A `Map`
 * is one.
 *
 * @since 0.1.0
 */
export interface Memory {
  readonly get: (key: object) => Decision | undefined
  readonly set: (key: object, decision: Decision) => unknown
}

/**
 * What a sampler sees of a span's parent.
 *
 * @since 0.1.0
 */
export interface Parent {
  /** 16 lower-case hex digits. */
  readonly spanId: string
  readonly sampled: boolean
  /** Whether it is in another process. */
  readonly isRemote: boolean
  /** W3C trace flags. */
  readonly flags: number
  /** W3C tracestate, `""` where there is none. */
  readonly traceState: string
}

/**
 * What a sampler answers.
 *
 * @since 0.1.0
 */
export interface Decision {
  readonly sampled: boolean
  /**
   * How many of 2^56 traces are turned down where this one is taken (OpenTelemetry TraceState Handling, `ot=th`): 0 for
   * none, `undefined` where nobody can know. Receivers scale counts up by it.
   */
  readonly threshold: bigint | undefined
  /**
   * Whether all that stands below a span is turned down with it, whatever a sampler says that asks about all. Default:
   * false.
   */
  readonly withAllBelow?: boolean | undefined
}

/**
 * Decides whether a span is recorded.
 *
 * **Rules**: the same question gets the same answer, but for samplers that count. It never throws, and takes next to no
 * time: it is asked before a span begins. One that breaks these rules takes what the span's parent took, and the first span
 * of a trace.
 *
 * @since 0.1.0
 */
export interface Sampler {
  /** What it does, for people: `ratio 0.1`. */
  readonly name: string
  readonly decide: (question: Question) => Decision
  /**
   * Whether it is also asked about spans inside of traces that are taken, or of all traces. Default: about the first span
   * of a trace in this process alone.
   */
  readonly asksInside?: "taken" | "all" | undefined
  /**
   * Whether it never takes what a caller in another process turned down. Rules that stand before it then do not either.
   * Default: false.
   */
  readonly followsCallers?: boolean | undefined
}

/**
 * Runs an effect whose spans samplers know more of, such as the plan that a customer pays for.
 *
 * @since 0.1.0
 */
export const withHints =
  (hints: Attributes) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Hints, (before) => Effect.provideService(effect, Hints, { ...before, ...hints }))

/** One more than the largest random number of a trace (W3C Trace Context level 2 §random-trace-id: 56 bits). */
const randomRange = 2n ** 56n

const taken: Decision = { sampled: true, threshold: 0n }
const turnedDown: Decision = { sampled: false, threshold: undefined }

/**
 * The decision that leaves a span out, with all that is done in it.
 *
 * @since 0.1.0
 */
export const leftOut: Decision = { sampled: false, threshold: undefined, withAllBelow: true }

/**
 * Decides as was decided about the parent, at its threshold. What has none is taken.
 *
 * @since 0.1.0
 */
export const asParent = ({ parent }: Question): Decision =>
  parent?.sampled === false
    ? turnedDown
    : { sampled: true, threshold: parent === undefined ? undefined : OtelTraceState.threshold(parent.traceState) }

/**
 * Asks a sampler about a span if it wishes to be asked about such a one, and else decides as was decided about the parent:
 * for samplers made of others, which may be asked about more than these.
 *
 * @since 0.1.0
 */
export const ask = (sampler: Sampler, question: Question): Decision => {
  const { parent } = question
  if (parent === undefined || parent.isRemote) return sampler.decide(question)
  const isAsked = parent.sampled ? sampler.asksInside !== undefined : sampler.asksInside === "all"
  return isAsked ? sampler.decide(question) : asParent(question)
}

/**
 * Takes every trace.
 *
 * @since 0.1.0
 */
export const always: Sampler = { name: "always", decide: () => taken }

/**
 * Takes none.
 *
 * @since 0.1.0
 */
export const never: Sampler = { name: "never", decide: () => turnedDown }

const checkRatio = (what: string, ratio: number): void => {
  if (!(ratio >= 0 && ratio <= 1)) throw new RangeError(`Cannot sample: ${what} is ${ratio}, and must be from 0 to 1`)
}

/**
 * Takes a share of traces, from 0 to 1, by their ids alone: the very traces that `traceidratio` of the OpenTelemetry SDKs for
 * Python and Go takes, so that processes with any of them agree.
 *
 * **Gotchas**: the SDK for JavaScript takes others; `OpenTelemetrySampler.fromSampler` brings its `TraceIdRatioBasedSampler`.
 * Where counts are to be scaled back up, use `probability`. Throws a `RangeError` for what is no share.
 *
 * @example
 * ```ts
 * import { Sampler } from "handspan"
 *
 * const question = { name: "work", kind: "internal", startTimeUnixNano: 0n, parent: undefined, hints: {} } as const
 * const asked = { ...question, traceId: "0af7651916cd43dd8448eb211c80319c", baggage: new Map() }
 * const { sampled } = Sampler.ratio(0.5).decide(asked)
 * if (sampled) throw new Error("expected that it is turned down")
 * ```
 *
 * @since 0.1.0
 */
export const ratio = (share: number): Sampler => {
  checkRatio("ratio", share)
  // The last 64 bits of an id are the number of its trace; in two halves, since no more than 53 bits are exact.
  const bound = share * 2 ** 32
  const boundHigh = Math.floor(bound)
  const boundLow = (bound - boundHigh) * 2 ** 32
  return {
    name: `ratio ${share}`,
    decide: ({ traceId }) => {
      const high = Number.parseInt(traceId.slice(16, 24), 16)
      const sampled = high < boundHigh || (high === boundHigh && Number.parseInt(traceId.slice(24), 16) < boundLow)
      return { sampled, threshold: undefined }
    }
  }
}

/**
 * Takes a share of traces, from 0 to 1, by the random part of their ids, and says so in the trace's `tracestate`: processes
 * in every language that sample by OpenTelemetry's consistent probability take the same traces, and counts can be scaled
 * back up (OpenTelemetry Probability Sampling, W3C Trace Context level 2).
 *
 * **Details**: a random number that the caller sent (`ot=rv`) counts instead of the id's own. Throws a `RangeError` for what
 * is no share.
 *
 * @since 0.1.0
 */
export const probability = (share: number): Sampler => {
  checkRatio("probability", share)
  // Not of 1 - share, which has lost digits by then: what others are told must be what they would say.
  const threshold = randomRange - BigInt(Math.round(share * Number(randomRange)))
  return {
    name: `probability ${share}`,
    decide: ({ parent, traceId }) => {
      if (threshold === randomRange) return turnedDown
      const random = OtelTraceState.randomness(parent?.traceState ?? "") ?? BigInt(`0x${traceId.slice(18)}`)
      return random >= threshold ? { sampled: true, threshold } : turnedDown
    }
  }
}

/**
 * Does as a span's parent does, and asks others where that leaves something open: the first span of a trace, and each of
 * four kinds of parents (OpenTelemetry Trace SDK §ParentBased).
 *
 * @since 0.1.0
 */
export const parentBased = (options: {
  /** Asked about the first span of a trace. */
  readonly root: Sampler
  /** Default: `always`. */
  readonly remoteParentSampled?: Sampler | undefined
  /** Default: `never`. */
  readonly remoteParentNotSampled?: Sampler | undefined
  /** Default: `always`. */
  readonly localParentSampled?: Sampler | undefined
  /** Default: `never`. */
  readonly localParentNotSampled?: Sampler | undefined
}): Sampler => {
  const { localParentNotSampled = never, localParentSampled = followed, remoteParentNotSampled = never } = options
  const { remoteParentSampled = followed, root } = options
  return {
    name: `parent's, or ${root.name}`,
    asksInside:
      options.localParentNotSampled !== undefined
        ? "all"
        : options.localParentSampled !== undefined
          ? "taken"
          : undefined,
    followsCallers: remoteParentNotSampled === never,
    decide: (question) => {
      const { parent } = question
      if (parent === undefined) return root.decide(question)
      if (parent.isRemote) return (parent.sampled ? remoteParentSampled : remoteParentNotSampled).decide(question)
      return (parent.sampled ? localParentSampled : localParentNotSampled).decide(question)
    }
  }
}

const followed: Sampler = { name: "as the parent", decide: asParent }

/**
 * What stands where nobody says anything: every trace that no caller turned down.
 *
 * @since 0.1.0
 */
export const byDefault: Sampler = parentBased({ root: always })

/**
 * Takes so many traces a second, at most, as many at once where nothing came before.
 *
 * **Details**: each sampler counts for itself, by the instants at which it is asked. A clock that is set back gives nothing
 * at that moment, and counts on from there. A question without an instant counts by its span's start; where those have no
 * times either, there is what may be taken at once, and no more. Throws a `RangeError` for a number that is not above 0.
 *
 * @since 0.1.0
 */
export const rateLimited = (tracesPerSecond: number): Sampler => {
  if (!(tracesPerSecond > 0) || tracesPerSecond === Infinity) {
    throw new RangeError(`Cannot sample: tracesPerSecond is ${tracesPerSecond}, and must be a number above 0`)
  }
  const most = Math.max(tracesPerSecond, 1)
  let left = most
  let at = 0n
  return {
    name: `${tracesPerSecond} traces per second`,
    decide: (question) => {
      const now = question.now?.() ?? question.startTimeUnixNano
      if (now > at) left = Math.min(most, left + (Number(now - at) / 1e9) * tracesPerSecond)
      // Also where the clock was set back: it would give nothing until it is where it was before.
      at = now
      if (left < 1) return turnedDown
      left--
      return { sampled: true, threshold: undefined }
    }
  }
}
