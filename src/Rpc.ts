/**
 * Traces that go on over Effect's RPC, by whatever it travels: a middleware of an RpcGroup. Effect itself brings trace and span
 * alone to the other side; with it, tracestate, random flag and baggage arrive too.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Headers from "effect/http/Headers"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as RpcMiddleware from "effect/rpc/RpcMiddleware"
import * as Tracer from "effect/Tracer"
import { Key } from "./Conventions.ts"
import * as Propagator from "./Propagator.ts"
import * as TraceContext from "./TraceContext.ts"
import { tracerView } from "./TracerView.ts"

/**
 * What a group is given for its calls to go on with their callers' traces: `MyGroup.middleware(Rpc.Traced)`.
 *
 * **Details**: provide `layerClient` on the one side, `layerServer` on the other. The span of the client is Effect's. A call has
 * one span on the server, whether or not that one is told to trace.
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
 * **Details**: where Effect's server traces by itself, the span has its `spanPrefix` and `spanAttributes`, and is around other
 * middleware too.
 *
 * @since 0.1.0
 */
export const layerServer: Layer.Layer<Traced> = Layer.succeed(Traced, (effect, { headers, rpc }) => {
  // Effect calls this in the fiber that brings the request, and runs what it gives in another one.
  const bringing = Fiber.getCurrent()
  const isOpen = bringing === undefined ? () => false : openForEffect(bringing, rpc._tag, headers)
  return Effect.withFiber((fiber) => {
    const call = isOpen()
      ? Propagator.withBaggage(headers)(effect)
      : Propagator.receive(headers, {
          name: rpc._tag,
          kind: "server",
          attributes: { [Key.rpcSystem]: "effect_rpc", [Key.rpcMethod]: rpc._tag },
          links: linksTo(fiber.cache.span)
        })(effect)
    return Effect.withTracer(call, ownOf(fiber.getRef(Tracer.Tracer)))
  })
})

const linksTo = (span: Tracer.AnySpan | undefined): ReadonlyArray<Tracer.SpanLink> =>
  span === undefined ? [] : [{ span, attributes: {} }]

/**
 * Effect's server opens its span before it runs any middleware, as a child of what it knows of the caller: trace and span alone. It
 * does so by the tracer of the fiber that brings the request. The one that is put there opens the right span in that one's
 * place; it stays until the next request. Gives whether that span is open.
 */
const openForEffect = (bringing: Fiber.Fiber<unknown, unknown>, tag: string, headers: Headers.Headers) => {
  const own = ownOf(bringing.getRef(Tracer.Tracer))
  const around = bringing.cache.span
  let isOpen = false
  const span: Tracer.Tracer["span"] = (options) => {
    const fiber = Fiber.getCurrent()
    const isEffects = !isOpen && options.kind === "server" && `.${options.name}`.endsWith(`.${tag}`)
    if (!isEffects || fiber === undefined) return own.span(options)
    isOpen = true
    // A caller without `layerClient` is known to Effect all the same.
    const parent = Option.getOrUndefined(options.parent)
    const known = parent === undefined || parent === around ? undefined : TraceContext.fromSpan(parent)
    const opened = Effect.flatMap(Propagator.extract(headers), (sent) =>
      Propagator.spanFrom(
        { ...sent, context: sent.context ?? known },
        { name: options.name, kind: "server", links: linksTo(around) }
      )
    )
    return Effect.runSyncWith(Context.add(fiber.context, Tracer.Tracer, own))(opened)
  }
  const tracer = tracerView(own, { span })
  owns.set(tracer, own)
  bringing.setContext(Context.add(bringing.context, Tracer.Tracer, tracer))
  return () => isOpen
}

const owns = new WeakMap<Tracer.Tracer, Tracer.Tracer>()

/** The tracer of the program, where the one in place may be one that opens Effect's span. */
const ownOf = (tracer: Tracer.Tracer): Tracer.Tracer => owns.get(tracer) ?? tracer
