/**
 * How trace context and baggage cross a boundary: what is told and in which format, who is trusted, and the Effects that a
 * boundary needs. The formats are `PropagationFormat`'s.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Tracer from "effect/Tracer"
import { Key } from "./Conventions.ts"
import { caller, serviceOf } from "./ForeignCall.ts"
import { type Extracted, type Propagated, type Propagator, unreadableValue, w3c } from "./PropagationFormat.ts"
import * as TraceContext from "./TraceContext.ts"

export {
  b3,
  b3multi,
  baggage,
  composite,
  type Extracted,
  type Propagated,
  type Propagator,
  traceContext,
  w3c
} from "./PropagationFormat.ts"

/**
 * What bears headers: a plain record, or pairs as a Map, a Fetch `Headers` or an array has them.
 *
 * @since 0.1.0
 */
export type Carrier =
  | Iterable<readonly [name: string, value: string | ReadonlyArray<string> | undefined]>
  | { readonly [name: string]: string | ReadonlyArray<string> | undefined }

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
export const current: Effect.Effect<Propagated> = Effect.withFiber((fiber) =>
  Effect.succeed({
    context: nearestContext(fiber.cache.span ?? caller()?.opened()),
    baggage: serviceOf(fiber, TraceContext.CurrentBaggage)
  })
)

/** The propagator of the running fiber, or of the call that it began in. */
const propagator: Effect.Effect<Propagator> = Effect.withFiber((fiber) =>
  Effect.succeed(serviceOf(fiber, CurrentPropagator))
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
  Effect.map(Effect.all([propagator, current]), ([propagator, propagated]) => {
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
  const extracted = extract(carrier)
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(extracted, (sent) => withRemoteParentFrom(sent)(effect))
}

/**
 * `withRemoteParent` for boundaries that have more to say of what the carrier brought.
 *
 * @since 0.1.0
 */
export const withRemoteParentFrom =
  ({ baggage, context }: Extracted) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
    const continued =
      baggage === undefined ? effect : Effect.provideService(effect, TraceContext.CurrentBaggage, baggage)
    return context === undefined
      ? continued
      : Effect.provideService(continued, Tracer.ParentSpan, TraceContext.toExternalSpan(context))
  }

/**
 * Runs an effect with the baggage of a carrier, where `CurrentTrust` allows it: for boundaries that take the span over by
 * themselves.
 *
 * @since 0.1.0
 */
export const withBaggage = (carrier: Carrier) => {
  const extracted = extract(carrier)
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Effect.all([extracted, CurrentTrust]), ([sent, trust]) => withBaggageOf(sent, trust, effect))
}

/** A caller who is not followed says nothing that is handed on either. Baggage of what bears the request is in place already. */
const withBaggageOf = <A, E, R>(
  sent: Extracted,
  trust: TraceContext.Trust,
  effect: Effect.Effect<A, E, R>,
  isBorne = false
): Effect.Effect<A, E, R> => {
  const baggage = trust === "follow" ? sent.baggage : undefined
  return baggage === undefined && isBorne
    ? effect
    : Effect.provideService(effect, TraceContext.CurrentBaggage, baggage ?? new Map())
}

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
  /**
   * The span of a request that bears this one, such as HTTP's, whose baggage is in place. It is linked to; where the caller tells
   * of no trace, or is not followed, it is the parent. Its baggage stays where the caller tells of none. Default: none.
   */
  readonly bearer?: Tracer.AnySpan | undefined
}

/**
 * The metric that counts the fields of callers which could not be read, or not as a whole, by `handspan.propagation.field`.
 *
 * @since 0.1.0
 */
export const unreadableMetric = "handspan.propagation.unreadable"

/**
 * Counts fields that could not be read, for boundaries that take in no work by `receive`.
 *
 * @since 0.1.0
 */
export const countUnreadable = (fields: ReadonlyArray<string>, context: Context.Context<never>): void => {
  for (const field of fields) unreadableFields(field).updateUnsafe(1, context)
}

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
export const extract = (carrier: Carrier): Effect.Effect<Extracted> => {
  const get = valuesOf(carrier)
  return Effect.map(CurrentPropagator, (propagator) => propagator.extract(get))
}

/**
 * `receive` for boundaries with a format of their own, which have read what the caller sent.
 *
 * @since 0.1.0
 */
export const receiveFrom =
  (sent: Extracted, options: ReceiveOptions) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
    Effect.flatMap(Effect.all([CurrentTrust, spanOptions(sent, options)]), ([trust, spanOptions]) =>
      withBaggageOf(sent, trust, Effect.withSpan(effect, options.name, spanOptions), options.bearer !== undefined)
    )

/**
 * Opens the span that `receiveFrom` runs an effect as, for boundaries where somebody else runs it and ends the span. The baggage is
 * `withBaggage`'s. Never fails.
 *
 * @since 0.1.0
 */
export const spanFrom = (sent: Extracted, options: ReceiveOptions): Effect.Effect<Tracer.Span> =>
  Effect.flatMap(spanOptions(sent, options), (spanOptions) => Effect.makeSpan(options.name, spanOptions))

const spanOptions = (
  sent: Extracted,
  { attributes, bearer, kind, links = [] }: ReceiveOptions
): Effect.Effect<Tracer.SpanOptions> =>
  Effect.withFiber(({ context }) => {
    const trust = Context.get(context, CurrentTrust)
    const unreadable = trust === "ignore" ? [] : (sent.unreadable ?? [])
    countUnreadable(unreadable, context)
    const caller = sent.context && trust !== "ignore" ? TraceContext.toExternalSpan(sent.context) : undefined
    const followed = trust === "follow" ? caller : undefined
    const parent = followed ?? bearer
    const other = followed === undefined ? caller : bearer
    return Effect.succeed({
      kind,
      captureStackTrace: false,
      attributes: { ...attributes, ...(unreadable.length > 0 && { [Key.unreadable]: unreadable }) },
      ...(parent === undefined ? { root: true } : { parent }),
      links: other === undefined ? links : [{ span: other, attributes: {} }, ...links]
    })
  })

const valuesOf = (carrier: Carrier): ((name: string) => ReadonlyArray<string>) => {
  // Carriers come from outside: a message's header may be anything, or not be there, and reading it may throw.
  const pairs = Result.getOrElse(
    Result.try(() => pairsOf(carrier)),
    (): Pairs => new Map()
  )
  return (name) => {
    const values = pairs.get(name.toLowerCase()) ?? []
    const texts = values.filter((value) => typeof value === "string")
    return texts.length === 0 && values.length > 0 ? [unreadableValue] : texts
  }
}

/** The values of a carrier by their names in lower case. */
type Pairs = ReadonlyMap<string, ReadonlyArray<unknown>>

const pairsOf = (carrier: Carrier): Pairs => {
  const given: Carrier = typeof carrier === "object" && carrier !== null ? carrier : []
  const entries = Symbol.iterator in given ? Array.from(given).filter(Array.isArray) : Object.entries(given)
  const pairs = new Map<string, Array<unknown>>()
  for (const [name, value] of entries) {
    if (typeof name !== "string") continue
    const values = pairs.get(name.toLowerCase()) ?? []
    pairs.set(name.toLowerCase(), values)
    if (Array.isArray(value)) values.push(...value)
    else if (value !== undefined && value !== null) values.push(value)
  }
  return pairs
}
