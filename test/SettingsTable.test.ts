// Every variable of the table, each by itself: a text that it takes with what that means, and one that it does not take.
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Settings from "../src/Settings.ts"
import type * as Variable from "../src/Variable.ts"

const noneIsBad = Symbol("none is bad")

type Case = readonly [good: string, value: unknown, bad: string | typeof noneIsBad]

const yes: Case = ["on", true, "maybe"]
const samplerNames: Case = ["PARENTBASED_TRACEIDRATIO", "parentbased_traceidratio", "xray"]
const share: Case = ["0.1", 0.1, "1.5"]
const url = (good: string, value: string): Case => [good, value, "ftp://collector"]
const header: Case = ["api-key=a%20b", { "api-key": Redacted.make("a b") }, "no pair"]
const anyText = (good: string, value = good): Case => [good, value, noneIsBad]
const time: Case = ["1500", Duration.millis(1500), "1.5 seconds"]
const ownTime: Case = ["1.5 seconds", Duration.millis(1500), "1500"]
const span: Case = ["2 minutes", Duration.minutes(2), "120"]
const count: Case = ["7", 7, "0"]
const limit: Case = ["0", 0, "-1"]
const ownLimit: Case = ["infinity", Infinity, "-1"]
const attributes: Case = ["team=a,zone=b%2Cc", { team: "a", zone: "b,c" }, "=c"]
const compression: Case = ["gzip", "gzip", "brotli"]
const protocol: Case = ["grpc", "grpc", "http/xml"]
const base = url("http://collector:4318/otlp/", "http://collector:4318/otlp/v1/traces")

/** A variable that is a list of pairs stands here once for each key that counts by itself. */
const cases: { readonly [Name in keyof Settings.Values]: Readonly<Record<string, Case>> } = {
  profile: { HANDSPAN_PROFILE: ["Test", "test", "prod"] },
  enabled: {
    HANDSPAN_ENABLED: ["0", false, "maybe"],
    OTEL_SDK_DISABLED: ["TRUE", false, "yes"],
    TRACING_ENABLED: yes,
    ENABLE_TRACING: ["no", false, "2"],
    LOOM_TELEMETRY_AUTO: ["0", false, "auto"]
  },
  exporters: {
    HANDSPAN_EXPORTER: ["in_memory, OTLP", ["in_memory", "otlp"], "none,otlp"],
    OTEL_TRACES_EXPORTER: ["otlp,console,otlp", ["otlp", "console"], "zipkin"],
    TRACING_EXPORTER: ["jaeger", ["otlp"], "zipkin"]
  },
  sampler: {
    HANDSPAN_SAMPLER: ["always_off", "always_off", "jaeger_remote"],
    OTEL_TRACES_SAMPLER: samplerNames,
    OTEL_TRACE_SAMPLER: samplerNames
  },
  samplerRatio: { HANDSPAN_SAMPLER_ARG: share, OTEL_TRACES_SAMPLER_ARG: share, OTEL_TRACE_SAMPLER_ARG: share },
  samplingRules: { HANDSPAN_SAMPLING_RULES: ["agent=critic: 0.1", "agent=critic: 0.1", "critic=0.1"] },
  samplingRulesFile: { HANDSPAN_SAMPLING_RULES_FILE: anyText("rules.json") },
  tailRules: { HANDSPAN_TAIL_RULES: ["errors; share: 0.1", "errors; share: 0.1", "error"] },
  propagators: {
    HANDSPAN_PROPAGATORS: ["none", ["none"], "jaeger"],
    OTEL_PROPAGATORS: ["b3,B3Multi,baggage", ["b3", "b3multi", "baggage"], "xray"]
  },
  inboundTrust: { HANDSPAN_INBOUND_TRUST: ["Link", "link", "trust"] },
  context: { HANDSPAN_CONTEXT: ["Async", "async", "fiber"] },
  baggageAttributes: { HANDSPAN_BAGGAGE_ATTRIBUTES: ["user.id, , session.id", ["user.id", "session.id"], noneIsBad] },
  redaction: { HANDSPAN_REDACTION: ["off", false, "maybe"] },
  captureContent: {
    HANDSPAN_CAPTURE_CONTENT: ["named_only", "NAMED_ONLY", "true"],
    OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: ["true", "SPAN_ONLY", "NAMED_ONLY"]
  },
  contentLength: { HANDSPAN_CONTENT_LENGTH: ownLimit },
  consoleFormat: { HANDSPAN_CONSOLE_FORMAT: ["line", "line", "yaml"] },
  consoleOutput: { HANDSPAN_CONSOLE_OUTPUT: ["stdout", "stdout", "file"] },
  consoleColors: { NO_COLOR: ["0", false, noneIsBad] },
  otlpEndpoint: {
    HANDSPAN_OTLP_ENDPOINT: base,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: url("http://collector:4318", "http://collector:4318/"),
    OTEL_EXPORTER_OTLP_ENDPOINT: base,
    OTLP_ENDPOINT: base,
    TRACING_OTLP_ENDPOINT: base,
    JAEGER_ENDPOINT: url("jaeger:4317", "http://jaeger:4317/v1/traces")
  },
  otlpProtocol: {
    HANDSPAN_OTLP_PROTOCOL: protocol,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: protocol,
    OTEL_EXPORTER_OTLP_PROTOCOL: protocol
  },
  otlpInsecure: {
    HANDSPAN_OTLP_INSECURE: yes,
    OTEL_EXPORTER_OTLP_TRACES_INSECURE: ["TRUE", true, "1"],
    OTEL_EXPORTER_OTLP_INSECURE: ["false", false, "no"]
  },
  otlpHeaders: {
    HANDSPAN_OTLP_HEADERS: header,
    OTEL_EXPORTER_OTLP_TRACES_HEADERS: header,
    OTEL_EXPORTER_OTLP_HEADERS: header
  },
  otlpTimeout: {
    HANDSPAN_OTLP_TIMEOUT: ownTime,
    OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: time,
    OTEL_EXPORTER_OTLP_TIMEOUT: time
  },
  otlpCompression: {
    HANDSPAN_OTLP_COMPRESSION: compression,
    OTEL_EXPORTER_OTLP_TRACES_COMPRESSION: compression,
    OTEL_EXPORTER_OTLP_COMPRESSION: compression
  },
  otlpCertificate: {
    HANDSPAN_OTLP_CERTIFICATE: anyText("ca.pem"),
    OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE: anyText("ca.pem"),
    OTEL_EXPORTER_OTLP_CERTIFICATE: anyText("ca.pem")
  },
  otlpClientCertificate: {
    HANDSPAN_OTLP_CLIENT_CERTIFICATE: anyText("client.pem"),
    OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE: anyText("client.pem"),
    OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: anyText("client.pem")
  },
  otlpClientKey: {
    HANDSPAN_OTLP_CLIENT_KEY: anyText("key.pem"),
    OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY: anyText("key.pem"),
    OTEL_EXPORTER_OTLP_CLIENT_KEY: anyText("key.pem")
  },
  jaegerHost: {
    HANDSPAN_JAEGER_HOST: ["[::1]", "[::1]", "a:4318"],
    TRACING_JAEGER_HOST: ["jaeger", "jaeger", "a b"]
  },
  jaegerPort: { HANDSPAN_JAEGER_PORT: count, TRACING_JAEGER_PORT: ["6831", 6831, "0"] },
  serviceName: {
    HANDSPAN_SERVICE_NAME: anyText("photos"),
    "HANDSPAN_RESOURCE_ATTRIBUTES service.name": anyText("service.name=a%20b", "a b"),
    OTEL_SERVICE_NAME: anyText("photos"),
    "OTEL_RESOURCE_ATTRIBUTES service.name": anyText("service.name=a%20b", "a b")
  },
  serviceVersion: {
    HANDSPAN_SERVICE_VERSION: anyText("1.0.0"),
    "HANDSPAN_RESOURCE_ATTRIBUTES service.version": anyText("service.version=1.0.0", "1.0.0"),
    OTEL_SERVICE_VERSION: anyText("1.0.0"),
    "OTEL_RESOURCE_ATTRIBUTES service.version": anyText("service.version=1.0.0", "1.0.0")
  },
  environment: {
    HANDSPAN_ENVIRONMENT: anyText("staging"),
    "HANDSPAN_RESOURCE_ATTRIBUTES deployment.environment.name": anyText(
      "deployment.environment.name=staging",
      "staging"
    ),
    "HANDSPAN_RESOURCE_ATTRIBUTES deployment.environment": anyText("deployment.environment=staging", "staging"),
    "OTEL_RESOURCE_ATTRIBUTES deployment.environment.name": anyText("deployment.environment.name=staging", "staging"),
    "OTEL_RESOURCE_ATTRIBUTES deployment.environment": anyText("deployment.environment=staging", "staging"),
    ENVIRONMENT: anyText("staging")
  },
  resourceAttributes: { HANDSPAN_RESOURCE_ATTRIBUTES: attributes, OTEL_RESOURCE_ATTRIBUTES: attributes },
  logFormat: { HANDSPAN_LOG_FORMAT: ["json", "json", "yaml"] },
  shutdownTimeout: { HANDSPAN_SHUTDOWN_TIMEOUT: span },
  exportTimeout: {
    HANDSPAN_EXPORT_TIMEOUT: ownTime,
    OTEL_BSP_EXPORT_TIMEOUT: ["0", Duration.millis(2 ** 31 - 1), "-1"]
  },
  batchDelay: { HANDSPAN_BATCH_DELAY: ownTime, OTEL_BSP_SCHEDULE_DELAY: ["0", Duration.zero, "-1"] },
  queueSize: { HANDSPAN_QUEUE_SIZE: ["5000", 5000, "0"], OTEL_BSP_MAX_QUEUE_SIZE: ["5000", 5000, "2k"] },
  queueBytes: { HANDSPAN_QUEUE_BYTES: count },
  queuePolicy: { HANDSPAN_QUEUE_POLICY: ["dropoldest", "dropOldest", "drop"] },
  batchSize: { HANDSPAN_BATCH_SIZE: count, OTEL_BSP_MAX_EXPORT_BATCH_SIZE: count },
  spoolDirectory: { HANDSPAN_SPOOL_DIRECTORY: anyText("/var/spool/handspan") },
  spoolBytes: { HANDSPAN_SPOOL_BYTES: count },
  spoolAge: { HANDSPAN_SPOOL_AGE: span },
  pendingSpans: { HANDSPAN_PENDING_SPANS: yes },
  openSpanWarning: { HANDSPAN_OPEN_SPAN_WARNING: span },
  spanAttributeCount: {
    HANDSPAN_SPAN_ATTRIBUTE_COUNT: ownLimit,
    OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: limit,
    OTEL_ATTRIBUTE_COUNT_LIMIT: limit
  },
  attributeValueLength: {
    HANDSPAN_ATTRIBUTE_VALUE_LENGTH: ownLimit,
    OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT: limit,
    OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT: limit
  },
  spanEventCount: { HANDSPAN_SPAN_EVENT_COUNT: ownLimit, OTEL_SPAN_EVENT_COUNT_LIMIT: limit },
  spanLinkCount: { HANDSPAN_SPAN_LINK_COUNT: ownLimit, OTEL_SPAN_LINK_COUNT_LIMIT: limit },
  eventAttributeCount: { HANDSPAN_EVENT_ATTRIBUTE_COUNT: ownLimit, OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT: limit },
  linkAttributeCount: { HANDSPAN_LINK_ATTRIBUTE_COUNT: ownLimit, OTEL_LINK_ATTRIBUTE_COUNT_LIMIT: limit }
}

/** What OpenTelemetry's own rules leave to an error. */
const mustBeRight = /_(ENDPOINT|HEADERS|SAMPLER_ARG)$/

/** Variables in which any other text is a no. */
const elseNo: Readonly<Record<string, boolean>> = {
  OTEL_SDK_DISABLED: true,
  OTEL_EXPORTER_OTLP_TRACES_INSECURE: false,
  OTEL_EXPORTER_OTLP_INSECURE: false
}

const rows = Object.entries<Variable.Row<unknown>>(Settings.table) as ReadonlyArray<
  readonly [keyof Settings.Values, Variable.Row<unknown>]
>

describe("table", () => {
  it("has a case here for each of its variables, in their order", () => {
    assert.deepStrictEqual(
      rows.map(([field]) => [field, Object.keys(cases[field])]),
      rows.map(([field, { variables }]) => [
        field,
        variables.map(({ key, name }) => (key === undefined ? name : `${name} ${key}`))
      ])
    )
  })

  const all = rows.flatMap(([field]) =>
    Object.entries(cases[field]).map(([title, case_]) => [title, field, ...case_] as const)
  )

  it.each(all)("%s sets %s", (title, field, good, value) => {
    const [name = ""] = title.split(" ")
    const settings = Result.getOrThrow(Settings.fromRecord({ [name]: ` ${good} ` }))
    assert.deepStrictEqual<unknown>(settings[field], { value, source: name })
  })

  it.each(all)("%s takes no other text for %s", (title, field, _good, _value, bad) => {
    if (bad === noneIsBad) return
    const [name = ""] = title.split(" ")
    const result = Settings.fromRecord({ [name]: bad })
    if (name.startsWith("OTEL_") && !mustBeRight.test(name)) {
      const settings = Result.getOrThrow(result)
      assert.deepStrictEqual<unknown>(settings[field], {
        value: elseNo[name] ?? Settings.table[field].default,
        source: name in elseNo ? name : "default"
      })
      assert.lengthOf(settings.notices, 1)
      assert.isTrue(settings.notices[0]?.startsWith(`${name}: ${JSON.stringify(bad)} is `))
    } else {
      assert.deepStrictEqual(
        Result.match(result, {
          onFailure: ({ problems }) => problems.map((problem) => problem.variable),
          onSuccess: () => []
        }),
        [name]
      )
    }
  })

  it("lets the first of the variables of a setting count, whatever the others say", () => {
    for (const [field, { variables }] of rows) {
      const texts = Object.values(cases[field])
      for (const index of variables.keys()) {
        const rest = variables.slice(index).map(({ name }, offset) => [name, texts[index + offset]![0]] as const)
        // Two keys of one list cannot have a text each.
        const record = Object.fromEntries(rest.toReversed())
        if (record[variables[index]!.name] !== texts[index]![0]) continue
        const settings = Result.getOrThrow(Settings.fromRecord(record))
        assert.deepStrictEqual<unknown>(settings[field], { value: texts[index]![1], source: variables[index]!.name })
      }
    }
  })

  it("orders variables as HANDSPAN_, OTEL_, other names", () => {
    const rank = (name: string) => (name.startsWith("HANDSPAN_") ? 0 : name.startsWith("OTEL_") ? 1 : 2)
    for (const [, { variables }] of rows) {
      const ranks = variables.map(({ name }) => rank(name))
      assert.deepStrictEqual(
        ranks,
        ranks.toSorted((a, b) => a - b)
      )
    }
  })
})
