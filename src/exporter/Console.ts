/**
 * Prints spans on the terminal, through Effect's Console. How a span or a trace looks as text lives in analysis/; what
 * lives here is when to print what.
 *
 * @since 0.1.0
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as LineText from "../analysis/LineText.ts"
import * as Printable from "../analysis/Printable.ts"
import * as Summary from "../analysis/Summary.ts"
import * as TreeText from "../analysis/TreeText.ts"
import * as Exporter from "../Exporter.ts"
import * as OtlpJson from "../OtlpJson.ts"
import type { SpanRecord } from "../SpanRecord.ts"
import * as TraceTree from "../TraceTree.ts"

/**
 * How spans are printed.
 *
 * - `pretty`: a tree per trace (`TreeText.render`)
 * - `json`: a line of OTLP JSON per trace, which `OtlpJson.decodeText` reads back
 * - `line`: a readable line per span, with its attributes as logfmt (`LineText.readable`)
 * - `trace`: `[TRACE] <name> | trace_id=… | span_id=… | duration=…ms | {…}` per span (`LineText.trace`)
 * - `continuum`: `TRACE: <name> (<start>-<end>) status=…` per span (`LineText.continuum`)
 *
 * @since 0.1.0
 */
export type Format = "pretty" | "json" | "line" | "trace" | "continuum"

/**
 * Options of `make`.
 *
 * @since 0.1.0
 */
export interface Options {
  /** Default: `pretty`. */
  readonly format?: Format | undefined
  /** Default: `stderr`: stdout belongs to the program. */
  readonly output?: "stdout" | "stderr" | undefined
  /** Whether `pretty` and `line` paint. Default: only where the output is a terminal. */
  readonly colors?: boolean | undefined
  /** Whether a table of where the time went follows each tree of `pretty`. Default: false. */
  readonly summary?: boolean | undefined
}

/**
 * Makes an exporter that prints spans on the terminal.
 *
 * **Details**: `line`, `trace` and `continuum` print each span as it comes. `pretty` and `json` print a trace once its
 * root has ended; a root is also a span whose parent is in another process. Spans that come after that are printed, as
 * a continuation under the same trace id, once a span has ended whose parent was printed. On `flush` and `shutdown`
 * whatever still waits is printed as incomplete, and so is the oldest trace when more than 10,000 spans wait. Each line
 * and each tree is written in one call. What a terminal could obey in traced data is shown as escapes. Never fails.
 *
 * **Gotchas**: lines of several processes into one pipe stay whole up to the 4,096 bytes that a pipe takes in one piece;
 * trees and `json` documents are mostly longer, so give each process an output of its own.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { OtlpProtobuf, SpanRecord } from "handspan"
 * import * as ConsoleExporter from "handspan/exporter/Console"
 *
 * const exporter = ConsoleExporter.make({ format: "trace" })
 * await Effect.runPromise(exporter.export(OtlpProtobuf.encode([SpanRecord.make({ name: "pipeline.trip" })])))
 * ```
 *
 * @since 0.1.0
 */
export const make = (options: Options = {}): Exporter.Exporter => {
  const { format = "pretty", output = "stderr" } = options
  const colors = options.colors ?? isTerminal(output)
  const print = output === "stdout" ? Console.log : Console.error
  if (format === "pretty" || format === "json") {
    const write = format === "json" ? jsonText : (piece: Piece) => prettyText(piece, colors, options.summary ?? false)
    const assembly = assemble()
    const printAll = (take: () => ReadonlyArray<Piece>): Effect.Effect<void> =>
      Effect.suspend(() => Effect.forEach(take(), (piece) => print(write(piece)), { discard: true }))
    const rest = printAll(assembly.takeRest)
    return Exporter.make({
      name: "console",
      batchDelay: 0,
      export: (spans) => printAll(() => assembly.take(spans)),
      flush: rest,
      shutdown: rest
    })
  }
  const lineOf = lineFormats[format](Printable.palette(colors))
  writeAtOnce(output)
  return Exporter.make({
    name: "console",
    batchDelay: 0,
    // A call for each line: a pipe takes 4,096 bytes in one piece, and more in pieces that other processes write between.
    export: (spans) => Effect.forEach(spans, (span) => print(lineOf(span)), { discard: true })
  })
}

const lineFormats: Readonly<
  Record<Exclude<Format, "pretty" | "json">, (colors: Printable.Palette) => (span: SpanRecord) => string>
> = {
  line: (colors) => (span) => LineText.readable(span, colors),
  trace: () => LineText.trace,
  continuum: () => LineText.continuum
}

const jsonText = (piece: Piece): string => Printable.safe(JSON.stringify(OtlpJson.encode(piece.spans)))

const prettyText = (piece: Piece, colors: boolean, summary: boolean): string => {
  const traces = TraceTree.fromSpans(piece.spans)
  const trees = traces.map((trace) => TreeText.render(trace, { colors, note: piece.note }))
  // The line break at the end sets one trace off from the next.
  return [...trees, ...(summary ? ["", Summary.render(Summary.make(traces), { colors })] : []), ""].join("\n")
}

// While a pipe is full, Node keeps what is written and later writes it as one, which other processes' lines then cut. Its
// documentation has writes to pipes synchronous, and this makes them so.
const writeAtOnce = (output: "stdout" | "stderr"): void => {
  type Streams = Readonly<
    Record<typeof output, { readonly _handle?: { readonly setBlocking?: (on: boolean) => void } }>
  >
  const { process } = globalThis as { readonly process?: Streams }
  process?.[output]._handle?.setBlocking?.(true)
}

// Node, Deno and Bun have `process`; a browser does not.
const isTerminal = (output: "stdout" | "stderr"): boolean =>
  (globalThis as { readonly process?: Readonly<Record<typeof output, { readonly isTTY?: boolean }>> }).process?.[output]
    ?.isTTY === true

/** Spans of one trace that are printed together. */
interface Piece {
  readonly spans: ReadonlyArray<SpanRecord>
  readonly note: string | undefined
}

const maxWaiting = 10_000
const maxRemembered = 10_000

/**
 * Holds spans back until there is a tree to show: one whose top has ended and whose top's parent is not to be waited
 * for, because there is none, it is in another process, or it was printed before.
 */
const assemble = () => {
  const waiting = hold<SpanRecord>()
  const printed = hold<string>()

  const isTop = (span: SpanRecord): boolean =>
    span.parentSpanId === undefined || span.parentIsRemote || printed.of(span.traceId)?.has(span.parentSpanId) === true

  const release = (traceId: string, spans: ReadonlyArray<SpanRecord>): void => {
    for (const span of spans) {
      waiting.remove(traceId, span)
      printed.add(traceId, span.spanId)
    }
    for (const forgotten of printed.oldestBeyond(maxRemembered)) printed.removeAll(forgotten)
  }

  const takeWhole = (traceId: string): Piece => {
    const [trace] = TraceTree.fromSpans([...(waiting.of(traceId) ?? [])])
    const tops = trace?.roots.filter((root) => isTop(root.span)) ?? []
    const spans = Array.from(TraceTree.walk(tops), (node) => node.span)
    const note = printed.of(traceId) === undefined ? undefined : "continued"
    release(traceId, spans)
    return { spans, note }
  }

  const takeIncomplete = (traceId: string): Piece => {
    const spans = [...(waiting.of(traceId) ?? [])]
    release(traceId, spans)
    return { spans, note: "incomplete" }
  }

  return {
    take: (spans: ReadonlyArray<SpanRecord>): ReadonlyArray<Piece> => {
      for (const span of spans) waiting.add(span.traceId, span)
      // What waits can become whole only by a new top, so a long trace is not made into a tree at every batch.
      const whole = new Set(spans.filter(isTop).map((span) => span.traceId))
      const pieces = Array.from(whole, takeWhole)
      return [...pieces, ...waiting.oldestBeyond(maxWaiting).map(takeIncomplete)]
    },
    takeRest: (): ReadonlyArray<Piece> => waiting.oldestBeyond(0).map(takeIncomplete)
  }
}

/** Things of traces by trace id, the trace that came first first, and how many there are of all traces. */
const hold = <A>() => {
  const held = new Map<string, Set<A>>()
  let count = 0
  return {
    of: (traceId: string): ReadonlySet<A> | undefined => held.get(traceId),
    add: (traceId: string, item: A): void => {
      const items = held.get(traceId) ?? new Set()
      count -= items.size
      held.set(traceId, items.add(item))
      count += items.size
    },
    remove: (traceId: string, item: A): void => {
      const items = held.get(traceId)
      if (items?.delete(item) === true) count--
      if (items?.size === 0) held.delete(traceId)
    },
    removeAll: (traceId: string): void => {
      count -= held.get(traceId)?.size ?? 0
      held.delete(traceId)
    },
    /** The traces that came first, as many as have to go so that no more than a number of things are left. */
    oldestBeyond: (max: number): ReadonlyArray<string> => {
      const traceIds: Array<string> = []
      let left = count
      for (const [traceId, items] of held) {
        if (left <= max) break
        traceIds.push(traceId)
        left -= items.size
      }
      return traceIds
    }
  }
}
