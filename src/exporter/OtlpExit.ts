/**
 * The last requests of a process: spans to an OTLP receiver from an `exit` handler, where nothing asynchronous runs any
 * more. A thread of its own sends them while the exiting one waits. What sends while there is time is `OtlpHttp`.
 *
 * @since 0.1.0
 */
import type * as Http from "node:http"
import type * as Https from "node:https"
import type { ContextManager } from "@opentelemetry/api"
import * as Result from "effect/Result"
import * as OtlpProtobuf from "../OtlpProtobuf.ts"
import type { Batch } from "../SpanBuffer.ts"

/**
 * Where the last requests go.
 *
 * @since 0.1.0
 */
export interface Destination {
  readonly url: string
  /** All headers but the length. */
  readonly headers: Readonly<Record<string, string>>
  /** The texts of PEM files, by the names that `node:tls` has for them. */
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string }
}

/**
 * Sends batches before it returns, for an exporter in a process that exits; gives how many spans of each were taken.
 *
 * **Details**: four requests at a time, uncompressed. One that finds no connection, or loses it, is sent once more. An
 * answer says how many spans were taken, as it does for `OtlpHttp`; without one that came within `timeoutMillis`
 * (milliseconds) the number is 0, though the spans may arrive. The thread takes about 0.1 seconds to start. On Deno it
 * has the program's permissions, on Node's permission model it needs `--allow-worker`.
 *
 * Never throws: where there are no threads, as in a browser, nothing was taken.
 *
 * @example
 * ```ts
 * import * as OtlpExit from "handspan/exporter/OtlpExit"
 *
 * const nobody = { url: "http://127.0.0.1:9/v1/traces", headers: {}, tls: {} }
 * const taken = OtlpExit.send(nobody, [{ bytes: Uint8Array.of(), count: 1 }], 1)
 * if (taken[0] !== 0) throw new Error("expected that nobody took it")
 * ```
 *
 * @since 0.1.0
 */
export const send = (
  destination: Destination,
  batches: ReadonlyArray<Batch>,
  timeoutMillis: number
): ReadonlyArray<number> => {
  const nothing = batches.map(() => 0)
  const { getBuiltinModule } = globalThis.process ?? {}
  if (getBuiltinModule === undefined || batches.length === 0) return nothing
  try {
    const deadline = performance.now() + timeoutMillis
    const { Worker } = getBuiltinModule("node:worker_threads")
    const answers = new Int32Array(new SharedArrayBuffer(4 * (1 + batches.length * answerInts)))
    // Copies, which are then handed over: the batches are the caller's, and may be views of something larger.
    const bodies = batches.map(({ bytes }) => bytes.slice())
    const job: Job = { ...destination, bodies, answers, answerInts }
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
      workerData: job,
      transferList: bodies.map(({ buffer }) => buffer),
      // Not what the program preloads, such as instrumentation, which would come before the spans.
      execArgv: [],
      env: {},
      stdout: true,
      stderr: true
    })
    // It is told of no exit that a listener prevents, as on Deno after an uncaught exception: then the thread ends alone.
    worker.on("error", () => undefined)
    worker.unref()
    for (let settled = 0; settled < batches.length; settled = Atomics.load(answers, 0)) {
      const left = deadline - performance.now()
      if (left <= 0 || Atomics.wait(answers, 0, settled, left) === "timed-out") break
    }
    worker.terminate().catch(() => undefined)
    return batches.map(({ count }, index) => takenOf(answers, index, count))
  } catch {
    return nothing
  }
}

/** What the thread is given. */
interface Job extends Destination {
  readonly bodies: ReadonlyArray<Uint8Array>
  /** How many requests are over; then, for each, `answerInts` integers: its status, the length of its body, its body. */
  readonly answers: Int32Array
  readonly answerInts: number
}

/** Room for the count and the reason of a partial success; what does not fit is not needed. */
const answerInts = 1024

const takenOf = (answers: Int32Array, index: number, count: number): number => {
  const at = 1 + index * answerInts
  const status = Atomics.load(answers, at)
  if (status < 200 || status > 299) return 0
  const body = new Uint8Array(answers.buffer, 4 * (at + 2), answers[at + 1]).slice()
  const { rejectedSpans } = Result.getOrElse(OtlpProtobuf.decodePartialSuccess(body), () => ({ rejectedSpans: 0 }))
  return Math.max(count - rejectedSpans, 0)
}

/**
 * What the thread does. Its text alone goes there: it may use nothing from around it, and no syntax for which a
 * compiler would.
 */
const work = (http: typeof Http, https: typeof Https, job: Job): void => {
  const client = job.url.startsWith("https:") ? https : http
  const agent = new client.Agent(Object.assign({ keepAlive: true }, job.tls))
  const { answerInts, answers, bodies, headers } = job
  let next = 0

  const settle = (index: number, status: number, body: Uint8Array): void => {
    const at = 1 + index * answerInts
    const room = new Uint8Array(answers.buffer, 4 * (at + 2), 4 * (answerInts - 2))
    if (body.length <= room.length) {
      room.set(body)
      answers[at + 1] = body.length
    }
    Atomics.store(answers, at, status)
    Atomics.add(answers, 0, 1)
    Atomics.notify(answers, 0)
  }

  // What Deno's own tracing asks before it records; it is the runtime's, and here as in the program.
  const { context } =
    (globalThis as { readonly [key: symbol]: { readonly context?: ContextManager } | undefined })[
      Symbol.for("opentelemetry.js.api.1")
    ] || {}
  const untraced = (run: () => void): void => {
    const key = Symbol.for("OpenTelemetry SDK Context Key SUPPRESS_TRACING")
    if (context === undefined) run()
    else context.with(context.active().setValue(key, true), run)
  }

  const post = (index: number, mayRetry: boolean): void => {
    const bytes = bodies[index]
    if (bytes === undefined) return
    let status = 0
    let isOver = false
    const end = (body: Uint8Array): void => {
      if (isOver) return
      isOver = true
      if (status === 0 && mayRetry) {
        setTimeout(() => post(index, false), 50)
      } else {
        settle(index, status, body)
        // When the connection is free again.
        queueMicrotask(() => post(next++, true))
      }
    }
    const request = client.request(job.url, {
      method: "POST",
      agent,
      headers: Object.assign({ "content-length": bytes.length }, headers)
    })
    request.on("response", (response) => {
      status = response.statusCode ?? 0
      const chunks: Array<Uint8Array> = []
      let size = 0
      response.on("data", (chunk: Uint8Array) => {
        size += chunk.length
        if (size <= 4 * answerInts) chunks.push(chunk)
      })
      response.on("end", () => {
        const body = new Uint8Array(size <= 4 * answerInts ? size : 0)
        let at = 0
        for (const chunk of chunks) {
          body.set(chunk, at)
          at += chunk.length
        }
        end(body)
      })
      response.on("error", () => undefined)
    })
    request.on("error", () => undefined)
    // However it closed: a status that came without the rest is an answer all the same.
    request.on("close", () => end(new Uint8Array()))
    request.end(bytes)
  }

  untraced(() => {
    while (next < 4) post(next++, true)
  })
}

// A file beside this one would need permission to read on Deno, and would not be there in a bundle; the text of a type-
// checked function is in both. Bundlers that keep the names of functions call their `__name`, wherever a function is.
const source = `import * as http from "node:http"
import * as https from "node:https"
import { workerData } from "node:worker_threads"
const __name = (value) => value
;(${work.toString()})(http, https, workerData)`
