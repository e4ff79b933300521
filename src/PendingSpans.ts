/**
 * Pictures of spans that are still open, on their way to an exporter that wants them. They are sent beside the spans that
 * have ended, once, and counted nowhere: a span that ends comes again.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { type Batch, SpanBuffer } from "./SpanBuffer.ts"
import type { EncodedSpan } from "./SpanEncoder.ts"

/**
 * Gathers pictures, of so many bytes at most, and sends them by an export.
 *
 * @since 0.1.0
 */
export const make = (
  send: (batch: Batch) => Effect.Effect<void, unknown>,
  maxBytes: number
): {
  readonly offer: (span: EncodedSpan) => void
  /** Sends what has gathered, unless some is under way. Returns at once. */
  readonly send: Effect.Effect<void>
} => {
  const buffer = new SpanBuffer()
  let isUnderWay = false
  return {
    offer: (span) => {
      if (buffer.length <= maxBytes) buffer.append(span)
    },
    send: Effect.suspend(() => {
      if (buffer.count === 0 || isUnderWay) return Effect.void
      isUnderWay = true
      const sending = Effect.ensuring(
        Effect.ignore(send(buffer.take())),
        Effect.sync(() => {
          isUnderWay = false
        })
      )
      return Effect.asVoid(Effect.forkDetach(sending))
    })
  }
}
