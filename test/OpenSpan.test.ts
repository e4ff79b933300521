import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Option, References, Tracer } from "effect"
import { TestClock } from "effect/testing"
import { Backpressure } from "../src/Backpressure.ts"
import * as HandoffSpan from "../src/HandoffSpan.ts"
import * as Recorder from "../src/Recorder.ts"
import { recorded } from "./recorded.ts"

/** All that a tracer is told of the spans of a program. */
const told = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const calls: Array<unknown> = []
    const tracer = Tracer.make({
      span: (options) => {
        const { annotations, links, parent, ...rest } = options
        calls.push({
          ...rest,
          annotations: Array.from(annotations.mapUnsafe),
          links: links.map(({ attributes, span }) => [span.spanId, attributes]),
          parent: Option.map(parent, ({ spanId }) => spanId)
        })
        const span = Tracer.nativeTracer.span(options)
        Object.defineProperty(span, "spanId", { value: `span ${calls.length}` })
        return Object.assign(span, {
          attribute: (key: string, value: unknown) => void calls.push([options.name, key, value]),
          end: (time: bigint, exit: Exit.Exit<unknown, unknown>) =>
            void calls.push([options.name, "end", time, reasonsOf(exit)])
        })
      }
    })
    const exit = yield* Effect.exit(Effect.withTracer(program, tracer)).pipe(Effect.provide(TestClock.layer()))
    return { exit: reasonsOf(exit), calls }
  })

/** How something ended, without the stack frames that Effect notes on causes: those are what the short way leaves out. */
const reasonsOf = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isSuccess(exit)
    ? exit.value
    : exit.cause.reasons.map((reason) =>
        Cause.isFailReason(reason) ? reason.error : Cause.isDieReason(reason) ? String(reason.defect) : "interrupted"
      )

/** A span of a handoff, with nothing of its own on it. */
const lean = <A, E, R>(work: Effect.Effect<A, E, R>, name: string) =>
  HandoffSpan.withSpan<A, E, R>({
    name,
    kind: "agent",
    measure: () => undefined,
    content: () => undefined,
    input: undefined,
    spanName: name,
    factsOf: () => [],
    run: () => work,
    onEnd: () => undefined
  })

const plain = <A, E, R>(work: Effect.Effect<A, E, R>, name: string) => Effect.withSpan(work, name)

const currentName = Effect.map(
  Effect.option(Effect.currentSpan),
  Option.map(({ name }) => name)
)
const external = Tracer.externalSpan({
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  sampled: true
})

type Span = typeof plain
const programs: ReadonlyArray<[string, (span: Span) => Effect.Effect<unknown, unknown>]> = [
  ["alone", (span) => span(currentName, "a")],
  ["nested", (span) => span(span(currentName, "b"), "a")],
  ["beside plain spans", (span) => Effect.withSpan(span(Effect.withSpan(currentName, "c"), "b"), "a")],
  ["failing", (span) => span(span(Effect.fail("no"), "b"), "a")],
  ["dying", (span) => span(Effect.die("bug"), "a")],
  [
    "throwing while it is made",
    (span) =>
      span(
        Effect.suspend(() => assert.fail("bug")),
        "a"
      )
  ],
  ["taking time", (span) => span(Effect.yieldNow, "a")],
  ["below a remote parent", (span) => Effect.withParentSpan(span(currentName, "a"), external)],
  ["with annotations", (span) => Effect.annotateSpans(span(currentName, "a"), { photo: "a.jpg", size: 3 })],
  ["with links", (span) => Effect.linkSpans(span(currentName, "a"), external, { why: "test" })],
  ["below the trace level", (span) => Effect.provideService(span(currentName, "a"), Tracer.MinimumTraceLevel, "Error")],
  [
    "at a trace level of its own",
    (span) =>
      span(currentName, "a").pipe(
        Effect.provideService(Tracer.CurrentTraceLevel, "Debug"),
        Effect.provideService(Tracer.MinimumTraceLevel, "Info")
      )
  ],
  [
    "below one that does not propagate",
    (span) =>
      Effect.withSpan(
        Effect.withSpan(span(currentName, "c"), "b", { annotations: Context.make(Tracer.DisablePropagation, true) }),
        "a"
      )
  ],
  ["without timing", (span) => Effect.provideService(span(currentName, "a"), References.TracerTimingEnabled, false)],
  ["side by side", (span) => Effect.all([span(currentName, "a"), span(currentName, "b")], { concurrency: 2 })],
  ["in a fiber of its own", (span) => span(Effect.flatMap(Effect.forkChild(currentName), Fiber.join), "a")],
  [
    "interrupted",
    (span) =>
      Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(span(Effect.never, "a"))
        yield* TestClock.adjust("1 seconds")
        return yield* Fiber.interrupt(fiber)
      })
  ]
]

describe("HandoffSpan.withSpan", () => {
  it.effect.each(programs)("tells any tracer what Effect.withSpan does: %s", ([, program]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* told(program(lean)), yield* told(program(plain)))
    })
  )

  it.effect.each<[string, Effect.Effect<unknown, unknown>]>([
    ["tracing is off", Effect.withTracerEnabled(lean(currentName, "a"), false)],
    ["the trace is not sampled", Effect.withSpan(lean(lean(Effect.void, "b"), "a"), "root", { sampled: false })]
  ])("opens no span where nobody records it: %s", ([, program]) =>
    Effect.gen(function* () {
      const { spans } = yield* recorded(program)
      assert.deepStrictEqual(spans, [])
    })
  )

  it.effect("leaves the caller's ids in place for whoever is called from an unsampled trace", () =>
    Effect.gen(function* () {
      const remote = Tracer.externalSpan({ traceId: external.traceId, spanId: external.spanId, sampled: false })
      const parent = yield* Effect.withParentSpan(lean(Effect.currentParentSpan, "a"), remote)
      assert.deepStrictEqual([parent.traceId, parent.spanId, parent.sampled], [remote.traceId, remote.spanId, false])
    }).pipe(Effect.withTracer(Recorder.makeNoop()))
  )

  it.effect("ends the span also when the fiber is interrupted before its work begins", () =>
    Effect.gen(function* () {
      const { spans } = yield* recorded(Effect.exit(lean(Effect.interrupt, "a")))
      assert.deepStrictEqual(
        spans.map(({ attributes, name }) => [name, attributes["handspan.interrupted"]]),
        [["a", true]]
      )
    })
  )

  it.effect("waits for room where recording asks for it, inside of no span", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const hold = Effect.flatMap(currentName, (name) => Effect.sync(() => void seen.push(["held", name])))
      const work = Effect.sync(() => void seen.push("worked"))
      yield* Effect.provideService(lean(work, "a"), Backpressure, hold)
      assert.deepStrictEqual(seen, [["held", Option.none()], "worked"])
    })
  )

  it.effect("runs what a defect in its own work leaves to run", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(lean(Effect.die("bug"), "a"))
      assert.deepStrictEqual(reasonsOf(exit), ["bug"])
    })
  )
})
