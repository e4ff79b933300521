/**
 * Work that outlives its process: a run that is suspended, or whose process dies, goes on in the same trace, under one span from
 * its first start to its end. By hand, for loops that keep their own state, and for Effect's workflows, where all is told by the
 * engine. Span ids derive from the run, so that whoever does a step again gives it the id that it had.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import * as Activity from "effect/workflow/Activity"
import * as Workflow from "effect/workflow/Workflow"
import { WorkflowEngine, WorkflowInstance } from "effect/workflow/WorkflowEngine"
import { Key } from "./Conventions.ts"
import * as DerivedIds from "./DerivedIds.ts"
import * as DurableRun from "./DurableRun.ts"
import * as Envelope from "./Envelope.ts"
import * as OpenSpan from "./OpenSpan.ts"
import { OwnIds } from "./OwnIds.ts"
import * as Propagator from "./Propagator.ts"
import * as QuietTracer from "./QuietTracer.ts"
import * as TraceContext from "./TraceContext.ts"

export { Checkpoint } from "./DurableRun.ts"

/**
 * A run that was left with more to do.
 *
 * @since 0.1.0
 */
export class Suspended extends Schema.TaggedError<Suspended>()("Suspended", {
  /** What it waits for, such as `approval`. */
  reason: Schema.String
}) {}

/**
 * Begins a run: gives what is to be stored with its state before anything is done. The run goes on with the trace that it is
 * begun in; outside of spans its trace id derives from its name and id. Never fails.
 *
 * **Details**: whether the run is recorded is decided now, once for all processes: by the sampler of a Recorder. A tracer around one
 * does not say what it would decide; under it a run is recorded if its caller is, or has none.
 *
 * @since 0.1.0
 */
export const begin = (name: string, runId: string): Effect.Effect<DurableRun.Checkpoint> =>
  Effect.flatMap(Propagator.current, ({ context: caller }) =>
    Effect.withFiber((fiber) => {
      const startTime = OpenSpan.now(fiber)
      const undecided = DurableRun.undecided(name, runId)
      const told = { ...(caller ?? undecided), spanId: undecided.spanId }
      const isOn = caller !== undefined || fiber.getRef(TraceContext.TracingEnabled)
      const isWanted = fiber.cache.tracerEnabled && isOn && OpenSpan.isOfLevel(fiber) && isTaken(told)
      const options = DurableRun.spanOptions(name, startTime, caller, undecided, isWanted)
      const tracer: Tracer.Tracer & { readonly foretell?: (span: typeof options) => TraceContext.TraceContext } =
        QuietTracer.loudOf(fiber.getRef(Tracer.Tracer))
      // Other tracers decide when a span opens, which this one does when the run is over.
      const context =
        tracer.foretell?.(options) ?? (isWanted ? told : { ...told, flags: told.flags & ~TraceContext.flagSampled })
      const checkpoint = {
        name,
        run_id: runId,
        started_at: String(startTime),
        ...(caller && { parent_span_id: caller.spanId })
      }
      const span = TraceContext.toExternalSpan(context)
      return Effect.provideService(Envelope.inject(checkpoint), Tracer.ParentSpan, span)
    })
  )

const isTaken = ({ flags }: TraceContext.TraceContext): boolean => (flags & TraceContext.flagSampled) !== 0

/**
 * Runs an effect as a stretch of a run, from its start or from where it was left: its spans stand under the run's, which is
 * written when the run is over, `invoke_workflow {name}`, with the time at which the run began.
 *
 * **Details**: a run is over when it succeeds or fails. One that is suspended or interrupted is not: nothing is written, and
 * whoever resumes it, in whatever process, writes the span. So a stretch has no span of its own: it leaves the steps that it did,
 * and the time between them is what the run waited. Attributes that the effect sets on its current span stand on the run's.
 *
 * **Gotchas**: only Handspan's Recorder takes ids that derive. Other tracers make their own when a span is opened, and then the
 * run's span is not the one that its steps stand under.
 *
 * **Fails with** `Suspended` where the effect calls `suspend`.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as Durable from "handspan/Durable"
 * import * as Testing from "handspan/testing"
 *
 * // One row of a table, as JSON, is all that one process leaves to the next.
 * const table = new Map<string, string>()
 * const work = Effect.gen(function* () {
 *   const row = JSON.parse(table.get("42") ?? "{}")
 *   row.trace ??= yield* Durable.begin("refund", "42")
 *   const save = Effect.sync(() => table.set("42", JSON.stringify(row)))
 *   yield* save
 *   yield* Effect.gen(function* () {
 *     row.amount ??= yield* Effect.succeed(12).pipe(Durable.step("quote"))
 *     yield* save
 *     if (!row.approved) return yield* Durable.suspend("approval")
 *     yield* Effect.log(`paid ${row.amount}`).pipe(Durable.step("pay"))
 *   }).pipe(Durable.run(row.trace))
 * })
 *
 * const program = Effect.gen(function* () {
 *   const { reason } = yield* Effect.flip(work)
 *   if (reason !== "approval") throw new Error("expected that it waits")
 *   table.set("42", JSON.stringify({ ...JSON.parse(table.get("42") ?? ""), approved: true }))
 *   yield* Effect.orDie(work)
 * })
 * const { trace } = await Effect.runPromise(Testing.record(program))
 * const { span } = Testing.Tree
 * Testing.expectTrace(trace).toMatchTree(span("invoke_workflow refund", [span("quote"), span("pay", { events: ["paid 12"] })]))
 * ```
 *
 * @since 0.1.0
 */
export const run =
  (checkpoint: DurableRun.Checkpoint) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | Suspended, Exclude<R, Tracer.ParentSpan>> =>
    Effect.withFiber((fiber) => {
      const run = DurableRun.fromCheckpoint(checkpoint, fiber)
      return DurableRun.inside(run, effect).pipe(
        Effect.onExit((exit) => (isOver(exit) ? DurableRun.write(run, exit) : Effect.void)),
        Effect.catchCause((cause): Effect.Effect<never, E | Suspended> =>
          run.suspendedFor !== undefined && Cause.hasInterruptsOnly(cause)
            ? Effect.fail(new Suspended({ reason: run.suspendedFor }))
            : Effect.failCause(cause)
        )
      )
    })

const isOver = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isSuccess(exit) || !Cause.hasInterruptsOnly(exit.cause)

/**
 * Leaves the run that this is called in: its fiber is interrupted, and with it what the run does besides, and `run` fails with
 * `Suspended`. Effect's workflows are suspended by their engine instead.
 *
 * @since 0.1.0
 */
export const suspend = (reason: string): Effect.Effect<never> =>
  Effect.flatMap(DurableRun.CurrentRun, (run) => {
    if (run !== undefined) run.suspendedFor = reason
    return Effect.interrupt
  })

/**
 * Runs an effect as a step of a run: a span whose id derives from the run, the step's name and the attempt. Call it where the
 * work is really done; what a journal knows already needs no span. Outside of a run it is a span like any other.
 *
 * **Details**: a step that is interrupted will be done again, under the same id, and is marked with `handspan.pending` until then.
 *
 * @since 0.1.0
 */
export const step =
  (
    name: string,
    options: {
      /**
       * Which attempt at the step it is, or which round of a loop, from 1: what is not the same work must not have the same number.
       * Default: one more than steps of this name began in this stretch.
       */
      readonly attempt?: number | undefined
    } = {}
  ) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
    Effect.flatMap(DurableRun.CurrentRun, (run) => {
      if (run === undefined) return Effect.withSpan(effect, name, { captureStackTrace: false })
      const begun = (run.steps.get(name) ?? 0) + 1
      run.steps.set(name, begun)
      const { attempt = begun } = options
      const spanId = DerivedIds.spanId(run.name, run.id, name, attempt)
      return Effect.withSpan(
        Effect.onExit(effect, (exit) => (isOver(exit) ? Effect.void : markPending)),
        name,
        {
          captureStackTrace: false,
          attributes: { [Key.attemptNumber]: attempt },
          annotations: Context.make(OwnIds, { traceId: run.span.traceId, spanId })
        }
      )
    })

const markPending = Effect.annotateCurrentSpan(Key.pending, true)

/**
 * `workflow.toLayer` of Effect, for a trace that tells what happened: one span over the whole run, as `run` writes it, and in it
 * a span for each activity, where and when it is really done, by the number of its attempt.
 *
 * **Details**: the run goes on with the trace of whoever asked for it first. Its checkpoint is the result of an activity
 * `handspan/begin` in the engine's journal. What the workflow does outside of activities is done again at each replay, so its
 * spans are left out, until its body is over and compensations begin; so are the spans that the engine opens for itself.
 *
 * @example
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Activity, DurableClock, Workflow, WorkflowEngine } from "effect/workflow"
 * import * as Durable from "handspan/Durable"
 * import * as Testing from "handspan/testing"
 *
 * const Trip = Workflow.make("trip", { payload: { id: Schema.String }, idempotencyKey: ({ id }) => id })
 * const TripLive = Durable.toLayer(Trip, () =>
 *   Effect.gen(function* () {
 *     yield* Activity.make({ name: "fly", execute: Effect.log("up and away") })
 *     yield* DurableClock.sleep({ name: "night", duration: "8 hours" })
 *     yield* Activity.make({ name: "fly back", execute: Effect.void })
 *   })
 * )
 * const program = Trip.execute({ id: "1" }).pipe(
 *   Durable.quietly,
 *   Effect.provide(TripLive.pipe(Layer.provideMerge(WorkflowEngine.layerMemory)))
 * )
 * const { trace } = await Effect.runPromise(Testing.record(program, { advance: "1 day" }))
 * const { span } = Testing.Tree
 * Testing.expectTrace(trace).toMatchTree(
 *   span("invoke_workflow trip", [span("fly", { events: ["up and away"] }), span("fly back")])
 * )
 * ```
 *
 * @since 0.1.0
 */
export const toLayer = <
  Name extends string,
  Payload extends Workflow.AnyStructSchema,
  Success extends Schema.Top,
  Error extends Schema.Top,
  R
>(
  workflow: Workflow.Workflow<Name, Payload, Success, Error>,
  execute: (payload: Payload["Type"], executionId: string) => Effect.Effect<Success["Type"], Error["Type"], R>
) =>
  workflow
    .toLayer((payload, executionId) => stretch(workflow._tag, executionId, execute(payload, executionId)))
    .pipe(Layer.provide(layerQuiet))

const stretch = <A, E, R>(name: string, executionId: string, body: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const engine = yield* WorkflowEngine
    const instance = yield* WorkflowInstance
    const tracer = QuietTracer.loudOf(yield* Effect.tracer)
    const beginning = Activity.make({
      name: "handspan/begin",
      success: DurableRun.Checkpoint,
      execute: begin(name, executionId)
    })
    const checkpoint = yield* quietly(beginning)
    const run = yield* Effect.withFiber((fiber) => Effect.succeed(DurableRun.fromCheckpoint(checkpoint, fiber)))
    let isBodyOver = false
    let isOver = false
    // Called after all compensations. Those of all stretches are called in the end; the last one alone was not suspended.
    yield* Workflow.addFinalizer((exit) => {
      isOver = true
      return instance.suspended ? Effect.void : DurableRun.write(run, exit)
    })
    return yield* DurableRun.inside(run, body).pipe(
      Effect.onExit(() => {
        isBodyOver = true
        return Effect.void
      }),
      Effect.provideService(WorkflowEngine, withSteps(engine, tracer)),
      Effect.withTracer(QuietTracer.quiet(tracer, () => !isBodyOver || isOver || instance.suspended))
    )
  })

/** An activity that is replayed is not executed, and so opens no span. */
const withSteps = (engine: WorkflowEngine["Service"], tracer: Tracer.Tracer): WorkflowEngine["Service"] => ({
  ...engine,
  activityExecute: (activity, attempt) =>
    engine.activityExecute(
      Activity.make({
        name: activity.name,
        success: activity.successSchema,
        error: activity.errorSchema,
        annotations: activity.annotations,
        // What there is to try again is tried inside.
        interruptRetryPolicy: Schedule.recurs(0),
        execute: activity.execute.pipe(step(activity.name, { attempt }), Effect.withTracer(tracer))
      }),
      attempt
    )
})

/**
 * Runs an effect without the spans that it would open, for `workflow.execute` and its like, which open one at each look for a
 * result. Whoever is called goes on with the span around it.
 *
 * @since 0.1.0
 */
export const quietly = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.tracer, (tracer) => Effect.withTracer(effect, QuietTracer.quiet(tracer)))

/**
 * Does the same for a layer that it is provided to: the workflow engine, whose journal and clocks open many spans.
 *
 * @since 0.1.0
 */
export const layerQuiet: Layer.Layer<never> = Layer.effect(
  Tracer.Tracer,
  Effect.map(Effect.tracer, (tracer) => QuietTracer.quiet(tracer))
)
