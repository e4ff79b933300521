/**
 * What the environment says about tracing, as one plain value, and the table of every variable that says it. The only
 * file that reads the environment. What a setting does is told where it is used; no layer is made here.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Key } from "./Conventions.ts"
import type { Resource } from "./SpanRecord.ts"
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
  millis,
  oneOf,
  pairs,
  row,
  tracesUrl
} from "./Variable.ts"
import type * as Variable from "./Variable.ts"

/**
 * Where spans can go.
 *
 * @since 0.1.0
 */
export type ExporterName = "console" | "otlp" | "in_memory" | "none"

/**
 * A setting and who set it: `code`, `default` or the name of a variable.
 *
 * @since 0.1.0
 */
export interface Setting<A> {
  readonly value: A
  readonly source: string
}

/**
 * What is wrong in the environment, all of it at once.
 *
 * @since 0.1.0
 */
export class SettingsError extends Schema.TaggedError<SettingsError>()("SettingsError", {
  problems: Schema.Array(
    Schema.Struct({
      variable: Schema.String,
      /** The text that is not allowed, with `<redacted>` in place of what may be secret. */
      value: Schema.String,
      allowed: Schema.String
    })
  )
}) {
  override get message(): string {
    return this.problems
      .map(({ allowed, value, variable }) => `${variable}: ${JSON.stringify(value)} is not allowed: use ${allowed}`)
      .join("\n")
  }
}

const exporterNames = oneOf("console", "otlp", "in_memory", "none", "jaeger")

const exporterList: Variable.Parser<ReadonlyArray<ExporterName>> = {
  allowed: "console, otlp, in_memory or none",
  parse: (text) => {
    const names = new Set<ExporterName>()
    for (const part of text.split(",")) {
      const name = exporterNames.parse(part.trim())
      if (name === undefined) return undefined
      names.add(name === "jaeger" ? "otlp" : name)
    }
    return names.has("none") && names.size > 1 ? undefined : [...names]
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
  enabled: row(
    "Whether spans are recorded at all.",
    true,
    flag(true),
    "HANDSPAN_ENABLED",
    { name: "OTEL_SDK_DISABLED", parser: flag(false) },
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
    "How spans travel to it. Without it the endpoint decides: grpc for port 4317, else http/json.",
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
    millis,
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TIMEOUT"
  ),
  otlpCompression: row(
    "How requests to it are compressed.",
    "none",
    oneOf("none", "gzip"),
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
  batchDelay: row(
    "How old a span may get before its batch leaves, in milliseconds.",
    Duration.seconds(5),
    millis,
    "OTEL_BSP_SCHEDULE_DELAY"
  ),
  queueSize: row(
    "How many spans may wait; more are dropped and counted.",
    65_536,
    integer(1),
    "OTEL_BSP_MAX_QUEUE_SIZE"
  ),
  batchSize: row("How many spans leave at once.", 512, integer(1), "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
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
 * The settings without their sources, as code may give them.
 *
 * @since 0.1.0
 */
export type Values = { readonly [Name in keyof typeof table]: (typeof table)[Name]["default"] }

/**
 * Every setting with its source, and what the reader should be told about them.
 *
 * @since 0.1.0
 */
export type Settings = { readonly [Name in keyof Values]: Setting<Values[Name]> } & {
  /** Sentences for the log about settings that are taken otherwise than written. */
  readonly notices: ReadonlyArray<string>
}

type Problem = SettingsError["problems"][number]

const resolve = <A>(
  { variables, default: value }: Variable.Row<A>,
  read: (name: string) => string | undefined,
  problems: Map<string, Problem>
): Setting<A> => {
  for (const { key, name, parser } of variables) {
    const whole = read(name)?.trim()
    const text = key === undefined || whole === undefined ? whole : pairs.parse(whole)?.[key]
    // An empty variable is an unset one (OpenTelemetry Environment Variables §Parsing empty value).
    if (text === undefined || text === "") continue
    const parsed = parser.parse(text)
    if (parsed !== undefined) return { value: parsed, source: name }
    problems.set(name, { variable: name, value: parser.tell?.(text) ?? text, allowed: parser.allowed })
    break
  }
  return { value, source: "default" }
}

/**
 * Reads settings from a record of variables.
 *
 * **Details**: code counts more than `HANDSPAN_*`, these more than `OTEL_*`, these more than the other names: `table`
 * has them in order. A variable that another one outweighs is not looked at. Texts are trimmed, an empty one counts as
 * unset. Where nobody names an exporter it is `otlp` if an OTLP endpoint is set, or the environment to `production` or
 * `staging`: a deployed service has a collector near it, while a person at a terminal wants to see something.
 *
 * **Fails with** `SettingsError` when values are not allowed; it names all of them.
 *
 * @example
 * ```ts
 * import { Result } from "effect"
 * import { Settings } from "handspan"
 *
 * const settings = Result.getOrThrow(Settings.fromRecord({ OTEL_SERVICE_NAME: "photos", ENVIRONMENT: "staging" }))
 * if (settings.serviceName.source !== "OTEL_SERVICE_NAME") throw new Error("expected its source")
 * if (settings.exporters.value[0] !== "otlp") throw new Error("expected otlp")
 * ```
 *
 * @since 0.1.0
 */
export const fromRecord = (
  record: Readonly<Record<string, string | undefined>>,
  code: Partial<Values> = {}
): Result.Result<Settings, SettingsError> =>
  fromReader((name) => (Object.hasOwn(record, name) ? record[name] : undefined), code)

const deployedEnvironments = new Set(["production", "staging"])

const fromReader = (
  read: (name: string) => string | undefined,
  code: Partial<Values>
): Result.Result<Settings, SettingsError> => {
  const problems = new Map<string, Problem>()
  const base = code.otlpEndpoint
  const given: Readonly<Record<string, unknown>> = {
    ...code,
    otlpEndpoint: base === undefined ? undefined : (tracesUrl(base) ?? base)
  }
  const { exporters, otlpEndpoint, ...settings } = Object.fromEntries(
    Object.entries<Variable.Row<unknown>>(table).map(([name, entry]) => [
      name,
      given[name] === undefined ? resolve(entry, read, problems) : { value: given[name], source: "code" }
    ])
  ) as Omit<Settings, "notices">
  if (problems.size > 0) return Result.fail(new SettingsError({ problems: [...problems.values()] }))

  const { environment, jaegerHost, jaegerPort } = settings
  const deployed =
    otlpEndpoint.source !== "default" ||
    (environment.source !== "default" && deployedEnvironments.has(environment.value.toLowerCase()))
  const variable = table.exporters.variables.find(({ name }) => name === exporters.source)
  const named = variable === undefined ? undefined : read(variable.name)?.toLowerCase()
  const jaeger = named?.includes("jaeger") === true && otlpEndpoint.source === "default"
  const jaegerUrl = `http://${jaegerHost.value}:${jaegerPort.value === 4317 ? 4317 : 4318}`
  return Result.succeed({
    ...settings,
    exporters: exporters.source === "default" && deployed ? { value: ["otlp"], source: "default" } : exporters,
    otlpEndpoint: jaeger ? { value: `${jaegerUrl}/v1/traces`, source: exporters.source } : otlpEndpoint,
    notices: jaeger
      ? [`${exporters.source}: Jaeger takes OTLP and no longer has the UDP agent: spans go to ${jaegerUrl} by OTLP`]
      : []
  })
}

interface Globals {
  readonly Deno?: {
    readonly env: { readonly get: (name: string) => string | undefined }
    readonly permissions: { readonly querySync: (permission: object) => { readonly state: string } }
  }
  readonly process?: { readonly env?: Readonly<Record<string, string | undefined>> }
}

// One name at a time, and on Deno only what is granted: asking for the rest would prompt, reading it would throw.
const readEnvironment = (name: string): string | undefined => {
  const { Deno: deno, process } = globalThis as Globals
  if (deno === undefined) return process?.env?.[name]
  return deno.permissions.querySync({ name: "env", variable: name }).state === "granted"
    ? deno.env.get(name)
    : undefined
}

/**
 * Reads settings from the environment of the process, as `fromRecord` does from a record.
 *
 * **Details**: on Deno a variable that the program has no permission for counts as unset; it never prompts. Where there
 * is no environment, as in a browser, nothing is set.
 *
 * **Fails with** `SettingsError` when values are not allowed; it names all of them.
 *
 * @since 0.1.0
 */
export const fromEnv = (code: Partial<Values> = {}): Effect.Effect<Settings, SettingsError> =>
  Effect.suspend(() => Effect.fromResult(fromReader(readEnvironment, code)))

/**
 * The resource of spans that settings describe: service, version and environment, the latter under the attribute's old
 * and new name, and the other attributes.
 *
 * @since 0.1.0
 */
export const resource = (settings: Settings): Resource => ({
  attributes: {
    ...settings.resourceAttributes.value,
    [Key.serviceName]: settings.serviceName.value,
    ...(settings.serviceVersion.value === "" ? {} : { [Key.serviceVersion]: settings.serviceVersion.value }),
    [Key.deploymentEnvironment]: settings.environment.value,
    [Key.deploymentEnvironmentName]: settings.environment.value
  }
})
