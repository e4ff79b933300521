/**
 * How trace context and baggage cross a boundary: the contract between a format and a carrier, the W3C formats, and the
 * two Effects that a boundary needs. The formats' grammar is `TraceContext`'s.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import { caller } from "./ForeignCall.ts"
import * as TraceContext from "./TraceContext.ts"

/**
 * What crosses a boundary.
 *
 * @since 0.1.0
 */
export interface Propagated {
  /** The span that is to be the parent on the other side, `undefined` where none is running. */
  readonly context: TraceContext.TraceContext | undefined
  readonly baggage: TraceContext.Baggage
}

/**
 * A format of trace context, baggage or both.
 *
 * **Rules**: names are compared without regard to case. `inject` sets no field for what is not there or not valid.
 * `extract` leaves out what it does not find or cannot read. Neither ever throws.
 *
 * @since 0.1.0
 */
export interface Propagator {
  /** The names it may set, in lower case. */
  readonly fields: ReadonlyArray<string>
  readonly inject: (propagated: Propagated, set: (name: string, value: string) => void) => void
  /** `get` gives each value that the carrier has under a name, in their order. */
  readonly extract: (get: (name: string) => ReadonlyArray<string>) => Partial<Propagated>
}

/**
 * What bears headers: a plain record, or pairs as a Map, a Fetch `Headers` or an array has them.
 *
 * @since 0.1.0
 */
export type Carrier =
  | Iterable<readonly [name: string, value: string | ReadonlyArray<string> | undefined]>
  | { readonly [name: string]: string | ReadonlyArray<string> | undefined }

/**
 * W3C Trace Context: `traceparent` and `tracestate`.
 *
 * **Details**: an invalid or repeated `traceparent` counts as none, and then `tracestate` is not read (§4.3).
 *
 * @since 0.1.0
 */
export const traceContext: Propagator = {
  fields: ["traceparent", "tracestate"],
  inject: ({ context }, set) => {
    if (context === undefined) return
    if (!TraceContext.isTraceId(context.traceId) || !TraceContext.isSpanId(context.spanId)) return
    set("traceparent", TraceContext.formatTraceparent(context))
    const traceState = TraceContext.parseTraceState(context.traceState)
    if (traceState !== "") set("tracestate", traceState)
  },
  extract: (get) => {
    const [header, ...others] = get("traceparent")
    const context = header === undefined || others.length > 0 ? undefined : TraceContext.parseTraceparent(header)
    if (context === undefined) return {}
    return { context: { ...context, traceState: TraceContext.parseTraceState(get("tracestate")) } }
  }
}

/**
 * W3C Baggage: `baggage`.
 *
 * @since 0.1.0
 */
export const baggage: Propagator = {
  fields: ["baggage"],
  inject: ({ baggage }, set) => {
    const header = TraceContext.formatBaggage(baggage)
    if (header !== "") set("baggage", header)
  },
  extract: (get) => {
    const baggage = TraceContext.parseBaggage(get("baggage"))
    return baggage.size === 0 ? {} : { baggage }
  }
}

const b3Multi = ["x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags", "x-b3-parentspanid"] as const

/** Reads either form, the one header first (OpenTelemetry Context API §B3 Extract). */
const extractB3: Propagator["extract"] = (get) => {
  const one = (name: string): string | undefined => {
    const [value, ...others] = get(name)
    return others.length === 0 ? value?.trim() : undefined
  }
  const [traceId, spanId, sampled] = one("b3")?.split("-") ?? []
  const context = b3Context(traceId, spanId, sampled)
  if (context !== undefined) return { context }
  const [traceIdName, spanIdName, sampledName, flagsName] = b3Multi
  const apart = b3Context(one(traceIdName), one(spanIdName), one(flagsName) === "1" ? "d" : one(sampledName))
  return apart === undefined ? {} : { context: apart }
}

const b3Context = (
  traceId = "",
  spanId = "",
  // Left to us, which is to take it: samplers see that its parent is sampled.
  sampled = "1"
): TraceContext.TraceContext | undefined => {
  const ids = {
    traceId: traceId.toLowerCase().padStart(traceId.length === 16 ? 32 : 0, "0"),
    spanId: spanId.toLowerCase()
  }
  if (!TraceContext.isTraceId(ids.traceId) || !TraceContext.isSpanId(ids.spanId)) return undefined
  const flags =
    sampled === "d"
      ? TraceContext.flagSampled | TraceContext.flagDebug
      : /^(1|true)$/i.test(sampled)
        ? TraceContext.flagSampled
        : 0
  return { ...ids, flags, traceState: "" }
}

const withB3 = (
  inject: (
    context: TraceContext.TraceContext,
    sampled: "d" | "1" | "0",
    set: (name: string, value: string) => void
  ) => void
): Propagator => ({
  // Those of both forms: a forwarded request must not claim its sender's span in the other one.
  fields: ["b3", ...b3Multi],
  inject: ({ context }, set) => {
    if (context === undefined) return
    if (!TraceContext.isTraceId(context.traceId) || !TraceContext.isSpanId(context.spanId)) return
    const { flags } = context
    inject(context, flags & TraceContext.flagDebug ? "d" : flags & TraceContext.flagSampled ? "1" : "0", set)
  },
  extract: extractB3
})

/**
 * Zipkin's B3 in one header, `b3`. It has no room for a tracestate, nor for the random flag.
 *
 * **Details**: reads both forms. Trace ids of 16 digits get zeros on their left, as OpenTelemetry has it. A trace that the
 * sender debugs stays one; where it leaves the decision to us, the trace is taken.
 *
 * @since 0.1.0
 */
export const b3: Propagator = withB3(({ spanId, traceId }, sampled, set) =>
  set("b3", `${traceId}-${spanId}-${sampled}`)
)

/**
 * Zipkin's B3 in headers of their own, `x-b3-traceid` and so on. Reads both forms, like `b3`.
 *
 * @since 0.1.0
 */
export const b3multi: Propagator = withB3(({ spanId, traceId }, sampled, set) => {
  set("x-b3-traceid", traceId)
  set("x-b3-spanid", spanId)
  if (sampled === "d") set("x-b3-flags", "1")
  else set("x-b3-sampled", sampled)
})

/**
 * Makes one propagator of several, which injects with each and extracts with each, in their order.
 *
 * **Details**: what a later one finds counts, what it does not find leaves an earlier one's find alone. Where both name the
 * same span, as senders of several formats do, what only one of them knows of it stays.
 *
 * @since 0.1.0
 */
export const composite = (...propagators: ReadonlyArray<Propagator>): Propagator => ({
  fields: [...new Set(propagators.flatMap((propagator) => propagator.fields))],
  inject: (propagated, set) => propagators.forEach((propagator) => propagator.inject(propagated, set)),
  extract: (get) =>
    propagators.reduce<Partial<Propagated>>((found, propagator) => {
      const { baggage = found.baggage, context: other } = propagator.extract(get)
      const context = found.context && other ? merge(found.context, other) : (other ?? found.context)
      return { ...(context && { context }), ...(baggage && { baggage }) }
    }, {})
})

const merge = (one: TraceContext.TraceContext, other: TraceContext.TraceContext): TraceContext.TraceContext =>
  one.traceId === other.traceId && one.spanId === other.spanId
    ? {
        ...other,
        flags: other.flags | TraceContext.traceFlags(one.flags),
        traceState: other.traceState === "" ? one.traceState : other.traceState
      }
    : other

/**
 * W3C Trace Context and W3C Baggage.
 *
 * @since 0.1.0
 */
export const w3c: Propagator = composite(traceContext, baggage)

/**
 * The propagator that boundaries use, `w3c` unless the program provides another.
 *
 * @since 0.1.0
 */
export const CurrentPropagator: Context.Reference<Propagator> = Context.Reference(
  "handspan/Propagator/CurrentPropagator",
  { defaultValue: () => w3c }
)

/**
 * What the running fiber has to propagate; one that began in a call of plain code that is traced, and has no span yet, has the
 * span of that call.
 *
 * **Details**: spans that are off (their ids are not valid) or keep to themselves are passed over for the span above
 * them, so switching tracing off in the middle does not tear a trace in two. Never fails.
 *
 * @since 0.1.0
 */
export const current: Effect.Effect<Propagated> = Effect.withFiber((fiber) =>
  Effect.succeed({
    context: nearestContext(fiber.cache.span ?? caller()?.opened()),
    baggage: fiber.getRef(TraceContext.CurrentBaggage)
  })
)

const nearestContext = (span: Tracer.AnySpan | undefined): TraceContext.TraceContext | undefined => {
  for (
    let next = span;
    next !== undefined;
    next = next._tag === "Span" ? Option.getOrUndefined(next.parent) : undefined
  ) {
    const context = Context.get(next.annotations, Tracer.DisablePropagation) ? undefined : TraceContext.fromSpan(next)
    if (context !== undefined) return context
  }
}

/**
 * Gives the headers that tell the other side of a boundary about the running span and the baggage, added to those of a
 * carrier, which stays as it is.
 *
 * **Details**: header fields of the propagator that the carrier has already are left out, in any case, so that a
 * forwarded request never claims its sender's span. Never fails.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Propagator, TraceContext } from "handspan"
 *
 * const headers = Effect.runSync(Effect.withSpan(Propagator.inject({ accept: "text/plain" }), "handoff"))
 * if (!TraceContext.parseTraceparent(headers["traceparent"] ?? "")) throw new Error("expected a traceparent")
 * if (headers["accept"] !== "text/plain") throw new Error("expected the carrier's own headers")
 * ```
 *
 * @since 0.1.0
 */
export const inject = (carrier: { readonly [name: string]: string } = {}): Effect.Effect<Record<string, string>> =>
  Effect.map(Effect.all([CurrentPropagator, current]), ([propagator, propagated]) => {
    const own = Object.entries(carrier).filter(([name]) => !propagator.fields.includes(name.toLowerCase()))
    const headers = new Map(own)
    propagator.inject(propagated, (name, value) => headers.set(name, value))
    return Object.fromEntries(headers)
  })

/**
 * Runs an effect as the continuation of what a carrier brought: its spans are children of the remote span, and the
 * baggage is the carrier's.
 *
 * **Details**: without a valid parent in the carrier the effect keeps the parent that it has, and likewise its baggage.
 * The carrier is read once, here and now, so pairs that come once (`map.entries()`) do. Never fails of itself.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Propagator } from "handspan"
 *
 * const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
 * const program = Effect.withSpan(Effect.currentSpan, "handoff").pipe(Propagator.withRemoteParent({ traceparent }))
 * if (Effect.runSync(program).traceId !== "0af7651916cd43dd8448eb211c80319c") throw new Error("expected its trace")
 * ```
 *
 * @since 0.1.0
 */
export const withRemoteParent = (carrier: Carrier) => {
  const get = valuesOf(carrier)
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(CurrentPropagator, (propagator) => {
      const { baggage, context } = propagator.extract(get)
      const continued =
        baggage === undefined ? effect : Effect.provideService(effect, TraceContext.CurrentBaggage, baggage)
      return context === undefined
        ? continued
        : Effect.provideService(continued, Tracer.ParentSpan, TraceContext.toExternalSpan(context))
    })
}

/**
 * Runs an effect with the baggage of a carrier, where `CurrentTrust` allows it: for boundaries that take the span over by
 * themselves.
 *
 * @since 0.1.0
 */
export const withBaggage = (carrier: Carrier) => {
  const get = valuesOf(carrier)
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Effect.all([CurrentPropagator, CurrentTrust]), ([propagator, trust]) =>
      withBaggageOf(propagator.extract(get), trust, effect)
    )
}

/** A caller who is not followed says nothing that is handed on either. */
const withBaggageOf = <A, E, R>(
  { baggage = new Map() }: Partial<Propagated>,
  trust: TraceContext.Trust,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.provideService(effect, TraceContext.CurrentBaggage, trust === "follow" ? baggage : new Map())

/**
 * How far `receive` trusts callers. Default: `follow`. Where anybody may call, `link`: a caller that is followed says which
 * trace a request is in, and, under a sampler that asks parents, whether it is recorded.
 *
 * @since 0.1.0
 */
export const CurrentTrust: Context.Reference<TraceContext.Trust> = Context.Reference<TraceContext.Trust>(
  "handspan/Propagator/CurrentTrust",
  {
    defaultValue: () => "follow"
  }
)

/**
 * The span over work that somebody else asked for.
 *
 * @since 0.1.0
 */
export interface ReceiveOptions {
  readonly name: string
  readonly kind: "server" | "consumer"
  readonly attributes?: Readonly<Record<string, unknown>> | undefined
  /** Spans that it has to do with besides, such as that of a first attempt. */
  readonly links?: ReadonlyArray<Tracer.SpanLink> | undefined
}

/**
 * Runs an effect as a span over work that somebody else asked for: a request, a message. The span goes on with the trace that
 * the carrier brought, as far as `CurrentTrust` allows, and otherwise begins one; it is never a child of what happens to run
 * around it. Every boundary of Handspan takes in its work by this. Never fails of itself.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Propagator } from "handspan"
 *
 * const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
 * const handle = Effect.map(Effect.currentSpan, ({ traceId }) => traceId)
 * const served = handle.pipe(Propagator.receive({ traceparent }, { name: "GET /photos", kind: "server" }))
 * if (Effect.runSync(served) !== "0af7651916cd43dd8448eb211c80319c") throw new Error("expected the caller's trace")
 * const careful = Effect.provideService(served, Propagator.CurrentTrust, "link")
 * if (Effect.runSync(careful) === "0af7651916cd43dd8448eb211c80319c") throw new Error("expected a trace of our own")
 * ```
 *
 * @since 0.1.0
 */
export const receive = (carrier: Carrier, options: ReceiveOptions) => {
  const get = valuesOf(carrier)
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
    Effect.flatMap(CurrentPropagator, (propagator) => receiveFrom(propagator.extract(get), options)(effect))
}

/**
 * `receive` for boundaries with a format of their own, which have read what the caller sent.
 *
 * @since 0.1.0
 */
export const receiveFrom =
  (sent: Partial<Propagated>, { attributes, kind, links = [], name }: ReceiveOptions) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
    Effect.flatMap(CurrentTrust, (trust) => {
      const caller = sent.context && trust !== "ignore" ? TraceContext.toExternalSpan(sent.context) : undefined
      const follows = trust === "follow"
      const span = Effect.withSpan(effect, name, {
        kind,
        captureStackTrace: false,
        ...(attributes && { attributes: { ...attributes } }),
        ...(caller !== undefined && follows ? { parent: caller } : { root: true }),
        links: caller !== undefined && !follows ? [{ span: caller, attributes: {} }, ...links] : links
      })
      return withBaggageOf(sent, trust, span)
    })

const valuesOf = (carrier: Carrier): ((name: string) => ReadonlyArray<string>) => {
  // Carriers come from outside: a message's header may be anything, whatever its type says.
  const pairs = Map.groupBy(Symbol.iterator in carrier ? carrier : Object.entries(carrier), ([name]) =>
    typeof name === "string" ? name.toLowerCase() : undefined
  )
  return (name) =>
    (pairs.get(name.toLowerCase()) ?? []).flatMap(([, value]) => value).filter((value) => typeof value === "string")
}
