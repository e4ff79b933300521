/**
 * The Layers that decide where spans go. A program is the same under each of them: put one around it, and swap it per
 * environment. Also the assembly of their parts; how spans are made, delivered and written is in modules of their own.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Tracer from "effect/Tracer"
import * as AsyncContext from "./AsyncContext.ts"
import * as Correlation from "./Correlation.ts"
import * as Delivery from "./Delivery.ts"
import * as EnvironmentCarrier from "./EnvironmentCarrier.ts"
import type { Exporter } from "./Exporter.ts"
import * as Ambient from "./exporter/Ambient.ts"
import * as Console from "./exporter/Console.ts"
import * as Memory from "./exporter/Memory.ts"
import * as Otlp from "./exporter/Otlp.ts"
import type { Ledger } from "./Ledger.ts"
import * as Recorder from "./Recorder.ts"
import * as Recording from "./Recording.ts"
import * as Sampler from "./Sampler.ts"
import * as Sampling from "./Sampling.ts"
import type { SamplingFileError } from "./SamplingFile.ts"
import * as Settings from "./Settings.ts"
import * as TraceContext from "./TraceContext.ts"

type OtlpSetting = Extract<keyof Settings.Values, `otlp${string}`>
type RoutingSetting = Extract<
  keyof Settings.Values,
  `console${string}` | `jaeger${string}` | "enabled" | "exporters" | "samplingRulesFile"
>

/**
 * What every recording Layer takes: the settings of `Settings.table` by their names there, such as `serviceName`,
 * `environment`, `resourceAttributes`, `logFormat` or `shutdownTimeout`, with the same defaults.
 *
 * @since 0.1.0
 */
export type Options = Partial<Omit<Settings.Values, OtlpSetting | RoutingSetting>>

/**
 * What `layerOtlp` takes besides: where and how to send, by the names of `Settings.table`, such as `otlpEndpoint`.
 *
 * @since 0.1.0
 */
export type OtlpOptions = Options & Partial<Pick<Settings.Values, OtlpSetting>>

/**
 * Records spans and gives each to every one of the exporters, each at its own pace.
 *
 * **Details**: when the Layer's scope closes (the program ended, or `runMain` was told to stop by SIGINT or SIGTERM) the
 * exporters are flushed side by side, within `shutdownTimeout`. Logs inside of spans carry `trace_id`, `span_id` and
 * `agent`, unless `logFormat` says otherwise.
 *
 * **Gotchas**: put it outside of the first span: a span around `Effect.provide` is not recorded. A setting that is not allowed
 * is a mistake of the program: the Layer dies, when it is built, of a `SettingsError` that names all of them.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Exporter, Tracing } from "handspan"
 *
 * const names: Array<string> = []
 * const collectNames = Exporter.make({
 *   name: "names",
 *   export: (spans) => Effect.sync(() => void names.push(...spans.map((span) => span.name)))
 * })
 * const program = Effect.withSpan(Effect.void, "work")
 * await Effect.runPromise(program.pipe(Effect.provide(Tracing.layer({ exporters: [collectNames] }))))
 * if (names.join() !== "work") throw new Error("expected the span")
 * ```
 *
 * @since 0.1.0
 */
export const layer = (
  options: Options & { readonly exporters: ReadonlyArray<Exporter> }
): Layer.Layer<Delivery.Deliveries> => {
  const { exporters, ...settings } = options
  return Layer.suspend(() => recording(exporters, fromCode(settings)))
}

/**
 * Prints spans: by default a tree for each trace, when its root ends, on stderr. Dies of wrong settings as `layer` does.
 *
 * @since 0.1.0
 */
export const layerConsole = (options: Console.Options & Options = {}): Layer.Layer<Delivery.Deliveries> =>
  Layer.suspend(() => recording([Console.make(options)], fromCode(options)))

/**
 * Sends spans to an OpenTelemetry collector, or to any other receiver of OTLP.
 *
 * **Fails with** `SettingsError` that names every setting that is not allowed, and with `OtlpSetupError` when the protocol asks
 * for a package that is not installed.
 *
 * @since 0.1.0
 */
export const layerOtlp = (
  options: OtlpOptions = {}
): Layer.Layer<Delivery.Deliveries, Settings.SettingsError | Otlp.OtlpSetupError> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const settings = yield* Effect.fromResult(Settings.fromRecord({}, options))
      return recording([yield* otlpExporter(settings)], settings)
    })
  )

/**
 * Keeps spans in memory, to be read with `Memory.Spans`; what tests use.
 *
 * **Details**: reading flushes first, so every span that has ended is there. A Layer that is built anew, as for each
 * test, starts empty.
 *
 * @since 0.1.0
 */
export const layerInMemory: Layer.Layer<Delivery.Deliveries | Memory.Spans> = Layer.suspend(() =>
  inMemory([], fromCode({}))
)

/**
 * Records nothing. The context of a caller reaches whoever is called as it came, what begins here is unsampled, and wrappers of
 * `Instrument` give back what they were given, unless a caller's trace passes through.
 *
 * @since 0.1.0
 */
export const layerNoop: Layer.Layer<Delivery.Deliveries> = Layer.sync(Delivery.Deliveries, () => nothingToDeliver).pipe(
  Layer.merge(Layer.sync(Tracer.Tracer, () => Recorder.makeNoop())),
  Layer.merge(Layer.succeed(TraceContext.TracingEnabled, false))
)

/**
 * Joins the OpenTelemetry provider that is in place already: Deno's own, Sentry's, or that of a Node SDK. It then makes
 * ids, samples and exports; agents and pipelines are its spans.
 *
 * **Details**: with `context: "async"`, what a program waits for has its span as OpenTelemetry's active one, so that the spans
 * of instrumented libraries, and Deno's of `fetch`, nest under those of Effect. Default: `none`.
 *
 * @since 0.1.0
 */
export const layerAmbientWith = (
  options: Partial<Pick<Settings.Values, "context">>
): Layer.Layer<Delivery.Deliveries> => {
  const tracer = options.context === "async" ? Effect.flatMap(Ambient.tracer, AsyncContext.follow) : Ambient.tracer
  return Layer.sync(Delivery.Deliveries, () => nothingToDeliver).pipe(
    Layer.merge(Layer.effect(Tracer.Tracer, tracer)),
    Layer.merge(Correlation.layer)
  )
}

/**
 * `layerAmbientWith`, as it is by default.
 *
 * @since 0.1.0
 */
export const layerAmbient: Layer.Layer<Delivery.Deliveries> = layerAmbientWith({})

/**
 * What can be wrong with an environment.
 *
 * @since 0.1.0
 */
export type LayerFromEnvError = Settings.SettingsError | Otlp.OtlpSetupError | SamplingFileError

/**
 * Takes the Layer that the environment asks for: see `Settings.table` for the variables. Code may set what the
 * environment then cannot change.
 *
 * **Details**: where the process was started with a `TRACEPARENT` (`Subprocess` does so), the trace goes on here, unless
 * `inboundTrust` says otherwise. With tracing off, or exporter `none`, it is `layerNoop`. With exporter `in_memory`, `Memory.Spans` is
 * there for `Effect.serviceOption`.
 *
 * **Fails with** `SettingsError` that names every bad variable at once, with `OtlpSetupError`, and with `SamplingFileError`
 * where the file of `samplingRulesFile` cannot be read.
 *
 * @since 0.1.0
 */
export const layerFromEnvWith = (
  options: Partial<Settings.Values> & { readonly console?: Console.Options | undefined }
): Layer.Layer<Delivery.Deliveries, LayerFromEnvError> => {
  const { console, ...code } = options
  return Layer.unwrap(
    Effect.gen(function* () {
      const settings = yield* Settings.fromEnv(code)
      for (const notice of settings.notices) yield* Effect.logWarning(notice)
      const names = settings.exporters.value
      const inherited = startedBy(settings)
      if (!settings.enabled.value || names.includes("none")) {
        return inherited.pipe(
          Layer.provideMerge(Layer.merge(layerNoop, Layer.succeedContext(Recording.boundaries(settings))))
        )
      }
      const exporters: Array<Exporter> = []
      if (names.includes("console")) exporters.push(Console.make({ ...consoleOptions(settings), ...console }))
      if (names.includes("otlp")) exporters.push(yield* otlpExporter(settings))
      const layer = names.includes("in_memory") ? inMemory(exporters, settings) : recording(exporters, settings)
      const sampling = yield* samplingFromFile(settings)
      return Layer.provideMerge(inherited, sampling === undefined ? layer : Layer.provide(layer, sampling))
    })
  )
}

/**
 * Takes the Layer that the environment asks for, and nothing from code.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Agent, Tracing } from "handspan"
 *
 * const hello = Agent.make("hello", { run: (name: string) => Effect.succeed(`Hello, ${name}`) })
 * const greeting = await Effect.runPromise(hello("Ada").pipe(Effect.provide(Tracing.layerFromEnv)))
 * if (greeting !== "Hello, Ada") throw new Error("expected a greeting")
 * ```
 *
 * @since 0.1.0
 */
export const layerFromEnv: Layer.Layer<Delivery.Deliveries, LayerFromEnvError> = layerFromEnvWith({})

/**
 * Makes the span that started this process the parent of those that begin here, as far as callers are followed and nobody is
 * their parent already.
 */
const startedBy = ({ inboundTrust }: Settings.Settings): Layer.Layer<never> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const around = yield* Effect.serviceOption(Tracer.ParentSpan)
      if (inboundTrust.value !== "follow" || Option.isSome(around)) return Context.empty()
      const told = Effect.all([Effect.serviceOption(Tracer.ParentSpan), TraceContext.CurrentBaggage])
      const [parent, baggage] = yield* EnvironmentCarrier.continued(told)
      const inherited = Context.make(TraceContext.CurrentBaggage, baggage)
      return Option.isNone(parent) ? inherited : Context.add(inherited, Tracer.ParentSpan, parent.value)
    })
  )

/** Sampling by a file, where one is named and the program brings no `Sampling` of its own. */
const samplingFromFile = (settings: Settings.Settings) =>
  Effect.gen(function* () {
    const path = settings.samplingRulesFile.value
    if (path === "") return undefined
    if (Option.isSome(yield* Effect.serviceOption(Sampling.Sampling))) {
      yield* Recording.warnOfUnused("samplingRulesFile", settings.samplingRulesFile, "Sampling")
      if (settings.samplingRules.value !== "") {
        yield* Recording.warnOfUnused("samplingRules", settings.samplingRules, "Sampling")
      }
      return undefined
    }
    // Loaded when it is needed: it alone of sampling needs a file system.
    const SamplingFile = yield* Effect.promise(() => import("./SamplingFile.ts"))
    return SamplingFile.layer(path, Sampling.fromSettings(settings) ?? Sampler.byDefault)
  })

/** Without variables there is nothing that could be wrong. */
const fromCode = (options: Partial<Settings.Values>): Settings.Settings =>
  Result.getOrThrow(Settings.fromRecord({}, options))

const consoleOptions = (settings: Settings.Settings): Console.Options => ({
  format: settings.consoleFormat.value,
  output: settings.consoleOutput.value,
  colors: settings.consoleColors.value
})

const otlpExporter = (settings: Settings.Settings) =>
  Otlp.make({
    url: settings.otlpEndpoint.value,
    protocol: settings.otlpProtocol.value,
    headers: settings.otlpHeaders.value,
    timeout: settings.otlpTimeout.value,
    compression: settings.otlpCompression.value,
    tls: {
      certificate: settings.otlpCertificate.value,
      clientCertificate: settings.otlpClientCertificate.value,
      clientKey: settings.otlpClientKey.value
    }
  })

const recording = (exporters: ReadonlyArray<Exporter>, settings: Settings.Settings): Layer.Layer<Delivery.Deliveries> =>
  Layer.effectContext(Effect.map(Recording.start(exporters, settings), ({ context }) => context)).pipe(
    Layer.merge(logs(settings))
  )

const inMemory = (
  others: ReadonlyArray<Exporter>,
  settings: Settings.Settings
): Layer.Layer<Delivery.Deliveries | Memory.Spans> => {
  const { exporter, spans } = Memory.make()
  return Layer.effectContext(
    Effect.map(Recording.start([exporter, ...others], settings), ({ context, deliveries: [memory] }) => {
      // Memory's own delivery alone: reading must not wait for a collector.
      const flush = memory?.flush ?? Effect.void
      return Context.add(context, Memory.Spans, {
        all: Effect.andThen(flush, spans.all),
        clear: Effect.andThen(flush, spans.clear)
      })
    })
  ).pipe(Layer.merge(logs(settings)))
}

/**
 * Where a program is in its traces, and what has become of its spans so far.
 *
 * @since 0.1.0
 */
export interface Stats {
  /** The span that is running, `undefined` outside of spans. */
  readonly span:
    | {
        readonly name: string
        readonly traceId: string
        readonly spanId: string
        readonly sampled: boolean
        /** How long it has taken so far, in milliseconds with fractions. */
        readonly durationMillis: number
      }
    | undefined
  /** Where every span is that was started under this Layer, one ledger for each exporter. */
  readonly ledgers: ReadonlyArray<Ledger>
}

/**
 * Looks at the current span and at the counts of all spans, under whatever tracing is in place: for a status page, a log line,
 * or a look from a debugger. Without one, there is no span and no ledger. Never fails.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Agent, Tracing } from "handspan"
 *
 * const curious = Agent.make("curious", { run: () => Tracing.stats })
 * const { ledgers, span } = await Effect.runPromise(Effect.provide(curious(), Tracing.layerInMemory))
 * if (span?.name !== "agent_handoff.curious" || ledgers[0]?.live !== 1) throw new Error("expected one open span")
 * ```
 *
 * @since 0.1.0
 */
export const stats: Effect.Effect<Stats> = Effect.gen(function* () {
  const deliveries = yield* Effect.serviceOption(Delivery.Deliveries)
  const ledgers = Option.isNone(deliveries) ? [] : yield* deliveries.value.ledgers
  const current = Option.getOrUndefined(yield* Effect.option(Effect.currentSpan))
  if (current === undefined) return { span: undefined, ledgers }
  const { name, sampled, spanId, status, traceId } = current
  const durationMillis = Number((yield* Clock.currentTimeNanos) - status.startTime) / 1e6
  return { span: { name, traceId, spanId, sampled, durationMillis }, ledgers }
})

const nothingToDeliver = Delivery.Deliveries.of({
  flush: Effect.void,
  ledgers: Effect.succeed([]),
  health: Effect.succeed([])
})

const logs = (settings: Settings.Settings): Layer.Layer<never> => {
  switch (settings.logFormat.value) {
    case "annotate":
      return Correlation.layer
    case "json":
      return Correlation.layerJson({ service: settings.serviceName.value, environment: settings.environment.value })
    case "none":
      return Layer.empty
  }
}
