/**
 * What agents did, in the words of agents: who handed off to whom, which tools were called, what ran before what. Pure
 * questions to one trace, for tests and for whoever explains traces.
 *
 * Agents are named as in `Agent.make`, or by the whole name of a span, so that spans without an agent can be asked for too.
 *
 * @since 0.1.0
 */
import { handoffSpanName, Key, pipelineSpanName, toolSpanName } from "../Conventions.ts"
import type { SpanRecord } from "../SpanRecord.ts"
import * as TraceTree from "../TraceTree.ts"

/**
 * One handoff.
 *
 * @since 0.1.0
 */
export interface Handoff {
  /** The agent or pipeline that handed off; `root` where none did. */
  readonly from: string
  /** The agent that took over. */
  readonly to: string
  readonly span: SpanRecord
}

/**
 * All handoffs, each before those inside of it, siblings in their order in the trace.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Agent, Pipeline } from "handspan"
 * import * as Handoffs from "handspan/analysis/Handoffs"
 * import * as Testing from "handspan/testing"
 *
 * const writer = Agent.make("writer", { run: (topic: string) => Effect.succeed(`On ${topic}`) })
 * const studio = Pipeline.make("studio", (topic: string) => writer(topic))
 * const { trace } = await Effect.runPromise(Testing.record(studio("tides")))
 * const [first] = Handoffs.handoffs(trace)
 * if (first?.from !== "studio" || first.to !== "writer") throw new Error("expected the writer")
 * ```
 *
 * @since 0.1.0
 */
export const handoffs = (trace: TraceTree.Trace): ReadonlyArray<Handoff> =>
  spansOf(trace).flatMap((span) => {
    const { [Key.agent]: agent, [Key.handoffFrom]: from = "root", [Key.handoffTo]: to = agent } = span.attributes
    return span.name.startsWith(handoffSpanName("")) && typeof to === "string" ? [{ from: String(from), to, span }] : []
  })

/**
 * Whether one agent or pipeline handed off to another.
 *
 * @since 0.1.0
 */
export const handedOff = (trace: TraceTree.Trace, from: string, to: string): boolean =>
  handoffs(trace).some((handoff) => handoff.from === from && handoff.to === to)

/**
 * The tools that were called, in their order in the trace.
 *
 * @since 0.1.0
 */
export const toolCalls = (trace: TraceTree.Trace): ReadonlyArray<string> =>
  spansOf(trace).flatMap(({ attributes, name }) => {
    const prefix = toolSpanName("")
    if (!name.startsWith(prefix)) return []
    return [String(attributes[Key.toolName] ?? name.slice(prefix.length))]
  })

/**
 * How many attempts each handoff to an agent took, in their order in the trace.
 *
 * @since 0.1.0
 */
export const attempts = (trace: TraceTree.Trace, agent: string): ReadonlyArray<number> =>
  handoffs(trace)
    .filter(({ to }) => to === agent)
    .map(({ span }) => Number(span.attributes[Key.handoffAttempts] ?? 1))

/**
 * The spans of an agent, a pipeline or of that very name, in their order in the trace.
 *
 * @since 0.1.0
 */
export const spansNamed = (trace: TraceTree.Trace, name: string): ReadonlyArray<SpanRecord> => {
  const names = new Set([name, handoffSpanName(name), pipelineSpanName(name), toolSpanName(name)])
  return spansOf(trace).filter((span) => names.has(span.name))
}

/**
 * Whether nothing of that name ran.
 *
 * @since 0.1.0
 */
export const never = (trace: TraceTree.Trace, name: string): boolean => spansNamed(trace, name).length === 0

/**
 * Whether all of one name had ended when the first of another began. Where nothing is of either name, the answer is no.
 *
 * **Details**: what ended at the very instant in which the other began, as on a test clock that stands still, ran before
 * it where it stands before it in the trace, and not around it.
 *
 * @since 0.1.0
 */
export const before = (trace: TraceTree.Trace, first: string, second: string): boolean => {
  const [earlier, later] = [spansNamed(trace, first), spansNamed(trace, second)]
  const places = new Map(spansOf(trace).map((span, place) => [span, place]))
  const byId = new Map(trace.spans.map((span) => [span.spanId, span]))
  const isBefore = (one: SpanRecord, other: SpanRecord): boolean =>
    one.endTimeUnixNano === other.startTimeUnixNano
      ? places.get(one)! < places.get(other)! && !isAround(byId, one, other)
      : one.endTimeUnixNano < other.startTimeUnixNano
  return isSome(earlier) && isSome(later) && earlier.every((one) => later.every((other) => isBefore(one, other)))
}

const isAround = (byId: ReadonlyMap<string, SpanRecord>, outer: SpanRecord, inner: SpanRecord): boolean => {
  const seen = new Set<SpanRecord>()
  let span: SpanRecord | undefined = inner
  while (span !== undefined && span !== outer && !seen.has(span)) {
    seen.add(span)
    span = byId.get(span.parentSpanId ?? "")
  }
  return span === outer
}

/**
 * Whether one of one name was at work at the same time as one of another.
 *
 * **Details**: on a test clock that stands still nothing overlaps, as nothing takes time.
 *
 * @since 0.1.0
 */
export const overlaps = (trace: TraceTree.Trace, left: string, right: string): boolean =>
  spansNamed(trace, left).some((one) =>
    spansNamed(trace, right).some(
      (other) =>
        one.spanId !== other.spanId &&
        one.startTimeUnixNano < other.endTimeUnixNano &&
        other.startTimeUnixNano < one.endTimeUnixNano
    )
  )

/**
 * The names that a fan-in joined: agents and pipelines where they are, else spans, one for each link of the first span of that name.
 * What is linked but not in the trace is told by its id.
 *
 * @since 0.1.0
 */
export const fannedIn = (trace: TraceTree.Trace, name: string): ReadonlyArray<string> =>
  (spansNamed(trace, name)[0]?.links ?? []).map((link) => {
    const linked = trace.spans.find(({ spanId }) => spanId === link.spanId)
    return linked === undefined
      ? `span ${link.spanId}`
      : String(linked.attributes[Key.agent] ?? linked.attributes[Key.workflowName] ?? linked.name)
  })

const isSome = (spans: ReadonlyArray<SpanRecord>): boolean => spans.length > 0

const spansOf = (trace: TraceTree.Trace): ReadonlyArray<SpanRecord> =>
  Array.from(TraceTree.walk(trace.roots), ({ span }) => span)
