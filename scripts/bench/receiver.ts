// A receiver of spans for each measurement, so that nobody's spans are another's.
import { withServer } from "./server.ts"
import type { Command, Mode, Stats } from "./servers/sink.ts"

export interface Receiver {
  readonly port: number
  readonly become: (mode: Mode) => Promise<void>
  /** Waits until a program begins with what it is measured by: how long it takes to start is another matter. */
  readonly begun: () => Promise<void>
  /** What it has, once nothing has come for a moment. */
  readonly settled: () => Promise<Stats>
}

/** Lets a receiver live for as long as it is used. */
export const withReceiver = <A>(use: (receiver: Receiver) => Promise<A>, mode: Mode = "up"): Promise<A> =>
  withServer("sink", async ({ ask, port }) => {
    const tell = <Answer>(command: Command) => ask<Answer>(command)
    const become = async (mode: Mode) => void (await tell({ mode }))
    const stats = () => tell<Stats>({ stats: true })
    const begun = async (): Promise<void> => {
      while (!(await stats()).begun) await sleep(50)
    }
    const settled = async (): Promise<Stats> => {
      let last = await stats()
      for (;;) {
        await sleep(200)
        const now = await stats()
        if (now.spans === last.spans && now.bytes === last.bytes) return now
        last = now
      }
    }
    if (mode !== "up") await become(mode)
    return use({ port, become, begun, settled })
  })

/** Waits. */
export const sleep = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))
