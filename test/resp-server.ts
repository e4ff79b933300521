// A small server that speaks Redis's protocol (RESP 2 and 3) on loopback, for clients that are to be traced: texts, MULTI, scripts
// that echo their keys, and BLPOP, which never answers. What Redis itself says is asked in test/ci/databases.test.ts.
import { Effect, type Scope } from "effect"
import { createServer, type Socket } from "node:net"
import type { AddressInfo } from "node:net"

type Reply = string | number | null | undefined | Error | { readonly ok: string } | ReadonlyArray<Reply>

/** Starts one, which ends with the scope, and gives its port. */
export const respServer: Effect.Effect<number, never, Scope.Scope> = Effect.gen(function* () {
  const texts = new Map<string, string>()
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    const state = {
      protocol: 2,
      queued: undefined as Array<ReadonlyArray<string>> | undefined,
      scripts: new Set<string>()
    }
    let pending = ""
    const answer = ([name = "", ...args]: ReadonlyArray<string>): Reply => {
      const [key = "", value = ""] = args
      switch (name.toUpperCase()) {
        case "HELLO":
          state.protocol = Number(key)
          return ["server", "redis", "proto", state.protocol]
        case "GET":
          return texts.get(key) ?? null
        case "JSON.GET":
          return null
        case "MGET":
          return args.map((key) => texts.get(key) ?? null)
        case "SET":
          texts.set(key, value)
          return { ok: "OK" }
        case "INCR":
          return new Error(`ERR value is not an integer: '${texts.get(key)}'`)
        case "MULTI":
          state.queued = []
          return { ok: "OK" }
        case "EXEC": {
          const { queued = [] } = state
          state.queued = undefined
          return queued.map(answer)
        }
        case "SCRIPT":
          return "0".repeat(40)
        case "EVALSHA":
          return args.slice(2, 2 + Number(value))
        case "BLPOP":
          return undefined
        default:
          return { ok: "OK" }
      }
    }
    const encode = (reply: Reply): string => {
      if (reply === undefined) return ""
      if (reply === null) return state.protocol === 3 ? "_\r\n" : "$-1\r\n"
      if (typeof reply === "number") return `:${reply}\r\n`
      if (typeof reply === "string") return `$${Buffer.byteLength(reply)}\r\n${reply}\r\n`
      if (reply instanceof Error) return `-${reply.message}\r\n`
      if ("ok" in reply) return `+${reply.ok}\r\n`
      return `*${reply.length}\r\n${reply.map(encode).join("")}`
    }
    socket.on("close", () => sockets.delete(socket)).on("error", () => {})
    socket.on("data", (chunk) => {
      pending += String(chunk)
      for (let command = next(pending); command !== undefined; command = next(pending)) {
        pending = command.rest
        const isQueued = state.queued !== undefined && !/^exec$/i.test(command.words[0] ?? "")
        if (isQueued) state.queued?.push(command.words)
        socket.write(isQueued ? "+QUEUED\r\n" : encode(answer(command.words)))
      }
    })
  })
  yield* Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)))
  yield* Effect.addFinalizer(() =>
    Effect.promise(() => {
      for (const socket of sockets) socket.destroy()
      return new Promise<void>((resolve) => server.close(() => resolve()))
    })
  )
  return (server.address() as AddressInfo).port
})

/** The first command of what has come, if all of it has: an array of texts, which hold no line breaks here. */
const next = (pending: string): { readonly words: ReadonlyArray<string>; readonly rest: string } | undefined => {
  const lines = pending.split("\r\n")
  const count = Number(/^\*(\d+)$/.exec(lines[0] ?? "")?.[1])
  if (!(lines.length > 2 * count + 1)) return undefined
  const words = Array.from({ length: count }, (_, i) => lines[2 * i + 2] ?? "")
  return { words, rest: lines.slice(2 * count + 1).join("\r\n") }
}
