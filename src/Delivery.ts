/**
 * The way from Recorder to Exporter: a bounded queue that takes spans without ever holding the program up, sends them in
 * batches, tries again what may pass, and counts every span in a Ledger. Each exporter has a Delivery of its own, so a
 * slow one holds up no other. How spans are made is the Recorder's, how they are sent the Exporter's.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
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
  /** Returns when every span taken before has left, or was given up and counted. */
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
  /** Spans that may wait; more are dropped and counted. Default: 65,536. */
  readonly queueSize?: number | undefined
  /** Spans sent at once, at most. Default: 512. */
  readonly batchSize?: number | undefined
  /** How long a span waits for others to be sent with, where the exporter does not say. Default: 1 second. */
  readonly batchDelay?: Duration.Input | undefined
  /** How long the end of the program may wait for spans to leave. Default: 5 seconds. */
  readonly shutdownTimeout?: Duration.Input | undefined
}

/**
 * Starts the delivery to an exporter, for as long as the scope lives.
 *
 * **Details**: one request is under way at a time. A failure that may pass is tried again after 1, 2, 4 and 8 seconds
 * (each 20 % more or less), and then given up. When the scope closes, what is queued is sent within `shutdownTimeout`;
 * what could not go is dropped and counted. The first drop of a burst is logged as a warning, and the end tells the sum.
 *
 * @since 0.1.0
 */
export const make = (exporter: Exporter, options: Options = {}): Effect.Effect<Delivery, never, Scope.Scope> =>
  Effect.gen(function* () {
    const queueSize = options.queueSize ?? 65_536
    const batchSize = options.batchSize ?? 512
    const batchDelay = Duration.fromInputUnsafe(exporter.batchDelay ?? options.batchDelay ?? "1 seconds")
    const shutdownTimeout = Duration.fromInputUnsafe(options.shutdownTimeout ?? "5 seconds")

    let queue: Array<SpanRecord> = []
    let closed = false
    let inFlight = 0
    let accepted = 0
    let exported = 0
    const dropped: Record<DropReason, number> = { queue_full: 0, refused: 0, retries_exhausted: 0, shutdown: 0 }
    let toldDropped = 0

    const someQueued = yield* Latch.make()
    const batchFull = yield* Latch.make()
    const closing = yield* Latch.make()
    const sending = yield* Semaphore.make(1)

    const totalDropped = () => Object.values(dropped).reduce((sum, count) => sum + count, 0)

    const offer = (span: SpanRecord): void => {
      accepted++
      if (closed) {
        dropped.shutdown++
      } else if (queue.length >= queueSize) {
        dropped.queue_full++
      } else {
        queue.push(span)
        if (queue.length === 1) someQueued.openUnsafe()
        if (queue.length >= batchSize) batchFull.openUnsafe()
      }
    }

    const takeBatch = (): ReadonlyArray<SpanRecord> => {
      const batch = queue.slice(0, batchSize)
      queue = queue.slice(batchSize)
      inFlight = batch.length
      if (queue.length === 0) someQueued.closeUnsafe()
      if (queue.length < batchSize) batchFull.closeUnsafe()
      return batch
    }

    const settle = (batch: ReadonlyArray<SpanRecord>, refused: number, reason: DropReason): void => {
      const count = Math.min(refused, batch.length)
      exported += batch.length - count
      dropped[reason] += count
      inFlight = 0
    }

    // A defect of an exporter must not end the delivery: it is a refusal of the batch.
    const send = (batch: ReadonlyArray<SpanRecord>) =>
      Effect.catchDefect(
        Effect.suspend(() => exporter.export(batch)),
        (defect) =>
          Effect.fail(
            new ExportError({
              exporter: exporter.name,
              message: `Exporter died: ${SpanEnd.describe(defect).message}`,
              retryable: false,
              refused: batch.length
            })
          )
      )

    const sendBatch = Effect.suspend(() => {
      const batch = takeBatch()
      return send(batch).pipe(
        Effect.retry(retrySchedule(closing.await)),
        Effect.matchEffect({
          onSuccess: () => Effect.sync(() => settle(batch, 0, "refused")),
          onFailure: (error) =>
            Effect.suspend(() => {
              settle(batch, error.refused, error.retryable ? "retries_exhausted" : "refused")
              return warn(error.message)
            })
        }),
        Effect.onInterrupt(() => Effect.sync(() => settle(batch, batch.length, "shutdown")))
      )
    })

    const warn = (why: string) =>
      Effect.suspend(() => {
        const count = totalDropped() - toldDropped
        toldDropped += count
        return count === 0
          ? Effect.void
          : Effect.logWarning(`Dropped ${count} spans on their way to exporter "${exporter.name}": ${why}`)
      })

    const sendAll = Effect.gen(function* () {
      while (queue.length > 0) yield* sendBatch
      yield* warn(`queue full with ${queueSize} spans`)
    }).pipe(sending.withPermits(1))

    const sendForever = Effect.gen(function* () {
      while (true) {
        yield* someQueued.await
        yield* Effect.raceFirst(batchFull.await, Effect.sleep(batchDelay))
        yield* sendAll
      }
    })

    const flush = Effect.andThen(sendAll, exporter.flush)

    const worker = yield* Effect.forkScoped(Effect.provideService(sendForever, References.TracerEnabled, false))
    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        yield* closing.open
        yield* flush.pipe(
          Effect.andThen(exporter.shutdown),
          Effect.interruptible,
          Effect.timeoutOption(shutdownTimeout)
        )
        yield* Fiber.interrupt(worker)
        closed = true
        dropped.shutdown += queue.length
        queue = []
        yield* warn(`not taken within ${Duration.format(shutdownTimeout)} of shutdown`)
      }).pipe(Effect.provideService(References.TracerEnabled, false))
    )

    return {
      offer,
      flush,
      ledger: Effect.sync(() => ({
        exporter: exporter.name,
        accepted,
        queued: queue.length,
        inFlight,
        exported,
        dropped: { ...dropped }
      }))
    }
  })

/** Once the program is ending, there is no time to wait for a better moment: the rest of the attempts come at once. */
const retrySchedule = (closing: Effect.Effect<void>) =>
  Schedule.exponential("1 seconds").pipe(
    Schedule.jittered,
    Schedule.while(({ attempt, input }: Schedule.Metadata<unknown, ExportError>) =>
      Effect.succeed(input.retryable && attempt <= 4)
    ),
    Schedule.tap(({ duration }) => Effect.raceFirst(Effect.sleep(duration), closing)),
    Schedule.modifyDelay(() => Effect.succeed(Duration.zero))
  )
