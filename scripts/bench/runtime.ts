// The runtimes that everything is measured on, and how a program is run on one: in a fresh process, so that no
// measurement inherits another's heap or compiled code.
import { join } from "node:path"
import { run } from "../command.ts"

export const runtimeNames = ["node", "deno"] as const

export type RuntimeName = (typeof runtimeNames)[number]

const commands: Record<RuntimeName, readonly [command: string, ...args: Array<string>]> = {
  node: [process.execPath, "--disable-warning=ExperimentalWarning", "--expose-gc"],
  deno: ["deno", "run", "-A", "--no-lock", "--quiet", "--v8-flags=--expose-gc"]
}

/** What a program takes and gives; each one of `programs/` says so of itself. */
export interface Program {
  readonly input: object
  readonly output: object
}

/** Runs a program of `programs/` to its end and gives what it reported. One that kills itself may end badly. */
export const runProgram = async <Of extends Program>(
  runtime: RuntimeName,
  program: string,
  input: Of["input"],
  options: { readonly endsBadly?: boolean } = {}
): Promise<Of["output"]> => {
  const [command, ...flags] = commands[runtime]
  const file = join(import.meta.dirname, "programs", `${program}.ts`)
  const { ok, output, stdout } = await run(command, [...flags, file, JSON.stringify(input)], { timeoutMillis: 180_000 })
  const report = stdout.trimEnd().split("\n").at(-1) ?? ""
  if ((!ok && options.endsBadly !== true) || !report.startsWith("{")) {
    throw new Error(`Cannot measure ${JSON.stringify(input)} with ${program} on ${runtime}:\n${output}`)
  }
  return JSON.parse(report) as Of["output"]
}
