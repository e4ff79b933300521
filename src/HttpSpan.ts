/**
 * The span over an HTTP request, for who sends one and for who answers it: what it says and how it ends, by OpenTelemetry's
 * HTTP conventions. What sends and answers is `Http`'s.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as UrlParams from "effect/http/UrlParams"
import type * as Tracer from "effect/Tracer"
import { Key } from "./Conventions.ts"
import * as Exchange from "./Exchange.ts"
import { cut } from "./Excerpt.ts"
import * as Propagator from "./Propagator.ts"

/**
 * What both sides know of a request.
 *
 * @since 0.1.0
 */
export interface Request<A, E> {
  /** The name of the span. */
  readonly name: string
  readonly method: string
  /** `undefined` where it is none. */
  readonly url: URL | undefined
  /** Query parameters whose values are secret. */
  readonly redactedNames: ReadonlyArray<string | RegExp>
  /** The status of what came of it, `undefined` where there is none. */
  readonly statusOf: (exit: Exit.Exit<A, E>) => number | undefined
}

/**
 * Runs what sends a request inside of a span, which has failed with a status from 400 on.
 *
 * @since 0.1.0
 */
export const sent = <A, E, R>(work: Effect.Effect<A, E, R>, request: Request<A, E>) =>
  exchange(work, request.statusOf, 400, (effect: Effect.Effect<unknown, unknown, R>) =>
    Effect.withSpan(effect, nameOf(request), {
      kind: "client",
      captureStackTrace: false,
      attributes: attributesOf(request)
    })
  )

/**
 * Runs what answers a request inside of a span, which goes on with the caller's trace as far as `Propagator.CurrentTrust`
 * allows, and has failed with a status from 500 on.
 *
 * @since 0.1.0
 */
export const received = <A, E, R>(
  work: Effect.Effect<A, E, R>,
  request: Request<A, E> & {
    readonly headers: Propagator.Carrier
    readonly userAgent: string | undefined
    readonly clientAddress: string | undefined
  }
) =>
  exchange(
    work,
    request.statusOf,
    500,
    Propagator.receive(request.headers, {
      name: nameOf(request),
      kind: "server",
      attributes: {
        ...attributesOf(request),
        ...(request.userAgent !== undefined && { [Key.userAgent]: request.userAgent }),
        ...(request.clientAddress !== undefined && { [Key.clientAddress]: request.clientAddress })
      }
    })
  )

const attributesOf = ({ method, redactedNames, url }: Request<never, never>): Record<string, unknown> => ({
  ...(methods.has(method)
    ? { [Key.httpMethod]: method }
    : { [Key.httpMethod]: "_OTHER", [Key.httpMethodOriginal]: cut(method, 255) }),
  ...(url && ofUrl(url, redactedNames))
})

/** Those that everybody knows: anybody may call with any other (OpenTelemetry HTTP Spans, `http.request.method`). */
const methods = new Set(["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"])

/** A name must not be whatever an outsider calls his method. */
const nameOf = ({ method, name }: Request<never, never>): string =>
  name === method && !methods.has(method) ? "HTTP" : name

/** Where a request goes, without user, password and the values of secret parameters. */
const ofUrl = (url: URL, redactedNames: ReadonlyArray<string | RegExp>): Record<string, unknown> => {
  const shown = new URL(url)
  if (shown.username !== "") shown.username = "REDACTED"
  if (shown.password !== "") shown.password = "REDACTED"
  const query = UrlParams.redactUrl(url.search, redactedNames).slice(1)
  const port = url.port === "" ? defaultPorts[url.protocol] : Number(url.port)
  return {
    [Key.urlFull]: UrlParams.redactUrl(shown.href, redactedNames),
    [Key.urlPath]: url.pathname,
    ...(query !== "" && { [Key.urlQuery]: query }),
    [Key.urlScheme]: url.protocol.slice(0, -1),
    // The conventions want an IPv6 address without its brackets.
    [Key.serverAddress]: url.hostname.replace(/^\[|\]$/g, ""),
    ...(port !== undefined && { [Key.serverPort]: port })
  }
}

const defaultPorts: Readonly<Record<string, number>> = { "http:": 80, "https:": 443, "ws:": 80, "wss:": 443 }

/**
 * Runs work inside of a span that says which status it came to, and that has failed where the status says so, though the work
 * itself gave its response all the same (OpenTelemetry HTTP Spans §Status).
 */
const exchange = <A, E, R>(
  work: Effect.Effect<A, E, R>,
  statusOf: (exit: Exit.Exit<A, E>) => number | undefined,
  failsFrom: number,
  within: (effect: Effect.Effect<unknown, unknown, R>) => Effect.Effect<unknown, unknown, Exclude<R, Tracer.ParentSpan>>
): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
  Exchange.within(
    work,
    (exit) => {
      const status = statusOf(exit)
      if (status === undefined) return exit
      // Effect says so of a caller who went away: nobody sees it.
      if (Exit.isFailure(exit) && status === callerGone && failsFrom > callerGone) return Effect.interrupt
      const failed = Exit.isFailure(exit) ? exit : Exit.fail(new StatusError(status))
      const ended: Exit.Exit<unknown, unknown> = status < failsFrom ? Exit.void : failed
      return Effect.andThen(Effect.annotateCurrentSpan(Key.httpStatus, status), ended)
    },
    within
  )

/**
 * What is answered where the caller has gone before there was an answer.
 *
 * @since 0.1.0
 */
export const callerGone = 499

/** A status that stands for an error; its type on the span is the status (OpenTelemetry HTTP Spans, `error.type`). */
class StatusError {
  readonly _tag: string
  readonly message: string

  constructor(status: number) {
    this._tag = String(status)
    this.message = `Status ${status}`
  }
}
