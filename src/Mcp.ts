/**
 * Traces that go on over the Model Context Protocol, both ways, in `params._meta` (SEP-414): for Effect's McpClient and McpServer,
 * and for the clients and servers of `@modelcontextprotocol/sdk`. What stands on the spans is `McpSpan`'s.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Layer from "effect/Layer"
import * as McpClient from "effect/ai/McpClient"
import type * as McpProtocol from "effect/ai/McpProtocol"
import * as Option from "effect/Option"
import * as RpcClient from "effect/rpc/RpcClient"
import type * as RpcGroup from "effect/rpc/RpcGroup"
import * as RpcMiddleware from "effect/rpc/RpcMiddleware"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import { Key } from "./Conventions.ts"
import { contextWithin } from "./ForeignCall.ts"
import * as McpSpan from "./McpSpan.ts"
import * as McpTransport from "./McpTransport.ts"
import { tracerView } from "./TracerView.ts"

/**
 * Makes a transport of Effect's McpClient whose requests are spans that the server goes on with, by the propagator that is in
 * place. A call inside of the span of a tool, `execute_tool …`, stands on that one.
 *
 * @since 0.1.0
 */
export const client = (transport: McpClient.Transport): McpClient.Transport => ({
  ...transport,
  request: (message, tool) =>
    McpSpan.sent(
      { ...message, protocolVersion: transport.protocol.protocolVersion },
      (params) => transport.request({ ...message, params: params as typeof message.params }, tool),
      McpSpan.problemOfResponse
    )
})

/**
 * Traces the requests of the `McpClient.Transport` that it is given; see `client`. Put it between a client and its transport.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { McpClient, McpProtocol } from "effect/ai"
 * import { ChildProcess } from "effect/process"
 * import * as Mcp from "handspan/Mcp"
 *
 * const transport = McpClient.stdio({ command: ChildProcess.make("photo-server"), protocol: McpProtocol.v2025_11_25 })
 * const photos = Layer.effect(McpClient.McpClient, McpClient.make({ name: "agency", version: "1.0.0" })).pipe(
 *   Layer.provide(Mcp.layerClient),
 *   Layer.provide(Layer.effect(McpClient.Transport, transport))
 * )
 * if (!Layer.isLayer(photos)) throw new Error("expected a Layer of the client")
 * ```
 *
 * @since 0.1.0
 */
export const layerClient: Layer.Layer<McpClient.Transport, never, McpClient.Transport> = Layer.effect(
  McpClient.Transport,
  Effect.map(McpClient.Transport, client)
)

/**
 * Makes a protocol of Effect's McpServer whose requests, of every method, are spans that go on with their callers' traces, as far
 * as `Propagator.CurrentTrust` allows, and have their baggage. They take the place of Effect's own. What the server asks of its
 * client, such as to elicit, bears the trace too. It is for any of the server's transports.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { McpProtocol, McpServer, McpTest } from "effect/ai"
 * import * as Mcp from "handspan/Mcp"
 * import * as Testing from "handspan/testing"
 *
 * const photos = McpServer.prompt({ name: "describe", content: () => Effect.as(Effect.log("looking"), "Describe it") })
 * const program = Effect.gen(function* () {
 *   const client = yield* McpTest.makeClient(photos, { protocols: [Mcp.server(McpProtocol.v2025_11_25)] })
 *   const _meta = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }
 *   yield* client.getPrompt({ name: "describe", _meta })
 * })
 * const { traces } = await Effect.runPromise(Testing.record(Effect.scoped(program)))
 * const served = traces.flatMap(({ spans }) => spans).find(({ name }) => name === "prompts/get describe")
 * if (served?.parentSpanId !== "b7ad6b7169203331") throw new Error("expected the caller's span")
 * ```
 *
 * @since 0.1.0
 */
export const server = <Protocol extends McpProtocol.ProtocolAdapter>(protocol: Protocol): Protocol => ({
  ...protocol,
  clientRpcs: (protocol.clientRpcs as RpcGroup.RpcGroup<any>).middleware(Served),
  payloadCodecs: (rpc) => {
    const codecs = protocol.payloadCodecs(rpc)
    return { ...codecs, decode: (input) => Effect.andThen(replaceEffectsSpans, codecs.decode(input)) }
  },
  makeReverseClient: (profile) =>
    Effect.updateService(protocol.makeReverseClient(profile), RpcClient.Protocol, (wire) => ({
      ...wire,
      send: (clientId, request, transferables) =>
        request._tag !== "Request"
          ? wire.send(clientId, request, transferables)
          : Effect.flatMap(McpSpan.inject(request.payload), (payload) =>
              wire.send(clientId, { ...request, payload }, transferables)
            )
    }))
})

/** `@effect/mcp/{version}/{method}`, as Effect names what comes to a server of several versions. */
const ofRequest = /^@effect\/mcp\/([^/]+)\/(.+)$/

const serve: RpcMiddleware.RpcMiddleware<never, never, never> = (effect, { headers, payload, requestId, rpc }) =>
  Effect.withFiber((fiber) => {
    const [, version, method = rpc._tag] = ofRequest.exec(rpc._tag) ?? []
    const overHttp = Context.getOrUndefined(fiber.context, HttpServerRequest.HttpServerRequest) !== undefined
    const work = Effect.withFiber(({ cache: { span } }) => {
      if (span?._tag === "Span") keepArgumentsOff(span)
      return effect
    })
    return McpSpan.received(
      {
        method,
        id: requestId,
        params: payload,
        protocolVersion: version,
        sessionId: headers["mcp-session-id"],
        transport: overHttp ? "tcp" : undefined
      },
      work,
      McpSpan.problemOfExit,
      overHttp ? nearest(fiber.cache.span) : undefined
    )
  })

/** Effect's Toolkit writes what a tool is called with on the span that is running. */
const keepArgumentsOff = (span: Tracer.Span): void => {
  const write = span.attribute.bind(span)
  span.attribute = (key, value) => {
    if (key !== "parameters") write(key, value)
  }
}

// A Reference, and not a service of RpcMiddleware: it is there wherever a server is run, without a Layer for it.
const Served = Object.assign(Context.Reference("handspan/Mcp/Served", { defaultValue: () => serve }), {
  [RpcMiddleware.TypeId]: RpcMiddleware.TypeId,
  error: Schema.Never,
  requiredForClient: false,
  "~ClientError": undefined
})

/**
 * Effect's server has no switch for its own spans. What decodes a request runs in the fiber that they are opened in, and gives it
 * a tracer that leaves them out; it stays there, as Effect's HttpRouter leaves its route.
 */
const replaceEffectsSpans = Effect.withFiber((fiber) => {
  const base = fiber.getRef(Tracer.Tracer)
  const replaced = withoutEffectsSpans.get(base) ?? leaveOut(base)
  if (replaced !== base) fiber.setContext(Context.add(fiber.context, Tracer.Tracer, replaced))
  return Effect.void
})

const withoutEffectsSpans = new WeakMap<Tracer.Tracer, Tracer.Tracer>()

const ofEffectsServer = "McpServer.@effect/mcp/"
const ofEffectsReverseClient = "McpServer/Client."

const leaveOut = (base: Tracer.Tracer): Tracer.Tracer => {
  const span: Tracer.Tracer["span"] = (options) => {
    if (options.name.startsWith(ofEffectsServer)) {
      const annotations = Context.add(options.annotations, Tracer.DisablePropagation, true)
      return new Tracer.NativeSpan({ ...options, annotations, sampled: false })
    }
    if (!options.name.startsWith(ofEffectsReverseClient)) return base.span(options)
    const name = options.name.slice(ofEffectsReverseClient.length)
    const asked = base.span({ ...options, name })
    asked.attribute(Key.mcpMethod, name)
    return asked
  }
  const replaced = tracerView(base, { span })
  withoutEffectsSpans.set(base, replaced).set(replaced, replaced)
  return replaced
}

/** The span that those of a fiber become children of: one that keeps to itself is passed over. */
const nearest = (span: Tracer.AnySpan | undefined): Tracer.AnySpan | undefined =>
  span?._tag === "Span" && Context.get(span.annotations, Tracer.DisablePropagation)
    ? nearest(Option.getOrUndefined(span.parent))
    : span

/**
 * What traces clients and servers of `@modelcontextprotocol/sdk` under the tracing of the Effect that made it.
 *
 * @since 0.1.0
 */
export interface Sdk<in R> {
  /**
   * Gives a transport, of a client or a server, whose requests are spans, those that are sent and those that come: what the peer
   * goes on with, and what goes on with the peer's trace, as far as `Propagator.CurrentTrust` allows. Connect to what it gives;
   * what else the transport can do is the same by either.
   *
   * **Details**: a request is a child of the Effect that makes it at once (`Effect.promise(() => client.callTool(…))`), else of
   * the function wrapped by `Instrument` or the request that is running, else of the span that this was made in. Functions
   * wrapped by `Instrument` nest under the request that they run in. A request that is cancelled, or cut off, ends as interrupted.
   */
  readonly transport: <T extends McpTransport.Transport>(transport: T) => T
  /**
   * Makes a handler of a tool, a resource or a prompt out of a function that gives an Effect, which runs inside of the request's
   * span, with the caller's baggage. It is interrupted when the request is cancelled.
   */
  readonly handler: <Args extends Array<any>, A, E>(
    handle: (...args: Args) => Effect.Effect<A, E, R>
  ) => (...args: Args) => Promise<A>
}

/**
 * Traces clients and servers of `@modelcontextprotocol/sdk`. Handlers that give Effects run with the services of this one.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as Mcp from "handspan/Mcp"
 *
 * // In its place: new StdioClientTransport({ command: "photo-server" }), to which a Client connects.
 * const wire = {
 *   onmessage: (_: unknown) => {},
 *   send: async ({ id, params }: any) => wire.onmessage({ jsonrpc: "2.0", id, result: { told: params._meta.traceparent } })
 * }
 * const program = Effect.gen(function* () {
 *   const { transport } = yield* Mcp.sdk()
 *   const answers: Array<any> = []
 *   const client = transport(wire)
 *   client.onmessage = (answer) => answers.push(answer)
 *   yield* Effect.promise(() => client.send({ jsonrpc: "2.0", id: 1, method: "tools/list" }))
 *   return answers[0].result.told
 * })
 * const told = await Effect.runPromise(program)
 * if (!/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/.test(told)) throw new Error("expected a traceparent")
 * ```
 *
 * @since 0.1.0
 */
export const sdk = <R = never>(): Effect.Effect<Sdk<R>, never, R> =>
  Effect.map(Effect.context<R>(), (made) => ({
    transport: (transport) => McpTransport.traced(transport, made),
    handler:
      <Args extends Array<any>, A, E>(handle: (...args: Args) => Effect.Effect<A, E, R>) =>
      (...args: Args) => {
        const context = Context.merge(made, contextWithin(made))
        return Effect.runPromiseWith(context)(handle(...args), { signal: signalOf(args) })
      }
  }))

/** Handlers of the SDK get, last, what belongs to the request. */
const signalOf = (args: ReadonlyArray<any>): AbortSignal | undefined => {
  const signal: unknown = args.at(-1)?.signal
  return signal instanceof AbortSignal ? signal : undefined
}
