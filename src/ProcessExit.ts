/**
 * Tells when the process ends without asking: by `process.exit`, by an exception that nobody caught, or because nothing
 * is left to do. What is called then must be synchronous: no timer, no promise and no socket gets another turn.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/**
 * What is told.
 *
 * @since 0.1.0
 */
export interface Listener {
  /** The process ends now. Called once at most. */
  readonly onExit: () => void
  /** The process may end now. Called once at most: a program that survives it must not be held again. */
  readonly onCrash: () => void
}

interface Globals {
  readonly process?: { readonly on?: (event: "exit", listener: () => void) => void }
  readonly addEventListener?: (event: string, listener: (event: { readonly defaultPrevented: boolean }) => void) => void
  readonly Deno?: object
}

/** One listener of the process for all: it warns of more than ten. */
const listeners = new Set<Listener>()
let isListening = false
let hasCrashed = false
let hasEnded = false

const onExit = (): void => {
  if (!hasEnded) for (const listener of listeners) listener.onExit()
  hasEnded = true
}

const onCrash = ({ defaultPrevented }: { readonly defaultPrevented: boolean }): void => {
  if (defaultPrevented || hasCrashed) return
  hasCrashed = true
  for (const listener of listeners) listener.onCrash()
}

const listenToProcess = (): void => {
  if (isListening) return
  isListening = true
  const { Deno: deno, addEventListener, process } = globalThis as Globals
  process?.on?.("exit", onExit)
  if (deno === undefined) return
  addEventListener?.("unload", onExit)
  for (const crash of ["error", "unhandledrejection"]) addEventListener?.(crash, onCrash)
}

/**
 * Listens until the scope closes.
 *
 * **Details**: on Node an exit is one event. Deno has `unload` for `Deno.exit` and for its natural end, and after an
 * uncaught exception only the event of that, which another listener may still make harmless: that is `onCrash`. Where
 * there is no process, as in a browser, nothing is listened to. A program that a signal ends is told nothing.
 *
 * @since 0.1.0
 */
export const listen = (listener: Listener): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      listenToProcess()
      listeners.add(listener)
    }),
    () => Effect.sync(() => listeners.delete(listener))
  )
