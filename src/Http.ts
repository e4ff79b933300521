/**
 * Traces that go on over HTTP, with tracestate, baggage and whatever else the propagator bears: for Effect's HttpClient and
 * HttpServer, and for plain `fetch` and handlers of requests. What stands on the spans is `HttpSpan`'s.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as UrlParams from "effect/http/UrlParams"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scheduler from "effect/Scheduler"
import * as Tracer from "effect/Tracer"
import { contextWithin, ofFiber, running, spanWithin } from "./ForeignCall.ts"
import * as HttpSpan from "./HttpSpan.ts"
import * as Propagator from "./Propagator.ts"

/**
 * Makes a client whose requests are spans that the other side goes on with, by the propagator that is in place. They take the
 * place of Effect's own, which tell the other side of trace and span alone.
 *
 * **Details**: a span is named after the method, or by `HttpClient.SpanNameGenerator`; with a status from 400 on it has failed,
 * and the response is there all the same. Effect's `TracerDisabledWhen`, `TracerPropagationEnabled` and its names of secret
 * query parameters hold here too.
 *
 * @since 0.1.0
 */
export const client = <E, R>(self: HttpClient.HttpClient.With<E, R>): HttpClient.HttpClient.With<E, R> =>
  HttpClient.makeWith<E, R, E, R>(
    (prepared) =>
      Effect.flatMap(prepared, (request) =>
        Effect.withFiber((fiber) => {
          const isOff = fiber.getRef(Tracer.DisablePropagation) || fiber.getRef(HttpClient.TracerDisabledWhen)(request)
          if (isOff) return self.postprocess(Effect.succeed(request))
          const redactedParams = request.urlParams.params.flatMap(([name, value]) =>
            typeof value === "string" ? [] : [name]
          )
          let mark: readonly [name: string, value: string] | undefined
          const told = fiber.getRef(HttpClient.TracerPropagationEnabled)
            ? Effect.map(Propagator.inject(request.headers), (headers) => {
                mark = Object.entries(headers).find(([name, value]) => request.headers[name] !== value)
                return HttpClientRequest.updateHeaders(request, () => Headers.fromInput(headers))
              })
            : Effect.succeed(request)
          // Those that the client makes on its way, for a token say, have spans of their own.
          const isOffFor = fiber.getRef(HttpClient.TracerDisabledWhen)
          const isOurs = ({ headers, method, url }: HttpClientRequest.HttpClientRequest) =>
            // What a redirect leads to has our headers, too.
            (method === request.method && url === request.url) || (mark !== undefined && headers[mark[0]] === mark[1])
          return HttpSpan.sent(self.postprocess(told), {
            name: fiber.getRef(HttpClient.SpanNameGenerator)(request),
            method: request.method,
            url: Option.getOrUndefined(HttpClientRequest.toUrl(request)),
            redactedNames: [...fiber.getRef(UrlParams.CurrentRedactedNames), ...redactedParams],
            statusOf: statusOfResponse
          }).pipe(Effect.provideService(HttpClient.TracerDisabledWhen, (other) => isOurs(other) || isOffFor(other)))
        })
      ),
    self.preprocess
  )

/**
 * Traces the requests of the `HttpClient` that it is given; see `client`.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { FetchHttpClient, HttpClient } from "effect/http"
 * import * as Http from "handspan/Http"
 * import * as Testing from "handspan/testing"
 *
 * const answer = (request: Request) => new Response(request.headers.get("traceparent"))
 * const program = Effect.flatMap(HttpClient.get("http://localhost/photos"), (response) => response.text).pipe(
 *   Effect.provide(Layer.provide(Http.layerClient, FetchHttpClient.layer)),
 *   Effect.provideService(FetchHttpClient.Fetch, async (input, init) => answer(new Request(input, init)))
 * )
 * const { exit, trace } = await Effect.runPromise(Testing.record(program))
 * if (exit._tag !== "Success" || !exit.value.includes(trace.spans[0]!.spanId)) throw new Error("expected the span's id")
 * ```
 *
 * @since 0.1.0
 */
export const layerClient: Layer.Layer<HttpClient.HttpClient, never, HttpClient.HttpClient> = Layer.effect(
  HttpClient.HttpClient,
  Effect.map(HttpClient.HttpClient, client)
)

/**
 * Makes a server whose requests are spans that go on with their callers' traces, as far as `Propagator.CurrentTrust` allows,
 * and have their baggage. They take the place of Effect's own.
 *
 * **Details**: a span is named after the method, or by `HttpMiddleware.SpanNameGenerator`; `HttpRouter` writes its route on it.
 * With a status from 500 on it has failed. Effect's `TracerDisabledWhen` holds here too.
 *
 * @since 0.1.0
 */
export const server = (self: HttpServer.HttpServer["Service"]): HttpServer.HttpServer["Service"] =>
  HttpServer.make({
    address: self.address,
    serve: (app, middleware) =>
      Effect.flatMap(HttpMiddleware.TracerDisabledWhen, (isOff) =>
        self
          .serve(app, (responded) => served(isOff, middleware === undefined ? responded : middleware(responded)))
          .pipe(Effect.provideService(HttpMiddleware.TracerDisabledWhen, () => true))
      )
  })

type Served<E, R> = Effect.Effect<HttpServerResponse.HttpServerResponse, E, R | HttpServerRequest.HttpServerRequest>

const served = <E, R>(isOff: (request: HttpServerRequest.HttpServerRequest) => boolean, app: Served<E, R>) =>
  Effect.withFiber((fiber): Served<E, R> => {
    const request = Context.getUnsafe(fiber.context, HttpServerRequest.HttpServerRequest)
    if (isOff(request)) return app
    return HttpSpan.received(app, {
      name: fiber.getRef(HttpMiddleware.SpanNameGenerator)(request),
      method: request.method,
      url: Option.getOrUndefined(HttpServerRequest.toURL(request)),
      redactedNames: fiber.getRef(UrlParams.CurrentRedactedNames),
      headers: request.headers,
      userAgent: request.headers["user-agent"],
      clientAddress: Option.getOrUndefined(request.remoteAddress),
      statusOf: (exit) => HttpServerError.exitResponse(exit).status
    })
  })

/**
 * Traces the requests that come to the `HttpServer` that it is given; see `server`. Put it between an app and its server:
 * `HttpRouter.serve(routes).pipe(Layer.provide(Http.layerServer), Layer.provide(NodeHttpServer.layer(…)))`.
 *
 * @since 0.1.0
 */
export const layerServer: Layer.Layer<HttpServer.HttpServer, never, HttpServer.HttpServer> = Layer.effect(
  HttpServer.HttpServer,
  Effect.map(HttpServer.HttpServer, server)
)

/**
 * Gives a `fetch` for plain TypeScript whose requests are spans under the tracing of the Effect that made it, children of its
 * span or of the innermost span or function wrapped by `Instrument` inside of that, and which the other side goes on with.
 *
 * **Gotchas**: plain code that has waited knows no span but that of a request or of a wrapped function that it is in, unless
 * `context` is `async`.
 *
 * @since 0.1.0
 */
export const fetch = (base: typeof globalThis.fetch = globalThis.fetch): Effect.Effect<typeof globalThis.fetch> =>
  Effect.withFiber(({ cache: { span: around }, context: own }) =>
    Effect.succeed((input, init) => {
      const parent = spanWithin(around)()
      const traced = Effect.flatMap(UrlParams.CurrentRedactedNames, (redactedNames) => {
        const request = input instanceof Request ? input : undefined
        const method = asSent(init?.method ?? request?.method ?? "GET")
        const headers = new globalThis.Headers(init?.headers ?? request?.headers)
        const work = Effect.flatMap(Propagator.inject(Object.fromEntries(headers)), (headers) =>
          // As a defect it is what the promise is rejected with.
          Effect.promise(async () => base(input, { ...init, headers }))
        )
        return HttpSpan.sent(work, {
          name: method,
          method,
          url: Result.getOrUndefined(Result.try(() => new URL(input instanceof Request ? input.url : input))),
          redactedNames,
          statusOf: statusOfResponse
        })
      })
      return Effect.runPromiseWith(contextWithin(own))(
        parent === undefined ? traced : Effect.withParentSpan(traced, parent)
      )
    })
  )

/** `fetch` writes these in capitals, and any other as it is given (Fetch standard, "normalize a method"). */
const asSent = (method: string): string =>
  /^(delete|get|head|options|post|put)$/i.test(method) ? method.toUpperCase() : method

const statusOfResponse = (exit: Exit.Exit<{ readonly status: number }, unknown>): number | undefined =>
  Exit.isSuccess(exit) ? exit.value.status : undefined

/**
 * Traces a handler of requests in the style of `Deno.serve`: each request is a span that goes on with its caller's trace, as
 * far as `Propagator.CurrentTrust` allows. The handler may give an Effect, which sees span and baggage and is interrupted when the
 * caller has gone, a Promise or a Response.
 *
 * **Details**: the span ends with the response; a body that is streamed after it is not followed. Functions wrapped by
 * `Instrument` nest under the request that they run in. A handler that fails rejects, as without tracing.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as Http from "handspan/Http"
 * import * as Testing from "handspan/testing"
 *
 * const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
 * const program = Effect.gen(function* () {
 *   const handle = yield* Http.handler(() => Effect.as(Effect.log("looking"), new Response("a.jpg")))
 *   return yield* Effect.promise(() => handle(new Request("http://localhost/photos", { headers: { traceparent } })))
 * })
 * const { trace } = await Effect.runPromise(Testing.record(program))
 * if (trace.spans[0]?.parentSpanId !== "b7ad6b7169203331") throw new Error("expected the caller's span")
 * ```
 *
 * @since 0.1.0
 */
export const handler = <Args extends ReadonlyArray<unknown>, E = never, R = never>(
  handle: (request: Request, ...rest: Args) => Response | Promise<Response> | Effect.Effect<Response, E, R>
): Effect.Effect<(request: Request, ...rest: Args) => Promise<Response>, never, Exclude<R, Tracer.ParentSpan>> =>
  Effect.withFiber((fiber) => {
    const around = fiber.cache.span
    const run = Effect.runPromiseWith(fiber.context as Context.Context<Exclude<R, Tracer.ParentSpan>>)
    const redactedNames = fiber.getRef(UrlParams.CurrentRedactedNames)
    return Effect.succeed((request, ...rest) => {
      let isGone = false
      const gone = Effect.andThen(
        aborted(request.signal),
        Effect.suspend(() => {
          isGone = true
          return Effect.interrupt
        })
      )
      const work = Effect.flatMap(callWithin(around), (call): Effect.Effect<Response, E, R> =>
        Effect.flatMap(
          Effect.promise(async () => running.run(call, () => handle(request, ...rest))),
          (given) => (Effect.isEffect(given) ? Effect.raceFirst(given, gone) : Effect.succeed(given))
        )
      )
      const served = HttpSpan.received(work, {
        name: request.method,
        method: request.method,
        url: Result.getOrUndefined(Result.try(() => new URL(request.url))),
        redactedNames,
        headers: request.headers,
        userAgent: request.headers.get("user-agent") ?? undefined,
        clientAddress: undefined,
        statusOf: (exit) => statusOfResponse(exit) ?? (isGone ? undefined : 500)
      })
      return run(
        Effect.catchCause(served, (cause) =>
          // Nobody is there to see it; Effect's own handlers say the same.
          isGone && Cause.hasInterruptsOnly(cause)
            ? Effect.succeed(new Response(null, { status: HttpSpan.callerGone }))
            : Effect.failCause(cause)
        )
      )
    })
  })

const aborted = (signal: AbortSignal): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const listener = () => resume(Effect.void)
    if (signal.aborted) listener()
    signal.addEventListener("abort", listener)
    return Effect.sync(() => signal.removeEventListener("abort", listener))
  })

/** The call of plain code that answers the request whose span is running. */
const callWithin = (around: Tracer.AnySpan | undefined) =>
  Effect.flatMap(Effect.orDie(Effect.currentSpan), (span) =>
    Effect.withFiber((fiber) => Effect.succeed(ofFiber(fiber, span, around)))
  )

/** What is read of a request of node:http. */
interface NodeRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly headers: { readonly [name: string]: string | ReadonlyArray<string> | undefined }
  readonly socket: { readonly remoteAddress?: string | undefined; readonly encrypted?: boolean | undefined }
}

/** What is read of a response of node:http. */
interface NodeResponse {
  readonly statusCode: number
  readonly writableFinished: boolean
  readonly once: (event: "close", listener: () => void) => unknown
}

/**
 * Traces a listener of `node:http`, as `handler` does one of Web requests. The span ends when the response has been sent; where
 * the caller went away before, as interrupted. The listener may give an Effect, which is run, and interrupted then.
 *
 * **Details**: what the listener throws is thrown on, as without tracing.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as Http from "handspan/Http"
 * import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
 * import * as Testing from "handspan/testing"
 *
 * const program = Effect.gen(function* () {
 *   const listener = yield* Http.nodeListener((_: IncomingMessage, response: ServerResponse) => void response.end("done"))
 *   const server = createServer(listener)
 *   yield* Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)))
 *   const address = server.address()
 *   const port = typeof address === "object" ? address?.port : undefined
 *   yield* Effect.promise(async () => (await globalThis.fetch(`http://127.0.0.1:${port}/photos`)).text())
 *   yield* Effect.promise(() => new Promise((resolve) => server.close(resolve)))
 * })
 * const { trace } = await Effect.runPromise(Testing.record(program, { clock: "live" }))
 * if (trace.spans[0]?.attributes["url.path"] !== "/photos") throw new Error("expected the request")
 * ```
 *
 * @since 0.1.0
 */
export const nodeListener = <Incoming extends NodeRequest, Outgoing extends NodeResponse, R = never>(
  // `unknown` would take it all, and not infer what an Effect requires.
  listener: (incoming: Incoming, outgoing: Outgoing) => Effect.Effect<unknown, never, R> | void | Promise<void>
): Effect.Effect<(incoming: Incoming, outgoing: Outgoing) => void, never, Exclude<R, Tracer.ParentSpan>> =>
  Effect.withFiber((fiber) => {
    const around = fiber.cache.span
    // The listener is called at once, whatever else there is to do; what it does itself gives way as ever.
    const yields = [Scheduler.PreventSchedulerYield, fiber.getRef(Scheduler.PreventSchedulerYield)] as const
    const run = Effect.runForkWith(
      Context.add(
        fiber.context as Context.Context<Exclude<R, Tracer.ParentSpan>>,
        Scheduler.PreventSchedulerYield,
        true
      )
    )
    const redactedNames = fiber.getRef(UrlParams.CurrentRedactedNames)
    return Effect.succeed((incoming, outgoing) => {
      let thrown: { readonly error: unknown } | undefined
      // Listened to at once: it may be closed before the listener is through.
      const closed = new Promise<void>((resolve) => outgoing.once("close", resolve))
      const gone = Effect.andThen(
        Effect.promise(() => closed),
        Effect.suspend(() => (outgoing.writableFinished ? Effect.never : Effect.void))
      )
      const work = Effect.gen(function* () {
        const own = yield* callWithin(around)
        const call = { ...own, context: Context.add(own.context, ...yields) }
        const given = Result.try(() => running.run(call, () => listener(incoming, outgoing)))
        if (Result.isFailure(given)) return yield* Effect.die((thrown = { error: given.failure }).error)
        if (Effect.isEffect(given.success))
          yield* Effect.raceFirst(Effect.provideService(given.success, ...yields), gone)
        yield* Effect.promise(() => closed)
        return outgoing.writableFinished ? outgoing.statusCode : yield* Effect.interrupt
      })
      const { headers, method = "GET", socket } = incoming
      run(
        HttpSpan.received(work, {
          name: method,
          method,
          url: urlOf(incoming),
          redactedNames,
          headers,
          userAgent: [headers["user-agent"]].flat()[0],
          clientAddress: socket.remoteAddress,
          statusOf: (exit) => (Exit.isSuccess(exit) ? exit.value : undefined)
        })
      )
      if (thrown !== undefined) throw thrown.error
    })
  })

/** A path is one whatever it begins with; without a host there is no URL (RFC 9112 §3.2). */
const urlOf = ({ headers, socket, url = "/" }: NodeRequest): URL | undefined => {
  const host = headers["host"]
  if (url.startsWith("/") && (typeof host !== "string" || host === "")) return undefined
  const base = `http${socket.encrypted ? "s" : ""}://${String(host)}`
  return Result.getOrUndefined(Result.try(() => new URL(url.startsWith("/") ? `${base}${url}` : url)))
}
