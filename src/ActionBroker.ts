/**
 * Calls by name: one agent asks for what another is able to do, and waits for what comes of it. The trace is in the headers of
 * the call, which the broker writes and reads.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import { Key } from "./Conventions.ts"
import * as Propagator from "./Propagator.ts"
import * as SpanEnd from "./SpanEnd.ts"

/**
 * A call on its way.
 *
 * @since 0.1.0
 */
export interface Call {
  readonly capability: string
  readonly headers: Readonly<Record<string, string>>
  readonly input: unknown
}

/**
 * Nobody is able to do that, it has failed, or no answer has come in time: then somebody may be at it all the same.
 *
 * @since 0.1.0
 */
export class ActionError extends Schema.TaggedError<ActionError>()("ActionError", {
  capability: Schema.String,
  reason: Schema.Literals(["unknown", "failed", "timeout"]),
  message: Schema.String
}) {}

/**
 * What brings calls to those who are able to answer them.
 *
 * @since 0.1.0
 */
export class ActionBroker extends Context.Service<
  ActionBroker,
  {
    readonly call: (call: Call) => Effect.Effect<unknown, ActionError>
    /** Answers the calls of a capability for as long as the scope lives; of several who say so, each call goes to one. */
    readonly answer: (
      capability: string,
      handle: (call: Call) => Effect.Effect<unknown, ActionError>
    ) => Effect.Effect<void, never, Scope.Scope>
  }
>()("handspan/ActionBroker/ActionBroker") {}

/**
 * Asks for an action, as a span `action.invoke` that the other side goes on with.
 *
 * **Fails with** `ActionError` where nobody is able to do it or answers in time, and where it has failed.
 *
 * @since 0.1.0
 */
export const invoke = (capability: string, input: unknown): Effect.Effect<unknown, ActionError, ActionBroker> =>
  Effect.withSpan(
    Effect.flatMap(Effect.all([ActionBroker, Propagator.inject()]), ([broker, headers]) =>
      broker.call({ capability, headers, input })
    ),
    "action.invoke",
    { kind: "client", captureStackTrace: false, attributes: { [Key.capability]: capability } }
  )

/**
 * Answers the calls of a capability for as long as the scope lives, each as a span `action.handle` that goes on with its caller's
 * trace, as far as `Propagator.CurrentTrust` allows, and has its baggage.
 *
 * **Details**: what the handler fails with reaches the caller as an `ActionError`, by its message alone.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { ActionBroker } from "handspan"
 *
 * const program = Effect.gen(function* () {
 *   yield* ActionBroker.answer("double", (input) => Effect.succeed(Number(input) * 2))
 *   return yield* ActionBroker.invoke("double", 21)
 * })
 * const answer = await Effect.runPromise(Effect.scoped(Effect.provide(program, ActionBroker.layerMemory)))
 * if (answer !== 42) throw new Error("expected 42")
 * ```
 *
 * @since 0.1.0
 */
export const answer = <A, E, R>(
  capability: string,
  handle: (input: unknown) => Effect.Effect<A, E, R>
): Effect.Effect<void, never, ActionBroker | Scope.Scope | Exclude<R, Tracer.ParentSpan>> =>
  Effect.gen(function* () {
    const broker = yield* ActionBroker
    const services = yield* Effect.context<Exclude<R, Tracer.ParentSpan>>()
    yield* broker.answer(capability, ({ headers, input }) =>
      Effect.suspend(() => handle(input)).pipe(
        Propagator.receive(headers, {
          name: "action.handle",
          kind: "server",
          attributes: { [Key.capability]: capability }
        }),
        Effect.catchCause((cause) =>
          Cause.hasInterruptsOnly(cause)
            ? Effect.failCause(cause as Cause.Cause<never>)
            : Effect.fail(failure(capability, "failed", SpanEnd.describe(Cause.squash(cause)).message))
        ),
        Effect.provideContext(services)
      )
    )
  })

/**
 * Says why a call came to nothing, for brokers.
 *
 * @since 0.1.0
 */
export const failure = (capability: string, reason: ActionError["reason"], message: string): ActionError =>
  new ActionError({ capability, reason, message: `Cannot do "${capability}": ${message}` })

/**
 * A broker within the process; `handspan/bus/Actions` is one between processes. Of several who answer, the last does.
 *
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<ActionBroker> = Layer.sync(ActionBroker, () => {
  const handlers = new Map<string, (call: Call) => Effect.Effect<unknown, ActionError>>()
  return {
    call: (call) =>
      Effect.suspend(() => {
        const handle = handlers.get(call.capability)
        if (handle !== undefined) return handle(call)
        const known = [...handlers.keys()].join(", ")
        return Effect.fail(failure(call.capability, "unknown", `nobody is able to; there is ${known || "nothing"}`))
      }),
    answer: (capability, handle) =>
      Effect.asVoid(
        Effect.acquireRelease(
          Effect.sync(() => handlers.set(capability, handle)),
          () =>
            Effect.sync(() => {
              if (handlers.get(capability) === handle) handlers.delete(capability)
            })
        )
      )
  }
})
