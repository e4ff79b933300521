/**
 * The way from Recorder to Exporter: takes spans without ever holding the program up, sends them in batches, tries again
 * what may pass, and counts every span in a Ledger. Each exporter has a Delivery of its own, so a slow one holds up no
 * other. What waits, and in which order, is SpanQueue's; how spans are made is the Recorder's, how they are sent the Exporter's.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Random from "effect/Random"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import * as BackgroundClock from "./BackgroundClock.ts"
import { Backoff } from "./Backoff.ts"
import type { Metrics } from "./DeliveryMetrics.ts"
import * as DropWarnings from "./DropWarnings.ts"
import type { Exporter, ExportError } from "./Exporter.ts"
import * as GuardedExporter from "./GuardedExporter.ts"
import type { Health, Ledger } from "./Ledger.ts"
import * as PendingSpans from "./PendingSpans.ts"
import type { EncodedSpan } from "./SpanEncoder.ts"
import { type FullPolicy, type Parcel, SpanQueue } from "./SpanQueue.ts"
import type { Journal } from "./Spool.ts"
import * as SpoolHealth from "./SpoolHealth.ts"

export type { Health } from "./Ledger.ts"

/**
 * Takes finished spans to one exporter.
 *
 * @since 0.1.0
 */
export interface Delivery {
  /** Takes a span. Returns at once and never fails; what cannot be taken is counted. */
  readonly offer: (span: EncodedSpan) => void
  /** Takes the picture of a span that is still open, where the exporter wants such. It is sent once and not counted. */
  readonly offerPending: (span: EncodedSpan) => void
  /** Whether the next span would find no room. */
  readonly isFull: () => boolean
  /**
   * Returns when every span taken before has left, or was given up and counted; after `shutdownTimeout` in any case,
   * and then the ledger tells what still waits. Giving up the wait changes nothing for the spans.
   */
  readonly flush: Effect.Effect<void>
  readonly ledger: Effect.Effect<Ledger>
  readonly health: Effect.Effect<Health>
  /** Sends what is left, synchronously: the process may end now. What is being sent may arrive twice. */
  readonly sendNow: (timeoutMillis: number) => void
  /** The last resort when the process exits: as `sendNow`, and counts what could not go. */
  readonly closeAtExit: (timeoutMillis: number) => void
}

/**
 * All deliveries of the tracing that is in place, for programs that must see their spans off before they stop, as in
 * serverless functions, or look at how they are doing. Every Layer of `Tracing` provides it.
 *
 * @since 0.1.0
 */
export class Deliveries extends Context.Service<
  Deliveries,
  {
    /**
     * Returns when every span that ended before has left, or was given up and counted; after `shutdownTimeout` in any
     * case, and then the ledgers tell what still waits. With tail sampling, traces whose root has ended are decided first; those
     * whose root is open stay held.
     */
    readonly flush: Effect.Effect<void>
    /** One ledger for each exporter. */
    readonly ledgers: Effect.Effect<ReadonlyArray<Ledger>>
    /** How each exporter is doing. */
    readonly health: Effect.Effect<ReadonlyArray<Health>>
  }
>()("handspan/Delivery/Deliveries") {}

/**
 * How spans are queued and sent.
 *
 * @since 0.1.0
 */
export interface Options {
  /** Spans that may wait in memory, at least 1. Default: 262,144. */
  readonly queueSize?: number | undefined
  /** Bytes that they may have. Default: 64 MiB. */
  readonly queueBytes?: number | undefined
  /** Which spans are dropped when the queue is full. Default: `dropNewest`. */
  readonly policy?: FullPolicy | undefined
  /** Spans sent at once, at most; at least 1. Default: 4,096. */
  readonly batchSize?: number | undefined
  /** How long a span waits for others to be sent with, where the exporter does not say. Default: 1 second. */
  readonly batchDelay?: Duration.Input | undefined
  /** How long one export may take. Default: 30 seconds. */
  readonly exportTimeout?: Duration.Input | undefined
  /**
   * How long the end of the program may wait for spans to leave; the exporter then has a second at most to close.
   * Default: 5 seconds.
   */
  readonly shutdownTimeout?: Duration.Input | undefined
  /** Where spans are kept on disk until they are sent. Default: nowhere. */
  readonly journal?: Journal | undefined
  /** What the Recorder counts, for the ledger. Default: spans count from when they are taken. */
  readonly counts?: (() => Pick<Ledger, "started" | "unsampled" | "live" | "held">) | undefined
  /** Told how it goes. Default: nobody is. */
  readonly metrics?: Metrics | undefined
}

/** Below the mebibyte that many servers take at most. */
const requestBytes = 960 * 1024
/** OTLP §OTLP/HTTP Request: what a client must not send more than. */
const maxRequestBytes = 64 * 1024 * 1024
/** What a request needs besides its spans: resources and scopes. */
const headRoom = 1024 * 1024
/** Once the program is ending there is little time to wait for a better moment. */
const closingBackoffMillis = 250
/** How long an exporter may take to close what it holds, once its spans are off or given up. */
const letGoTimeout = Duration.seconds(1)
/** How often, at most, spans that other processes left are looked for: no timer, which would hold the process. */
const recoverEveryMillis = 30_000
/** How long a request of spans from disk holds the next off, so that a long outage does not end in a flood. */
const replayPause = Duration.millis(20)

/**
 * Starts the delivery to an exporter, for as long as the scope lives.
 *
 * **Details**: several requests may be under way, as many as the exporter allows. A failure that may pass is tried again
 * for as long as the program lives, after 0.1 seconds and then twice as long each time up to 5 (each up to half less), or
 * when the receiver says; meanwhile one request at a time goes out. What keeps failing while others go through is given
 * up. When the scope closes, what is queued is sent within `shutdownTimeout`, and what could not go stays on disk, or
 * is dropped. What is dropped is counted at once and logged as a warning a second later, so that a burst makes one.
 *
 * @since 0.1.0
 */
export const make = (exporter: Exporter, options: Options = {}): Effect.Effect<Delivery, never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const now = () => clock.currentTimeMillisUnsafe()
    const queueSize = atLeastOne(options.queueSize, 262_144)
    const batchSize = atLeastOne(options.batchSize, 4096)
    const bounds = {
      spans: queueSize,
      bytes: atLeastOne(options.queueBytes, maxRequestBytes),
      // What comes back from a request must not fill the queue.
      batchSpans: options.journal === undefined ? batchSize : Math.min(batchSize, Math.ceil(queueSize / 2)),
      batchBytes: requestBytes,
      spanBytes: maxRequestBytes - headRoom
    }
    const batchDelay = Duration.fromInputUnsafe(exporter.batchDelay ?? options.batchDelay ?? "1 seconds")
    const exportTimeout = Duration.fromInputUnsafe(options.exportTimeout ?? "30 seconds")
    const shutdownTimeout = Duration.fromInputUnsafe(options.shutdownTimeout ?? "5 seconds")
    const guarded = GuardedExporter.make(exporter, exportTimeout)
    const concurrency = Math.max(exporter.concurrency ?? 1, 1)
    const { journal } = options
    const queue = new SpanQueue({ bounds, policy: options.policy ?? "dropNewest", journal, now })

    let closed = false
    const backoff = new Backoff()
    /** Why the last attempt failed, `""` where it did not, and since when they do. */
    let failure = ""
    let failingSince: number | undefined
    let willSeal = false
    const warnings = yield* DropWarnings.make(exporter.name, queue.dropped, {
      queue_full: `the queue is full, with room for ${bounds.spans} spans of ${bounds.bytes} bytes`,
      refused: "",
      retries_exhausted: "",
      too_large: `larger than ${bounds.spanBytes} bytes`,
      damaged: "what was kept on disk cannot be read",
      expired: "what was kept on disk is too old",
      shutdown: `not taken within ${Duration.format(shutdownTimeout)} of shutdown`
    })
    const { causes } = warnings
    /** Those who wait until all up to a sequence have left. */
    let waiting: ReadonlyArray<{ readonly sequence: number; readonly done: Deferred.Deferred<void> }> = []

    const work = yield* Latch.make()
    const hurry = yield* Latch.make()
    const closing = yield* Latch.make()
    const requestEnded = yield* Latch.make()
    let requests = 0

    const ledger = (): Ledger => ({
      exporter: exporter.name,
      ...(options.counts?.() ?? { started: queue.taken, unsampled: 0, live: 0, held: 0 }),
      recovered: queue.recovered,
      queued: queue.queued,
      inFlight: queue.inFlight,
      spooled: queue.spooled,
      exported: queue.exported,
      dropped: { ...queue.dropped }
    })

    const tellMetrics = Effect.suspend(() => Effect.ignoreCause(options.metrics?.onEnd(ledger()) ?? Effect.void))

    const spool = SpoolHealth.make(exporter.name, journal, () => queue.damagedBatches)

    const noteDropped = (before: number): void => {
      if (queue.droppedTotal > before) warnings.notice()
    }

    const offer = (span: EncodedSpan): void => {
      const before = queue.droppedTotal
      queue.offer(span)
      if (closed) {
        queue.close()
      } else {
        work.openUnsafe()
        if (queue.isUrgent) hurry.openUnsafe()
        // On disk as soon as the program lets go of the thread, in one piece with all that ended until then.
        if (journal !== undefined && !willSeal) {
          willSeal = true
          queueMicrotask(() => {
            willSeal = false
            queue.seal()
          })
        }
      }
      noteDropped(before)
    }

    const pending = PendingSpans.make(guarded.export, bounds.batchBytes)
    const offerPending = (span: EncodedSpan): void => {
      if (closed || exporter.pendingSpans !== true) return
      pending.offer(span)
      work.openUnsafe()
    }

    const settle = (parcel: Parcel, error: ExportError | undefined, random: number): void => {
      if (closed) return
      const before = queue.droppedTotal
      const { count } = parcel.batch
      if (error?.retryable === true) {
        backoff.fail(now(), random, error.retryAfterMillis ?? 0)
        failingSince ??= now()
        failure = error.message
        causes.retries_exhausted = error.message
        queue.putBack(parcel)
        work.openUnsafe()
        hurry.openUnsafe()
      } else {
        const refused = error === undefined ? 0 : GuardedExporter.refusedOf(error, parcel.batch)
        queue.settle(parcel, refused, "refused")
        if (error !== undefined) causes.refused = error.message
        backoff.succeed()
        failure = error !== undefined && refused === count ? error.message : ""
        failingSince = failure === "" ? undefined : (failingSince ?? now())
      }
      noteDropped(before)
    }

    const sendParcel = (parcel: Parcel) =>
      Effect.gen(function* () {
        const startedAt = now()
        const error = yield* Effect.match(guarded.export(parcel.batch), {
          onSuccess: () => undefined,
          onFailure: (cause) => cause
        })
        settle(parcel, error, yield* Random.next)
        const at = now()
        if (options.metrics !== undefined) {
          const outcome = { ledger: ledger(), durationMillis: at - startedAt, ageMillis: at - parcel.time, error }
          yield* Effect.ignoreCause(options.metrics.onExport(outcome))
        }
        yield* release
      }).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            requests--
            requestEnded.openUnsafe()
          })
        )
      )

    /** Lets those go whose spans have left, once the exporter has let go of them too. */
    const release = Effect.suspend(() => {
      const ready = waiting.filter(({ sequence }) => queue.hasSettled(sequence))
      if (ready.length === 0) return Effect.void
      waiting = waiting.filter((waiter) => !ready.includes(waiter))
      return Effect.andThen(
        guarded.flush(shutdownTimeout),
        Effect.forEach(ready, ({ done }) => Deferred.succeed(done, undefined), { discard: true })
      )
    })

    const backOff = Effect.suspend(() => {
      const wait = backoff.waitMillis(now())
      return wait <= 0
        ? Effect.void
        : Effect.raceFirst(
            Effect.sleep(wait),
            Effect.andThen(closing.await, Effect.sleep(Math.min(wait, closingBackoffMillis)))
          )
    })

    /** Sends all that is there now; what comes meanwhile waits for its own batch. */
    const drain = Effect.gen(function* () {
      const last = queue.seal()
      while (!queue.isEmpty && (!queue.hasSettled(last) || queue.isUrgent || queue.spooled > 0)) {
        yield* backOff
        // What came meanwhile gets its turn too.
        if (backoff.isFailing) queue.seal()
        // While it fails, one request at a time finds out whether it still does.
        if (requests >= (backoff.isFailing ? 1 : concurrency)) {
          requestEnded.closeUnsafe()
          yield* requestEnded.await
          continue
        }
        const isReplay = queue.queued === 0
        const parcel = queue.take()
        if (parcel === undefined) break
        requests++
        yield* Effect.forkDetach(sendParcel(parcel))
        if (isReplay) yield* Effect.sleep(replayPause)
      }
    })

    let recoverAt = 0
    const recover = (): void => {
      recoverAt = queue.recover() ? 0 : now() + recoverEveryMillis
      if (queue.spooled === 0) return
      work.openUnsafe()
      hurry.openUnsafe()
    }
    recover()

    const worker = yield* Effect.gen(function* () {
      while (true) {
        yield* work.await
        yield* Effect.raceFirst(hurry.await, Effect.sleep(batchDelay))
        hurry.closeUnsafe()
        if (journal !== undefined) yield* spool.tell
        if (!backoff.isFailing) yield* pending.send
        yield* drain
        yield* release
        if (journal !== undefined && now() >= recoverAt) recover()
        // Whoever was released may wait again already.
        const isWaitedFor = waiting.some(({ sequence }) => queue.hasSettled(sequence))
        if (queue.isEmpty && !isWaitedFor) work.closeUnsafe()
        else if (queue.isUrgent || queue.spooled > 0 || waiting.length > 0) hurry.openUnsafe()
      }
    }).pipe(untraced, BackgroundClock.provide, Effect.forkDetach)

    // The worker sends, whoever waits: a caller that gives up waiting costs no span, and none of its spans is ours.
    const flush = Effect.suspend(() => {
      if (closed) return Effect.void
      const waiter = { sequence: queue.seal(), done: Deferred.makeUnsafe<void>() }
      waiting = [...waiting, waiter]
      work.openUnsafe()
      hurry.openUnsafe()
      return Deferred.await(waiter.done).pipe(
        Effect.timeoutOption(shutdownTimeout),
        Effect.ensuring(
          Effect.sync(() => {
            waiting = waiting.filter((other) => other !== waiter)
          })
        ),
        Effect.asVoid
      )
    })

    const close = (): void => {
      closed = true
      if (backoff.isFailing) causes.shutdown += `; ${failure}`
      const before = queue.droppedTotal
      queue.close()
      noteDropped(before)
    }

    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        if (closed) return
        yield* closing.open
        yield* GuardedExporter.within(shutdownTimeout, flush)
        // Not waited for: an exporter that cannot be interrupted must not hold the program.
        worker.interruptUnsafe()
        close()
        yield* Effect.forEach(waiting, ({ done }) => Deferred.succeed(done, undefined), { discard: true })
        yield* guarded.shutdown(letGoTimeout)
        yield* warnings.settle
        yield* tellMetrics
        causes.shutdown = "ended after tracing had shut down"
      }).pipe(untraced)
    )

    const services = yield* Effect.context()
    const sendNow = (timeoutMillis: number): void => {
      if (closed) return
      const parcels = queue.takeAll()
      const batches = parcels.map(({ batch }) => batch)
      const taken = guarded.exportNow(batches, timeoutMillis, services)
      for (const [index, parcel] of parcels.entries()) {
        const count = taken[index] ?? 0
        if (count > 0) queue.settle(parcel, parcel.batch.count - count, "refused")
        else queue.putBack(parcel)
      }
      work.openUnsafe()
    }
    const closeAtExit = (timeoutMillis: number): void => {
      if (!closed) {
        sendNow(timeoutMillis)
        causes.shutdown = "not taken before the process exited"
        close()
        journal?.close()
      }
      Effect.runSyncWith(services)(Effect.andThen(warnings.tell, tellMetrics))
    }

    const health = Effect.sync((): Health => {
      const problem = [failure, spool.problem()].filter((text) => text !== "").join("; ")
      const total = queue.exported + queue.droppedTotal
      return {
        exporter: exporter.name,
        status: failure !== "" ? "failing" : problem !== "" ? "degraded" : "ok",
        problem,
        since: failingSince,
        successRate: total === 0 ? 1 : queue.exported / total,
        ledger: ledger()
      }
    })

    return {
      offer,
      offerPending,
      isFull: () => queue.isFull,
      flush,
      ledger: Effect.sync(ledger),
      health,
      sendNow,
      closeAtExit
    }
  })

const atLeastOne = (value: number | undefined, otherwise: number): number =>
  value === undefined || Number.isNaN(value) ? otherwise : Math.max(value, 1)

const untraced = Effect.provideService(References.TracerEnabled, false)
