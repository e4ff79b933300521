/**
 * What the environment says about tracing, as one plain value, by the table of every variable that says it. The only
 * file that reads the environment. What a setting does is told where it is used; no layer is made here.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Key } from "./Conventions.ts"
import type { Resource } from "./SpanRecord.ts"
import { type ExporterName, table } from "./SettingsTable.ts"
import { pairs, tracesUrl } from "./Variable.ts"
import type * as Variable from "./Variable.ts"

export type { ExporterName }
export { table }

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
