/**
 * Traces of a whole program in a test: it runs as the process that it is, on Node or Deno, and what it and the processes
 * that it starts send by OTLP becomes traces, for the same assertions as those of `TestTracing`.
 *
 * @since 0.1.0
 */
import * as ChildProcess from "node:child_process"
import { existsSync } from "node:fs"
import * as Path from "node:path"
import type { Readable } from "node:stream"
import { fileURLToPath } from "node:url"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { table } from "../SettingsTable.ts"
import type { SpanRecord } from "../SpanRecord.ts"
import * as TraceTree from "../TraceTree.ts"
import * as OtlpReceiver from "./OtlpReceiver.ts"

/**
 * A program that could not be started, or was not done in time.
 *
 * @since 0.1.0
 */
export class CollectError extends Schema.TaggedError<CollectError>()("CollectError", {
  program: Schema.String,
  reason: Schema.Literals(["notStarted", "notDone"]),
  /** What went wrong, as a sentence, with what the program has written so far. */
  message: Schema.String,
  /** What it has written so far. */
  stdout: Schema.String,
  stderr: Schema.String
}) {}

/**
 * How a program is run.
 *
 * @since 0.1.0
 */
export interface CollectOptions {
  /** Default: the one that runs the test. The other one is found on the PATH, by its name. */
  readonly runtime?: "node" | "deno" | undefined
  /** The runtime's file or its name on the PATH, instead. */
  readonly executable?: string | undefined
  /** What the program gets. Default: nothing. */
  readonly arguments?: ReadonlyArray<string> | undefined
  /** What the runtime gets before the program. Default: nothing for Node, `run --allow-all --no-lock` for Deno. */
  readonly runtimeArguments?: ReadonlyArray<string> | undefined
  /** Variables besides those of the test, or instead of them. Default: none. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Default: the test's own. */
  readonly cwd?: string | undefined
  /** How long it may take, on the machine's clock, before it is killed. Default: 30 seconds. */
  readonly timeout?: Duration.Input | undefined
}

/**
 * How a program ended, and what it left.
 *
 * @since 0.1.0
 */
export interface Collected {
  /** `null` where a signal ended it. */
  readonly exitCode: number | null
  readonly signal: string | null
  /** The first 1 MiB of it. */
  readonly stdout: string
  /** The first 1 MiB of it. */
  readonly stderr: string
  /** By time; siblings that overlap, tops of traces included, by name. */
  readonly traces: ReadonlyArray<TraceTree.Trace>
  /** What of that which it sent was refused, a sentence for each request. */
  readonly faults: ReadonlyArray<string>
}

/**
 * Runs a program to its end, and gives how it ended with the traces that it sent.
 *
 * **Details**: the program is a file's path or URL, or whatever else its runtime takes a URL for. Its environment is the
 * test's, but what there is about tracing (`HANDSPAN_*`, `OTEL_*`, `TRACING_*`, their aliases in `Settings.table` and a
 * `TRACEPARENT`) gives way to an OTLP receiver of its own, which every OpenTelemetry SDK that reads `OTEL_*` finds, and
 * so do processes that the program starts. It gets no input.
 *
 * Spans that ran side by side are in another order each time, so siblings that overlap in time, be it through others,
 * come by their name: `[agent b, agent a]` and `[agent a, agent b]` are one tree. Those that follow each other come by
 * time. Where siblings of one name overlap, or overlap in some runs only, expect them with `Tree.anyOrder`.
 *
 * Interruption kills the program; what it has started itself it must end itself. On Deno a test needs `--allow-env`,
 * `--allow-net`, `--allow-read` and `--allow-run`.
 *
 * **Gotchas**: `Tracing.layerOtlp()` reads no environment: a program under test takes `Tracing.layerFromEnv`.
 *
 * **Fails with** `CollectError` when the program cannot be started, or is not done in time: then it has been killed, and
 * the message tells what it wrote until then. A program that ends badly is no failure: look at `exitCode`.
 *
 * @example
 * ```ts
 * import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
 * import { tmpdir } from "node:os"
 * import { Effect } from "effect"
 * import * as Testing from "handspan/testing"
 *
 * const folder = mkdtempSync(`${tmpdir()}/collect-`)
 * writeFileSync(`${folder}/program.mjs`, "console.log(process.env.OTEL_TRACES_EXPORTER)")
 * const { exitCode, stdout, traces } = await Effect.runPromise(Testing.collect(`${folder}/program.mjs`))
 * rmSync(folder, { recursive: true })
 * if (exitCode !== 0 || stdout !== "otlp\n" || traces.length > 0) throw new Error("expected no trace of this program")
 * ```
 *
 * @since 0.1.0
 */
export const collect = (program: string | URL, options: CollectOptions = {}): Effect.Effect<Collected, CollectError> =>
  Effect.gen(function* () {
    const receiver = yield* OtlpReceiver.open
    const ended = yield* run(program, options, receiver.url)
    // Its own connections are closed. A daemon that it has left behind may keep one open for good.
    yield* Effect.timeoutOption(receiver.settled, "1 second").pipe(Effect.provideService(Clock.Clock, live))
    const spans = receiver.spans()
    return { ...ended, traces: TraceTree.fromSpans(spans, orderOf(spans)), faults: receiver.faults() }
  }).pipe(Effect.scoped)

// A process takes its time by the machine's clock, whatever the test's says.
const live = Context.get(Context.empty(), Clock.Clock)

const ownRuntime = () => (process.versions["deno"] === undefined ? "node" : "deno")

const runtimeDefaults = { node: [], deno: ["run", "--allow-all", "--no-lock"] }

type Ended = Omit<Collected, "traces" | "faults">

const run = (program: string | URL, options: CollectOptions, endpoint: string): Effect.Effect<Ended, CollectError> =>
  Effect.suspend(() => {
    const { cwd = process.cwd(), runtime = ownRuntime(), timeout = "30 seconds" } = options
    const { executable = runtime === ownRuntime() ? process.execPath : runtime } = options
    const file = fileOf(program)
    const errors = errorsOf(file)
    if (!isUrl(file) && !existsSync(Path.resolve(cwd, file))) {
      return errors("notStarted", `there is no such file in "${cwd}": give its path or URL`)
    }
    const spawned = Result.try(() =>
      ChildProcess.spawn(
        executable,
        [...(options.runtimeArguments ?? runtimeDefaults[runtime]), file, ...(options.arguments ?? [])],
        { cwd, env: { ...environment(endpoint), ...options.env }, stdio: ["ignore", "pipe", "pipe"] }
      )
    )
    // An argument that no process can have, or Deno's permissions.
    if (Result.isFailure(spawned)) return errors("notStarted", (spawned.failure as Error).message)
    const child = spawned.success
    const stdout = capture(child.stdout)
    const stderr = capture(child.stderr)
    const ended = Effect.callback<Ended, CollectError>((resume) => {
      child.on("error", ({ message }) =>
        resume(errors("notStarted", `${message}: give an executable that is there, or have it on the PATH`))
      )
      const end = (exitCode: number | null, signal: string | null): void => {
        clearTimeout(timer)
        resume(Effect.succeed({ exitCode, signal, stdout: stdout(), stderr: stderr() }))
      }
      let timer: ReturnType<typeof setTimeout> | undefined
      child.on("close", end)
      // A daemon that it has left behind may hold its output open for good.
      child.on("exit", (exitCode, signal) => {
        timer = setTimeout(() => {
          child.stdout.destroy()
          child.stderr.destroy()
          end(exitCode, signal)
        }, maxOutputMillis)
      })
      return kill(child)
    })
    const late = () =>
      errors(
        "notDone",
        `it was not done within ${Duration.format(Duration.fromInputUnsafe(timeout))}, and was killed: allow more by timeout`,
        { stdout: stdout(), stderr: stderr() }
      )
    return Effect.timeoutOrElse(ended, { duration: timeout, orElse: late }).pipe(
      Effect.provideService(Clock.Clock, live)
    )
  })

/** Ends a child by its own handle, and waits until it is gone. Processes that it has left may hold its output open. */
const kill = (child: ChildProcess.ChildProcessByStdio<null, Readable, Readable>): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const end = () => {
      clearTimeout(timer)
      child.stdout.destroy()
      child.stderr.destroy()
      resume(Effect.void)
    }
    const timer = setTimeout(end, maxKillMillis)
    child.once("close", end)
    child.kill("SIGKILL")
  })

const maxKillMillis = 1000
/** How long what a program has written may take to come through after its end. */
const maxOutputMillis = 500

const fileOf = (program: string | URL): string => {
  const url = typeof program === "string" ? (isUrl(program) ? URL.parse(program) : null) : program
  return url?.protocol === "file:" ? fileURLToPath(url) : String(program)
}

/** A drive has one letter, a scheme more. */
const isUrl = (text: string): boolean => /^[a-z][a-z\d+.-]+:/i.test(text)

const errorsOf =
  (program: string) =>
  (reason: CollectError["reason"], problem: string, output?: { readonly stdout: string; readonly stderr: string }) => {
    const { stderr = "", stdout = "" } = output ?? {}
    const written = Object.entries({ stdout, stderr }).map(([name, text]) => `\n${name}:\n${text.trimEnd()}`)
    const message = `Cannot collect from "${program}": ${problem}${output === undefined ? "" : written.join("")}`
    return Effect.fail(new CollectError({ program, reason, message, stdout, stderr }))
  }

/** What a test may have been started with, and must not reach the program: where its own traces go, and to which trace. */
const ofTracing = new Set([
  ...Object.entries(table)
    .filter(([setting]) => /^(enabled|exporters|otlp|jaeger)/.test(setting))
    .flatMap(([, { variables }]) => variables.map(({ name }) => name)),
  "TRACEPARENT",
  "TRACESTATE",
  "BAGGAGE"
])

const environment = (endpoint: string): Readonly<Record<string, string | undefined>> => {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !ofTracing.has(name.toUpperCase()) && !/^(HANDSPAN|OTEL|TRACING)_/i.test(name)
  )
  const unproxied = [process.env["NO_PROXY"] ?? process.env["no_proxy"], "127.0.0.1"].filter(Boolean).join(",")
  return {
    ...Object.fromEntries(inherited),
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
    OTEL_TRACES_EXPORTER: "otlp",
    // Spans are all that is received.
    OTEL_METRICS_EXPORTER: "none",
    OTEL_LOGS_EXPORTER: "none",
    NO_PROXY: unproxied,
    no_proxy: unproxied
  }
}

const maxOutputBytes = 1024 * 1024

/** Reads a stream to its end and keeps its beginning. */
const capture = (stream: Readable): (() => string) => {
  const chunks: Array<Uint8Array> = []
  let size = 0
  stream.on("data", (chunk: Uint8Array) => {
    if (size < maxOutputBytes) chunks.push(chunk.subarray(0, maxOutputBytes - size))
    size += chunk.length
  })
  return () => {
    const isCut = size > maxOutputBytes
    // As a stream, of which half a character at the end is left out.
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(Buffer.concat(chunks), { stream: isCut })
    return isCut ? `${text}\n[cut after 1 MiB]` : text
  }
}

/** Numbers all spans by their place in their trees, where siblings that overlap stand by name. */
const orderOf = (spans: ReadonlyArray<SpanRecord>): ((a: SpanRecord, b: SpanRecord) => number) => {
  const places = new Map<SpanRecord, number>()
  const waiting = inOrder(TraceTree.fromSpans(spans).flatMap(({ roots }) => roots)).toReversed()
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    places.set(node.span, places.size)
    for (const child of inOrder(node.children).toReversed()) waiting.push(child)
  }
  return (a, b) => (places.get(a) ?? 0) - (places.get(b) ?? 0)
}

const inOrder = (siblings: ReadonlyArray<TraceTree.Node>): ReadonlyArray<TraceTree.Node> => {
  const together: Array<Array<TraceTree.Node>> = []
  let reached = -1n
  for (const node of siblings.toSorted((a, b) => compare(a.span.startTimeUnixNano, b.span.startTimeUnixNano))) {
    const { endTimeUnixNano, startTimeUnixNano } = node.span
    if (startTimeUnixNano < reached) together.at(-1)?.push(node)
    else together.push([node])
    if (endTimeUnixNano > reached) reached = endTimeUnixNano
  }
  return together.flatMap((nodes) => nodes.toSorted((a, b) => compare(a.span.name, b.span.name)))
}

const compare = <A extends bigint | string>(a: A, b: A): number => (a < b ? -1 : a > b ? 1 : 0)
