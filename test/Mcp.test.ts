// The Model Context Protocol over stdio, over HTTP and in memory, by clients and servers of Effect and of the SDK in every pairing.
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js"
import { McpServer as SdkServer } from "@modelcontextprotocol/sdk/server/mcp.js"
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js"
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js"
import {
  type ClientCapabilities,
  ElicitRequestSchema,
  ListRootsRequestSchema
} from "@modelcontextprotocol/sdk/types.js"
import { Effect, Exit, Layer, Queue, Schema } from "effect"
import { McpClient, McpProtocol, McpServer, McpTest } from "effect/ai"
import { FetchHttpClient, HttpClient, HttpRouter, HttpServer } from "effect/http"
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import * as Http from "../src/Http.ts"
import * as Instrument from "../src/Instrument.ts"
import * as Mcp from "../src/Mcp.ts"
import * as Propagator from "../src/Propagator.ts"
import type { SpanRecord } from "../src/SpanRecord.ts"
import * as Testing from "../src/Testing.ts"
import type * as TraceContext from "../src/TraceContext.ts"
import type * as TraceTree from "../src/TraceTree.ts"
import { record } from "./live.ts"
import * as Peers from "./mcp-peers.ts"

const { Tree, expectTrace } = Testing
const { span } = Tree

/** A request, as both sides tell of it, and what it led to on the server. */
const exchange = (
  name: string,
  {
    attributes = {},
    status = "ok"
  }: { readonly attributes?: Record<string, string>; readonly status?: "ok" | "error" } = {},
  inside: ReadonlyArray<Testing.Tree.Expected> = []
) => {
  const both = {
    status,
    attributes: { "mcp.method.name": name.split(" ", 1)[0]!, "jsonrpc.request.id": Tree.present, ...attributes }
  }
  return span(name, { ...both, kind: "client", children: [span(name, { ...both, kind: "server", children: inside })] })
}

const tool = (name: string) => ({ "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name })
const broken = { status: "error", attributes: { ...tool("break"), "error.type": "tool_error" } } as const

/** Effect's server also tells of what is registered with it, to nobody yet. */
const asked = (traces: ReadonlyArray<TraceTree.Trace>) =>
  traces.filter(({ spans }) => !spans[0]?.name.startsWith("McpServer/Notifications."))

const caller = {
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
  tracestate: "vendor=1",
  baggage: "user=alice"
}

const traceId = "0af7651916cd43dd8448eb211c80319c"

const told = { user: "alice", traceState: "vendor=1", flags: 3 }

const listening = (listener: RequestListener) =>
  Effect.gen(function* () {
    const server = createServer(listener)
    yield* Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)))
    yield* Effect.addFinalizer(() =>
      Effect.promise(() => {
        server.closeAllConnections()
        return new Promise<void>((resolve) => server.close(() => resolve()))
      })
    )
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`
  })

const effectHttpServer = (
  protocol: McpProtocol.ProtocolAdapter = McpProtocol.v2025_11_25,
  registrations: Layer.Layer<never, never, McpServer.McpServer> = Peers.registrations
) =>
  Effect.gen(function* () {
    const mcp = McpServer.layerHttp({
      name: "photos",
      version: "1.0.0",
      path: "/mcp",
      protocols: [Mcp.server(protocol)],
      registrations
    })
    const served = HttpRouter.serve(mcp, { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provide(Http.layerServer),
      Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
    )
    const { address } = yield* Effect.provide(HttpServer.HttpServer, yield* Effect.orDie(Layer.build(served)))
    return `${HttpServer.formatAddress(address)}/mcp`
  })

const httpServers = {
  effect: effectHttpServer(),
  sdk: Effect.gen(function* () {
    const sdk = yield* Mcp.sdk()
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: () => "session-1" })
    yield* Effect.promise(() => Peers.sdkServer(sdk).connect(sdk.transport(transport) as Transport))
    const post = yield* Http.nodeListener((incoming: IncomingMessage, outgoing: ServerResponse) =>
      transport.handleRequest(incoming, outgoing)
    )
    return yield* listening((incoming, outgoing) =>
      incoming.method === "POST" ? post(incoming, outgoing) : void transport.handleRequest(incoming, outgoing)
    )
  })
}

const httpClients = {
  effect: (url: string) =>
    Peers.effectClient(McpClient.http({ url, protocol: McpProtocol.v2025_11_25 })).pipe(
      Effect.provide(Layer.provide(Http.layerClient, FetchHttpClient.layer))
    ),
  sdk: (url: string) =>
    Peers.sdkClient(
      Effect.map(Http.fetch(), (fetch) => new StreamableHTTPClientTransport(new URL(url), { fetch }) as Transport)
    )
}

/** All that spans say. */
const textOf = (traces: ReadonlyArray<TraceTree.Trace>): string =>
  JSON.stringify(
    traces.flatMap(({ spans }) =>
      spans.map(({ attributes, events, name, status }) => [
        name,
        status,
        attributes,
        events.map(({ attributes }) => attributes)
      ])
    )
  )

for (const client of ["effect", "sdk"] as const) {
  for (const server of ["effect", "sdk"] as const) {
    describe(`Mcp over stdio, from ${client} to ${server}`, () => {
      it.live("is one trace of two processes, with tracestate, random flag and baggage", () =>
        Effect.gen(function* () {
          const program = new URL("programs/mcp.ts", import.meta.url)
          const collected = yield* Testing.collect(program, { arguments: ["client", client, server] })
          assert.strictEqual(collected.exitCode, 0, collected.stderr)
          assert.deepStrictEqual(JSON.parse(collected.stdout), { ...told, isError: true })
          const traces = asked(collected.traces)
          assert.strictEqual(traces.length, 1)
          expectTrace(traces[0]!).toMatchTree(
            span("agency", [
              exchange("initialize"),
              exchange("tools/list"),
              exchange("tools/call look", { attributes: tool("look") }, [span("looking")]),
              exchange("tools/call break", broken)
            ])
          )
        })
      )
    })

    describe(`Mcp over HTTP, from ${client} to ${server}`, () => {
      it.live("goes on with the caller's span in _meta, and links to the one of the HTTP request", () =>
        Effect.gen(function* () {
          const program = Effect.gen(function* () {
            const url = yield* httpServers[server]
            const { callTool } = yield* httpClients[client](url)
            const call = Effect.withSpan(callTool("look", { path: "secret.jpg" }), "agency")
            return JSON.parse((yield* Propagator.withRemoteParent(caller)(call)).text)
          })
          const { exit, traces } = yield* record(program)
          assert.deepStrictEqual(exit, Exit.succeed(told))
          const trace = traces.find(({ spans }) => spans[0]?.name === "agency")!
          const both = { attributes: { ...tool("look"), "mcp.protocol.version": "2025-11-25" } }
          expectTrace(trace).toMatchTree(
            span("agency", [
              span("tools/call look", {
                ...both,
                kind: "client",
                children: Tree.anyOrder(
                  span("POST", [span("POST", { kind: "server" })]),
                  span("tools/call look", {
                    kind: "server",
                    attributes: { ...both.attributes, "network.transport": "tcp", "mcp.session.id": Tree.present },
                    children: [span("looking")]
                  })
                )
              })
            ])
          )
          const served = trace.spans.filter(({ kind }) => kind === "server")
          const linked = served.flatMap(({ links }) => links.map(({ spanId }) => spanId))
          assert.deepStrictEqual(linked, [served.find(({ name }) => name === "POST")!.spanId])
          assert.notInclude(textOf(traces), "secret.jpg")
        })
      )
    })
  }

  describe(`Mcp over HTTP, to ${client}, from somebody who knows nothing of _meta`, () => {
    it.live("is a part of the HTTP request", () =>
      Effect.gen(function* () {
        const program = Effect.gen(function* () {
          const url = yield* httpServers[client]
          const { traceparent } = caller
          const transport = new StreamableHTTPClientTransport(new URL(url), {
            requestInit: { headers: { traceparent } }
          })
          const asking = new Client({ name: "untraced", version: "1.0.0" })
          yield* Effect.promise(() => asking.connect(transport as Transport))
          yield* Effect.promise(() => asking.getPrompt({ name: "describe" }))
          yield* Effect.promise(() => asking.close())
        })
        const { traces } = yield* record(program)
        const all = traces.flatMap(({ spans }) => spans)
        const parents = all
          .filter(({ attributes }) => attributes["mcp.method.name"] !== undefined)
          .map(({ name, parentSpanId, traceId }) => {
            const parent = all.find(({ spanId }) => spanId === parentSpanId)
            return [traceId, name, parent?.kind, parent?.attributes["http.request.method"]]
          })
        assert.sameDeepMembers(parents, [
          [traceId, "initialize", "server", "POST"],
          [traceId, "prompts/get describe", "server", "POST"]
        ])
      })
    )
  })

  describe(`Mcp over HTTP, to ${client}, from somebody whose _meta is not followed`, () => {
    const { traceparent } = caller
    const cases: ReadonlyArray<{
      readonly trust: TraceContext.Trust
      readonly _meta: Record<string, string>
      /** Its parent, its links, what it could not read, and the user that its baggage names. */
      readonly expected: readonly [string, ReadonlyArray<string>, ReadonlyArray<string> | undefined, string | undefined]
    }> = [
      { trust: "follow", _meta: { traceparent: "garbage" }, expected: ["POST", [], ["traceparent"], "http"] },
      { trust: "follow", _meta: { baggage: "user=meta" }, expected: ["POST", [], undefined, "meta"] },
      { trust: "follow", _meta: {}, expected: ["POST", [], undefined, "http"] },
      { trust: "follow", _meta: { traceparent }, expected: ["caller", ["POST"], undefined, "http"] },
      {
        trust: "link",
        _meta: { traceparent, baggage: "user=meta" },
        expected: ["POST", ["caller"], undefined, undefined]
      },
      { trust: "ignore", _meta: { traceparent, tracestate: "?" }, expected: ["POST", [], undefined, undefined] }
    ]
    it.live.each(cases)("is a part of the HTTP request: $trust $_meta", ({ _meta, expected, trust }) =>
      Effect.gen(function* () {
        const program = Effect.gen(function* () {
          const url = yield* httpServers[client]
          const transport = new StreamableHTTPClientTransport(new URL(url), {
            requestInit: { headers: { baggage: "user=http" } }
          })
          const asking = new Client({ name: "untraced", version: "1.0.0" })
          yield* Effect.promise(() => asking.connect(transport as Transport))
          const call = { name: "look", arguments: { path: "a.jpg" }, _meta }
          const result = yield* Effect.promise(() => asking.callTool(call))
          yield* Effect.promise(() => asking.close())
          return JSON.parse((result["content"] as [{ text: string }])[0].text).user as string | undefined
        })
        const { exit, traces } = yield* record(
          // What the server is made in has baggage, too, which is nobody's.
          program.pipe(
            Effect.provideService(Propagator.CurrentTrust, trust),
            Propagator.withRemoteParent({ baggage: "user=maker" })
          )
        )
        const all = traces.flatMap(({ spans }) => spans)
        const look = all.find(({ name }) => name === "tools/call look")!
        const nameOf = (id: string | undefined) =>
          id === "b7ad6b7169203331" ? "caller" : all.find(({ spanId }) => spanId === id)?.name
        assert.deepStrictEqual(
          [
            nameOf(look.parentSpanId),
            look.links.map(({ spanId }) => nameOf(spanId)),
            look.attributes["handspan.propagation.unreadable"],
            Exit.isSuccess(exit) ? exit.value : exit
          ],
          [...expected]
        )
      })
    )
  })
}

describe("Mcp.server", () => {
  it.live("serves the newest protocol, where each request stands by itself", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const protocol = McpProtocol.v2026_07_28
        const url = yield* effectHttpServer(protocol)
        const { callTool } = yield* Peers.effectClient(McpClient.http({ url, protocol }))
        const broken = Effect.andThen(callTool("break"), callTool("look", { path: { secret: "hunter2" } }))
        yield* Effect.withSpan(broken, "agency")
      }).pipe(
        Effect.provide(FetchHttpClient.layer),
        Effect.provideService(HttpClient.TracerDisabledWhen, () => true)
      )
      const { traces } = yield* record(program)
      const attributes = { ...broken.attributes, "mcp.protocol.version": "2026-07-28" }
      const invalid = { status: "error", attributes: { ...tool("look"), "error.type": "tool_error" } } as const
      expectTrace(agency(traces)).toMatchTree(
        span("agency", [exchange("tools/call break", { ...broken, attributes }), exchange("tools/call look", invalid)])
      )
      assert.notMatch(textOf(traces), /hunter2|secret/)
    })
  )

  it.live("leads what it asks of its client back to the client's trace", () =>
    Effect.gen(function* () {
      const question = { message: "Who are you?", schema: Schema.Struct({ name: Schema.String }) }
      const content = Effect.map(Effect.orDie(McpServer.elicit(question)), ({ name }) => name)
      const registrations = McpServer.prompt({ name: "ask", content: () => content })
      const program = Effect.gen(function* () {
        const { transport } = yield* Mcp.sdk()
        // What it requires besides is there: the protocol is one with sessions.
        const url = yield* effectHttpServer(McpProtocol.v2025_11_25, registrations as typeof Peers.registrations)
        const client = new Client({ name: "agency", version: "1.0.0" }, { capabilities: { elicitation: {} } })
        client.setRequestHandler(ElicitRequestSchema, () => ({ action: "accept", content: { name: "Ada" } }))
        const wire = transport(new StreamableHTTPClientTransport(new URL(url)) as Transport)
        yield* Effect.promise(() => client.connect(wire))
        yield* Effect.withSpan(
          Effect.promise(() => client.getPrompt({ name: "ask" })),
          "agency"
        )
        yield* Effect.promise(() => client.close())
      })
      const { exit, traces } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.void)
      const elicited = span("elicitation/create", {
        kind: "client",
        children: [span("elicitation/create", { kind: "server" })]
      })
      expectTrace(agency(traces)).toMatchTree(span("agency", [exchange("prompts/get ask", {}, [elicited])]))
    })
  )
})

describe("Mcp.client", () => {
  /** The `_meta` of a request, as it is sent. */
  const sentMeta = (run: (effect: Effect.Effect<unknown>) => Effect.Effect<unknown>) =>
    Effect.gen(function* () {
      let meta: Record<string, unknown> | undefined
      const transport = Mcp.client({
        ...(yield* McpClient.http({ url: "http://localhost/", protocol: McpProtocol.v2025_11_25 })),
        request: ({ id, params }) => {
          meta = params?.["_meta"] as Record<string, unknown> | undefined
          return Effect.succeed({ jsonrpc: "2.0", id, result: {} })
        }
      })
      const _meta = { progressToken: 7, traceparent: "stale", Baggage: "stale=1" }
      yield* run(Effect.orDie(transport.request({ jsonrpc: "2.0", id: 1, method: "tools/list", params: { _meta } })))
      return meta
    }).pipe(Effect.provide(FetchHttpClient.layer))

  it.live("writes what the propagator says, and takes off what was there of another span", () =>
    Effect.gen(function* () {
      const { exit, trace } = yield* record(sentMeta(Propagator.withRemoteParent(caller)))
      const { spanId } = trace.spans[0]!
      const { baggage, tracestate } = caller
      assert.deepStrictEqual(
        exit,
        Exit.succeed({ progressToken: 7, traceparent: `00-${traceId}-${spanId}-03`, tracestate, baggage })
      )
      const b3 = yield* record(sentMeta(Effect.provideService(Propagator.CurrentPropagator, Propagator.b3)))
      const [{ spanId: b3Span, traceId: b3Trace }] = b3.trace.spans as [SpanRecord]
      assert.deepStrictEqual(
        b3.exit,
        Exit.succeed({ progressToken: 7, traceparent: "stale", Baggage: "stale=1", b3: `${b3Trace}-${b3Span}-1` })
      )
    })
  )

  it.live("passes the caller's context on where tracing is off, and tells nothing where there is nothing", () =>
    Effect.gen(function* () {
      const off = yield* sentMeta((effect) =>
        effect.pipe(Effect.withTracerEnabled(false), Propagator.withRemoteParent(caller))
      )
      assert.deepStrictEqual(off, { progressToken: 7, ...caller })
      const nothing = yield* sentMeta(Effect.withTracerEnabled(false))
      assert.deepStrictEqual(nothing, { progressToken: 7 })
    }).pipe(Effect.scoped)
  )
})

/** A client and a server of the SDK, in one process, and what they are traced by. */
const linked = (serverOf = Peers.sdkServer, capabilities: ClientCapabilities = {}) =>
  Effect.gen(function* () {
    const sdk = yield* Mcp.sdk()
    const [left, right] = InMemoryTransport.createLinkedPair()
    const client = new Client({ name: "agency", version: "1.0.0" }, { capabilities })
    const server = serverOf(sdk)
    yield* Effect.promise(() => server.connect(sdk.transport(right)))
    yield* Effect.promise(() => client.connect(sdk.transport(left)))
    yield* Effect.addFinalizer(() => Effect.promise(() => client.close()))
    return { client, left, right, server }
  })

/** The trace of what is done inside of a span `agency`. */
const agency = (traces: ReadonlyArray<TraceTree.Trace>): TraceTree.Trace =>
  traces.find(({ spans }) => spans[0]?.name === "agency")!

describe("Mcp.sdk", () => {
  it.live("names requests after what they ask for, and says of errors their code alone", () =>
    Effect.gen(function* () {
      const program = Effect.flatMap(linked(), ({ client }) =>
        Effect.gen(function* () {
          yield* Effect.promise(() => client.getPrompt({ name: "describe" }))
          yield* Effect.promise(() => client.readResource({ uri: "photo://a" }))
          yield* Effect.promise(() => client.getPrompt({ name: "nowhere" }).catch(() => {}))
          yield* Effect.promise(() => client.callTool({ name: "look", arguments: { path: { secret: "hunter2" } } }))
          yield* Effect.promise(() => client.callTool({ name: "break" }))
        }).pipe(Effect.withSpan("agency"))
      )
      const { traces } = yield* record(program)
      const invalid = { "error.type": "-32602", "rpc.response.status_code": "-32602", "gen_ai.prompt.name": "nowhere" }
      expectTrace(agency(traces)).toMatchTree(
        span("agency", [
          exchange("prompts/get describe", { attributes: { "gen_ai.prompt.name": "describe" } }),
          exchange("resources/read", {
            attributes: { "mcp.resource.uri": "photo://a", "mcp.protocol.version": "2025-11-25" }
          }),
          exchange("prompts/get nowhere", { status: "error", attributes: invalid }),
          exchange("tools/call look", { status: "error", attributes: { ...tool("look"), "error.type": "tool_error" } }),
          exchange("tools/call break", broken)
        ])
      )
      assert.notMatch(textOf(traces), /hunter2|secret/)
    })
  )

  it.live("puts a call that a tool's own span is over on that span, and leaves a server's alone", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const { client } = yield* linked()
        const call = Effect.promise(() => client.callTool({ name: "break" }))
        const sdkServerOf = ({ handler }: Mcp.Sdk<never>) => {
          const server = new SdkServer({ name: "gateway", version: "1.0.0" })
          server.registerTool(
            "pass",
            {},
            handler(() => Effect.as(call, { content: [] }))
          )
          return server
        }
        const gateway = yield* linked(sdkServerOf)
        const attributes = { "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "photos__break" }
        yield* Effect.withSpan(call, "execute_tool photos__break", { attributes }).pipe(
          Effect.andThen(Effect.promise(() => gateway.client.callTool({ name: "pass" }))),
          Effect.withSpan("agency")
        )
      })
      const { traces } = yield* record(program)
      expectTrace(agency(traces)).toMatchTree(
        span("agency", [
          span("execute_tool photos__break", {
            attributes: { ...tool("photos__break"), "mcp.method.name": "tools/call", "error.type": "tool_error" },
            children: [span("tools/call break", { kind: "server", ...broken })]
          }),
          exchange("tools/call pass", {}, [exchange("tools/call break", broken)])
        ])
      )
    })
  )

  it.live("nests what Instrument wraps, fetches and other clients under the request, with its baggage", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const photos = yield* linked()
        const { traceSpan } = yield* Instrument.make
        const fetch = yield* Http.fetch(() => Promise.resolve(new Response("ok")))
        const plainServer = () => {
          const server = new SdkServer({ name: "plain", version: "1.0.0" })
          const work = traceSpan("work")(async () => {
            await fetch("http://localhost/")
            return photos.client.callTool({ name: "look", arguments: { path: "a.jpg" } })
          })
          server.registerTool("plain", {}, async () => ({ content: (await work())["content"] as [] }))
          return server
        }
        const { client } = yield* linked(plainServer)
        const call = (n: number) =>
          Effect.promise(() => client.callTool({ name: "plain" })).pipe(
            Effect.withSpan(`caller ${n}`),
            Propagator.withRemoteParent({ ...caller, baggage: `user=${n}` })
          )
        return yield* Effect.forEach([1, 2], call, { concurrency: 2 })
      })
      const { exit, traces } = yield* record(program)
      const users = Exit.map(exit, (results) =>
        results.map((result) => JSON.parse((result["content"] as [{ text: string }])[0].text).user)
      )
      assert.deepStrictEqual(users, Exit.succeed(["1", "2"]))
      const call = (n: number) =>
        span(`caller ${n}`, [
          exchange("tools/call plain", {}, [
            span("work", [span("GET"), exchange("tools/call look", {}, [span("looking")])])
          ])
        ])
      const trace = traces.find((trace) => trace.traceId === traceId)!
      expectTrace(trace).toMatchTree(Tree.anyOrder(call(1), call(2)))
      assert.deepStrictEqual(
        trace.spans.flatMap(({ links }) => links),
        []
      )
    })
  )

  it.live("leads what a server asks of its client back to the client's trace", () =>
    Effect.gen(function* () {
      const asking = () => {
        const server = new SdkServer({ name: "asking", version: "1.0.0" })
        server.registerTool("ask", {}, async () => {
          await server.server.listRoots()
          return { content: [] }
        })
        return server
      }
      const program = Effect.gen(function* () {
        const { client } = yield* linked(asking, { roots: {} })
        client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [] }))
        yield* Effect.withSpan(
          Effect.promise(() => client.callTool({ name: "ask" })),
          "agency"
        )
      })
      const { traces } = yield* record(program)
      expectTrace(agency(traces)).toMatchTree(
        span("agency", [exchange("tools/call ask", {}, [exchange("roots/list")])])
      )
    })
  )

  it.live("ends what is cancelled or cut off as interrupted, on both sides, and its Effect with it", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const begun = yield* Queue.unbounded<string>()
        const ended = yield* Queue.unbounded<string>()
        const waiting = ({ handler }: Mcp.Sdk<never>) => {
          const server = new SdkServer({ name: "waiting", version: "1.0.0" })
          const wait = Effect.andThen(Queue.offer(begun, "wait"), Effect.never)
          server.registerTool(
            "wait",
            {},
            handler((_: { readonly signal: AbortSignal }) => Effect.onInterrupt(wait, () => Queue.offer(ended, "wait")))
          )
          return server
        }
        const { client } = yield* linked(waiting)
        const abort = new AbortController()
        const call = (options: { readonly signal?: AbortSignal } = {}) =>
          Effect.forkScoped(Effect.promise(() => client.callTool({ name: "wait" }, undefined, options).catch(() => {})))
        yield* Effect.gen(function* () {
          yield* call({ signal: abort.signal })
          yield* Queue.take(begun)
          abort.abort()
          yield* Queue.take(ended)
          yield* call()
          yield* Queue.take(begun)
          yield* Effect.promise(() => client.close())
          yield* Queue.take(ended)
        }).pipe(Effect.withSpan("agency"))
      })
      const { traces } = yield* record(program)
      const interrupted = { status: "unset", attributes: { "handspan.interrupted": true } } as const
      const wait = span("tools/call wait", {
        ...interrupted,
        kind: "client",
        children: [span("tools/call wait", { ...interrupted, kind: "server" })]
      })
      expectTrace(agency(traces)).toMatchTree(span("agency", [wait, wait]))
      const [first, second] = agency(traces).spans.filter(({ kind }) => kind === "client")
      assert.isTrue(first!.endTimeUnixNano <= second!.startTimeUnixNano)
    })
  )

  it.live("rejects with what the transport fails with, and is that transport in all else", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const { transport } = yield* Mcp.sdk()
        const [left] = InMemoryTransport.createLinkedPair()
        const refused = new TypeError("refused")
        left.send = () => Promise.reject(refused)
        left.sessionId = "session-1"
        const wrapped = transport(left)
        assert.isTrue(wrapped instanceof InMemoryTransport)
        assert.strictEqual(wrapped.sessionId, "session-1")
        const outcome = yield* Effect.promise(() =>
          Promise.allSettled([wrapped.send({ jsonrpc: "2.0", id: 1, method: "ping" })])
        )
        assert.deepStrictEqual(outcome, [{ status: "rejected", reason: refused }])
      })
      const { exit, trace } = yield* record(program)
      assert.isTrue(Exit.isSuccess(exit))
      expectTrace(trace).toMatchTree(
        span("ping", { status: "error", attributes: { "error.type": "TypeError", "mcp.session.id": "session-1" } })
      )
    })
  )

  it.live("gives up what has no answer when the transport closes, whether or not anybody listens to that", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const { transport } = yield* Mcp.sdk()
        const [left] = InMemoryTransport.createLinkedPair()
        let isClosed = false
        Object.assign(left, { onclose: () => (isClosed = true) })
        const wire = transport(left)
        yield* Effect.promise(() => wire.send({ jsonrpc: "2.0", id: 1, method: "ping" }))
        yield* Effect.promise(() => wire.close())
        assert.isTrue(isClosed)
        assert.strictEqual(wire.constructor, InMemoryTransport)
      })
      const { exit, trace } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.void)
      expectTrace(trace).toMatchTree(span("ping", { status: "unset", attributes: { "handspan.interrupted": true } }))
    })
  )

  it.live("knows the version of a session by what initialize is answered, and by nothing else", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const { transport } = yield* Mcp.sdk()
        const [left, right] = InMemoryTransport.createLinkedPair()
        const wire = transport(left)
        Object.assign(wire, { onmessage: () => {} })
        let answers = 0
        const answer = ({ id }: { readonly id: number }) =>
          right.send({ jsonrpc: "2.0", id, result: { protocolVersion: `version ${++answers}` } })
        Object.assign(right, { onmessage: answer })
        yield* Effect.promise(async () => {
          for (const [id, method] of ["initialize", "tools/call", "tools/list"].entries()) {
            await wire.send({ jsonrpc: "2.0", id, method })
          }
        })
      })
      const { traces } = yield* record(program)
      assert.sameDeepMembers(
        traces.flatMap(({ spans }) => spans.map(({ attributes, name }) => [name, attributes["mcp.protocol.version"]])),
        [
          ["initialize", undefined],
          ["tools/call", "version 1"],
          ["tools/list", "version 1"]
        ]
      )
    })
  )

  it.live("leaves a listener that was there before, and parameters by position, as they are", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const { transport } = yield* Mcp.sdk()
        const [left, right] = InMemoryTransport.createLinkedPair()
        const heard: Array<unknown> = []
        Object.assign(right, { onmessage: (message: object) => heard.push("method" in message && message.method) })
        const wire = transport(right)
        const answered = Promise.withResolvers<unknown>()
        Object.assign(left, { onmessage: answered.resolve })
        yield* Effect.promise(() => new SdkServer({ name: "photos", version: "1.0.0" }).connect(wire))
        // As who connects once more does.
        const before = wire.onmessage
        Object.assign(wire, { onmessage: (message: never) => before?.(message) })
        yield* Effect.promise(() => left.send({ jsonrpc: "2.0", id: 1, method: "ping" }))
        yield* Effect.promise(() => answered.promise)
        const posted: Array<unknown> = []
        right.send = (message) => Promise.resolve(void posted.push("params" in message && message.params))
        yield* Effect.promise(() => wire.send({ jsonrpc: "2.0", id: 2, method: "odd", params: [7] } as never))
        yield* Effect.promise(() => wire.close())
        return { heard, posted }
      })
      const { exit, traces } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.succeed({ heard: ["ping"], posted: [[7]] }))
      assert.sameMembers(
        traces.flatMap(({ spans }) => spans.map(({ name }) => name)),
        ["ping", "odd"]
      )
    })
  )
})

/** What servers make of a request's `_meta`: the span over a prompt that is asked for. */
const servers = {
  effect: (_meta: Record<string, unknown>) =>
    Effect.gen(function* () {
      const client = yield* McpTest.makeClient(Peers.registrations, {
        protocols: [Mcp.server(McpProtocol.v2025_11_25)]
      })
      yield* client.getPrompt({ name: "describe", _meta })
    }),
  sdk: (_meta: Record<string, unknown>) =>
    Effect.gen(function* () {
      const [left, right] = InMemoryTransport.createLinkedPair()
      const sdk = yield* Mcp.sdk()
      yield* Effect.promise(() => Peers.sdkServer(sdk).connect(sdk.transport(right)))
      const client = new Client({ name: "untraced", version: "1.0.0" })
      yield* Effect.promise(() => client.connect(left))
      yield* Effect.promise(() => client.getPrompt({ name: "describe", _meta }))
      yield* Effect.promise(() => client.close())
    })
}

for (const server of ["effect", "sdk"] as const) {
  const served = (_meta: Record<string, unknown>, trust: TraceContext.Trust = "follow") =>
    Effect.map(
      record(Effect.provideService(Effect.withSpan(servers[server](_meta), "main"), Propagator.CurrentTrust, trust)),
      ({ exit, traces }) => {
        assert.isTrue(Exit.isSuccess(exit))
        const all = traces.flatMap(({ spans }) => spans)
        const described = all.filter(({ kind, name }) => kind === "server" && name === "prompts/get describe")
        assert.strictEqual(described.length, 1)
        return described[0]!
      }
    )

  describe(`Mcp, a server of ${server}`, () => {
    it.live("begins a trace where _meta is garbage, and leaves out what it cannot read", () =>
      Effect.gen(function* () {
        const { traceparent } = caller
        for (const garbage of [
          7,
          null,
          "",
          traceparent.toUpperCase(),
          "00-XYZ-1-01",
          [traceparent, traceparent],
          {},
          "a".repeat(100_000)
        ]) {
          const span = yield* served({ traceparent: garbage, tracestate: 7, baggage: ["a=1"] })
          assert.deepStrictEqual([span.parentSpanId, span.links], [undefined, []])
          assert.notStrictEqual(span.traceId, traceId)
        }
        const long = yield* served({ ...caller, tracestate: `a=${"b".repeat(100_000)}`, baggage: "c".repeat(100_000) })
        assert.deepStrictEqual([long.traceId, long.parentSpanId], [traceId, "b7ad6b7169203331"])
        assert.strictEqual(long.traceState, "")
      })
    )

    it.live("trusts callers as it is told", () =>
      Effect.gen(function* () {
        const results = []
        for (const trust of ["follow", "link", "ignore"] as const) {
          const span = yield* served(caller, trust)
          results.push([trust, span.parentSpanId, span.links.map(({ spanId }) => spanId)])
        }
        assert.deepStrictEqual(results, [
          ["follow", "b7ad6b7169203331", []],
          ["link", undefined, ["b7ad6b7169203331"]],
          ["ignore", undefined, []]
        ])
      })
    )

    it.live("reads what the propagator in place reads", () =>
      Effect.gen(function* () {
        const b3 = { b3: `${traceId}-b7ad6b7169203331-1`, traceparent: `00-${"1".repeat(32)}-${"2".repeat(16)}-01` }
        const span = yield* Effect.provideService(served(b3), Propagator.CurrentPropagator, Propagator.b3)
        assert.deepStrictEqual([span.traceId, span.parentSpanId], [traceId, "b7ad6b7169203331"])
      })
    )
  })
}
