/**
 * Traces that go on over gRPC, as @grpc/grpc-js speaks it: interceptors for clients and servers, and handlers that are Effects.
 * What crosses is `Propagator`'s. Of grpc-js only types are imported, so that this loads without it.
 *
 * @since 0.1.0
 */
import type * as GrpcJs from "@grpc/grpc-js"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scheduler from "effect/Scheduler"
import * as Tracer from "effect/Tracer"
import { Key } from "./Conventions.ts"
import { contextWithin, type ForeignCall, running, spanWithin } from "./ForeignCall.ts"
import * as Propagator from "./Propagator.ts"
import * as SpanEnd from "./SpanEnd.ts"

/**
 * How calls are told.
 *
 * @since 0.1.0
 */
export interface Options {
  /** Names the span of a call to a method such as `photos.Albums/Find`. Default: the method. */
  readonly spanName?: ((method: string) => string) | undefined
}

/**
 * Gives an interceptor for clients which makes each call a span under the tracing of the Effect that made it. Its parent is the
 * innermost span that the call is made in: of an Effect, or of plain code. The other side is told of it, and of the baggage of
 * the Effect that calls, by the propagator in place.
 *
 * **Details**: a span lasts until its call has a status, and has failed with every one but `OK`; a call that the caller takes
 * back by itself ends interrupted. Fields of the propagator that the metadata has already are replaced.
 *
 * @example
 * ```ts
 * import * as GrpcJs from "@grpc/grpc-js"
 * import { Effect } from "effect"
 * import * as Grpc from "handspan/Grpc"
 * import * as Testing from "handspan/testing"
 *
 * const text = { serialize: (text: string) => Buffer.from(text), deserialize: String }
 * const find = {
 *   path: "/photos.Albums/Find",
 *   requestStream: false,
 *   responseStream: false,
 *   requestSerialize: text.serialize,
 *   requestDeserialize: text.deserialize,
 *   responseSerialize: text.serialize,
 *   responseDeserialize: text.deserialize
 * }
 * const program = Effect.gen(function* () {
 *   const server = new GrpcJs.Server({ interceptors: [yield* Grpc.server()] })
 *   const handler = yield* Grpc.handler((name: string) => Effect.as(Effect.log("looking"), `${name}/1.jpg`))
 *   server.addService({ find }, { find: handler })
 *   const insecure = GrpcJs.ServerCredentials.createInsecure()
 *   const port = yield* Effect.callback<number>((resume) =>
 *     server.bindAsync("127.0.0.1:0", insecure, (_, port) => resume(Effect.succeed(port)))
 *   )
 *   const interceptors = [yield* Grpc.client()]
 *   const client = new GrpcJs.Client(`127.0.0.1:${port}`, GrpcJs.credentials.createInsecure(), { interceptors })
 *   const photo = yield* Effect.callback<string | undefined>((resume) => {
 *     client.makeUnaryRequest(find.path, text.serialize, text.deserialize, "tides", (_, photo) =>
 *       resume(Effect.succeed(photo))
 *     )
 *   })
 *   client.close()
 *   server.forceShutdown()
 *   return photo
 * })
 * const { trace } = await Effect.runPromise(Testing.record(program, { clock: "live" }))
 * const { span } = Testing.Tree
 * Testing.expectTrace(trace).toMatchTree(
 *   span("photos.Albums/Find", { kind: "client", children: [span("photos.Albums/Find", { kind: "server", events: ["looking"] })] })
 * )
 * ```
 *
 * @since 0.1.0
 */
export const client = (options: Options = {}): Effect.Effect<GrpcJs.Interceptor> =>
  Effect.withFiber((fiber) => {
    const around = fiber.cache.span
    const own = fiber.context
    return Effect.succeed((callOptions, nextCall) => {
      const next = nextCall(callOptions)
      const ended = Deferred.makeUnsafe<End>()
      let isTakenBack = false
      return over(next, {
        start: (metadata, listener = {}) => {
          const method = methodOf(callOptions.method_definition)
          let sent = metadata
          const work = Effect.flatMap(withContext(metadata), (told) => {
            sent = told
            return until(ended)
          })
          const span = Effect.withSpan(work, nameOf(method, options), {
            kind: "client",
            captureStackTrace: false,
            attributes: { ...attributesOf(method), ...serverOf(withoutScheme(next.getPeer())) }
          })
          const parent = spanWithin(around)()
          // The metadata must be written by the time that it is sent.
          const context = Context.add(contextWithin(own), Scheduler.PreventSchedulerYield, true)
          Effect.runForkWith(context)(Effect.exit(parent === undefined ? span : Effect.withParentSpan(span, parent)))
          const onReceiveStatus = (received: GrpcJs.StatusObject) => {
            const status = statusOf(received.code)
            const isInterrupted = isTakenBack && status === "CANCELLED"
            const exit =
              status === "OK" ? Exit.void : isInterrupted ? Exit.interrupt() : failed(status, received.details)
            Deferred.doneUnsafe(ended, Effect.succeed({ status, exit }))
            listener.onReceiveStatus?.(received)
          }
          next.start(sent, over(listener, { onReceiveStatus }))
        },
        cancelWithStatus: (code, details) => {
          isTakenBack = statusOf(code) === "CANCELLED"
          next.cancelWithStatus(code, details)
        }
        // grpc-js asks for no more than the methods.
      }) as GrpcJs.InterceptingCall
    })
  })

/** The metadata with what the propagator writes, in place of what it had of that. */
const withContext = (metadata: GrpcJs.Metadata): Effect.Effect<GrpcJs.Metadata> =>
  Effect.map(Effect.all([Propagator.CurrentPropagator, Propagator.inject()]), ([{ fields }, headers]) => {
    // The caller's own may be used for other calls, too.
    const told = metadata.clone()
    for (const name of fields) told.remove(name)
    for (const [name, value] of Object.entries(headers)) {
      // gRPC takes printable ASCII alone, which a propagator of somebody's need not know.
      Result.try(() => told.set(name, value))
    }
    return told
  })

/**
 * Gives an interceptor for servers which makes each call a span that goes on with its caller's trace, as far as
 * `Propagator.CurrentTrust` allows. What handlers trace nests under it, be they plain code or made by `handler`.
 *
 * **Details**: put it first of a server's interceptors: what the others do is then in the call, and the status that it tells is
 * the one that the caller gets. The span ends with the status, and has failed with those for which the server is to blame:
 * `UNKNOWN`, `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`, `INTERNAL`, `UNAVAILABLE` and `DATA_LOSS` (OpenTelemetry, gRPC). Calls that
 * were taken back end interrupted, and so do those that grpc-js answers below all interceptors, because it cannot read a
 * request or write a response. Where the server's side has a first span of its own, do without: `handler` alone goes on with
 * the caller's trace, too.
 *
 * @since 0.1.0
 */
export const server = (options: Options = {}): Effect.Effect<GrpcJs.ServerInterceptor> =>
  Effect.withFiber((fiber) => {
    const around = fiber.cache.span
    const clock = fiber.getRef(Clock.Clock)
    const run = Effect.runForkWith(fiber.context)
    return Effect.succeed((definition, next) => {
      const method = methodOf(definition)
      const ended = Deferred.makeUnsafe<End>()
      let call: ServedCall | undefined
      let isOver = false
      const within = <A>(f: () => A): A => (call === undefined ? f() : running.run(call, f))
      const end = (status: string, details: string) => {
        const fault = serverFaults.has(status) ? (call?.failure ?? failed(status, details)) : Exit.void
        const exit = status === "CANCELLED" ? Exit.interrupt() : fault
        Deferred.doneUnsafe(ended, Effect.succeed({ status, exit }))
      }
      const work = Effect.flatMap(Effect.orDie(Effect.currentSpan), (span) =>
        Effect.withFiber(({ context }) => {
          call = new ServedCall(span, around, context)
          return until(ended)
        })
      )
      return over(next, {
        start: (listener) =>
          next.start(
            over(listener, {
              onReceiveMetadata: (metadata) => {
                const received = Propagator.receive(carrierOf(metadata), {
                  name: nameOf(method, options),
                  kind: "server",
                  attributes: { ...attributesOf(method), ...serverOf(next.getHost()), ...clientOf(next.getPeer()) }
                })
                run(Effect.exit(received(work)))
                within(() => listener.onReceiveMetadata(metadata))
              },
              onReceiveMessage: (message) => within(() => listener.onReceiveMessage(message)),
              onReceiveHalfClose: () => within(() => listener.onReceiveHalfClose()),
              // Comes at the end of every call, whatever ended it.
              onCancel: () => {
                isOver = true
                const isLate = clock.currentTimeMillisUnsafe() >= Number(next.getDeadline()) - earlyMillis
                // What the handler does ends before the call that it is part of.
                within(() => listener.onCancel())
                if (isLate) end("DEADLINE_EXCEEDED", "Deadline exceeded")
                else end("CANCELLED", "Cancelled")
              }
            })
          ),
        sendStatus: (status) => {
          // Nobody gets what a handler answers to that.
          if (!isOver) end(statusOf(status.code), status.details)
          next.sendStatus(status)
        }
      }) as GrpcJs.ServerInterceptingCall
    })
  })

/**
 * Makes a handler of unary calls out of a function that gives an Effect, which sees the call's span and baggage. Without
 * `server` in the chain its spans are the caller's children, where `Propagator.CurrentTrust` is `follow`.
 *
 * **Details**: what the Effect fails with is answered as grpc-js answers it: by its `code` and `details` or its `message`, and
 * as `UNKNOWN` without a `code`. A defect is answered with `INTERNAL` and not told; the span has it. A call that is taken back
 * interrupts the Effect.
 *
 * @since 0.1.0
 */
export const handler = <Request, Response, E = never, R = never>(
  handle: (request: Request, call: GrpcJs.ServerUnaryCall<Request, Response>) => Effect.Effect<Response, E, R>
): Effect.Effect<GrpcJs.handleUnaryCall<Request, Response>, never, Exclude<R, Tracer.ParentSpan>> =>
  Effect.withFiber((fiber) => {
    // What runs around the server is not its calls' parent.
    const context = Context.omit(Tracer.ParentSpan)(fiber.context)
    const run = Effect.runForkWith(context as Context.Context<R>)
    return Effect.succeed((call, respond) => {
      const found = running.getStore()
      const served = found instanceof ServedCall ? found : undefined
      const work = Effect.matchCause(
        Effect.suspend(() => handle(call.request, call)),
        {
          onSuccess: (response) => respond(null, response),
          onFailure: (cause) => {
            if (served !== undefined) served.failure = Exit.failCause(cause)
            respond(answerTo(cause))
          }
        }
      )
      // Of no other call, such as the one that the server was started in.
      const handling = running.run(served, () => run(asPartOf(call.metadata, served)(work)))
      call.once("cancelled", () => handling.interruptUnsafe())
    })
  })

/** Runs an effect inside of the call's span, or else as the continuation of the caller's. */
const asPartOf =
  (metadata: GrpcJs.Metadata, served: ServedCall | undefined) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Propagator.CurrentTrust, (trust) => {
      if (served !== undefined) return Effect.provideService(effect, Tracer.ParentSpan, served.opened())
      return trust === "follow" ? Propagator.withRemoteParent(carrierOf(metadata))(effect) : effect
    }).pipe(Propagator.withBaggage(carrierOf(metadata)))

const answerTo = (cause: Cause.Cause<unknown>): object => {
  if (Cause.hasInterruptsOnly(cause)) return { code: statusNames.indexOf("CANCELLED"), details: "Cancelled" }
  const error = Cause.findErrorOption(cause)
  if (Option.isNone(error)) return { code: statusNames.indexOf("INTERNAL"), details: "Internal error" }
  // grpc-js reads code, details and message off an object, and UNKNOWN where there is no code.
  return typeof error.value === "object" && error.value !== null ? error.value : SpanEnd.describe(error.value)
}

/** A call that a server is working on. Why its handler failed stands on it: the status says it to the caller alone. */
class ServedCall implements ForeignCall {
  failure: Exit.Exit<never, unknown> | undefined
  readonly opened: () => Tracer.Span
  readonly around: Tracer.AnySpan | undefined
  readonly fiberId = undefined
  readonly context: Context.Context<never>

  constructor(span: Tracer.Span, around: Tracer.AnySpan | undefined, context: Context.Context<never>) {
    this.opened = () => span
    this.around = around
    this.context = context
  }
}

/** How a call ended: the name of its status, and what that is to the span. */
interface End {
  readonly status: string
  readonly exit: Exit.Exit<void, unknown>
}

const until = (ended: Deferred.Deferred<End>): Effect.Effect<void, unknown> =>
  Effect.flatMap(Deferred.await(ended), ({ exit, status }) =>
    Effect.andThen(Effect.annotateCurrentSpan(Key.rpcStatus, status), exit)
  )

/** The status as an error; its type on the span is the status (OpenTelemetry RPC Spans, `error.type`). */
const failed = (status: string, details: string) => Exit.fail({ _tag: status, message: details })

/** Timers run a little early, and the caller, who has the same deadline, may give up a little before us. */
const earlyMillis = 10

/** By their codes. */
const statusNames = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED"
]

const statusOf = (code: number): string => statusNames[code] ?? String(code)

/** The statuses that a server's span has failed with (OpenTelemetry gRPC, `rpc.response.status_code`). */
const serverFaults = new Set(["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"])

const methodOf = ({ path }: { readonly path: string }): string => path.replace(/^\//, "")

/** A function of the user's that fails here must not fail the call that it names. */
const nameOf = (method: string, { spanName }: Options): string =>
  spanName === undefined
    ? method
    : Result.getOrElse(
        Result.try(() => spanName(method)),
        () => method
      )

const attributesOf = (method: string) => ({ [Key.rpcSystem]: "grpc", [Key.rpcMethod]: method })

const serverOf = (target: string) => {
  const [address, port] = addressOf(target)
  return { [Key.serverAddress]: address, ...(port !== undefined && { [Key.serverPort]: port }) }
}

const clientOf = (peer: string) => (peer === "unknown" ? {} : { [Key.clientAddress]: addressOf(peer)[0] })

/** The server that a target such as `dns:127.0.0.1:50051` names. */
const withoutScheme = (target: string): string => target.replace(/^[a-z][a-z\d+.-]*:(\/\/[^/]*\/)?/i, "")

/** The conventions want an IPv6 address without its brackets. */
const addressOf = (target: string): readonly [address: string, port: number | undefined] => {
  const [, address = target, port] = /^(.*?)(?::(\d+))?$/.exec(target) ?? []
  return [address.replace(/^\[|\]$/g, ""), port === undefined ? undefined : Number(port)]
}

/** As a propagator reads it; it passes over values that are no texts. */
const carrierOf = (metadata: GrpcJs.Metadata) => metadata.toJSON() as Readonly<Record<string, ReadonlyArray<string>>>

/** What does as another does, but for some methods; whatever class of grpc-js that is. */
const over = <A extends object>(target: A, own: Partial<A>): A =>
  new Proxy(target, {
    get: (_, key) => {
      const value: unknown = Reflect.get(key in own ? own : target, key)
      return typeof value === "function" ? value.bind(target) : value
    }
  })
