/**
 * Formats of trace context and baggage: the contract between one and a carrier, W3C's, and B3. What of them crosses when is
 * `Propagator`'s, which shows them all; their grammar is `TraceContext`'s and `B3`'s.
 *
 * @since 0.1.0
 */
import * as B3 from "./B3.ts"
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
 * Stands for a value that is no text: no format can read it.
 *
 * @since 0.1.0
 */
export const unreadableValue = "?"

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
