// Makes traces as fast as it can, until all of their spans are acknowledged or given up, and reports what that took.
import { cpuMicros } from "../statistics.ts"
import { foreign, type ForeignName, isForeign, sendTraces } from "../tracers/foreign.ts"
import { type Destination, open, type TracerName } from "../tracers/tracer.ts"
import { begin, finish, input } from "./program.ts"
import { works } from "./works.ts"

export interface Input {
  readonly client: TracerName | ForeignName
  readonly spans: number
  /** Spans that are sent before, and do not count. */
  readonly warmUp: number
  /** Left out for a client that exports nothing. */
  readonly to?: Destination
}

export interface Program {
  readonly input: Input
  readonly output: Output
}

export interface Output {
  readonly cpuMicros: number
  /** In milliseconds since the epoch. */
  readonly startedAt: number
  /** Resident memory beyond that at the start, at its highest, in bytes: in the first half and in the second. */
  readonly addedMemory: readonly [firstHalf: number, secondHalf: number]
}

interface Client {
  readonly send: (traces: number) => Promise<unknown>
  readonly flush: () => Promise<void>
}

const connect = async (client: Input["client"], to: Destination | undefined): Promise<Client> => {
  if (!isForeign(client)) {
    const { flush, run } = await open(client, to)
    return { send: (traces) => run(works.traces(traces).effect), flush }
  }
  if (to === undefined) throw new Error(`Cannot measure "${client}": it has nowhere to send to`)
  const peer = await foreign[client](to)
  return { send: (traces) => sendTraces(peer, traces), flush: peer.flush }
}

const spansPerTrace = 10
/** Memory is read this often. */
const tracesPerRead = 100

const { client, spans, to, warmUp } = input() as Input
const { flush, send } = await connect(client, to)
await send(warmUp / spansPerTrace)
await flush()
if (to !== undefined) await begin(to)

const memoryBefore = process.memoryUsage.rss()
const peaks: [number, number] = [0, 0]
const readMemory = (half: 0 | 1): void => {
  peaks[half] = Math.max(peaks[half], process.memoryUsage.rss() - memoryBefore)
}
const startedAt = performance.timeOrigin + performance.now()
const cpuBefore = cpuMicros()
const traces = spans / spansPerTrace
for (let sent = 0; sent < traces; sent += tracesPerRead) {
  await send(Math.min(tracesPerRead, traces - sent))
  readMemory(sent < traces / 2 ? 0 : 1)
}
await flush()
readMemory(1)

finish({ cpuMicros: cpuMicros() - cpuBefore, startedAt, addedMemory: peaks } satisfies Output)
