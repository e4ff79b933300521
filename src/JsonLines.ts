/**
 * A connection of two processes by lines of JSON, such as a child's stdin and stdout. What the messages mean is said by
 * whoever connects: `Bridge`, say.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { type Connection, ConnectionError, gone } from "./Connection.ts"

/** Longer lines end the connection: nobody may fill the memory with one that never ends. */
const maxLineLength = 16 * 1024 * 1024

/**
 * Connects by lines: reads what comes in for as long as the scope lives.
 *
 * **Details**: lines that are no JSON are passed over, since other output may stand between them. A line of more than 16 Mi
 * characters ends the connection; one of that length is not sent.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as JsonLines from "handspan/JsonLines"
 *
 * const sent: Array<string> = []
 * const input = (async function* () { yield '{"hello":' ; yield '"Ada"}\n' })()
 * const program = Effect.gen(function* () {
 *   const connection = yield* JsonLines.connect({ input, write: (line) => Effect.sync(() => void sent.push(line)) })
 *   yield* connection.send({ bye: "Ada" })
 *   return yield* connection.receive
 * })
 * const message = await Effect.runPromise(Effect.scoped(program))
 * if (JSON.stringify(message) !== '{"hello":"Ada"}' || sent[0] !== '{"bye":"Ada"}\n') throw new Error("expected both")
 * ```
 *
 * @since 0.1.0
 */
export const connect = (options: {
  /** What the other side writes, such as `process.stdin`. */
  readonly input: AsyncIterable<string | Uint8Array>
  /** Writes a line to the other side. */
  readonly write: (line: string) => Effect.Effect<void, unknown>
}): Effect.Effect<Connection, never, Scope.Scope> =>
  Effect.gen(function* () {
    const messages = yield* Queue.unbounded<unknown, ConnectionError>()
    const decoder = new TextDecoder()
    let line = ""
    const take = (chunk: string | Uint8Array): Effect.Effect<void, ConnectionError> => {
      const [first = "", ...rest] = (typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true })).split(
        "\n"
      )
      line += first
      for (const next of rest) {
        const message = Result.try((): unknown => JSON.parse(line))
        if (Result.isSuccess(message)) Queue.offerUnsafe(messages, message.success)
        line = next
      }
      return line.length > maxLineLength
        ? Effect.fail(gone(`a line of more than ${maxLineLength} characters`))
        : Effect.void
    }
    const iterator = options.input[Symbol.asyncIterator]()
    const next = Effect.tryPromise({ try: () => iterator.next(), catch: (error) => gone(String(error)) })
    const read: Effect.Effect<void, ConnectionError> = Effect.flatMap(next, (result) =>
      result.done === true ? Effect.fail(gone("it has ended")) : Effect.andThen(take(result.value), read)
    )
    // Not waited for: an iterator gives back only after what it waits for itself.
    const stop = Effect.sync(() => void iterator.return?.().catch(() => undefined))
    yield* Effect.forkScoped(
      read.pipe(
        Effect.catch((error) => Queue.fail(messages, error)),
        Effect.onExit(() => stop)
      )
    )
    return {
      receive: Queue.take(messages),
      send: (message) =>
        Effect.flatMap(lineOf(message), (line) =>
          Effect.mapError(options.write(`${line}\n`), (error) =>
            gone(error instanceof Error ? error.message : "it cannot be written to")
          )
        )
    }
  })

/** A line that the other side would not take ends nothing: whoever sends it is told. */
const lineOf = (message: unknown): Effect.Effect<string, ConnectionError> =>
  Effect.suspend(() => {
    const line = Result.try((): string | undefined => JSON.stringify(message))
    if (Result.isFailure(line)) return unsendable(String(line.failure))
    if (line.success === undefined) return unsendable("JSON has no word for it")
    const { length } = line.success
    return length > maxLineLength
      ? unsendable(`it has ${length} characters, and may have ${maxLineLength}`)
      : Effect.succeed(line.success)
  })

const unsendable = (why: string) => new ConnectionError({ message: `Cannot send the message: ${why}` })
