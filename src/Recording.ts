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
import * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Tracer from "effect/Tracer"
import * as BackgroundClock from "./BackgroundClock.ts"
import { Backpressure } from "./Backpressure.ts"
import { WantedContent } from "./Content.ts"
import { Key } from "./Conventions.ts"
import * as Delivery from "./Delivery.ts"
import * as Enablement from "./Enablement.ts"
import * as DeliveryMetrics from "./DeliveryMetrics.ts"
import type { Exporter } from "./Exporter.ts"
import * as ProcessExit from "./ProcessExit.ts"
import * as Propagator from "./Propagator.ts"
import * as Recorder from "./Recorder.ts"
import { reach } from "./SpanRecord.ts"
import * as Redaction from "./Redaction.ts"
import type { Sampler } from "./Sampler.ts"
import * as Sampling from "./Sampling.ts"
import * as Settings from "./Settings.ts"
import * as SpanEnd from "./SpanEnd.ts"
import type { EncodedSpan } from "./SpanEncoder.ts"
import type { Resource } from "./SpanRecord.ts"
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
    const tail = yield* tailSampler(offer)
    const sampler = yield* currentSampler(settings, tail === undefined ? undefined : Sampling.byDefault)
    const redaction = Option.getOrUndefined(yield* Effect.serviceOption(Redaction.Redaction))
    const watches = Number.isFinite(Duration.toMillis(settings.openSpanWarning.value))
    const someOpened = yield* Latch.make()
    const recorder: Recorder.Recorder = Recorder.make({
      resource: withSdk(Settings.resource(settings)),
      limits: limits(settings),
      redactor: settings.redaction.value ? Redaction.make(redaction) : undefined,
      sampler,
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
    yield* endOpenSpans(recorder, tail, deliveries, settings.shutdownTimeout.value)
    if (watches) yield* Effect.forkScoped(warnOfOpenSpans(recorder, settings.openSpanWarning.value, someOpened))
    const context = Context.make(Tracer.Tracer, recorder).pipe(
      // Where nobody asks for one here, the program's own stays.
      settings.propagators.source === "default"
        ? identity
        : Context.add(Propagator.CurrentPropagator, propagator(settings)),
      Context.add(Delivery.Deliveries, {
        flush: Effect.forEach(deliveries, ({ flush }) => flush, { concurrency: "unbounded", discard: true }),
        ledgers: Effect.forEach(deliveries, ({ ledger }) => ledger),
        health: Effect.forEach(deliveries, ({ health }) => health)
      }),
      settings.inboundTrust.source === "default"
        ? identity
        : Context.add(Propagator.CurrentTrust, settings.inboundTrust.value),
      Context.add(WantedContent, {
        mode: settings.captureContent.value,
        length: settings.contentLength.value + reach
      }),
      Context.add(Backpressure, settings.queuePolicy.value === "block" ? untilThereIsRoom(deliveries) : undefined)
    )
    return { context, deliveries }
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

/** What decides about traces at their end, where the program has asked for it. Looks every second for those that wait too long. */
const tailSampler = (onKeep: (span: EncodedSpan) => void) =>
  Effect.gen(function* () {
    const options = yield* Effect.serviceOption(TailSampling)
    if (Option.isNone(options)) return undefined
    const clock = yield* Clock.Clock
    const services = yield* Effect.context()
    const tail = new TailSampler({
      ...options.value,
      onKeep,
      onProblem: (rule, problem) =>
        Effect.runForkWith(services)(
          Effect.logWarning(
            `The tail rule "${rule}" is broken, and keeps its traces: ${SpanEnd.describe(problem).message}`
          )
        )
    })
    yield* Effect.forkScoped(
      Effect.forever(
        Effect.andThen(
          Effect.sleep("1 second"),
          Effect.sync(() => tail.tick(clock.currentTimeNanosUnsafe()))
        )
      ).pipe(Effect.provideService(References.TracerEnabled, false), BackgroundClock.provide)
    )
    return tail
  })

/**
 * Gives the sampler of each moment: that of the service, or else of the settings, for those whom the switches let pass.
 * `undefined` where nobody ever has to be asked.
 */
const currentSampler = (
  settings: Settings.Settings,
  otherwise: Sampler | undefined
): Effect.Effect<(() => Sampler | undefined) | undefined> =>
  Effect.gen(function* () {
    const asSet = Sampling.fromSettings(settings) ?? otherwise
    const sampling = Option.getOrUndefined(yield* Effect.serviceOption(Sampling.Sampling))
    const enablement = Option.getOrUndefined(yield* Effect.serviceOption(Enablement.Enablement))
    if (enablement === undefined) {
      if (sampling !== undefined) return () => SubscriptionRef.getUnsafe(sampling.sampler)
      return asSet === undefined ? undefined : () => asSet
    }
    let last: { readonly switches: Enablement.Switches; readonly sampler: Sampler; readonly gated: Sampler } | undefined
    return () => {
      const switches = SubscriptionRef.getUnsafe(enablement.switches)
      const sampler =
        sampling === undefined ? (asSet ?? Sampling.byDefault) : SubscriptionRef.getUnsafe(sampling.sampler)
      if (last?.switches !== switches || last.sampler !== sampler) {
        last = { switches, sampler, gated: Enablement.gate(switches, sampler) }
      }
      return last.gated
    }
  })

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
