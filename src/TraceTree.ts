/**
 * Finished spans as trees: one Trace per trace id, with everything odd about it told. Measuring and drawing the trees
 * lives in analysis/.
 *
 * @since 0.1.0
 */
import type { SpanRecord } from "./SpanRecord.ts"

/**
 * A span in its tree.
 *
 * @since 0.1.0
 */
export interface Node {
  readonly span: SpanRecord
  /** How many spans are above it. */
  readonly depth: number
  /** By start time, then the longer first, then by span id. */
  readonly children: ReadonlyArray<Node>
}

/**
 * Something odd about a trace. No span is left out of the tree because of it.
 *
 * - `Orphan`: the span's parent is not among the spans, so it stands as a root. Its parent was dropped, is still
 *   running, or was recorded by another process (then `span.parentIsRemote` is true).
 * - `SeveralRoots`: more than one span says it has no parent.
 * - `DuplicateSpanId`: several spans have one id. Each has its place; children stand under the first.
 * - `Cycle`: spans that are each other's ancestors. The first of `spans` stands as a root.
 *
 * @since 0.1.0
 */
export type Problem =
  | { readonly _tag: "Orphan"; readonly span: SpanRecord }
  | { readonly _tag: "SeveralRoots"; readonly spans: ReadonlyArray<SpanRecord> }
  | { readonly _tag: "DuplicateSpanId"; readonly spans: ReadonlyArray<SpanRecord> }
  | { readonly _tag: "Cycle"; readonly spans: ReadonlyArray<SpanRecord> }

/**
 * The spans of one trace id as a tree, or as several where its parts do not connect.
 *
 * @since 0.1.0
 */
export interface Trace {
  readonly traceId: string
  /** In the order of children. */
  readonly roots: ReadonlyArray<Node>
  /** Every span of the trace, in the order of children. */
  readonly spans: ReadonlyArray<SpanRecord>
  /** When the first span began. */
  readonly startTimeUnixNano: bigint
  /** When the last span ended. */
  readonly endTimeUnixNano: bigint
  /** Empty for a whole trace with one root. */
  readonly problems: ReadonlyArray<Problem>
}

/**
 * Makes trees of spans, for whoever reads, draws or checks traces.
 *
 * **Details**: takes spans of any number of traces in any order; each span stands in exactly one tree, once. Traces come
 * by start time, then by trace id. The order of the input makes no difference, save between two spans of one id that
 * also began and ended together. Never fails; takes time in proportion to the spans (and their sorting), at any depth.
 *
 * @example
 * ```ts
 * import { SpanRecord, TraceTree } from "handspan"
 *
 * const [trace] = TraceTree.fromSpans([
 *   SpanRecord.make({ name: "agent_handoff.planner", spanId: "0000000000000002", parentSpanId: "0000000000000001" }),
 *   SpanRecord.make({ name: "pipeline.trip", spanId: "0000000000000001" })
 * ])
 * if (trace?.roots[0]?.children[0]?.span.name !== "agent_handoff.planner") throw new Error("expected the handoff inside")
 * ```
 *
 * @since 0.1.0
 */
export const fromSpans = (
  spans: ReadonlyArray<SpanRecord>,
  /** An order that knows more than the times do, as a test's may; by times and ids where it says 0. Default: always 0. */
  order: (a: SpanRecord, b: SpanRecord) => number = () => 0
): ReadonlyArray<Trace> => {
  const compare = (a: SpanRecord, b: SpanRecord): number => order(a, b) || compareSpans(a, b)
  const traces = Array.from(
    Map.groupBy(spans, (span) => span.traceId),
    ([traceId, ofTrace]) => makeTrace(traceId, ofTrace.toSorted(compare))
  )
  const compareTraces = (a: Trace, b: Trace): number =>
    order(a.spans[0]!, b.spans[0]!) ||
    compareBigInt(a.startTimeUnixNano, b.startTimeUnixNano) ||
    compareText(a.traceId, b.traceId)
  return traces.toSorted(compareTraces)
}

interface Draft {
  readonly span: SpanRecord
  depth: number
  readonly children: Array<Draft>
}

// Sorted once; children and roots then fall into place in this order.
const makeTrace = (traceId: string, spans: ReadonlyArray<SpanRecord>): Trace => {
  const drafts = spans.map((span): Draft => ({ span, depth: 0, children: [] }))
  const byId = Map.groupBy(drafts, (draft) => draft.span.spanId)
  const parents = new Map<Draft, Draft>()
  for (const draft of drafts) {
    const { parentSpanId } = draft.span
    const parent = parentSpanId === undefined ? undefined : byId.get(parentSpanId)?.[0]
    if (parent !== undefined) parents.set(draft, parent)
  }
  const problems: Array<Problem> = [
    ...drafts.filter((draft) => draft.span.parentSpanId !== undefined && !parents.has(draft)).map(orphan),
    ...severalRoots(spans.filter((span) => span.parentSpanId === undefined)),
    ...Array.from(byId.values())
      .filter((same) => same.length > 1)
      .map(duplicate),
    ...breakCycles(drafts, parents)
  ]
  const roots = drafts.filter((draft) => !parents.has(draft))
  for (const draft of drafts) parents.get(draft)?.children.push(draft)
  for (const draft of visit(roots)) for (const child of draft.children) child.depth = draft.depth + 1
  return {
    traceId,
    roots,
    spans,
    startTimeUnixNano: spans.reduce(
      (start, span) => (span.startTimeUnixNano < start ? span.startTimeUnixNano : start),
      spans[0]?.startTimeUnixNano ?? 0n
    ),
    endTimeUnixNano: spans.reduce((end, span) => (span.endTimeUnixNano > end ? span.endTimeUnixNano : end), 0n),
    problems
  }
}

const orphan = ({ span }: Draft): Problem => ({ _tag: "Orphan", span })

const duplicate = (same: ReadonlyArray<Draft>): Problem => ({
  _tag: "DuplicateSpanId",
  spans: same.map((draft) => draft.span)
})

const severalRoots = (spans: ReadonlyArray<SpanRecord>): ReadonlyArray<Problem> =>
  spans.length > 1 ? [{ _tag: "SeveralRoots", spans }] : []

// Every span has one parent, so a walk upwards ends at a root, at a span that an earlier walk has seen, or at a span of
// this walk: that is a cycle. It is cut above its first span in the order of children, so that the input's order does
// not matter.
const breakCycles = (drafts: ReadonlyArray<Draft>, parents: Map<Draft, Draft>): ReadonlyArray<Problem> => {
  const problems: Array<Problem> = []
  const walkOf = new Map<Draft, Draft>()
  for (const start of drafts) {
    let at: Draft | undefined = start
    while (at !== undefined && !walkOf.has(at)) {
      walkOf.set(at, start)
      at = parents.get(at)
    }
    if (at === undefined || walkOf.get(at) !== start) continue
    const cycle = new Set<Draft>()
    for (let member: Draft | undefined = at; member !== undefined && !cycle.has(member); member = parents.get(member)) {
      cycle.add(member)
    }
    const members = Array.from(cycle).toSorted((a, b) => compareSpans(a.span, b.span))
    parents.delete(members[0]!)
    problems.push({ _tag: "Cycle", spans: members.map((draft) => draft.span) })
  }
  return problems
}

const compareSpans = (a: SpanRecord, b: SpanRecord): number =>
  compareBigInt(a.startTimeUnixNano, b.startTimeUnixNano) ||
  compareBigInt(b.endTimeUnixNano, a.endTimeUnixNano) ||
  compareText(a.spanId, b.spanId)

const compareBigInt = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0)

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/**
 * Goes through nodes and all below them, each before its children, for whoever reads a tree line by line.
 *
 * @example
 * ```ts
 * import { SpanRecord, TraceTree } from "handspan"
 *
 * const [trace] = TraceTree.fromSpans([SpanRecord.make({ name: "pipeline.trip" })])
 * const lines = Array.from(TraceTree.walk(trace?.roots ?? []), (node) => "  ".repeat(node.depth) + node.span.name)
 * if (lines[0] !== "pipeline.trip") throw new Error("expected the root first")
 * ```
 *
 * @since 0.1.0
 */
export const walk = (nodes: ReadonlyArray<Node>): Iterable<Node> => ({ [Symbol.iterator]: () => visit(nodes) })

// A stack of its own and not calls, because traces can be deeper than JavaScript's stack.
function* visit<N extends { readonly children: ReadonlyArray<N> }>(nodes: ReadonlyArray<N>): Generator<N> {
  const waiting = nodes.toReversed()
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    yield node
    for (let index = node.children.length - 1; index >= 0; index--) waiting.push(node.children[index]!)
  }
}

/**
 * Finds the first node of a trace whose span passes a test, in the order of `walk`.
 *
 * @since 0.1.0
 */
export const find = (trace: Trace, test: (span: SpanRecord) => boolean): Node | undefined => {
  for (const node of walk(trace.roots)) if (test(node.span)) return node
  return undefined
}

/**
 * How long at least one of some spans was running, within bounds, in nanoseconds. Time that several spans share counts
 * once, so the answer never exceeds the bounds.
 *
 * @since 0.1.0
 */
export const coveredNanos = (
  spans: Iterable<SpanRecord>,
  bounds: { readonly startTimeUnixNano: bigint; readonly endTimeUnixNano: bigint }
): bigint => {
  let covered = 0n
  let reached = bounds.startTimeUnixNano
  for (const span of Array.from(spans).toSorted(compareSpans)) {
    const start = span.startTimeUnixNano > reached ? span.startTimeUnixNano : reached
    const end = span.endTimeUnixNano < bounds.endTimeUnixNano ? span.endTimeUnixNano : bounds.endTimeUnixNano
    if (end <= start) continue
    covered += end - start
    reached = end
  }
  return covered
}

/**
 * How long a span was at work itself, in nanoseconds: its duration without the time in which a child was running.
 *
 * @since 0.1.0
 */
export const selfNanos = (node: Node): bigint =>
  node.span.endTimeUnixNano -
  node.span.startTimeUnixNano -
  coveredNanos(
    node.children.map((child) => child.span),
    node.span
  )
