// Starts the servers of `servers/`, each a process of its own on Node, and speaks with them: by lines of JSON, of which the
// first one that a server says is its port.
import { spawn } from "node:child_process"
import { join } from "node:path"
import { createInterface } from "node:readline"

/** A server that runs. */
export interface Server {
  readonly port: number
  /** Sends a line and gives the answer. One at a time. */
  readonly ask: <Answer>(question: object) => Promise<Answer>
}

/** Lets a server live for as long as it is used. It also ends with this process, whose end closes its stdin. */
export const withServer = async <A>(name: "sink" | "model", use: (server: Server) => Promise<A>): Promise<A> => {
  const file = join(import.meta.dirname, "servers", `${name}.ts`)
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", file], {
    stdio: ["pipe", "pipe", "inherit"]
  })
  // One that has ended is noticed where its answer is waited for.
  child.stdin.on("error", () => {})
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const answer = async <Answer>(): Promise<Answer> => {
    const { done, value } = await lines.next()
    if (done === true) throw new Error(`Cannot go on: the ${name} has ended`)
    return JSON.parse(value) as Answer
  }
  const ask = <Answer>(question: object): Promise<Answer> => {
    child.stdin.write(`${JSON.stringify(question)}\n`)
    return answer<Answer>()
  }
  try {
    const { port } = await answer<{ readonly port: number }>()
    return await use({ port, ask })
  } finally {
    child.kill()
  }
}
