import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option, Schema } from "effect"
import * as Agent from "../src/Agent.ts"
import * as Memory from "../src/exporter/Memory.ts"
import * as SpanEnd from "../src/SpanEnd.ts"
import * as Testing from "../src/Testing.ts"
import * as Tracing from "../src/Tracing.ts"

const { Tree, expectTrace } = Testing
const { handoff } = Tree

const Photo = Schema.Struct({ path: Schema.NonEmptyString, size: Schema.Number })

class VisionError extends Schema.TaggedError<VisionError>()("VisionError", { message: Schema.String }) {}

describe("Agent.make", () => {
  it.effect("records a handoff with the name and attributes that always stand on it", () =>
    Effect.gen(function* () {
      const analyzer = Agent.make("vision_analyzer", {
        handoffType: "vision_analysis",
        model: "pixel-1",
        run: function analyse(path: string) {
          return Effect.as(Effect.sleep("20 millis"), path.length)
        }
      })
      const { exit, trace } = yield* Testing.record(analyzer("a.jpg"), { advance: "20 millis" })
      assert.deepStrictEqual(exit, Exit.succeed(5))
      assert.deepStrictEqual(trace.spans, [
        {
          traceId: trace.traceId,
          spanId: trace.spans[0]!.spanId,
          parentSpanId: undefined,
          parentIsRemote: false,
          flags: 3,
          traceState: "",
          name: "agent_handoff.vision_analyzer",
          kind: "internal",
          startTimeUnixNano: 0n,
          endTimeUnixNano: 20_000_000n,
          attributes: {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "vision_analyzer",
            agent: "vision_analyzer",
            handoff_type: "vision_analysis",
            "function.name": "analyse",
            "handspan.agent.kind": "llm",
            "handspan.handoff.from": "root",
            "handspan.handoff.to": "vision_analyzer",
            "handspan.handoff.attempts": 1,
            "gen_ai.request.model": "pixel-1"
          },
          events: [],
          links: [],
          status: { code: "ok" },
          droppedAttributesCount: 0,
          droppedEventsCount: 0,
          droppedLinksCount: 0,
          resource: { attributes: { "service.name": "test" } },
          scope: { name: "handspan", version: "" }
        }
      ])
    })
  )

  it.effect("derives the kind from model and tools unless it is given", () =>
    Effect.sync(() => {
      const run = () => Effect.void
      assert.deepStrictEqual(
        [
          Agent.make("a", { run }).kind,
          Agent.make("a", { run, tools: ["search"] }).kind,
          Agent.make("a", { run, tools: ["search"], model: "gpt-5" }).kind,
          Agent.make("a", { run, tools: [] }).kind,
          Agent.make("a", { run, model: "gpt-5", kind: "service" }).kind
        ],
        ["service", "tool", "llm", "service", "service"]
      )
    })
  )

  it.effect("says who handed off when an agent calls another", () =>
    Effect.gen(function* () {
      const clerk = Agent.make("clerk", { run: () => Effect.succeed("filed") })
      const chief = Agent.make("chief", { run: () => Effect.withSpan(clerk(), "desk") })
      const { trace } = yield* Testing.record(chief())
      expectTrace(trace).toHaveHandoff("root", "chief").toHaveHandoff("chief", "clerk")
      assert.deepStrictEqual(Testing.renderTree(trace).split("\n"), [
        "agent_handoff.chief ✓",
        "└─ desk ✓",
        "   └─ agent_handoff.clerk ✓"
      ])
    })
  )

  it.effect("fails typed on a bad input, before run, and names agent and field", () =>
    Effect.gen(function* () {
      let ran = false
      const analyzer = Agent.make("vision_analyzer", {
        input: Photo,
        run: () => Effect.sync(() => (ran = true))
      })
      const { exit, trace } = yield* Testing.record(Effect.flip(analyzer({ path: "", size: "secret" } as never)))
      assert.isFalse(ran)
      assert.isTrue(Exit.isSuccess(exit) && exit.value instanceof Agent.HandoffMismatch)
      const mismatch = (exit as Exit.Success<Agent.HandoffMismatch>).value
      assert.deepStrictEqual(
        { agent: mismatch.agent, side: mismatch.side, field: mismatch.field, message: mismatch.message },
        {
          agent: "vision_analyzer",
          side: "input",
          field: "path",
          message:
            'Cannot hand off to "vision_analyzer": input field "path": Expected a value with a length of at least 1\n' +
            'Cannot hand off to "vision_analyzer": input field "size": Expected number'
        }
      )
      expectTrace(trace).toMatchTree(
        handoff("vision_analyzer", {
          status: { error: mismatch.message },
          attributes: {
            "error.type": "HandoffMismatch",
            "handspan.mismatch.side": "input",
            "handspan.mismatch.field": "path"
          }
        })
      )
    })
  )

  it.effect("fails typed on an output that does not match its Schema", () =>
    Effect.gen(function* () {
      const analyzer = Agent.make("analyzer", {
        output: Schema.Struct({ scores: Schema.Array(Schema.Number) }),
        run: () => Effect.succeed({ scores: [1, "high" as never] })
      })
      const mismatch = yield* Effect.flip(analyzer())
      assert.strictEqual(
        mismatch.message,
        'Cannot hand back from "analyzer": output field "scores[1]": Expected number'
      )
    })
  )

  it.effect("tells a few of many problems, and how many more there are", () =>
    Effect.gen(function* () {
      const reader = Agent.make("reader", { input: Schema.Array(Schema.Number), run: () => Effect.void })
      const mismatch = yield* Effect.flip(reader(Array.from({ length: 1000 }, () => "a" as never)))
      assert.deepStrictEqual(mismatch.message.split("\n"), [
        'Cannot hand off to "reader": input field "[0]": Expected number',
        'Cannot hand off to "reader": input field "[1]": Expected number',
        'Cannot hand off to "reader": input field "[2]": Expected number',
        "and 997 more"
      ])
    })
  )

  it.effect("hands over the very value it was given", () =>
    Effect.gen(function* () {
      const photo = { path: "a.jpg", size: 1, extra: true }
      const same = Agent.make("same", { input: Photo, output: Photo, run: (given) => Effect.succeed(given) })
      assert.strictEqual(yield* same(photo), photo)
    })
  )

  it.effect("keeps a failure typed, and records its type, message and stack", () =>
    Effect.gen(function* () {
      const analyzer = Agent.make("analyzer", { run: () => new VisionError({ message: "too dark" }) })
      const { exit, trace } = yield* Testing.record(analyzer())
      assert.deepStrictEqual(Exit.findErrorOption(exit), Option.some(new VisionError({ message: "too dark" })))
      expectTrace(trace).toMatchTree(
        handoff("analyzer", {
          status: { error: "too dark" },
          attributes: { "error.type": "VisionError" },
          events: [
            {
              name: "exception",
              attributes: { "exception.type": "VisionError", "exception.message": "too dark" }
            }
          ]
        })
      )
      // The kit leaves frames out, as they differ from machine to machine.
      const [span] = yield* Effect.exit(analyzer()).pipe(
        Effect.andThen(Effect.flatMap(Memory.Spans, ({ all }) => all)),
        Effect.provide(Tracing.layerInMemory)
      )
      assert.match(String(span?.events[0]?.attributes["exception.stacktrace"]), /Agent\.test\.ts/)
    })
  )

  it.effect("ends unset, not failed, when it is interrupted", () =>
    Effect.gen(function* () {
      const sleeper = Agent.make("sleeper", { run: () => Effect.never })
      const { trace } = yield* Testing.record(Effect.timeoutOption(sleeper(), "1 seconds"), { advance: "1 seconds" })
      expectTrace(trace).toMatchTree(
        handoff("sleeper", { status: "unset", attributes: { "handspan.interrupted": true }, events: [] })
      )
    })
  )

  it.effect("ends OK with a reason when it stops early on purpose", () =>
    Effect.gen(function* () {
      const fetcher = Agent.make("fetcher", { run: () => Effect.fail(new SpanEnd.Terminated({ reason: "no photos" })) })
      const { exit, trace } = yield* Testing.record(fetcher())
      assert.deepStrictEqual(Exit.findErrorOption(exit), Option.some(new SpanEnd.Terminated({ reason: "no photos" })))
      expectTrace(trace).toMatchTree(
        handoff("fetcher", { status: "ok", attributes: { "termination.reason": "no photos" } })
      )
    })
  )

  it.effect("says which agent it was, where run gives no Effect", () =>
    Effect.gen(function* () {
      const agent = Agent.make("planner", { run: (): Effect.Effect<number> => Promise.resolve(1) as never })
      const { trace } = yield* Testing.record(agent())
      expectTrace(trace).toMatchTree(
        handoff("planner", {
          status: { error: 'Cannot run agent "planner": run must give an Effect, and gave object' }
        })
      )
    })
  )

  it.effect("runs the same under Effect's own tracer and with tracing off", () =>
    Effect.gen(function* () {
      const double = Agent.make("double", { run: (n: number) => Effect.succeed(n * 2) })
      assert.strictEqual(yield* double(2), 4)
      assert.strictEqual(yield* Effect.withTracerEnabled(double(2), false), 4)
    })
  )
})

describe("Agent.retryTransient", () => {
  const flaky = (failures: number, retry: Agent.Retry<VisionError>) => {
    let calls = 0
    return Agent.make("flaky", {
      retry,
      run: () => (++calls <= failures ? new VisionError({ message: `busy ${calls}` }) : Effect.succeed(calls))
    })
  }

  const attempt = (number: number) => ({
    name: "handoff.attempt",
    attributes: { "handspan.attempt.number": number }
  })
  const exception = { name: "exception", attributes: { "handspan.attempt.number": Tree.absent } }

  /** Expects a handoff that says how many attempts began. */
  const attempted = (agent: string, attempts: number, details?: Testing.Tree.Expectations) =>
    handoff(agent, { ...details, attributes: { "handspan.handoff.attempts": attempts } })

  it.effect("makes all attempts inside of one span, each visible with number, wait and error", () =>
    Effect.gen(function* () {
      const retry = Agent.retryTransient({ maxAttempts: 4, minWait: "4 seconds", maxWait: "10 seconds" })
      const { exit, trace } = yield* Testing.record(flaky(3, retry)(), { advance: "1 minutes" })
      assert.deepStrictEqual(exit, Exit.succeed(4))
      expectTrace(trace)
        .toMatchTree(handoff("flaky", { status: "ok" }))
        .toHaveAttempts("flaky", 4)
      const error = (n: number) => ({ "error.type": "VisionError", "error.message": `busy ${n}` })
      assert.deepStrictEqual(
        trace.spans[0]?.events.map(({ attributes, name, timeUnixNano }) => ({ name, timeUnixNano, attributes })),
        [
          {
            name: "handoff.attempt",
            timeUnixNano: 0n,
            attributes: { "handspan.attempt.number": 1, "handspan.attempt.wait_ms": 4000, ...error(1) }
          },
          {
            name: "handoff.attempt",
            timeUnixNano: 4_000_000_000n,
            attributes: { "handspan.attempt.number": 2, "handspan.attempt.wait_ms": 8000, ...error(2) }
          },
          {
            name: "handoff.attempt",
            timeUnixNano: 12_000_000_000n,
            attributes: { "handspan.attempt.number": 3, "handspan.attempt.wait_ms": 10_000, ...error(3) }
          },
          {
            name: "handoff.attempt",
            timeUnixNano: 22_000_000_000n,
            attributes: { "handspan.attempt.number": 4 }
          }
        ]
      )
    })
  )

  it.effect("gives up after maxAttempts with the last error", () =>
    Effect.gen(function* () {
      const retry = Agent.retryTransient({ maxAttempts: 3, minWait: "1 seconds", maxWait: "1 seconds" })
      const { exit, trace } = yield* Testing.record(flaky(9, retry)(), { advance: "1 minutes" })
      assert.deepStrictEqual(Exit.findErrorOption(exit), Option.some(new VisionError({ message: "busy 3" })))
      expectTrace(trace)
        .toMatchTree(handoff("flaky", { status: "error", events: [attempt(1), attempt(2), attempt(3), exception] }))
        .toHaveAttempts("flaky", 3)
    })
  )

  it.effect("makes no other attempt where while says no, nor for a defect or an early stop", () =>
    Effect.gen(function* () {
      const retry = Agent.retryTransient<VisionError>({
        maxAttempts: 3,
        minWait: "1 seconds",
        maxWait: "1 seconds",
        while: (error) => error.message !== "busy 1"
      })
      const refused = yield* Testing.record(flaky(9, retry)())
      expectTrace(refused.trace).toMatchTree(attempted("flaky", 1, { status: "error" }))

      const always = Agent.retryTransient({ maxAttempts: 3, minWait: "1 seconds", maxWait: "1 seconds" })
      const dying = Agent.make("dying", { retry: always, run: () => Effect.die("bug") })
      expectTrace((yield* Testing.record(dying())).trace).toMatchTree(attempted("dying", 1, { status: "error" }))

      const stopping = Agent.make("stopping", {
        retry: always,
        run: () => Effect.fail(new SpanEnd.Terminated({ reason: "done" }))
      })
      expectTrace((yield* Testing.record(stopping())).trace).toMatchTree(attempted("stopping", 1, { status: "ok" }))
    })
  )

  it.effect("does not hand a bad input to run again and again", () =>
    Effect.gen(function* () {
      const strict = Agent.make("strict", {
        input: Schema.Number,
        retry: Agent.retryTransient({ maxAttempts: 3, minWait: "1 seconds", maxWait: "1 seconds" }),
        run: () => Effect.void
      })
      const { trace } = yield* Testing.record(strict("one" as never))
      expectTrace(trace).toMatchTree(attempted("strict", 0, { status: "error", events: ["exception"] }))
    })
  )

  it.effect("counts the attempts that began: not the one that an interrupted wait was for", () =>
    Effect.gen(function* () {
      const retry = Agent.retryTransient({ maxAttempts: 3, minWait: "4 seconds", maxWait: "4 seconds" })
      const given = Effect.timeoutOption(flaky(9, retry)(), "1 seconds")
      const { trace } = yield* Testing.record(given, { advance: "1 seconds" })
      expectTrace(trace).toMatchTree(attempted("flaky", 1, { status: "unset", events: [attempt(1)] }))
    })
  )

  it.effect("tells an attempt that dies, and none for an early stop", () =>
    Effect.gen(function* () {
      const retry = Agent.retryTransient({ maxAttempts: 3, minWait: "1 seconds", maxWait: "1 seconds" })
      const attemptsOf = (second: () => Effect.Effect<never, unknown>) =>
        Effect.gen(function* () {
          let calls = 0
          const agent = Agent.make("agent", { retry, run: () => (++calls === 1 ? Effect.fail("busy") : second()) })
          const { trace } = yield* Testing.record(agent(), { advance: "1 seconds" })
          return trace.spans[0]?.events
            .filter((event) => event.name === "handoff.attempt")
            .map(({ attributes }) => [attributes["handspan.attempt.number"], attributes["error.message"]])
        })
      assert.deepStrictEqual(yield* attemptsOf(() => Effect.die("bug")), [
        [1, "busy"],
        [2, "bug"]
      ])
      assert.deepStrictEqual(yield* attemptsOf(() => Effect.fail(new SpanEnd.Terminated({ reason: "done" }))), [
        [1, "busy"]
      ])
    })
  )

  it.effect("counts each run of one handoff by itself", () =>
    Effect.gen(function* () {
      const retry = Agent.retryTransient({ maxAttempts: 3, minWait: 0, maxWait: 0 })
      const once = flaky(1, retry)()
      const { traces } = yield* Testing.record(Effect.andThen(once, once), { clock: "live" })
      assert.strictEqual(traces.length, 2)
      expectTrace(traces[0]!).toMatchTree(attempted("flaky", 2))
      expectTrace(traces[1]!).toMatchTree(attempted("flaky", 1))
    })
  )

  it("refuses bounds that make no sense", () => {
    const wait = { minWait: "2 seconds", maxWait: "2 seconds" } as const
    assert.throws(() => Agent.retryTransient({ ...wait, maxAttempts: Number.NaN }), /maxAttempts is NaN/)
    assert.throws(() => Agent.retryTransient({ ...wait, maxAttempts: 0 }), /at least 1/)
    assert.throws(() => Agent.retryTransient({ ...wait, maxAttempts: 2, minWait: "3 seconds" }), /minWait is 3s/)
  })
})
