/**
 * Tracing for tests: the same program gives the same traces, byte for byte, on every machine and however its fibers take
 * turns. What to say of the traces is in the modules beside it.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scheduler from "effect/Scheduler"
import * as Tracer from "effect/Tracer"
import * as TestClock from "effect/testing/TestClock"
import { Key } from "../Conventions.ts"
import * as Delivery from "../Delivery.ts"
import * as OtlpProtobuf from "../OtlpProtobuf.ts"
import * as Recorder from "../Recorder.ts"
import { join, type Batch, SpanBuffer } from "../SpanBuffer.ts"
import type { Attributes, SpanEvent, SpanRecord } from "../SpanRecord.ts"
import * as TraceTree from "../TraceTree.ts"
import * as Laws from "./Laws.ts"
import { Lineage } from "./Lineage.ts"
import * as Turns from "./Turns.ts"

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
export const layerWith = (options: Options): Layer.Layer<Traces | Delivery.Deliveries> => {
  const recording = Layer.effectContext(
    Effect.gen(function* () {
      const recorder = new TestRecorder()
      const { allow = [] } = options
      yield* Effect.addFinalizer((exit) =>
        Exit.isFailure(exit) ? Effect.void : Effect.suspend(() => dieOf(recorder.violations(allow)))
      )
      return recorder.context
    })
  )
  return Layer.provideMerge(recording, options.clock === "live" ? liveClock : testClock)
}

/** Also where the test has a clock that stands still. */
const liveClock: Layer.Layer<never> = Layer.sync(Clock.Clock, () => Clock.Clock.defaultValue())

/** The clock of the test where it has one, and what knows when time may go on. */
const testClock: Layer.Layer<Turns.Turns> = Layer.effectContext(
  Effect.gen(function* () {
    // From now on the clock warns of nothing: it would fork a fiber for that wherever somebody happens to sleep first.
    yield* TestClock.adjust(0)
    const { scheduler, turns } = Turns.watch(yield* Scheduler.Scheduler)
    return Context.make(Turns.Turns, turns).pipe(Context.add(Scheduler.Scheduler, scheduler))
  })
).pipe(
  Layer.provideMerge(
    Layer.unwrap(Effect.map(Clock.Clock, (clock) => ("adjust" in clock ? Layer.empty : TestClock.layer())))
  )
)

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
  options: Options & {
    /** How far the test clock goes on while the program runs. Default: not at all. */
    readonly advance?: Duration.Input | undefined
  } = {}
): Effect.Effect<Recorded<A, E>, never, Exclude<R, Traces | Delivery.Deliveries>> => {
  const running = Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(program)
    if (options.advance !== undefined) {
      const turns = yield* Effect.serviceOption(Turns.Turns)
      if (Option.isSome(turns)) yield* turns.value.over
      yield* TestClock.adjust(options.advance)
    }
    const exit = yield* Fiber.await(fiber)
    const traces = yield* (yield* Traces).all
    return {
      exit,
      traces,
      get trace() {
        return theOnly(traces)
      }
    }
  })
  return Effect.provide(running, layerWith(options)) as never
}

/** A trace is one, or there is something to explain. */
const theOnly = (traces: ReadonlyArray<TraceTree.Trace>): TraceTree.Trace => {
  const [one, ...others] = traces
  if (one !== undefined && others.length === 0) return one
  const roots = traces.map((trace) => `"${trace.roots[0]?.span.name}"`).join(", ")
  throw new TypeError(
    one === undefined
      ? "There is no trace: no span has ended, or it ended outside of the layer"
      : `There are ${traces.length} traces, which begin with ${roots}: read them all, or put one span around them`
  )
}

const dieOf = (violations: ReadonlyArray<Laws.Violation>): Effect.Effect<void> =>
  violations.length === 0
    ? Effect.void
    : Effect.die(
        new TypeError(
          ["The traces of this test break laws:", ...violations.map(({ message }) => `- ${message}`)].join("\n")
        )
      )

/** The recorder of one test. */
class TestRecorder {
  readonly context: Context.Context<Traces | Delivery.Deliveries>
  private readonly lineage = new Lineage()
  private readonly buffer = new SpanBuffer()
  private readonly recorder: Recorder.Recorder
  private ended: Array<Batch> = []

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
        this.buffer.take()
        this.ended = []
      })
    }).pipe(
      Context.add(Delivery.Deliveries, {
        flush: Effect.void,
        ledgers: Effect.succeed([]),
        health: Effect.succeed([])
      }),
      Context.add(Tracer.Tracer, this.recorder),
      Context.add(Metric.FiberRuntimeMetrics, this.lineage.fiberMetrics)
    )
  }

  traces(): ReadonlyArray<TraceTree.Trace> {
    this.ended.push(this.buffer.take())
    const spans = Result.getOrThrow(OtlpProtobuf.decode(join(this.ended).bytes)).map(reproducible)
    return TraceTree.fromSpans(spans, (a, b) => this.lineage.compare(a.spanId, b.spanId))
  }

  violations(allow: ReadonlyArray<Laws.Law>): ReadonlyArray<Laws.Violation> {
    const open = this.recorder.takeOverdue(BigInt(Number.MAX_SAFE_INTEGER) ** 2n).map(({ name }) => name)
    const isDetached = (span: string, parent: string) => this.lineage.isDetached(span, parent)
    return Laws.violations(this.traces(), { open, isDetached }).filter(({ law }) => !allow.includes(law))
  }
}

/** Leaves out what is another each time. */
const reproducible = (span: SpanRecord): SpanRecord => ({ ...span, events: span.events.map(reproducibleEvent) })

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
