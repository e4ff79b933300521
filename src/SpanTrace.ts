/**
 * What the spans of one trace share, and how a new span finds it: at its parent, ours or not, or by beginning a trace.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import { traceWords, type TraceWords } from "./EncodableSpan.ts"
import * as Hex from "./Hex.ts"
import type { IdWords, SpanWords } from "./SpanIds.ts"
import * as TraceContext from "./TraceContext.ts"

/**
 * What `Tracer.span` is given.
 *
 * @since 0.1.0
 */
export type SpanOptions = Parameters<Tracer.Tracer["span"]>[0]

/**
 * What the spans of one trace share.
 *
 * @since 0.1.0
 */
export class Trace implements TraceWords {
  readonly word0: number
  readonly word1: number
  readonly word2: number
  readonly word3: number
  /** Those of all its spans. A trace begun here has a random id; one begun elsewhere keeps what its maker said. */
  readonly flags: number
  readonly traceState: string
  private text: string | undefined

  constructor(words: TraceWords, flags: number, traceState: string, text: string | undefined) {
    this.word0 = words.word0
    this.word1 = words.word1
    this.word2 = words.word2
    this.word3 = words.word3
    this.flags = flags
    this.traceState = traceState
    this.text = text
  }

  get id(): string {
    return (this.text ??=
      Hex.ofWord(this.word0) + Hex.ofWord(this.word1) + Hex.ofWord(this.word2) + Hex.ofWord(this.word3))
  }
}

/**
 * Begins a trace.
 *
 * @since 0.1.0
 */
export const begin = (ids: IdWords, name: string): Trace =>
  new Trace(ids.trace(name), TraceContext.flagRandom, "", undefined)

/**
 * What a new span needs of its parent.
 *
 * @since 0.1.0
 */
export interface Parent extends SpanWords {
  readonly trace: Trace
}

/**
 * The parent of a new span, as far as it has ids that mean something: Effect's, while its tracing is off, have none.
 *
 * @since 0.1.0
 */
export const parentOf = (parent: Option.Option<Tracer.AnySpan>): Parent | undefined => {
  if (Option.isNone(parent)) return undefined
  const span: Tracer.AnySpan & Partial<Parent> = parent.value
  if (span.trace instanceof Trace) return span as Tracer.AnySpan & Parent
  const context = TraceContext.fromSpan(span)
  if (context === undefined) return undefined
  const { flags, spanId, traceId, traceState } = context
  return {
    trace: new Trace(traceWords(traceId), TraceContext.traceFlags(flags), traceState, traceId),
    id0: Hex.toWord(spanId, 0),
    id1: Hex.toWord(spanId, 1)
  }
}
