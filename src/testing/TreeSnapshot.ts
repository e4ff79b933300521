/**
 * A trace as text that stays the same while the program does: for snapshots that a person reviews.
 *
 * @since 0.1.0
 */
import * as Printable from "../analysis/Printable.ts"
import { handoffSpanName, Key, Operation, pipelineSpanName } from "../Conventions.ts"
import { type Attributes, type AttributeValue, durationNanos, type SpanEvent, type SpanRecord } from "../SpanRecord.ts"
import * as TraceTree from "../TraceTree.ts"
import * as Values from "./Values.ts"

/**
 * Writes a trace as a tree, then what is worth a look about its spans: the structure first, so that a change of it is the
 * first thing that a reviewer sees, then attributes and events.
 *
 * **Details**: left out is what a span's name and place say already, such as the agent's name on its handoff and who
 * handed off, and what every handoff has unless told otherwise (kind `service`, one attempt). Ids are left out, times too unless `durations` is on,
 * as on a test clock they are worth seeing. Links are told by the name of the span that they point to.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Agent, Pipeline } from "handspan"
 * import * as Testing from "handspan/testing"
 *
 * const writer = Agent.make("writer", { model: "gpt-5", run: (topic: string) => Effect.succeed(`On ${topic}`) })
 * const studio = Pipeline.make("studio", writer)
 * const { trace } = await Effect.runPromise(Testing.record(studio("tides")))
 * const expected = [
 *   "pipeline.studio ✓",
 *   "└─ agent_handoff.writer ✓",
 *   "",
 *   "pipeline.studio",
 *   '   pipeline.mode: "sequential"',
 *   "agent_handoff.writer",
 *   '   gen_ai.request.model: "gpt-5"',
 *   '   handspan.agent.kind: "llm"'
 * ]
 * if (Testing.renderTree(trace) !== expected.join("\n")) throw new Error("expected this text")
 * ```
 *
 * @since 0.1.0
 */
export const renderTree = (
  trace: TraceTree.Trace,
  options: {
    /** Whether to write how long each span took. Default: no. */
    readonly durations?: boolean | undefined
    /** Whether to write attributes and events below the tree. Default: yes. */
    readonly details?: boolean | undefined
  } = {}
): string => {
  const names = new Map(trace.spans.map(({ name, spanId }) => [spanId, name]))
  const linked = (span: SpanRecord): string =>
    span.links.length === 0
      ? ""
      : ` ⇠ ${span.links.map(({ spanId }) => Printable.safe(names.get(spanId) ?? "a span elsewhere")).join(", ")}`
  const structure: Array<string> = []
  const details: Array<string> = []
  const below = new Map<TraceTree.Node, string>()
  /** The agent or pipeline around a node. */
  const giver = new Map<TraceTree.Node, AttributeValue | undefined>()
  const isLast = new Set([...TraceTree.walk(trace.roots)].flatMap(({ children }) => children.slice(-1)))
  const add = (node: TraceTree.Node): void => {
    const { children, depth, span } = node
    const outer = below.get(node) ?? ""
    const branch = depth === 0 ? "" : isLast.has(node) ? "└─ " : "├─ "
    const mark = Printable.mark[Printable.outcome(span)]
    const took = options.durations === true ? ` ${Printable.duration(durationNanos(span))}` : ""
    structure.push(`${outer}${branch}${Printable.safe(span.name)} ${mark}${took}${linked(span)}`)
    // Indentation grows with depth: a trace 10,000 deep would be 300 megabytes of it.
    const inner = depth === 0 || depth > maxDepth ? outer : `${outer}${isLast.has(node) ? "   " : "│  "}`
    const own = span.attributes[Key.agent] ?? span.attributes[Key.workflowName] ?? giver.get(node)
    for (const child of children) {
      below.set(child, inner)
      giver.set(child, own)
    }
    const from = giver.get(node) ?? "root"
    const told = [...statusLines(span), ...attributeLines(span, from), ...Printable.notableEvents(span).map(eventLine)]
    if (told.length > 0 && options.details !== false)
      details.push(Printable.safe(span.name), ...told.map((line) => `   ${line}`))
  }
  for (const node of TraceTree.walk(trace.roots)) add(node)
  return details.length === 0 ? structure.join("\n") : [...structure, "", ...details].join("\n")
}

const maxDepth = 100

const statusLines = ({ status }: SpanRecord): ReadonlyArray<string> =>
  status.code === "error" ? [`error: ${Values.format(status.message)}`] : []

const attributeLines = ({ attributes, name }: SpanRecord, from: AttributeValue): ReadonlyArray<string> =>
  Object.entries(attributes)
    .filter(([key, value]) => !isImplied(name, attributes, key, value) && !(key === Key.handoffFrom && value === from))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${Printable.safe(key)}: ${Values.format(value)}`)

const eventLine = ({ attributes, name }: SpanEvent): string =>
  [
    `• ${Printable.safe(name)}`,
    ...Object.entries(attributes)
      .filter(([key, value]) => key !== "effect.logLevel" || value !== "INFO")
      .map(([key, value]) => `${Printable.safe(key)}=${Values.format(value)}`)
  ].join(" ")

/** What the name of a span says, and what is always so, is no news. */
const isImplied = (name: string, attributes: Attributes, key: string, value: Attributes[string]): boolean => {
  const agent = attributes[Key.agent]
  if (typeof agent === "string" && name === handoffSpanName(agent)) {
    return Object.hasOwn(impliedByAgent, key) && (impliedByAgent[key] ?? agent) === value
  }
  const workflow = attributes[Key.workflowName]
  if (typeof workflow !== "string" || name !== pipelineSpanName(workflow)) return false
  return Object.hasOwn(impliedByPipeline, key) && (impliedByPipeline[key] ?? workflow) === value
}

/** `undefined` is the agent's, or the pipeline's, own name. */
const impliedByAgent: Readonly<Record<string, string | number | undefined>> = {
  [Key.agent]: undefined,
  [Key.agentName]: undefined,
  [Key.handoffTo]: undefined,
  [Key.handoffType]: undefined,
  [Key.functionName]: undefined,
  [Key.agentKind]: "service",
  [Key.handoffAttempts]: 1,
  [Key.operationName]: Operation.invokeAgent
}

const impliedByPipeline: Readonly<Record<string, string | undefined>> = {
  [Key.workflowName]: undefined,
  [Key.operationName]: Operation.invokeWorkflow,
  [Key.pipelineOutcome]: "completed"
}
