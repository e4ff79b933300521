// What sending costs, end to end: clients at full speed, and a receiver in another process that decodes what arrives.
import type { Program } from "../programs/full-speed.ts"
import { withReceiver } from "../receiver.ts"
import { runProgram, type RuntimeName } from "../runtime.ts"
import type { Stats } from "../servers/sink.ts"
import { isForeign } from "../tracers/foreign.ts"
import type { Destination } from "../tracers/tracer.ts"
import { type Case, inTurns, type Measurement, medians, over } from "./case.ts"

type Client = Program["input"]["client"]

/** What a client took, and of how many spans: those that arrived, or were made where nothing is exported. */
type Sent = Program["output"] & { readonly received: Stats; readonly made: number; readonly counted: number }

/** Room for all that is sent, so that what is compared is cost and not anybody's default limits. */
export const roomForAll = { queueSize: 1_000_000 }

/** Lets a client send spans, after a tenth as many that do not count. */
export const send = (
  runtime: RuntimeName,
  client: Client,
  spans: number,
  options: Omit<Destination, "port"> & { readonly warmUp?: number } = roomForAll
): Promise<Sent> =>
  withReceiver(async ({ port, settled }) => {
    const { warmUp = spans / 10, ...limits } = options
    const to = client === "native" ? {} : { to: { port, ...limits } }
    const output = await runProgram<Program>(runtime, "full-speed", { client, spans, warmUp, ...to })
    const received = await settled()
    return { ...output, received, made: spans, counted: client === "native" ? spans : received.spans }
  })

/** What ratios are made of is measured longer, and more often, than what is there to be compared with. */
const inRatios = new Set<Client>(["native", "Handspan", "OpenTelemetry"])
const spansOf = (client: Client): number => (inRatios.has(client) ? 100_000 : isForeign(client) ? 20_000 : 50_000)
const roundsOf = (client: Client): number => (inRatios.has(client) ? 3 : 1)

const microsPerSpan = ({ counted, cpuMicros }: Sent): number => cpuMicros / counted

const spansPerSecond = ({ received, startedAt }: Sent): number =>
  (received.spans * 1_000) / (received.lastAt - startedAt)

export const bytesPerSpan = ({ received }: Sent): number => received.bytes / received.spans

const compared: ReadonlyArray<Client> = ["Handspan", "OpenTelemetry", "Effect Otlp", "OtelTracer"]
const forCpu: ReadonlyArray<Client> = ["native", ...compared, "OtelTracer + ALS"]
const forThroughput: ReadonlyArray<Client> = [...compared, "OpenAI Agents", "Langfuse", "Mastra"]

export const sending: Case = {
  ids: ["cpu", "throughput"],
  measure: async (runtime, wanted) => {
    const clients = new Set([...(wanted.has("cpu") ? forCpu : []), ...(wanted.has("throughput") ? forThroughput : [])])
    const outputs = await inTurns(clients, (client) => send(runtime, client, spansOf(client)), roundsOf)
    const some = (names: ReadonlyArray<Client>) => new Map([...outputs].filter(([client]) => names.includes(client)))
    const measurements: Array<Measurement> = []
    if (wanted.has("cpu")) measurements.push(over("cpu", "native", medians(some(forCpu), microsPerSpan)))
    if (wanted.has("throughput")) {
      measurements.push(over("throughput", "OpenTelemetry", medians(some(forThroughput), spansPerSecond)))
    }
    return measurements
  }
}

export const wire: Case = {
  ids: ["wire", "wire.zstd"],
  measure: async (runtime, wanted) => {
    const bytes = async (client: Client, format: Pick<Destination, "compression" | "json">) =>
      bytesPerSpan(await send(runtime, client, 20_000, { ...roomForAll, ...format }))
    const json = await bytes("OtelTracer", { json: true })
    const measurements: Array<Measurement> = []
    if (wanted.has("wire")) {
      const peers = {
        json,
        "OtelTracer, protobuf, gzip": await bytes("OtelTracer", { compression: "gzip" }),
        "Effect Otlp, JSON, gzip": await bytes("Effect Otlp", { compression: "gzip" })
      }
      measurements.push(over("wire", "json", { handspan: await bytes("Handspan", { compression: "gzip" }), peers }))
    }
    if (wanted.has("wire.zstd")) {
      const handspan = await bytes("Handspan", { compression: "zstd" })
      measurements.push(over("wire.zstd", "json", { handspan, peers: { json } }))
    }
    return measurements
  }
}

const megabytes = (bytes: number): number => bytes / 1_000_000

const addedMegabytes = ({ addedMemory }: Sent): number => megabytes(Math.max(...addedMemory))

/** Memory may differ by so much between the halves of a run that leaks nothing. */
const flatWithinMegabytes = 5

const memoryRemark = ({ addedMemory: [first, second], counted, made }: Sent): string | undefined => {
  if (counted < made) return `only ${counted} of ${made} spans arrived`
  const growth = megabytes(second - first)
  return growth > flatWithinMegabytes ? `not flat: the second half took ${growth.toFixed(0)} MB more` : undefined
}

export const memoryAtFullSpeed: Case = {
  ids: ["memory.rss"],
  measure: async (runtime) => {
    // Too few to have grown the heap.
    const warmUp = 1_000
    const ours = await send(runtime, "Handspan", 2_000_000, { warmUp })
    const native = await send(runtime, "native", 2_000_000, { warmUp })
    const few = (client: Client) => send(runtime, client, 200_000, { warmUp, ...roomForAll }).then(addedMegabytes)
    const peers = {
      native: addedMegabytes(native),
      "OpenTelemetry, of 200,000": await few("OpenTelemetry"),
      "OtelTracer, of 200,000": await few("OtelTracer")
    }
    const handspan = addedMegabytes(ours)
    const remark = memoryRemark(ours)
    return [
      { id: "memory.rss", handspan, peers, ratio: handspan / peers.native, ...(remark === undefined ? {} : { remark }) }
    ]
  }
}
