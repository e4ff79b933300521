// All that the bench uses of Handspan: what it measures under that name is what stands here.
import { Effect, Layer, Tracer } from "effect"
import { Delivery, Ledger, Recorder, Redaction, Tracing } from "../../src/index.ts"
import * as AsyncContext from "../../src/AsyncContext.ts"
import { SpanBuffer } from "../../src/SpanBuffer.ts"

export { Agent, Pipeline } from "../../src/index.ts"

/** Where spans go over the network. Whatever is left out is Handspan's default. */
export interface Destination {
  readonly port: number
  /** Peers know no zstd, and send plain bytes then. */
  readonly compression?: "gzip" | "zstd" | undefined
  readonly queueSize?: number | undefined
  readonly spoolDirectory?: string | undefined
}

/** A tracer that does all there is to do for a span but send it: without secrets, written as protobuf, gathered to request bodies. */
export const encodingTracer = (): Tracer.Tracer => {
  const buffer = new SpanBuffer()
  return Recorder.make({
    redactor: Redaction.make(),
    onEnd: (span) => {
      buffer.append(span)
      if (buffer.count >= batchSize) buffer.take()
    }
  })
}

/** The same with `context: "async"`. */
export const asyncTracer = Effect.suspend(() => AsyncContext.follow(encodingTracer()))

/** The default of `Delivery.Options`. */
const batchSize = 4_096

/** Sends spans as protobuf to a receiver on this machine. */
export const layerOtlp = ({ compression, port, queueSize, spoolDirectory }: Destination) => {
  const options = {
    otlpEndpoint: `http://127.0.0.1:${port}`,
    otlpProtocol: "http/protobuf" as const,
    otlpCompression: compression ?? ("none" as const),
    serviceName: "bench",
    ...(queueSize === undefined ? {} : { queueSize }),
    ...(spoolDirectory === undefined ? {} : { spoolDirectory })
  }
  return Layer.orDie(Tracing.layerOtlp(options))
}

/** Prints spans as it does without further settings. */
export const layerConsole = () => Tracing.layerConsole()

/** The account of every span that a delivery was given. */
export interface Account {
  readonly taken: number
  readonly exported: number
  readonly dropped: number
  /** Spans that are neither exported nor dropped: queued, in flight, spooled, live, unsampled. */
  readonly elsewhere: number
}

/** What tells when spans are off, and where each one is. */
export const deliveries = Effect.map(Delivery.Deliveries, ({ flush, ledgers }) => ({
  flush,
  account: Effect.map(ledgers, (all) => accountOf(all[0]!))
}))

const accountOf = (ledger: Ledger.Ledger): Account => ({
  taken: ledger.started + ledger.recovered,
  exported: ledger.exported,
  dropped: Ledger.totalDropped(ledger),
  elsewhere: ledger.live + ledger.held + ledger.unsampled + ledger.queued + ledger.inFlight + ledger.spooled
})

/** Says what is wrong with an account, held against what the receiver has: nothing, where it is right. */
export const faultOf = ({ dropped, elsewhere, exported, taken }: Account, received: number): string | undefined => {
  if (taken !== exported + dropped + elsewhere) {
    return `the ledger does not add up: ${taken} taken, ${exported} exported, ${dropped} dropped, ${elsewhere} elsewhere`
  }
  if (exported !== received) return `the ledger says ${exported} exported, the receiver has ${received}`
  return undefined
}
