import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Agent from "../src/Agent.ts"
import * as SpanEnd from "../src/SpanEnd.ts"
import { failure, outline, recorded, spanNamed } from "./recorded.ts"

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
      const fiber = yield* Effect.forkChild(recorded(analyzer("a.jpg")))
      yield* TestClock.adjust("20 millis")
      const { exit, spans } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(exit, Exit.succeed(5))
      assert.deepStrictEqual(spans, [
        {
          traceId: "00000000000000000000000000000001",
          spanId: "0000000000000001",
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
          resource: { attributes: {} },
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
      const { spans } = yield* recorded(chief())
      assert.strictEqual(spanNamed(spans, "agent_handoff.clerk").attributes["handspan.handoff.from"], "chief")
      assert.strictEqual(spanNamed(spans, "agent_handoff.chief").attributes["handspan.handoff.from"], "root")
      assert.strictEqual(outline(spans), "\nagent_handoff.chief ok\n  desk ok\n    agent_handoff.clerk ok\n")
    })
  )

  it.effect("fails typed on a bad input, before run, and names agent and field", () =>
    Effect.gen(function* () {
      let ran = false
      const analyzer = Agent.make("vision_analyzer", {
        input: Photo,
        run: () => Effect.sync(() => (ran = true))
      })
      const { exit, spans } = yield* recorded(Effect.flip(analyzer({ path: "", size: "secret" } as never)))
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
      const span = spanNamed(spans, "agent_handoff.vision_analyzer")
      assert.deepStrictEqual(span.status, { code: "error", message: mismatch.message })
      assert.strictEqual(span.attributes["error.type"], "HandoffMismatch")
      assert.strictEqual(span.attributes["handspan.mismatch.side"], "input")
      assert.strictEqual(span.attributes["handspan.mismatch.field"], "path")
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
      const { exit, spans } = yield* recorded(analyzer())
      assert.deepStrictEqual(failure(exit), new VisionError({ message: "too dark" }))
      const [span] = spans
      assert.deepStrictEqual(span?.status, { code: "error", message: "too dark" })
      assert.strictEqual(span?.attributes["error.type"], "VisionError")
      assert.deepStrictEqual(
        span?.events.map(({ attributes, name }) => [
          name,
          attributes["exception.type"],
          attributes["exception.message"]
        ]),
        [["exception", "VisionError", "too dark"]]
      )
      assert.match(String(span?.events[0]?.attributes["exception.stacktrace"]), /Agent\.test\.ts/)
    })
  )

  it.effect("ends unset, not failed, when it is interrupted", () =>
    Effect.gen(function* () {
      const sleeper = Agent.make("sleeper", { run: () => Effect.never })
      const fiber = yield* Effect.forkChild(recorded(Effect.timeoutOption(sleeper(), "1 seconds")))
      yield* TestClock.adjust("1 seconds")
      const { spans } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        spans.map(({ attributes, events, status }) => [status.code, attributes["handspan.interrupted"], events]),
        [["unset", true, []]]
      )
    })
  )

  it.effect("ends OK with a reason when it stops early on purpose", () =>
    Effect.gen(function* () {
      const fetcher = Agent.make("fetcher", { run: () => Effect.fail(new SpanEnd.Terminated({ reason: "no photos" })) })
      const { exit, spans } = yield* recorded(fetcher())
      assert.deepStrictEqual(failure(exit), new SpanEnd.Terminated({ reason: "no photos" }))
      assert.deepStrictEqual(
        spans.map(({ attributes, status }) => [status.code, attributes["termination.reason"]]),
        [["ok", "no photos"]]
      )
    })
  )

  it.effect("says which agent it was, where run gives no Effect", () =>
    Effect.gen(function* () {
      const agent = Agent.make("planner", { run: (): Effect.Effect<number> => Promise.resolve(1) as never })
      const { spans } = yield* recorded(agent())
      assert.deepStrictEqual(
        spans.map(({ status }) => status),
        [{ code: "error", message: 'Cannot run agent "planner": run must give an Effect, and gave object' }]
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

  it.effect("makes all attempts inside of one span, each visible with number, wait and error", () =>
    Effect.gen(function* () {
      const retry = Agent.retryTransient({ maxAttempts: 4, minWait: "4 seconds", maxWait: "10 seconds" })
      const fiber = yield* Effect.forkChild(recorded(flaky(3, retry)()))
      yield* TestClock.adjust("1 minutes")
      const { exit, spans } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(exit, Exit.succeed(4))
      assert.strictEqual(spans.length, 1)
      assert.strictEqual(spans[0]?.attributes["handspan.handoff.attempts"], 4)
      assert.strictEqual(spans[0]?.status.code, "ok")
      const error = (n: number) => ({ "error.type": "VisionError", "error.message": `busy ${n}` })
      assert.deepStrictEqual(
        spans[0]?.events.map(({ attributes, name, timeUnixNano }) => ({ name, timeUnixNano, attributes })),
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
      const fiber = yield* Effect.forkChild(recorded(flaky(9, retry)()))
      yield* TestClock.adjust("1 minutes")
      const { exit, spans } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(failure(exit), new VisionError({ message: "busy 3" }))
      assert.strictEqual(spans[0]?.attributes["handspan.handoff.attempts"], 3)
      assert.deepStrictEqual(
        spans[0]?.events.map(({ attributes, name }) => [name, attributes["handspan.attempt.number"]]),
        [
          ["handoff.attempt", 1],
          ["handoff.attempt", 2],
          ["handoff.attempt", 3],
          ["exception", undefined]
        ]
      )
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
      const refused = yield* recorded(flaky(9, retry)())
      assert.strictEqual(refused.spans[0]?.attributes["handspan.handoff.attempts"], 1)

      const always = Agent.retryTransient({ maxAttempts: 3, minWait: "1 seconds", maxWait: "1 seconds" })
      const dying = Agent.make("dying", { retry: always, run: () => Effect.die("bug") })
      assert.strictEqual((yield* recorded(dying())).spans[0]?.attributes["handspan.handoff.attempts"], 1)

      const stopping = Agent.make("stopping", {
        retry: always,
        run: () => Effect.fail(new SpanEnd.Terminated({ reason: "done" }))
      })
      assert.strictEqual((yield* recorded(stopping())).spans[0]?.attributes["handspan.handoff.attempts"], 1)
    })
  )

  it.effect("does not hand a bad input to run again and again", () =>
    Effect.gen(function* () {
      const strict = Agent.make("strict", {
        input: Schema.Number,
        retry: Agent.retryTransient({ maxAttempts: 3, minWait: "1 seconds", maxWait: "1 seconds" }),
        run: () => Effect.void
      })
      const { spans } = yield* recorded(strict("one" as never))
      assert.strictEqual(spans[0]?.attributes["handspan.handoff.attempts"], 0)
      assert.deepStrictEqual(
        spans[0]?.events.map((event) => event.name),
        ["exception"]
      )
    })
  )

  it.effect("counts the attempts that began: not the one that an interrupted wait was for", () =>
    Effect.gen(function* () {
      const retry = Agent.retryTransient({ maxAttempts: 3, minWait: "4 seconds", maxWait: "4 seconds" })
      const fiber = yield* Effect.forkChild(recorded(Effect.timeoutOption(flaky(9, retry)(), "1 seconds")))
      yield* TestClock.adjust("1 seconds")
      const { spans } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        spans.map(({ attributes, events, status }) => [
          status.code,
          attributes["handspan.handoff.attempts"],
          events.map((event) => event.attributes["handspan.attempt.number"])
        ]),
        [["unset", 1, [1]]]
      )
    })
  )

  it.effect("tells an attempt that dies, and none for an early stop", () =>
    Effect.gen(function* () {
      const retry = Agent.retryTransient({ maxAttempts: 3, minWait: "1 seconds", maxWait: "1 seconds" })
      const attemptsOf = (second: () => Effect.Effect<never, unknown>) =>
        Effect.gen(function* () {
          let calls = 0
          const agent = Agent.make("agent", { retry, run: () => (++calls === 1 ? Effect.fail("busy") : second()) })
          const fiber = yield* Effect.forkChild(recorded(agent()))
          yield* TestClock.adjust("1 seconds")
          const { spans } = yield* Fiber.join(fiber)
          return spans[0]?.events
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
      const handoff = flaky(1, retry)()
      const { spans } = yield* recorded(Effect.andThen(handoff, handoff))
      assert.deepStrictEqual(
        spans.map((span) => span.attributes["handspan.handoff.attempts"]),
        [2, 1]
      )
    }).pipe(TestClock.withLive)
  )

  it("refuses bounds that make no sense", () => {
    const wait = { minWait: "2 seconds", maxWait: "2 seconds" } as const
    assert.throws(() => Agent.retryTransient({ ...wait, maxAttempts: Number.NaN }), /maxAttempts is NaN/)
    assert.throws(() => Agent.retryTransient({ ...wait, maxAttempts: 0 }), /at least 1/)
    assert.throws(() => Agent.retryTransient({ ...wait, maxAttempts: 2, minWait: "3 seconds" }), /minWait is 3s/)
  })
})
