// Runs other programs and collects what they say. When this process is told to stop, they stop with it.
import { spawn, type ChildProcess } from "node:child_process"

/** How a program ended. `output` is stdout and stderr in the order in which they came. */
export interface Ended {
  readonly ok: boolean
  readonly stdout: string
  readonly output: string
}

const running = new Set<ChildProcess>()

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    for (const child of running) child.kill(signal)
    process.exit(signal === "SIGINT" ? 130 : 143)
  })
}

/** Runs a program with nothing on its stdin. Never rejects: a program that cannot start has ended badly. */
export const run = (
  command: string,
  args: ReadonlyArray<string>,
  options: { readonly cwd?: string; readonly env?: Record<string, string>; readonly timeoutMillis?: number } = {}
): Promise<Ended> =>
  new Promise((resolve) => {
    const { timeoutMillis = 600_000 } = options
    const { FORCE_COLOR: _, ...inherited } = process.env
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...inherited, NO_COLOR: "1", ...options.env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    running.add(child)
    let stdout = ""
    let output = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text
      output += text
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text))
    const timer = setTimeout(() => {
      output += `\n${command} was stopped: it had not ended after ${timeoutMillis / 1000} s\n`
      child.kill("SIGKILL")
    }, timeoutMillis)
    const end = (ok: boolean) => {
      clearTimeout(timer)
      running.delete(child)
      resolve({ ok, stdout, output: output.trim() })
    }
    child.once("error", (error) => {
      output += `Cannot start ${command}: ${error.message}`
      end(false)
    })
    child.once("close", (code) => end(code === 0))
  })
