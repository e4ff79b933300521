/**
 * The table of every setting: what it means, its default, and the variables of the environment that set it. How they are
 * read is in `Settings`.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import type { CaptureMode } from "./Content.ts"
import { Key } from "./Conventions.ts"
import * as SamplingRules from "./SamplingRules.ts"
import {
  anyIsNo,
  anyText,
  baseEndpoint,
  duration,
  endpoint,
  flag,
  headers,
  host,
  integer,
  listOf,
  millis,
  oneOf,
  openTelemetryFlag,
  pairs,
  ratio,
  row,
  timeout
} from "./Variable.ts"
import type { Trust } from "./TraceContext.ts"
import type * as Variable from "./Variable.ts"

/**
 * Where spans can go.
 *
 * @since 0.1.0
 */
export type ExporterName = "console" | "otlp" | "in_memory" | "none"

/**
 * Whose defaults to start from.
 *
 * @since 0.1.0
 */
export type ProfileName = "development" | "production" | "test"

const samplers = ["always_on", "always_off", "traceidratio"] as const

/**
 * How it is decided which traces are recorded, by OpenTelemetry's names.
 *
 * @since 0.1.0
 */
export type SamplerName = (typeof samplers)[number] | `parentbased_${(typeof samplers)[number]}`

const samplerNames = oneOf<SamplerName>(...samplers, ...samplers.map((name) => `parentbased_${name}` as const))

/**
 * How trace context is written into headers, by OpenTelemetry's names.
 *
 * @since 0.1.0
 */
export type PropagatorName = "tracecontext" | "baggage" | "b3" | "b3multi" | "none"

const exporterNames = listOf("console", "otlp", "jaeger", "in_memory", "none")

const withoutJaeger = (names: ReadonlyArray<ExporterName | "jaeger">): ReadonlyArray<ExporterName> => [
  ...new Set(names.map((name) => (name === "jaeger" ? "otlp" : name)))
]

const exporterList: Variable.Parser<ReadonlyArray<ExporterName>> = {
  allowed: exporterNames.allowed,
  parse: (text) => {
    const names = exporterNames.parse(text)
    return names && withoutJaeger(names)
  },
  salvage: (text) => {
    const left = exporterNames.salvage?.(text)
    return left && { value: withoutJaeger(left.value), text: left.text }
  }
}

const samplingRules: Variable.Parser<string> = {
  allowed: 'rules such as agent=critic: 0.1; name="chat *": 5/s; *: always',
  parse: (text) => (Result.isSuccess(SamplingRules.parse(text)) ? text : undefined)
}

const capture = oneOf<CaptureMode>("NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT")

/** Older versions of the variable were a flag, which some programs still set. */
const captureOrFlag: Variable.Parser<CaptureMode> = {
  ...capture,
  parse: (text) => {
    const yes = flag(true).parse(text)
    return yes === undefined ? capture.parse(text) : yes ? "SPAN_ONLY" : "NO_CONTENT"
  }
}

const resourceAttribute = (key: string): Variable.Variable<string> => ({
  name: "OTEL_RESOURCE_ATTRIBUTES",
  parser: anyText,
  key
})

/**
 * Every setting with what it means, its default and the variables that set it, which count in their order.
 *
 * @since 0.1.0
 */
export const table = {
  profile: row<ProfileName | undefined>(
    "Whose defaults to start from; all that is more specific wins. `development`: the console, pretty, and every trace. " +
      "`production`: OTLP, and 10 % of the traces that begin here. `test`: memory, and every trace. Each also names the " +
      "environment.",
    undefined,
    oneOf("development", "production", "test"),
    "HANDSPAN_PROFILE"
  ),
  enabled: row(
    "Whether spans are recorded at all.",
    true,
    flag(true),
    "HANDSPAN_ENABLED",
    { name: "OTEL_SDK_DISABLED", parser: openTelemetryFlag(false) },
    "TRACING_ENABLED",
    "ENABLE_TRACING",
    "LOOM_TELEMETRY_AUTO"
  ),
  exporters: row<ReadonlyArray<ExporterName>>(
    "Where spans go, one or several with commas between. `jaeger` means OTLP to Jaeger's host. Unset: otlp where " +
      "an OTLP endpoint or the environment `production` or `staging` is set, else console.",
    ["console"],
    exporterList,
    "HANDSPAN_EXPORTER",
    "OTEL_TRACES_EXPORTER",
    "TRACING_EXPORTER"
  ),
  sampler: row<SamplerName>(
    "Which traces are recorded: all, none, or a share of them, by their id. With `parentbased_`, a trace that began " +
      "elsewhere is recorded where it was there.",
    "parentbased_always_on",
    samplerNames,
    "HANDSPAN_SAMPLER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACE_SAMPLER"
  ),
  samplerRatio: row(
    "The share of traces that `traceidratio` and `parentbased_traceidratio` record.",
    1,
    ratio,
    "HANDSPAN_SAMPLER_ARG",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_TRACE_SAMPLER_ARG"
  ),
  samplingRules: row(
    "Rules for agents, pipelines and spans; the sampler decides where none of them is met.",
    "",
    samplingRules,
    "HANDSPAN_SAMPLING_RULES"
  ),
  samplingRulesFile: row(
    "A JSON file of such rules, which come before those, and are read again when it changes.",
    "",
    anyText,
    "HANDSPAN_SAMPLING_RULES_FILE"
  ),
  propagators: row<ReadonlyArray<PropagatorName>>(
    "How trace context is written into headers, and read from them.",
    ["tracecontext", "baggage"],
    listOf("tracecontext", "baggage", "b3", "b3multi", "none"),
    "HANDSPAN_PROPAGATORS",
    "OTEL_PROPAGATORS"
  ),
  inboundTrust: row<Trust>(
    "What is done with the trace that a caller sends: `follow` goes on with it, `link` begins one of our own that links to " +
      "it, `ignore` begins one. For services that anybody may call.",
    "follow",
    oneOf("follow", "link", "ignore"),
    "HANDSPAN_INBOUND_TRUST"
  ),
  redaction: row(
    "Whether keys, tokens, cards, passwords and e-mail addresses are taken out of what spans hold.",
    true,
    flag(true),
    "HANDSPAN_REDACTION"
  ),
  captureContent: row<CaptureMode>(
    "What is recorded of the inputs and outputs of agents and pipelines. `NAMED_ONLY`: the fields that agents name. " +
      "`NO_CONTENT`: not even those. The others: all, on spans, on events, or both; of those that name fields, these.",
    "NAMED_ONLY",
    oneOf("NO_CONTENT", "NAMED_ONLY", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"),
    "HANDSPAN_CAPTURE_CONTENT",
    { name: "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", parser: captureOrFlag }
  ),
  contentLength: row(
    "How many characters of each such input and output are kept.",
    16_384,
    integer(0),
    "HANDSPAN_CONTENT_LENGTH"
  ),
  consoleFormat: row(
    "How the console exporter writes spans.",
    "pretty",
    oneOf("pretty", "line", "trace", "continuum", "json"),
    "HANDSPAN_CONSOLE_FORMAT"
  ),
  consoleOutput: row(
    "Where the console exporter writes to.",
    "stderr",
    oneOf("stdout", "stderr"),
    "HANDSPAN_CONSOLE_OUTPUT"
  ),
  consoleColors: row<boolean | undefined>(
    "Whether the console exporter paints. `NO_COLOR`, whatever its text, means no. Unset: only on a terminal.",
    undefined,
    anyIsNo,
    "NO_COLOR"
  ),
  otlpEndpoint: row(
    "The OTLP receiver. The `TRACES` variable is taken as it is; all others, and what code gives, are base URLs, to " +
      "which `/v1/traces` is added unless they end so.",
    "http://localhost:4318/v1/traces",
    baseEndpoint,
    "HANDSPAN_OTLP_ENDPOINT",
    { name: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", parser: endpoint },
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTLP_ENDPOINT",
    "TRACING_OTLP_ENDPOINT",
    "JAEGER_ENDPOINT"
  ),
  otlpProtocol: row<"http/json" | "http/protobuf" | "grpc" | undefined>(
    "How spans travel to it. Without it the endpoint decides: grpc for port 4317, else http/protobuf.",
    undefined,
    oneOf("http/json", "http/protobuf", "grpc"),
    "HANDSPAN_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL"
  ),
  otlpHeaders: row(
    "Headers of each request to it, such as keys; they are kept from logs and spans.",
    {},
    headers,
    "HANDSPAN_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_HEADERS"
  ),
  otlpTimeout: row(
    "How long one request to it may take, in milliseconds.",
    Duration.seconds(10),
    timeout,
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TIMEOUT"
  ),
  otlpCompression: row(
    "How requests to it are compressed; zstd is for http/protobuf and for receivers that take it.",
    "none",
    oneOf("none", "gzip", "zstd"),
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_COMPRESSION"
  ),
  otlpCertificate: row(
    "The PEM file of the authorities that its https certificate is checked with.",
    "",
    anyText,
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE"
  ),
  otlpClientCertificate: row(
    "The PEM file of the certificate to show it.",
    "",
    anyText,
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"
  ),
  otlpClientKey: row(
    "The PEM file of its key.",
    "",
    anyText,
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY"
  ),
  jaegerHost: row("The host that the exporter `jaeger` means.", "localhost", host, "TRACING_JAEGER_HOST"),
  jaegerPort: row(
    "Its port. Only 4317 and 4318 take OTLP; any other means 4318.",
    4318,
    integer(1),
    "TRACING_JAEGER_PORT"
  ),
  serviceName: row(
    "The service that spans belong to.",
    "unknown_service",
    anyText,
    "HANDSPAN_SERVICE_NAME",
    "OTEL_SERVICE_NAME",
    resourceAttribute(Key.serviceName)
  ),
  serviceVersion: row(
    "Its version, empty where it is not known.",
    "",
    anyText,
    "HANDSPAN_SERVICE_VERSION",
    "OTEL_SERVICE_VERSION",
    resourceAttribute(Key.serviceVersion)
  ),
  environment: row(
    "The environment it is deployed in.",
    "production",
    anyText,
    "HANDSPAN_ENVIRONMENT",
    resourceAttribute(Key.deploymentEnvironmentName),
    resourceAttribute(Key.deploymentEnvironment),
    "ENVIRONMENT"
  ),
  resourceAttributes: row("More attributes of it.", {}, pairs, "OTEL_RESOURCE_ATTRIBUTES"),
  logFormat: row(
    "How log lines carry the ids of their span: as annotations, as JSON lines, not at all.",
    "annotate",
    oneOf("annotate", "json", "none"),
    "HANDSPAN_LOG_FORMAT"
  ),
  shutdownTimeout: row(
    "How long the program may wait at its end for spans to leave.",
    Duration.seconds(5),
    duration,
    "HANDSPAN_SHUTDOWN_TIMEOUT"
  ),
  exportTimeout: row(
    "How long one export may take, in milliseconds.",
    Duration.seconds(30),
    timeout,
    "OTEL_BSP_EXPORT_TIMEOUT"
  ),
  batchDelay: row(
    "How old a span may get before its batch leaves, in milliseconds.",
    Duration.seconds(5),
    millis,
    "OTEL_BSP_SCHEDULE_DELAY"
  ),
  queueSize: row(
    "How many spans may wait in memory; more go to the spool, or are dropped and counted.",
    262_144,
    integer(1),
    "HANDSPAN_QUEUE_SIZE",
    "OTEL_BSP_MAX_QUEUE_SIZE"
  ),
  queueBytes: row("How many bytes they may have.", 64 * 1024 * 1024, integer(1), "HANDSPAN_QUEUE_BYTES"),
  queuePolicy: row(
    "What happens when the queue is full: the spans that end then are dropped, or the oldest are, or agents and " +
      "pipelines are held at their next handoff until there is room, for a second at most.",
    "dropNewest",
    oneOf("dropNewest", "dropOldest", "block"),
    "HANDSPAN_QUEUE_POLICY"
  ),
  batchSize: row(
    "How many spans leave at once, at most.",
    4096,
    integer(1),
    "HANDSPAN_BATCH_SIZE",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
  ),
  spoolDirectory: row(
    "The folder that keeps spans until the receiver has them, across crashes and restarts. Unset: none is kept.",
    "",
    anyText,
    "HANDSPAN_SPOOL_DIRECTORY"
  ),
  spoolBytes: row("How many bytes the spool may have.", 256 * 1024 * 1024, integer(1), "HANDSPAN_SPOOL_BYTES"),
  spoolAge: row("How long the spool keeps spans.", Duration.days(7), duration, "HANDSPAN_SPOOL_AGE"),
  pendingSpans: row(
    "Whether a span is also sent when it starts, so that viewers show what is running. For receivers that know one " +
      "span by its id: others show it twice.",
    false,
    flag(true),
    "HANDSPAN_PENDING_SPANS"
  ),
  openSpanWarning: row<Duration.Duration>(
    "How long a span may be open before the log warns of it. Unset: for ever.",
    Duration.infinity,
    duration,
    "HANDSPAN_OPEN_SPAN_WARNING"
  ),
  spanAttributeCount: row(
    "How many attributes a span keeps.",
    128,
    integer(0),
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_COUNT_LIMIT"
  ),
  attributeValueLength: row(
    "How many characters a text attribute keeps.",
    Infinity,
    integer(0),
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"
  ),
  spanEventCount: row("How many events a span keeps.", 128, integer(0), "OTEL_SPAN_EVENT_COUNT_LIMIT"),
  spanLinkCount: row("How many links a span keeps.", 128, integer(0), "OTEL_SPAN_LINK_COUNT_LIMIT"),
  eventAttributeCount: row("How many attributes an event keeps.", 128, integer(0), "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT"),
  linkAttributeCount: row("How many attributes a link keeps.", 128, integer(0), "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT")
}

/**
 * What each profile changes of the defaults.
 *
 * @since 0.1.0
 */
export const profiles: Readonly<
  Record<ProfileName, { readonly [Name in keyof typeof table]?: (typeof table)[Name]["default"] }>
> = {
  development: {
    exporters: ["console"],
    consoleFormat: "pretty",
    sampler: "always_on",
    samplerRatio: 1,
    environment: "development"
  },
  production: {
    exporters: ["otlp"],
    sampler: "parentbased_traceidratio",
    samplerRatio: 0.1,
    environment: "production"
  },
  test: { exporters: ["in_memory"], sampler: "always_on", samplerRatio: 1, environment: "test" }
}
