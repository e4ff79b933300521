/**
 * Assertions about traces on vitest's `expect`: import it once, in a setup file or in the test itself.
 *
 * @since 0.1.0
 */
import { expect } from "vitest"
import type * as TraceTree from "../TraceTree.ts"
import { type Assertions, type Check, checks } from "./Checks.ts"

declare module "vitest" {
  interface Matchers<R extends void | Promise<void> = void | Promise<void>> extends Assertions<R> {}
}

expect.extend(
  Object.fromEntries(
    Object.entries(checks).map(([name, check]) => [
      name,
      (trace: TraceTree.Trace, ...args: ReadonlyArray<unknown>) => {
        const { holds, message } = (check as (trace: TraceTree.Trace, ...args: ReadonlyArray<unknown>) => Check)(
          trace,
          ...args
        )
        return { pass: holds, message }
      }
    ])
  )
)
