// Requests over real HTTP on loopback, by Effect's client and server and by plain ones, in every pairing.
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Layer, References, Scope } from "effect"
import {
  FetchHttpClient,
  HttpClient,
  HttpClientRequest,
  HttpClientResponse,
  HttpMiddleware,
  HttpRouter,
  HttpServer,
  HttpServerResponse
} from "effect/http"
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http"
import { type AddressInfo, connect } from "node:net"
import * as Http from "../src/Http.ts"
import * as Instrument from "../src/Instrument.ts"
import * as Propagator from "../src/Propagator.ts"
import type { SpanRecord } from "../src/SpanRecord.ts"
import * as Testing from "../src/Testing.ts"
import * as TraceContext from "../src/TraceContext.ts"
import { record } from "./live.ts"
import * as Deno from "./deno.ts"

const { Tree, expectTrace } = Testing
const { span } = Tree

/** What a service sees of who called. */
const seen = Effect.map(Effect.all([TraceContext.CurrentBaggage, Propagator.current]), ([baggage, { context }]) => ({
  user: baggage.get("user")?.value,
  traceState: context?.traceState,
  flags: context?.flags
}))

type Seen = Effect.Success<typeof seen>
type Call = (url: string) => Effect.Effect<{ readonly status: number; readonly body: string }, unknown>
type Server = Effect.Effect<string, never, Scope.Scope>

const routes = HttpRouter.addAll([
  HttpRouter.route(
    "GET",
    "/photos/:id",
    Effect.flatMap(seen, (seen) => HttpServerResponse.json(seen)).pipe(Effect.orDie)
  ),
  HttpRouter.route("GET", "/broken", Effect.die(new TypeError("broken"))),
  HttpRouter.route("GET", "/busy", Effect.succeed(HttpServerResponse.empty({ status: 503 })))
])

const effectServer: Server = Effect.gen(function* () {
  const live = NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })
  const app = HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provide(Http.layerServer),
    Layer.provideMerge(live)
  )
  const context = yield* Layer.build(app).pipe(Effect.orDie)
  const { address } = yield* Effect.provide(HttpServer.HttpServer, context)
  return HttpServer.formatAddress(address)
})

const webHandler = Http.handler((request) => {
  const { pathname } = new URL(request.url)
  if (pathname === "/broken") throw new TypeError("broken")
  if (pathname === "/busy") return new Response(null, { status: 503 })
  return Effect.map(seen, (seen) => Response.json(seen))
})

/** Opens a plain server, and closes it with the scope. */
const listening = (listener: RequestListener): Server =>
  Effect.gen(function* () {
    const server = createServer(listener)
    yield* Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)))
    yield* Effect.addFinalizer(() =>
      Effect.promise(() => new Promise<void>((resolve) => server.close(() => resolve())))
    )
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })

/** A handler of Web requests behind node:http, which Node and Deno have. */
const webServer: Server = Effect.flatMap(webHandler, (handle) =>
  listening((incoming, outgoing) => {
    const headers = new Headers(incoming.headers as Record<string, string>)
    const request = new Request(`http://${incoming.headers.host}${incoming.url}`, { method: incoming.method!, headers })
    void handle(request)
      .catch(() => new Response(null, { status: 500 }))
      .then(async (response) => outgoing.writeHead(response.status).end(await response.text()))
  })
)

const nodeServer: Server = Effect.gen(function* () {
  const listener = yield* Http.nodeListener((incoming, outgoing: ServerResponse) => {
    if (incoming.url === "/broken") throw new TypeError("broken")
    if (incoming.url === "/busy") outgoing.writeHead(503).end()
    else return Effect.map(seen, (seen) => outgoing.end(JSON.stringify(seen)))
  })
  return yield* listening((incoming, outgoing) => {
    try {
      listener(incoming, outgoing)
    } catch {
      outgoing.writeHead(500).end()
    }
  })
})

const effectCall: Call = (url) =>
  HttpClient.get(url).pipe(
    Effect.flatMap((response) => Effect.map(response.text, (body) => ({ status: response.status, body }))),
    Effect.provide(Layer.provide(Http.layerClient, FetchHttpClient.layer))
  )

const plainCall: Call = (url) =>
  Effect.flatMap(Http.fetch(), (fetch) =>
    Effect.promise(async () => {
      const response = await fetch(url)
      return { status: response.status, body: await response.text() }
    })
  )

const caller = {
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
  tracestate: "vendor=1,ot=th:8",
  baggage: "user=alice"
}

/** A request of somebody who is not traced. */
const request = async (url: string, headers: Record<string, string> = {}) => (await fetch(url, { headers })).text()

const port = { "server.port": Tree.where("a port", (port) => Number(port) > 0) }

for (const [clientName, call] of [
  ["Effect's client", effectCall],
  ["fetch", plainCall]
] as const) {
  for (const [serverName, server] of [
    ["Effect's server", effectServer],
    ["a handler of Web requests", webServer],
    ["a listener of node:http", nodeServer]
  ] as const) {
    describe(`${clientName} to ${serverName}`, () => {
      it.live("is one trace, with tracestate, random flag and baggage", () =>
        Effect.gen(function* () {
          const program = Effect.flatMap(server, (base) =>
            call(`${base}/photos/7?size=1&token=hush`).pipe(
              Effect.withSpan("outer"),
              Propagator.withRemoteParent(caller)
            )
          )
          const { exit, trace } = yield* record(program)
          assert.isTrue(Exit.isSuccess(exit))
          const told: Seen = Exit.isSuccess(exit) ? JSON.parse(exit.value.body) : {}
          assert.deepStrictEqual(told, { user: "alice", traceState: "vendor=1,ot=th:8", flags: 3 })
          const url = { "url.path": "/photos/7", "url.scheme": "http", "server.address": "127.0.0.1", ...port }
          const both = { "http.request.method": "GET", "http.response.status_code": 200, ...url }
          const route = server === effectServer ? { "http.route": "/photos/:id" } : {}
          expectTrace(trace).toMatchTree(
            span("outer", [
              span("GET", {
                kind: "client",
                status: "ok",
                attributes: { ...both, "url.full": /\/photos\/7\?size=1&token=/ },
                children: [span("GET", { kind: "server", status: "ok", attributes: { ...both, ...route } })]
              })
            ])
          )
          assert.strictEqual(trace.traceId, "0af7651916cd43dd8448eb211c80319c")
        })
      )

      it.live("says on both sides that a request has failed, and still gives the response", () =>
        Effect.gen(function* () {
          const program = Effect.flatMap(server, (base) =>
            Effect.withSpan(
              Effect.forEach(["broken", "busy", "nowhere"], (path) =>
                Effect.map(call(`${base}/${path}`), ({ status }) => status)
              ),
              "outer"
            )
          )
          const { exit, trace } = yield* record(program)
          const missing = server === effectServer ? 404 : 200
          assert.deepStrictEqual(exit, Exit.succeed([500, 503, missing]))
          const failed = (type: string) => ({ status: "error", attributes: { "error.type": type } }) as const
          expectTrace(trace).toMatchTree(
            span("outer", [
              span("GET", { ...failed("500"), children: [span("GET", failed("TypeError"))] }),
              span("GET", { ...failed("503"), children: [span("GET", failed("503"))] }),
              missing === 404
                ? span("GET", { ...failed("404"), children: [span("GET", { status: "ok" })] })
                : span("GET", [span("GET")])
            ])
          )
        })
      )
    })
  }
}

describe("Http.server", () => {
  it.live("ends the span as interrupted where the caller went away", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const arrived = yield* Deferred.make<void>()
        const over = yield* Deferred.make<void>()
        const forever = Effect.andThen(Deferred.succeed(arrived, undefined), Effect.never).pipe(
          Effect.onInterrupt(() => Deferred.succeed(over, undefined))
        )
        const app = HttpRouter.serve(HttpRouter.add("GET", "/forever", forever), {
          disableLogger: true,
          disableListenLog: true
        }).pipe(
          Layer.provide(Http.layerServer),
          Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
        )
        const { address } = yield* Effect.provide(HttpServer.HttpServer, yield* Layer.build(app))
        const caller = connect(Number(new URL(HttpServer.formatAddress(address)).port), "127.0.0.1")
        caller.write("GET /forever HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield* Deferred.await(arrived)
        caller.destroy()
        yield* Deferred.await(over)
      })
      const { trace } = yield* record(program)
      expectTrace(trace).toMatchTree(span("GET", { status: "unset", attributes: { "handspan.interrupted": true } }))
    })
  )

  it.live("makes every request a trace of its own, and trusts callers as it is told", () =>
    Effect.gen(function* () {
      const traceId = "0af7651916cd43dd8448eb211c80319c"
      const results: Array<unknown> = []
      for (const trust of ["follow", "link", "ignore"] as const) {
        // What runs around the server is not its requests' parent.
        const program = Effect.flatMap(effectServer, (base) =>
          Effect.promise(async () => {
            await request(`${base}/photos/1`, caller)
            await request(`${base}/photos/2`)
            await request(`${base}/photos/3`, { ...caller, traceparent: "00-XYZ-1-01" })
          })
        ).pipe(Effect.withSpan("main"), Effect.provideService(Propagator.CurrentTrust, trust))
        const { traces } = yield* record(program)
        const requests = traces.flatMap(({ spans }) => spans).filter(({ name }) => name === "GET")
        const of = (path: string): SpanRecord => requests.find(({ attributes }) => attributes["url.path"] === path)!
        results.push([
          trust,
          of("/photos/1").traceId === traceId,
          of("/photos/1").links.map((link) => link.traceId === traceId),
          of("/photos/2").parentSpanId,
          of("/photos/3").parentSpanId
        ])
      }
      assert.deepStrictEqual(results, [
        ["follow", true, [], undefined, undefined],
        ["link", false, [true], undefined, undefined],
        ["ignore", false, [], undefined, undefined]
      ])
    })
  )

  it.live("leaves alone what Effect's own switches turn off", () =>
    Effect.gen(function* () {
      const program = Effect.flatMap(effectServer, (base) =>
        effectCall(`${base}/photos/1`).pipe(
          Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
          Effect.withSpan("outer")
        )
      ).pipe(Effect.provideService(HttpMiddleware.TracerDisabledWhen, (request) => request.url === "/photos/1"))
      const { exit, trace } = yield* record(program)
      expectTrace(trace).toMatchTree(span("outer"))
      assert.deepStrictEqual(
        Exit.map(exit, ({ status }) => status),
        Exit.succeed(200)
      )
    })
  )
})

describe("Http.client", () => {
  it.live("is one span over a request and where that is led to", () =>
    Effect.gen(function* () {
      const told: Array<string> = []
      const base = HttpClient.make((request, url) =>
        Effect.sync(() => {
          told.push(
            `${url.pathname} ${Object.keys(request.headers)
              .filter((name) => /b3|trace/.test(name))
              .join()}`
          )
          const isFirst = url.pathname === "/a"
          const headers = isFirst ? { location: "http://photos/b" } : {}
          return HttpClientResponse.fromWeb(request, new Response(null, { status: isFirst ? 302 : 204, headers }))
        })
      )
      const { trace } = yield* record(Http.client(HttpClient.followRedirects(base)).get("http://photos/a"))
      assert.deepStrictEqual(told, ["/a traceparent", "/b traceparent"])
      expectTrace(trace).toMatchTree(span("GET", { children: [] }))
    })
  )

  /** The headers that a request really has. */
  const sentHeaders = <E>(effect: Effect.Effect<unknown, E, HttpClient.HttpClient>) => {
    let headers: Record<string, string> = {}
    const answer: typeof fetch = (input, init) => {
      headers = Object.fromEntries(new Request(input, init).headers)
      return Promise.resolve(new Response())
    }
    return Effect.map(
      Testing.record(
        effect.pipe(
          Effect.provide(Layer.provide(Http.layerClient, FetchHttpClient.layer)),
          Effect.provideService(FetchHttpClient.Fetch, answer),
          Propagator.withRemoteParent(caller)
        )
      ),
      ({ trace }) => ({ headers, trace })
    )
  }

  it.effect("takes off what the request had of its own, and writes what the propagator says", () =>
    Effect.gen(function* () {
      const stale = HttpClientRequest.get("http://localhost/").pipe(
        HttpClientRequest.setHeaders({
          Traceparent: "00-1-1-01",
          tracestate: "stale=1",
          baggage: "old=1",
          accept: "text/plain"
        })
      )
      const { headers, trace } = yield* sentHeaders(HttpClient.execute(stale))
      const { spanId, traceId } = trace.spans[0]!
      assert.deepStrictEqual(
        { traceparent: headers["traceparent"], tracestate: headers["tracestate"], baggage: headers["baggage"] },
        { traceparent: `00-${traceId}-${spanId}-03`, tracestate: "vendor=1,ot=th:8", baggage: "user=alice" }
      )
      assert.strictEqual(headers["accept"], "text/plain")
      assert.notProperty(headers, "b3")
      const b3 = yield* sentHeaders(
        Effect.provideService(HttpClient.get("http://localhost/"), Propagator.CurrentPropagator, Propagator.b3)
      )
      assert.strictEqual(b3.headers["b3"], `${traceId}-${b3.trace.spans[0]?.spanId}-1`)
      assert.notProperty(b3.headers, "traceparent")
    })
  )

  it.effect("passes the caller's context on, unsampled, where tracing is off", () =>
    Effect.gen(function* () {
      let sent: string | null = null
      const answer: typeof fetch = (input, init) => {
        sent = new Request(input, init).headers.get("traceparent")
        return Promise.resolve(new Response())
      }
      yield* HttpClient.get("http://localhost/").pipe(
        Effect.provide(Layer.provide(Http.layerClient, FetchHttpClient.layer)),
        Effect.provideService(FetchHttpClient.Fetch, answer),
        Effect.withTracerEnabled(false),
        Propagator.withRemoteParent(caller)
      )
      assert.strictEqual(sent, caller.traceparent)
    })
  )

  it.effect("keeps user, password and secret parameters off the span", () =>
    Effect.gen(function* () {
      const request = HttpClientRequest.get("http://ada:hunter2@localhost/?X-Amz-Signature=hunter2&size=1")
      const { trace } = yield* sentHeaders(HttpClient.execute(request))
      assert.notInclude(JSON.stringify(trace.spans[0]?.attributes), "hunter2")
      assert.include(String(trace.spans[0]?.attributes["url.full"]), "size=1")
    })
  )
})

/** What a server answers to a request as it is written, and its side of the connection closed. */
const written = (base: string, request: string) =>
  Effect.callback<string>((resume) => {
    const socket = connect(Number(new URL(base).port), "127.0.0.1", () => socket.end(request))
    let answer = ""
    socket.setEncoding("utf8").on("data", (chunk: string) => (answer += chunk))
    socket.on("close", () => resume(Effect.succeed(answer)))
  })

describe("Http.nodeListener", () => {
  it.live("tells of a request what it says, and takes nobody's word for a host", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const base = yield* listening(
          yield* Http.nodeListener((_: IncomingMessage, outgoing: ServerResponse) => void outgoing.end())
        )
        yield* written(base, "GET //evil.example/admin HTTP/1.1\r\nHost: ours\r\nConnection: close\r\n\r\n")
        yield* written(base, "GET /plain HTTP/1.0\r\n\r\n")
      })
      const { traces } = yield* record(program)
      assert.deepStrictEqual(
        traces.flatMap(({ spans }) =>
          spans.map(({ attributes }) => [attributes["url.path"], attributes["server.address"], attributes["url.full"]])
        ),
        [
          ["//evil.example/admin", "ours", "http://ours//evil.example/admin"],
          [undefined, undefined, undefined]
        ]
      )
    })
  )

  it.live("interrupts an Effect whose caller went away", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const arrived = yield* Deferred.make<void>()
        const over = yield* Deferred.make<string>()
        const listener = yield* Http.nodeListener((_: IncomingMessage, __: ServerResponse) =>
          Effect.andThen(Deferred.succeed(arrived, undefined), Effect.never).pipe(
            Effect.onInterrupt(() => Deferred.succeed(over, "interrupted"))
          )
        )
        const base = yield* listening(listener)
        const caller = connect(Number(new URL(base).port), "127.0.0.1")
        caller.write("GET /photos HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield* Deferred.await(arrived)
        caller.destroy()
        return yield* Deferred.await(over)
      })
      const { exit, trace } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.succeed("interrupted"))
      assert.strictEqual(trace.spans[0]?.attributes["handspan.interrupted"], true)
    })
  )

  it.live("calls its listener at once, and throws what that throws, however often fibers give way", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const listener = yield* Http.nodeListener(() => {
          throw new TypeError("broken")
        })
        const outgoing = { statusCode: 200, writableFinished: false, once: () => undefined }
        const incoming = { url: "/", headers: {}, socket: {} }
        return yield* Effect.flip(Effect.try({ try: () => listener(incoming, outgoing), catch: String }))
      }).pipe(Effect.provideService(References.MaxOpsBeforeYield, 16))
      const { exit } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.succeed("TypeError: broken"))
    })
  )

  it.live("ends the span as interrupted where the caller went away", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const arrived = yield* Deferred.make<void>()
        const gone = yield* Deferred.make<void>()
        const listener = yield* Http.nodeListener((_: IncomingMessage, outgoing: ServerResponse) => {
          outgoing.once("close", () => Deferred.doneUnsafe(gone, Exit.void))
          return Effect.asVoid(Deferred.succeed(arrived, undefined))
        })
        const base = yield* listening(listener)
        const caller = connect(Number(new URL(base).port), "127.0.0.1")
        caller.write("GET /photos HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield* Deferred.await(arrived)
        caller.destroy()
        yield* Deferred.await(gone)
      })
      const { trace } = yield* record(program)
      expectTrace(trace).toMatchTree(
        span("GET", {
          kind: "server",
          status: "unset",
          attributes: { "handspan.interrupted": true, "url.path": "/photos" }
        })
      )
    })
  )
})

describe("Http.handler", () => {
  it.live(
    "serves Deno.serve, over a real socket",
    () =>
      Effect.gen(function* () {
        const program = `
          import { Effect } from "effect"
          import * as Memory from "./src/exporter/Memory.ts"
          import * as Http from "./src/Http.ts"
          import * as Tracing from "./src/Tracing.ts"
          const main = Effect.gen(function* () {
            const handle = yield* Http.handler(() => Effect.withSpan(Effect.succeed(new Response("done")), "look"))
            const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, handle)
            const headers = ${JSON.stringify(caller)}
            yield* Effect.promise(async () => (await fetch("http://127.0.0.1:" + server.addr.port, { headers })).text())
            yield* Effect.promise(() => server.shutdown())
            return yield* (yield* Memory.Spans).all
          })
          const spans = await Effect.runPromise(Effect.provide(main, Tracing.layerInMemory))
          console.log(JSON.stringify(spans.map(({ name, kind, traceId, traceState }) => [name, kind, traceId, traceState])))`
        const { stdout } = yield* Deno.run(program, { env: {}, permissions: ["--no-prompt", "--allow-net=127.0.0.1"] })
        const ids = ["0af7651916cd43dd8448eb211c80319c", "vendor=1,ot=th:8"]
        assert.deepStrictEqual(JSON.parse(stdout), [
          ["look", "internal", ...ids],
          ["GET", "server", ...ids]
        ])
      }),
    30_000
  )
})

describe("Http.client", () => {
  it.live("traces the requests that a client makes on its way, too", () =>
    Effect.gen(function* () {
      const told: Array<string> = []
      const base = HttpClient.make((request) =>
        Effect.sync(() => {
          told.push(`${request.url} ${request.headers["traceparent"] !== undefined}`)
          return HttpClientResponse.fromWeb(request, new Response("ok"))
        })
      )
      const withToken = HttpClient.transformResponse(base, (response) =>
        Effect.andThen(Http.client(base).get("http://auth/token"), response)
      )
      const { trace } = yield* record(Http.client(withToken).get("http://photos/7"))
      assert.deepStrictEqual(told, ["http://auth/token true", "http://photos/7 true"])
      expectTrace(trace).toMatchTree(
        span("GET", {
          attributes: { "url.full": "http://photos/7" },
          children: [span("GET", { attributes: { "url.full": "http://auth/token" } })]
        })
      )
    })
  )
})

describe("Http.handler", () => {
  it.live("takes no answer, and no interruption of its own, for a caller that has gone", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const answers = yield* Http.handler(() => new Response("x", { status: 499 }))
        const stops = yield* Http.handler(() => Effect.interrupt)
        return yield* Effect.promise(async () => {
          const { status } = await answers(new Request("http://localhost/"))
          return [status, await stops(new Request("http://localhost/")).catch(() => "rejected")]
        })
      })
      const { exit, traces } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.succeed([499, "rejected"]))
      assert.deepStrictEqual(
        traces.flatMap(({ spans }) => spans.map(({ attributes }) => attributes["http.response.status_code"])),
        [499, 500]
      )
    })
  )

  it.live("fetch tells the method as it is sent", () =>
    Effect.gen(function* () {
      const sent: Array<string> = []
      const program = Effect.gen(function* () {
        const listener = (request: IncomingMessage, response: ServerResponse) => {
          sent.push(request.method!)
          response.end()
        }
        const url = yield* listening(listener)
        const fetch = yield* Http.fetch()
        for (const method of ["post", "PATCH", "patch"]) yield* Effect.promise(() => fetch(url, { method }))
      })
      const { traces } = yield* record(Effect.scoped(program))
      const told = traces
        .flatMap(({ spans }) => spans)
        .map(({ attributes, name }) => [
          name,
          attributes["http.request.method"],
          attributes["http.request.method_original"]
        ])
      assert.deepStrictEqual(told, [
        ["POST", "POST", undefined],
        ["PATCH", "PATCH", undefined],
        ["HTTP", "_OTHER", "patch"]
      ])
      assert.deepStrictEqual(sent.slice(0, 2), ["POST", "PATCH"])
    })
  )

  it.live("names no span after a method that nobody knows", () =>
    Effect.gen(function* () {
      const method = "X".repeat(300)
      const program = Effect.gen(function* () {
        const handle = yield* Http.handler(() => new Response("done"))
        yield* Effect.promise(() => handle(new Request("http://localhost/", { method })))
      })
      const { trace } = yield* record(program)
      const original = Tree.where(
        "the beginning of the method",
        (text) => String(text).startsWith("XXX") && String(text).length < 300
      )
      expectTrace(trace).toMatchTree(
        span("HTTP", {
          kind: "server",
          attributes: { "http.request.method": "_OTHER", "http.request.method_original": original }
        })
      )
    })
  )

  it.live("interrupts an Effect whose caller has gone", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const arrived = yield* Deferred.make<void>()
        const gone = new AbortController()
        const handle = yield* Http.handler(() => Effect.andThen(Deferred.succeed(arrived, undefined), Effect.never))
        const answer = handle(new Request("http://localhost/", { signal: gone.signal }))
        yield* Deferred.await(arrived)
        gone.abort()
        return (yield* Effect.promise(() => answer)).status
      })
      const { exit, trace } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.succeed(499))
      expectTrace(trace).toMatchTree(span("GET", { status: "unset", attributes: { "handspan.interrupted": true } }))
    })
  )
})

describe("Http.fetch and handler", () => {
  it.live("tell nobody else of the baggage that they were made with", () =>
    Effect.gen(function* () {
      const told: Array<string | null> = []
      const program = Effect.gen(function* () {
        const fetch = yield* Http.fetch(async (input, init) => {
          told.push(new Request(input, init).headers.get("baggage"))
          return new Response("ok")
        }).pipe(Effect.withSpan("alice's"), Propagator.withRemoteParent({ baggage: "user=alice" }))
        const ask = Effect.promise(() => fetch("http://localhost/"))
        yield* Effect.withSpan(ask, "job")
        yield* Effect.withSpan(ask, "bob's").pipe(Propagator.withRemoteParent({ baggage: "user=bob" }))
        const handle = yield* Http.handler(() => fetch("http://localhost/"))
        yield* Effect.promise(() => handle(new Request("http://localhost/")))
      })
      yield* record(program)
      assert.deepStrictEqual(told, [null, "user=bob", null])
    })
  )

  it.live("write what the request's own propagator writes, and reject what fetch would", () =>
    Effect.gen(function* () {
      const told: Array<string> = []
      const program = Effect.gen(function* () {
        const fetch = yield* Http.fetch(async (input, init) => {
          told.push([...new Request(input, init).headers.keys()].join())
          return new Response("ok")
        })
        const handle = yield* Effect.provideService(
          Http.handler(() => fetch("http://localhost/photo")),
          Propagator.CurrentPropagator,
          Propagator.b3
        )
        yield* Effect.promise(() => handle(new Request("http://localhost/")))
        return yield* Effect.promise(() =>
          fetch("http://localhost/photo", { headers: [["bad name", "1"]] }).catch((error: Error) => error.name)
        )
      })
      const { exit } = yield* record(program)
      assert.deepStrictEqual([told, exit], [["b3"], Exit.succeed("TypeError")])
    })
  )

  it.live("nest under and over functions of Instrument", () =>
    Effect.gen(function* () {
      const told: Array<string | null> = []
      const program = Effect.gen(function* () {
        const { traceSpan } = yield* Instrument.make
        const fetch = yield* Http.fetch(async (input, init) => {
          told.push(new Request(input, init).headers.get("baggage"))
          return new Response("ok")
        })
        const look = traceSpan("look")(async () => (await fetch("http://localhost/photo")).status)
        const handle = yield* Http.handler(async () => Response.json(await look()))
        return yield* Effect.promise(async () => {
          const responses = await Promise.all(
            [1, 2].map((user) => handle(new Request("http://localhost/", { headers: { baggage: `user=${user}` } })))
          )
          return responses.map(({ status }) => status)
        })
      })
      const { traces } = yield* record(program)
      assert.strictEqual(traces.length, 2)
      assert.deepStrictEqual(new Set(told), new Set(["user=1", "user=2"]))
      for (const trace of traces) {
        expectTrace(trace).toMatchTree(
          span("GET", { kind: "server", children: [span("look", [span("GET", { kind: "client" })])] })
        )
      }
    })
  )

  it.live("give back the error that was thrown", () =>
    Effect.gen(function* () {
      const refused = new TypeError("refused")
      const program = Effect.gen(function* () {
        const fetch = yield* Http.fetch(() => Promise.reject(refused))
        const handle = yield* Http.handler(() => {
          throw refused
        })
        return yield* Effect.promise(() =>
          Promise.allSettled([fetch("http://localhost/"), fetch("no url"), handle(new Request("http://localhost/"))])
        )
      })
      const { exit, traces } = yield* record(program)
      assert.isTrue(Exit.isSuccess(exit))
      if (Exit.isSuccess(exit)) {
        for (const outcome of exit.value) assert.deepStrictEqual(outcome, { status: "rejected", reason: refused })
      }
      assert.deepStrictEqual(
        traces.flatMap(({ spans }) => spans.map(({ status }) => status.code)),
        ["error", "error", "error"]
      )
    })
  )
})
