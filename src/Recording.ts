/**
 * Puts recording together: a Recorder, a delivery to each exporter with its spool and its metrics, and what happens to
 * open spans when the program ends. Which exporters, and which settings, is said by `Tracing`.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Tracer from "effect/Tracer"
import * as AsyncContext from "./AsyncContext.ts"
import * as BackgroundClock from "./BackgroundClock.ts"
import { Backpressure } from "./Backpressure.ts"
import { WantedContent } from "./Content.ts"
import { Key } from "./Conventions.ts"
import * as Delivery from "./Delivery.ts"
import * as Enablement from "./Enablement.ts"
import * as DeliveryMetrics from "./DeliveryMetrics.ts"
import type { Exporter } from "./Exporter.ts"
import * as HeadSampling from "./HeadSampling.ts"
import * as ProcessExit from "./ProcessExit.ts"
import * as Propagator from "./Propagator.ts"
import * as Recorder from "./Recorder.ts"
import { reach } from "./SpanRecord.ts"
import * as Redaction from "./Redaction.ts"
import * as Sampler from "./Sampler.ts"
import * as Sampling from "./Sampling.ts"
import * as Settings from "./Settings.ts"
import * as SpanEnd from "./SpanEnd.ts"
import type { EncodedSpan } from "./SpanEncoder.ts"
import type { Resource } from "./SpanRecord.ts"
import * as TailReport from "./TailReport.ts"
import * as TailRulesText from "./TailRulesText.ts"
import { TailSampler } from "./TailSampler.ts"
import { TailSampling } from "./TailSampling.ts"
import { version } from "./Version.ts"

/**
 * Starts a delivery to each exporter, in their order, and the tracer that feeds them, for as long as the scope lives.
 *
 * @since 0.1.0
 */
export const start = (exporters: ReadonlyArray<Exporter>, settings: Settings.Settings) =>
  Effect.gen(function* () {
    const named = exporters.map((exporter, index) => ({ exporter, name: uniqueName(exporters, index) }))
    // Opened before the deliveries, and so closed after them: what they could not send goes there.
    const journals = yield* Effect.forEach(named, ({ exporter, name }) =>
      exporter.spoolAs === undefined ? Effect.succeed(undefined) : openJournal(settings, `${name} ${exporter.spoolAs}`)
    )
    // Closed side by side: the deadline of the shutdown is one for all.
    const scope = yield* Scope.fork(yield* Effect.scope, "parallel")
    const deliveries: Array<Delivery.Delivery> = []
    const offer = (span: EncodedSpan): void => {
      for (const delivery of deliveries) delivery.offer(span)
    }
    const tail = yield* tailSampler(settings, offer)
    const sampler = yield* guarded(yield* currentSampler(settings, tail === undefined ? undefined : Sampler.byDefault))
    const redaction = Option.getOrUndefined(yield* Effect.serviceOption(Redaction.Redaction))
    const watches = Number.isFinite(Duration.toMillis(settings.openSpanWarning.value))
    const someOpened = yield* Latch.make()
    const recorder: Recorder.Recorder = Recorder.make({
      resource: withSdk(Settings.resource(settings)),
      limits: limits(settings),
      redactor: settings.redaction.value ? Redaction.make(redaction) : undefined,
      sampler,
      baggageAttributes: settings.baggageAttributes.value,
      spanNames: yield* Recorder.SpanNames,
      onEnd: tail === undefined ? offer : (encoded, span) => tail.end(encoded, span),
      onStart:
        watches || tail !== undefined
          ? (span) => {
              tail?.start(span)
              someOpened.openUnsafe()
            }
          : undefined,
      // A trace that may be dropped must not be shown.
      onPending:
        settings.pendingSpans.value && tail === undefined
          ? (span) => {
              for (const delivery of deliveries) delivery.offerPending(span)
            }
          : undefined
    })
    const counts = () => {
      const { live, started, unsampled } = recorder.counts()
      return { live, started, unsampled: unsampled + (tail?.dropped ?? 0), held: tail?.held ?? 0 }
    }
    for (const [index, { exporter, name }] of named.entries()) {
      const options = {
        ...deliveryOptions(settings),
        journal: journals[index],
        counts,
        metrics: DeliveryMetrics.make(name, settings.queueSize.value)
      }
      deliveries.push(yield* Scope.provide(Delivery.make({ ...exporter, name }, options), scope))
    }
    const decideEnded = Effect.sync(() => tail?.decideEnded())
    const asSeen = deliveries.map((delivery) => ({ ...delivery, flush: Effect.andThen(decideEnded, delivery.flush) }))
    yield* endOpenSpans(recorder, tail, deliveries, settings.shutdownTimeout.value)
    if (watches) yield* Effect.forkScoped(warnOfOpenSpans(recorder, settings.openSpanWarning.value, someOpened))
    const tracer = settings.context.value === "async" ? yield* AsyncContext.follow(recorder) : recorder
    const context = Context.make(Tracer.Tracer, tracer).pipe(
      Context.merge(boundaries(settings)),
      Context.add(Delivery.Deliveries, {
        flush: Effect.forEach(asSeen, ({ flush }) => flush, { concurrency: "unbounded", discard: true }),
        ledgers: Effect.forEach(deliveries, ({ ledger }) => ledger),
        health: Effect.forEach(deliveries, ({ health }) => health)
      }),
      Context.add(WantedContent, {
        mode: settings.captureContent.value,
        length: settings.contentLength.value + reach
      }),
      Context.add(Backpressure, settings.queuePolicy.value === "block" ? untilThereIsRoom(deliveries) : undefined)
    )
    return { context, deliveries: asSeen }
  })

/** Opens the spool of an exporter, where one is set up. Loaded when it is: it alone needs a file system. */
const openJournal = (settings: Settings.Settings, exporter: string) =>
  Effect.gen(function* () {
    const directory = settings.spoolDirectory.value
    if (directory === "") return undefined
    const Spool = yield* Effect.promise(() => import("./Spool.ts"))
    const { spoolAge, spoolBytes } = settings
    const spool = Spool.layer({ directory, maxBytes: spoolBytes.value, maxAge: spoolAge.value })
    return yield* Effect.flatMap(Spool.Spool, (service) => service.open(exporter)).pipe(Effect.provide(spool))
  })

/** A span that nobody will end any more is ended before the last ones leave, so that it is not lost. */
const endOpenSpans = (
  recorder: Recorder.Recorder,
  tail: TailSampler | undefined,
  deliveries: ReadonlyArray<Delivery.Delivery>,
  shutdownTimeout: Duration.Duration
) =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const abandon = (reason: string): void => {
      recorder.abandon(reason, clock.currentTimeNanosUnsafe())
      tail?.flush()
    }
    yield* Effect.addFinalizer(() => Effect.sync(() => abandon("shutdown")))
    yield* ProcessExit.listen({
      onExit: () => {
        abandon("exit")
        const left = timeLeft(Duration.toMillis(shutdownTimeout))
        for (const delivery of deliveries) delivery.closeAtExit(left())
      },
      onCrash: () => {
        tail?.flush()
        const left = timeLeft(Duration.toMillis(shutdownTimeout))
        for (const delivery of deliveries) delivery.sendNow(left())
      }
    })
  })

/** One deadline for all: says how many milliseconds are left of so many, at least one. */
const timeLeft = (millis: number): (() => number) => {
  const deadline = performance.now() + millis
  return () => Math.max(deadline - performance.now(), 1)
}

/** Two exporters of one name must not take each other's spans and numbers. */
const uniqueName = (exporters: ReadonlyArray<Exporter>, index: number): string => {
  const { name } = exporters[index]!
  const before = exporters.slice(0, index).filter((other) => other.name === name).length
  return before === 0 ? name : `${name} ${before + 1}`
}

/** Says of each span once that it is open for long. */
const warnOfOpenSpans = (
  recorder: Recorder.Recorder,
  after: Duration.Duration,
  someOpened: Latch.Latch
): Effect.Effect<void> =>
  Effect.gen(function* () {
    while (true) {
      yield* someOpened.await
      someOpened.closeUnsafe()
      yield* Effect.sleep(after)
      const now = yield* Clock.currentTimeNanos
      for (const span of recorder.takeOverdue(now - Option.getOrElse(Duration.toNanos(after), () => now))) {
        const place = `trace ${span.traceId}, span ${span.spanId}`
        yield* Effect.logWarning(`Span "${span.name}" is open for ${Duration.format(after)} and more: ${place}`)
      }
    }
  }).pipe(Effect.provideService(References.TracerEnabled, false), BackgroundClock.provide)

/**
 * Holds whoever asks until no queue is full, for a second at most, and then nobody until there was room again: a program
 * must not stand still for its traces. Who runs synchronously cannot be held.
 */
const untilThereIsRoom = (deliveries: ReadonlyArray<Delivery.Delivery>): Effect.Effect<void> => {
  let isInVain = false
  const isFull = () => deliveries.some((delivery) => delivery.isFull())
  const wait = (tries: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (!isFull()) return Effect.void
      isInVain = tries === 0
      return isInVain ? Effect.void : Effect.andThen(Effect.sleep("10 millis"), wait(tries - 1))
    })
  return Effect.withFiber((fiber) => {
    if (!isFull()) isInVain = false
    return isInVain || fiber.cache.scheduler.executionMode === "sync" ? Effect.void : wait(100)
  })
}

/**
 * What decides about traces at their end, where program or settings ask for it. Looks every second for those that wait too
 * long.
 */
const tailSampler = (settings: Settings.Settings, onKeep: (span: EncodedSpan) => void) =>
  Effect.gen(function* () {
    const options = yield* tailOptions(settings)
    if (options === undefined) return undefined
    const clock = yield* Clock.Clock
    const { tell, ...report } = yield* TailReport.make
    const tail = new TailSampler({ ...options, ...report, onKeep })
    yield* Effect.addFinalizer(() => tell)
    yield* Effect.sleep("1 second").pipe(
      Effect.andThen(Effect.sync(() => tail.tick(clock.currentTimeNanosUnsafe()))),
      // A logger that throws must not end it: nobody else looks for those that wait too long.
      Effect.andThen(Effect.exit(tell)),
      Effect.forever,
      Effect.provideService(References.TracerEnabled, false),
      BackgroundClock.provide,
      Effect.forkScoped
    )
    return tail
  })

const tailOptions = ({ tailRules }: Settings.Settings) =>
  Effect.gen(function* () {
    const service = yield* Effect.serviceOption(TailSampling)
    // Settings have looked at the text: what cannot be read does not come as far as this.
    const rules = Result.getOrElse(TailRulesText.parse(tailRules.value), () => [])
    if (Option.isNone(service)) return rules.length === 0 ? undefined : { rules }
    if (rules.length > 0) yield* warnOfUnused("tailRules", tailRules, "TailSampling")
    return service.value
  })

/**
 * Warns that a setting does not count, as the program brings a service of its own.
 *
 * @since 0.1.0
 */
export const warnOfUnused = (name: string, { source }: Settings.Setting<unknown>, service: string) =>
  Effect.logWarning(`${source === "code" ? name : source} is not used: the program brings \`${service}\` of its own`)

/**
 * Gives the sampler of each moment: that of the service, or else of the settings, for those whom the switches let pass.
 * `undefined` where nobody ever has to be asked.
 */
const currentSampler = (
  settings: Settings.Settings,
  otherwise: Sampler.Sampler | undefined
): Effect.Effect<(() => Sampler.Sampler | undefined) | undefined> =>
  Effect.gen(function* () {
    const asSet = Sampling.fromSettings(settings) ?? otherwise
    const sampling = Option.getOrUndefined(yield* Effect.serviceOption(Sampling.Sampling))
    const { samplingRules, samplingRulesFile } = settings
    // A file that is set brings the service itself, with these rules behind its own.
    if (sampling !== undefined && samplingRules.value !== "" && samplingRulesFile.value === "") {
      yield* warnOfUnused("samplingRules", samplingRules, "Sampling")
    }
    const enablement = Option.getOrUndefined(yield* Effect.serviceOption(Enablement.Enablement))
    if (enablement === undefined) {
      if (sampling !== undefined) return () => SubscriptionRef.getUnsafe(sampling.sampler)
      return asSet === undefined ? undefined : () => asSet
    }
    let last:
      | { readonly switches: Enablement.Switches; readonly sampler: Sampler.Sampler; readonly gated: Sampler.Sampler }
      | undefined
    return () => {
      const switches = SubscriptionRef.getUnsafe(enablement.switches)
      const sampler =
        sampling === undefined ? (asSet ?? Sampler.byDefault) : SubscriptionRef.getUnsafe(sampling.sampler)
      if (last?.switches !== switches || last.sampler !== sampler) {
        last = { switches, sampler, gated: Enablement.gate(switches, sampler) }
      }
      return last.gated
    }
  })

/** Says of each sampler that is broken, once, that it is. */
const guarded = (sampler: (() => Sampler.Sampler | undefined) | undefined) =>
  Effect.map(Effect.context(), (context) =>
    sampler === undefined
      ? undefined
      : HeadSampling.guarded(sampler, (name, problem) => {
          const told = `The sampler "${name}" is broken, and takes what the parent took: ${SpanEnd.describe(problem).message}`
          Effect.runForkWith(context)(Effect.logWarning(told))
        })
  )

const deliveryOptions = (settings: Settings.Settings): Delivery.Options => ({
  queueSize: settings.queueSize.value,
  queueBytes: settings.queueBytes.value,
  policy: settings.queuePolicy.value === "dropOldest" ? "dropOldest" : "dropNewest",
  exportTimeout: settings.exportTimeout.value,
  batchSize: settings.batchSize.value,
  batchDelay: settings.batchDelay.value,
  shutdownTimeout: settings.shutdownTimeout.value
})

const limits = (settings: Settings.Settings): Recorder.Limits => ({
  attributes: settings.spanAttributeCount.value,
  attributeValueLength: settings.attributeValueLength.value,
  contentLength: settings.contentLength.value,
  events: settings.spanEventCount.value,
  links: settings.spanLinkCount.value,
  eventAttributes: settings.eventAttributeCount.value,
  linkAttributes: settings.linkAttributeCount.value
})

/**
 * What boundaries go by, whether anything is recorded or not. Where nobody asks for it here, the program's own stays.
 *
 * @since 0.1.0
 */
export const boundaries = (settings: Settings.Settings): Context.Context<never> =>
  Context.empty().pipe(
    settings.propagators.source === "default"
      ? identity
      : Context.add(Propagator.CurrentPropagator, propagator(settings)),
    settings.inboundTrust.source === "default"
      ? identity
      : Context.add(Propagator.CurrentTrust, settings.inboundTrust.value)
  )

const propagator = ({ propagators }: Settings.Settings): Propagator.Propagator =>
  Propagator.composite(...propagators.value.flatMap((name) => propagatorsByName[name]))

const propagatorsByName: Readonly<Record<Settings.PropagatorName, ReadonlyArray<Propagator.Propagator>>> = {
  tracecontext: [Propagator.traceContext],
  baggage: [Propagator.baggage],
  b3: [Propagator.b3],
  b3multi: [Propagator.b3multi],
  none: []
}

/** Says who recorded, as receivers expect it (OpenTelemetry Resource Conventions §Telemetry SDK). */
const withSdk = (resource: Resource): Resource => ({
  attributes: {
    [Key.sdkName]: "handspan",
    [Key.sdkLanguage]: "nodejs",
    [Key.sdkVersion]: version,
    ...resource.attributes
  }
})
