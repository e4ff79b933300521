/**
 * What a durable run is in a process: what its checkpoint says, and the span that stands for it until it is over. Who begins and
 * leaves runs is said by `Durable`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import { Key, Operation, workflowSpanName } from "./Conventions.ts"
import * as DerivedIds from "./DerivedIds.ts"
import * as Envelope from "./Envelope.ts"
import * as OpenSpan from "./OpenSpan.ts"
import { OwnIds } from "./OwnIds.ts"
import { PassedSpan } from "./PassedSpan.ts"
import * as Propagator from "./Propagator.ts"
import * as QuietTracer from "./QuietTracer.ts"
import * as TraceContext from "./TraceContext.ts"

/**
 * The trace of a run, as plain data to be stored with the run's state. The fields of `Envelope` in it are those of the run's own
 * span, so that whoever is told of it can go on with it.
 *
 * @since 0.1.0
 */
export const Checkpoint = Schema.Struct({
  ...Envelope.fields,
  /** The workflow. */
  name: Schema.String,
  run_id: Schema.String,
  /** When the run began, in nanoseconds since the Unix epoch, as digits. */
  started_at: Schema.String,
  /** The span that the run was begun in, 16 lower-case hex digits. Default: the run begins its trace. */
  parent_span_id: Schema.optionalKey(Schema.String)
})

/**
 * The trace of a run, as plain data to be stored with the run's state.
 *
 * @since 0.1.0
 */
export type Checkpoint = typeof Checkpoint.Type

/**
 * Stands for the span over a run, by its ids, as the parent of all that is done in it: the span itself opens when the run is over,
 * maybe in another process. Keeps attributes until then; events come again with each replay, and are not kept.
 */
class RunSpan extends PassedSpan {
  override readonly attributes = new Map<string, unknown>()

  constructor(name: string, context: TraceContext.TraceContext, startTime: bigint) {
    super(spanOptions(name, startTime, context, context, true), context)
  }

  override attribute(key: string, value: unknown): void {
    this.attributes.set(key, value)
  }
}

/**
 * A run as it goes on in this process.
 *
 * @since 0.1.0
 */
export interface Run {
  readonly name: string
  readonly id: string
  readonly span: RunSpan
  /** The span that it was begun in. */
  readonly parent: TraceContext.TraceContext | undefined
  readonly baggage: TraceContext.Baggage
  /** How many steps of a name began here. */
  readonly steps: Map<string, number>
  suspendedFor: string | undefined
}

/**
 * The run that a fiber works for.
 *
 * @since 0.1.0
 */
export const CurrentRun: Context.Reference<Run | undefined> = Context.Reference<Run | undefined>(
  "handspan/DurableRun/CurrentRun",
  {
    defaultValue: () => undefined
  }
)

/**
 * What is said of a run about which nobody decided, or nobody knows any more how.
 *
 * @since 0.1.0
 */
export const undecided = (name: string, runId: string): TraceContext.TraceContext => ({
  traceId: DerivedIds.traceId(name, runId),
  spanId: DerivedIds.spanId(name, runId),
  flags: TraceContext.flagSampled | TraceContext.flagRandom,
  traceState: ""
})

/**
 * The span over a run, for a tracer.
 *
 * @since 0.1.0
 */
export const spanOptions = (
  name: string,
  startTime: bigint,
  parent: TraceContext.TraceContext | undefined,
  ids: OwnIds,
  sampled: boolean
): Parameters<Tracer.Tracer["span"]>[0] => ({
  name: workflowSpanName(name),
  parent: Option.map(Option.fromUndefinedOr(parent), TraceContext.toExternalSpan),
  annotations: Context.make(OwnIds, ids),
  links: [],
  startTime,
  kind: "internal",
  root: false,
  sampled
})

/**
 * Takes up a run. A checkpoint that was damaged on its way goes on as far as it can be read: the ids that derive are known, and the
 * run's span tells in `handspan.propagation.unreadable` what is not. One that does not name its run is the checkpoint of no other.
 *
 * @since 0.1.0
 */
export const fromCheckpoint = (checkpoint: Checkpoint, fiber: Fiber.Fiber<unknown, unknown>): Run => {
  const stored: { readonly [Field in keyof Checkpoint]?: unknown } = Object(checkpoint)
  const name = textOf(stored.name) ?? "unknown"
  const id = textOf(stored.run_id) ?? crypto.randomUUID()
  const startedAt = textOf(stored.started_at) ?? ""
  const parentId = textOf(stored.parent_span_id) ?? ""
  const { baggage = new Map(), context, unreadable: unreadableTrace = [] } = Envelope.extract(checkpoint)
  const isStartTold = /^\d{1,19}$/.test(startedAt)
  const startTime = isStartTold ? BigInt(startedAt) : OpenSpan.now(fiber)
  const unreadable = [
    ...unreadableTrace,
    ...(isStartTold || isAbsent(stored.started_at) ? [] : ["started_at"]),
    ...(TraceContext.isSpanId(parentId) || isAbsent(stored.parent_span_id) ? [] : ["parent_span_id"])
  ]
  const span = new RunSpan(name, context ?? undecided(name, id), startTime)
  Propagator.countUnreadable(unreadable, fiber.context)
  if (unreadable.length > 0) span.attribute(Key.unreadable, unreadable)
  return {
    name,
    id,
    span,
    parent: context && TraceContext.isSpanId(parentId) ? { ...context, spanId: parentId } : undefined,
    baggage,
    steps: new Map(),
    suspendedFor: undefined
  }
}

/** Stores write what they have not in their own ways. */
const isAbsent = (value: unknown): boolean => value === undefined || value === null || value === ""

const textOf = (value: unknown): string | undefined =>
  typeof value === "string" || typeof value === "number" ? String(value) : undefined

/**
 * Runs an effect for a run.
 *
 * @since 0.1.0
 */
export const inside = <A, E, R>(
  run: Run,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
  effect.pipe(
    Effect.provideService(CurrentRun, run),
    Effect.provideService(TraceContext.CurrentBaggage, run.baggage),
    Effect.provideService(Tracer.ParentSpan, run.span)
  )

/**
 * Opens the span over the whole run, and ends it at once.
 *
 * @since 0.1.0
 */
export const write = ({ id, name, parent, span }: Run, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    if (!fiber.cache.tracerEnabled) return Effect.void
    const ids = { traceId: span.traceId, spanId: span.spanId, decided: span }
    const options = spanOptions(name, span.status.startTime, parent, ids, span.sampled)
    const written = QuietTracer.loudOf(fiber.getRef(Tracer.Tracer)).span(options)
    const attributes = {
      ...fiber.getRef(References.TracerSpanAnnotations),
      [Key.operationName]: Operation.invokeWorkflow,
      [Key.workflowName]: name,
      [Key.runId]: id,
      ...Object.fromEntries(span.attributes)
    }
    for (const [key, value] of Object.entries(attributes)) written.attribute(key, value)
    written.end(OpenSpan.now(fiber), exit)
    return Effect.void
  })
