// Effect's RPC with the middleware, over memory and over real HTTP.
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Schema, type Scope, Stream } from "effect"
import { FetchHttpClient, HttpRouter, HttpServer } from "effect/http"
import { Rpc as EffectRpc, RpcClient, RpcGroup, RpcSerialization, RpcServer, RpcTest } from "effect/rpc"
import { createServer } from "node:http"
import * as Http from "../src/Http.ts"
import * as Propagator from "../src/Propagator.ts"
import * as Rpc from "../src/Rpc.ts"
import * as Testing from "../src/Testing.ts"
import * as TraceContext from "../src/TraceContext.ts"

const { Tree, expectTrace } = Testing
const { span } = Tree

const Seen = Schema.Struct({ user: Schema.String, traceState: Schema.String, flags: Schema.Int })

const Photos = RpcGroup.make(
  EffectRpc.make("Look", { success: Seen, payload: { path: Schema.String } }),
  EffectRpc.make("Watch", { success: Schema.Int, payload: { times: Schema.Int }, stream: true }),
  EffectRpc.make("Fail", { error: Schema.String })
).middleware(Rpc.Traced)

const handlers = Photos.toLayer({
  Look: () =>
    Effect.map(Effect.all([TraceContext.CurrentBaggage, Propagator.current]), ([baggage, { context }]) => ({
      user: baggage.get("user")?.value ?? "",
      traceState: context?.traceState ?? "",
      flags: context?.flags ?? -1
    })),
  Watch: ({ times }) =>
    Stream.mapEffect(Stream.range(1, times), (n) => Effect.withSpan(Effect.succeed(n), `frame ${n}`)),
  Fail: () => Effect.fail("no")
})

const caller = {
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
  tracestate: "vendor=1",
  baggage: "user=alice"
}

/** A client of a server on loopback. */
const overHttp = Effect.gen(function* () {
  const app = RpcServer.layerHttp({ group: Photos, path: "/rpc", protocol: "http", disableTracing: true }).pipe(
    Layer.provide([handlers, Rpc.layerServer, RpcSerialization.layerNdjson])
  )
  const served = HttpRouter.serve(app, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provide(Http.layerServer),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
  )
  const context = yield* Effect.orDie(Layer.build(served))
  const { address } = yield* Effect.provide(HttpServer.HttpServer, context)
  const protocol = RpcClient.layerProtocolHttp({ url: `${HttpServer.formatAddress(address)}/rpc` }).pipe(
    Layer.provide([RpcSerialization.layerNdjson, Layer.provide(Http.layerClient, FetchHttpClient.layer)])
  )
  const services = yield* Layer.build(Layer.merge(protocol, Rpc.layerClient))
  return yield* Effect.provide(RpcClient.make(Photos), services)
})

const record = <A, E>(program: Effect.Effect<A, E, Scope.Scope>) =>
  Testing.record(Effect.scoped(program), { clock: "live" })

describe("Rpc over HTTP", () => {
  it.live("is one trace, with tracestate, random flag and baggage", () =>
    Effect.gen(function* () {
      const program = Effect.flatMap(overHttp, (client) =>
        client.Look({ path: "a.jpg" }).pipe(Effect.withSpan("outer"), Propagator.withRemoteParent(caller))
      )
      const { exit, trace } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.succeed({ user: "alice", traceState: "vendor=1", flags: 3 }))
      expectTrace(trace).toMatchTree(
        span("outer", [
          span(/Look/, {
            kind: "client",
            children: Tree.anyOrder(
              span("POST", [span("POST", { kind: "server", attributes: { "http.route": "/rpc" } })]),
              span("Look", { kind: "server", attributes: { "rpc.method": "Look" } })
            )
          })
        ])
      )
    })
  )

  it.live("covers a stream to its end, and says what has failed", () =>
    Effect.gen(function* () {
      const program = Effect.flatMap(overHttp, (client) =>
        Effect.all([Stream.runCollect(client.Watch({ times: 2 })), Effect.flip(client.Fail())]).pipe(
          Effect.withSpan("outer")
        )
      )
      const { exit, trace } = yield* record(program)
      assert.deepStrictEqual(
        Exit.map(exit, ([frames, error]) => [...frames, error]),
        Exit.succeed([1, 2, "no"])
      )
      const served = (name: string) => trace.spans.find((span) => span.name === name && span.kind === "server")
      const watch = served("Watch")
      const frames = trace.spans.filter(({ name }) => name.startsWith("frame"))
      assert.deepStrictEqual(
        frames.map(({ endTimeUnixNano, parentSpanId }) => [
          parentSpanId === watch?.spanId,
          endTimeUnixNano <= watch!.endTimeUnixNano
        ]),
        [
          [true, true],
          [true, true]
        ]
      )
      assert.strictEqual(served("Fail")?.status.code, "error")
    })
  )
})

describe("Rpc where Effect traces by itself", () => {
  it.effect("opens no second span, and still brings the baggage", () =>
    Effect.gen(function* () {
      const program = Effect.flatMap(RpcTest.makeClient(Photos), (client) => client.Look({ path: "a.jpg" })).pipe(
        Propagator.withRemoteParent(caller),
        Effect.provide([handlers, Rpc.layerClient, Rpc.layerServer])
      )
      const { exit, trace } = yield* Testing.record(Effect.scoped(program))
      assert.strictEqual(Exit.isSuccess(exit) && exit.value.user, "alice")
      assert.deepStrictEqual(
        trace.spans.map(({ kind }) => kind),
        ["client", "server"]
      )
    })
  )
})
