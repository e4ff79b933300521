// How the tests of the examples look at traces: as text, so that a failing test shows the tree that it got.
import { Effect, type Exit } from "effect"
import { Memory, type SpanRecord, Tracing, TraceTree } from "handspan"

/** Runs a program with its spans in memory, and gives how it ended with the tree of all it recorded. */
export const traced = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const exit: Exit.Exit<A, E> = yield* Effect.exit(program)
    const spans = yield* (yield* Memory.Spans).all
    return { exit, spans, tree: treeOf(spans) }
  }).pipe(Effect.provide(Tracing.layerInMemory))

/** A line per span: its name, `✓` or `✗`, and after `⇠` the names of the spans it links to. */
const treeOf = (spans: ReadonlyArray<SpanRecord.SpanRecord>): string => {
  const nameOf = (id: string) => spans.find(({ spanId }) => spanId === id)?.name ?? `? ${id}`
  const lineOf = ({ depth, span }: TraceTree.Node) =>
    [
      `${"  ".repeat(depth)}${span.name}`,
      span.status.code === "ok" ? "✓" : span.status.code === "error" ? "✗" : "·",
      ...(span.links.length === 0 ? [] : ["⇠", ...span.links.map(({ spanId }) => nameOf(spanId))])
    ].join(" ")
  return TraceTree.fromSpans(spans)
    .flatMap(({ roots }) => Array.from(TraceTree.walk(roots), lineOf))
    .join("\n")
}

/** The only span of a name. */
export const spanNamed = (spans: ReadonlyArray<SpanRecord.SpanRecord>, name: string): SpanRecord.SpanRecord => {
  const found = spans.filter((span) => span.name === name)
  if (found.length !== 1) throw new Error(`Expected one span "${name}": there are ${found.length}`)
  return found[0]!
}
