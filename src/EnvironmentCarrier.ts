/**
 * Trace context in the environment of processes: what a process was told by whoever started it, and under which variables
 * (OpenTelemetry, Environment Variables as Context Propagation Carriers). Starting processes is `Subprocess`'s.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Propagator from "./Propagator.ts"

/**
 * The variable that bears a header, such as `TRACEPARENT`.
 *
 * @since 0.1.0
 */
export const variable = (header: string): string => header.toUpperCase().replaceAll("-", "_")

/** An empty variable is one that is not set (OpenTelemetry, Environment Variable Specification). */
const read = (name: string): string | undefined =>
  Result.getOrUndefined(Result.try(() => globalThis.process?.env[name])) || undefined

const extracted = Effect.flatMap(Propagator.CurrentPropagator, ({ fields }) =>
  Propagator.extract(fields.map((name) => [name, read(variable(name))]))
)

/**
 * Runs an effect as the continuation of the span that started this process, as its environment tells it; without one it stays
 * as it is. What cannot be read is counted, and the log tells of it. Never fails of itself; on Deno it needs
 * `--allow-env=TRACEPARENT,TRACESTATE,BAGGAGE`, and does without where it is not allowed. `Tracing.layerFromEnv` does as much for
 * the whole program.
 *
 * @since 0.1.0
 */
export const continued = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const sent = yield* extracted
    const { unreadable = [] } = sent
    Propagator.countUnreadable(unreadable, yield* Effect.context())
    for (const field of unreadable) {
      yield* Effect.logWarning(
        `${variable(field)} cannot be read, or not as a whole: what it says of a trace is left out`
      )
    }
    return yield* Propagator.withRemoteParentFrom(sent)(effect)
  })
