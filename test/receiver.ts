/** An OTLP receiver on loopback, for tests of what is really sent: one that behaves, or one that does as it is told. */
import * as Crypto from "node:crypto"
import * as Http from "node:http"
import * as Https from "node:https"
import type { AddressInfo } from "node:net"
import * as Zlib from "node:zlib"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as OtlpJson from "../src/OtlpJson.ts"
import * as OtlpProtobuf from "../src/OtlpProtobuf.ts"
import type { SpanRecord } from "../src/SpanRecord.ts"

export interface Request {
  readonly path: string | undefined
  readonly headers: Http.IncomingHttpHeaders
  readonly body: Buffer
}

/** Opens a receiver that keeps what it gets and answers with one status, until the scope closes. */
export const open = (status = 200, answer: string | (() => string) = "{}") =>
  listen((_, response) => {
    response
      .writeHead(status, { "content-type": "application/json" })
      .end(typeof answer === "string" ? answer : answer())
  })

/** Opens a receiver that keeps what it gets and then does as it is told, by `https` where it has a certificate. */
export const listen = (answer: (request: Request, response: Http.ServerResponse) => void, tls?: Https.ServerOptions) =>
  Effect.gen(function* () {
    const requests: Array<Request> = []
    const server = yield* serve((incoming, response) => {
      const chunks: Array<Buffer> = []
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk))
      incoming.on("end", () => {
        const request = { path: incoming.url, headers: incoming.headers, body: Buffer.concat(chunks) }
        requests.push(request)
        answer(request, response)
      })
    }, tls)
    return { ...server, requests }
  })

/** Opens a server that does with a request, of which it has the headers, as it is told. */
export const serve = (listener: Http.RequestListener, tls?: Https.ServerOptions) =>
  Effect.gen(function* () {
    const server = tls === undefined ? Http.createServer(listener) : Https.createServer(tls, listener)
    const connections = { opened: 0, open: 0 }
    let waiting: ReadonlyArray<() => void> = []
    server.on("connection", (socket) => {
      connections.opened++
      connections.open++
      socket.on("close", () => {
        connections.open--
        if (connections.open > 0) return
        for (const resume of waiting) resume()
        waiting = []
      })
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () => Effect.sync(() => [server.closeAllConnections(), server.close()])
    )
    const { port } = server.address() as AddressInfo
    return {
      base: `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
      /** How many connections there were, and how many there are. */
      connections,
      /** Returns when there is no connection, or no more. */
      disconnected: Effect.callback<void>((resume) => {
        if (connections.open === 0) resume(Effect.void)
        else waiting = [...waiting, () => resume(Effect.void)]
      })
    }
  })

/** The spans of a request, whatever OTLP/HTTP lets it be. */
export const spansOf = ({ body, headers }: Request): ReadonlyArray<SpanRecord> => {
  const encoding = headers["content-encoding"]
  const bytes = encoding === "gzip" ? Zlib.gunzipSync(body) : encoding === "zstd" ? Zlib.zstdDecompressSync(body) : body
  return headers["content-type"] === "application/x-protobuf"
    ? Result.getOrThrow(OtlpProtobuf.decode(bytes))
    : Result.getOrThrow(OtlpJson.decode(JSON.parse(bytes.toString())))
}

/** A certificate and its key as PEM, as `node:https` wants them. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

/**
 * Makes a certificate for a server on loopback, or for whom it is to be: signed by an authority, or by itself, which
 * makes it one.
 */
export const certificate = (
  options: { readonly by?: Certificate; readonly name?: string; readonly until?: Date } = {}
): Certificate => {
  const { by, name = "127.0.0.1", until = new Date(Date.now() + 3_600_000) } = options
  const { privateKey, publicKey } = Crypto.generateKeyPairSync("ec", { namedCurve: "P-256" })
  const authority = "Handspan's tests"
  // RFC 5280 §4.1. The extensions are basicConstraints (cA) for an authority, else subjectAltName.
  const extension =
    by === undefined
      ? sequence(oid("551d13"), der(1, Buffer.of(0xff)), der(4, sequence(der(1, Buffer.of(0xff)))))
      : sequence(oid("551d11"), der(4, sequence(alternativeName(name))))
  const ecdsaWithSha256 = sequence(oid("2a8648ce3d040302"))
  const toBeSigned = sequence(
    der(0xa0, der(2, Buffer.of(2))),
    der(2, Buffer.concat([Buffer.of(1), Crypto.randomBytes(8)])),
    ecdsaWithSha256,
    distinguishedName(authority),
    sequence(time(new Date(until.getTime() - 7_200_000)), time(until)),
    distinguishedName(by === undefined ? authority : name),
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(extension))
  )
  const signature = Crypto.sign("sha256", toBeSigned, by?.key ?? privateKey)
  const signed = sequence(toBeSigned, ecdsaWithSha256, der(3, Buffer.of(0), signature)).toString("base64")
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${signed.replaceAll(/.{64}/g, "$&\n")}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString()
  }
}

// ITU-T X.690: a tag, a length, and what it is.
const der = (tag: number, ...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const { length } = Buffer.concat(parts)
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.of(tag, ...size), ...parts])
}
const sequence = (...parts: ReadonlyArray<Uint8Array>) => der(0x30, ...parts)
const oid = (hex: string) => der(6, Buffer.from(hex, "hex"))
const time = (date: Date) => der(0x18, Buffer.from(date.toISOString().replaceAll(/[-:T]|\.\d+/g, "")))
const distinguishedName = (name: string) => sequence(der(0x31, sequence(oid("550403"), der(0x0c, Buffer.from(name)))))
const alternativeName = (name: string) =>
  /^[\d.]+$/.test(name) ? der(0x87, Buffer.from(name.split(".").map(Number))) : der(0x82, Buffer.from(name))
