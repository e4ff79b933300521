/**
 * Spans to an OTLP receiver, by one of its three protocols: protobuf over HTTP is `OtlpHttp`'s, the others are those of
 * OpenTelemetry's exporters. Reads no environment; `Settings` does.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Exporter from "../Exporter.ts"
import * as Variable from "../Variable.ts"
import * as OpenTelemetry from "./OpenTelemetry.ts"
import * as OtlpHttp from "./OtlpHttp.ts"
import { OtlpSetupError } from "./OtlpHttp.ts"

export { OtlpSetupError } from "./OtlpHttp.ts"

/**
 * How spans travel to an OTLP receiver.
 *
 * @since 0.1.0
 */
export type Protocol = "http/json" | "http/protobuf" | "grpc"

/**
 * Where and how to send spans.
 *
 * @since 0.1.0
 */
export interface Options {
  /** The receiver's base URL, to which `/v1/traces` is added. Default: `http://localhost:4318`. */
  readonly endpoint?: string | undefined
  /** The receiver's URL for traces, taken as it is, in place of `endpoint`. */
  readonly url?: string | undefined
  /** Default: grpc for port 4317, `http/protobuf` for any other, but `http/json` in a browser. */
  readonly protocol?: Protocol | undefined
  /** Headers, or gRPC metadata, of each request. Default: none. */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted>> | undefined
  /** PEM files for `https`: authorities to trust, and what to show the receiver. Default: the system's, and nothing. */
  readonly tls?: { readonly certificate?: string; readonly clientCertificate?: string; readonly clientKey?: string }
  /** How long one export may take. Default: 10 seconds. */
  readonly timeout?: Duration.Input | undefined
  /** Default: none. */
  readonly compression?: OtlpHttp.Compression | undefined
  /** How long `flush` and `shutdown` of OpenTelemetry's exporters may take; `http/protobuf` ends at once. Default: 3 seconds. */
  readonly shutdownTimeout?: Duration.Input | undefined
}

type Load = () => Promise<{ readonly OTLPTraceExporter: new (options: object) => OpenTelemetry.SpanExporter }>

// A bundler lets a package be missing only where its import is caught on the spot; `load` says which one it is.
const rethrow = (cause: unknown): Promise<never> => Promise.reject(cause)

/** The protocols for which there is an exporter of OpenTelemetry's. */
type Foreign = Exclude<Protocol, "http/protobuf">

// Loaded when asked for: gRPC alone takes longer to load than all the rest.
const packages: Record<Foreign, { readonly name: string; readonly load: Load }> = {
  "http/json": {
    name: "@opentelemetry/exporter-trace-otlp-http",
    load: () => import("@opentelemetry/exporter-trace-otlp-http").catch(rethrow)
  },
  grpc: {
    name: "@opentelemetry/exporter-trace-otlp-grpc",
    load: () => import("@opentelemetry/exporter-trace-otlp-grpc").catch(rethrow)
  }
}

/**
 * Makes the exporter to an OTLP receiver.
 *
 * **Details**: 4317 is OTLP's port for gRPC, where HTTP gets no answer that means a thing. If the protocol is left open
 * there, it is grpc if its package is installed, else HTTP on port 4318, with a warning in the log. An HTTP protocol
 * asked for there is used, with a warning in the log and in every failure. A URL with `https` is TLS, with `http` it is
 * not, for gRPC too. The variables that the OpenTelemetry exporters know do not count here.
 * On Deno, HTTP needs `--allow-net` for the receiver, and `--allow-read` for PEM files; gRPC also reads variables of its own at the first
 * request: `--allow-env=GRPC_*,grpc_proxy,https_proxy,http_proxy,no_grpc_proxy,no_proxy`.
 *
 * A failure that may pass is told at once, for Delivery to try again; spans that a receiver refuses out of a batch that
 * it takes (OTLP §Partial Success) are told as refused.
 *
 * **Fails with** `OtlpSetupError` when the URL is none, when the package for the protocol is not installed, or as
 * `OtlpHttp.make` does.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as Otlp from "handspan/exporter/Otlp"
 *
 * const error = Effect.runSync(Effect.flip(Otlp.make({ endpoint: "ftp://collector" })))
 * if (!error.message.includes("ftp://collector")) throw new Error("expected the URL in the message")
 * ```
 *
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<Exporter.Exporter, OtlpSetupError> =>
  Effect.gen(function* () {
    const asked = options.url ?? options.endpoint ?? "http://localhost:4318"
    const url = Variable.httpUrl(options.url ?? Variable.tracesUrl(asked) ?? "")
    if (url === undefined) {
      return yield* new OtlpSetupError({
        message: `Cannot export to "${Variable.redactUrl(asked)}": it is no http:// or https:// URL`
      })
    }
    return yield* choose(url, options)
  })

const byProtobuf = (url: URL, options: Options) =>
  OtlpHttp.make({
    url,
    headers: headersOf(options),
    timeout: timeoutOf(options),
    compression: options.compression ?? "none",
    ...(options.tls === undefined ? {} : { tls: options.tls })
  })

const load = (protocol: Foreign) => {
  const { load: open, name } = packages[protocol]
  return Effect.tryPromise({
    try: open,
    catch: (cause) =>
      new OtlpSetupError({
        message: `Cannot export by ${protocol}: package ${name} is missing: run \`npm install ${name}\``,
        cause
      })
  })
}

const byForeign = Effect.fnUntraced(function* (protocol: Foreign, url: URL, options: Options) {
  const { OTLPTraceExporter } = yield* load(protocol)
  if (options.compression === "zstd") {
    return yield* new OtlpSetupError({
      message: `Cannot compress by zstd for ${protocol}: use gzip, or the protocol http/protobuf`
    })
  }
  const headers = headersOf(options)
  const exporter = yield* Effect.try({
    try: () =>
      withEnvironment(
        variablesOf(headers, options),
        () =>
          new OTLPTraceExporter({
            url: protocol === "grpc" ? url.origin : url.href,
            // In a browser they find no variables. For gRPC these would have to be its own Metadata.
            ...(protocol === "grpc" ? {} : { headers }),
            timeoutMillis: timeoutOf(options),
            compression: options.compression ?? "none"
          })
      ),
    catch: (cause) => new OtlpSetupError({ message: `Cannot make the OTLP exporter to ${url.origin}`, cause })
  })
  const adapted = OpenTelemetry.fromSpanExporter("otlp", exporter, options)
  return { ...withTakenOver(adapted, takeOver(exporter)), spoolAs: `${url.host}${url.pathname}` }
})

const by = (protocol: Protocol, url: URL, options: Options): Effect.Effect<Exporter.Exporter, OtlpSetupError> =>
  protocol === "http/protobuf" ? byProtobuf(url, options) : byForeign(protocol, url, options)

const choose = Effect.fnUntraced(function* (url: URL, options: Options) {
  const { protocol: asked } = options
  const byDefault = OtlpHttp.isSupported() ? "http/protobuf" : "http/json"
  if (url.port !== "4317" || asked === "grpc") return yield* by(asked ?? byDefault, url, options)
  const trap = `port 4317 of ${url.hostname} is OTLP's port for gRPC`
  if (asked !== undefined) {
    const hint = `${trap}, but the protocol is ${asked}: use port 4318, or set OTEL_EXPORTER_OTLP_PROTOCOL=grpc`
    yield* Effect.logWarning(`handspan: ${hint}`)
    return withHint(yield* by(asked, url, options), hint)
  }
  const missing = yield* Effect.match(load("grpc"), { onSuccess: () => undefined, onFailure: (error) => error })
  if (missing === undefined) return yield* by("grpc", url, options)
  url.port = "4318"
  yield* Effect.logWarning(`handspan: ${trap}, so spans go to port 4318 by ${byDefault}. For gRPC: ${missing.message}`)
  return yield* by(byDefault, url, options)
})

const withHint = (adapted: Exporter.Exporter, hint: string): Exporter.Exporter => ({
  ...adapted,
  export: (batch) =>
    Effect.mapError(
      adapted.export(batch),
      ({ exporter, message, refused, retryAfterMillis, retryable }) =>
        new Exporter.ExportError({
          exporter,
          message: `${message}; ${hint}`,
          refused,
          retryable,
          ...(retryAfterMillis === undefined ? {} : { retryAfterMillis })
        })
    )
})

const timeoutOf = ({ timeout = "10 seconds" }: Options): number => Math.max(Duration.toMillis(timeout), 1)

/** What a receiver says of spans that it refused out of a batch it took (OTLP §Partial Success). */
interface PartialSuccess {
  readonly rejectedSpans?: number | string | undefined
  readonly errorMessage?: string | undefined
}

/** A pool of connections, as `node:http` has them. */
interface Agent {
  readonly destroy: () => void
}

interface Transport {
  readonly _transport?: Transport
  readonly _parameters?: { agentFactory?: (protocol: string) => Agent | Promise<Agent> }
}

interface Delegate {
  _transport?: Transport
  _responseHandler?: object
}

/**
 * Takes three things over from OpenTelemetry's exporter, whose version is pinned and which has no option for them: its
 * own retry, beside Delivery's, whose timers would hold the process for up to ten seconds after the program; its
 * connections, which a receiver that never answers would hold open as long; and what it does with a partial success,
 * which is a debug line.
 */
const takeOver = (exporter: object) => {
  const delegate = (exporter as { readonly _delegate?: Delegate })._delegate
  let last: PartialSuccess | undefined
  let agent: Agent | undefined
  if (delegate?._transport?._transport !== undefined) delegate._transport = delegate._transport._transport
  const parameters = delegate?._transport?._parameters
  const makeAgent = parameters?.agentFactory
  if (parameters !== undefined && makeAgent !== undefined) {
    parameters.agentFactory = async (protocol) => {
      agent = await makeAgent(protocol)
      return agent
    }
  }
  if (delegate?._responseHandler !== undefined) {
    delegate._responseHandler = {
      handleResponse: (answer: { readonly partialSuccess?: PartialSuccess } | undefined) => {
        last = answer?.partialSuccess
      }
    }
  }
  return {
    /** What the last answer said, once. */
    partialSuccess: () => {
      const taken = last
      last = undefined
      return taken
    },
    disconnect: () => agent?.destroy()
  }
}

const withTakenOver = (
  adapted: Exporter.Exporter,
  { disconnect, partialSuccess }: ReturnType<typeof takeOver>
): Exporter.Exporter => ({
  ...adapted,
  // First: what is still under way was given up by whoever shuts down, and shutting down would wait for it.
  shutdown: Effect.andThen(Effect.sync(disconnect), adapted.shutdown),
  export: (batch) =>
    Effect.flatMap(adapted.export(batch), () => {
      const { errorMessage = "no reason given", rejectedSpans = 0 } = partialSuccess() ?? {}
      const refused = Number(rejectedSpans)
      return refused > 0
        ? new Exporter.ExportError({
            exporter: adapted.name,
            message: `The receiver refused ${refused} of ${batch.count}: ${OpenTelemetry.printable(errorMessage)}`,
            retryable: false,
            refused
          })
        : Effect.void
    })
})

const headersOf = ({ headers = {} }: Options): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Redacted.isRedacted(value) ? Redacted.value(value) : value])
  )

// What the exporters take as variables alone: files for TLS and, for gRPC, headers, else wanted as an object of a
// package that is not ours to import.
const variablesOf = (headers: Readonly<Record<string, string>>, { tls = {} }: Options): Record<string, string> => ({
  OTEL_EXPORTER_OTLP_HEADERS: Object.entries(headers)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join(","),
  OTEL_EXPORTER_OTLP_CERTIFICATE: tls.certificate ?? "",
  OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: tls.clientCertificate ?? "",
  OTEL_EXPORTER_OTLP_CLIENT_KEY: tls.clientKey ?? ""
})

// The exporters read some fifteen variables when they are made. They would mix other headers into ours, and on Deno
// reading what is not permitted throws. So while one is made, which is one synchronous step, they find what we set.
const withEnvironment = <A>(variables: Readonly<Record<string, string>>, evaluate: () => A): A => {
  const { process } = globalThis as { readonly process?: { env: Readonly<Record<string, string | undefined>> } }
  if (process === undefined) return evaluate()
  const environment = process.env
  process.env = variables
  try {
    return evaluate()
  } finally {
    process.env = environment
  }
}
