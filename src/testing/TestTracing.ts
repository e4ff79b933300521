/**
 * Tracing for tests: the same program gives the same traces, byte for byte, on every machine and however its fibers take
 * turns. What to say of the traces is in the modules beside it.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Result from "effect/Result"
import * as Scheduler from "effect/Scheduler"
import * as Tracer from "effect/Tracer"
import * as TestClock from "effect/testing/TestClock"
import { WantedContent } from "../Content.ts"
import { Key } from "../Conventions.ts"
import * as Delivery from "../Delivery.ts"
import * as OtlpProtobuf from "../OtlpProtobuf.ts"
import * as Recorder from "../Recorder.ts"
import { reach } from "../SpanRecord.ts"
import { join, type Batch, SpanBuffer } from "../SpanBuffer.ts"
import type { Attributes, SpanEvent, SpanLink, SpanRecord } from "../SpanRecord.ts"
import * as TraceTree from "../TraceTree.ts"
import * as Laws from "./Laws.ts"
import { Lineage } from "./Lineage.ts"
import * as TestTime from "./TestTime.ts"

/**
 * Reads the traces that a test has recorded so far.
 *
 * @since 0.1.0
 */
export class Traces extends Context.Service<
  Traces,
  {
    /** All traces, in the order in which the program began them; siblings in the order in which it started them. */
    readonly all: Effect.Effect<ReadonlyArray<TraceTree.Trace>>
    /** The trace, where there is just one; dies where there is none, or several. */
    readonly one: Effect.Effect<TraceTree.Trace>
    /** Forgets what was recorded, for tests that share a layer. The ids go on. */
    readonly clear: Effect.Effect<void>
  }
>()("handspan/testing/TestTracing/Traces") {}

/**
 * How a test records.
 *
 * @since 0.1.0
 */
export interface Options {
  /**
   * `test`: time passes by `TestClock.adjust` alone, from 1970 on; where the test has such a clock, it is that one.
   * `live`: the machine's clock, for programs that wait for something real; the times in a trace are then not the same twice.
   * Default: `test`.
   */
  readonly clock?: "test" | "live" | undefined
  /** Laws that the test may break. Default: none. */
  readonly allow?: ReadonlyArray<Laws.Law> | undefined
}

/**
 * Records for one test, and dies when its scope closes where the traces break a law of `Laws`. A test that has failed by
 * itself is not failed a second time.
 *
 * **Details**: ids derive from the parent, the name and the branch of the program, so they do not depend on turns; times
 * are the test clock's; siblings stand in the order of the program, also where they ran side by side. Each layer that is
 * built has a recorder of its own, and nothing is global. A fiber's number and the frames of a stack, which differ from
 * run to run, are left out.
 *
 * **Gotchas**: what the program itself leaves to chance stays so: who writes first on a span that several fibers share,
 * which finalizers run first, who fills a cache, which worker takes an item, and what a fan-in joins after branches that
 * were not made by `Pipeline`. A layer that several tests share has their traces together until `Traces.clear`, and its
 * laws are checked when the last one has ended.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Agent } from "handspan"
 * import * as Testing from "handspan/testing"
 *
 * const hello = Agent.make("hello", { run: (name: string) => Effect.succeed(`Hello, ${name}`) })
 * const test = Effect.gen(function* () {
 *   yield* hello("Ada")
 *   Testing.expectTrace(yield* Testing.trace).toMatchTree(Testing.Tree.handoff("hello"))
 * })
 * await Effect.runPromise(test.pipe(Effect.provide(Testing.layer)))
 * ```
 *
 * @since 0.1.0
 */
export const layerWith = (options: Options): Layer.Layer<Traces | Delivery.Deliveries> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const { context, recorder } = yield* begin(options)
      yield* Effect.addFinalizer((exit) => (Exit.isFailure(exit) ? Effect.void : recorder.check(options, undefined)))
      return context
    })
  )

/** A recorder, with the time that it goes by. */
const begin = (options: Options) =>
  Effect.gen(function* () {
    const recorder = new TestRecorder()
    const { pending, scheduler } = TestTime.watchScheduler(yield* Scheduler.Scheduler, recorder.onTurn)
    const context = Context.add(recorder.context, Scheduler.Scheduler, scheduler)
    // Also where the test has a clock that stands still.
    if (options.clock === "live") {
      return { recorder, time: undefined, context: Context.add(context, Clock.Clock, Clock.Clock.defaultValue()) }
    }
    const outer = yield* Clock.Clock
    const testClock = isTestClock(outer) ? outer : yield* TestClock.make()
    // It warns of nothing from now on: for that it would fork a fiber wherever somebody happens to sleep first.
    yield* testClock.adjust(0)
    const { clock, time } = TestTime.watchClock(testClock, pending)
    return { recorder, time, context: Context.add(context, Clock.Clock, clock) }
  })

const isTestClock = (clock: Clock.Clock): clock is TestClock.TestClock => "adjust" in clock

/**
 * `layerWith` as it is by default: on a test clock, under all laws.
 *
 * @since 0.1.0
 */
export const layer: Layer.Layer<Traces | Delivery.Deliveries> = layerWith({})

/**
 * All traces that the test has recorded so far.
 *
 * @since 0.1.0
 */
export const traces: Effect.Effect<ReadonlyArray<TraceTree.Trace>, never, Traces> = Effect.flatMap(
  Traces,
  ({ all }) => all
)

/**
 * The trace that the test has recorded, where there is just one; dies where there is none, or several.
 *
 * @since 0.1.0
 */
export const trace: Effect.Effect<TraceTree.Trace, never, Traces> = Effect.flatMap(Traces, ({ one }) => one)

/**
 * Forgets what was recorded so far, for tests that share a layer.
 *
 * @since 0.1.0
 */
export const clear: Effect.Effect<void, never, Traces> = Effect.flatMap(Traces, ({ clear }) => clear)

/**
 * How a program ended, and what it left.
 *
 * @since 0.1.0
 */
export interface Recorded<A, E> {
  readonly exit: Exit.Exit<A, E>
  readonly traces: ReadonlyArray<TraceTree.Trace>
  /** The trace, where there is just one; throws where there is none, or several. */
  readonly trace: TraceTree.Trace
}

/**
 * Runs a program under a layer of its own to its end, and gives how it ended with its traces: what a test needs in one
 * call, with any test runner. Dies where the traces break a law.
 *
 * @example
 * ```ts
 * import { Effect, Exit } from "effect"
 * import { Agent } from "handspan"
 * import * as Testing from "handspan/testing"
 *
 * const slow = Agent.make("slow", { run: () => Effect.delay(Effect.succeed(1), "1 hour") })
 * const { exit, trace } = await Effect.runPromise(Testing.record(slow(), { advance: "1 hour" }))
 * if (!Exit.isSuccess(exit) || trace.endTimeUnixNano !== 3_600_000_000_000n) throw new Error("expected one hour")
 * ```
 *
 * @since 0.1.0
 */
export const record = <A, E, R>(
  program: Effect.Effect<A, E, R>,
  options: RecordOptions = {}
): Effect.Effect<Recorded<A, E>, never, Exclude<R, Traces | Delivery.Deliveries>> => {
  const running = Effect.gen(function* () {
    const { context, recorder, time } = yield* begin(options)
    const fiber = yield* Effect.forkChild(Effect.provide(program, context))
    if (time !== undefined && options.advance !== undefined) {
      yield* time.advance(Duration.fromInputUnsafe(options.advance), fiber)
    }
    const exit = yield* Fiber.await(fiber)
    yield* recorder.check(options, exit)
    const traces = recorder.traces()
    return {
      exit,
      traces,
      get trace() {
        return theOnly(traces)
      }
    }
  })
  return Effect.scoped(running) as never
}

/**
 * How `record` runs a program.
 *
 * @since 0.1.0
 */
export type RecordOptions =
  | (Options & {
      readonly clock?: "test" | undefined
      /**
       * How far the test's clock goes on while the program runs: from one waking fiber to the next, whenever all sleep.
       * Default: not at all.
       */
      readonly advance?: Duration.Input | undefined
    })
  | (Options & { readonly clock: "live"; readonly advance?: undefined })

/** A trace is one, or there is something to explain. */
const theOnly = (traces: ReadonlyArray<TraceTree.Trace>): TraceTree.Trace => {
  const [one, ...others] = traces
  if (one !== undefined && others.length === 0) return one
  const roots = traces.map((trace) => `"${trace.roots[0]?.span.name}"`).join(", ")
  throw new TypeError(
    one === undefined
      ? "There is no trace: no span has ended, or it ended outside of the layer"
      : `There are ${traces.length} traces, which begin with ${roots}: read them all, put one span around them, or clear what another test of the same layer left`
  )
}

/** The recorder of one test. */
class TestRecorder {
  readonly context: Context.Context<Traces | Delivery.Deliveries>
  private readonly lineage = new Lineage()
  private readonly buffer = new SpanBuffer()
  private readonly recorder: Recorder.Recorder
  private ended: Array<Batch> = []
  private cleared: Array<Batch> = []

  constructor() {
    this.recorder = Recorder.make({
      ids: this.lineage.ids,
      resource: { attributes: { [Key.serviceName]: "test" } },
      onEnd: (span) => this.buffer.append(span)
    })
    const all = Effect.sync(() => this.traces())
    this.context = Context.make(Traces, {
      all,
      one: Effect.map(all, theOnly),
      clear: Effect.sync(() => {
        this.cleared.push(...this.ended, this.buffer.take())
        this.ended = []
      })
    }).pipe(
      Context.add(Delivery.Deliveries, {
        flush: Effect.void,
        ledgers: Effect.succeed([]),
        health: Effect.succeed([])
      }),
      Context.add(WantedContent, { mode: "NAMED_ONLY", length: Recorder.defaultLimits.contentLength + reach }),
      Context.add(Tracer.Tracer, this.recorder),
      Context.add(Metric.FiberRuntimeMetrics, this.lineage.fiberMetrics)
    )
  }

  readonly onTurn = (fiber: Fiber.Fiber<unknown, unknown>): void => this.lineage.see(fiber)

  traces(): ReadonlyArray<TraceTree.Trace> {
    this.ended.push(this.buffer.take())
    return this.treesOf(this.ended)
  }

  private treesOf(batches: ReadonlyArray<Batch>): ReadonlyArray<TraceTree.Trace> {
    const compare = (a: { readonly spanId: string }, b: { readonly spanId: string }) =>
      this.lineage.compare(a.spanId, b.spanId)
    const spans = Result.getOrThrow(OtlpProtobuf.decode(join(batches).bytes)).map((span) => reproducible(span, compare))
    return TraceTree.fromSpans(spans, compare)
  }

  /** Dies where a law does not hold, also of what was cleared, and then tells how the program ended if it failed. */
  check({ allow = [] }: Options, exit: Exit.Exit<unknown, unknown> | undefined): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.ended.push(this.buffer.take())
      const all = this.recorder.takeOverdue(endOfTime)
      // What stands in a child fiber is ended with its parent fiber, which may still have to end.
      const supervised = new Set(all.flatMap(({ spanId }) => (this.lineage.isSupervised(spanId) ? [spanId] : [])))
      const facts: Laws.Facts = {
        open: all.filter(({ spanId }) => !supervised.has(spanId)).map(({ name }) => name),
        isOpen: (spanId) => supervised.has(spanId),
        isDetached: (span, parent) => this.lineage.isDetached(span, parent)
      }
      const broken = Laws.violations(this.treesOf([...this.cleared, ...this.ended]), facts).filter(
        ({ law }) => !allow.includes(law)
      )
      if (broken.length === 0) return Effect.void
      const failure =
        exit === undefined || Exit.isSuccess(exit) ? [] : [`The program itself failed: ${Cause.pretty(exit.cause)}`]
      const lines = ["The traces of this test break laws:", ...broken.map(({ message }) => `- ${message}`), ...failure]
      return Effect.die(new TypeError(lines.join("\n")))
    })
  }
}

const endOfTime = 2n ** 63n

/** Leaves out what is another each time. */
const reproducible = (span: SpanRecord, compare: (a: SpanLink, b: SpanLink) => number): SpanRecord => ({
  ...span,
  events: span.events.map(reproducibleEvent),
  links: span.links.toSorted(compare)
})

const reproducibleEvent = (event: SpanEvent): SpanEvent => ({
  ...event,
  attributes: Object.fromEntries(Object.entries(event.attributes).flatMap(reproducibleAttribute))
})

const reproducibleAttribute = ([key, value]: readonly [string, Attributes[string]]): ReadonlyArray<
  readonly [string, Attributes[string]]
> => {
  if (key === "effect.fiberId") return []
  // The frames have paths and lines in them.
  return [[key, key === Key.exceptionStacktrace ? String(value).split("\n    at ", 1)[0]! : value]]
}
