/**
 * How trace context and baggage cross a boundary: the contract between a format and a carrier, the W3C formats, and the
 * two Effects that a boundary needs. The formats' grammar is `TraceContext`'s.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import * as B3 from "./B3.ts"
import { Key } from "./Conventions.ts"
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
 * What a carrier brought.
 *
 * @since 0.1.0
 */
export interface Extracted extends Partial<Propagated> {
  /** Fields that were there, and could not be read or not as a whole: where a trace begins anew, they tell why. */
  readonly unreadable?: ReadonlyArray<string>
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
  readonly extract: (get: (name: string) => ReadonlyArray<string>) => Extracted
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
    if (header === undefined) return {}
    const context = others.length > 0 ? undefined : TraceContext.parseTraceparent(header)
    if (context === undefined) return { unreadable: ["traceparent"] }
    const given = get("tracestate")
    const traceState = TraceContext.parseTraceState(given)
    const isWhole = membersOf([traceState]) === membersOf(given)
    return { context: { ...context, traceState }, ...(!isWhole && { unreadable: ["tracestate"] }) }
  }
}

/** How many members a list of W3C's has that came in some headers, readable or not. */
const membersOf = (headers: ReadonlyArray<string>): number =>
  headers.length === 0
    ? 0
    : headers
        .join(",")
        .split(",")
        .filter((member) => member.trim() !== "").length

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
    const given = get("baggage")
    const baggage = TraceContext.parseBaggage(given)
    return {
      ...(baggage.size > 0 && { baggage }),
      ...(membersOf(given) !== baggage.size && { unreadable: ["baggage"] })
    }
  }
}

const withB3 = (format: typeof B3.formatOne): Propagator => ({
  // Those of both forms: a forwarded request must not claim its sender's span in the other one.
  fields: B3.fields,
  inject: ({ context }, set) => {
    if (context === undefined) return
    if (!TraceContext.isTraceId(context.traceId) || !TraceContext.isSpanId(context.spanId)) return
    for (const [name, value] of format(context)) set(name, value)
  },
  extract: (get) => {
    const context = B3.parse(get)
    if (context !== undefined) return { context }
    const unreadable = B3.naming(get)
    return unreadable.length === 0 ? {} : { unreadable }
  }
})

/**
 * Zipkin's B3 in one header, `b3`. It has no room for a tracestate, nor for the random flag.
 *
 * **Details**: reads both forms. Trace ids of 16 digits get zeros on their left, as OpenTelemetry has it. A trace that the
 * sender debugs stays one; where it leaves the decision to us, the trace is taken.
 *
 * @since 0.1.0
 */
export const b3: Propagator = withB3(B3.formatOne)

/**
 * Zipkin's B3 in headers of their own, `x-b3-traceid` and so on. Reads both forms, like `b3`.
 *
 * @since 0.1.0
 */
export const b3multi: Propagator = withB3(B3.formatMany)

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
    propagators.reduce<Extracted>((found, propagator) => {
      const { baggage = found.baggage, context: other, unreadable: more = [] } = propagator.extract(get)
      const context = found.context && other ? merge(found.context, other) : (other ?? found.context)
      const unreadable = [...(found.unreadable ?? []), ...more]
      return { ...(context && { context }), ...(baggage && { baggage }), ...(unreadable.length > 0 && { unreadable }) }
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
 * What the running fiber has to propagate; one that began in a call of plain code that is traced, and has no span yet, has what
 * that call has.
 *
 * **Details**: spans that are off (their ids are not valid) or keep to themselves are passed over for the span above
 * them, so switching tracing off in the middle does not tear a trace in two. Never fails.
 *
 * @since 0.1.0
 */
export const current: Effect.Effect<Propagated> = Effect.withFiber((fiber) => {
  const call = fiber.cache.span === undefined ? caller() : undefined
  const own = Context.getOrUndefined(fiber.context, TraceContext.CurrentBaggage)
  return Effect.succeed({
    context: nearestContext(fiber.cache.span ?? call?.opened()),
    baggage: own ?? Context.get(call?.context ?? fiber.context, TraceContext.CurrentBaggage)
  })
})

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
  { baggage = new Map() }: Extracted,
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
 * The metric that counts the fields of callers which could not be read, or not as a whole, by `handspan.propagation.field`.
 *
 * @since 0.1.0
 */
export const unreadableMetric = "handspan.propagation.unreadable"

const counters = new Map<string, Metric.Counter<number>>()

const unreadableFields = (field: string): Metric.Counter<number> => {
  const attributes = { [Key.propagationField]: field }
  const known = counters.get(field) ?? Metric.counter(unreadableMetric, { attributes, incremental: true })
  counters.set(field, known)
  return known
}

/**
 * Runs an effect as a span over work that somebody else asked for: a request, a message. The span goes on with the trace that
 * the carrier brought, as far as `CurrentTrust` allows, and otherwise begins one; it is never a child of what happens to run
 * around it. Every boundary of Handspan takes in its work by this. Never fails of itself.
 *
 * **Details**: of fields that cannot be read, the span tells in `handspan.propagation.unreadable`, and `unreadableMetric` counts
 * them: where a trace begins that should have gone on, that is why.
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
  const extracted = extract(carrier)
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
    Effect.flatMap(extracted, (sent) => receiveFrom(sent, options)(effect))
}

/**
 * Gives what a carrier brought, for boundaries that have more to decide than `receive` does. The carrier is read once, here and
 * now. Never fails.
 *
 * @since 0.1.0
 */
export const extract = (carrier: Carrier): Effect.Effect<Partial<Propagated>> => {
  const get = valuesOf(carrier)
  return Effect.map(CurrentPropagator, (propagator) => propagator.extract(get))
}

/**
 * `receive` for boundaries with a format of their own, which have read what the caller sent.
 *
 * @since 0.1.0
 */
export const receiveFrom =
  (sent: Extracted, { attributes, kind, links = [], name }: ReceiveOptions) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
    Effect.flatMap(Effect.all([CurrentTrust, Effect.context()]), ([trust, services]) => {
      const unreadable = trust === "ignore" ? [] : (sent.unreadable ?? [])
      for (const field of unreadable) unreadableFields(field).updateUnsafe(1, services)
      const caller = sent.context && trust !== "ignore" ? TraceContext.toExternalSpan(sent.context) : undefined
      const follows = trust === "follow"
      const span = Effect.withSpan(effect, name, {
        kind,
        captureStackTrace: false,
        attributes: { ...attributes, ...(unreadable.length > 0 && { [Key.unreadable]: unreadable }) },
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
