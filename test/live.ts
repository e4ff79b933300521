// What tests of real clients and servers share: they record by the real clock, and look for secrets in all that was recorded.
import { Effect, type Scope } from "effect"
import * as Testing from "../src/Testing.ts"

/** Records a program that may open what ends with it, such as sockets, by the real clock. */
export const record = <A, E>(program: Effect.Effect<A, E, Scope.Scope>) =>
  Testing.record(Effect.scoped(program), { clock: "live" })

/** All that a value says, as text. */
export const textOf = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) => (typeof inner === "bigint" ? String(inner) : inner))
