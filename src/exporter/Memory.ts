/**
 * Keeps finished spans in memory, for tests and for programs that look at their own traces.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exporter from "../Exporter.ts"
import type { SpanRecord } from "../SpanRecord.ts"

/**
 * Reads the spans that ended so far under `Tracing.layerInMemory`.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Agent, Memory, Tracing } from "handspan"
 *
 * const hello = Agent.make("hello", { run: (name: string) => Effect.succeed(`Hello, ${name}`) })
 * const program = Effect.gen(function* () {
 *   yield* hello("Ada")
 *   const spans = yield* Memory.Spans
 *   return yield* spans.all
 * }).pipe(Effect.provide(Tracing.layerInMemory))
 *
 * const spans = await Effect.runPromise(program)
 * if (spans[0]?.name !== "agent_handoff.hello") throw new Error("expected the handoff")
 * ```
 *
 * @since 0.1.0
 */
export class Spans extends Context.Service<
  Spans,
  {
    /** The spans that ended so far, in the order they ended. */
    readonly all: Effect.Effect<ReadonlyArray<SpanRecord>>
    /** Forgets all spans. */
    readonly clear: Effect.Effect<void>
  }
>()("handspan/exporter/Memory/Spans") {}

/**
 * Makes an exporter that keeps spans, and the service that reads them.
 *
 * **Details**: it holds at most `capacity` spans (default: 100,000) and refuses what comes after, which the ledger then
 * counts: a long run with a forgotten memory exporter does not eat the machine.
 *
 * @since 0.1.0
 */
export const make = (options?: {
  readonly capacity?: number | undefined
}): { readonly exporter: Exporter.Exporter; readonly spans: Spans["Service"] } => {
  const capacity = options?.capacity ?? 100_000
  let kept: Array<SpanRecord> = []
  return {
    exporter: Exporter.make({
      name: "memory",
      batchDelay: 0,
      export: (batch) =>
        Effect.suspend(() => {
          const room = Math.max(capacity - kept.length, 0)
          kept = kept.concat(batch.slice(0, room))
          const refused = Math.max(batch.length - room, 0)
          return refused === 0
            ? Effect.void
            : new Exporter.ExportError({
                exporter: "memory",
                message: `Cannot keep ${refused} more spans in memory: it is full with ${capacity}; clear it or raise capacity`,
                retryable: false,
                refused
              })
        })
    }),
    spans: Spans.of({
      all: Effect.sync(() => kept),
      clear: Effect.sync(() => {
        kept = []
      })
    })
  }
}
