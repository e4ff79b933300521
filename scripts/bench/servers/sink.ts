// The receiver of all measurements, a process of its own on Node: takes what exporters send, decodes it, and counts
// distinct spans. It does as it is told by lines on its stdin, and answers each with a line on its stdout.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { createInterface } from "node:readline"
import { gunzipSync, zstdDecompressSync } from "node:zlib"
import { IdSet } from "./id-set.ts"
import { beginPath } from "./paths.ts"
import { scanJson, scanProtobuf } from "./scan.ts"

/** How it treats requests: takes them, refuses them for now, refuses connections, or never answers. */
export type Mode = "up" | "503" | "down" | "silent"

export type Command = { readonly mode: Mode } | { readonly stats: true }

export interface Stats {
  /** Whether a program has said that its measurement begins. */
  readonly begun: boolean
  /** Distinct spans. */
  readonly spans: number
  /** Bytes of the bodies, as they were on the wire. */
  readonly bytes: number
  /** Requests whose body could not be read. */
  readonly unreadable: number
  /** When the last span was decoded, in milliseconds since the epoch. */
  readonly lastAt: number
}

let mode: Mode = "up"
let port = 0
let begun = false
let ids = new IdSet()
let bytes = 0
let unreadable = 0
let lastAt = 0

const onSpan = (high: number, low: number) => ids.add(high, low)

const decompress = (body: Buffer, encoding: string | undefined): Buffer => {
  if (encoding === "gzip") return gunzipSync(body)
  return encoding === "zstd" ? zstdDecompressSync(body) : body
}

const take = (request: IncomingMessage, body: Buffer): number => {
  const plain = decompress(body, request.headers["content-encoding"])
  try {
    if (request.headers["content-type"]?.includes("json") === true) scanJson(plain.toString(), onSpan)
    else scanProtobuf(plain, onSpan)
  } catch {
    unreadable++
    return 400
  }
  bytes += body.length
  lastAt = performance.timeOrigin + performance.now()
  return 200
}

const begin = (): void => {
  begun = true
  ids = new IdSet()
  bytes = 0
}

const serve = (request: IncomingMessage, response: ServerResponse): void => {
  const chunks: Array<Buffer> = []
  request.on("data", (chunk: Buffer) => chunks.push(chunk))
  request.on("end", () => {
    if (mode === "silent") return
    if (request.url === beginPath) {
      begin()
      return void response.end()
    }
    const status = mode === "503" ? 503 : take(request, Buffer.concat(chunks))
    response.writeHead(status, { "content-type": request.headers["content-type"] ?? "text/plain" })
    // An answer of no bytes is a success in protobuf.
    response.end(request.headers["content-type"]?.includes("json") === true ? "{}" : undefined)
  })
}

const server = createServer(serve)

const listen = (): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", reject).listen(port, "127.0.0.1", () => {
      const address = server.address()
      if (address !== null && typeof address === "object") port = address.port
      resolve()
    })
  })

const obey = async (command: Command): Promise<object> => {
  if ("stats" in command) return { begun, spans: ids.size, bytes, unreadable, lastAt } satisfies Stats
  if (mode === "down" && command.mode !== "down") await listen()
  if (command.mode === "down") {
    server.close()
    server.closeAllConnections()
  }
  mode = command.mode
  return {}
}

const answer = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`)

await listen()
answer({ port })
for await (const line of createInterface({ input: process.stdin })) answer(await obey(JSON.parse(line) as Command))
process.exit(0)
