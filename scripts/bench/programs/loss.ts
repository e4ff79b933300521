// Makes spans, ends in one way or another, and reports how many it made and where its ledger says they are.
import type { Account } from "../handspan.ts"
import { type Destination, open, type TracerName } from "../tracers/tracer.ts"
import { begin, input, report } from "./program.ts"
import { works } from "./works.ts"

export interface Input {
  readonly tracer: TracerName
  readonly to: Destination
  readonly spans: number
  /** At full speed, unless it says otherwise. */
  readonly spansPerSecond?: number
  /**
   * How the process ends: the tracer is closed, as when an Effect program ends; by process.exit, right after the last
   * span; or by SIGKILL.
   */
  readonly end: "close" | "exit" | "kill"
}

export interface Program {
  readonly input: Input
  readonly output: Output
}

export interface Output {
  readonly made: number
  readonly account?: Account | undefined
}

const { end, spans, spansPerSecond, to, tracer } = input() as Input
const { account, close, run } = await open(tracer, to)
// One that has nothing to make is here for what another left behind, which may be on its way already.
if (spans > 0) await begin(to)

const output = (): Output => ({ made: spans, account: account() })
const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))
const nothing = { elsewhere: 0, taken: 0 }

const isRecovering = (): boolean => {
  const { elsewhere, taken } = account() ?? nothing
  return taken === 0 || elsewhere > 0
}

/** Lives on until all that another process left behind is off, as a program with work of its own would. */
const recovery = async (): Promise<void> => {
  const until = performance.now() + 10_000
  while (isRecovering() && performance.now() < until) await pause(50)
}

const ticksPerSecond = 20
const perTick = spansPerSecond === undefined ? 1_000 : spansPerSecond / ticksPerSecond
const started = performance.now()
for (let made = 0, tick = 1; made < spans; tick++) {
  const slice = Math.min(perTick, spans - made)
  await run(works.traces(slice / 10).effect)
  made += slice
  if (spansPerSecond === undefined) continue
  const wait = started + (tick * 1_000) / ticksPerSecond - performance.now()
  await pause(Math.max(wait, 0))
}

if (end === "kill") {
  report(output())
  process.kill(process.pid, "SIGKILL")
}
// After the listeners of the tracer, which was here first and may have something left to send.
process.on("exit", () => report(output()))
if (end === "exit") process.exit(0)
if (spans === 0) await recovery()
await close()
process.exit(0)
