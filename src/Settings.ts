/**
 * What the environment says about tracing, as one plain value, by the table of every variable that says it. The only
 * file that reads the environment. What a setting does is told where it is used; no layer is made here.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Key } from "./Conventions.ts"
import type { Resource } from "./SpanRecord.ts"
import * as Excerpt from "./Excerpt.ts"
import * as OtlpEndpoint from "./OtlpEndpoint.ts"
import { profiles } from "./SettingsProfiles.ts"
import { receiversIn, table } from "./SettingsTable.ts"
import * as Spelling from "./Spelling.ts"
import { pairs } from "./Variable.ts"
import type * as Variable from "./Variable.ts"
import type { Setting } from "./Variable.ts"

export type { CaptureMode } from "./Content.ts"
export type { ProfileName } from "./SettingsProfiles.ts"
export type { ExporterName, PropagatorName, SamplerName } from "./SettingsTable.ts"
export type { Setting } from "./Variable.ts"
export { table }

/**
 * What is wrong with settings, all of it at once, and what else there is to be told about them.
 *
 * @since 0.1.0
 */
export class SettingsError extends Schema.TaggedError<SettingsError>()("SettingsError", {
  problems: Schema.Array(
    Schema.Struct({
      /** The name of the variable, or of the setting where code gives it. */
      variable: Schema.String,
      /** What is not allowed, as far as it helps, with `<redacted>` in place of what may be secret. */
      value: Schema.String,
      /** What is wrong with it, where that is not plain. */
      reason: Schema.optionalKey(Schema.String),
      allowed: Schema.String,
      source: Schema.Literals(["environment", "code"])
    })
  ),
  /** Sentences about settings that are taken otherwise than written: they may be why others are wrong. */
  notices: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const problems = this.problems.map(({ allowed, reason, source, value, variable }) => {
      const why = reason === undefined ? "" : `${reason}; `
      const place = source === "code" ? "code" : "the environment"
      return `${variable}: ${JSON.stringify(value)} is not allowed: ${why}use ${allowed} (from ${place})`
    })
    return [...problems, ...this.notices].join("\n")
  }
}

type Defaults = { readonly [Name in keyof typeof table]: (typeof table)[Name]["default"] }

/**
 * The settings without their sources, as code may give them: times in any form that `Duration` takes.
 *
 * @since 0.1.0
 */
export type Values = {
  readonly [Name in keyof Defaults]: Defaults[Name] extends Duration.Duration ? Duration.Input : Defaults[Name]
}

/**
 * Every setting with its source, and what the reader should be told about them.
 *
 * @since 0.1.0
 */
export type Settings = { readonly [Name in keyof Defaults]: Setting<Defaults[Name]> } & {
  /** Sentences for the log about settings that are taken otherwise than written. */
  readonly notices: ReadonlyArray<string>
}

type Problem = SettingsError["problems"][number]

/** Where variables are read. It may know their names too, as far as they may be known. */
interface Environment {
  readonly read: (name: string) => string | undefined
  readonly names: ReadonlyArray<string>
}

/** What is found out on the way, by the variable. */
interface Findings {
  readonly problems: Map<string, Problem>
  readonly notices: Map<string, string>
}

/** As much of a text that is not allowed as may be shown, and what is wrong with it. */
const tell = <A>(parser: Variable.Parser<A>, text: string): Pick<Problem, "value" | "reason"> => {
  const value = Excerpt.cut(parser.tell?.(text) ?? text)
  return parser.reason === undefined ? { value } : { value, reason: parser.reason(text) }
}

const resolve = <A>(
  row: Variable.Row<A>,
  { read }: Environment,
  { notices, problems }: Findings,
  fallback: Setting<A>
): Setting<A> => {
  for (const { key, name, parser } of row.variables) {
    const whole = read(name)?.trim()
    const text = key === undefined || whole === undefined ? whole : pairs.parse(whole)?.[key]
    // An empty variable is an unset one (OpenTelemetry Environment Variables §Parsing empty value).
    if (text === undefined || text === "") continue
    const parsed = parser.parse(text)
    if (parsed !== undefined) {
      const remark = parser.remark?.(text)
      if (remark !== undefined) notices.set(name, `${name}: ${remark}`)
      return { value: parsed, source: name }
    }
    const told = tell(parser, text)
    const { allowed } = parser
    if (!name.startsWith("OTEL_") || parser.salvage === undefined) {
      problems.set(name, { variable: name, ...told, allowed, source: "environment" })
      break
    }
    const left = parser.salvage(text)
    const how = left === undefined ? "is ignored" : `is taken for ${JSON.stringify(left.text)}`
    notices.set(name, `${name}: ${JSON.stringify(told.value)} ${how}: use ${allowed}`)
    if (left !== undefined) return { value: left.value, source: name }
  }
  return fallback
}

/**
 * Reads settings from a record of variables.
 *
 * **Details**: code counts more than `HANDSPAN_*`, these more than `OTEL_*`, these more than the other names: `table`
 * has them in order. All of them count more than the profile. A variable that another one outweighs is not looked at.
 * Texts are trimmed, an empty one counts as unset. Where nobody names an exporter or a profile it is `otlp` if an OTLP
 * endpoint or Jaeger's host is set, or the environment to `production` or `staging`: a deployed service has a collector near
 * it, while a person at a terminal wants to see something.
 *
 * Where OpenTelemetry says to warn of a value in one of its variables and go on, there is a notice instead of an error.
 * There is one also for a name that begins with `HANDSPAN_` and is no setting, with the one it may have been meant for.
 *
 * **Fails with** `SettingsError` when values are not allowed, from variables or from code; it names all of them, and has
 * the notices too.
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
  fromEnvironment(
    { read: (name) => (Object.hasOwn(record, name) ? record[name] : undefined), names: Object.keys(record) },
    code
  )

const deployedEnvironments = new Set(["production", "staging"])

const fromEnvironment = (environment: Environment, code: Partial<Values>): Result.Result<Settings, SettingsError> => {
  const findings: Findings = { problems: new Map(), notices: new Map() }
  const resolved = resolveAll(environment, code, findings)
  checkRatio(resolved, environment, code, findings)
  const unknown = unknownNames(environment)
  if (findings.problems.size > 0) {
    const notices = [...findings.notices.values(), ...unknown]
    return Result.fail(new SettingsError({ problems: [...findings.problems.values()], notices }))
  }
  const settings = withBatchInQueue(withReceiver(resolved, environment, code, findings), findings)
  return Result.succeed({ ...settings, notices: [...findings.notices.values(), ...unknown] })
}

type Resolved = Omit<Settings, "notices">

const resolveAll = (environment: Environment, code: Partial<Values>, findings: Findings): Resolved => {
  const given: Readonly<Record<string, unknown>> = { ...code }
  const setting = <A>(name: string, row: Variable.Row<A>, fallback: Setting<A>): Setting<A> => {
    const [value, parser] = [given[name], row.variables[0]?.parser]
    if (value === undefined || parser === undefined) return resolve(row, environment, findings, fallback)
    // Code in plain JavaScript may give what throws when it is looked at.
    const accepted = Result.getOrElse(
      Result.try(() => parser.accept(value)),
      () => undefined
    )
    if (accepted !== undefined) return { value: accepted, source: "code" }
    const allowed = parser.allowedInCode ?? parser.allowed
    findings.problems.set(name, { variable: name, ...tell(parser, textOf(value)), allowed, source: "code" })
    return fallback
  }
  const profile = setting("profile", table.profile, { value: table.profile.default, source: "default" })
  const changed: Partial<Defaults> = profile.value === undefined ? {} : profiles[profile.value]
  return Object.fromEntries(
    Object.entries<Variable.Row<unknown>>(table).map(([name, row]) => [
      name,
      setting(
        name,
        row,
        Object.hasOwn(changed, name)
          ? { value: changed[name as keyof Defaults], source: profile.source }
          : { value: row.default, source: "default" }
      )
    ])
  ) as unknown as Resolved
}

/** A value from code, for people who look for it there. */
const textOf = (value: unknown): string => {
  if (typeof value === "string") return value
  return Array.isArray(value) ? value.map(textOf).join(",") : Formatter.format(value)
}

/**
 * The ratio is one sampler's argument. Where another sampler is named, a text there may be meant for that one, and "will
 * only be used if OTEL_TRACES_SAMPLER is set" (OpenTelemetry Environment Variables §General SDK Configuration).
 */
const checkRatio = (
  { sampler, samplerRatio }: Resolved,
  { read }: Environment,
  code: Partial<Values>,
  { notices, problems }: Findings
): void => {
  const wrong = problems.has("sampler") || table.sampler.variables.some(({ name }) => problems.has(name))
  if (wrong || sampler.value.endsWith("traceidratio")) return
  const named = code.sampler !== undefined || table.sampler.variables.some(({ name }) => Boolean(read(name)?.trim()))
  for (const { name } of table.samplerRatio.variables) {
    const bad = problems.has(name)
    if (samplerRatio.source !== name && !bad) continue
    if (bad && !named) continue
    problems.delete(name)
    notices.set(name, `${name} is not used: the sampler ${sampler.value} takes no ratio`)
  }
}

const withReceiver = (
  settings: Resolved,
  { read }: Environment,
  code: Partial<Values>,
  { notices }: Findings
): Resolved => {
  const { environment, exporters, otlpEndpoint } = settings
  const textIn = (row: Variable.Row<unknown>, source: string) =>
    row.variables.some(({ name }) => name === source) ? read(source)?.trim() : undefined
  const chosen = OtlpEndpoint.choose({
    ...settings,
    receivers: receiversIn(textIn(table.exporters, exporters.source) ?? ""),
    endpointText: otlpEndpoint.source === "code" ? code.otlpEndpoint : textIn(table.otlpEndpoint, otlpEndpoint.source)
  })
  const deployed =
    chosen.endpoint.source !== "default" ||
    (environment.source !== "default" && deployedEnvironments.has(environment.value.toLowerCase()))
  const sends = exporters.source === "default" ? deployed : exporters.value.includes("otlp")
  if (sends) for (const notice of chosen.notices) notices.set(notice, notice)
  return {
    ...settings,
    exporters: exporters.source === "default" && deployed ? { value: ["otlp"], source: "default" } : exporters,
    otlpEndpoint: chosen.endpoint
  }
}

/** "Must be less than or equal to OTEL_BSP_MAX_QUEUE_SIZE" (OpenTelemetry Environment Variables §Batch Span Processor). */
const withBatchInQueue = (settings: Resolved, { notices }: Findings): Resolved => {
  const { batchSize, queueSize } = settings
  if (batchSize.value <= queueSize.value) return settings
  if (batchSize.source !== "default") {
    const told = `is taken for ${queueSize.value}: a batch is no larger than the queue`
    notices.set("batchSize", `${batchSize.source}: ${batchSize.value} ${told}`)
  }
  return { ...settings, batchSize: queueSize }
}

const prefix = "HANDSPAN_"

const ownNames = new Set(
  Object.values<Variable.Row<unknown>>(table).flatMap(({ variables }) =>
    variables.flatMap(({ name }) => (name.startsWith(prefix) ? name.slice(prefix.length) : []))
  )
)

const unknownNames = ({ names, read }: Environment): ReadonlyArray<string> =>
  names
    .filter((name) => name.startsWith(prefix) && !ownNames.has(name.slice(prefix.length)) && read(name)?.trim() !== "")
    .toSorted()
    .map((name) => {
      const meant = Spelling.nearest(name.slice(prefix.length), ownNames)
      const hint = meant === undefined ? "`handspan config` shows those there are" : `did you mean ${prefix}${meant}?`
      return `${name} is no setting: ${hint}`
    })

interface Globals {
  readonly Deno?: {
    readonly env: {
      readonly get: (name: string) => string | undefined
      readonly toObject: () => Readonly<Record<string, string>>
    }
    readonly permissions: {
      readonly querySync: (permission: object) => { readonly state: string; readonly partial?: boolean }
    }
  }
  readonly process?: { readonly env?: Readonly<Record<string, string | undefined>> }
}

// One name at a time, and on Deno only what is granted: asking for the rest would prompt, reading it would throw.
const ofProcess = (): Environment => {
  const { Deno: deno, process } = globalThis as Globals
  if (deno === undefined) return { read: (name) => process?.env?.[name], names: Object.keys(process?.env ?? {}) }
  const granted = (permission: object) => {
    const { partial, state } = deno.permissions.querySync({ name: "env", ...permission })
    return state === "granted" && partial !== true
  }
  return {
    read: (name) => (granted({ variable: name }) ? deno.env.get(name) : undefined),
    names: granted({}) ? Object.keys(deno.env.toObject()) : []
  }
}

/**
 * Reads settings from the environment of the process, as `fromRecord` does from a record.
 *
 * **Details**: on Deno a variable that the program has no permission for counts as unset; it never prompts, and names
 * that are no setting are looked for only where it may read all. Where there is no environment, as in a browser, nothing
 * is set.
 *
 * **Fails with** `SettingsError` when values are not allowed; it names all of them.
 *
 * @since 0.1.0
 */
export const fromEnv = (code: Partial<Values> = {}): Effect.Effect<Settings, SettingsError> =>
  Effect.suspend(() => Effect.fromResult(fromEnvironment(ofProcess(), code)))

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
