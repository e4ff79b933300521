// Runs a program under a Recorder of its own with countable ids, and gives the spans back: for the tests of the Recorder
// itself, which see ids, limits and whatever else the testing kit leaves out. All others record with the kit.
import { Effect, type Exit, Result } from "effect"
import * as OtlpProtobuf from "../src/OtlpProtobuf.ts"
import * as Recorder from "../src/Recorder.ts"
import { SpanBuffer } from "../src/SpanBuffer.ts"
import type { SpanRecord } from "../src/SpanRecord.ts"

const countedIds = (): Recorder.Ids => {
  let traces = 0
  let spans = 0
  return {
    traceId: () => (++traces).toString(16).padStart(32, "0"),
    spanId: () => (++spans).toString(16).padStart(16, "0")
  }
}

/** The exit of a program and the spans it ended, in the order they ended. */
export const recorded = <A, E, R>(
  program: Effect.Effect<A, E, R>,
  options?: { readonly limits?: Partial<Recorder.Limits> }
): Effect.Effect<{ readonly exit: Exit.Exit<A, E>; readonly spans: ReadonlyArray<SpanRecord> }, never, R> =>
  Effect.suspend(() => {
    const buffer = new SpanBuffer()
    const tracer = Recorder.make({ ids: countedIds(), onEnd: (span) => buffer.append(span), ...options })
    return Effect.map(Effect.exit(Effect.withTracer(program, tracer)), (exit) => ({
      exit,
      spans: Result.getOrThrow(OtlpProtobuf.decode(buffer.take().bytes))
    }))
  })

/** The span of a name; the one that started first where there are several. */
export const spanNamed = (spans: ReadonlyArray<SpanRecord>, name: string): SpanRecord => {
  const found = spans.filter((span) => span.name === name).toSorted((a, b) => (a.spanId < b.spanId ? -1 : 1))[0]
  if (found === undefined) throw new Error(`No span "${name}": there are ${spans.map((span) => span.name).join(", ")}`)
  return found
}

/** The tree as indented names, children in the order they started. */
export const outline = (spans: ReadonlyArray<SpanRecord>): string => {
  const below = (parent: string | undefined, indent: string): string =>
    spans
      .filter((span) => span.parentSpanId === parent)
      .toSorted((a, b) => (a.spanId < b.spanId ? -1 : 1))
      .map((span) => `${indent}${span.name} ${span.status.code}\n${below(span.spanId, `${indent}  `)}`)
      .join("")
  return `\n${below(undefined, "")}`
}
