/**
 * Spans that stand for nothing of their own: the one around them goes on.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import * as TraceContext from "./TraceContext.ts"

const noAttributes: ReadonlyMap<string, unknown> = new Map()
const noLinks: ReadonlyArray<Tracer.SpanLink> = []

/** Outside of spans there is nothing to go by: these ids count as none (W3C Trace Context §3.2.2.3). */
const none: TraceContext.TraceContext = { traceId: "0".repeat(32), spanId: "0".repeat(16), flags: 0, traceState: "" }

/**
 * A span that nobody records. It goes by the ids of the span around it, so that whoever is called hangs its spans under that one.
 *
 * @since 0.1.0
 */
export class PassedSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly flags: number
  readonly traceState: string
  readonly sampled: boolean
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly annotations: Context.Context<never>
  readonly kind: Tracer.SpanKind
  readonly links = noLinks
  readonly attributes: ReadonlyMap<string, unknown> = noAttributes
  status: Tracer.SpanStatus

  constructor(options: Parameters<Tracer.Tracer["span"]>[0], around = contextOf(options.parent)) {
    const { flags, spanId, traceId, traceState } = around ?? none
    this.name = options.name
    this.traceId = traceId
    this.spanId = spanId
    this.flags = flags
    this.traceState = traceState
    this.sampled = around === undefined ? options.sampled : (flags & TraceContext.flagSampled) !== 0
    this.parent = options.parent
    this.annotations = options.annotations
    this.kind = options.kind
    this.status = { _tag: "Started", startTime: options.startTime }
  }

  attribute(_key: string, _value: unknown): void {}
  event(): void {}
  addLinks(): void {}

  end(endTime: bigint): void {
    if (this.status._tag === "Ended") return
    this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit: Exit.void }
  }
}

const contextOf = (parent: Option.Option<Tracer.AnySpan>): TraceContext.TraceContext | undefined =>
  Option.isNone(parent) ? undefined : TraceContext.fromSpan(parent.value)
