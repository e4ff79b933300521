import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option, Schema, Stream } from "effect"
import * as Agent from "../src/Agent.ts"
import * as Memory from "../src/exporter/Memory.ts"
import * as SpanEnd from "../src/SpanEnd.ts"
import * as Pipeline from "../src/Pipeline.ts"
import * as Testing from "../src/Testing.ts"
import * as TraceTree from "../src/TraceTree.ts"
import * as Tracing from "../src/Tracing.ts"

const { Tree, expectTrace } = Testing
const { handoff, pipeline, span } = Tree

class Dark extends Schema.TaggedError<Dark>()("Dark", { photo: Schema.Number }) {}

const double = Agent.make("double", { run: (n: number) => Effect.succeed(n * 2) })
const increment = Agent.make("increment", { run: (n: number) => Effect.succeed(n + 1) })
const sum = Agent.make("sum", { run: (all: ReadonlyArray<number>) => Effect.succeed(all.reduce((a, b) => a + b, 0)) })
const slow = Agent.make("slow", { run: (n: number) => Effect.as(Effect.sleep("1 seconds"), n) })

/** Records a program whose agents take their time. */
const finished = <A, E, R>(program: Effect.Effect<A, E, R>) => Testing.record(program, { advance: "10 minutes" })

/** Expects a span that ended well, not only without an error. */
const ok = (...children: ReadonlyArray<Testing.Tree.Expected>) => ({ status: "ok", children }) as const

describe("Pipeline.make", () => {
  it.effect("records one span over all its handoffs, with name, mode and events", () =>
    Effect.gen(function* () {
      const report = Pipeline.make("report", (n: number) =>
        Effect.gen(function* () {
          const doubled = yield* double(n)
          return yield* increment(doubled)
        })
      )
      const { exit, trace } = yield* Testing.record(report(20))
      assert.deepStrictEqual(exit, Exit.succeed(41))
      expectTrace(trace)
        .toMatchTree(
          pipeline("report", {
            ...ok(handoff("double", ok()), handoff("increment", ok())),
            attributes: Tree.only({
              "gen_ai.operation.name": "invoke_workflow",
              "gen_ai.workflow.name": "report",
              "pipeline.mode": "sequential"
            }),
            events: [
              { name: "pipeline.started", attributes: Tree.only({}) },
              { name: "pipeline.completed", attributes: Tree.only({ "pipeline.outcome": "completed" }) }
            ]
          })
        )
        .toHaveHandoff("report", "double")
    })
  )

  it.effect("takes its mode from the combinator it is made of, unless one is given", () =>
    Effect.sync(() => {
      const modes = [
        Pipeline.make("a", Pipeline.sequence(double, double)),
        Pipeline.make("b", Pipeline.parallel({ double })),
        Pipeline.make("c", Pipeline.forEach(double, { concurrency: 2 })),
        Pipeline.make("d", Pipeline.forEach(double)),
        Pipeline.make(
          "e",
          Pipeline.route((_: number) => "double", { double })
        ),
        Pipeline.make("f", Pipeline.loop(double, { until: () => true, maxIterations: 1 })),
        Pipeline.make("g", Pipeline.race(double, increment)),
        Pipeline.make("h", (n: number) => double(n)),
        Pipeline.make("i", (n: number) => double(n), { mode: "parallel" })
      ].map(({ mode, name }) => `${name} ${mode}`)
      assert.deepStrictEqual(modes, [
        "a sequential",
        "b parallel",
        "c parallel",
        "d sequential",
        "e routed",
        "f looped",
        "g raced",
        "h sequential",
        "i parallel"
      ])
    })
  )

  it.effect("tells on its span how it ended: failed, interrupted or terminated", () =>
    Effect.gen(function* () {
      const ended = (outcome: string, details: Testing.Tree.Expectations) =>
        pipeline("p", {
          ...details,
          attributes: { "termination.reason": Tree.absent, ...details.attributes },
          events: Tree.contains({ name: "pipeline.completed", attributes: { "pipeline.outcome": outcome } })
        })

      const failed = yield* finished(Pipeline.make("p", () => new Dark({ photo: 1 }))())
      assert.deepStrictEqual(Exit.findErrorOption(failed.exit), Option.some(new Dark({ photo: 1 })))
      expectTrace(failed.trace).toMatchTree(ended("failed", { status: "error" }))

      const late = yield* finished(Effect.timeoutOption(Pipeline.make("p", () => slow(1))(), "10 millis"))
      assert.deepStrictEqual(late.exit, Exit.succeed(Option.none()))
      expectTrace(late.trace).toMatchTree(ended("interrupted", { status: "unset", children: [handoff("slow")] }))

      const stopped = yield* finished(Pipeline.make("p", () => Pipeline.terminate("no photos"))())
      assert.deepStrictEqual(
        Exit.findErrorOption(stopped.exit),
        Option.some(new SpanEnd.Terminated({ reason: "no photos" }))
      )
      expectTrace(stopped.trace).toMatchTree(
        ended("terminated", { status: "ok", attributes: { "termination.reason": "no photos" } })
      )
    })
  )

  it.effect("keeps plain spans OK that an early stop passes through", () =>
    Effect.gen(function* () {
      const stopping = Pipeline.make("p", () => Effect.withSpan(Pipeline.terminate("done"), "step"))
      const { trace } = yield* Testing.record(stopping())
      expectTrace(trace).toMatchTree(pipeline("p", ok(span("step", ok()))))
    })
  )

  it.effect("stays OK when one of its parallel branches stops it early", () =>
    Effect.gen(function* () {
      const guard = Agent.make("guard", { run: (_: number) => Pipeline.terminate("over budget") })
      const { exit, trace } = yield* finished(Pipeline.make("p", Pipeline.parallel({ slow, guard }))(1))
      assert.deepStrictEqual(Exit.findErrorOption(exit), Option.some(new SpanEnd.Terminated({ reason: "over budget" })))
      expectTrace(trace).toMatchTree(pipeline("p", ok(handoff("slow", { status: "unset" }), handoff("guard", ok()))))
    })
  )

  it.effect("nests in another pipeline", () =>
    Effect.gen(function* () {
      const inner = Pipeline.make("inner", Pipeline.sequence(double, increment))
      const outer = Pipeline.make("outer", Pipeline.sequence(inner, double))
      const { trace } = yield* Testing.record(outer(1))
      expectTrace(trace).toMatchTree(
        pipeline(
          "outer",
          ok(pipeline("inner", ok(handoff("double", ok()), handoff("increment", ok()))), handoff("double", ok()))
        )
      )
    })
  )
})

describe("Pipeline.parallel", () => {
  it.effect("runs all at once and keeps the shape", () =>
    Effect.gen(function* () {
      const { exit, trace } = yield* finished(
        Pipeline.make("p", (n: number) =>
          Effect.all([Pipeline.parallel({ slow, double })(n), Pipeline.parallel([slow, double])(n)])
        )(3)
      )
      assert.deepStrictEqual(exit, Exit.succeed([{ slow: 3, double: 6 }, [3, 6]]))
      assert.deepStrictEqual(
        Testing.spansNamed(trace, "slow").map(({ endTimeUnixNano }) => endTimeUnixNano),
        [1_000_000_000n, 2_000_000_000n]
      )
    })
  )

  it.effect("interrupts the others on the first failure", () =>
    Effect.gen(function* () {
      const failing = Agent.make("failing", { run: (photo: number) => new Dark({ photo }) })
      const { exit, trace } = yield* finished(Pipeline.make("p", Pipeline.parallel([slow, failing]))(1))
      assert.deepStrictEqual(Exit.findErrorOption(exit), Option.some(new Dark({ photo: 1 })))
      expectTrace(trace).toMatchTree(
        pipeline("p", {
          status: "error",
          children: [handoff("slow", { status: "unset" }), handoff("failing", { status: "error" })]
        })
      )
    })
  )
})

describe("Pipeline.forEach", () => {
  it.effect("gives each item to the stage, at most so many at once, outputs in order", () =>
    Effect.gen(function* () {
      const { exit, traces } = yield* finished(Pipeline.forEach([4, 3, 2, 1], slow, { concurrency: 2 }))
      assert.deepStrictEqual(exit, Exit.succeed([4, 3, 2, 1]))
      assert.deepStrictEqual(
        traces.map(({ startTimeUnixNano }) => startTimeUnixNano),
        [0n, 0n, 1_000_000_000n, 1_000_000_000n]
      )
    })
  )
})

describe("Pipeline.fanIn", () => {
  it.effect("links to every upstream handoff, whatever order they ended in, and keeps the pipeline as parent", () =>
    Effect.gen(function* () {
      const nap = Agent.make("nap", { run: (n: number) => Effect.as(Effect.sleep(`${n} seconds`), n) })
      const program = Pipeline.make("p", (n: number) =>
        Effect.gen(function* () {
          const first = yield* double(n)
          const naps = yield* Pipeline.forEach([first, 1, 3], nap, { concurrency: 2 })
          return yield* Pipeline.fanIn(sum, naps)
        })
      )
      const { exit, trace } = yield* finished(program(1))
      assert.deepStrictEqual(exit, Exit.succeed(6))
      expectTrace(trace).toMatchTree(
        pipeline("p", [
          handoff("double", { links: [] }),
          handoff("nap"),
          handoff("nap"),
          handoff("nap"),
          handoff("sum", { links: ["nap", "nap", "nap"] })
        ])
      )
      const [join] = Testing.spansNamed(trace, "sum")
      assert.strictEqual(new Set(join?.links.map((link) => link.spanId)).size, 3)
    })
  )

  it.effect("links to failed branches and to the last handoff of longer ones", () =>
    Effect.gen(function* () {
      const picky = Agent.make("picky", {
        run: (n: number) => (n === 2 ? new Dark({ photo: n }) : Effect.succeed(n))
      })
      const program = Pipeline.make("p", () =>
        Effect.gen(function* () {
          const results = yield* Pipeline.forEach([1, 2], (n) => Effect.result(Effect.flatMap(picky(n), increment)), {
            concurrency: "unbounded"
          })
          return yield* Pipeline.fanIn(
            Agent.make("join", { run: (all: typeof results) => Effect.succeed(all.length) }),
            results
          )
        })
      )
      const { trace } = yield* Testing.record(program())
      expectTrace(trace).toFanIn("join", ["increment", "picky"])
    })
  )

  it.effect("sees handoffs that ran side by side without a combinator", () =>
    Effect.gen(function* () {
      const program = Pipeline.make("p", (n: number) =>
        Effect.gen(function* () {
          const both = yield* Effect.all([slow(n), double(n)], { concurrency: "unbounded" })
          return yield* Pipeline.fanIn(sum, both)
        })
      )
      const { trace } = yield* finished(program(1))
      expectTrace(trace).toFanIn("sum", ["slow", "double"])
    })
  )

  it.effect("links once: not the handoffs after the join, nor those inside of it", () =>
    Effect.gen(function* () {
      const chief = Agent.make("chief", { run: (all: ReadonlyArray<number>) => sum(all) })
      const program = Pipeline.make(
        "p",
        Pipeline.sequence(
          Pipeline.parallel([double, increment]),
          Pipeline.fanIn(Pipeline.sequence(chief, increment)),
          double
        )
      )
      const { trace } = yield* Testing.record(program(1))
      expectTrace(trace).toMatchTree(
        pipeline("p", {
          links: [],
          children: [
            handoff("double", { links: [] }),
            handoff("increment", { links: [] }),
            handoff("chief", { links: ["double", "increment"], children: [handoff("sum", { links: [] })] }),
            handoff("increment", { links: [] }),
            handoff("double", { links: [] })
          ]
        })
      )
    })
  )

  it.effect("joins in every branch of a fork, and not in what comes after it", () =>
    Effect.gen(function* () {
      const program = Pipeline.make("p", (n: number) =>
        Effect.gen(function* () {
          yield* Pipeline.parallel([double, increment])(n)
          const total = yield* Pipeline.fanIn(Pipeline.sequence(Pipeline.parallel([slow, double]), sum), n)
          yield* slow(n)
          return yield* Pipeline.fanIn((given: number) => Effect.succeed(given), total)
        })
      )
      const { traces } = yield* finished(Effect.andThen(program(1), () => slow(2)))
      const unlinked = (agent: string) => handoff(agent, { links: [] })
      const joining = (agent: string) => handoff(agent, { links: ["double", "increment"] })
      assert.strictEqual(traces.length, 2)
      expectTrace(traces[0]!).toMatchTree(
        pipeline("p", {
          links: [],
          children: [
            unlinked("double"),
            unlinked("increment"),
            joining("slow"),
            joining("double"),
            unlinked("sum"),
            unlinked("slow")
          ]
        })
      )
      expectTrace(traces[1]!).toMatchTree(unlinked("slow"))
    })
  )

  it.effect("keeps its links to itself when other handoffs run beside it", () =>
    Effect.gen(function* () {
      const program = Pipeline.make("p", (n: number) =>
        Effect.gen(function* () {
          yield* Pipeline.parallel([double, increment])(n)
          const late = (inputs: ReadonlyArray<number>) => Effect.delay(sum(inputs), "500 millis")
          const beside = yield* Effect.all([Pipeline.fanIn(late, [1, 2]), slow(n)], { concurrency: "unbounded" })
          return yield* Pipeline.fanIn(sum, beside)
        })
      )
      const { trace } = yield* finished(program(1))
      expectTrace(trace).toMatchTree(
        pipeline("p", {
          links: [],
          children: [
            handoff("double"),
            handoff("increment"),
            handoff("sum", { links: Tree.anyOrder("double", "increment") }),
            handoff("slow", { links: [] }),
            handoff("sum", { links: Tree.anyOrder("slow", "sum") })
          ]
        })
      )
    })
  )

  it.effect("links to the winner of a race alone", () =>
    Effect.gen(function* () {
      const program = Pipeline.make("p", Pipeline.sequence(Pipeline.race(slow, double), Pipeline.fanIn(increment)))
      const { trace } = yield* finished(program(1))
      expectTrace(trace).toFanIn("increment", ["double"])
    })
  )

  it.effect("links to a winner that took its time, and past one without handoffs", () =>
    Effect.gen(function* () {
      const quick = (n: number) => Effect.delay(Effect.succeed(n), "10 millis")
      const stuck = Pipeline.sequence(increment, () => Effect.never)
      const won = (winner: (n: number) => Effect.Effect<number>) =>
        finished(Pipeline.make("p", Pipeline.sequence(double, Pipeline.race(stuck, winner), Pipeline.fanIn(slow)))(1))
      const triple = Agent.make("triple", { run: (n: number) => Effect.succeed(n * 3) })
      expectTrace((yield* won(Pipeline.sequence(quick, triple))).trace).toFanIn("slow", ["triple"])
      expectTrace((yield* won(quick)).trace).toFanIn("slow", ["double"])
    })
  )

  it.effect("has nothing to link to, and no trouble, outside of a pipeline", () =>
    Effect.gen(function* () {
      const { exit, trace } = yield* Testing.record(Pipeline.fanIn(sum, [1, 2]))
      assert.deepStrictEqual(exit, Exit.succeed(3))
      expectTrace(trace).toMatchTree(handoff("sum", { links: [] }))
    })
  )
})

describe("Pipeline.route", () => {
  it.effect("runs the chosen branch alone and tells the decision on the spans", () =>
    Effect.gen(function* () {
      const program = Pipeline.make(
        "p",
        Pipeline.route((n: number) => (n > 10 ? "double" : "increment"), { double, increment })
      )
      const { exit, trace } = yield* Testing.record(program(11))
      assert.deepStrictEqual(exit, Exit.succeed(22))
      const attributes = { "handspan.route.decision": "double" }
      expectTrace(trace).toMatchTree(pipeline("p", { attributes, children: [handoff("double", { attributes })] }))
    })
  )

  it.effect("dies with the names of the branches where the choice is none of them, and ends its span", () =>
    Effect.gen(function* () {
      for (const decision of ["toString", "other"]) {
        const program = Pipeline.make(
          "p",
          Pipeline.route((_: number) => decision as "double", { double, increment })
        )
        const { trace } = yield* Testing.record(program(1))
        expectTrace(trace).toMatchTree(
          pipeline("p", { status: { error: `Cannot route to "${decision}": the branches are double, increment` } })
        )
      }
    })
  )

  it.effect("takes an agent for the choice", () =>
    Effect.gen(function* () {
      const router = Agent.make("router", {
        run: (n: number) => Effect.succeed(n > 10 ? ("double" as const) : ("increment" as const))
      })
      const { exit, trace } = yield* Testing.record(
        Pipeline.make("p", Pipeline.route(router, { double, increment }))(1)
      )
      assert.deepStrictEqual(exit, Exit.succeed(2))
      expectTrace(trace).toMatchTree(pipeline("p", ok(handoff("router", ok()), handoff("increment", ok()))))
    })
  )
})

describe("Pipeline.loop", () => {
  it.effect("goes on until it is done and numbers the rounds on the spans", () =>
    Effect.gen(function* () {
      const rounds = Pipeline.loop(double, { until: (n) => n >= 8, maxIterations: 5 })
      const { exit, trace } = yield* Testing.record(Effect.withSpan(rounds(1), "around"))
      assert.deepStrictEqual(exit, Exit.succeed(8))
      const round = (n: number) => handoff("double", { attributes: { "handspan.loop.iteration": n } })
      expectTrace(trace).toMatchTree(span("around", [round(1), round(2), round(3)]))
    })
  )

  it.effect("fails typed at its bound, with what it has", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Pipeline.loop(double, { until: () => false, maxIterations: 3 })(1))
      assert.deepStrictEqual([error.maxIterations, error.last], [3, 8])
    })
  )

  it.effect("does not grow the stack", () =>
    Effect.gen(function* () {
      const count = Pipeline.loop((n: number) => Effect.succeed(n + 1), {
        until: (n) => n === 100_000,
        maxIterations: 1e6
      })
      assert.strictEqual(yield* count(0), 100_000)
    })
  )
})

describe("Pipeline.race", () => {
  it.effect("takes the first output and interrupts the others, which are not failed", () =>
    Effect.gen(function* () {
      const { exit, trace } = yield* finished(Pipeline.make("p", Pipeline.race(slow, double))(2))
      assert.deepStrictEqual(exit, Exit.succeed(4))
      expectTrace(trace).toMatchTree(pipeline("p", ok(handoff("slow", { status: "unset" }), handoff("double", ok()))))
    })
  )
})

describe("Pipeline.stream", () => {
  it.effect("emits the output of each handoff as it ends, then that of the whole", () =>
    Effect.gen(function* () {
      const chief = Agent.make("chief", { run: (n: number) => double(n) })
      const program = Pipeline.make("p", Pipeline.sequence(increment, chief))
      const { exit } = yield* Testing.record(Stream.runCollect(Pipeline.stream(program, 1)))
      assert.deepStrictEqual(Exit.isSuccess(exit) ? exit.value : undefined, [
        { _tag: "HandoffOutput", agent: "increment", from: "p", output: 2 },
        { _tag: "HandoffOutput", agent: "double", from: "chief", output: 4 },
        { _tag: "HandoffOutput", agent: "chief", from: "p", output: 4 },
        { _tag: "PipelineCompleted", pipeline: "p", output: 4 }
      ])
    })
  )

  it.effect("emits before the pipeline has ended", () =>
    Effect.gen(function* () {
      const program = Pipeline.make("p", (n: number) => Effect.andThen(double(n), () => Effect.never))
      const first = yield* Stream.runCollect(Stream.take(Pipeline.stream(program, 1), 1))
      assert.deepStrictEqual(first, [{ _tag: "HandoffOutput", agent: "double", from: "p", output: 2 }])
    })
  )

  it.effect("fails with the pipeline, after the outputs before", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const program = Pipeline.make("p", (n: number) => Effect.andThen(double(n), () => new Dark({ photo: n })))
      const error = yield* Effect.flip(
        Stream.runForEach(Pipeline.stream(program, 1), (element) => Effect.sync(() => seen.push(element.output)))
      )
      assert.deepStrictEqual(error, new Dark({ photo: 1 }))
      assert.deepStrictEqual(seen, [2])
    })
  )

  it.effect("leaves its handoffs upstream of what comes next", () =>
    Effect.gen(function* () {
      const inner = Pipeline.make("inner", double)
      const outer = Pipeline.make("outer", (n: number) =>
        Effect.andThen(Stream.runDrain(Pipeline.stream(inner, n)), () => Pipeline.fanIn(increment, n))
      )
      const { trace } = yield* Testing.record(outer(1))
      expectTrace(trace).toFanIn("increment", ["inner"])
    })
  )

  it.effect("keeps its handoffs under the span that was current", () =>
    Effect.gen(function* () {
      const program = Stream.runDrain(Pipeline.stream(Pipeline.make("p", double), 1))
      const { trace } = yield* Testing.record(Effect.withSpan(program, "request"))
      expectTrace(trace).toMatchTree(span("request", ok(pipeline("p", ok(handoff("double", ok()))))))
    })
  )
})

describe("Pipeline", () => {
  it.effect("forms one trace out of many branches at scale", () =>
    Effect.gen(function* () {
      const program = Pipeline.make("p", (n: number) =>
        Effect.gen(function* () {
          const outputs = yield* Pipeline.forEach(
            Array.from({ length: n }, (_, i) => i),
            double,
            {
              concurrency: "unbounded"
            }
          )
          return yield* Pipeline.fanIn(sum, outputs)
        })
      )
      // Under a layer that keeps as many links: the kit's keeps 128.
      const { exporter, spans } = Memory.make()
      yield* Effect.provide(program(5000), Tracing.layer({ exporters: [exporter], spanLinkCount: 10_000 }))
      const [trace, ...others] = TraceTree.fromSpans(yield* spans.all)
      assert.deepStrictEqual([trace?.spans.length, others], [5002, []])
      assert.deepStrictEqual(
        Testing.fannedIn(trace!, "sum"),
        Array.from({ length: 5000 }, () => "double")
      )
    })
  )
})
