/**
 * What holds for every good trace, whatever the program does. `TestTracing` checks it when a test ends; each law can be
 * set aside by its name.
 *
 * @since 0.1.0
 */
import { Key } from "../Conventions.ts"
import type { SpanRecord } from "../SpanRecord.ts"
import * as TraceContext from "../TraceContext.ts"
import * as TraceTree from "../TraceTree.ts"

/**
 * What must not be, by the name that allows it.
 *
 * - `openSpans`: a span that nobody ended
 * - `orphans`: a span whose parent is not in its trace, unless the parent is in another process
 * - `sharedSpans`: one span id in two traces
 * - `noopIds`: an id that is none, such as the "noop" of a tracer that is off
 * - `lateChildren`: a span that began before its parent or ended after it, unless nobody waits for its fiber
 * - `strayHandoffs`: a handoff that does not stand under the agent or pipeline which it says it came from
 *
 * @since 0.1.0
 */
export type Law = "openSpans" | "orphans" | "sharedSpans" | "noopIds" | "lateChildren" | "strayHandoffs"

/**
 * A law that does not hold.
 *
 * @since 0.1.0
 */
export interface Violation {
  readonly law: Law
  /** What is wrong, with which span, and what to do. */
  readonly message: string
}

/**
 * What besides the traces is known of the spans of a test.
 *
 * @since 0.1.0
 */
export interface Facts {
  /** Names of the spans that are open. Default: none. */
  readonly open?: ReadonlyArray<string> | undefined
  /** Whether a span is open and yet to be recorded, so that its children are no orphans. Default: none is. */
  readonly isOpen?: ((spanId: string) => boolean) | undefined
  /** Whether a span's fiber goes on without its parent's. Default: none does. */
  readonly isDetached?: ((spanId: string, parentSpanId: string) => boolean) | undefined
}

/**
 * Says which laws some traces break, in the order of `Law`.
 *
 * @example
 * ```ts
 * import { SpanRecord, TraceTree } from "handspan"
 * import * as Testing from "handspan/testing"
 *
 * const lost = SpanRecord.make({ name: "lost", parentSpanId: "00000000000000ff" })
 * const [violation] = Testing.violations(TraceTree.fromSpans([lost]))
 * if (violation?.law !== "orphans") throw new Error("expected an orphan")
 * ```
 *
 * @since 0.1.0
 */
export const violations = (traces: ReadonlyArray<TraceTree.Trace>, facts: Facts = {}): ReadonlyArray<Violation> => [
  ...(facts.open ?? []).map((name) =>
    violation("openSpans", `Span "${name}" is still open: end it before the test ends`)
  ),
  ...traces.flatMap((trace) => orphans(trace, facts)),
  ...sharedSpans(traces),
  ...traces.flatMap(noopIds),
  ...traces.flatMap((trace) => lateChildren(trace, facts)),
  ...traces.flatMap(strayHandoffs)
]

const violation = (law: Law, problem: string): Violation => ({ law, message: `${problem}, or allow "${law}"` })

const orphans = (trace: TraceTree.Trace, { isOpen }: Facts): ReadonlyArray<Violation> =>
  trace.problems.flatMap((problem) =>
    problem._tag !== "Orphan" || problem.span.parentIsRemote || isOpen?.(problem.span.parentSpanId ?? "") === true
      ? []
      : [
          violation(
            "orphans",
            `Span "${problem.span.name}" is an orphan: its parent ${problem.span.parentSpanId} is not in trace ${trace.traceId}; record the parent with the same layer`
          )
        ]
  )

const sharedSpans = (traces: ReadonlyArray<TraceTree.Trace>): ReadonlyArray<Violation> =>
  Array.from(Map.groupBy(spansOf(traces), ({ spanId }) => spanId)).flatMap(([spanId, same]) => {
    const traceIds = new Set(same.map(({ traceId }) => traceId))
    const where = `is in ${traceIds.size} traces, ${[...traceIds].join(" and ")}`
    return traceIds.size < 2
      ? []
      : [violation("sharedSpans", `Span ${spanId}, "${same[0]?.name}", ${where}: a span has one trace`)]
  })

const spansOf = (traces: ReadonlyArray<TraceTree.Trace>): ReadonlyArray<SpanRecord> =>
  traces.flatMap(({ spans }) => spans)

const noopIds = (trace: TraceTree.Trace): ReadonlyArray<Violation> =>
  trace.spans.flatMap(({ name, parentSpanId, spanId, traceId }) => {
    const isReal =
      TraceContext.isTraceId(traceId) && [spanId, parentSpanId ?? spanId].every((id) => TraceContext.isSpanId(id))
    const ids = `trace ${traceId}, span ${spanId}${parentSpanId === undefined ? "" : `, parent ${parentSpanId}`}`
    return isReal
      ? []
      : [violation("noopIds", `Span "${name}" has an id that is none (${ids}): keep tracing on around it`)]
  })

const lateChildren = (trace: TraceTree.Trace, { isDetached }: Facts): ReadonlyArray<Violation> =>
  Array.from(TraceTree.walk(trace.roots)).flatMap(({ children, span }) =>
    children.flatMap(({ span: child }) => {
      const isEarly = child.startTimeUnixNano < span.startTimeUnixNano
      const isLate = child.endTimeUnixNano > span.endTimeUnixNano
      if ((!isEarly && !isLate) || child.parentIsRemote || isDetached?.(child.spanId, span.spanId) === true) return []
      const how = isEarly ? "began before its parent" : "ended after its parent"
      return [violation("lateChildren", `Span "${child.name}" ${how} "${span.name}": wait for it inside of its parent`)]
    })
  )

const strayHandoffs = (trace: TraceTree.Trace): ReadonlyArray<Violation> => {
  const found: Array<Violation> = []
  /** The agent or pipeline around a node; `undefined` where a boundary lies between, which no name crosses. */
  const around = new Map<TraceTree.Node, string | undefined>()
  for (const root of trace.roots) around.set(root, root.span.parentSpanId === undefined ? "root" : undefined)
  for (const node of TraceTree.walk(trace.roots)) {
    const { attributes, name, parentIsRemote } = node.span
    const giver = parentIsRemote ? undefined : around.get(node)
    const from = attributes[Key.handoffFrom]
    if (from !== undefined && giver !== undefined && from !== giver) {
      const problem = `Handoff "${name}" says that it came from "${String(from)}", and stands under "${giver}"`
      found.push(violation("strayHandoffs", `${problem}: hand off inside of the pipeline's own Effect`))
    }
    const own = attributes[Key.agent] ?? attributes[Key.workflowName]
    for (const child of node.children) around.set(child, typeof own === "string" ? own : giver)
  }
  return found
}
