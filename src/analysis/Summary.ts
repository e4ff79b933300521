/**
 * Where the time of traces went: per component, and between models, tools, agents and the framework around them.
 * Reading traces lives in TraceTree.
 *
 * @since 0.1.0
 */
import { Key, Operation } from "../Conventions.ts"
import type { SpanRecord } from "../SpanRecord.ts"
import { durationNanos } from "../SpanRecord.ts"
import * as TraceTree from "../TraceTree.ts"
import * as Printable from "./Printable.ts"

/**
 * The spans of one name and sort, taken together.
 *
 * @since 0.1.0
 */
export interface Row {
  /** The spans' name. */
  readonly component: string
  /** What it measures, such as `llm agent`, `parallel pipeline`, `model call` or, for other spans, their kind. */
  readonly measures: string
  readonly count: number
  readonly errors: number
  /** The durations added up. */
  readonly totalNanos: bigint
  /** The time in which no child was running, added up. */
  readonly selfNanos: bigint
  readonly meanNanos: bigint
  /** The shortest duration that half of the spans do not exceed. */
  readonly p50Nanos: bigint
  readonly p95Nanos: bigint
  readonly maxNanos: bigint
}

/**
 * Who was at work. `agent` is an agent's own code, outside the model and tool calls it makes; `framework` is everything
 * that only passes work on.
 *
 * @since 0.1.0
 */
export type Worker = "model" | "tool" | "agent" | "framework"

/**
 * Where the time of traces went.
 *
 * @since 0.1.0
 */
export interface Summary {
  readonly traces: number
  /** The time in which any span ran: the root's duration, where nothing outlives it. Of several traces, the sum. */
  readonly totalNanos: bigint
  /** The longest total first, then by name. */
  readonly rows: ReadonlyArray<Row>
  /** The total, divided: the four add up to it. */
  readonly workers: Readonly<Record<Worker, bigint>>
}

/**
 * Sums up where the time of traces went, for whoever asks what is slow.
 *
 * **Details**: a row's share of the total says how much of the time it was on the stack, so rows do not add up to
 * 100 %: a parent holds its children, and what runs at once counts each time. `workers` does add up, because each
 * instant counts once: as model time while a model call runs, else as tool time, else as agent time, else as
 * framework. A handoff to an `llm` or `tool` agent that shows no call inside counts as that call. Percentiles are
 * observed durations (nearest rank). Never fails.
 *
 * @example
 * ```ts
 * import { SpanRecord, TraceTree } from "handspan"
 * import * as Summary from "handspan/analysis/Summary"
 *
 * const chat = SpanRecord.make({
 *   name: "chat gpt-4o",
 *   endTimeUnixNano: 5n,
 *   attributes: { "gen_ai.operation.name": "chat" }
 * })
 * if (Summary.make(TraceTree.fromSpans([chat])).workers.model !== 5n) throw new Error("expected model time")
 * ```
 *
 * @since 0.1.0
 */
export const make = (traces: ReadonlyArray<TraceTree.Trace>): Summary => {
  const nodes = traces.flatMap((trace) => Array.from(TraceTree.walk(trace.roots)))
  const workers = traces.map(workersOf)
  const sum = (worker: Worker): bigint => workers.reduce((total, time) => total + time[worker], 0n)
  return {
    traces: traces.length,
    totalNanos: traces.reduce((total, trace) => total + TraceTree.coveredNanos(trace.spans, trace), 0n),
    rows: Array.from(Map.groupBy(nodes, rowKey).values(), makeRow).toSorted(
      (a, b) => Number(b.totalNanos - a.totalNanos) || (a.component < b.component ? -1 : 1)
    ),
    workers: { model: sum("model"), tool: sum("tool"), agent: sum("agent"), framework: sum("framework") }
  }
}

const rowKey = ({ span }: TraceTree.Node): string => `${measuresOf(span)}\0${span.name}`

const makeRow = (nodes: ReadonlyArray<TraceTree.Node>): Row => {
  const { span } = nodes[0]!
  const durations = nodes.map((node) => durationNanos(node.span)).toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const totalNanos = durations.reduce((total, duration) => total + duration, 0n)
  const percentile = (part: number): bigint => durations[Math.ceil(durations.length * part) - 1]!
  return {
    component: span.name,
    measures: measuresOf(span),
    count: nodes.length,
    errors: nodes.filter((node) => node.span.status.code === "error").length,
    totalNanos,
    selfNanos: nodes.reduce((total, node) => total + TraceTree.selfNanos(node), 0n),
    meanNanos: totalNanos / BigInt(nodes.length),
    p50Nanos: percentile(0.5),
    p95Nanos: percentile(0.95),
    maxNanos: percentile(1)
  }
}

const measuresOf = (span: SpanRecord): string => {
  const call = callOf(span)
  if (call !== undefined) return `${call} call`
  const { [Key.agentKind]: kind, [Key.pipelineMode]: mode } = span.attributes
  return typeof kind === "string" ? `${kind} agent` : typeof mode === "string" ? `${mode} pipeline` : span.kind
}

// What the GenAI conventions call inference.
const modelOperations: ReadonlySet<unknown> = new Set([
  Operation.chat,
  "generate_content",
  "text_completion",
  "embeddings"
])

const callOf = (span: SpanRecord): "model" | "tool" | undefined => {
  const operation = span.attributes[Key.operationName]
  return modelOperations.has(operation) ? "model" : operation === Operation.executeTool ? "tool" : undefined
}

const workersOf = (trace: TraceTree.Trace): Readonly<Record<Worker, bigint>> => {
  const spans: Record<Worker, Array<SpanRecord>> = { model: [], tool: [], agent: [], framework: [] }
  const holdsCall = new Set<TraceTree.Node>()
  // Children before parents, so that a handoff knows whether there is a call inside.
  for (const node of Array.from(TraceTree.walk(trace.roots)).toReversed()) {
    const call = callOf(node.span)
    const calls = call !== undefined || node.children.some((child) => holdsCall.has(child))
    if (calls) holdsCall.add(node)
    spans[call ?? workerOfHandoff(node.span, calls)].push(node.span)
  }
  let seen: ReadonlyArray<SpanRecord> = []
  let covered = 0n
  const time = (worker: Worker): bigint => {
    const before = covered
    seen = [...seen, ...spans[worker]]
    covered = TraceTree.coveredNanos(seen, trace)
    return covered - before
  }
  return { model: time("model"), tool: time("tool"), agent: time("agent"), framework: time("framework") }
}

const workerOfHandoff = (span: SpanRecord, calls: boolean): Worker => {
  const kind = span.attributes[Key.agentKind]
  if (kind === undefined) return "framework"
  return calls ? "agent" : kind === "llm" ? "model" : kind === "tool" ? "tool" : "agent"
}

const maxNameColumns = 48

/**
 * Writes a summary as a table for people, with a line about who was at work below it.
 *
 * @since 0.1.0
 */
export const render = (
  summary: Summary,
  options: {
    /** Whether to paint for a terminal. Default: false. */
    readonly colors?: boolean | undefined
  } = {}
): string => {
  const colors = Printable.palette(options.colors ?? false)
  const failed = summary.rows.some((row) => row.errors > 0)
  const headings = ["Component", "Measures", "Count", "Duration", "% of total", "Self", "Mean", "p50", "p95", "Max"]
  const table = [
    failed ? [...headings, "Failed"] : headings,
    ...summary.rows.map((row) => [
      Printable.truncate(Printable.safe(row.component), maxNameColumns),
      Printable.safe(row.measures),
      String(row.count),
      Printable.duration(row.totalNanos),
      Printable.share(row.totalNanos, summary.totalNanos),
      ...[row.selfNanos, row.meanNanos, row.p50Nanos, row.p95Nanos, row.maxNanos].map(Printable.duration),
      ...(failed ? [row.errors === 0 ? "" : String(row.errors)] : [])
    ])
  ]
  const columns = table[0]!.map((_, column) => Printable.widest(table.map((cells) => cells[column]!)))
  const lines = table.map((cells) =>
    cells
      .map((cell, column) => Printable.pad(cell, columns[column]!, column < 2 ? "right" : "left"))
      .join("  ")
      .trimEnd()
  )
  return [colors.bold(lines[0]!), ...lines.slice(1), colors.dim(workersText(summary))].join("\n")
}

const workersText = ({ totalNanos, traces, workers }: Summary): string => {
  const parts = Object.entries(workers)
    .filter(([worker, nanos]) => nanos > 0n || worker === "framework")
    .map(([worker, nanos]) => `${worker} ${Printable.share(nanos, totalNanos)}`)
  return `${traces === 1 ? "" : `${traces} traces · `}${Printable.duration(totalNanos)} = ${parts.join(" + ")}`
}
