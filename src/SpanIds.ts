/**
 * Where the ids of spans come from, as words of 32 bits: text is made only of those that somebody asks for.
 *
 * @since 0.1.0
 */
import { traceWords, type TraceWords } from "./EncodableSpan.ts"
import * as Hex from "./Hex.ts"
import type { OwnIds } from "./OwnIds.ts"

/**
 * Where ids come from, for tests and for platforms with ids of their own.
 *
 * @since 0.1.0
 */
export interface Ids {
  /**
   * For the trace that a span of this name begins: 32 lower-case hex digits, not all zero, the right-most 14 random (W3C
   * Trace Context level 2, random flag).
   */
  readonly traceId: (name: string) => string
  /** 16 lower-case hex digits, not all zero. */
  readonly spanId: (span: NewSpan) => string
  /** Told of each span that brings an id of its own. Default: nobody is. */
  readonly onOwnId?: ((spanId: string) => void) | undefined
}

/**
 * A span that has no id yet.
 *
 * @since 0.1.0
 */
export interface NewSpan {
  readonly name: string
  readonly traceId: string
  readonly parentSpanId: string | undefined
}

/**
 * Ids as the Recorder takes them.
 *
 * @since 0.1.0
 */
export interface IdWords {
  readonly trace: (name: string) => TraceWords
  readonly span: (name: string, trace: { readonly id: string }, parent: SpanWords | undefined) => SpanWords
  readonly onOwnId?: Ids["onOwnId"]
}

/**
 * The id of a span as words.
 *
 * @since 0.1.0
 */
export interface SpanWords {
  readonly id0: number
  readonly id1: number
}

/**
 * Takes ids from elsewhere, as text.
 *
 * @since 0.1.0
 */
export const fromTexts = (ids: Ids): IdWords => ({
  trace: (name) => traceWords(ids.traceId(name)),
  span: (name, trace, parent) => {
    const parentSpanId = parent === undefined ? undefined : Hex.ofWord(parent.id0) + Hex.ofWord(parent.id1)
    const id = ids.spanId({ name, traceId: trace.id, parentSpanId })
    return spanWords(id)
  },
  onOwnId: ids.onOwnId
})

const spanWords = (id: string): SpanWords => ({ id0: Hex.toWord(id, 0), id1: Hex.toWord(id, 1) })

/**
 * The ids of the one span that brings its own.
 *
 * @since 0.1.0
 */
export const own = ({ spanId, traceId }: OwnIds, others: IdWords): IdWords => ({
  trace: () => traceWords(traceId),
  span: () => {
    others.onOwnId?.(spanId)
    return spanWords(spanId)
  }
})

/**
 * Makes random ids from the platform's secure source, taken in bulk: one call to it serves two thousand spans.
 *
 * @since 0.1.0
 */
export const random = (): IdWords => {
  const pool = new Int32Array(4096)
  let used = pool.length
  const next = (): number => {
    if (used === pool.length) {
      crypto.getRandomValues(pool)
      used = 0
    }
    return pool[used++]!
  }
  // All zero means "no id" (W3C Trace Context §3.2.2.3). A word of its own that is not zero rules it out.
  const nextUnlessZero = (): number => next() || nextUnlessZero()
  return {
    trace: () => ({ word0: next(), word1: next(), word2: next(), word3: nextUnlessZero() }),
    span: () => ({ id0: next(), id1: nextUnlessZero() })
  }
}
