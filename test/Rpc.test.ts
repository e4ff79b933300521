// Effect's RPC with the middleware, over memory, real HTTP, a real socket and a real worker.
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Schema, type Scope, Stream, type Tracer } from "effect"
import { Headers } from "effect/http"
import { RpcMessage, RpcMiddleware, RpcServer, RpcTest } from "effect/rpc"
import * as Propagator from "../src/Propagator.ts"
import * as Rpc from "../src/Rpc.ts"
import type { SpanRecord } from "../src/SpanRecord.ts"
import * as Testing from "../src/Testing.ts"
import * as TraceTree from "../src/TraceTree.ts"
import * as Peers from "./rpc-peers.ts"

const { Tree, expectTrace } = Testing
const { span } = Tree

const caller = {
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
  tracestate: "vendor=1",
  baggage: "user=alice"
}

/** Runs a program with a client of a server, and gives its one trace, of both sides. */
const traced = <A, E>(
  connect: Effect.Effect<Peers.Peer, never, Scope.Scope>,
  program: (client: Peers.Peer["client"]) => Effect.Effect<A, E>
) =>
  Effect.gen(function* () {
    let theirs: ReadonlyArray<SpanRecord> = []
    const running = Effect.gen(function* () {
      const { client, theirSpans } = yield* connect
      const exit = yield* program(client).pipe(
        Effect.withSpan("outer"),
        Propagator.withRemoteParent(caller),
        Effect.exit
      )
      theirs = yield* theirSpans
      return yield* exit
    })
    // The spans of a worker come by another way.
    const { exit, traces } = yield* Testing.record(Effect.scoped(running), { clock: "live", allow: ["orphans"] })
    const spans = [...traces.flatMap((trace) => trace.spans), ...theirs]
    const [trace, ...others] = TraceTree.fromSpans(spans.filter(({ name }) => name !== "Spans"))
    assert.deepStrictEqual(others, [])
    // The caller's span is not here.
    assert.deepStrictEqual(
      trace?.problems.map((problem) => [problem._tag, "span" in problem && problem.span.name]),
      [["Orphan", "outer"]]
    )
    return { exit, trace: trace! }
  })

const attributes = { "rpc.system.name": "effect_rpc", "rpc.method": "Look" }

/** The client's span of a call, the server's, and what is below that one; over HTTP, a request is there too. */
const called = (over: string, name: string, served: Omit<Testing.Tree.Expected, "name">) => {
  const request = span("POST", [span("POST", { kind: "server", attributes: { "http.route": "/rpc" } })])
  const answer = span(name, { ...served, kind: "server", links: over === "HTTP" ? ["POST"] : [] })
  return { kind: "client", children: Tree.anyOrder(...(over === "HTTP" ? [request] : []), answer) } as const
}

const cases = Peers.transports.flatMap(({ connect, over }) => [
  { over, connect: connect({}), tracing: "traces by itself" },
  { over, connect: connect({ disableTracing: true }), tracing: "does not trace" }
])

describe("Rpc", () => {
  it.live.each(cases)(
    "is one trace over $over where Effect's server $tracing: tracestate, random flag and baggage arrive",
    ({ connect, over }) =>
      Effect.gen(function* () {
        const { exit, trace } = yield* traced(connect, (client) => client.Look({ path: "a.jpg" }))
        assert.deepStrictEqual(exit, Exit.succeed({ user: "alice", traceState: "vendor=1", flags: 3 }))
        const served = { attributes: Tree.only(attributes), children: [span("looking")] }
        expectTrace(trace).toMatchTree(span("outer", [span("Look", { attributes, ...called(over, "Look", served) })]))
        // Effect's span of the client is among them.
        assert.deepStrictEqual(
          trace.spans.map(({ flags, traceState }) => ({ flags, traceState })),
          trace.spans.map(() => ({ flags: 3, traceState: "vendor=1" }))
        )
      })
  )

  it.live.each(cases)(
    "covers a stream over $over to its end where Effect's server $tracing, and says what has failed",
    ({ connect, over }) =>
      Effect.gen(function* () {
        const { exit, trace } = yield* traced(connect, (client) =>
          Effect.all([Stream.runCollect(client.Watch({ times: 2 })), Effect.flip(client.Fail())])
        )
        assert.deepStrictEqual(exit, Exit.succeed([[1, 2], "no"]))
        const watched = called(over, "Watch", { status: "ok", children: [span("frame 1"), span("frame 2")] })
        const failed = { ...called(over, "Fail", { status: { error: "no" } }), status: { error: "no" } } as const
        expectTrace(trace).toMatchTree(span("outer", [span("Watch", watched), span("Fail", failed)]))
        const ends = (kind: string) =>
          trace.spans.find((span) => span.name === "Watch" && span.kind === kind)!.endTimeUnixNano
        const lastFrame = trace.spans.find(({ name }) => name === "frame 2")!.endTimeUnixNano
        assert.isTrue(lastFrame <= ends("server"))
        assert.isTrue(lastFrame <= ends("client"))
      })
  )

  it.live.each(cases)(
    "ends a stream over $over as interrupted with its client, where Effect's server $tracing",
    ({ connect, over }) =>
      Effect.gen(function* () {
        const { exit, trace } = yield* traced(connect, (client) =>
          Effect.gen(function* () {
            const begun = yield* Deferred.make<number>()
            const following = Stream.runForEach(client.Follow(), (n) => Deferred.succeed(begun, n))
            const fiber = yield* Effect.forkChild(following)
            const first = yield* Deferred.await(begun)
            yield* Fiber.interrupt(fiber)
            return first
          })
        )
        assert.deepStrictEqual(exit, Exit.succeed(1))
        const interrupted = { status: "unset", attributes: { "handspan.interrupted": true } } as const
        const followed = called(over, "Follow", interrupted)
        expectTrace(trace).toMatchTree(span("outer", [span("Follow", { ...interrupted, ...followed })]))
      })
  )
})

const request = { _tag: "Request", headers: Headers.empty } as const
const [first, second] = [RpcMessage.RequestId("1"), RpcMessage.RequestId("2")]

describe("Rpc where Effect's server traces by itself", () => {
  it.live("keeps calls apart that come at once, and leaves those alone that it is not for", () =>
    Effect.gen(function* () {
      const { trace } = yield* traced(Peers.overSocket({}), (client) => {
        const look = Effect.forEach(["a", "b", "c"], (name) => Effect.withSpan(client.Look({ path: name }), name), {
          concurrency: "unbounded"
        })
        return Effect.andThen(look, client.Untraced())
      })
      const looked = (name: string) =>
        span(name, [span("Look", called("a socket", "Look", { children: [span("looking")] }))])
      expectTrace(trace).toMatchTree(
        span("outer", [looked("a"), looked("b"), looked("c"), span("Untraced", called("a socket", "Untraced", {}))])
      )
    })
  )

  it.live("keeps the names and attributes that it was told", () =>
    Effect.gen(function* () {
      const options = { spanPrefix: "Photos", spanAttributes: { zone: "eu" } }
      const { trace } = yield* traced(Peers.overSocket(options), (client) => client.Look({ path: "a.jpg" }))
      const served = { attributes: Tree.only({ ...attributes, zone: "eu" }), children: [span("looking")] }
      expectTrace(trace).toMatchTree(span("outer", [span("Look", called("a socket", "Photos.Look", served))]))
    })
  )

  it.live("leaves the program its tracer", () =>
    Effect.gen(function* () {
      const seen: Array<Tracer.Tracer> = []
      const see = Effect.map(Effect.tracer, (tracer) => seen.push(tracer))
      const answers = Peers.Photos.toLayerHandler("Fail", () => Effect.andThen(see, Effect.fail("no")))
      const { exit } = yield* traced(Peers.overSocket({}, Layer.merge(Peers.handlers, answers)), (client) =>
        Effect.andThen(Effect.repeat(Effect.flip(client.Fail()), { times: 1 }), Effect.tracer)
      )
      const own = yield* exit
      assert.isTrue(seen.length === 2 && seen.every((tracer) => tracer === own))
    })
  )

  it.effect("takes nothing else for the span of the call, and what is around that for its caller", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const done = yield* Deferred.make<void>()
        const server = yield* RpcServer.makeNoSerialization(Peers.Photos, {
          concurrency: 1,
          onFromServer: ({ _tag }) => (_tag === "ClientEnd" ? Deferred.done(done, Exit.void) : Effect.void)
        })
        yield* server.write(0, { ...request, id: first, tag: "Follow", payload: undefined })
        yield* server.write(0, { ...request, id: second, tag: "Look", payload: { path: "a.jpg" } })
        yield* Effect.withSpan(Effect.void, "while it waits", { kind: "server" })
        yield* server.write(0, { _tag: "Interrupt", requestId: first, interruptors: [] })
        yield* server.write(0, { _tag: "Eof" })
        yield* Deferred.await(done)
        yield* Effect.withSpan(Effect.void, "Look", { kind: "server" })
      })
      const { traces } = yield* program.pipe(
        Propagator.withRemoteParent(caller),
        Effect.provide([Peers.handlers, Rpc.layerServer]),
        Effect.scoped,
        Testing.record
      )
      const around = "b7ad6b7169203331"
      assert.deepStrictEqual(
        traces.map(({ roots }) =>
          roots.map(({ span }) => [span.name, span.parentSpanId, ...span.links.map(({ spanId }) => spanId)])
        ),
        [
          [["Follow", undefined, around]],
          [["Look", undefined, around]],
          [
            ["while it waits", around],
            ["Look", around]
          ]
        ]
      )
    })
  )

  it.live("follows callers as far as they are trusted", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const { client } = yield* Peers.overSocket({})
        return yield* client.Look({ path: "a.jpg" }).pipe(Propagator.withRemoteParent(caller))
      })
      const { exit, traces } = yield* Effect.scoped(program).pipe(
        Effect.provideService(Propagator.CurrentTrust, "link"),
        Testing.record
      )
      assert.deepStrictEqual(
        Exit.map(exit, ({ user }) => user),
        Exit.succeed("")
      )
      const [asked, served] = traces
      expectTrace(asked!).toMatchTree(span("Look", { kind: "client" }))
      expectTrace(served!).toMatchTree(span("Look", { kind: "server", attributes, children: [span("looking")] }))
      assert.deepStrictEqual(
        served!.roots.flatMap(({ span }) => span.links.map(({ spanId }) => spanId)),
        asked!.roots.map(({ span }) => span.spanId)
      )
    })
  )

  it.effect("is around other middleware, also where that refuses", () =>
    Effect.gen(function* () {
      class Guard extends RpcMiddleware.Service<Guard>()("Guard", { error: Schema.String }) {}
      const Guarded = Peers.Photos.middleware(Guard)
      const refuse = Layer.succeed(Guard, () => Effect.withSpan(Effect.fail("closed"), "guard"))
      const program = Effect.flatMap(RpcTest.makeClient(Guarded), (client) =>
        Effect.flip(client.Look({ path: "a.jpg" }))
      )
      const { exit, trace } = yield* program.pipe(
        Propagator.withRemoteParent(caller),
        Effect.provide([Peers.handlers, refuse, Rpc.layerClient, Rpc.layerServer]),
        Effect.scoped,
        Testing.record
      )
      assert.deepStrictEqual(exit, Exit.succeed("closed"))
      expectTrace(trace).toMatchTree(
        span("Look", {
          kind: "client",
          status: "error",
          children: [
            span("Look", {
              kind: "server",
              status: "error",
              attributes,
              children: [span("guard", { status: "error" })]
            })
          ]
        })
      )
    })
  )

  it.effect("goes on with the trace of a caller of Effect's alone", () =>
    Effect.gen(function* () {
      const plain = RpcMiddleware.layerClient(Rpc.Traced, ({ next, request }) => next(request))
      const { exit, trace } = yield* Effect.flatMap(RpcTest.makeClient(Peers.Photos), (client) =>
        client.Look({ path: "a.jpg" })
      ).pipe(
        Propagator.withRemoteParent(caller),
        Effect.provide([Peers.handlers, plain, Rpc.layerServer]),
        Effect.scoped,
        Testing.record
      )
      assert.deepStrictEqual(exit, Exit.succeed({ user: "", traceState: "", flags: 1 }))
      expectTrace(trace).toMatchTree(
        span("Look", { kind: "client", children: [span("Look", { kind: "server", children: [span("looking")] })] })
      )
    })
  )
})
