/**
 * The tracer under which a workflow engine works: its spans, which stand for nothing that a program does, are left out.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import { tracerView } from "./TracerView.ts"

const noAttributes: ReadonlyMap<string, unknown> = new Map()
const noLinks: ReadonlyArray<Tracer.SpanLink> = []

/**
 * A span that is left out. It goes by the ids of the span around it, so that whoever is called hangs its spans under that one.
 *
 * @since 0.1.0
 */
export class QuietSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly sampled: boolean
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly annotations: Context.Context<never>
  readonly kind: Tracer.SpanKind
  readonly links = noLinks
  readonly attributes: ReadonlyMap<string, unknown> = noAttributes
  readonly status: Tracer.SpanStatus

  constructor(options: Parameters<Tracer.Tracer["span"]>[0]) {
    const parent = Option.getOrUndefined(options.parent)
    this.name = options.name
    // Outside of spans there is nothing to go by: these ids count as none (W3C Trace Context §3.2.2.3).
    this.traceId = parent?.traceId ?? "0".repeat(32)
    this.spanId = parent?.spanId ?? "0".repeat(16)
    this.sampled = parent?.sampled ?? options.sampled
    this.parent = options.parent
    this.annotations = options.annotations
    this.kind = options.kind
    this.status = { _tag: "Started", startTime: options.startTime }
  }

  attribute(_key: string, _value: unknown): void {}
  event(): void {}
  addLinks(): void {}
  end(): void {}
}

/**
 * Makes a tracer whose spans are left out, always or whenever that is said.
 *
 * @since 0.1.0
 */
export const quiet = (tracer: Tracer.Tracer, isQuiet: () => boolean = () => true): Tracer.Tracer => {
  const loud = loudOf(tracer)
  const span: Tracer.Tracer["span"] = (options) => (isQuiet() ? new QuietSpan(options) : loud.span(options))
  return tracerView(loud, { span, loud })
}

/**
 * The tracer that records, where the one in place may be one that leaves out.
 *
 * @since 0.1.0
 */
export const loudOf = (tracer: Tracer.Tracer & { readonly loud?: Tracer.Tracer }): Tracer.Tracer =>
  tracer.loud ?? tracer
