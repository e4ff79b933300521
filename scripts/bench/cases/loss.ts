// How many spans are lost when something goes wrong, and whether Handspan's ledger tells the truth about it. Everything
// is Handspan's default, as it would be for somebody who has not thought of outages.
import { faultOf } from "../handspan.ts"
import type { Input, Output, Program } from "../programs/loss.ts"
import { type Receiver, sleep, withReceiver } from "../receiver.ts"
import type { Id } from "../rows.ts"
import { runProgram, type RuntimeName } from "../runtime.ts"
import { scratchFolder } from "../../scratch.ts"
import type { Mode } from "../servers/sink.ts"
import type { TracerName } from "../tracers/tracer.ts"
import type { Case, Measurement } from "./case.ts"

interface Loss {
  readonly lost: number
  readonly made: number
  readonly ledgerIsRight: boolean
  /** What is wrong with the ledger, or what it says of what is lost. */
  readonly remark: string | undefined
}

type Play = (runtime: RuntimeName, tracer: TracerName) => Promise<Loss>

const judge = ({ account, made }: Output, received: number): Loss => {
  const lost = made - received
  const fault = account && faultOf(account, received)
  const whereabouts = `the ledger says ${account?.dropped} dropped, ${account?.elsewhere} not sent yet`
  return { lost, made, ledgerIsRight: fault === undefined, remark: fault ?? (lost === 0 ? undefined : whereabouts) }
}

/** Runs a program against a receiver that changes in the meantime. */
const play =
  (
    input: Pick<Input, "spans" | "spansPerSecond" | "end">,
    meanwhile: (receiver: Receiver) => Promise<void> = () => Promise.resolve()
  ): Play =>
  (runtime, tracer) =>
    withReceiver(async (receiver) => {
      const to = { port: receiver.port }
      const [output] = await Promise.all([
        runProgram<Program>(runtime, "loss", { ...input, tracer, to }),
        meanwhile(receiver)
      ])
      return judge(output, (await receiver.settled()).spans)
    })

/** A thousand spans a second, for three seconds before an outage, all through it, and three seconds after it. */
const outage = (mode: Mode, seconds: number): Play =>
  play({ spans: (seconds + 6) * 1_000, spansPerSecond: 1_000, end: "close" }, async ({ become, begun }) => {
    await begun()
    await sleep(3_000)
    await become(mode)
    await sleep(seconds * 1_000)
    await become("up")
  })

/** Nothing gets through before the kill, so all depends on what the next process finds. */
const killed: Play = (runtime, tracer) =>
  withReceiver(async ({ become, port, settled }) => {
    const to = { port, spoolDirectory: scratchFolder("bench-spool") }
    const first = { tracer, to, spans: 3_000, spansPerSecond: 1_000, end: "kill" } as const
    const { made } = await runProgram<Program>(runtime, "loss", first, { endsBadly: true })
    await become("up")
    const { account } = await runProgram<Program>(runtime, "loss", { tracer, to, spans: 0, end: "close" })
    return judge({ made, account }, (await settled()).spans)
  }, "down")

const atFullSpeed = play({ spans: 200_000, end: "close" })

const whenThingsGoWrong = {
  "loss.503": outage("503", 10),
  "loss.down10": outage("down", 10),
  "loss.down60": outage("down", 60),
  "loss.exit": play({ spans: 20_000, end: "exit" }),
  "loss.kill": killed
} satisfies Partial<Record<Id, Play>>

type WrongId = keyof typeof whenThingsGoWrong

const peers = ["Effect Otlp", "OtelTracer"] as const

/** Peers sit no outage of a minute out here, and have no spool that could survive a kill. */
const peersOf = (id: WrongId): typeof peers | readonly [] => (id === "loss.down60" || id === "loss.kill" ? [] : peers)

const measurement = (
  id: Id,
  { ledgerIsRight, lost, made, remark }: Loss,
  peers: Measurement["peers"]
): Measurement => ({
  id,
  handspan: lost,
  peers,
  ratio: lost / made,
  ledgerIsRight,
  ...(remark === undefined ? {} : { remark })
})

export const lossAtFullSpeed: Case = {
  ids: ["loss.fullspeed"],
  measure: async (runtime) => {
    const ours = await atFullSpeed(runtime, "Handspan")
    const losses: Record<string, number> = {}
    for (const peer of peers) losses[peer] = (await atFullSpeed(runtime, peer)).lost
    return [measurement("loss.fullspeed", ours, losses)]
  }
}

export const losses: Case = {
  ids: Object.keys(whenThingsGoWrong) as ReadonlyArray<WrongId>,
  // They wait more than they work.
  atOnce: true,
  measure: (runtime, wanted) => {
    const measureOne = async ([id, play]: [WrongId, Play]): Promise<Measurement> => {
      const [ours, ...theirs] = await Promise.all([
        play(runtime, "Handspan"),
        ...peersOf(id).map(async (peer) => [peer, (await play(runtime, peer)).lost] as const)
      ])
      return measurement(id, ours, Object.fromEntries(theirs))
    }
    const plays = Object.entries(whenThingsGoWrong) as ReadonlyArray<[WrongId, Play]>
    return Promise.all(plays.filter(([id]) => wanted.has(id)).map(measureOne))
  }
}
