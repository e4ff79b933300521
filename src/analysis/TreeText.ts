/**
 * A trace as a tree of text: what people see first. Pure; writing it to a terminal is exporter/Console's.
 *
 * @since 0.1.0
 */
import { EventName, handoffSpanName, Key, pipelineSpanName } from "../Conventions.ts"
import { otherError } from "../SpanEnd.ts"
import type { Attributes, AttributeValue, SpanEvent, SpanLink, SpanRecord } from "../SpanRecord.ts"
import { durationNanos } from "../SpanRecord.ts"
import * as TraceTree from "../TraceTree.ts"
import * as LineText from "./LineText.ts"
import * as Printable from "./Printable.ts"

/**
 * Options of `render`.
 *
 * @since 0.1.0
 */
export interface Options {
  /** Whether to paint for a terminal. Default: false. */
  readonly colors?: boolean | undefined
  /** What to say about the trace after its id, such as that it is incomplete. Default: nothing. */
  readonly note?: string | undefined
  /**
   * How many siblings of one name are shown before the others become one line. Those with an error or an interruption
   * inside count apart, so that health never folds trouble away. Default: 5.
   */
  readonly similar?: number | undefined
}

// Indentation grows with depth: without a bound, a trace 10,000 deep would be 300 megabytes of it.
const maxDepth = 32
const maxNameColumns = 60
const maxTextColumns = 160
const maxEvents = 5
const maxLinks = 4

/**
 * Draws a trace as a tree: a line for the trace, then one per span with its duration, how it ended and what matters
 * about it. Retries, other events and links are told; many similar siblings become one line.
 *
 * **Details**: children stand in order of start. `✓` ended well, `✗` failed, `⏹` was interrupted, `·` does not say.
 * `⇠` names the spans that a span links to, `↻` an attempt that failed and was made again, `•` another event with its
 * time after the span's start; if it is a log, its level is told unless it is INFO. A root that has a parent elsewhere
 * says so. Never fails.
 *
 * @example
 * ```ts
 * import { SpanRecord, TraceTree } from "handspan"
 * import * as TreeText from "handspan/analysis/TreeText"
 *
 * const [trace] = TraceTree.fromSpans([SpanRecord.make({ name: "pipeline.trip", status: { code: "ok" } })])
 * if (trace === undefined) throw new Error("expected a trace")
 * if (!TreeText.render(trace).endsWith("\npipeline.trip  0 ms ✓")) throw new Error("expected the root")
 * ```
 *
 * @since 0.1.0
 */
export const render = (trace: TraceTree.Trace, options: Options = {}): string => {
  const colors = Printable.palette(options.colors ?? false)
  const lines = layOut(trace, options.similar ?? 5)
  const spanLines = lines.filter((line) => line._tag === "SpanLine")
  const nameColumns = Math.min(maxNameColumns, Printable.widest(spanLines.map(({ branch, name }) => branch + name)))
  const durationColumns = Printable.widest(spanLines.map(({ duration }) => duration))
  const body = lines.map((line) => {
    const branch = colors.dim(line.branch)
    if (line._tag === "NoteLine") return branch + colors[line.paint](line.text)
    const gap = Printable.pad("", nameColumns - Printable.width(line.branch + line.name) + 2)
    const duration = Printable.pad(line.duration, durationColumns, "left")
    const mark = Printable.paintOutcome(colors, line.outcome, Printable.mark[line.outcome])
    const details = line.details.map((detail) => colors[detail.paint](detail.text)).join(colors.dim(" · "))
    return `${branch}${paintName(line.name, colors)}${gap || " "}${duration} ${mark} ${details}`.trimEnd()
  })
  return [header(trace, options.note, colors), ...body, ...problems(trace, colors)].join("\n")
}

const header = (trace: TraceTree.Trace, note: string | undefined, colors: Printable.Palette): string => {
  const errors = trace.spans.filter((span) => span.status.code === "error").length
  return [
    colors.dim(`trace ${trace.traceId}`),
    colors.dim(counted(trace.spans.length, "span")),
    ...(errors === 0 ? [] : [colors.red(counted(errors, "error"))]),
    ...(note === undefined ? [] : [colors.yellow(note)])
  ].join(colors.dim(" · "))
}

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`

// Orphans and several roots can be seen in the tree itself.
const problems = (trace: TraceTree.Trace, colors: Printable.Palette): ReadonlyArray<string> =>
  trace.problems.flatMap((problem) => {
    if (problem._tag === "Orphan" || problem._tag === "SeveralRoots") return []
    const [first] = problem.spans
    const many = `! ${counted(problem.spans.length, "span")}`
    return problem._tag === "DuplicateSpanId"
      ? [colors.yellow(`${many} have the id ${first?.spanId}`)]
      : [colors.yellow(`${many} stand under each other in a circle, cut above ${Printable.safe(first?.name ?? "")}`)]
  })

type Paint = keyof Printable.Palette

type Line =
  | { readonly _tag: "NoteLine"; readonly branch: string; readonly text: string; readonly paint: Paint }
  | {
      readonly _tag: "SpanLine"
      readonly branch: string
      readonly name: string
      readonly duration: string
      readonly outcome: Printable.Outcome
      readonly details: ReadonlyArray<Detail>
    }

interface Detail {
  readonly text: string
  readonly paint: Paint
}

/** What stands in one place of the tree. */
type Entry = TraceTree.Node | { readonly folded: ReadonlyArray<TraceTree.Node> } | { readonly deeper: number }

interface Place {
  readonly entry: Entry
  readonly branch: string
  /** The branch of what stands below. */
  readonly inner: string
  readonly parent: TraceTree.Node | undefined
}

const layOut = (trace: TraceTree.Trace, similar: number): ReadonlyArray<Line> => {
  const facts = factsOf(trace)
  const labels = new Map(trace.spans.map((span) => [span.spanId, label(span)]))
  const lines: Array<Line> = []
  // A stack of its own and not calls: see TraceTree.walk.
  const waiting = placesOf(fold(trace.roots, similar, facts), undefined)
  for (let place = waiting.pop(); place !== undefined; place = waiting.pop()) {
    const { branch, entry, inner } = place
    if ("deeper" in entry) {
      lines.push({ _tag: "NoteLine", branch, text: `… ${counted(entry.deeper, "span")} deeper`, paint: "dim" })
    } else if ("folded" in entry) {
      lines.push({ _tag: "NoteLine", branch, text: foldedText(entry.folded, facts), paint: "dim" })
    } else {
      const { span } = entry
      lines.push({
        _tag: "SpanLine",
        branch,
        name: Printable.safe(span.name),
        duration: Printable.duration(durationNanos(span)),
        outcome: Printable.outcome(span),
        details: detailsOf(entry, place.parent, (link) => linkLabel(link, trace, labels))
      })
      const below = entry.children.length === 0 ? `${inner}   ` : `${inner}│  `
      for (const note of eventNotes(span)) lines.push({ _tag: "NoteLine", branch: below, ...note })
      const children =
        entry.depth < maxDepth || entry.children.length === 0
          ? fold(entry.children, similar, facts)
          : [{ deeper: (facts.get(entry)?.size ?? 1) - 1 }]
      for (const child of placesOf(children, place)) waiting.push(child)
    }
  }
  return lines
}

/** Reversed, for the stack. */
const placesOf = (entries: ReadonlyArray<Entry>, parent: Place | undefined): Array<Place> =>
  entries
    .map((entry, index): Place => {
      if (parent === undefined) return { entry, branch: "", inner: "", parent: undefined }
      const isLast = index === entries.length - 1
      return {
        entry,
        branch: `${parent.inner}${isLast ? "└─ " : "├─ "}`,
        inner: `${parent.inner}${isLast ? "   " : "│  "}`,
        parent: "span" in parent.entry ? parent.entry : undefined
      }
    })
    .toReversed()

interface Facts {
  /** Spans here and below. */
  readonly size: number
  /** Whether one of them failed or was interrupted. */
  readonly troubled: boolean
}

const factsOf = (trace: TraceTree.Trace): ReadonlyMap<TraceTree.Node, Facts> => {
  const facts = new Map<TraceTree.Node, Facts>()
  for (const node of Array.from(TraceTree.walk(trace.roots)).toReversed()) {
    const below = node.children.map((child) => facts.get(child)!)
    const how = Printable.outcome(node.span)
    facts.set(node, {
      size: below.reduce((size, child) => size + child.size, 1),
      troubled: how === "error" || how === "interrupted" || below.some((child) => child.troubled)
    })
  }
  return facts
}

const fold = (
  nodes: ReadonlyArray<TraceTree.Node>,
  similar: number,
  facts: ReadonlyMap<TraceTree.Node, Facts>
): ReadonlyArray<Entry> => {
  const folded = Array.from(Map.groupBy(nodes, foldKey(facts)).values())
    // One more than the limit is shown too: a line that says "1 more" would save nothing.
    .filter((same) => same.length > similar + 1)
    .map((same) => same.slice(similar))
  if (folded.length === 0) return nodes
  const standIn = new Map(folded.map((same) => [same[0], { folded: same }]))
  const hidden = new Set(folded.flat())
  return nodes.flatMap((node): ReadonlyArray<Entry> =>
    standIn.get(node) ? [standIn.get(node)!] : hidden.has(node) ? [] : [node]
  )
}

const foldKey =
  (facts: ReadonlyMap<TraceTree.Node, Facts>) =>
  (node: TraceTree.Node): string =>
    `${facts.get(node)?.troubled === true} ${node.span.name}`

const foldedText = (nodes: ReadonlyArray<TraceTree.Node>, facts: ReadonlyMap<TraceTree.Node, Facts>): string => {
  const durations = nodes.map((node) => durationNanos(node.span)).toSorted((a, b) => (a < b ? -1 : 1))
  const range = `${Printable.duration(durations[0]!)} to ${Printable.duration(durations.at(-1)!)}`
  const inside = nodes.reduce((size, node) => size + (facts.get(node)?.size ?? 1), -nodes.length)
  const marks = Array.from(
    Map.groupBy(nodes, (node) => Printable.mark[Printable.outcome(node.span)]),
    ([mark, some]) => `${mark} ${some.length}`
  )
  const name = Printable.safe(nodes[0]!.span.name)
  return `… ${nodes.length} more ${name}  ${[range, marks.join(" "), ...(inside === 0 ? [] : [`${counted(inside, "span")} inside`])].join(" · ")}`
}

const detailsOf = (
  { span }: TraceTree.Node,
  parent: TraceTree.Node | undefined,
  labelOf: (link: SpanLink) => string
): ReadonlyArray<Detail> => {
  const { attributes, status } = span
  const plain: Array<string> = []
  const say = (key: string, write: (value: string) => string): void => {
    const value = attributes[key]
    // What a span shares with the one above was said there: a route or a loop marks all that runs inside it.
    if (value === undefined || value === parent?.span.attributes[key]) return
    plain.push(write(Printable.truncate(Printable.safe(String(value)), maxTextColumns)))
  }
  // A house may have names of its own for handoffs, which leave the agent out.
  const isNamed = attributes[Key.agentKind] === undefined || span.name.includes(String(attributes[Key.agent]))
  if (!isNamed) say(Key.agent, (agent) => agent)
  say(Key.agentKind, (kind) => kind)
  say(Key.pipelineMode, (mode) => mode)
  say(Key.providerName, (provider) => provider)
  if (Number(attributes[Key.handoffAttempts]) > 1) say(Key.handoffAttempts, (attempts) => `${attempts} attempts`)
  say(Key.routeDecision, (decision) => `→ ${decision}`)
  say(Key.loopIteration, (iteration) => `round ${iteration}`)
  say(Key.terminationReason, (reason) => `stopped: ${reason}`)
  if (parent === undefined && span.parentSpanId !== undefined) {
    plain.push(`under ${span.parentSpanId}${span.parentIsRemote ? " of another process" : ""}`)
  }
  return [
    ...plain.map((text): Detail => ({ text, paint: "dim" })),
    ...(Printable.outcome(span) === "interrupted" ? [{ text: "interrupted", paint: "yellow" } as const] : []),
    ...(status.code === "error" ? [{ text: errorText(attributes, status.message), paint: "red" } as const] : []),
    ...(span.links.length === 0 ? [] : [{ text: `⇠ ${linksText(span, labelOf)}`, paint: "cyan" } as const])
  ]
}

const errorText = (attributes: Attributes, fallback = ""): string => {
  const type = attributes[Key.errorType]
  const message = (fallback || String(attributes[Key.errorMessage] ?? "")).trim().split("\n", 1)[0] ?? ""
  const parts =
    type === undefined || type === otherError || message.includes(String(type)) ? [message] : [type, message]
  const text = parts.filter((part) => part !== "").join(": ")
  return Printable.truncate(Printable.safe(text === "" ? "failed" : text), maxTextColumns)
}

const label = (span: SpanRecord): string => Printable.safe(String(span.attributes[Key.agent] ?? span.name))

const linkLabel = (link: SpanLink, trace: TraceTree.Trace, labels: ReadonlyMap<string, string>): string =>
  link.traceId === trace.traceId ? (labels.get(link.spanId) ?? `span ${link.spanId}`) : `trace ${link.traceId}`

const linksText = (span: SpanRecord, labelOf: (link: SpanLink) => string): string => {
  const distinct = Array.from(Map.groupBy(span.links, labelOf), ([text, same]) =>
    same.length === 1 ? text : `${text} ×${same.length}`
  )
  const more = distinct.length - maxLinks
  return [
    ...distinct.slice(0, maxLinks),
    ...(more > 0 ? [`${more} more`] : []),
    ...(span.droppedLinksCount > 0 ? [`${span.droppedLinksCount} not kept`] : [])
  ].join(", ")
}

const eventNotes = (span: SpanRecord): ReadonlyArray<Detail> => {
  const events = Printable.notableEvents(span)
  const notes = events.slice(0, maxEvents).map((event) => eventNote(event, span))
  const more = events.length - notes.length
  return more === 0 ? notes : [...notes, { text: `… ${counted(more, "more event")}`, paint: "dim" }]
}

const eventNote = (event: SpanEvent, span: SpanRecord): Detail => {
  const { attributes, name } = event
  if (name === EventName.handoffAttempt) {
    const wait = Number(attributes[Key.attemptWaitMillis])
    const waited = Number.isFinite(wait) ? Printable.duration(BigInt(Math.round(wait * 1e6))) : "a while"
    const attempt = Printable.safe(String(attributes[Key.attemptNumber]))
    return { text: `↻ attempt ${attempt}: ${errorText(attributes)} · again after ${waited}`, paint: "yellow" }
  }
  const after = event.timeUnixNano - span.startTimeUnixNano
  const offset = after < 0n ? "" : `+${Printable.duration(after)}  `
  const told = Object.entries(attributes).filter(([key, value]) => !isUsualOfLogs(key, value))
  const text = `• ${Printable.safe(name)}  ${offset}${LineText.fields(Object.fromEntries(told))}`
  return { text: Printable.truncate(text.trimEnd(), maxTextColumns), paint: "dim" }
}

// Effect puts both on each log that it makes an event of; a fiber's number says nothing to a reader.
const isUsualOfLogs = (key: string, value: AttributeValue): boolean =>
  key === "effect.fiberId" || (key === "effect.logLevel" && value === "INFO")

/** The prefix of our own names is the same everywhere, so the eye may pass over it. */
const paintName = (name: string, colors: Printable.Palette): string => {
  const prefix = [handoffSpanName(""), pipelineSpanName("")].find((start) => name.startsWith(start)) ?? ""
  return colors.dim(prefix) + colors.bold(name.slice(prefix.length))
}
