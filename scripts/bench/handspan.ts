// All that the bench uses of Handspan: what it measures under that name is what stands here.
import { Effect, Layer, Tracer } from "effect"
import { Delivery, Recorder, Tracing } from "../../src/index.ts"
import { SpanBuffer } from "../../src/SpanBuffer.ts"

export { Agent, Pipeline } from "../../src/index.ts"

/** Where spans go over the network. Whatever is left out is Handspan's default. */
export interface Destination {
  readonly port: number
  readonly gzip?: boolean | undefined
  readonly queueSize?: number | undefined
  readonly spoolDirectory?: string | undefined
}

/** A tracer that does all there is to do for a span but send it: written as protobuf, gathered to request bodies. */
export const encodingTracer = (): Tracer.Tracer => {
  const buffer = new SpanBuffer()
  return Recorder.make({
    onEnd: (span) => {
      buffer.append(span)
      if (buffer.count >= batchSize) buffer.take()
    }
  })
}

/** The default of `Delivery.Options`. */
const batchSize = 4_096

/** Sends spans as protobuf to a receiver on this machine. */
export const layerOtlp = ({ gzip = false, port, queueSize, spoolDirectory }: Destination) => {
  const options = {
    otlpEndpoint: `http://127.0.0.1:${port}`,
    otlpProtocol: "http/protobuf" as const,
    otlpCompression: gzip ? ("gzip" as const) : ("none" as const),
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
  account: Effect.map(ledgers, ([ledger]) => accountOf(ledger))
}))

const accountOf = (ledger: object | undefined): Account => {
  const { dropped, exporter: _, ...counts } = { dropped: {}, exporter: "", ...ledger }
  const { accepted = 0, exported = 0, recovered = 0, started = 0, ...others } = counts as Record<string, number>
  return {
    taken: accepted + started + recovered,
    exported,
    dropped: sum(Object.values(dropped)),
    elsewhere: sum(Object.values(others))
  }
}

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, number) => total + number, 0)

/** Says what is wrong with an account, held against what the receiver has: nothing, where it is right. */
export const faultOf = ({ dropped, elsewhere, exported, taken }: Account, received: number): string | undefined => {
  if (taken !== exported + dropped + elsewhere) {
    return `the ledger does not add up: ${taken} taken, ${exported} exported, ${dropped} dropped, ${elsewhere} elsewhere`
  }
  if (exported !== received) return `the ledger says ${exported} exported, the receiver has ${received}`
  return undefined
}
