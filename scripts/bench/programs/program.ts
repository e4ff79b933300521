// The frame of every program that is measured in a process of its own: its input is its argument, its report the last
// line that it prints. `runtime.ts` is the other end.
import { writeSync } from "node:fs"
import { beginPath } from "../servers/paths.ts"

/** What the measuring process asks for. */
export const input = (): unknown => JSON.parse(process.argv[2] ?? "{}")

/**
 * Tells the receiver that the measurement begins: what it has so far is forgotten. Where it is down, nobody waits for
 * this.
 */
export const begin = async ({ port }: { readonly port: number }): Promise<void> => {
  await fetch(`http://127.0.0.1:${port}${beginPath}`, { method: "POST" }).catch(() => undefined)
}

/** Tells the measuring process at once, also where the process is about to be gone. */
export const report = (output: object): void => {
  writeSync(1, `${JSON.stringify(output)}\n`)
}

/** Reports, and ends: some of what is measured here would hold the process open. */
export const finish = (output: object): never => {
  report(output)
  process.exit(0)
}
