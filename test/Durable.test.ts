import { assert, describe, it } from "@effect/vitest"
import { type Duration, Effect, Exit, Layer, Result, Schema, type Scope, Tracer } from "effect"
import * as Activity from "effect/workflow/Activity"
import * as DurableClock from "effect/workflow/DurableClock"
import * as Workflow from "effect/workflow/Workflow"
import * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import fc from "fast-check"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Key } from "../src/Conventions.ts"
import * as Durable from "../src/Durable.ts"
import * as OtlpProtobuf from "../src/OtlpProtobuf.ts"
import * as Propagator from "../src/Propagator.ts"
import * as Recorder from "../src/Recorder.ts"
import type { Sampler } from "../src/Sampler.ts"
import { SpanBuffer } from "../src/SpanBuffer.ts"
import type { SpanRecord } from "../src/SpanRecord.ts"
import * as Testing from "../src/Testing.ts"
import * as TraceTree from "../src/TraceTree.ts"

const { span } = Testing.Tree

/** What a process of its own would record, of a run whose span another one writes. */
const inProcess = <A, E>(program: Effect.Effect<A, E>, advance?: Duration.Input) =>
  Testing.record(program, { advance, allow: ["orphans"] })

const spansOf = (...processes: ReadonlyArray<{ readonly traces: ReadonlyArray<TraceTree.Trace> }>) =>
  processes.flatMap(({ traces }) => traces.flatMap(({ spans }) => spans))

const idOf = ({ spanId, traceId }: SpanRecord): string => `${traceId} ${spanId}`

/** All that some processes sent, as a backend has it that keeps one span for each id: the last, and no picture if it can. */
const union = (spans: ReadonlyArray<SpanRecord>): TraceTree.Trace => {
  const kept = new Map<string, SpanRecord>()
  for (const sent of spans) {
    if (sent.attributes[Key.pending] !== true || !kept.has(idOf(sent))) kept.set(idOf(sent), sent)
  }
  const [trace, ...others] = TraceTree.fromSpans([...kept.values()])
  assert.deepStrictEqual(others, [])
  assert.deepStrictEqual(trace?.problems, [])
  return trace!
}

/** A run as somebody keeps it: all JSON. */
interface Row {
  readonly trace: Durable.Checkpoint
  readonly done: ReadonlyArray<string>
}

const names = ["plan", "fly", "sleep over", "fly back", "report"]

/** Does the steps of a run that are not done, and leaves it in the middle of one in the way that it is told. */
const goOn = (row: Row, leaveAt?: string, leave: Effect.Effect<void> = Effect.void): Effect.Effect<Row> =>
  Effect.suspend(() => {
    const done = [...row.done]
    const left = names.filter((name) => !done.includes(name))
    const workOf = (name: string) =>
      Effect.withSpan(
        Effect.andThen(Effect.sleep("1 minute"), name === leaveAt ? leave : Effect.void),
        `${name}'s work`
      )
    return Effect.forEach(left, (name) =>
      Effect.tap(workOf(name).pipe(Durable.step(name)), () => Effect.sync(() => done.push(name)))
    ).pipe(Durable.run(row.trace), Effect.exit, Effect.andThen(Effect.sync(() => ({ ...row, done }))))
  })

const begun = Effect.map(Durable.begin("trip", "1"), (trace): Row => ({ trace, done: [] }))

const rowOf = ({ exit }: { readonly exit: Exit.Exit<Row> }): Row => {
  assert.isTrue(Exit.isSuccess(exit))
  return json(Exit.isSuccess(exit) ? exit.value : assert.fail())
}

const json = <A>(value: A): A => JSON.parse(JSON.stringify(value))

describe("Durable.begin", () => {
  it.effect("gives plain data: the trace and the span that began it, the run's own span, and when it was", () =>
    Effect.gen(function* () {
      const sent = {
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
        tracestate: "vendor=1",
        baggage: "user=alice"
      }
      const { exit } = yield* Testing.record(
        Durable.begin("trip", "1").pipe(Effect.delay("1 second"), Propagator.withRemoteParent(sent)),
        { advance: "1 minute" }
      )
      assert.deepStrictEqual(
        json(exit),
        json(
          Exit.succeed({
            name: "trip",
            run_id: "1",
            started_at: "1000000000",
            parent_span_id: "b7ad6b7169203331",
            trace_id: "0af7651916cd43dd8448eb211c80319c",
            span_id: "1ae8b2fd02d741c0",
            trace_flags: "03",
            tracestate: "vendor=1",
            baggage: "user=alice"
          })
        )
      )
    })
  )

  it.effect("derives a trace from name and id outside of spans, which ratios can trust", () =>
    Effect.gen(function* () {
      const checkpoints = yield* Effect.forEach(["1", "1", "2"], (id) => Durable.begin("trip", id))
      const other = yield* Durable.begin("refund", "1")
      const ids = [...checkpoints, other].map(({ span_id, trace_id }) => `${trace_id} ${span_id}`)
      assert.strictEqual(ids[0], ids[1])
      assert.strictEqual(new Set(ids).size, 3)
      assert.strictEqual(checkpoints[0]?.parent_span_id, undefined)
      assert.strictEqual(checkpoints[0]?.trace_flags, "03")
    }).pipe(Effect.withTracer(Recorder.make({ onEnd: () => undefined })))
  )

  it.effect("decides once whether a run is recorded, and what its tracestate says", () =>
    Effect.gen(function* () {
      let asked = 0
      const flipping: Sampler = {
        name: "every other",
        decide: () =>
          asked++ % 2 === 0 ? { sampled: true, threshold: 2n ** 55n } : { sampled: false, threshold: undefined }
      }
      const buffer = new SpanBuffer()
      const process = () => Recorder.make({ onEnd: (ended) => buffer.append(ended), sampler: () => flipping })
      const taken = yield* Effect.withTracer(Durable.begin("trip", "1"), process())
      const refused = yield* Effect.withTracer(Durable.begin("trip", "2"), process())
      assert.deepStrictEqual([taken.trace_flags, taken.tracestate], ["03", "ot=th:8"])
      assert.deepStrictEqual([refused.trace_flags, refused.tracestate], ["02", undefined])
      for (const trace of [taken, refused]) {
        yield* Effect.withTracer(Effect.void.pipe(Durable.step("plan"), Durable.run(trace)), process())
      }
      assert.strictEqual(asked, 2)
      const spans = Result.getOrThrow(OtlpProtobuf.decode(buffer.take().bytes))
      assert.deepStrictEqual(
        spans.map(({ flags, name, traceState }) => ({ flags, name, traceState })),
        [
          { flags: 3, name: "plan", traceState: "ot=th:8" },
          { flags: 3, name: "invoke_workflow trip", traceState: "ot=th:8" }
        ]
      )
    })
  )

  it.effect("follows a caller that is not recorded", () =>
    Effect.gen(function* () {
      const tracer = Recorder.make({ onEnd: () => assert.fail("expected no span") })
      const traceparent = `00-${"1".repeat(32)}-${"2".repeat(16)}-00`
      const program = Effect.flatMap(Durable.begin("trip", "1"), (trace) =>
        Effect.void.pipe(Durable.step("plan"), Durable.run(trace))
      )
      yield* program.pipe(Propagator.withRemoteParent({ traceparent }), Effect.withTracer(tracer))
    })
  )
})

describe("Durable.begin and Durable.run", () => {
  const program = Effect.flatMap(Durable.begin("trip", "1"), (trace) =>
    Effect.as(Effect.void.pipe(Durable.step("plan"), Durable.run(trace)), trace)
  )

  it.effect("open no span that nobody ends, under tracers that wrap a Recorder", () =>
    Effect.gen(function* () {
      const buffer = new SpanBuffer()
      const recorder = Recorder.make({ onEnd: (ended) => buffer.append(ended) })
      const wrapping = Tracer.make({ span: (options) => recorder.span(options) })
      const alone = yield* Effect.withTracer(program, wrapping)
      const traceparent = `00-${"1".repeat(32)}-${"2".repeat(16)}-01`
      const called = yield* program.pipe(Propagator.withRemoteParent({ traceparent }), Effect.withTracer(wrapping))
      assert.deepStrictEqual(recorder.counts(), { started: 4, unsampled: 0, live: 0 })
      assert.strictEqual(called.span_id, alone.span_id)
      const spans = Result.getOrThrow(OtlpProtobuf.decode(buffer.take().bytes))
      assert.deepStrictEqual(
        spans.map(({ name, parentSpanId, traceId }) => [name, traceId, parentSpanId]),
        [
          ["plan", alone.trace_id, alone.span_id],
          ["invoke_workflow trip", alone.trace_id, undefined],
          ["plan", "1".repeat(32), alone.span_id],
          ["invoke_workflow trip", "1".repeat(32), "2".repeat(16)]
        ]
      )
    })
  )

  it.effect("record nothing below the level that traces are recorded from", () =>
    Effect.gen(function* () {
      const recorder = Recorder.make({ onEnd: () => assert.fail("expected no span") })
      const trace = yield* program.pipe(
        Effect.withTracer(recorder),
        Effect.provideService(Tracer.MinimumTraceLevel, "Error")
      )
      assert.strictEqual(trace.trace_flags, "02")
    })
  )
})

describe("Durable.run", () => {
  it.effect("is one span from the first start to the end, with the steps of all processes in it", () =>
    Effect.gen(function* () {
      const first = yield* inProcess(
        Effect.gen(function* () {
          const row = yield* Effect.withSpan(begun, "ask")
          yield* Effect.sleep("1 hour")
          return yield* goOn(row, "sleep over", Durable.suspend("the night"))
        }),
        "1 day"
      )
      const second = yield* inProcess(Effect.delay(goOn(rowOf(first)), "2 days"), "3 days")
      const trace = union(spansOf(first, second))
      const step = (name: string) =>
        span(name, { attributes: { [Key.attemptNumber]: 1 }, children: [span(`${name}'s work`)] })
      Testing.expectTrace(trace).toMatchTree(
        span("ask", [
          span("invoke_workflow trip", {
            status: "ok",
            attributes: Testing.Tree.only({
              "gen_ai.operation.name": "invoke_workflow",
              "gen_ai.workflow.name": "trip",
              "handspan.run.id": "1"
            }),
            children: [step("plan"), step("fly"), step("sleep over"), step("fly back"), step("report")]
          })
        ])
      )
      const run = trace.spans.find(({ name }) => name === "invoke_workflow trip")
      const minute = 60n * 1_000_000_000n
      // An hour and three steps, two days and three steps.
      assert.deepStrictEqual([run?.startTimeUnixNano, run?.endTimeUnixNano], [0n, (63n + 2n * 24n * 60n + 3n) * minute])
    })
  )

  it.effect("is not written when it is suspended or interrupted: it is not over", () =>
    Effect.gen(function* () {
      for (const leave of [Durable.suspend("the night"), Effect.interrupt]) {
        const { exit, traces } = yield* inProcess(
          Effect.flatMap(begun, (row) => goOn(row, "fly", leave)),
          "1 day"
        )
        assert.deepStrictEqual(Exit.isSuccess(exit) && exit.value.done, ["plan"])
        const told = spansOf({ traces }).map(
          ({ attributes, name, status }) =>
            `${name}: ${status.code}${attributes[Key.pending] === true ? ", pending" : ""}`
        )
        assert.deepStrictEqual(told.toSorted(), [
          "fly's work: unset",
          "fly: unset, pending",
          "plan's work: ok",
          "plan: ok"
        ])
      }
    })
  )

  it.effect("says for what it is suspended, and interrupts what it does besides", () =>
    Effect.gen(function* () {
      const work = Effect.all([Effect.never, Durable.suspend("approval")], { concurrency: 2 })
      const program = Effect.flatMap(Durable.begin("trip", "1"), (trace) => work.pipe(Durable.run(trace)))
      const error = yield* Effect.flip(program)
      assert.deepStrictEqual([error._tag, error.reason], ["Suspended", "approval"])
    })
  )

  it.effect("tells how the run failed, and what was said of it in the last stretch", () =>
    Effect.gen(function* () {
      const failing = Effect.andThen(Effect.annotateCurrentSpan("seat", 7), Effect.die(new TypeError("no seat")))
      const program = Effect.flatMap(Durable.begin("trip", "1"), (trace) => failing.pipe(Durable.run(trace)))
      const { trace } = yield* Testing.record(program)
      Testing.expectTrace(trace).toMatchTree(
        span("invoke_workflow trip", {
          status: { error: "no seat" },
          attributes: { "error.type": "TypeError", seat: 7 },
          events: ["exception"]
        })
      )
    })
  )

  it.effect("goes on as far as a damaged checkpoint can be read, by the ids that derive", () =>
    Effect.gen(function* () {
      const whole = yield* Durable.begin("trip", "1")
      const { span_id, trace_id } = whole
      const rest = { name: "trip", run_id: "1" }
      const damaged: ReadonlyArray<unknown> = [
        rest,
        { ...rest, parent_span_id: "1".repeat(16) },
        { ...whole, started_at: "yesterday", parent_span_id: "?" },
        { ...whole, trace_id: "0".repeat(32), started_at: 7 }
      ]
      for (const checkpoint of damaged) {
        const { trace } = yield* Testing.record(Effect.void.pipe(Durable.run(checkpoint as Durable.Checkpoint)))
        assert.deepStrictEqual(
          trace.spans.map(({ parentSpanId, ...run }) => [idOf(run as SpanRecord), parentSpanId]),
          [[`${trace_id} ${span_id}`, undefined]]
        )
      }
    }).pipe(Effect.withTracer(Recorder.make({ onEnd: () => undefined })))
  )

  it.effect("goes on where a checkpoint is none at all, in a trace that no other run has", () =>
    Effect.gen(function* () {
      const cyclic: Record<string, unknown> = {}
      cyclic["run_id"] = cyclic
      const ids = new Set<string>()
      const none: ReadonlyArray<unknown> = [null, undefined, 7, "garbage", {}, [], cyclic, { name: {}, baggage: 7 }]
      for (const checkpoint of none) {
        const work = Effect.void.pipe(Durable.step("plan"), Durable.run(checkpoint as Durable.Checkpoint))
        const { exit, trace } = yield* Testing.record(work)
        assert.deepStrictEqual(exit, Exit.void)
        Testing.expectTrace(trace).toMatchTree(span("invoke_workflow unknown", [span("plan")]))
        ids.add(trace.traceId)
      }
      assert.strictEqual(ids.size, none.length)
    })
  )

  it.effect("has the baggage of its beginning", () =>
    Effect.gen(function* () {
      const trace = yield* Durable.begin("trip", "1").pipe(Propagator.withRemoteParent({ baggage: "user=alice" }))
      const { baggage } = yield* Propagator.current.pipe(Durable.run(json(trace)))
      assert.strictEqual(baggage.get("user")?.value, "alice")
    })
  )
})

describe("Durable.step", () => {
  it("gives the same ids however often a run is left, in the middle of whatever step", async () => {
    const idsOf = async (leaves: ReadonlyArray<readonly [at: string, how: "suspend" | "interrupt"]>) => {
      const ids = new Set<string>()
      let row: Row | undefined
      for (const [at, how] of [...leaves, [undefined, "suspend"] as const]) {
        const leave = how === "suspend" ? Durable.suspend("leave") : Effect.interrupt
        const program = Effect.flatMap(row === undefined ? begun : Effect.succeed(row), (from) => goOn(from, at, leave))
        const recorded = await Effect.runPromise(inProcess(program, "1 day"))
        row = rowOf(recorded)
        for (const sent of spansOf(recorded)) if (!sent.name.endsWith("work")) ids.add(idOf(sent))
      }
      return [...ids].toSorted()
    }
    const undisturbed = await idsOf([])
    assert.strictEqual(undisturbed.length, 6)
    const leaves = fc.array(fc.tuple(fc.constantFrom(...names), fc.constantFrom("suspend", "interrupt")), {
      maxLength: 6
    })
    await fc.assert(
      fc.asyncProperty(leaves, async (leaves) => assert.deepStrictEqual(await idsOf(leaves), undisturbed)),
      { numRuns: 50 }
    )
  })

  it.effect("tells attempts apart, by their number or by their order in this stretch", () =>
    Effect.gen(function* () {
      const twice = Effect.all([Effect.void.pipe(Durable.step("poll")), Effect.void.pipe(Durable.step("poll"))])
      const third = Effect.void.pipe(Durable.step("poll", { attempt: 3 }))
      const again = Effect.void.pipe(Durable.step("poll", { attempt: 2 }))
      const program = Effect.flatMap(Durable.begin("trip", "1"), (trace) =>
        Effect.all([twice, third, again]).pipe(Durable.run(trace))
      )
      const { trace } = yield* Testing.record(program)
      const polls = trace.spans.filter(({ name }) => name === "poll")
      const byId = Map.groupBy(polls, idOf)
      const numbers = Array.from(byId.values(), (same) => same.map(({ attributes }) => attributes[Key.attemptNumber]))
      assert.deepStrictEqual(numbers.map(String).toSorted(), ["1", "2,2", "3"])
    })
  )

  it.effect("is a span like any other outside of a run", () =>
    Effect.gen(function* () {
      const step = Effect.void.pipe(Durable.step("plan"))
      const { trace } = yield* Testing.record(Effect.withSpan(Effect.andThen(step, step), "work"))
      Testing.expectTrace(trace).toMatchTree(span("work", [span("plan"), span("plan")]))
      assert.deepStrictEqual(trace.problems, [])
    })
  )
})

const activity = (name: string, execute: Effect.Effect<unknown, string> = Effect.void) =>
  Activity.make({
    name,
    error: Schema.String,
    execute: Effect.asVoid(Effect.withSpan(execute, `${name}'s work`))
  })

const night = DurableClock.sleep({ name: "night", duration: "8 hours" })

const Trip = Workflow.make("trip", {
  payload: { id: Schema.String },
  idempotencyKey: ({ id }) => id,
  error: Schema.String
})

/** What the engine brings into a workflow. */
type Within = WorkflowEngine.WorkflowEngine | WorkflowEngine.WorkflowInstance | Workflow.Execution<"trip"> | Scope.Scope

/** Records a program beside an engine in memory that runs this body. */
const withEngine = <A, E>(
  body: Effect.Effect<void, string, Within>,
  program: Effect.Effect<A, E, WorkflowEngine.WorkflowEngine>,
  ...others: ReadonlyArray<Layer.Layer<never, never, WorkflowEngine.WorkflowEngine>>
) =>
  Testing.record(
    Effect.provide(
      program,
      Layer.mergeAll(
        Durable.toLayer(Trip, () => body),
        ...others
      ).pipe(Layer.provideMerge(WorkflowEngine.layerMemory))
    ),
    { advance: "2 days" }
  )

const trip = Durable.quietly(Trip.execute({ id: "1" }))

describe("Durable.toLayer", () => {
  it.effect("records a workflow once, whatever is replayed, and an activity where it is done", () =>
    Effect.gen(function* () {
      let bodies = 0
      const body = Effect.gen(function* () {
        bodies++
        yield* Effect.annotateCurrentSpan("customer", "Ada")
        yield* Effect.withSpan(activity("plan"), "this morning")
        yield* Effect.sleep("1 minute")
        yield* night
        yield* DurableClock.sleep({ name: "nap", duration: "20 seconds" })
        yield* activity("fly")
      })
      // The engine sets its clock anew with each replay; the last one strikes after the end.
      const program = Effect.andThen(Effect.withSpan(trip, "ask"), Effect.sleep("1 day"))
      const { trace } = yield* withEngine(body, program)
      assert.strictEqual(bodies, 2)
      Testing.expectTrace(trace).toMatchTree(
        span("ask", [
          span("invoke_workflow trip", {
            status: "ok",
            attributes: { "gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "trip", customer: "Ada" },
            children: [
              span("plan", { attributes: { [Key.attemptNumber]: 1 }, children: [span("plan's work")] }),
              span("DurableClock/nap"),
              span("fly", [span("fly's work")])
            ]
          })
        ])
      )
      const run = trace.spans.find(({ name }) => name === "invoke_workflow trip")
      assert.deepStrictEqual(run?.startTimeUnixNano, 0n)
      assert.isAtLeast(Number(run?.endTimeUnixNano), 8 * 3600e9)
    })
  )

  it.effect("has a trace of its own outside of spans, which derives from the execution", () =>
    Effect.gen(function* () {
      const { trace } = yield* withEngine(activity("plan"), trip)
      const again = yield* withEngine(activity("plan"), trip)
      Testing.expectTrace(trace).toMatchTree(span("invoke_workflow trip", [span("plan", [span("plan's work")])]))
      assert.deepStrictEqual(again.trace.spans.map(idOf), trace.spans.map(idOf))
    })
  )

  it.effect("goes on with the engine's span of a caller that did not ask quietly", () =>
    Effect.gen(function* () {
      const { trace } = yield* withEngine(activity("plan"), Trip.execute({ id: "1" }))
      Testing.expectTrace(trace).toMatchTree(
        span("trip.execute", [span("invoke_workflow trip", [span("plan", [span("plan's work")])])])
      )
    })
  )

  it.effect("numbers attempts, each a span with what it failed with", () =>
    Effect.gen(function* () {
      let attempts = 0
      const flaky = activity(
        "fly",
        Effect.suspend(() => (++attempts < 3 ? Effect.fail("storm") : Effect.void))
      )
      const patient = Effect.tapError(flaky, () => night)
      const { trace } = yield* withEngine(Activity.retry(patient, { times: 5 }), trip)
      const attempt = (number: number, status: "ok" | { readonly error: string }) =>
        span("fly", {
          status,
          attributes: { [Key.attemptNumber]: number },
          children: [span("fly's work", { status })]
        })
      Testing.expectTrace(trace).toMatchTree(
        span("invoke_workflow trip", [attempt(1, { error: "storm" }), attempt(2, { error: "storm" }), attempt(3, "ok")])
      )
      assert.deepStrictEqual(trace.problems, [])
    })
  )

  it.effect("records compensations of a workflow that failed, in its run", () =>
    Effect.gen(function* () {
      const undo = Effect.withSpan(Effect.void, "give back")
      const body = Effect.gen(function* () {
        yield* activity("book").pipe(Trip.withCompensation(() => undo))
        yield* night
        return yield* activity("fly", Effect.fail("storm"))
      })
      const { exit, trace } = yield* withEngine(body, trip)
      assert.isTrue(Exit.isFailure(exit))
      Testing.expectTrace(trace).toMatchTree(
        span("invoke_workflow trip", {
          status: { error: "storm" },
          children: [
            span("book", [span("book's work")]),
            span("fly", {
              status: { error: "storm" },
              children: [span("fly's work", { status: { error: "storm" } })]
            }),
            span("give back")
          ]
        })
      )
    })
  )

  it.effect("ends the run of a workflow that is interrupted while it waits", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const id = yield* Durable.quietly(Trip.execute({ id: "1" }, { discard: true }))
        yield* Effect.sleep("1 hour")
        yield* Durable.quietly(Trip.interrupt(id))
        yield* Effect.sleep("1 hour")
      })
      const { trace } = yield* withEngine(Effect.andThen(activity("plan"), night), program)
      Testing.expectTrace(trace).toMatchTree(
        span("invoke_workflow trip", {
          status: "unset",
          attributes: { [Key.interrupted]: true },
          children: [span("plan", [span("plan's work")])]
        })
      )
    })
  )

  it.effect("hangs the run of a workflow under the one that asked for it", () =>
    Effect.gen(function* () {
      const Hotel = Workflow.make("hotel", { payload: { id: Schema.String }, idempotencyKey: ({ id }) => id })
      const HotelLive = Durable.toLayer(Hotel, () => Effect.andThen(night, Effect.orDie(activity("bill"))))
      const { trace } = yield* withEngine(Hotel.execute({ id: "1" }), trip, HotelLive)
      Testing.expectTrace(trace).toMatchTree(
        span("invoke_workflow trip", [span("invoke_workflow hotel", [span("bill", [span("bill's work")])])])
      )
    })
  )
})

const program = fileURLToPath(new URL("programs/durable.ts", import.meta.url))

/** Runs the program, twice over one journal: left by the first in some way, and finished by the second. */
const inTwoProcesses = (leave: string) =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(join(tmpdir(), "handspan-durable-"))),
      (path) => Effect.sync(() => fs.rmSync(path, { recursive: true, force: true }))
    )
    const processOf = (task: string) => Testing.collect(program, { arguments: [join(folder, "journal.db"), task] })
    const first = yield* processOf(leave)
    const second = yield* processOf("finish")
    assert.deepStrictEqual([second.exitCode, second.stdout, second.stderr], [0, "by train, seat 7\n", ""])
    return { first, second }
  }).pipe(Effect.scoped)

const wholeTrip = span("ask", [
  span("invoke_workflow trip", {
    status: "ok",
    children: [
      span("plan", [span("think")]),
      // It was begun twice, and what was done in it until then was done twice.
      span("book", [span("search"), span("search")])
    ]
  })
])

describe("Durable over a journal in a file", () => {
  it.live("is one trace without orphans when a process is killed in the middle of a step", () =>
    Effect.gen(function* () {
      const { first, second } = yield* inTwoProcesses("die")
      assert.deepStrictEqual([first.signal, first.stdout, first.stderr], ["SIGKILL", "", ""])
      const told = (process: Testing.Collected) => spansOf(process).map(({ name }) => name)
      assert.deepStrictEqual(told(first).toSorted(), ["ask", "plan", "search", "think"])
      assert.deepStrictEqual(told(second).toSorted(), ["book", "invoke_workflow trip", "search"])
      Testing.expectTrace(union(spansOf(first, second))).toMatchTree(wholeTrip)
    })
  )

  it.live("is one trace when a process ends in order in the middle of a step, which is then pending", () =>
    Effect.gen(function* () {
      const { first, second } = yield* inTwoProcesses("leave")
      assert.deepStrictEqual([first.exitCode, first.stdout, first.stderr], [0, "left\n", ""])
      const names = spansOf(first).map(({ name }) => name)
      assert.deepStrictEqual(names.toSorted(), ["ask", "book", "plan", "search", "think"])
      const broken = spansOf(first).filter(({ name }) => name === "book")
      assert.deepStrictEqual(
        broken.map(({ attributes }) => attributes),
        [{ [Key.attemptNumber]: 1, [Key.pending]: true, [Key.interrupted]: true }]
      )
      Testing.expectTrace(union(spansOf(first, second))).toMatchTree(wholeTrip)
    })
  )
})
