/**
 * Asks tail rules about a trace, and makes one verdict of what they say. What a rule looks for is TailRules', which traces
 * are asked about, and when, TailSampler's.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Sampler from "./Sampler.ts"
import type { Rule, SpanSummary, TraceSummary } from "./TailRules.ts"

/**
 * What the rules say of a trace.
 *
 * @since 0.1.0
 */
export interface Finding {
  readonly isKept: boolean
  /** The name of the rule that decided, `none` where no rule applied. */
  readonly rule: string
  /** How many of 2^56 traces are not kept where this one is. Where it is not 0, spans say it in their `tracestate`. */
  readonly threshold: bigint
}

/**
 * Asks rules about traces, so that nothing comes of it but a verdict: one that throws, or counts what is no number, keeps.
 *
 * @since 0.1.0
 */
export class TailJury {
  private readonly rules: ReadonlyArray<Rule>
  private readonly seats: ReadonlyArray<Seat>
  private readonly onProblem: ((rule: string, problem: unknown) => void) | undefined
  private readonly told = new Set<Rule>()

  /** Throws a `RangeError` where a rule's share is none. */
  constructor(rules: ReadonlyArray<Rule>, onProblem?: (rule: string, problem: unknown) => void) {
    this.rules = rules
    this.seats = rules.map(({ name, share = 1 }) => ({
      sampler: Sampler.probability(share),
      kept: { isKept: true, rule: name, threshold: 0n },
      dropped: { isKept: false, rule: name, threshold: 0n }
    }))
    this.onProblem = onProblem
  }

  /** Adds up what rules count of a span. What failed once is no number from then on, whatever is added. */
  count(span: SpanSummary, sums: Array<number>, from = 0): void {
    let at = from
    const counted = caught(() => {
      for (; at < this.rules.length; at++) {
        const { count } = this.rules[at]!
        if (count !== undefined) sums[at] = (sums[at] ?? 0) + count(span)
      }
    })
    if (Result.isSuccess(counted)) return
    sums[at] = NaN
    this.note(this.rules[at]!, counted.failure)
    this.count(span, sums, at + 1)
  }

  /** Of several rules that keep, the one with the largest share decides: by that one the others are kept too. */
  judge(trace: TraceSummary, sums: ReadonlyArray<number>, traceState: string): Finding {
    let most: { readonly seat: Seat; readonly share: number } | undefined
    let drops: Seat | undefined
    for (const [index, rule] of this.rules.entries()) {
      const seat = this.seats[index]!
      const applies = this.ask(rule, trace, sums[index] ?? 0)
      if (applies && rule.verdict === "drop") {
        drops = seat
        break
      }
      const share = applies === undefined ? 1 : (rule.share ?? 1)
      if (applies !== false && share > (most?.share ?? 0)) most = { seat, share }
      if (most?.share === 1) return most.seat.kept
    }
    const decision = most?.seat.sampler.decide(questionOf(trace.traceId, traceState))
    return most !== undefined && decision?.sampled === true
      ? { ...most.seat.kept, threshold: decision.threshold ?? 0n }
      : ((drops ?? most?.seat)?.dropped ?? droppedByNone)
  }

  /** Gives `undefined` for a rule that failed. */
  private ask(rule: Rule, trace: TraceSummary, sum: number): boolean | undefined {
    if (Number.isFinite(sum)) {
      const applies = caught(() => rule.applies(trace, sum))
      if (Result.isSuccess(applies)) return applies.success
      this.note(rule, applies.failure)
    } else {
      this.note(rule, new TypeError("Cannot add up what count gives: it is no number"))
    }
    return undefined
  }

  private note(rule: Rule, problem: unknown): void {
    if (this.told.has(rule)) return
    this.told.add(rule)
    caught(() => this.onProblem?.(rule.name, problem))
  }
}

/** What a rule decides by, and what it says, made once: a verdict is remembered for each trace. */
interface Seat {
  readonly sampler: Sampler.Sampler
  readonly kept: Finding
  readonly dropped: Finding
}

const droppedByNone: Finding = { isKept: false, rule: "none", threshold: 0n }

const caught = <A>(evaluate: () => A): Result.Result<A, unknown> =>
  Result.try({ try: evaluate, catch: (problem) => problem })

/** A share is taken by the random number of the trace, wherever that stands. */
const questionOf = (traceId: string, traceState: string): Sampler.Question => ({
  traceId,
  name: "",
  kind: "internal",
  startTimeUnixNano: 0n,
  parent: { spanId: "", sampled: true, isRemote: false, flags: 0, traceState },
  hints: {},
  baggage: new Map()
})
