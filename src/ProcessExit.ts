/**
 * Tells when the process ends without asking: by `process.exit`, by an exception that nobody caught, or because nothing
 * is left to do. What is called then must be synchronous: no timer, no promise and no socket gets another turn.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

interface Globals {
  readonly process?: {
    readonly on?: (event: "exit", listener: () => void) => void
    readonly off?: (event: "exit", listener: () => void) => void
  }
  readonly addEventListener?: (event: string, listener: () => void) => void
  readonly removeEventListener?: (event: string, listener: () => void) => void
  readonly Deno?: object
}

/**
 * Listens until the scope closes.
 *
 * **Details**: on Node an exit is one event. Deno has `unload` for `Deno.exit` and for its natural end, and after an
 * uncaught exception only the event of that, which another listener may still make harmless: that is `onCrash`. Where
 * there is no process, as in a browser, nothing is listened to. A program that SIGKILL ends is told nothing.
 *
 * @since 0.1.0
 */
export const listen = (listeners: {
  /** The process ends now. Called once at most. */
  readonly onExit: () => void
  /** The process may end now. */
  readonly onCrash: () => void
}): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const { Deno: deno, addEventListener, process, removeEventListener } = globalThis as Globals
      let called = false
      const onExit = () => {
        if (!called) listeners.onExit()
        called = true
      }
      process?.on?.("exit", onExit)
      if (deno === undefined) return () => process?.off?.("exit", onExit)
      addEventListener?.("unload", onExit)
      for (const crash of crashes) addEventListener?.(crash, listeners.onCrash)
      return () => {
        process?.off?.("exit", onExit)
        removeEventListener?.("unload", onExit)
        for (const crash of crashes) removeEventListener?.(crash, listeners.onCrash)
      }
    }),
    (stop) => Effect.sync(stop)
  ).pipe(Effect.asVoid)

const crashes = ["error", "unhandledrejection"]
