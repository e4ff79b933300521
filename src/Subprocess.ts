/**
 * Traces that go on in child processes: their environment tells them the trace, and JSON lines over stdin and stdout connect
 * them. It stands on `node:child_process`, which Node and Deno both have.
 *
 * @since 0.1.0
 */
import * as ChildProcess from "node:child_process"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Connection } from "./Connection.ts"
import { variable } from "./EnvironmentCarrier.ts"
import * as JsonLines from "./JsonLines.ts"
import * as Propagator from "./Propagator.ts"

export { continued } from "./EnvironmentCarrier.ts"

/**
 * A program that could not be started.
 *
 * @since 0.1.0
 */
export class SubprocessError extends Schema.TaggedError<SubprocessError>()("SubprocessError", {
  command: Schema.String,
  message: Schema.String
}) {}

/**
 * A child process that runs.
 *
 * @since 0.1.0
 */
export interface Subprocess {
  readonly connection: Connection
  /** Its exit code once it has ended, `null` where a signal ended it. */
  readonly exitCode: Effect.Effect<number | null>
}

/**
 * Starts a program as a child, for as long as the scope lives.
 *
 * **Details**: the span and the baggage of whoever starts it are in its environment, as `TRACEPARENT`, `TRACESTATE` and `BAGGAGE`
 * (OpenTelemetry, Environment Variables as Context Propagation Carriers); `Tracing.layerFromEnv` reads them there, and so does
 * `continued`. When the scope closes, its stdin ends, which tells it to stop; after 5 seconds it is killed. What it writes to
 * stderr goes to ours.
 *
 * **Fails with** `SubprocessError` where the program cannot be started.
 *
 * @since 0.1.0
 */
export const spawn = (options: {
  /** The program, such as `process.execPath`. */
  readonly command: string
  readonly args?: ReadonlyArray<string> | undefined
  /** Variables besides our own, or instead of them. Default: none. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Default: ours. */
  readonly cwd?: string | undefined
}): Effect.Effect<Subprocess, SubprocessError, Scope.Scope> =>
  Effect.gen(function* () {
    const { args = [], command, cwd } = options
    const { fields } = yield* Propagator.CurrentPropagator
    // On Deno not all of it may be allowed; then the child gets what it is told.
    const inherited = Result.getOrElse(
      Result.try((): NodeJS.ProcessEnv => ({ ...process.env })),
      () => ({})
    )
    const stale = new Set(fields.map(variable))
    const ours = Object.entries({ ...inherited, ...options.env }).filter(([name]) => !stale.has(name))
    const told = Object.entries(yield* Propagator.inject()).map(([name, value]) => [variable(name), value])
    const env = Object.fromEntries([...ours, ...told])
    const child = yield* Effect.try({
      try: () => ChildProcess.spawn(command, args, { env, cwd, stdio: ["pipe", "pipe", "inherit"] }),
      catch: (error) => new SubprocessError({ command, message: `Cannot start ${command}: ${String(error)}` })
    })
    // Writing to a child that has gone is told by `write`; without a listener it would end the process.
    child.stdin.on("error", () => undefined)
    const ended = yield* Deferred.make<number | null>()
    const started = yield* Deferred.make<void, SubprocessError>()
    child.once("spawn", () => Deferred.doneUnsafe(started, Effect.void))
    child.once("close", (code) => Deferred.doneUnsafe(ended, Effect.succeed(code)))
    child.once("error", ({ message }) =>
      Deferred.doneUnsafe(
        started,
        Effect.fail(new SubprocessError({ command, message: `Cannot start ${command}: ${message}` }))
      )
    )
    yield* Deferred.await(started)
    const exitCode = Deferred.await(ended)
    const connection = yield* JsonLines.connect({ input: child.stdout, write: (line) => writeTo(child.stdin, line) })
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        child.stdin.end()
        const killed = Effect.andThen(
          Effect.sync(() => child.kill("SIGKILL")),
          exitCode
        )
        return Effect.timeoutOrElse(exitCode, { duration: Duration.seconds(5), orElse: () => killed })
      })
    )
    return { connection, exitCode }
  })

/** What is read of a stream of Node. */
interface Writable {
  readonly write: (text: string, done: (error?: Error | null) => void) => boolean
}

const writeTo = (stream: Writable, line: string): Effect.Effect<void, Error> =>
  Effect.callback((resume) => {
    stream.write(line, (error) => resume(error ? Effect.fail(error) : Effect.void))
  })

/**
 * The connection to the process that started this one, by stdin and stdout. Whatever else the program has to say belongs on
 * stderr.
 *
 * @since 0.1.0
 */
export const parent: Effect.Effect<Connection, never, Scope.Scope> = Effect.suspend(() => {
  // That whoever started this one has gone is told by `write`; without a listener it would end the process.
  if (process.stdout.listenerCount("error") === 0) process.stdout.on("error", () => undefined)
  return Effect.tap(JsonLines.connect({ input: process.stdin, write: (line) => writeTo(process.stdout, line) }), () =>
    // Reading would keep the process alive.
    Effect.addFinalizer(() => Effect.sync(() => process.stdin.destroy()))
  )
})
