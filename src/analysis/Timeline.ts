/**
 * A trace as a timeline of text: when each span ran, on one scale. What each span was lives in TreeText.
 *
 * @since 0.1.0
 */
import type { SpanRecord } from "../SpanRecord.ts"
import { durationNanos } from "../SpanRecord.ts"
import * as TraceTree from "../TraceTree.ts"
import * as Printable from "./Printable.ts"

const maxIndent = 16
const minBarColumns = 20

/**
 * Draws a trace as a timeline: one line per span in the order of the tree, its name indented by depth, a bar where it
 * ran, when it began after the trace did, how long it took and how it ended.
 *
 * **Details**: the bar has a resolution of half a column; a span shorter than that still shows. `◆` marks an event, such
 * as a failed attempt. Long names are shortened. Never fails.
 *
 * @example
 * ```ts
 * import { SpanRecord, TraceTree } from "handspan"
 * import * as Timeline from "handspan/analysis/Timeline"
 *
 * const [trace] = TraceTree.fromSpans([SpanRecord.make({ name: "pipeline.trip", endTimeUnixNano: 2_000_000n })])
 * if (trace === undefined) throw new Error("expected a trace")
 * if (!Timeline.render(trace).includes("████")) throw new Error("expected a bar")
 * ```
 *
 * @since 0.1.0
 */
export const render = (
  trace: TraceTree.Trace,
  options: {
    /** How many columns a line takes at most, if it is enough for a bar of 20. Default: 100. */
    readonly width?: number | undefined
    /** Whether to paint for a terminal. Default: false. */
    readonly colors?: boolean | undefined
  } = {}
): string => {
  const width = options.width ?? 100
  const colors = Printable.palette(options.colors ?? false)
  const nodes = Array.from(TraceTree.walk(trace.roots))
  const lines = nodes.map((node) => ({
    node,
    name: "  ".repeat(Math.min(node.depth, maxIndent)) + Printable.safe(node.span.name),
    offset: Printable.duration(node.span.startTimeUnixNano - trace.startTimeUnixNano),
    duration: Printable.duration(durationNanos(node.span))
  }))
  const nameColumns = Math.min(Printable.widest(lines.map((line) => line.name)), Math.floor(width * 0.4))
  const offsetColumns = Printable.widest(lines.map((line) => line.offset)) + 1
  const durationColumns = Printable.widest(lines.map((line) => line.duration))
  // Between the columns stand two spaces, a plus, two spaces and the mark with a space before it.
  const barColumns = Math.max(minBarColumns, width - nameColumns - offsetColumns - durationColumns - 8)
  const total = trace.endTimeUnixNano - trace.startTimeUnixNano
  return [
    colors.dim(`trace ${trace.traceId}`),
    colors.dim(`${" ".repeat(nameColumns + 2)}${scale(total, barColumns)}`),
    ...lines.map(({ duration, name, node, offset }) => {
      const how = Printable.outcome(node.span)
      const paint =
        how === "ok" || how === "unset" ? colors.cyan : (text: string) => Printable.paintOutcome(colors, how, text)
      return [
        Printable.pad(Printable.truncate(name, nameColumns), nameColumns),
        bar(node.span, trace, barColumns, paint, colors.dim),
        colors.dim(Printable.pad(`+${offset}`, offsetColumns, "left")),
        `${Printable.pad(duration, durationColumns, "left")} ${Printable.paintOutcome(colors, how, Printable.mark[how])}`
      ].join("  ")
    })
  ].join("\n")
}

/** Where the scale is labelled, in quarters: at each, or only at each second where there is no room. */
const ticks = (columns: number): ReadonlyArray<number> => (columns < 40 ? [0, 2] : [0, 1, 2, 3])

const tickColumn = (quarter: number, columns: number): number => Math.floor((columns * quarter) / 4)

const scale = (total: bigint, columns: number): string =>
  ticks(columns)
    .map((quarter, index, all) => {
      const room = tickColumn(all[index + 1] ?? 4, columns) - tickColumn(quarter, columns)
      return Printable.pad(`╷${Printable.duration((total * BigInt(quarter)) / 4n)}`, room)
    })
    .join("")
    .trimEnd()

const bar = (
  span: SpanRecord,
  trace: TraceTree.Trace,
  columns: number,
  paint: (text: string) => string,
  dim: (text: string) => string
): string => {
  const total = Number(trace.endTimeUnixNano - trace.startTimeUnixNano) || 1
  const halves = (time: bigint): number => (Number(time - trace.startTimeUnixNano) / total) * columns * 2
  const first = Math.min(Math.floor(halves(span.startTimeUnixNano)), columns * 2 - 1)
  const last = Math.max(Math.ceil(halves(span.endTimeUnixNano)), first + 1)
  const marks = new Set(
    Printable.notableEvents(span).map((event) => Math.min(Math.floor(halves(event.timeUnixNano) / 2), columns - 1))
  )
  const guides = new Set(ticks(columns).map((quarter) => tickColumn(quarter, columns)))
  const cells = Array.from({ length: columns }, (_, column) => {
    const left = column * 2 >= first && column * 2 < last
    const right = column * 2 + 1 >= first && column * 2 + 1 < last
    if (marks.has(column)) return "◆"
    return left ? (right ? "█" : "▌") : right ? "▐" : guides.has(column) ? "┊" : " "
  })
  return cells
    .join("")
    .replaceAll("┊", dim)
    .replaceAll(/[◆█▌▐]+/g, paint)
}
