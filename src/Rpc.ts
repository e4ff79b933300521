/**
 * Traces that go on over Effect's RPC, by whatever it travels: a middleware of an RpcGroup. Effect itself brings trace and span
 * alone to the other side; with it, tracestate, random flag and baggage arrive too.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import * as Layer from "effect/Layer"
import * as RpcMiddleware from "effect/rpc/RpcMiddleware"
import type * as Tracer from "effect/Tracer"
import { Key } from "./Conventions.ts"
import * as Propagator from "./Propagator.ts"

/**
 * What a group is given for its calls to go on with their callers' traces: `MyGroup.middleware(Rpc.Traced)`.
 *
 * **Details**: provide `layerClient` on the one side, `layerServer` on the other, and serve with `disableTracing: true`, or
 * Effect's span takes the place of ours, and has neither tracestate nor random flag. The span of the client is Effect's.
 *
 * @example
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Rpc as EffectRpc, RpcGroup, RpcTest } from "effect/rpc"
 * import { Propagator, TraceContext } from "handspan"
 * import * as Rpc from "handspan/Rpc"
 *
 * const Users = RpcGroup.make(EffectRpc.make("WhoAsks", { success: Schema.String })).middleware(Rpc.Traced)
 * const handlers = Users.toLayer({
 *   WhoAsks: () => Effect.map(TraceContext.CurrentBaggage, (baggage) => baggage.get("user")?.value ?? "nobody")
 * })
 * const program = Effect.flatMap(RpcTest.makeClient(Users), (client) => client.WhoAsks()).pipe(
 *   Propagator.withRemoteParent({ baggage: "user=alice" }),
 *   Effect.provide([handlers, Rpc.layerClient, Rpc.layerServer])
 * )
 * const user = await Effect.runPromise(Effect.scoped(program))
 * if (user !== "alice") throw new Error("expected the baggage")
 * ```
 *
 * @since 0.1.0
 */
export class Traced extends RpcMiddleware.Service<Traced>()("handspan/Rpc/Traced", { requiredForClient: true }) {}

/**
 * Writes the caller's span and baggage into the headers of calls.
 *
 * @since 0.1.0
 */
export const layerClient: Layer.Layer<RpcMiddleware.ForClient<Traced>> = RpcMiddleware.layerClient(
  Traced,
  ({ next, request }) =>
    Effect.flatMap(Propagator.inject(request.headers), (headers) =>
      next({ ...request, headers: Headers.fromInput(headers) })
    )
)

/**
 * Runs what answers calls as spans named after them, which go on with their callers' traces as far as `Propagator.CurrentTrust`
 * allows. A span that is around the answer on this side, such as that of an HTTP request, is linked to.
 *
 * @since 0.1.0
 */
export const layerServer: Layer.Layer<Traced> = Layer.succeed(Traced, (effect, { headers, rpc }) =>
  Effect.withFiber((fiber) => {
    const around = fiber.cache.span
    // Effect's own span is there already: a second one would tell the same.
    if (isEffects(around)) return Propagator.withBaggage(headers)(effect)
    return Propagator.receive(headers, {
      name: rpc._tag,
      kind: "server",
      attributes: { [Key.rpcSystem]: "effect_rpc", [Key.rpcMethod]: rpc._tag },
      links: around === undefined ? [] : [{ span: around, attributes: {} }]
    })(effect)
  })
)

const isEffects = (span: Tracer.AnySpan | undefined): boolean =>
  span?._tag === "Span" && span.kind === "server" && span.attributes.has(Key.rpcMethod)
