/**
 * The contract of `Exporter` as tests, for whoever writes an exporter: ours pass it, and any other that is to stand
 * behind Delivery should.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { type Exporter, ExportError } from "../Exporter.ts"
import * as OtlpProtobuf from "../OtlpProtobuf.ts"
import type { Batch } from "../SpanBuffer.ts"
import type { SpanRecord } from "../SpanRecord.ts"
import * as Contract from "./Contract.ts"
import { ContractSpans } from "./ContractSpans.ts"

/**
 * The rules of the contract, by the names that skip them.
 *
 * @since 0.1.0
 */
export type ExporterRule =
  | "described"
  | "lazy"
  | "wholeBatch"
  | "refused"
  | "allFields"
  | "exactNumbers"
  | "anySpans"
  | "largeBatch"
  | "inOrder"
  | "bytesNotKept"
  | "bytesNotChanged"
  | "concurrency"
  | "interruption"
  | "flush"
  | "nothingSent"
  | "shutdown"
  | "atExit"

/**
 * The exporter under test, and what it is held against.
 *
 * @since 0.1.0
 */
export interface ExporterContractOptions<E> {
  /** Makes a new one for each rule, which shuts it down once. */
  readonly make: Effect.Effect<Exporter, E, Scope.Scope>
  /**
   * What has arrived where the exporter made last takes its spans, in the order in which it came. There may be more: each
   * rule looks for the traces that it sent.
   */
  readonly received: Effect.Effect<ReadonlyArray<SpanRecord>, E>
  /**
   * Makes one that refuses a batch of three spans, or a part of it: that has no room, or finds its receiver down.
   * Default: the rule `refused` is skipped.
   */
  readonly makeRefusing?: Effect.Effect<Exporter, E, Scope.Scope> | undefined
  /** Rules that do not hold, with the reason. Default: none. */
  readonly skip?: { readonly [Rule in ExporterRule]?: string | undefined } | undefined
  /** How long each call of the exporter may take, on the machine's clock. Default: 5 seconds. */
  readonly timeout?: Duration.Input | undefined
}

/**
 * Gives the contract of `Exporter` as cases for a test runner.
 *
 * **Details**: each rule gets an exporter of its own and its own traces. Under a test clock an exporter that sleeps is
 * late: run its cases with the machine's.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Memory } from "handspan"
 * import * as Testing from "handspan/testing"
 *
 * let memory = Memory.make()
 * const cases = Testing.exporterContract({
 *   make: Effect.sync(() => {
 *     memory = Memory.make()
 *     return memory.exporter
 *   }),
 *   received: Effect.suspend(() => memory.spans.all)
 * })
 * // With vitest: for (const { rule, check } of cases) it.effect(rule, () => check)
 * for (const { check } of cases) await Effect.runPromise(check)
 * if (cases[0]?.id !== "described") throw new Error("expected the rules")
 * ```
 *
 * @since 0.1.0
 */
export const exporterContract = <E = never>(options: ExporterContractOptions<E>): ReadonlyArray<Contract.Case> => {
  const { makeRefusing, received, timeout = "5 seconds" } = options
  const spans = new ContractSpans()

  const run = <A, F>(what: string, effect: () => Effect.Effect<A, F>) =>
    Contract.ended(
      what,
      Effect.suspend((): Effect.Effect<A, F | Contract.Seen> => {
        const made: unknown = effect()
        return Effect.isEffect(made) ? (made as Effect.Effect<A, F>) : Contract.saw(`${what} gave no Effect`)
      }),
      timeout
    )

  const must = <A, F>(what: string, effect: () => Effect.Effect<A, F>) =>
    Effect.flatMap(run(what, effect), (exit) => (Exit.isSuccess(exit) ? Effect.void : badEnd(what, exit.cause)))

  const take = (exporter: Exporter, batch: Batch) => must("export", () => exporter.export(batch))
  const flush = (exporter: Exporter) => must("flush", () => exporter.flush)

  /** How many spans of a batch were taken, by what the exporter says. */
  const takenOf = Effect.fnUntraced(function* (exporter: Exporter, batch: Batch) {
    const exit = yield* run("export", () => exporter.export(batch))
    if (Exit.isSuccess(exit)) return batch.count
    const error = Cause.squash(exit.cause)
    if (!(error instanceof ExportError)) return yield* badEnd("export", exit.cause)
    const { exporter: name, refused } = error
    if (!Number.isInteger(refused) || refused < 1 || refused > batch.count) {
      return yield* Contract.saw(`export of ${batch.count} spans failed with refused: ${Contract.tell(refused)}`)
    }
    return name === exporter.name
      ? batch.count - refused
      : yield* Contract.saw(`exporter "${exporter.name}" failed by the name "${name}"`)
  })

  const arrived = (sent: ReadonlyArray<SpanRecord>) => {
    const traceIds = new Set(sent.map(({ traceId }) => traceId))
    return Effect.map(received, (all) => all.filter(({ traceId }) => traceIds.has(traceId)))
  }

  const haveArrived = (sent: ReadonlyArray<SpanRecord>) =>
    Effect.flatMap(arrived(sent), (found) => {
      const differences = sent.flatMap((span) => {
        const same = found.filter(({ spanId, traceId }) => spanId === span.spanId && traceId === span.traceId)
        const difference =
          same.length === 1 ? Contract.difference(span, same[0]) : `sent once, received ${same.length} times`
        return difference === undefined ? [] : [`span "${span.name}": ${difference}`]
      })
      return differences[0] === undefined ? Effect.void : Contract.saw(differences[0])
    })

  const delivers = (exporter: Exporter, sent: ReadonlyArray<SpanRecord>) =>
    take(exporter, OtlpProtobuf.encode(sent)).pipe(Effect.andThen(flush(exporter)), Effect.andThen(haveArrived(sent)))

  type Check = (exporter: Exporter) => Effect.Effect<void, unknown>

  const withShutdown = (check: Check) => Effect.scoped(Effect.flatMap(options.make, check))

  const rule = (check: Check, make = options.make) =>
    Effect.flatMap(make, (exporter) =>
      Effect.ensuring(check(exporter), Effect.ignoreCause(run("shutdown", () => exporter.shutdown)))
    ).pipe(Effect.scoped)

  return Contract.make<ExporterRule>(
    {
      described: [
        "it has a name, and as its concurrency a whole number from 1 on, or none",
        rule(({ concurrency = 1, name }) => {
          if (typeof name !== "string" || name === "") return Contract.saw(`the name ${Contract.tell(name)}`)
          return Number.isInteger(concurrency) && concurrency >= 1
            ? Effect.void
            : Contract.saw(`the concurrency ${Contract.tell(concurrency)}`)
        })
      ],
      lazy: [
        "export does its work when its Effect is run, and not before",
        rule((exporter) =>
          Effect.gen(function* () {
            const [first, second] = [spans.some(1), spans.some(1)]
            const _notRun = exporter.export(OtlpProtobuf.encode(first))
            const exporting = exporter.export(OtlpProtobuf.encode(second))
            yield* must("export", () => exporting)
            yield* flush(exporter)
            const early = yield* arrived(first)
            if (early.length > 0) return yield* Contract.saw("a span has arrived of an export that was not run")
            yield* haveArrived(second)
          })
        )
      ],
      wholeBatch: [
        "export takes the whole batch: each span once, of several traces, children before their parents",
        rule((exporter) =>
          Effect.gen(function* () {
            const sent = [...spans.tree(), ...spans.some(2)]
            yield* delivers(exporter, sent)
          })
        )
      ],
      refused: [
        "export takes the whole batch, or fails with an ExportError that says how many spans it refused",
        rule(
          (exporter) =>
            Effect.gen(function* () {
              const sent = spans.some(3)
              const taken = yield* takenOf(exporter, OtlpProtobuf.encode(sent))
              yield* flush(exporter)
              const { length } = yield* arrived(sent)
              if (taken === 3) return yield* Contract.saw("export took the whole batch: makeRefusing must refuse some")
              if (length !== taken) {
                return yield* Contract.saw(`of 3 spans export refused ${3 - taken}, and ${length} have arrived`)
              }
            }),
          makeRefusing
        )
      ],
      allFields: [
        "every field of a span arrives as it was sent",
        rule((exporter) =>
          Effect.gen(function* () {
            const sent = spans.full()
            yield* delivers(exporter, sent)
          })
        )
      ],
      exactNumbers: [
        "integers of 64 bits, infinities and NaN arrive as they were sent",
        rule((exporter) =>
          Effect.gen(function* () {
            const attributes = { most: 2n ** 63n - 1n, least: -(2n ** 63n), infinite: Infinity, none: NaN }
            const sent = spans.some(1, { attributes })
            yield* delivers(exporter, sent)
          })
        )
      ],
      anySpans: [
        "export takes or refuses whatever the spans hold, and goes on",
        rule((exporter) =>
          Effect.gen(function* () {
            for (const odd of spans.odd()) yield* takenOf(exporter, OtlpProtobuf.encode([odd]))
            yield* takenOf(exporter, OtlpProtobuf.encode(spans.odd()))
            const sent = spans.some(2)
            yield* delivers(exporter, sent)
          })
        )
      ],
      largeBatch: [
        "export takes a batch of a megabyte, as Delivery makes them",
        rule((exporter) => delivers(exporter, spans.some(10, { attributes: { text: "long ".repeat(20_000) } })))
      ],
      inOrder: [
        "batches that are exported one after the other arrive in this order",
        rule((exporter) =>
          Effect.gen(function* () {
            const sent = spans.some(8)
            for (let at = 0; at < 8; at += 2) yield* take(exporter, OtlpProtobuf.encode(sent.slice(at, at + 2)))
            yield* flush(exporter)
            const found = (yield* arrived(sent)).map(({ name }) => name)
            const difference = Contract.difference(
              sent.map(({ name }) => name),
              found
            )
            if (difference !== undefined) return yield* Contract.saw(`the spans came as ${found.join(", ")}`)
          })
        )
      ],
      bytesNotKept: [
        "export has no use for the batch's bytes once it has ended, when others are written into them",
        rule((exporter) =>
          Effect.gen(function* () {
            const sent = [...spans.tree(), ...spans.some(2)]
            const batch = OtlpProtobuf.encode(sent)
            yield* take(exporter, batch)
            batch.bytes.fill(0xff)
            yield* flush(exporter)
            yield* haveArrived(sent)
          })
        )
      ],
      bytesNotChanged: [
        "export leaves the batch's bytes as they are, as others read them too",
        rule((exporter) =>
          Effect.gen(function* () {
            const batch = OtlpProtobuf.encode(spans.some(2))
            const before = batch.bytes.slice()
            yield* take(exporter, batch)
            yield* flush(exporter)
            const at = before.findIndex((byte, index) => byte !== batch.bytes[index])
            if (at >= 0)
              return yield* Contract.saw(`byte ${at} was ${before[at]}, and is ${Contract.tell(batch.bytes[at])}`)
          })
        )
      ],
      concurrency: [
        "as many exports as its concurrency says can be under way at once",
        rule((exporter) =>
          Effect.gen(function* () {
            const concurrency = Math.min(exporter.concurrency ?? 1, maxConcurrency)
            const batches = Array.from({ length: concurrency * 3 }, () => spans.some(2))
            const exports = batches.map((batch) => take(exporter, OtlpProtobuf.encode(batch)))
            yield* Effect.all(exports, { concurrency, discard: true })
            yield* flush(exporter)
            yield* haveArrived(batches.flat())
          })
        )
      ],
      interruption: [
        "an export that is interrupted ends, and the next one works",
        rule((exporter) =>
          Effect.gen(function* () {
            for (let turns = 0; turns < 3; turns++) {
              const batch = OtlpProtobuf.encode(spans.some(2))
              const exporting = Effect.suspend(() => exporter.export(batch))
              const fiber = yield* Effect.forkDetach(exporting, { startImmediately: true })
              for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow
              yield* must("an interrupted export", () => Fiber.interrupt(fiber))
              const exit = yield* Fiber.await(fiber)
              if (Exit.isFailure(exit) && Cause.hasDies(exit.cause))
                return yield* badEnd("an interrupted export", exit.cause)
              batch.bytes.fill(0xff)
            }
            const sent = spans.some(2)
            yield* delivers(exporter, sent)
          })
        )
      ],
      flush: [
        "flush returns, each time, and then everything that was taken has arrived",
        rule((exporter) =>
          Effect.gen(function* () {
            for (let round = 0; round < 3; round++) {
              const sent = spans.some(2)
              yield* delivers(exporter, sent)
            }
          })
        )
      ],
      nothingSent: [
        "flush and shutdown return where nothing was sent",
        withShutdown((exporter) =>
          Effect.gen(function* () {
            yield* flush(exporter)
            yield* must("shutdown", () => exporter.shutdown)
          })
        )
      ],
      shutdown: [
        "shutdown returns after the last flush, and nothing that was taken is lost or comes again",
        withShutdown((exporter) =>
          Effect.gen(function* () {
            const sent = spans.some(2)
            yield* take(exporter, OtlpProtobuf.encode(sent))
            yield* flush(exporter)
            yield* must("shutdown", () => exporter.shutdown)
            yield* haveArrived(sent)
          })
        )
      ],
      atExit: [
        "exportAtExit, where there is one, says of each batch how many of its spans were taken, and throws nothing",
        rule((exporter) =>
          Effect.gen(function* () {
            if (exporter.exportAtExit === undefined) return
            const sent = [spans.some(1), spans.some(2), spans.some(3)]
            const taken: unknown = exporter.exportAtExit(sent.map(OtlpProtobuf.encode), exitMillis)
            const none: unknown = exporter.exportAtExit([], exitMillis)
            if (!isAnswer(taken, [1, 2, 3])) {
              return yield* Contract.saw(`of batches of 1, 2 and 3 spans it says ${Contract.tell(taken)}`)
            }
            if (!isAnswer(none, [])) return yield* Contract.saw(`of no batches it says ${Contract.tell(none)}`)
            for (const [at, batch] of sent.entries()) {
              const { length } = yield* arrived(batch)
              const said = (taken as ReadonlyArray<number>)[at] ?? 0
              if (length < said)
                return yield* Contract.saw(`it says that it took ${said} spans, and ${length} have arrived`)
            }
          })
        )
      ]
    },
    makeRefusing === undefined ? { refused: "there is no makeRefusing", ...options.skip } : options.skip
  )
}

const maxConcurrency = 16

/** Within them nothing else of the process goes on, so a receiver in the same one will not have answered. */
const exitMillis = 300

const isAnswer = (answer: unknown, counts: ReadonlyArray<number>): boolean =>
  Array.isArray(answer) &&
  answer.length === counts.length &&
  counts.every((count, at) => Number.isInteger(answer[at]) && answer[at] >= 0 && answer[at] <= count)

const badEnd = (what: string, cause: Cause.Cause<unknown>): Effect.Effect<never, Contract.Seen> => {
  const error = Cause.squash(cause)
  const how = Cause.hasDies(cause) ? "died of" : Cause.hasInterruptsOnly(cause) ? "interrupted itself:" : "failed with"
  return error instanceof Contract.Seen ? Effect.fail(error) : Contract.saw(`${what} ${how} ${Contract.tell(error)}`)
}
