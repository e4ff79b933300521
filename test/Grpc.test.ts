// Calls over real sockets on loopback, of all four kinds, by grpc-js on both sides.
import * as GrpcJs from "@grpc/grpc-js"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, Schema } from "effect"
import { connect, constants } from "node:http2"
import * as Grpc from "../src/Grpc.ts"
import * as Instrument from "../src/Instrument.ts"
import * as Propagator from "../src/Propagator.ts"
import * as Testing from "../src/Testing.ts"
import * as TraceContext from "../src/TraceContext.ts"
import { record } from "./live.ts"

const { Tree, expectTrace } = Testing
const { span } = Tree

const method = (name: string, requestStream: boolean, responseStream: boolean): GrpcJs.MethodDefinition<any, any> => {
  const serialize = (value: unknown) => Buffer.from(JSON.stringify(value))
  const deserialize = (bytes: Buffer) => JSON.parse(bytes.toString())
  return {
    path: `/photos.Albums/${name}`,
    requestStream,
    responseStream,
    requestSerialize: serialize,
    requestDeserialize: deserialize,
    responseSerialize: serialize,
    responseDeserialize: deserialize
  }
}

const albums = {
  look: method("Look", false, false),
  upload: method("Upload", true, false),
  watch: method("Watch", false, true),
  talk: method("Talk", true, true)
}

type Albums = Partial<Record<keyof typeof albums, GrpcJs.UntypedHandleCall>>

const Client = GrpcJs.makeGenericClientConstructor(albums, "Albums")

/** A server on loopback, and the address of it. */
const serving = (handlers: Albums, interceptors: Array<GrpcJs.ServerInterceptor>) =>
  Effect.gen(function* () {
    const server = new GrpcJs.Server({ interceptors })
    server.addService(albums, handlers)
    yield* Effect.addFinalizer(() => Effect.sync(() => server.forceShutdown()))
    return yield* Effect.callback<string>((resume) =>
      server.bindAsync("127.0.0.1:0", GrpcJs.ServerCredentials.createInsecure(), (error, port) =>
        resume(error === null ? Effect.succeed(`127.0.0.1:${port}`) : Effect.die(error))
      )
    )
  })

const served = (handlers: Albums) => Effect.flatMap(Grpc.server(), (trace) => serving(handlers, [trace]))

const clientOf = (address: string, options?: Grpc.Options) =>
  Effect.flatMap(Grpc.client(options), (trace) => plainClientOf(address, [trace]))

/** A client of somebody who is not traced. */
const plainClientOf = (address: string, interceptors: Array<GrpcJs.Interceptor> = []) =>
  Effect.acquireRelease(
    Effect.sync(() => new Client(address, GrpcJs.credentials.createInsecure(), { interceptors })),
    (client) => Effect.sync(() => client.close())
  )

type Albumist = Effect.Success<ReturnType<typeof plainClientOf>>

/** One call to `Look` as an Effect, which takes the call back where it is interrupted. */
const look = (
  client: Albumist,
  request: unknown,
  { metadata = new GrpcJs.Metadata(), ...options }: { metadata?: GrpcJs.Metadata; deadline?: number } = {}
) =>
  Effect.callback<any, GrpcJs.ServiceError>((resume) => {
    const answered = (error: GrpcJs.ServiceError | null, answer: unknown) =>
      resume(error === null ? Effect.succeed(answer) : Effect.fail(error))
    const call: GrpcJs.ClientUnaryCall = client["look"]!(request, metadata, options, answered)
    return Effect.sync(() => call.cancel())
  })

/** What comes of one call to `Look`. */
const answerOf = (client: Albumist, metadata = new GrpcJs.Metadata()) =>
  Effect.match(look(client, {}, { metadata }), {
    onSuccess: (answer) => ({ code: GrpcJs.status.OK, answer }),
    onFailure: ({ code }) => ({ code, answer: undefined })
  })

/** What a stream brings to its end. */
const collect = (stream: GrpcJs.ClientReadableStream<unknown>) =>
  Effect.callback<ReadonlyArray<unknown>>((resume) => {
    const all: Array<unknown> = []
    stream.on("data", (value) => all.push(value))
    stream.on("error", () => undefined)
    stream.on("status", () => resume(Effect.succeed(all)))
  })

const seen = Effect.map(Effect.all([TraceContext.CurrentBaggage, Propagator.current]), ([baggage, { context }]) => ({
  user: baggage.get("user")?.value,
  traceState: context?.traceState,
  flags: context?.flags
}))

const caller = {
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
  tracestate: "vendor=1",
  baggage: "user=alice"
}

const metadataOf = (fields: Readonly<Record<string, string>>) => {
  const metadata = new GrpcJs.Metadata()
  for (const [name, value] of Object.entries(fields)) metadata.set(name, value)
  return metadata
}

const named = (name: string, status = "OK") => ({
  "rpc.system.name": "grpc",
  "rpc.method": `photos.Albums/${name}`,
  "rpc.response.status_code": status,
  "server.address": "127.0.0.1",
  "server.port": Tree.where("a port", (port) => Number(port) > 0)
})

describe("Grpc", () => {
  it.live("makes one trace of a call, with tracestate, random flag and baggage", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const client = yield* clientOf(yield* served({ look: yield* Grpc.handler(() => seen) }))
        return yield* look(client, {}).pipe(Effect.withSpan("outer"), Propagator.withRemoteParent(caller))
      })
      const { exit, trace } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.succeed({ user: "alice", traceState: "vendor=1", flags: 3 }))
      assert.strictEqual(trace.traceId, "0af7651916cd43dd8448eb211c80319c")
      expectTrace(trace).toMatchTree(
        span("outer", [
          span("photos.Albums/Look", {
            kind: "client",
            status: "ok",
            attributes: named("Look"),
            children: [
              span("photos.Albums/Look", {
                kind: "server",
                status: "ok",
                attributes: { ...named("Look"), "client.address": "127.0.0.1" }
              })
            ]
          })
        ])
      )
    })
  )

  it.live("covers streams of either side to their end, with what plain handlers trace in them", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const { startSpan, traceSpan } = yield* Instrument.make
        const frame = traceSpan("frame")(async (n: number) => n * 2)
        const address = yield* served({
          upload: (call: GrpcJs.ServerReadableStream<number, number>, respond: GrpcJs.sendUnaryData<number>) => {
            startSpan("begin").end()
            let last: Promise<number> = Promise.resolve(0)
            call.on("data", (n) => (last = frame(n)))
            call.on("end", () => void last.then((value) => respond(null, value)))
          },
          watch: (call: GrpcJs.ServerWritableStream<number, number>) =>
            void frame(call.request).then((value) => {
              call.write(value)
              return call.end()
            }),
          talk: (call: GrpcJs.ServerDuplexStream<number, number>) => {
            call.on("data", (n) => void frame(n).then((value) => call.write(value)))
            call.on("end", () => setImmediate(() => call.end()))
          }
        })
        const client = yield* clientOf(address)
        const uploaded = yield* Effect.callback<number>((resume) => {
          const call = client["upload"]!((_: unknown, value: number) => resume(Effect.succeed(value)))
          call.write(4)
          call.end()
        })
        const watched = yield* collect(client["watch"]!(5))
        const talk = client["talk"]!()
        for (const n of [6, 7]) talk.write(n)
        talk.end()
        return [uploaded, watched, yield* collect(talk)]
      })
      const { exit, traces } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.succeed([8, [10], [12, 14]]))
      const expected = [
        ["Upload", ["begin", "frame"]],
        ["Watch", ["frame"]],
        ["Talk", ["frame", "frame"]]
      ] as const
      assert.strictEqual(traces.length, 3)
      for (const [index, [name, children]] of expected.entries()) {
        expectTrace(traces[index]!).toMatchTree(
          span(`photos.Albums/${name}`, {
            kind: "client",
            status: "ok",
            attributes: named(name),
            children: [
              span(`photos.Albums/${name}`, {
                kind: "server",
                status: "ok",
                attributes: named(name),
                children: children.map((child) => span(child))
              })
            ]
          })
        )
      }
    })
  )

  it.live("nests the calls of plain handlers under the call that they answer", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const found = yield* Grpc.handler(() => Effect.succeed("back"))
        const back = yield* clientOf(yield* served({ look: found }), { spanName: () => "inner" })
        const front = yield* served({
          look: (_: unknown, respond: GrpcJs.sendUnaryData<unknown>) =>
            // By a promise, as an async handler would.
            void Promise.resolve().then(() => back["look"]!({}, respond))
        })
        return yield* answerOf(yield* plainClientOf(front))
      })
      const { exit, trace } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.succeed({ code: GrpcJs.status.OK, answer: "back" }))
      const server = { kind: "server" } as const
      expectTrace(trace).toMatchTree(
        span("photos.Albums/Look", {
          ...server,
          children: [span("inner", { kind: "client", children: [span("photos.Albums/Look", server)] })]
        })
      )
    })
  )

  it.live("names spans as it is told, and by the method where that fails", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const look = yield* Grpc.handler(() => Effect.succeed("found"))
        const fails = () => {
          throw new TypeError("no name")
        }
        const address = yield* serving({ look }, [yield* Grpc.server({ spanName: fails })])
        const spanName = (method: string) => `grpc.${method.split("/")[1]}`
        return yield* answerOf(yield* clientOf(address, { spanName }))
      })
      const { trace } = yield* record(program)
      expectTrace(trace).toMatchTree(span("grpc.Look", [span("photos.Albums/Look")]))
    })
  )

  it.live("takes every status but OK as a failure of the call, and of the server those that are its fault", () =>
    Effect.gen(function* () {
      const codes = Array.from({ length: 17 }, (_, code) => code).filter((code) => code !== 1)
      const program = Effect.gen(function* () {
        const answer = yield* Grpc.handler(({ code }: { readonly code: number }) =>
          code === 0 ? Effect.succeed("fine") : Effect.fail({ code, details: "as asked" })
        )
        const client = yield* clientOf(yield* served({ look: answer }))
        for (const code of codes) yield* Effect.exit(look(client, { code }))
      })
      const { traces } = yield* record(program)
      const statuses = traces.map(({ spans }) =>
        spans
          .toSorted((a, b) => (a.kind < b.kind ? -1 : 1))
          .flatMap(({ attributes, status }) => [status.code, attributes["rpc.response.status_code"]])
      )
      const fine = (name: string) => ["error", name, "ok", name]
      const fault = (name: string) => ["error", name, "error", name]
      assert.deepStrictEqual(statuses, [
        ["ok", "OK", "ok", "OK"],
        fault("UNKNOWN"),
        fine("INVALID_ARGUMENT"),
        fault("DEADLINE_EXCEEDED"),
        fine("NOT_FOUND"),
        fine("ALREADY_EXISTS"),
        fine("PERMISSION_DENIED"),
        fine("RESOURCE_EXHAUSTED"),
        fine("FAILED_PRECONDITION"),
        fine("ABORTED"),
        fine("OUT_OF_RANGE"),
        fault("UNIMPLEMENTED"),
        fault("INTERNAL"),
        fault("UNAVAILABLE"),
        fault("DATA_LOSS"),
        fine("UNAUTHENTICATED")
      ])
      const { attributes, status } = traces[4]!.spans.find(({ kind }) => kind === "client")!
      assert.deepStrictEqual([attributes["error.type"], status], ["NOT_FOUND", { code: "error", message: "as asked" }])
    })
  )

  it.live("tells of a server that is not there", () =>
    Effect.gen(function* () {
      const program = Effect.flatMap(clientOf("127.0.0.1:1"), (client) => Effect.exit(look(client, {})))
      const { trace } = yield* record(program)
      const attributes = { ...named("Look", "UNAVAILABLE"), "error.type": "UNAVAILABLE", "server.port": 1 }
      expectTrace(trace).toMatchTree(span("photos.Albums/Look", { kind: "client", status: "error", attributes }))
    })
  )

  it.live("ends both spans as interrupted where the caller takes a call back", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const arrived = yield* Deferred.make<void>()
        const stopped = yield* Deferred.make<void>()
        const handler = yield* Grpc.handler(() =>
          Effect.andThen(Deferred.succeed(arrived, undefined), Effect.never).pipe(
            Effect.withSpan("wait"),
            Effect.onInterrupt(() => Deferred.succeed(stopped, undefined))
          )
        )
        const client = yield* clientOf(yield* served({ look: handler }))
        const calling = yield* Effect.forkChild(look(client, {}))
        yield* Deferred.await(arrived)
        yield* Fiber.interrupt(calling)
        yield* Deferred.await(stopped)
        // The call ends right after its handler.
        yield* Effect.yieldNow
      })
      const { exit, trace } = yield* record(program)
      assert.isTrue(Exit.isSuccess(exit))
      const interrupted = (kind: "client" | "server") =>
        ({
          kind,
          status: "unset",
          attributes: { ...named("Look", "CANCELLED"), "handspan.interrupted": true }
        }) as const
      expectTrace(trace).toMatchTree(
        span("photos.Albums/Look", {
          ...interrupted("client"),
          children: [
            span("photos.Albums/Look", {
              ...interrupted("server"),
              children: [span("wait", { status: "unset", attributes: { "handspan.interrupted": true } })]
            })
          ]
        })
      )
    })
  )

  it.live("tells the caller's deadline as one", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const stopped = yield* Deferred.make<void>()
        const handler = yield* Grpc.handler(() =>
          Effect.onInterrupt(Effect.never, () => Deferred.succeed(stopped, undefined))
        )
        const client = yield* clientOf(yield* served({ look: handler }))
        const { code } = yield* Effect.flip(look(client, {}, { deadline: (yield* Clock.currentTimeMillis) + 200 }))
        yield* Deferred.await(stopped)
        yield* Effect.yieldNow
        return code
      })
      const { exit, trace } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.succeed(GrpcJs.status.DEADLINE_EXCEEDED))
      const calling = trace.spans.find(({ kind }) => kind === "client")
      assert.deepStrictEqual(
        [calling?.status.code, calling?.attributes["error.type"], calling?.attributes["rpc.response.status_code"]],
        ["error", "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"]
      )
    })
  )
})

describe("Grpc.server", () => {
  it.live("tells its own deadline as one, where the caller still waits", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const address = yield* served({
          look: (call: GrpcJs.ServerUnaryCall<unknown, unknown>, respond: GrpcJs.sendUnaryData<unknown>) =>
            call.once("cancelled", () => respond({ code: GrpcJs.status.CANCELLED }))
        })
        return yield* rawCall(address, { "grpc-timeout": "50m" })
      })
      const { exit, trace } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.succeed("4"))
      const attributes = { ...named("Look", "DEADLINE_EXCEEDED"), "error.type": "DEADLINE_EXCEEDED" }
      expectTrace(trace).toMatchTree(span("photos.Albums/Look", { kind: "server", status: "error", attributes }))
    })
  )

  it.live("begins a trace where the metadata tells of none, whatever is in it", () =>
    Effect.gen(function* () {
      const { traceparent } = caller
      const twice = metadataOf({ traceparent })
      twice.add("traceparent", traceparent)
      const binary = metadataOf({ traceparent: "00-\u007e-\u0020-01" })
      binary.set("traceparent-bin", Buffer.from([0, 255]))
      const garbage = [
        metadataOf({ traceparent: traceparent.toUpperCase() }),
        metadataOf({ traceparent: "x".repeat(20_000), tracestate: "x".repeat(20_000), baggage: "=".repeat(20_000) }),
        twice,
        binary
      ]
      const program = Effect.gen(function* () {
        const client = yield* plainClientOf(yield* served({ look: yield* Grpc.handler(() => seen) }))
        return yield* Effect.forEach(garbage, (metadata) => answerOf(client, metadata))
      })
      const { exit, traces } = yield* record(program)
      const flags = TraceContext.flagSampled | TraceContext.flagRandom
      assert.deepStrictEqual(
        exit,
        Exit.succeed(garbage.map(() => ({ code: GrpcJs.status.OK, answer: { traceState: "", flags } })))
      )
      assert.deepStrictEqual(
        traces.map(({ spans }) => spans.map(({ parentSpanId, status }) => [parentSpanId, status.code])),
        garbage.map(() => [[undefined, "ok"]])
      )
    })
  )

  it.live("goes on with a trace whose tracestate is too long, and leaves that out", () =>
    Effect.gen(function* () {
      const { traceparent } = caller
      const long = (length: number) => metadataOf({ traceparent, tracestate: `a=${"x".repeat(length)}` })
      const program = Effect.gen(function* () {
        const client = yield* plainClientOf(yield* served({ look: yield* Grpc.handler(() => seen) }))
        // HTTP/2 itself refuses the second one.
        return [yield* answerOf(client, long(50_000)), (yield* answerOf(client, long(100_000))).code]
      })
      const { exit, trace, traces } = yield* record(program)
      assert.deepStrictEqual(
        exit,
        Exit.succeed([{ code: GrpcJs.status.OK, answer: { traceState: "", flags: 3 } }, GrpcJs.status.INTERNAL])
      )
      assert.strictEqual(traces.length, 1)
      assert.deepStrictEqual(
        trace.spans.map(({ parentSpanId }) => parentSpanId),
        ["b7ad6b7169203331"]
      )
    })
  )

  it.live("trusts callers as it is told, and is nobody's child on its own side", () =>
    Effect.gen(function* () {
      const traceId = "0af7651916cd43dd8448eb211c80319c"
      const results: Array<unknown> = []
      for (const trust of ["follow", "link", "ignore"] as const) {
        const program = Effect.gen(function* () {
          const client = yield* plainClientOf(yield* served({ look: yield* Grpc.handler(() => seen) }))
          return yield* Effect.forEach([caller, {}], (fields) => answerOf(client, metadataOf(fields)))
        }).pipe(Effect.withSpan("main"), Effect.provideService(Propagator.CurrentTrust, trust))
        const { exit, traces } = yield* record(program)
        const calls = traces.flatMap(({ spans }) => spans).filter(({ kind }) => kind === "server")
        const [traced, untraced] = calls
        results.push([
          trust,
          traced?.traceId === traceId,
          traced?.parentSpanId,
          traced?.links.map((link) => link.traceId === traceId),
          untraced?.parentSpanId,
          Exit.isSuccess(exit) && exit.value.map(({ answer }) => answer.user)
        ])
      }
      assert.deepStrictEqual(results, [
        ["follow", true, "b7ad6b7169203331", [], undefined, ["alice", undefined]],
        ["link", false, undefined, [true], undefined, [undefined, undefined]],
        ["ignore", false, undefined, [], undefined, [undefined, undefined]]
      ])
    })
  )

  it.live("stands with recovery, metrics and logging in one chain, and tells what the caller gets", () =>
    Effect.gen(function* () {
      /** An interceptor as houses have them: notes what passes through it, and may answer otherwise. */
      const noting =
        (name: string, notes: Array<string>, answer = (_: GrpcJs.status): object => ({})) =>
        (_: unknown, next: GrpcJs.ServerInterceptingCallInterface) =>
          new GrpcJs.ServerInterceptingCall(next, {
            start: (start) =>
              start({
                onReceiveMetadata: (metadata, receive) => {
                  notes.push(`${name} begins`)
                  receive(metadata)
                }
              }),
            sendStatus: (status, send) => {
              const answered = { ...status, ...answer(status.code) }
              notes.push(`${name} ${answered.code}`)
              send(answered)
            }
          })
      /** grpc-js answers UNKNOWN where a handler throws. */
      const recover = (code: GrpcJs.status) =>
        code === GrpcJs.status.UNKNOWN ? { code: GrpcJs.status.INTERNAL, details: "recovered" } : {}
      const chained = (isFirst: boolean) =>
        Effect.gen(function* () {
          const notes: Array<string> = []
          const { startSpan } = yield* Instrument.make
          const trace = yield* Grpc.server()
          const log: GrpcJs.ServerInterceptor = noting("logging", notes, () => {
            startSpan("log").end()
            return {}
          })
          const others = [log, noting("metrics", notes), noting("recovery", notes, recover)]
          const address = yield* serving(
            {
              look: () => {
                throw new TypeError("broken")
              }
            },
            isFirst ? [trace, ...others] : [...others.toReversed(), trace]
          )
          const { code } = yield* answerOf(yield* plainClientOf(address))
          return { code, notes }
        })
      const failed = (type: string) => ({ status: "error", attributes: { "error.type": type } }) as const

      const first = yield* record(chained(true))
      assert.deepStrictEqual(
        first.exit,
        Exit.succeed({
          code: GrpcJs.status.INTERNAL,
          notes: ["logging begins", "metrics begins", "recovery begins", "recovery 13", "metrics 13", "logging 13"]
        })
      )
      expectTrace(first.trace).toMatchTree(
        span("photos.Albums/Look", { ...failed("INTERNAL"), children: [span("log")] })
      )

      // The other way about, all but the caller are told what grpc-js made of it.
      const last = yield* record(chained(false))
      assert.deepStrictEqual(
        last.exit,
        Exit.succeed({
          code: GrpcJs.status.INTERNAL,
          notes: ["recovery begins", "metrics begins", "logging begins", "logging 2", "metrics 2", "recovery 13"]
        })
      )
      assert.strictEqual(
        last.traces.flatMap(({ spans }) => spans).find(({ kind }) => kind === "server")?.attributes["error.type"],
        "UNKNOWN"
      )
    })
  )
})

describe("Grpc.client", () => {
  it.live("takes off what the metadata had of its own, and leaves the caller's object as it is", () =>
    Effect.gen(function* () {
      const stale = metadataOf({
        ...caller,
        traceparent: caller.traceparent.replaceAll("b7ad", "aaaa"),
        album: "tides"
      })
      const before = stale.toJSON()
      const odd: Propagator.Propagator = {
        fields: ["odd"],
        inject: (_, set) => set("odd", "not for gRPC: \n"),
        extract: () => ({})
      }
      const program = Effect.gen(function* () {
        const told: Array<unknown> = []
        const address = yield* serving(
          {
            look: (call: GrpcJs.ServerUnaryCall<unknown, unknown>, respond: GrpcJs.sendUnaryData<unknown>) => {
              told.push(call.metadata.getMap())
              respond(null, {})
            }
          },
          []
        )
        const client = yield* clientOf(address)
        const oddly = yield* Effect.provideService(clientOf(address), Propagator.CurrentPropagator, odd)
        yield* look(client, {}, { metadata: stale })
        yield* look(oddly, {}, { metadata: stale })
        return told
      })
      const { exit, traces } = yield* record(program)
      const [first, second] = traces.map(({ spans }) => spans[0]!)
      const { spanId, traceId } = first!
      const agent = "grpc-node-js/1.14.7"
      assert.deepStrictEqual(
        exit,
        Exit.succeed([
          { traceparent: `00-${traceId}-${spanId}-03`, album: "tides", "user-agent": agent },
          { ...Object.fromEntries(Object.entries(before).map(([name, [value]]) => [name, value])), "user-agent": agent }
        ])
      )
      assert.deepStrictEqual(stale.toJSON(), before)
      assert.deepStrictEqual([first?.status.code, second?.status.code], ["ok", "ok"])
    })
  )
})

describe("Grpc.handler", () => {
  it.live("goes on with the caller's trace by itself, where no interceptor is in the chain", () =>
    Effect.gen(function* () {
      const users: Array<unknown> = []
      for (const trust of ["follow", "link"] as const) {
        const program = Effect.gen(function* () {
          const handler = yield* Grpc.handler(() => Effect.withSpan(seen, "work"))
          const client = yield* clientOf(yield* serving({ look: handler }, []))
          return yield* look(client, {}).pipe(Effect.withSpan("outer"), Propagator.withRemoteParent(caller))
        }).pipe(Effect.withSpan("main"), Effect.provideService(Propagator.CurrentTrust, trust))
        const { exit, traces } = yield* record(program)
        users.push(Exit.isSuccess(exit) && exit.value.user)
        const work = span("work")
        const call = span("photos.Albums/Look", { kind: "client", children: trust === "follow" ? [work] : [] })
        const outer = traces.find(({ traceId }) => traceId === "0af7651916cd43dd8448eb211c80319c")
        expectTrace(outer!).toMatchTree(span("outer", [call]))
        const tops = traces
          .flatMap(({ roots }) => roots)
          .map(({ span }) => [span.name, span.parentSpanId !== undefined])
        assert.deepStrictEqual(
          tops.toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
          [["main", false], ["outer", true], ...(trust === "follow" ? [] : [["work", false]])]
        )
      }
      assert.deepStrictEqual(users, ["alice", undefined])
    })
  )

  it.live("answers what fails as grpc-js does, keeps defects to itself, and tells the span why", () =>
    Effect.gen(function* () {
      class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { message: Schema.String }) {
        readonly code = GrpcJs.status.NOT_FOUND
      }
      class TooFar extends Schema.TaggedError<TooFar>()("TooFar", { message: Schema.String }) {}
      const outcomes: Record<string, Effect.Effect<never, unknown>> = {
        typed: Effect.fail(new NotFound({ message: "no tides" })),
        text: Effect.fail("just so"),
        uncoded: Effect.fail(new TooFar({ message: "too far" })),
        defect: Effect.die(new TypeError("secret")),
        stopped: Effect.interrupt
      }
      const program = Effect.gen(function* () {
        const handler = yield* Grpc.handler((name: string) => outcomes[name]!)
        const client = yield* clientOf(yield* served({ look: handler }))
        return yield* Effect.forEach(Object.keys(outcomes), (name) =>
          Effect.map(Effect.flip(look(client, name)), ({ code, details }) => [code, details])
        )
      })
      const { exit, traces } = yield* record(program)
      assert.deepStrictEqual(
        exit,
        Exit.succeed([
          [GrpcJs.status.NOT_FOUND, "no tides"],
          [GrpcJs.status.UNKNOWN, "just so"],
          [GrpcJs.status.UNKNOWN, "too far"],
          [GrpcJs.status.INTERNAL, "Internal error"],
          [GrpcJs.status.CANCELLED, "Cancelled"]
        ])
      )
      assert.deepStrictEqual(
        traces.flatMap(({ spans }) =>
          spans
            .filter(({ kind }) => kind === "server")
            .map(({ attributes, status }) => [
              attributes["rpc.response.status_code"],
              status.code,
              attributes["error.type"]
            ])
        ),
        [
          ["NOT_FOUND", "ok", undefined],
          ["UNKNOWN", "error", "_OTHER"],
          ["UNKNOWN", "error", "TooFar"],
          ["INTERNAL", "error", "TypeError"],
          ["CANCELLED", "unset", undefined]
        ]
      )
    })
  )
})

/** A call by a client that does nothing of itself: gives the status that the server answers. */
const rawCall = (address: string, headers: Readonly<Record<string, string>>) =>
  Effect.callback<string>((resume) => {
    const session = connect(`http://${address}`)
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: "POST",
      [constants.HTTP2_HEADER_PATH]: albums.look.path,
      [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc",
      te: "trailers",
      ...headers
    })
    const message = Buffer.from("{}")
    stream.write(Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]))
    stream.on("response", ({ "grpc-status": status }) => {
      session.close()
      resume(Effect.succeed(String(status)))
    })
    stream.end()
  })
