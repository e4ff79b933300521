/**
 * The settings of the OTLP receiver: where it is, and how spans travel to it. They are rows of SettingsTable.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { timeLimit, timeout } from "./TimeVariable.ts"
import type * as Variable from "./Variable.ts"
import {
  anyText,
  baseEndpoint,
  endpoint,
  flag,
  headers,
  host,
  httpUrl,
  integer,
  oneOf,
  openTelemetryFlag,
  redactUrl,
  row
} from "./Variable.ts"

/** What took Jaeger's own formats, its agent's among them. */
const oldJaegerPorts = new Set(["6831", "6832", "14250", "14268"])

/** Where Jaeger takes OTLP, of an URL where it took its own formats; `undefined` for any other. */
const fromOldJaeger = (text: string): URL | undefined => {
  const url = httpUrl(text)
  if (url === undefined || !(oldJaegerPorts.has(url.port) || /\/api\/traces\/?$/.test(url.pathname))) return undefined
  return Object.assign(url, { port: "4318", pathname: "/v1/traces", search: "" })
}

const jaegerEndpoint: Variable.Parser<string> = {
  ...baseEndpoint,
  parse: (text) => fromOldJaeger(text)?.href ?? baseEndpoint.parse(text),
  remark: (text) => {
    const url = fromOldJaeger(text)
    if (url === undefined) return undefined
    return `${JSON.stringify(redactUrl(text))} took Jaeger's own format: spans go to ${redactUrl(url.href)} by OTLP`
  }
}

const protocols = oneOf("http/json", "http/protobuf", "grpc")
const compressions = oneOf("none", "gzip", "zstd")

/**
 * What is set of the receiver, in the order of the table.
 *
 * @since 0.1.0
 */
export const otlpRows = {
  otlpEndpoint: row(
    "The OTLP receiver. The `TRACES` variable is taken as it is; all others, and what code gives, are base URLs, to " +
      "which `/v1/traces` is added unless they end so. Jaeger's old port and path mean port 4318 of its host.",
    "http://localhost:4318/v1/traces",
    baseEndpoint,
    "HANDSPAN_OTLP_ENDPOINT",
    { name: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", parser: endpoint },
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTLP_ENDPOINT",
    "TRACING_OTLP_ENDPOINT",
    { name: "JAEGER_ENDPOINT", parser: jaegerEndpoint }
  ),
  otlpProtocol: row<"http/json" | "http/protobuf" | "grpc" | undefined>(
    "How spans travel to it. Without it the endpoint decides: grpc for port 4317, else http/protobuf.",
    undefined,
    protocols,
    "HANDSPAN_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL"
  ),
  otlpInsecure: row<boolean | undefined>(
    "Whether grpc goes without TLS to an endpoint that is written without a scheme. Unset: not where an `OTEL_` variable " +
      "has it and the protocol is `grpc`, as OpenTelemetry says.",
    undefined,
    flag(true),
    "HANDSPAN_OTLP_INSECURE",
    { name: "OTEL_EXPORTER_OTLP_TRACES_INSECURE", parser: openTelemetryFlag(true) },
    { name: "OTEL_EXPORTER_OTLP_INSECURE", parser: openTelemetryFlag(true) }
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
    "How long one request to it may take; in `OTEL_` variables in milliseconds, 0 for no limit.",
    Duration.seconds(10),
    timeLimit,
    "HANDSPAN_OTLP_TIMEOUT",
    { name: "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", parser: timeout },
    { name: "OTEL_EXPORTER_OTLP_TIMEOUT", parser: timeout }
  ),
  otlpCompression: row(
    "How requests to it are compressed; zstd is for http/protobuf and for receivers that take it.",
    "none",
    compressions,
    "HANDSPAN_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_COMPRESSION"
  ),
  otlpCertificate: row(
    "The PEM file of the authorities that its https certificate is checked with.",
    "",
    anyText,
    "HANDSPAN_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE"
  ),
  otlpClientCertificate: row(
    "The PEM file of the certificate to show it.",
    "",
    anyText,
    "HANDSPAN_OTLP_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"
  ),
  otlpClientKey: row(
    "The PEM file of its key.",
    "",
    anyText,
    "HANDSPAN_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY"
  ),
  jaegerHost: row(
    "The host that the exporter `jaeger` means, and the receiver's where no endpoint is set.",
    "localhost",
    host,
    "HANDSPAN_JAEGER_HOST",
    "TRACING_JAEGER_HOST"
  ),
  jaegerPort: row(
    "Its port. Only 4317 and 4318 take OTLP; any other means 4318.",
    4318,
    integer(1),
    "HANDSPAN_JAEGER_PORT",
    "TRACING_JAEGER_PORT"
  )
}
