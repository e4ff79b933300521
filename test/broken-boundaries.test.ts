// Every boundary, broken on purpose: callers that tell nothing, garbage, far too much, twice, in upper case, in a version of the
// future. Each time the work is done, and its span goes on with the trace, or begins one and says what could not be read.
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js"
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js"
import { Client, credentials, Metadata, Server, ServerCredentials } from "@grpc/grpc-js"
import { Effect, Exit, Layer, Metric, Queue, Schema, type Scope } from "effect"
import { McpProtocol, McpServer as EffectMcpServer } from "effect/ai"
import { HttpMiddleware, HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { Rpc as EffectRpc, RpcGroup, RpcSerialization, RpcServer } from "effect/rpc"
import { createServer, request as send, type Server as NodeServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import * as ActionBroker from "../src/ActionBroker.ts"
import * as Bridge from "../src/Bridge.ts"
import * as Actions from "../src/bus/Actions.ts"
import * as Connection from "../src/Connection.ts"
import * as DerivedIds from "../src/DerivedIds.ts"
import * as Durable from "../src/Durable.ts"
import * as Envelope from "../src/Envelope.ts"
import * as EnvironmentCarrier from "../src/EnvironmentCarrier.ts"
import * as EventBus from "../src/EventBus.ts"
import * as Grpc from "../src/Grpc.ts"
import * as Memory from "../src/exporter/Memory.ts"
import * as Http from "../src/Http.ts"
import * as Mcp from "../src/Mcp.ts"
import * as Propagator from "../src/Propagator.ts"
import * as Rpc from "../src/Rpc.ts"
import type { SpanRecord } from "../src/SpanRecord.ts"
import * as Testing from "../src/Testing.ts"
import * as Tracing from "../src/Tracing.ts"

type Headers = ReadonlyArray<readonly [name: string, value: string]>

const traceId = "0af7651916cd43dd8448eb211c80319c"
const spanId = "b7ad6b7169203331"
const traceparent = `00-${traceId}-${spanId}-01`

/** What callers do wrong, whether their trace goes on all the same, and what the span says that it could not read. */
const harms: Record<string, { headers: Headers; goesOn: boolean; unreadable: ReadonlyArray<string> }> = {
  "nothing at all": { headers: [], goesOn: false, unreadable: [] },
  garbage: { headers: [["traceparent", "garbage"]], goesOn: false, unreadable: ["traceparent"] },
  "ids of zeros": {
    headers: [["traceparent", `00-${"0".repeat(32)}-${spanId}-01`]],
    goesOn: false,
    unreadable: ["traceparent"]
  },
  "upper case": {
    headers: [["traceparent", traceparent.toUpperCase()]],
    goesOn: false,
    unreadable: ["traceparent"]
  },
  "a traceparent of 100 kB": {
    headers: [["traceparent", traceparent.padEnd(100_000, "0")]],
    goesOn: false,
    unreadable: ["traceparent"]
  },
  "two traceparents": {
    headers: [
      ["traceparent", traceparent],
      ["traceparent", `00-${"1".repeat(32)}-${"2".repeat(16)}-01`]
    ],
    goesOn: false,
    unreadable: ["traceparent"]
  },
  "the version that is none": {
    headers: [["traceparent", `ff-${traceId}-${spanId}-01`]],
    goesOn: false,
    unreadable: ["traceparent"]
  },
  "a version of the future": {
    headers: [["traceparent", `cc-${traceId}-${spanId}-01-what.the.future.brings`]],
    goesOn: true,
    unreadable: []
  },
  "a tracestate that is none": {
    headers: [
      ["traceparent", traceparent],
      ["tracestate", "no member"]
    ],
    goesOn: true,
    unreadable: ["tracestate"]
  },
  "a tracestate of 100 kB": {
    headers: [
      ["traceparent", traceparent],
      ["tracestate", Array.from({ length: 500 }, (_, n) => `key${n}=${"x".repeat(195)}`).join(",")]
    ],
    goesOn: true,
    unreadable: ["tracestate"]
  },
  "baggage that is none": {
    headers: [
      ["traceparent", traceparent],
      ["baggage", "=,;,=;"]
    ],
    goesOn: true,
    unreadable: ["baggage"]
  },
  "baggage of 100 kB": {
    headers: [
      ["traceparent", traceparent],
      ["baggage", Array.from({ length: 500 }, (_, n) => `key${n}=${"x".repeat(195)}`).join(",")]
    ],
    goesOn: true,
    unreadable: ["baggage"]
  }
}

type Harm = keyof typeof harms

/** A boundary, and a caller who may write on it what he likes. Gives what the work behind it gave: "done". */
interface Boundary {
  readonly name: string
  readonly call: Effect.Effect<(headers: Headers) => Effect.Effect<unknown, unknown>, unknown, Scope.Scope>
  /** Harms that nobody can do here, with the reason. */
  readonly never?: Readonly<Record<Harm, string>>
}

/** Serves by Effect, with spans for requests where a layer says so. */
const served = <E>(
  server: NodeServer,
  app: Layer.Layer<never, E, HttpRouter.HttpRouter>,
  tracing: Layer.Layer<HttpServer.HttpServer, never, HttpServer.HttpServer> = Layer.effect(
    HttpServer.HttpServer,
    HttpServer.HttpServer
  )
) =>
  HttpRouter.serve(app, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provide(tracing),
    Layer.provide(NodeHttpServer.layer(() => server, { host: "127.0.0.1", port: 0 })),
    Layer.provide(Layer.succeed(HttpMiddleware.TracerDisabledWhen, () => tracing !== Http.layerServer)),
    Layer.build
  )

/** Asks with headers as they are, as no client of standing would. */
const rawRequest = (server: NodeServer, headers: Headers, body?: string) =>
  Effect.callback<string, Error>((resume) => {
    const { port } = server.address() as AddressInfo
    const method = body === undefined ? "GET" : "POST"
    const request = send({ method, port, host: "127.0.0.1", path: "/work", agent: false }, (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
      response.on("end", () => resume(Effect.succeed(text)))
    })
    request.on("error", (error) => resume(Effect.fail(error)))
    for (const [name, value] of headers) request.appendHeader(name, value)
    request.end(body)
  })

const asRecord = (headers: Headers): Record<string, string> =>
  Object.fromEntries(
    Object.entries(Object.groupBy(headers, ([name]) => name)).map(([name, all = []]) => [
      name,
      all.map(([, value]) => value).join(", ")
    ])
  )

/** What such a caller writes in the fields of messages. */
const asFields = (headers: Headers): Record<string, string> => {
  const { traceparent, ...others } = asRecord(headers)
  const [, trace_id = "", span_id = "", trace_flags = ""] = traceparent?.split("-") ?? []
  return traceparent === undefined ? others : { trace_id: trace_id || traceparent, span_id, trace_flags, ...others }
}

const onMessages = {
  "two traceparents": "a message has each field once",
  "the version that is none": "its fields have no version",
  "a version of the future": "its fields have no version"
}

const Works = RpcGroup.make(EffectRpc.make("Work", { success: Schema.String })).middleware(Rpc.Traced)

/** A call by name, over this broker. */
const callOf = (broker: Layer.Layer<ActionBroker.ActionBroker>): Boundary["call"] =>
  Effect.gen(function* () {
    const context = yield* Layer.build(broker)
    yield* Effect.provide(
      ActionBroker.answer("work", () => Effect.succeed("done")),
      context
    )
    return (headers) =>
      Effect.provide(
        Effect.flatMap(ActionBroker.ActionBroker, (broker) =>
          broker.call({ capability: "work", headers: asRecord(headers), input: null })
        ),
        context
      )
  })

const boundaries: ReadonlyArray<Boundary> = [
  {
    name: "Effect's HTTP server",
    call: Effect.gen(function* () {
      const server = createServer({ maxHeaderSize: 1_000_000 })
      yield* served(server, HttpRouter.add("GET", "/work", HttpServerResponse.text("done")), Http.layerServer)
      return (headers) => rawRequest(server, headers)
    })
  },
  {
    name: "a listener of node:http",
    call: Effect.gen(function* () {
      const listener = yield* Http.nodeListener((_, outgoing: ServerResponse) => void outgoing.end("done"))
      const server = createServer({ maxHeaderSize: 1_000_000 }, listener)
      yield* Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)))
      yield* Effect.addFinalizer(() => Effect.promise(() => new Promise<void>((done) => server.close(() => done()))))
      return (headers) => rawRequest(server, headers)
    })
  },
  {
    name: "a handler of Web requests",
    call: Effect.map(
      Http.handler(() => new Response("done")),
      (handle) => (headers) =>
        Effect.promise(async () => {
          const request = new Request("http://127.0.0.1/work")
          for (const [name, value] of headers) request.headers.append(name, value)
          return (await handle(request)).text()
        })
    )
  },
  {
    name: "Effect's RPC",
    call: Effect.gen(function* () {
      const server = createServer()
      const rpc = RpcServer.layerHttp({ group: Works, path: "/work", protocol: "http" }).pipe(
        Layer.provide([
          Works.toLayer({ Work: () => Effect.succeed("done") }),
          Rpc.layerServer,
          RpcSerialization.layerNdjson
        ])
      )
      yield* served(server, rpc)
      return (headers) => {
        const request = {
          _tag: "Request",
          id: "1",
          tag: "Work",
          payload: null,
          headers: Object.entries(asRecord(headers))
        }
        const body = `${JSON.stringify(request)}\n`
        return Effect.map(rawRequest(server, [], body), (answer) =>
          answer.includes('"value":"done"') ? "done" : answer
        )
      }
    })
  },
  {
    name: "a server of the MCP SDK",
    call: Effect.gen(function* () {
      const { transport } = yield* Mcp.sdk()
      const [client, own] = InMemoryTransport.createLinkedPair()
      const server = new McpServer({ name: "works", version: "1.0.0" })
      yield* Effect.promise(() => server.connect(transport(own)))
      yield* Effect.addFinalizer(() => Effect.promise(() => server.close()))
      return (headers) =>
        Effect.callback<string>((resume) => {
          const onmessage = (answer: object) =>
            resume(Effect.succeed("result" in answer ? "done" : JSON.stringify(answer)))
          Object.assign(client, { onmessage })
          void client.send({ jsonrpc: "2.0", id: 1, method: "ping", params: { _meta: asRecord(headers) } })
        })
    })
  },
  {
    name: "Effect's MCP server, over HTTP",
    call: Effect.gen(function* () {
      const server = createServer()
      const mcp = EffectMcpServer.layerHttp({
        name: "works",
        version: "1.0.0",
        path: "/work",
        protocols: [Mcp.server(McpProtocol.v2025_11_25)]
      })
      yield* served(server, mcp)
      return (headers) => {
        const params = {
          protocolVersion: "2025-11-25",
          capabilities: {},
          clientInfo: { name: "untraced", version: "1.0.0" },
          _meta: asRecord(headers)
        }
        const request = { jsonrpc: "2.0", id: 1, method: "initialize", params }
        const accept: Headers = [
          ["accept", "application/json, text/event-stream"],
          ["content-type", "application/json"]
        ]
        return Effect.map(rawRequest(server, accept, JSON.stringify(request)), (answer) =>
          answer.includes('"serverInfo"') ? "done" : answer
        )
      }
    })
  },
  {
    name: "a message on a Queue",
    call: Effect.succeed((headers) =>
      Effect.gen(function* () {
        const queue = yield* Queue.unbounded<unknown>()
        yield* Queue.offer(queue, JSON.parse(JSON.stringify({ path: "a.jpg", ...asFields(headers) })))
        return yield* Envelope.receive("photos", yield* Queue.take(queue))(Effect.succeed("done"))
      })
    ),
    never: onMessages
  },
  {
    name: "an event of another process, over a Bridge",
    call: Effect.gen(function* () {
      const { port1, port2 } = new MessageChannel()
      yield* Effect.addFinalizer(() => Effect.sync(() => port1.close()))
      const bus = yield* Layer.build(EventBus.layerMemory)
      const connection = yield* Connection.fromPort(port1)
      yield* Effect.forkScoped(Effect.provide(Bridge.serve(yield* Connection.fromPort(port2)), bus))
      return (headers) =>
        Effect.gen(function* () {
          const event = { id: "1", type: "work", payload: null, ...asFields(headers) }
          yield* connection.send({ kind: "publish", number: 1, agent: "sensor", topic: "works", event })
          yield* connection.receive
          return "done"
        })
    }),
    never: onMessages
  },
  {
    name: "an event that an agent handles",
    call: Effect.gen(function* () {
      const given = yield* Queue.unbounded<EventBus.Event>()
      const handled = yield* Queue.unbounded<string>()
      const received = Effect.map(Queue.take(given), (event) => ({
        event,
        attempt: 1,
        ack: Effect.asVoid(Queue.offer(handled, "done")),
        giveBack: () => Effect.void
      }))
      const broker = { publish: () => Effect.void, subscribe: () => Effect.succeed(received) }
      yield* Effect.provideService(
        EventBus.agent("output", { topics: ["works"], onEvent: () => Effect.void }),
        EventBus.EventBus,
        broker
      )
      return (headers) =>
        Effect.andThen(
          Queue.offer(given, { id: "1", type: "work", payload: null, ...asFields(headers) }),
          Queue.take(handled)
        )
    }),
    never: onMessages
  },
  { name: "a call of an ActionBroker", call: callOf(ActionBroker.layerMemory) },
  {
    name: "a call over the event bus",
    call: callOf(Layer.provide(Actions.layer(), EventBus.layerMemory).pipe(Layer.orDie))
  },
  {
    name: "gRPC",
    call: Effect.gen(function* () {
      const [serialize, deserialize] = [(text: string) => Buffer.from(text), String]
      const server = new Server({ interceptors: [yield* Grpc.server()] })
      const method = {
        path: "/Works/Work",
        requestStream: false,
        responseStream: false,
        requestSerialize: serialize,
        requestDeserialize: deserialize,
        responseSerialize: serialize,
        responseDeserialize: deserialize
      }
      server.addService({ work: method }, { work: yield* Grpc.handler(() => Effect.succeed("done")) })
      const port = yield* Effect.callback<number>((resume) =>
        server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (_, port) => resume(Effect.succeed(port)))
      )
      const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure())
      yield* Effect.addFinalizer(() => Effect.sync(() => [client.close(), server.forceShutdown()]))
      return (headers) =>
        Effect.callback<unknown>((resume) => {
          const metadata = new Metadata()
          for (const [name, value] of headers) metadata.add(name, value)
          client.makeUnaryRequest(method.path, serialize, deserialize, "work", metadata, (error, answer) =>
            resume(Effect.succeed(error ?? answer))
          )
        })
    }),
    never: {
      "a traceparent of 100 kB": "HTTP/2 takes 64 kB of metadata",
      "a tracestate of 100 kB": "HTTP/2 takes 64 kB of metadata",
      "baggage of 100 kB": "HTTP/2 takes 64 kB of metadata"
    }
  },
  {
    name: "headers of anything else",
    call: Effect.succeed((headers) =>
      Propagator.receive(headers, { name: "work", kind: "server" })(Effect.succeed("done"))
    )
  }
]

/** How many fields could not be read so far, by the metric. */
const counted = Effect.map(Metric.snapshot, (snapshots) =>
  snapshots
    .filter(({ id }) => id === Propagator.unreadableMetric)
    .reduce((sum, { state }) => sum + Number("count" in state ? state.count : 0), 0)
)

const isWork = ({ kind }: SpanRecord) => kind === "server" || kind === "consumer"

describe.each(boundaries)("$name", ({ call, never = {} }) => {
  for (const [harm, { goesOn, headers, unreadable }] of Object.entries(harms)) {
    if (never[harm] !== undefined) continue
    it.live(`takes ${harm} of a caller, and does the work`, () =>
      Effect.gen(function* () {
        const before = yield* counted
        const program = Effect.scoped(Effect.flatMap(call, (send) => send(headers)))
        const { exit, traces } = yield* Testing.record(program, { clock: "live" })
        assert.deepStrictEqual(exit, Exit.succeed("done"))
        const works = traces.flatMap(({ spans }) => spans).filter(isWork)
        assert.deepStrictEqual(
          works.map((span) => [span.parentSpanId, span.attributes["handspan.propagation.unreadable"] ?? []]),
          [[goesOn ? spanId : undefined, unreadable]]
        )
        assert.strictEqual(works[0]?.traceId === traceId, goesOn)
        assert.strictEqual((yield* counted) - before, unreadable.length)
      })
    )
  }
})

describe("a checkpoint of a durable run", () => {
  const [ownTrace, ownSpan] = [DerivedIds.traceId("refund", "1"), DerivedIds.spanId("refund", "1")]
  for (const [harm, { goesOn, headers, unreadable }] of Object.entries(harms)) {
    if (harm in onMessages) continue
    it.effect(`goes on with ${harm} in it, or begins the trace that derives from the run`, () =>
      Effect.gen(function* () {
        const before = yield* counted
        const checkpoint = { name: "refund", run_id: "1", started_at: "0", ...asFields(headers) }
        const { exit, trace } = yield* Testing.record(Effect.succeed("done").pipe(Durable.run(checkpoint)))
        assert.deepStrictEqual(exit, Exit.succeed("done"))
        assert.deepStrictEqual(
          trace.spans.map((run) => [run.traceId, run.spanId, run.attributes["handspan.propagation.unreadable"] ?? []]),
          [[goesOn ? traceId : ownTrace, goesOn ? spanId : ownSpan, unreadable]]
        )
        assert.strictEqual((yield* counted) - before, unreadable.length)
      })
    )
  }
})

describe("a checkpoint of a durable run", () => {
  it.effect("tells of its own fields that cannot be read, and of carriers that are no text", () =>
    Effect.gen(function* () {
      const whole = { name: "refund", run_id: "1", started_at: "0" }
      const told = (damage: object) =>
        Effect.map(
          Testing.record(Effect.void.pipe(Durable.run({ ...whole, ...damage }))),
          ({ trace }) => trace.spans[0]?.attributes["handspan.propagation.unreadable"] ?? []
        )
      const damages = [
        { parent_span_id: null, started_at: "", baggage: null },
        { parent_span_id: "zz" },
        { started_at: "-1" },
        { baggage: 5 },
        { tracestate: {}, span_id: 7 },
        {}
      ]
      assert.deepStrictEqual(yield* Effect.forEach(damages, told), [
        [],
        ["parent_span_id"],
        ["started_at"],
        ["baggage"],
        ["traceparent"],
        []
      ])
    })
  )
})

describe("the environment of a process", () => {
  it.effect("tells of nothing by a variable that is empty", () =>
    Effect.gen(function* () {
      const before = yield* counted
      yield* Effect.acquireRelease(
        Effect.sync(() => (process.env["TRACEPARENT"] = "")),
        () => Effect.sync(() => delete process.env["TRACEPARENT"])
      )
      yield* EnvironmentCarrier.continued(Effect.void)
      assert.strictEqual((yield* counted) - before, 0)
      process.env["TRACEPARENT"] = "garbage"
      yield* EnvironmentCarrier.continued(Effect.void)
      assert.strictEqual((yield* counted) - before, 1)
    })
  )

  for (const [harm, { goesOn, headers, unreadable }] of Object.entries(harms)) {
    if (harm === "two traceparents") continue
    it.effect(`is gone on with, or left, where it tells ${harm}`, () =>
      Effect.gen(function* () {
        const before = yield* counted
        const told = headers.map(([name, value]) => [EnvironmentCarrier.variable(name), value] as const)
        yield* Effect.acquireRelease(
          Effect.sync(() => Object.assign(process.env, Object.fromEntries(told))),
          () =>
            Effect.sync(() => {
              for (const [name] of told) delete process.env[name]
            })
        )
        const program = Effect.gen(function* () {
          yield* Effect.withSpan(Effect.void, "work")
          return yield* (yield* Effect.fromOption(yield* Effect.serviceOption(Memory.Spans))).all
        })
        const spans = yield* Effect.provide(program, Tracing.layerFromEnvWith({ exporters: ["in_memory"] }))
        assert.deepStrictEqual(
          spans.map((span) => [span.parentSpanId, span.traceId === traceId]),
          [[goesOn ? spanId : undefined, goesOn]]
        )
        assert.strictEqual((yield* counted) - before, unreadable.length)
      })
    )
  }
})
