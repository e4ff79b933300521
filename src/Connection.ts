/**
 * Two ways for messages between processes or threads, whatever they go through. `JsonLines` makes one of pipes, `fromPort` one
 * of a worker's port; `Bridge` leads events over any.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

/**
 * The other side is gone, or cannot be told that.
 *
 * @since 0.1.0
 */
export class ConnectionError extends Schema.TaggedError<ConnectionError>()("ConnectionError", {
  message: Schema.String
}) {}

/**
 * Two ways for messages, each in its order.
 *
 * @since 0.1.0
 */
export interface Connection {
  /** Sends one message, of what JSON can hold. */
  readonly send: (message: unknown) => Effect.Effect<void, ConnectionError>
  /** Takes the next message. Fails once the other side is gone. */
  readonly receive: Effect.Effect<unknown, ConnectionError>
}

/**
 * Says that the other side is gone, and why.
 *
 * @since 0.1.0
 */
export const gone = (why: string): ConnectionError => new ConnectionError({ message: `The other side is gone: ${why}` })

/**
 * A `Worker`, a `MessagePort` or `parentPort` of `node:worker_threads`, or the Web's: what is used of it.
 *
 * @since 0.1.0
 */
export type Port = { readonly postMessage: (message: unknown) => void } & (
  | {
      readonly on: (event: string, listener: (message: unknown) => void) => unknown
      readonly off: (event: string, listener: (message: unknown) => void) => unknown
    }
  | {
      readonly addEventListener: (event: string, listener: (event: any) => void) => void
      readonly removeEventListener: (event: string, listener: (event: any) => void) => void
      /** A Web MessagePort holds its messages back until it is started. */
      readonly start?: () => void
    }
)

/**
 * Connects to a worker, or to whoever started this one, for as long as the scope lives. The port is its owner's to close.
 *
 * **Gotchas**: a worker of the Web tells nobody that it has ended; close the scope where it is ended. One of `node:worker_threads`
 * does.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Connection } from "handspan"
 *
 * const { port1, port2 } = new MessageChannel()
 * const program = Effect.gen(function* () {
 *   const [left, right] = [yield* Connection.fromPort(port1), yield* Connection.fromPort(port2)]
 *   yield* left.send({ hello: "Ada" })
 *   return yield* right.receive
 * })
 * const message = await Effect.runPromise(Effect.scoped(program))
 * port1.close()
 * if (JSON.stringify(message) !== '{"hello":"Ada"}') throw new Error("expected the message")
 * ```
 *
 * @since 0.1.0
 */
export const fromPort = (port: Port): Effect.Effect<Connection, never, Scope.Scope> =>
  Effect.gen(function* () {
    const messages = yield* Queue.unbounded<unknown, ConnectionError>()
    const end = (why: string) => () => void Queue.failCauseUnsafe(messages, Cause.fail(gone(why)))
    const listeners: ReadonlyArray<readonly [event: string, listener: (event: unknown) => void]> =
      "on" in port
        ? [
            ["message", (message) => void Queue.offerUnsafe(messages, message)],
            ["close", end("it was closed")],
            ["exit", end("it has ended")],
            ["error", end("it has failed")]
          ]
        : [
            ["message", (event) => void Queue.offerUnsafe(messages, (event as { readonly data: unknown }).data)],
            ["close", end("it was closed")],
            ["error", end("it has failed")]
          ]
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        for (const [event, listener] of listeners) {
          if ("on" in port) port.on(event, listener)
          else port.addEventListener(event, listener)
        }
        if ("start" in port) port.start?.()
      }),
      () =>
        Effect.sync(() => {
          for (const [event, listener] of listeners) {
            if ("on" in port) port.off(event, listener)
            else port.removeEventListener(event, listener)
          }
        })
    )
    return {
      receive: Queue.take(messages),
      send: (message) =>
        Effect.try({
          try: () => port.postMessage(message),
          // Not everything can be copied.
          catch: (error) => new ConnectionError({ message: `Cannot send the message: ${String(error)}` })
        })
    }
  })
