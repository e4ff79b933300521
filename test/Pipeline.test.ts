import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Agent from "../src/Agent.ts"
import * as SpanEnd from "../src/SpanEnd.ts"
import * as Pipeline from "../src/Pipeline.ts"
import { failure, linkedNames, outline, recorded, spanNamed } from "./recorded.ts"

class Dark extends Schema.TaggedError<Dark>()("Dark", { photo: Schema.Number }) {}

const double = Agent.make("double", { run: (n: number) => Effect.succeed(n * 2) })
const increment = Agent.make("increment", { run: (n: number) => Effect.succeed(n + 1) })
const sum = Agent.make("sum", { run: (all: ReadonlyArray<number>) => Effect.succeed(all.reduce((a, b) => a + b, 0)) })
const slow = Agent.make("slow", { run: (n: number) => Effect.as(Effect.sleep("1 seconds"), n) })

/** Runs a program to its end on the test clock. */
const finished = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(recorded(program))
    yield* TestClock.adjust("10 minutes")
    return yield* Fiber.join(fiber)
  })

describe("Pipeline.make", () => {
  it.effect("records one span over all its handoffs, with name, mode and events", () =>
    Effect.gen(function* () {
      const report = Pipeline.make("report", (n: number) =>
        Effect.gen(function* () {
          const doubled = yield* double(n)
          return yield* increment(doubled)
        })
      )
      const { exit, spans } = yield* recorded(report(20))
      assert.deepStrictEqual(exit, Exit.succeed(41))
      assert.strictEqual(
        outline(spans),
        "\npipeline.report ok\n  agent_handoff.double ok\n  agent_handoff.increment ok\n"
      )
      const span = spanNamed(spans, "pipeline.report")
      assert.deepStrictEqual(span.attributes, {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "report",
        "pipeline.mode": "sequential"
      })
      assert.deepStrictEqual(
        span.events.map(({ attributes, name }) => [name, attributes]),
        [
          ["pipeline.started", {}],
          ["pipeline.completed", { "pipeline.outcome": "completed" }]
        ]
      )
      assert.strictEqual(spanNamed(spans, "agent_handoff.double").attributes["handspan.handoff.from"], "report")
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
      const outcome = (program: Effect.Effect<unknown, unknown>) =>
        Effect.map(finished(program), ({ exit, spans }) => {
          const span = spanNamed(spans, "pipeline.p")
          return {
            error: failure(exit),
            status: span.status.code,
            reason: span.attributes["termination.reason"],
            outcome: span.events.find((event) => event.name === "pipeline.completed")?.attributes["pipeline.outcome"]
          }
        })
      assert.deepStrictEqual(yield* outcome(Pipeline.make("p", () => new Dark({ photo: 1 }))()), {
        error: new Dark({ photo: 1 }),
        status: "error",
        reason: undefined,
        outcome: "failed"
      })
      assert.deepStrictEqual(yield* outcome(Effect.timeoutOption(Pipeline.make("p", () => slow(1))(), "10 millis")), {
        error: undefined,
        status: "unset",
        reason: undefined,
        outcome: "interrupted"
      })
      assert.deepStrictEqual(yield* outcome(Pipeline.make("p", () => Pipeline.terminate("no photos"))()), {
        error: new SpanEnd.Terminated({ reason: "no photos" }),
        status: "ok",
        reason: "no photos",
        outcome: "terminated"
      })
    })
  )

  it.effect("keeps plain spans OK that an early stop passes through", () =>
    Effect.gen(function* () {
      const pipeline = Pipeline.make("p", () => Effect.withSpan(Pipeline.terminate("done"), "step"))
      const { spans } = yield* recorded(pipeline())
      assert.strictEqual(outline(spans), "\npipeline.p ok\n  step ok\n")
    })
  )

  it.effect("stays OK when one of its parallel branches stops it early", () =>
    Effect.gen(function* () {
      const guard = Agent.make("guard", { run: (_: number) => Pipeline.terminate("over budget") })
      const { exit, spans } = yield* finished(Pipeline.make("p", Pipeline.parallel({ slow, guard }))(1))
      assert.deepStrictEqual(failure(exit), new SpanEnd.Terminated({ reason: "over budget" }))
      assert.strictEqual(outline(spans), "\npipeline.p ok\n  agent_handoff.slow unset\n  agent_handoff.guard ok\n")
    })
  )

  it.effect("nests in another pipeline", () =>
    Effect.gen(function* () {
      const inner = Pipeline.make("inner", Pipeline.sequence(double, increment))
      const outer = Pipeline.make("outer", Pipeline.sequence(inner, double))
      const { spans } = yield* recorded(outer(1))
      assert.strictEqual(
        outline(spans),
        "\npipeline.outer ok\n  pipeline.inner ok\n    agent_handoff.double ok\n    agent_handoff.increment ok\n" +
          "  agent_handoff.double ok\n"
      )
    })
  )
})

describe("Pipeline.parallel", () => {
  it.effect("runs all at once and keeps the shape", () =>
    Effect.gen(function* () {
      const { exit, spans } = yield* finished(
        Pipeline.make("p", (n: number) =>
          Effect.all([Pipeline.parallel({ slow, double })(n), Pipeline.parallel([slow, double])(n)])
        )(3)
      )
      assert.deepStrictEqual(exit, Exit.succeed([{ slow: 3, double: 6 }, [3, 6]]))
      assert.deepStrictEqual(
        spans.filter((span) => span.name === "agent_handoff.slow").map((span) => span.endTimeUnixNano),
        [1_000_000_000n, 2_000_000_000n]
      )
    })
  )

  it.effect("interrupts the others on the first failure", () =>
    Effect.gen(function* () {
      const failing = Agent.make("failing", { run: (photo: number) => new Dark({ photo }) })
      const { exit, spans } = yield* finished(Pipeline.make("p", Pipeline.parallel([slow, failing]))(1))
      assert.deepStrictEqual(failure(exit), new Dark({ photo: 1 }))
      assert.strictEqual(spanNamed(spans, "agent_handoff.slow").status.code, "unset")
    })
  )
})

describe("Pipeline.forEach", () => {
  it.effect("gives each item to the stage, at most so many at once, outputs in order", () =>
    Effect.gen(function* () {
      const { exit, spans } = yield* finished(Pipeline.forEach([4, 3, 2, 1], slow, { concurrency: 2 }))
      assert.deepStrictEqual(exit, Exit.succeed([4, 3, 2, 1]))
      assert.deepStrictEqual(
        spans.map((span) => Number(span.startTimeUnixNano / 1_000_000_000n)),
        [0, 0, 1, 1]
      )
    })
  )
})

describe("Pipeline.fanIn", () => {
  it.effect("links to every upstream handoff, whatever order they ended in, and keeps the pipeline as parent", () =>
    Effect.gen(function* () {
      const nap = Agent.make("nap", { run: (n: number) => Effect.as(Effect.sleep(`${n} seconds`), n) })
      const pipeline = Pipeline.make("p", (n: number) =>
        Effect.gen(function* () {
          const first = yield* double(n)
          const naps = yield* Pipeline.forEach([first, 1, 3], nap, { concurrency: 2 })
          return yield* Pipeline.fanIn(sum, naps)
        })
      )
      const { exit, spans } = yield* finished(pipeline(1))
      assert.deepStrictEqual(exit, Exit.succeed(6))
      const join = spanNamed(spans, "agent_handoff.sum")
      assert.deepStrictEqual(linkedNames(spans, join), ["agent_handoff.nap", "agent_handoff.nap", "agent_handoff.nap"])
      assert.strictEqual(new Set(join.links.map((link) => link.spanId)).size, 3)
      assert.strictEqual(join.parentSpanId, spanNamed(spans, "pipeline.p").spanId)
      assert.deepStrictEqual(spanNamed(spans, "agent_handoff.double").links, [])
    })
  )

  it.effect("links to failed branches and to the last handoff of longer ones", () =>
    Effect.gen(function* () {
      const picky = Agent.make("picky", {
        run: (n: number) => (n === 2 ? new Dark({ photo: n }) : Effect.succeed(n))
      })
      const pipeline = Pipeline.make("p", () =>
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
      const { spans } = yield* recorded(pipeline())
      assert.deepStrictEqual(linkedNames(spans, spanNamed(spans, "agent_handoff.join")), [
        "agent_handoff.increment",
        "agent_handoff.picky"
      ])
    })
  )

  it.effect("sees handoffs that ran side by side without a combinator", () =>
    Effect.gen(function* () {
      const pipeline = Pipeline.make("p", (n: number) =>
        Effect.gen(function* () {
          const both = yield* Effect.all([slow(n), double(n)], { concurrency: "unbounded" })
          return yield* Pipeline.fanIn(sum, both)
        })
      )
      const { spans } = yield* finished(pipeline(1))
      assert.deepStrictEqual(linkedNames(spans, spanNamed(spans, "agent_handoff.sum")), [
        "agent_handoff.double",
        "agent_handoff.slow"
      ])
    })
  )

  it.effect("links once: not the handoffs after the join, nor those inside of it", () =>
    Effect.gen(function* () {
      const chief = Agent.make("chief", { run: (all: ReadonlyArray<number>) => sum(all) })
      const pipeline = Pipeline.make(
        "p",
        Pipeline.sequence(Pipeline.parallel([double, increment]), Pipeline.fanIn(chief), double)
      )
      const { spans } = yield* recorded(pipeline(1))
      assert.deepStrictEqual(
        spans.map((span) => [span.name, span.links.length]),
        [
          ["agent_handoff.double", 0],
          ["agent_handoff.increment", 0],
          ["agent_handoff.sum", 0],
          ["agent_handoff.chief", 2],
          ["agent_handoff.double", 0],
          ["pipeline.p", 0]
        ]
      )
    })
  )

  it.effect("joins in every branch of a fork, and not in what comes after it", () =>
    Effect.gen(function* () {
      const pipeline = Pipeline.make("p", (n: number) =>
        Effect.gen(function* () {
          yield* Pipeline.parallel([double, increment])(n)
          const both = yield* Pipeline.fanIn(Pipeline.parallel([slow, double]), n)
          yield* slow(n)
          return yield* Pipeline.fanIn((all: ReadonlyArray<number>) => Effect.succeed(all.length), both)
        })
      )
      const { spans } = yield* finished(Effect.andThen(pipeline(1), () => slow(2)))
      assert.deepStrictEqual(
        spans.map((span) => [span.name, linkedNames(spans, span)]),
        [
          ["agent_handoff.double", []],
          ["agent_handoff.increment", []],
          ["agent_handoff.double", ["agent_handoff.double", "agent_handoff.increment"]],
          ["agent_handoff.slow", ["agent_handoff.double", "agent_handoff.increment"]],
          ["agent_handoff.slow", []],
          ["pipeline.p", []],
          ["agent_handoff.slow", []]
        ]
      )
    })
  )

  it.effect("keeps its links to itself when other handoffs run beside it", () =>
    Effect.gen(function* () {
      const pipeline = Pipeline.make("p", (n: number) =>
        Effect.gen(function* () {
          yield* Pipeline.parallel([double, increment])(n)
          const late = (inputs: ReadonlyArray<number>) => Effect.delay(sum(inputs), "500 millis")
          const beside = yield* Effect.all([Pipeline.fanIn(late, [1, 2]), slow(n)], { concurrency: "unbounded" })
          return yield* Pipeline.fanIn(sum, beside)
        })
      )
      const { spans } = yield* finished(pipeline(1))
      assert.deepStrictEqual(
        spans.slice(2).map((span) => [span.name, linkedNames(spans, span).toSorted()]),
        [
          ["agent_handoff.sum", ["agent_handoff.double", "agent_handoff.increment"]],
          ["agent_handoff.slow", []],
          ["agent_handoff.sum", ["agent_handoff.slow", "agent_handoff.sum"]],
          ["pipeline.p", []]
        ]
      )
    })
  )

  it.effect("links to the winner of a race alone", () =>
    Effect.gen(function* () {
      const pipeline = Pipeline.make("p", Pipeline.sequence(Pipeline.race(slow, double), Pipeline.fanIn(increment)))
      const { spans } = yield* finished(pipeline(1))
      assert.deepStrictEqual(linkedNames(spans, spanNamed(spans, "agent_handoff.increment")), ["agent_handoff.double"])
    })
  )

  it.effect("links to a winner that took its time, and past one without handoffs", () =>
    Effect.gen(function* () {
      const quick = (n: number) => Effect.delay(Effect.succeed(n), "10 millis")
      const stuck = Pipeline.sequence(increment, () => Effect.never)
      const linksOf = (winner: (n: number) => Effect.Effect<number>) =>
        Effect.map(
          finished(
            Pipeline.make("p", Pipeline.sequence(double, Pipeline.race(stuck, winner), Pipeline.fanIn(slow)))(1)
          ),
          ({ spans }) => linkedNames(spans, spanNamed(spans, "agent_handoff.slow"))
        )
      const triple = Agent.make("triple", { run: (n: number) => Effect.succeed(n * 3) })
      assert.deepStrictEqual(yield* linksOf(Pipeline.sequence(quick, triple)), ["agent_handoff.triple"])
      assert.deepStrictEqual(yield* linksOf(quick), ["agent_handoff.double"])
    })
  )

  it.effect("has nothing to link to, and no trouble, outside of a pipeline", () =>
    Effect.gen(function* () {
      const { exit, spans } = yield* recorded(Pipeline.fanIn(sum, [1, 2]))
      assert.deepStrictEqual(exit, Exit.succeed(3))
      assert.deepStrictEqual(spans[0]?.links, [])
    })
  )
})

describe("Pipeline.route", () => {
  it.effect("runs the chosen branch alone and tells the decision on the spans", () =>
    Effect.gen(function* () {
      const pipeline = Pipeline.make(
        "p",
        Pipeline.route((n: number) => (n > 10 ? "double" : "increment"), { double, increment })
      )
      const { exit, spans } = yield* recorded(pipeline(11))
      assert.deepStrictEqual(exit, Exit.succeed(22))
      assert.deepStrictEqual(
        spans.map((span) => [span.name, span.attributes["handspan.route.decision"]]),
        [
          ["agent_handoff.double", "double"],
          ["pipeline.p", "double"]
        ]
      )
    })
  )

  it.effect("dies with the names of the branches where the choice is none of them, and ends its span", () =>
    Effect.gen(function* () {
      for (const decision of ["toString", "other"]) {
        const pipeline = Pipeline.make(
          "p",
          Pipeline.route((_: number) => decision as "double", { double, increment })
        )
        const { spans } = yield* recorded(pipeline(1))
        assert.deepStrictEqual(
          spans.map(({ status }) => status),
          [{ code: "error", message: `Cannot route to "${decision}": the branches are double, increment` }]
        )
      }
    })
  )

  it.effect("takes an agent for the choice", () =>
    Effect.gen(function* () {
      const router = Agent.make("router", {
        run: (n: number) => Effect.succeed(n > 10 ? ("double" as const) : ("increment" as const))
      })
      const { exit, spans } = yield* recorded(Pipeline.make("p", Pipeline.route(router, { double, increment }))(1))
      assert.deepStrictEqual(exit, Exit.succeed(2))
      assert.strictEqual(outline(spans), "\npipeline.p ok\n  agent_handoff.router ok\n  agent_handoff.increment ok\n")
    })
  )
})

describe("Pipeline.loop", () => {
  it.effect("goes on until it is done and numbers the rounds on the spans", () =>
    Effect.gen(function* () {
      const { exit, spans } = yield* recorded(Pipeline.loop(double, { until: (n) => n >= 8, maxIterations: 5 })(1))
      assert.deepStrictEqual(exit, Exit.succeed(8))
      assert.deepStrictEqual(
        spans.map((span) => span.attributes["handspan.loop.iteration"]),
        [1, 2, 3]
      )
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
      const { exit, spans } = yield* finished(Pipeline.make("p", Pipeline.race(slow, double))(2))
      assert.deepStrictEqual(exit, Exit.succeed(4))
      assert.strictEqual(outline(spans), "\npipeline.p ok\n  agent_handoff.slow unset\n  agent_handoff.double ok\n")
    })
  )
})

describe("Pipeline.stream", () => {
  it.effect("emits the output of each handoff as it ends, then that of the whole", () =>
    Effect.gen(function* () {
      const chief = Agent.make("chief", { run: (n: number) => double(n) })
      const pipeline = Pipeline.make("p", Pipeline.sequence(increment, chief))
      const { exit } = yield* recorded(Stream.runCollect(Pipeline.stream(pipeline, 1)))
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
      const pipeline = Pipeline.make("p", (n: number) => Effect.andThen(double(n), () => Effect.never))
      const first = yield* Stream.runCollect(Stream.take(Pipeline.stream(pipeline, 1), 1))
      assert.deepStrictEqual(first, [{ _tag: "HandoffOutput", agent: "double", from: "p", output: 2 }])
    })
  )

  it.effect("fails with the pipeline, after the outputs before", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const pipeline = Pipeline.make("p", (n: number) => Effect.andThen(double(n), () => new Dark({ photo: n })))
      const error = yield* Effect.flip(
        Stream.runForEach(Pipeline.stream(pipeline, 1), (element) => Effect.sync(() => seen.push(element.output)))
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
      const { spans } = yield* recorded(outer(1))
      assert.deepStrictEqual(linkedNames(spans, spanNamed(spans, "agent_handoff.increment")), ["pipeline.inner"])
    })
  )

  it.effect("keeps its handoffs under the span that was current", () =>
    Effect.gen(function* () {
      const pipeline = Pipeline.make("p", double)
      const { spans } = yield* recorded(Stream.runDrain(Pipeline.stream(pipeline, 1)).pipe(Effect.withSpan("request")))
      assert.strictEqual(outline(spans), "\nrequest ok\n  pipeline.p ok\n    agent_handoff.double ok\n")
    })
  )
})

describe("Pipeline", () => {
  it.effect("forms one trace out of many branches at scale", () =>
    Effect.gen(function* () {
      const pipeline = Pipeline.make("p", (n: number) =>
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
      const { spans } = yield* recorded(pipeline(5000), { limits: { links: 10_000 } })
      assert.strictEqual(spans.length, 5002)
      assert.strictEqual(new Set(spans.map((span) => span.traceId)).size, 1)
      assert.strictEqual(spanNamed(spans, "agent_handoff.sum").links.length, 5000)
    })
  )
})
