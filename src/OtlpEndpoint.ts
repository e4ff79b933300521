/**
 * Where spans go by OTLP, of all settings that have a say in it: the endpoint, Jaeger's host and port, and whether there is
 * TLS where nobody wrote a scheme. Reads no environment; Settings does.
 *
 * @since 0.1.0
 */
import { httpUrl, isWithoutScheme, redactUrl, type Setting } from "./Variable.ts"

/**
 * What is known of the receiver when every setting has been read by itself.
 *
 * @since 0.1.0
 */
export interface Told {
  readonly exporters: Setting<unknown>
  readonly otlpEndpoint: Setting<string>
  readonly otlpProtocol: Setting<string | undefined>
  readonly otlpInsecure: Setting<boolean | undefined>
  readonly jaegerHost: Setting<string>
  readonly jaegerPort: Setting<number>
  /** What the variable that names the exporters has of the two, where one does. */
  readonly receivers: ReadonlyArray<"otlp" | "jaeger">
  /** The endpoint as it was written, where it was. */
  readonly endpointText: string | undefined
}

/**
 * The endpoint, with sentences for the log where it is otherwise than written.
 *
 * @since 0.1.0
 */
export interface Chosen {
  readonly endpoint: Setting<string>
  readonly notices: ReadonlyArray<string>
}

/**
 * Chooses the endpoint.
 *
 * **Details**: one that is set counts. Otherwise it is Jaeger's host, where an exporter or a variable names that: it takes
 * OTLP, and its UDP agent is gone.
 *
 * @since 0.1.0
 */
export const choose = (told: Told): Chosen => {
  const { exporters, jaegerHost, jaegerPort, otlpEndpoint, receivers } = told
  const both = receivers.includes("jaeger") && receivers.includes("otlp")
  if (otlpEndpoint.source !== "default") {
    const chosen = withScheme(told)
    if (!both) return chosen
    const notice = `${exporters.source}: ${oneExporter} ${redactUrl(chosen.endpoint.value)}`
    return { ...chosen, notices: [...chosen.notices, notice] }
  }
  const sources = [receivers.includes("jaeger") ? exporters : jaegerHost, jaegerHost, jaegerPort]
  const source = sources.find(({ source }) => source !== "default")?.source
  if (source === undefined) return { endpoint: otlpEndpoint, notices: [] }
  const url = `http://${jaegerHost.value}:${jaegerPort.value === 4317 ? 4317 : 4318}`
  const how = both ? oneExporter : "Jaeger takes OTLP and no longer has the UDP agent: spans go to"
  return { endpoint: { value: `${url}/v1/traces`, source }, notices: [`${source}: ${how} ${url} by OTLP`] }
}

const oneExporter = "otlp and jaeger are one exporter: spans go to"

/**
 * "This option only applies to OTLP/gRPC when an endpoint is provided without the http or https scheme", and it is false by
 * default (OTLP Exporter §Configuration Options, Insecure). In other variables than OpenTelemetry's a bare host and port has
 * always been http.
 */
const withScheme = ({ endpointText = "", otlpEndpoint, otlpInsecure, otlpProtocol }: Told): Chosen => {
  const unchanged = { endpoint: otlpEndpoint, notices: [] }
  const url = httpUrl(otlpEndpoint.value)
  if (url === undefined || !isWithoutScheme(endpointText)) return unchanged
  const isGrpc = otlpProtocol.value === "grpc" || (otlpProtocol.value === undefined && url.port === "4317")
  const isSafe = otlpProtocol.value === "grpc" && otlpEndpoint.source.startsWith("OTEL_")
  if (!isGrpc || (otlpInsecure.value ?? !isSafe)) return unchanged
  url.protocol = "https:"
  const hint = "set OTEL_EXPORTER_OTLP_INSECURE=true, or write http://, where there is no TLS"
  const told = `${otlpEndpoint.source}: ${JSON.stringify(redactUrl(endpointText))} is taken for ${redactUrl(url.origin)}`
  return {
    endpoint: { ...otlpEndpoint, value: url.href },
    notices: otlpInsecure.value === undefined ? [`${told}: ${hint}`] : []
  }
}
