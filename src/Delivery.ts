/**
 * The way from Recorder to Exporter: a bounded queue that takes spans without ever holding the program up, sends them in
 * batches, tries again what may pass, and counts every span in a Ledger. Each exporter has a Delivery of its own, so a
 * slow one holds up no other. How spans are made is the Recorder's, how they are sent the Exporter's.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { type Exporter, ExportError } from "./Exporter.ts"
import * as SpanEnd from "./SpanEnd.ts"
import type { SpanRecord } from "./SpanRecord.ts"

/**
 * Where every span that a Delivery was given is now: `accepted` is always the sum of all the others.
 *
 * @since 0.1.0
 */
export interface Ledger {
  readonly exporter: string
  readonly accepted: number
  readonly queued: number
  readonly inFlight: number
  readonly exported: number
  readonly dropped: Readonly<Record<DropReason, number>>
}

/**
 * Why a span was dropped: the queue was full, the exporter refused it for good, attempts ran out, or the process ended
 * before it could go.
 *
 * @since 0.1.0
 */
export type DropReason = "queue_full" | "refused" | "retries_exhausted" | "shutdown"

/**
 * Takes finished spans to one exporter.
 *
 * @since 0.1.0
 */
export interface Delivery {
  /** Takes a span. Returns at once and never fails; what cannot be taken is counted. */
  readonly offer: (span: SpanRecord) => void
  /**
   * Returns when every span taken before has left, or was given up and counted. Giving up the wait changes nothing for
   * the spans.
   */
  readonly flush: Effect.Effect<void>
  readonly ledger: Effect.Effect<Ledger>
}

/**
 * All deliveries of the tracing that is in place, for programs that must see their spans off before they stop, as in
 * serverless functions, or look at the ledgers. Every Layer of `Tracing` provides it.
 *
 * @since 0.1.0
 */
export class Deliveries extends Context.Service<
  Deliveries,
  {
    /** Returns when every span that ended before has left, or was given up and counted. */
    readonly flush: Effect.Effect<void>
    /** One ledger for each exporter. */
    readonly ledgers: Effect.Effect<ReadonlyArray<Ledger>>
  }
>()("handspan/Delivery/Deliveries") {}

/**
 * How spans are queued and sent.
 *
 * @since 0.1.0
 */
export interface Options {
  /** Spans that may wait, at least 1; more are dropped and counted. Default: 65,536. */
  readonly queueSize?: number | undefined
  /** Spans sent at once, at most; at least 1. Default: 512. */
  readonly batchSize?: number | undefined
  /** How long a span waits for others to be sent with, where the exporter does not say. Default: 1 second. */
  readonly batchDelay?: Duration.Input | undefined
  /**
   * How long the end of the program may wait for spans to leave; the exporter then has a second at most to close.
   * Default: 5 seconds.
   */
  readonly shutdownTimeout?: Duration.Input | undefined
}

/**
 * Starts the delivery to an exporter, for as long as the scope lives.
 *
 * **Details**: one request is under way at a time. A failure that may pass is tried again after 1, 2, 4 and 8 seconds
 * (each 20 % more or less), and then given up. When the scope closes, what is queued is sent within `shutdownTimeout`,
 * and what could not go is dropped. What is dropped is counted at once and logged as a warning a second later, so that a
 * burst makes one.
 *
 * @since 0.1.0
 */
export const make = (exporter: Exporter, options: Options = {}): Effect.Effect<Delivery, never, Scope.Scope> =>
  Effect.gen(function* () {
    const queueSize = Math.max(options.queueSize ?? 65_536, 1)
    const batchSize = Math.max(options.batchSize ?? 512, 1)
    const batchDelay = Duration.fromInputUnsafe(exporter.batchDelay ?? options.batchDelay ?? "1 seconds")
    const shutdownTimeout = Duration.fromInputUnsafe(options.shutdownTimeout ?? "5 seconds")

    let queue: Array<SpanRecord> = []
    // Where the queue begins: taking from the front of an array would move all the rest.
    let head = 0
    let inFlight = 0
    let accepted = 0
    let exported = 0
    let closed = false
    /** Why the batch under way was not taken when it was tried last. */
    let lastFailure = ""
    const dropped: Record<DropReason, number> = { queue_full: 0, refused: 0, retries_exhausted: 0, shutdown: 0 }
    const told: Record<DropReason, number> = { ...dropped }
    const causes: Record<DropReason, string> = {
      queue_full: `the queue is full with ${queueSize}`,
      refused: "",
      retries_exhausted: "",
      shutdown: `not taken within ${Duration.format(shutdownTimeout)} of shutdown`
    }
    /** Those who wait until so many spans have left the queue for good. */
    let waiting: ReadonlyArray<{ readonly mark: number; readonly done: Deferred.Deferred<void> }> = []

    const work = yield* Latch.make()
    const hurry = yield* Latch.make()
    const closing = yield* Latch.make()
    const someDropped = yield* Latch.make()

    // Read once, and whatever they are: a foreign exporter must fail nothing.
    const flushExporter = harmless(() => exporter.flush)
    const shutDownExporter = harmless(() => exporter.shutdown)

    const queued = () => queue.length - head
    /** How many spans have left the queue for good, of all that ever were in it. */
    const settled = () => accepted - dropped.queue_full - queued() - inFlight

    const drop = (reason: DropReason, count: number): void => {
      dropped[reason] += count
      if (count > 0) someDropped.openUnsafe()
    }

    const offer = (span: SpanRecord): void => {
      accepted++
      if (closed) return drop("shutdown", 1)
      if (queued() >= queueSize) return drop("queue_full", 1)
      queue.push(span)
      work.openUnsafe()
      if (queued() >= batchSize) hurry.openUnsafe()
    }

    const takeBatch = (): ReadonlyArray<SpanRecord> => {
      const batch = queue.slice(head, head + batchSize)
      head += batch.length
      inFlight = batch.length
      if (head * 2 > queue.length) {
        queue = queue.slice(head)
        head = 0
      }
      return batch
    }

    const settle = (refused: number, reason: DropReason): void => {
      if (closed) return
      // A count that is none means that nothing is known to have been taken.
      const count = Number.isFinite(refused) ? Math.max(Math.min(refused, inFlight), 0) : inFlight
      exported += inFlight - count
      inFlight = 0
      drop(reason, count)
    }

    const refusal = (message: string, refused: number) =>
      new ExportError({ exporter: exporter.name, message, retryable: false, refused })

    // Whatever a foreign exporter does, a defect, an interruption or no Effect at all, is a refusal: delivery goes on.
    const send = (batch: ReadonlyArray<SpanRecord>): Effect.Effect<void, ExportError> =>
      Effect.suspend(() => {
        const exporting: unknown = exporter.export(batch)
        return Effect.isEffect(exporting)
          ? (exporting as Effect.Effect<void, unknown>)
          : Effect.fail(refusal("export gave no Effect", batch.length))
      }).pipe(
        Effect.timeoutOrElse({
          duration: exportTimeout,
          orElse: () => Effect.fail(refusal(`export took longer than ${Duration.format(exportTimeout)}`, batch.length))
        }),
        Effect.catchCause((cause) => {
          const squashed = Cause.squash(cause)
          const error =
            squashed instanceof ExportError ? squashed : refusal(SpanEnd.describe(squashed).message, batch.length)
          lastFailure = error.message
          return Effect.fail(error)
        })
      )

    const sendBatch = Effect.suspend(() =>
      Effect.match(Effect.retry(send(takeBatch()), retrySchedule(closing.await)), {
        onSuccess: () => {
          lastFailure = ""
          settle(0, "refused")
        },
        onFailure: ({ message, refused, retryable }) => {
          const reason = retryable ? "retries_exhausted" : "refused"
          causes[reason] = message
          lastFailure = ""
          settle(refused, reason)
        }
      })
    )

    /** Lets those go whose spans have left, once the exporter has let go of them too. */
    const release = Effect.suspend(() => {
      const ready = waiting.filter(({ mark }) => mark <= settled())
      if (ready.length === 0) return Effect.void
      waiting = waiting.filter(({ mark }) => mark > settled())
      return Effect.andThen(
        within(shutdownTimeout, flushExporter),
        Effect.forEach(ready, ({ done }) => Deferred.succeed(done, undefined), { discard: true })
      )
    })

    const worker = yield* Effect.gen(function* () {
      while (true) {
        yield* work.await
        yield* Effect.raceFirst(hurry.await, Effect.sleep(batchDelay))
        yield* release
        while (queued() > 0) {
          yield* sendBatch
          yield* release
        }
        if (queued() === 0 && waiting.length === 0) {
          work.closeUnsafe()
          hurry.closeUnsafe()
        }
      }
    }).pipe(Effect.provideService(References.TracerEnabled, false), Effect.forkDetach)

    const tell = Effect.suspend(() =>
      Effect.forEach(dropReasons, (reason) => {
        const count = dropped[reason] - told[reason]
        told[reason] = dropped[reason]
        const what = count === 1 ? "1 span on its way" : `${count} spans on their way`
        return count === 0
          ? Effect.void
          : Effect.logWarning(`Dropped ${what} to exporter "${exporter.name}": ${causes[reason]}`)
      })
    ).pipe(Effect.provideService(References.TracerEnabled, false))

    const tellForever = Effect.gen(function* () {
      while (true) {
        yield* someDropped.await
        yield* Effect.sleep("1 seconds")
        someDropped.closeUnsafe()
        yield* tell
      }
    })
    // Not of the scope: spans that end after it, in fibers that outlive the program, are lost too, and told.
    const teller = yield* Effect.forkDetach(tellForever)

    // The worker sends, whoever waits: a caller that gives up waiting costs no span, and none of its spans is ours.
    const flush = Effect.suspend(() => {
      const waiter = { mark: accepted - dropped.queue_full, done: Deferred.makeUnsafe<void>() }
      if (closed) return Effect.void
      waiting = [...waiting, waiter]
      work.openUnsafe()
      hurry.openUnsafe()
      return Effect.onInterrupt(Deferred.await(waiter.done), () =>
        Effect.sync(() => {
          waiting = waiting.filter((other) => other !== waiter)
        })
      )
    })

    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        yield* closing.open
        yield* within(shutdownTimeout, flush)
        closed = true
        // Not waited for: an exporter that cannot be interrupted must not hold the program.
        worker.interruptUnsafe()
        if (lastFailure !== "") causes.shutdown += `; ${lastFailure}`
        drop("shutdown", queued() + inFlight)
        inFlight = 0
        queue = []
        head = 0
        yield* Effect.forEach(waiting, ({ done }) => Deferred.succeed(done, undefined), { discard: true })
        yield* within(letGoTimeout, shutDownExporter)
        yield* tell
        // One that is about to tell would hold the process for its second.
        teller.interruptUnsafe()
        someDropped.closeUnsafe()
        causes.shutdown = "ended after tracing had shut down"
        yield* Effect.forkDetach(tellForever)
      }).pipe(Effect.provideService(References.TracerEnabled, false))
    )

    return {
      offer,
      flush,
      ledger: Effect.sync(() => ({
        exporter: exporter.name,
        accepted,
        queued: queued(),
        inFlight,
        exported,
        dropped: { ...dropped }
      }))
    }
  })

const dropReasons: ReadonlyArray<DropReason> = ["queue_full", "refused", "retries_exhausted", "shutdown"]

/** How long one export may take (OpenTelemetry's default for `OTEL_BSP_EXPORT_TIMEOUT`); exporters have shorter ones. */
const exportTimeout = Duration.seconds(30)

/** How long an exporter may take to close what it holds, once its spans are off or given up. */
const letGoTimeout = Duration.seconds(1)

const harmless = (read: () => unknown): Effect.Effect<void> =>
  Effect.suspend(() => {
    const effect = read()
    return Effect.isEffect(effect) ? (effect as Effect.Effect<unknown, unknown>) : Effect.void
  }).pipe(Effect.ignoreCause)

/** Waits for an effect no longer than so, also where it cannot be interrupted. */
const within = (timeout: Duration.Duration, effect: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.flatMap(Effect.forkDetach(effect), (fiber) =>
    Fiber.await(fiber).pipe(
      Effect.interruptible,
      Effect.timeoutOption(timeout),
      Effect.andThen(Effect.sync(() => fiber.interruptUnsafe()))
    )
  )

/** Once the program is ending, there is little time to wait for a better moment: the other attempts come quickly. */
const retrySchedule = (closing: Effect.Effect<void>) =>
  Schedule.exponential("1 seconds").pipe(
    Schedule.jittered,
    Schedule.while(({ attempt, input }: Schedule.Metadata<unknown, ExportError>) =>
      Effect.succeed(input.retryable && attempt <= 4)
    ),
    Schedule.tap(({ duration }) =>
      Effect.raceFirst(Effect.sleep(duration), Effect.andThen(closing, Effect.sleep("250 millis")))
    ),
    Schedule.modifyDelay(() => Effect.succeed(Duration.zero))
  )
