/** A group of Effect's RPC that goes on with its callers' traces, and clients of servers of it: over HTTP, a socket and a worker. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as NodeWorker from "@effect/platform-node/NodeWorker"
import { Effect, Layer, Schema, type Scope, Stream } from "effect"
import { FetchHttpClient, HttpRouter, HttpServer } from "effect/http"
import { Rpc as EffectRpc, RpcClient, type RpcClientError, RpcGroup, RpcSerialization, RpcServer } from "effect/rpc"
import { SocketServer } from "effect/socket"
import { createServer } from "node:http"
import { Worker } from "node:worker_threads"
import * as Http from "../src/Http.ts"
import * as OtlpJson from "../src/OtlpJson.ts"
import * as Propagator from "../src/Propagator.ts"
import * as Rpc from "../src/Rpc.ts"
import type { SpanRecord } from "../src/SpanRecord.ts"
import * as TraceContext from "../src/TraceContext.ts"

const Seen = Schema.Struct({ user: Schema.String, traceState: Schema.String, flags: Schema.Int })

export const Photos = RpcGroup.make(
  EffectRpc.make("Look", { success: Seen, payload: { path: Schema.String } }),
  EffectRpc.make("Watch", { success: Schema.Int, payload: { times: Schema.Int }, stream: true }),
  EffectRpc.make("Follow", { success: Schema.Int, stream: true }),
  EffectRpc.make("Fail", { error: Schema.String })
)
  .middleware(Rpc.Traced)
  .add(EffectRpc.make("Untraced"))

export const handlers = Photos.toLayer({
  Look: () =>
    Effect.map(Effect.all([TraceContext.CurrentBaggage, Propagator.current]), ([baggage, { context }]) => ({
      user: baggage.get("user")?.value ?? "",
      traceState: context?.traceState ?? "",
      flags: context?.flags ?? -1
    })).pipe(Effect.withSpan("looking")),
  Watch: ({ times }) =>
    Stream.mapEffect(Stream.range(1, times), (n) => Effect.withSpan(Effect.succeed(n), `frame ${n}`)),
  Follow: () => Stream.concat(Stream.succeed(1), Stream.never),
  Fail: () => Effect.fail("no"),
  Untraced: () => Effect.void
})

/** What a server in a worker answers besides: the spans that it has recorded, as OTLP. */
export const Reporting = Photos.add(EffectRpc.make("Spans", { success: Schema.String }))

export interface ServerOptions {
  readonly disableTracing?: boolean
  readonly spanPrefix?: string
  readonly spanAttributes?: Record<string, unknown>
}

export interface Peer {
  readonly client: RpcClient.RpcClient<RpcGroup.Rpcs<typeof Photos>, RpcClientError.RpcClientError>
  /** The spans of a server that has a tracer of its own. */
  readonly theirSpans: Effect.Effect<ReadonlyArray<SpanRecord>>
}

type Connect = (options: ServerOptions) => Effect.Effect<Peer, never, Scope.Scope>

const over = (protocol: Layer.Layer<RpcClient.Protocol>): Effect.Effect<Peer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const services = yield* Layer.build(Layer.merge(protocol, Rpc.layerClient))
    return {
      client: yield* Effect.provide(RpcClient.make(Photos), services),
      theirSpans: Effect.succeed([])
    }
  })

const overHttp: Connect = (options) =>
  Effect.gen(function* () {
    const app = RpcServer.layerHttp({ group: Photos, path: "/rpc", protocol: "http", ...options }).pipe(
      Layer.provide([handlers, Rpc.layerServer, RpcSerialization.layerNdjson])
    )
    const served = HttpRouter.serve(app, { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provide(Http.layerServer),
      Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
    )
    const context = yield* Effect.orDie(Layer.build(served))
    const { address } = yield* Effect.provide(HttpServer.HttpServer, context)
    const protocol = RpcClient.layerProtocolHttp({ url: `${HttpServer.formatAddress(address)}/rpc` })
    return yield* over(
      Layer.provide(protocol, [RpcSerialization.layerNdjson, Layer.provide(Http.layerClient, FetchHttpClient.layer)])
    )
  })

export const overSocket = (options: ServerOptions, answers = handlers): ReturnType<Connect> =>
  Effect.gen(function* () {
    const served = RpcServer.layer(Photos, options).pipe(
      Layer.provide([answers, Rpc.layerServer]),
      Layer.provide(RpcServer.layerProtocolSocketServer),
      Layer.provide(RpcSerialization.layerNdjson),
      Layer.provideMerge(NodeSocketServer.layer({ host: "127.0.0.1", port: 0 }))
    )
    const context = yield* Effect.orDie(Layer.build(served))
    const { address } = yield* Effect.provide(SocketServer.SocketServer, context)
    const port = "port" in address ? address.port : 0
    const socket = NodeSocket.layerNet({ host: "127.0.0.1", port })
    return yield* over(
      Layer.provide(RpcClient.layerProtocolSocket(), [RpcSerialization.layerNdjson, Layer.orDie(socket)])
    )
  })

const overWorker: Connect = (options) =>
  Effect.gen(function* () {
    const program = new URL("programs/rpc-worker.ts", import.meta.url)
    const protocol = RpcClient.layerProtocolWorker({ size: 1 }).pipe(
      Layer.provide(NodeWorker.layer(() => new Worker(program, { workerData: options })))
    )
    const services = yield* Layer.build(Layer.merge(Layer.orDie(protocol), Rpc.layerClient))
    const client = yield* Effect.provide(RpcClient.make(Reporting), services)
    return {
      client,
      theirSpans: client.Spans().pipe(
        Effect.flatMap((text) => Effect.fromResult(OtlpJson.decodeText(text))),
        Effect.orDie
      )
    }
  })

export const transports = [
  { over: "HTTP", connect: overHttp },
  { over: "a socket", connect: (options: ServerOptions) => overSocket(options) },
  { over: "a worker", connect: overWorker }
] as const
