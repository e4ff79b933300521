/**
 * How the Recorder asks a Sampler: about which spans, with what is known of them, and what becomes of the answer.
 *
 * @since 0.1.0
 */
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as OtelTraceState from "./OtelTraceState.ts"
import * as Sampler from "./Sampler.ts"
import type { IdWords } from "./SpanIds.ts"
import { begin, parentOf, type SpanOptions, Trace } from "./SpanTrace.ts"
import * as TraceContext from "./TraceContext.ts"

/**
 * Whether a span is recorded, and the trace that it then belongs to, with what its `tracestate` says of the decision.
 *
 * **Details**: a program that turns a span down by itself (`sampled: false`, a trace level) has decided. Otherwise the
 * sampler is asked about the first span of a trace in this process, and where it wishes so, about those inside.
 *
 * @since 0.1.0
 */
export const decide = (
  sampler: Sampler.Sampler,
  ids: IdWords,
  options: SpanOptions
): { readonly sampled: boolean; readonly trace: Trace } => {
  const parent = parentOf(options.parent)
  const trace = parent?.trace ?? begin(ids, options.name)
  const above = parent === undefined ? undefined : Option.getOrUndefined(options.parent)
  if (!isAsked(sampler, above, options.sampled)) return { sampled: options.sampled, trace }
  const { sampled, threshold } = sampler.decide({
    traceId: trace.id,
    name: options.name,
    kind: options.kind,
    startTimeUnixNano: options.startTime,
    parent:
      above === undefined
        ? undefined
        : {
            spanId: above.spanId,
            sampled: above.sampled,
            isRemote: above._tag === "ExternalSpan",
            flags: TraceContext.fromSpan(above)?.flags ?? 0,
            traceState: trace.traceState
          },
    get hints() {
      return Fiber.getCurrent()?.getRef(Sampler.Hints) ?? {}
    },
    get baggage() {
      return Fiber.getCurrent()?.getRef(TraceContext.CurrentBaggage) ?? new Map()
    }
  })
  const traceState = sampled ? OtelTraceState.withThreshold(trace.traceState, threshold) : trace.traceState
  const told = traceState === trace.traceState ? trace : new Trace(trace, trace.flags, traceState, trace.id)
  return { sampled, trace: told }
}

const isAsked = (
  { asksInside }: Sampler.Sampler,
  above: { readonly _tag: string; readonly sampled: boolean } | undefined,
  wanted: boolean
): boolean => {
  if (above === undefined) return wanted
  // Effect turns down whatever stands below a span that is not sampled, so it need not be the program's own wish.
  if (above._tag === "ExternalSpan") return wanted || !above.sampled
  return above.sampled ? wanted && asksInside !== undefined : asksInside === "all"
}

/**
 * The sampler for a span that says itself how often it is recorded: where the one in place takes its trace, that share of
 * them. Gives the one in place where the span says nothing.
 *
 * @since 0.1.0
 */
export const withOwnShare = (
  sampler: Sampler.Sampler | undefined,
  share: number | undefined
): Sampler.Sampler | undefined => {
  if (share === undefined) return sampler
  const before = sampler ?? byDefault
  const own = Sampler.probability(share)
  return {
    name: `${before.name}, of which ${own.name}`,
    asksInside: before.asksInside ?? "taken",
    decide: (question) => {
      const { parent } = question
      const isInside = parent !== undefined && !parent.isRemote
      // Inside of a trace the one in place may not wish to be asked: its trace is taken.
      const taken =
        isInside && before.asksInside === undefined
          ? { sampled: parent.sampled, threshold: OtelTraceState.threshold(parent.traceState) }
          : before.decide(question)
      if (!taken.sampled) return taken
      const { sampled, threshold } = own.decide(question)
      const both = taken.threshold !== undefined && threshold !== undefined && taken.threshold > threshold
      return { sampled, threshold: both ? taken.threshold : threshold }
    }
  }
}

const byDefault = Sampler.parentBased({ root: Sampler.always })
