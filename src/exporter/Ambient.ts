/**
 * The tracer for programs where OpenTelemetry is already set up: Deno's own, Sentry's, a Node SDK. Spans are that
 * provider's, which makes their ids, samples and exports them; nothing of ours is recorded.
 *
 * @since 0.1.0
 */
import * as Api from "@opentelemetry/api"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import { withCaller } from "../ForeignCall.ts"
import * as SpanEnd from "../SpanEnd.ts"
import * as SpanRecord from "../SpanRecord.ts"
import * as TraceContext from "../TraceContext.ts"
import * as OpenTelemetry from "./OpenTelemetry.ts"

/**
 * The tracer that joins the globally registered OpenTelemetry provider.
 *
 * **Details**: a span without a parent of its own becomes a child of OpenTelemetry's active span, unless it asks to be
 * a root. Spans end by the same rules as the Recorder's. What Effect holds unsampled, such as spans below the minimum
 * trace level, is not given to the provider, but has real ids, so its context goes on. The active span of
 * OpenTelemetry does not follow Effect's, unless `context` of `Tracing.layerAmbientWith` says so.
 * A provider may be registered later than this tracer; while there is none, spans have no valid ids. Never fails.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as Ambient from "handspan/exporter/Ambient"
 *
 * const program = Effect.withSpan(Effect.succeed("done"), "pipeline.photo_agency")
 * const result = Effect.runSync(Effect.flatMap(Ambient.tracer, (tracer) => Effect.withTracer(program, tracer)))
 * if (result !== "done") throw new Error("expected the program's result")
 * ```
 *
 * @since 0.1.0
 */
export const tracer: Effect.Effect<Tracer.Tracer> = Effect.sync(() => {
  const byDefault = Api.trace.getTracer(SpanRecord.defaultScope.name)
  return Tracer.make({
    span: (asked) => {
      const options = withCaller(asked)
      const scope = Context.get(options.annotations, SpanRecord.Scope)
      const provider = scope === SpanRecord.defaultScope ? byDefault : Api.trace.getTracer(scope.name, scope.version)
      return new AmbientSpan(provider, options)
    }
  })
})

type SpanOptions = Parameters<Tracer.Tracer["span"]>[0]

/** `flags` and `traceState` are W3C's, for whoever carries the context elsewhere. */
class AmbientSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly kind: Tracer.SpanKind
  readonly annotations: Context.Context<never>
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly traceId: string
  readonly spanId: string
  readonly sampled: boolean
  readonly flags: number
  readonly traceState: string
  readonly attributes = new Map<string, unknown>()
  readonly links: Array<Tracer.SpanLink>
  readonly span: Api.Span
  status: Tracer.SpanStatus

  private ownName: string

  constructor(provider: Api.Tracer, options: SpanOptions) {
    this.ownName = options.name
    this.kind = options.kind
    this.annotations = options.annotations
    this.links = options.links
    this.status = { _tag: "Started", startTime: options.startTime }
    const context = parentContext(options)
    this.parent = Option.isSome(options.parent) ? options.parent : activeParent(context)
    this.span = options.sampled
      ? provider.startSpan(
          options.name,
          {
            kind: OpenTelemetry.spanKinds[options.kind],
            startTime: OpenTelemetry.toHrTime(options.startTime),
            links: toLinks(options.links)
          },
          context
        )
      : unsampledSpan(context)
    const { spanId, traceFlags, traceId, traceState } = this.span.spanContext()
    this.traceId = traceId
    this.spanId = spanId
    this.flags = traceFlags
    this.sampled = (traceFlags & TraceContext.flagSampled) !== 0
    this.traceState = traceState?.serialize() ?? ""
  }

  get name(): string {
    return this.ownName
  }

  /** What completes a span, such as `Sql.layer`, names it as it does any other: by its field. */
  set name(name: string) {
    this.ownName = name
    this.span.updateName(name)
  }

  attribute(key: string, value: unknown): void {
    const plain = SpanRecord.toAttributeValue(value)
    if (this.status._tag === "Ended" || plain === undefined) return
    this.attributes.set(key, plain)
    this.span.setAttributes(toAttributes({ [key]: plain }))
  }

  event(name: string, startTime: bigint, attributes: Record<string, unknown> = {}): void {
    if (this.status._tag === "Ended") return
    this.span.addEvent(name, toAttributes(attributes), OpenTelemetry.toHrTime(startTime))
  }

  addLinks(links: ReadonlyArray<Tracer.SpanLink>): void {
    if (this.status._tag === "Ended") return
    this.links.push(...links)
    this.span.addLinks(toLinks(links))
  }

  end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    if (this.status._tag === "Ended") return
    const { attributes, events, status } = SpanEnd.fromExit(exit)
    for (const [key, value] of Object.entries(attributes)) this.attribute(key, value)
    for (const event of events) this.event(event.name, endTime, event.attributes)
    if (status.code === "ok") this.span.setStatus({ code: Api.SpanStatusCode.OK })
    if (status.code === "error") this.span.setStatus({ code: Api.SpanStatusCode.ERROR, message: status.message })
    // The Exit holds the program's own values; a span that somebody keeps must not keep those.
    const { startTime } = this.status
    this.status = { _tag: "Ended", startTime, endTime, exit: Exit.isSuccess(exit) ? Exit.void : Exit.fail(status) }
    this.span.end(OpenTelemetry.toHrTime(endTime))
  }
}

const parentContext = ({ parent, root }: SpanOptions): Api.Context => {
  const active = Api.context.active()
  if (Option.isNone(parent)) return root ? Api.trace.deleteSpan(active) : active
  return withSpan(parent.value, active)
}

const withSpan = (span: Tracer.AnySpan, active: Api.Context): Api.Context => {
  // The span itself, not its context: some providers, Sentry's for one, keep the tree in the span objects.
  if (span instanceof AmbientSpan) return Api.trace.setSpan(active, span.span)
  const context = TraceContext.fromSpan(span)
  // A parent whose ids mean nothing is none.
  if (context === undefined) return active
  const isRemote = span._tag === "ExternalSpan"
  return Api.trace.setSpanContext(active, OpenTelemetry.toSpanContext(context, isRemote))
}

/**
 * Gives OpenTelemetry's context with a span, of whichever tracer, as its active one, and with the baggage.
 *
 * @since 0.1.0
 */
export const contextWith = (span: Tracer.AnySpan, baggage: TraceContext.Baggage, active: Api.Context): Api.Context => {
  const within = withSpan(span, active)
  if (baggage.size > 0) {
    const told = toBaggage(baggage)
    return Api.propagation.setBaggage(within, told).setValue(ours, told)
  }
  // That of another span, where this one was begun; what somebody else has set is theirs.
  const found = Api.propagation.getBaggage(within)
  return found !== undefined && found === within.getValue(ours) ? Api.propagation.deleteBaggage(within) : within
}

/** The baggage that was put in a context here. */
const ours = Api.createContextKey("handspan/baggage")

const toBaggage = (baggage: TraceContext.Baggage): Api.Baggage =>
  Api.propagation.createBaggage(
    Object.fromEntries(
      Array.from(baggage, ([name, { metadata, value }]) => [
        name,
        { value, ...(metadata !== "" && { metadata: Api.baggageEntryMetadataFromString(metadata) }) }
      ])
    )
  )

const activeParent = (context: Api.Context): Option.Option<Tracer.AnySpan> => {
  const active = Api.trace.getSpanContext(context)
  if (active === undefined || !Api.isSpanContextValid(active)) return Option.none()
  const traceState = active.traceState?.serialize() ?? ""
  return Option.some(TraceContext.toExternalSpan({ ...active, flags: active.traceFlags, traceState }))
}

// The last 16 digits of a random UUID hold enough random bits for a span id, and never are all zero.
const unsampledSpan = (context: Api.Context): Api.Span => {
  const parent = Api.trace.getSpanContext(context)
  const random = crypto.randomUUID().replaceAll("-", "")
  return Api.trace.wrapSpanContext({
    traceId: crypto.randomUUID().replaceAll("-", ""),
    ...(parent !== undefined && Api.isSpanContextValid(parent) ? parent : {}),
    spanId: random.slice(16),
    isRemote: false,
    traceFlags: Api.TraceFlags.NONE
  })
}

const toAttributes = (attributes: Readonly<Record<string, unknown>>): Api.Attributes =>
  OpenTelemetry.toAttributes(
    Object.fromEntries(
      SpanRecord.entries(attributes).flatMap(([key, value]) => {
        const plain = SpanRecord.toAttributeValue(value)
        return plain === undefined ? [] : [[key, plain]]
      })
    )
  )

const toLinks = (links: ReadonlyArray<Tracer.SpanLink>): Array<Api.Link> =>
  links.flatMap(({ attributes, span }) => {
    const context = TraceContext.fromSpan(span)
    const isRemote = span._tag === "ExternalSpan"
    return context === undefined
      ? []
      : [{ context: OpenTelemetry.toSpanContext(context, isRemote), attributes: toAttributes(attributes) }]
  })
