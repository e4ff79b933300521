/**
 * Which call of plain TypeScript is running, where such code is traced: what spans of its own hang under. Fibers know their
 * span by themselves.
 *
 * @since 0.1.0
 */
import type * as Tracer from "effect/Tracer"

/**
 * A traced call of plain code: how to open its span, and the span around whoever traced it.
 *
 * @since 0.1.0
 */
export interface ForeignCall {
  readonly opened: () => Tracer.Span
  readonly around: Tracer.AnySpan | undefined
}

interface Running {
  readonly getStore: () => ForeignCall | undefined
  readonly run: <A>(call: ForeignCall, f: () => A) => A
}

/** Where the platform has no AsyncLocalStorage, calls nest as long as they do not wait. */
const nestedCalls = (): Running => {
  let current: ForeignCall | undefined
  return {
    getStore: () => current,
    run: (call, f) => {
      const before = current
      current = call
      try {
        return f()
      } finally {
        current = before
      }
    }
  }
}

const AsyncLocalStorage: (new () => Running) | undefined =
  globalThis.process?.getBuiltinModule?.("node:async_hooks")?.AsyncLocalStorage

/**
 * The call that is running, across `await` and timers too on Node and Deno.
 *
 * @since 0.1.0
 */
export const running: Running = AsyncLocalStorage === undefined ? nestedCalls() : new AsyncLocalStorage()
