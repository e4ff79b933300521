/**
 * The table of every setting: what it means, its default, and the variables of the environment that set it. Those of the
 * OTLP receiver are in `OtlpSettings`; how they are read is in `Settings`.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import type { CaptureMode } from "./Content.ts"
import { Key } from "./Conventions.ts"
import * as Excerpt from "./Excerpt.ts"
import { otlpRows } from "./OtlpSettings.ts"
import * as SamplingRules from "./SamplingRules.ts"
import type { ProfileName } from "./SettingsProfiles.ts"
import * as TailRulesText from "./TailRulesText.ts"
import { duration, durationOrInfinity, millis, timeLimit, timeout } from "./TimeVariable.ts"
import type { Trust } from "./TraceContext.ts"
import type * as Variable from "./Variable.ts"
import {
  anyIsNo,
  anyText,
  flag,
  integer,
  integerOrInfinity,
  listOf,
  oneOf,
  openTelemetryFlag,
  pairs,
  ratio,
  row,
  texts
} from "./Variable.ts"

/**
 * Where spans can go.
 *
 * @since 0.1.0
 */
export type ExporterName = "console" | "otlp" | "in_memory" | "none"

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
const exporterNamesInCode = listOf<ExporterName>("console", "otlp", "in_memory", "none")

const withoutJaeger = (names: ReadonlyArray<ExporterName | "jaeger">): ReadonlyArray<ExporterName> => [
  ...new Set(names.map((name) => (name === "jaeger" ? "otlp" : name)))
]

const exporterList: Variable.Parser<ReadonlyArray<ExporterName>> = {
  allowed: exporterNames.allowed,
  parse: (text) => {
    const names = exporterNames.parse(text)
    return names && withoutJaeger(names)
  },
  allowedInCode: exporterNamesInCode.allowedInCode ?? exporterNamesInCode.allowed,
  accept: exporterNamesInCode.accept,
  salvage: (text) => {
    const left = exporterNames.salvage?.(text)
    return left && { value: withoutJaeger(left.value), text: left.text }
  }
}

/**
 * What the text of a variable that names exporters has of `otlp` and `jaeger`, which are one exporter in the end.
 *
 * @since 0.1.0
 */
export const receiversIn = (text: string): ReadonlyArray<"otlp" | "jaeger"> =>
  (exporterNames.parse(text) ?? exporterNames.salvage?.(text)?.value ?? []).filter(
    (name) => name === "otlp" || name === "jaeger"
  )

/** Takes rules as they are: whoever goes by them reads them. */
const rules = (
  allowed: string,
  read: (text: string) => Result.Result<unknown, { readonly problems: Parameters<typeof Excerpt.ofProblems>[0] }>
): Variable.Parser<string> => {
  const parse = (text: string) => (Result.isSuccess(read(text)) ? text : undefined)
  return {
    allowed,
    parse,
    accept: (value) => (typeof value === "string" ? parse(value) : undefined),
    reason: (text) =>
      Result.match(read(text), { onFailure: ({ problems }) => Excerpt.ofProblems(problems), onSuccess: () => "" })
  }
}

const samplingRules = rules('rules such as agent=critic: 0.1; name="chat *": 5/s; *: always', SamplingRules.parse)

const tailRules = rules("rules such as errors; slower: 2 seconds; agent=critic; share: 0.05", TailRulesText.parse)

const capture = oneOf<CaptureMode>("NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT")

/** Older versions of the variable were a flag, which some programs still set. */
const captureOrFlag: Variable.Parser<CaptureMode> = {
  ...capture,
  parse: (text) => {
    const yes = flag(true).parse(text)
    return yes === undefined ? capture.parse(text) : yes ? "SPAN_ONLY" : "NO_CONTENT"
  }
}

/** A list of pairs sets by one of its keys what has a setting of its own. */
const resourceAttribute = (name: "HANDSPAN_RESOURCE_ATTRIBUTES" | "OTEL_RESOURCE_ATTRIBUTES", key: string) => ({
  name,
  parser: anyText,
  key
})

/** A limit of OpenTelemetry's, which knows no `Infinity`. */
const limit = (name: string): Variable.Variable<number> => ({ name, parser: integer(0) })

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
    "Where spans go, one or several with commas between. `jaeger` means OTLP to Jaeger's host. Unset: otlp where an " +
      "OTLP endpoint, Jaeger's host or the environment `production` or `staging` is set, else console.",
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
  tailRules: row(
    "Rules by which traces stay when they have ended: `errors`, `unfinished`, `always`, `slower`, `agent`, `attribute`, " +
      "`tokens`, `cost`, `share`. A trace that none keeps is dropped. Unset: all stay.",
    "",
    tailRules,
    "HANDSPAN_TAIL_RULES"
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
  context: row(
    "Whether plain code that the program waits for knows the span that it is called in. `async`: what `Instrument` wraps nests " +
      "under it, what it runs by `Effect.runPromise` is recorded, and OpenTelemetry has it as its active span.",
    "none",
    oneOf("none", "async"),
    "HANDSPAN_CONTEXT"
  ),
  baggageAttributes: row<ReadonlyArray<string>>(
    "Names in the baggage whose values stand on every span, such as `user.id,session.id`. No others ever do.",
    [],
    texts,
    "HANDSPAN_BAGGAGE_ATTRIBUTES"
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
    integerOrInfinity(0),
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
  ...otlpRows,
  serviceName: row(
    "The service that spans belong to.",
    "unknown_service",
    anyText,
    "HANDSPAN_SERVICE_NAME",
    resourceAttribute("HANDSPAN_RESOURCE_ATTRIBUTES", Key.serviceName),
    "OTEL_SERVICE_NAME",
    resourceAttribute("OTEL_RESOURCE_ATTRIBUTES", Key.serviceName)
  ),
  serviceVersion: row(
    "Its version, empty where it is not known.",
    "",
    anyText,
    "HANDSPAN_SERVICE_VERSION",
    resourceAttribute("HANDSPAN_RESOURCE_ATTRIBUTES", Key.serviceVersion),
    "OTEL_SERVICE_VERSION",
    resourceAttribute("OTEL_RESOURCE_ATTRIBUTES", Key.serviceVersion)
  ),
  environment: row(
    "The environment it is deployed in.",
    "production",
    anyText,
    "HANDSPAN_ENVIRONMENT",
    resourceAttribute("HANDSPAN_RESOURCE_ATTRIBUTES", Key.deploymentEnvironmentName),
    resourceAttribute("HANDSPAN_RESOURCE_ATTRIBUTES", Key.deploymentEnvironment),
    resourceAttribute("OTEL_RESOURCE_ATTRIBUTES", Key.deploymentEnvironmentName),
    resourceAttribute("OTEL_RESOURCE_ATTRIBUTES", Key.deploymentEnvironment),
    "ENVIRONMENT"
  ),
  resourceAttributes: row(
    "More attributes of it.",
    {},
    pairs,
    "HANDSPAN_RESOURCE_ATTRIBUTES",
    "OTEL_RESOURCE_ATTRIBUTES"
  ),
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
    "How long one export may take; in `OTEL_` variables in milliseconds, 0 for no limit.",
    Duration.seconds(30),
    timeLimit,
    "HANDSPAN_EXPORT_TIMEOUT",
    { name: "OTEL_BSP_EXPORT_TIMEOUT", parser: timeout }
  ),
  batchDelay: row(
    "How old a span may get before its batch leaves; in `OTEL_` variables in milliseconds.",
    Duration.seconds(5),
    duration,
    "HANDSPAN_BATCH_DELAY",
    { name: "OTEL_BSP_SCHEDULE_DELAY", parser: millis }
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
  spoolAge: row("How long the spool keeps spans.", Duration.days(7), durationOrInfinity, "HANDSPAN_SPOOL_AGE"),
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
    durationOrInfinity,
    "HANDSPAN_OPEN_SPAN_WARNING"
  ),
  spanAttributeCount: row(
    "How many attributes a span keeps.",
    128,
    integerOrInfinity(0),
    "HANDSPAN_SPAN_ATTRIBUTE_COUNT",
    limit("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"),
    limit("OTEL_ATTRIBUTE_COUNT_LIMIT")
  ),
  attributeValueLength: row(
    "How many characters a text attribute keeps.",
    Infinity,
    integerOrInfinity(0),
    "HANDSPAN_ATTRIBUTE_VALUE_LENGTH",
    limit("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
    limit("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")
  ),
  spanEventCount: row(
    "How many events a span keeps.",
    128,
    integerOrInfinity(0),
    "HANDSPAN_SPAN_EVENT_COUNT",
    limit("OTEL_SPAN_EVENT_COUNT_LIMIT")
  ),
  spanLinkCount: row(
    "How many links a span keeps.",
    128,
    integerOrInfinity(0),
    "HANDSPAN_SPAN_LINK_COUNT",
    limit("OTEL_SPAN_LINK_COUNT_LIMIT")
  ),
  eventAttributeCount: row(
    "How many attributes an event keeps.",
    128,
    integerOrInfinity(0),
    "HANDSPAN_EVENT_ATTRIBUTE_COUNT",
    limit("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT")
  ),
  linkAttributeCount: row(
    "How many attributes a link keeps.",
    128,
    integerOrInfinity(0),
    "HANDSPAN_LINK_ATTRIBUTE_COUNT",
    limit("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT")
  )
}
