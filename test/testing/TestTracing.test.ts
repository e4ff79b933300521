import { assert, describe, expect, it, layer } from "@effect/vitest"
import { Cause, Context, Data, Effect, Exit, Fiber, Logger, Scheduler, Tracer } from "effect"
import { TestClock } from "effect/testing"
import { createHash } from "node:crypto"
import * as Agent from "../../src/Agent.ts"
import * as OtlpProtobuf from "../../src/OtlpProtobuf.ts"
import * as Pipeline from "../../src/Pipeline.ts"
import * as Testing from "../../src/Testing.ts"
import { shuffled } from "./shuffled.ts"

class Busy extends Data.TaggedError("Busy")<{ readonly photo: string }> {}

/** Parallel in every way that there is: branches, rounds, races, inner pipelines, forks of its own, and retries. */
const analyse = Agent.make("analyse", {
  retry: Agent.retryTransient({ maxAttempts: 3, minWait: "1 second", maxWait: "1 second" }),
  run: (photo: string) =>
    Effect.gen(function* () {
      yield* Effect.annotateCurrentSpan({ photo })
      yield* Effect.all(
        ["colours", "faces"].map((part) => Effect.withSpan(Effect.yieldNow, part)),
        { concurrency: 2 }
      )
      yield* Effect.logInfo(`looked at ${photo}`)
      if (photo === "b") return yield* new Busy({ photo })
      yield* Effect.sleep("1 second")
      return `${photo}!`
    })
})
const fetcher = Agent.make("fetcher", { run: () => Effect.as(Effect.yieldNow, ["a", "b", "c", "d"]) })
const checker = Agent.make("checker", { run: (photo: string) => Effect.as(Effect.yieldNow, photo) })
const reporter = Agent.make("reporter", { run: (lines: ReadonlyArray<string>) => Effect.succeed(lines.join()) })
const quick = Agent.make("quick", { run: (n: number) => Effect.delay(Effect.succeed(n), "1 second") })
const slow = Agent.make("slow", { run: (n: number) => Effect.delay(Effect.succeed(n), "1 hour") })

const agency = Pipeline.make("agency", () =>
  Effect.gen(function* () {
    const photos = yield* fetcher()
    const background = yield* Effect.forkChild(Effect.withSpan(Effect.yieldNow, "background"))
    const lines = yield* Pipeline.forEach(
      photos,
      (photo) =>
        Effect.andThen(
          // Two levels of branches without a span between.
          Effect.all([checker(photo), checker(`${photo}'`)], { concurrency: "unbounded" }),
          Effect.catchTag(analyse(photo), "Busy", () => Effect.succeed("busy"))
        ),
      { concurrency: 2 }
    )
    yield* Pipeline.race(quick, slow)(1)
    yield* Fiber.join(background)
    return yield* Pipeline.fanIn(reporter, lines)
  })
)

/** What a program leaves under a schedule of chance: the bytes of its traces, and their text. */
const leftBy = <A, E>(program: Effect.Effect<A, E>, seed: number | undefined) => {
  const recording = Effect.gen(function* () {
    const { exit, traces } = yield* Testing.record(program, { advance: "1 minute" })
    assert.isTrue(Exit.isSuccess(exit))
    return {
      bytes: OtlpProtobuf.encode(traces.flatMap(({ spans }) => spans)).bytes,
      text: traces.map((trace) => Testing.renderTree(trace, { durations: true })).join("\n\n")
    }
  }).pipe(Effect.provide(Logger.layer([Logger.tracerLogger])))
  return seed === undefined ? recording : Effect.provideService(recording, Scheduler.Scheduler, shuffled(seed))
}

const expectSame = async <A, E>(program: Effect.Effect<A, E>, seeds: number) => {
  const { bytes, text } = await Effect.runPromise(leftBy(program, undefined))
  for (let seed = 1; seed <= seeds; seed++) {
    const again = await Effect.runPromise(leftBy(program, seed))
    assert.strictEqual(again.text, text, `seed ${seed}`)
    assert.isTrue(Buffer.from(again.bytes).equals(Buffer.from(bytes)), `other bytes with seed ${seed}`)
  }
  return { bytes, text }
}

const leaf = (name: string) => Effect.withSpan(Effect.yieldNow, name)
const root = Effect.withSpan("root")
const all = { concurrency: "unbounded" } as const
const two = { concurrency: 2 } as const

/** Work side by side in ways in which it is hard to see who stands where. */
const programs: Record<string, Effect.Effect<unknown>> = {
  "items without spans, in bounded branches of branches": root(
    Effect.forEach(
      ["x", "y"],
      (branch) => Effect.forEach([1, 2, 3, 4], (n) => (n % 2 === 1 ? Effect.yieldNow : leaf(`${branch}${n}`)), two),
      all
    )
  ),
  "two bounded loops side by side": root(
    Effect.all(
      [Effect.forEach([1, 2, 3, 4], () => leaf("a"), two), Effect.forEach([1, 2, 3, 4], () => leaf("b"), two)],
      all
    )
  ),
  "items that wait for something without a span": root(
    Effect.forEach(
      [1, 2, 3, 4, 5],
      (n) => (n % 2 === 1 ? Effect.promise(() => Promise.resolve(n)) : leaf(`leaf ${n}`)),
      two
    )
  ),
  "traces side by side": Effect.forEach(["a", "b", "c"], (topic) => leaf(topic).pipe(root), all),
  "spans below a span from elsewhere": Effect.gen(function* () {
    const parent = yield* Effect.makeSpanScoped("parent")
    yield* Effect.forEach([1, 2, 3], () => Effect.withParentSpan(leaf("leaf"), parent), all)
  }).pipe(Effect.scoped),
  "races and timeouts": root(
    Effect.all(
      [
        Effect.race(
          Effect.andThen(leaf("quick"), Effect.sleep("1 second")),
          Effect.andThen(leaf("slow"), Effect.never)
        ),
        Effect.timeoutOption(Effect.andThen(leaf("late"), Effect.never), "2 seconds"),
        Effect.raceFirst(leaf("first").pipe(Effect.delay("1 second")), leaf("second").pipe(Effect.delay("3 seconds")))
      ],
      all
    )
  ),
  "fibers that are forked and joined": root(
    Effect.gen(function* () {
      const fibers = yield* Effect.forEach([1, 2, 3], (n) =>
        Effect.forkChild(Effect.andThen(Effect.yieldNow, leaf(`f${n}`)))
      )
      yield* leaf("own")
      yield* Effect.forEach(fibers, Fiber.join)
    })
  )
}

describe("record", () => {
  it("gives the same bytes a thousand times, however the fibers of a pipeline take turns", async () => {
    const { bytes, text } = await expectSame(agency(), 1000)
    // Node and Deno hold theirs against one file.
    const sum = createHash("sha256").update(bytes).digest("hex")
    await expect(`${text}\n\nsha256 of its protobuf: ${sum}\n`).toMatchFileSnapshot("golden/agency.txt")
  }, 60_000)

  it.each(Object.entries(programs))("gives the same bytes for %s", async (_, program) => {
    await expectSame(program, 50)
  })

  it("moves time again after something real, and only while all sleep", async () => {
    const program = Effect.gen(function* () {
      for (let n = 0; n < 3; n++) {
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
        yield* Effect.sleep("1 second")
      }
    })
    const { trace } = await Effect.runPromise(Testing.record(Effect.withSpan(program, "x"), { advance: "1 minute" }))
    assert.strictEqual(trace.endTimeUnixNano, 3_000_000_000n)
  })

  it("tells of laws that a program breaks and of its own failure", async () => {
    const program = Effect.andThen(
      Effect.makeSpan("forgotten"),
      Effect.flatMap(Effect.makeSpan("lost"), (lost) =>
        Effect.andThen(Effect.withSpan(Effect.void, "orphan", { parent: lost }), new Busy({ photo: "x" }))
      )
    )
    const exit = await Effect.runPromiseExit(Testing.record(program))
    const message = Exit.isFailure(exit) ? (Cause.squash(exit.cause) as Error).message : ""
    assert.include(message, '- Span "forgotten" is still open')
    assert.include(message, "The program itself failed: Busy")
  })

  it("gives how the program ended, also where it fails", async () => {
    const { exit, trace } = await Effect.runPromise(Testing.record(Effect.withSpan(Effect.fail("no"), "work")))
    assert.strictEqual(Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined, "no")
    assert.strictEqual(trace.roots[0]?.span.status.code, "error")
  })

  it("moves the test's clock once all sleep, so that what sleeps one after the other ends at its time", async () => {
    const program = Effect.gen(function* () {
      for (let n = 0; n < 200; n++) yield* Effect.yieldNow
      yield* Effect.sleep("1 second")
      yield* Effect.sleep("1 hour")
    })
    const { trace } = await Effect.runPromise(Testing.record(Effect.withSpan(program, "work"), { advance: "2 hours" }))
    assert.deepStrictEqual([trace.startTimeUnixNano, trace.endTimeUnixNano], [0n, 3_601_000_000_000n])
  })

  it("waits for what is real on a live clock", async () => {
    const program = Effect.withSpan(Effect.sleep("20 millis"), "work")
    const { trace } = await Effect.runPromise(Testing.record(program, { clock: "live" }))
    assert.isTrue(trace.endTimeUnixNano - trace.startTimeUnixNano >= 19_000_000n)
  })

  it("keeps tests that run at the same time apart", async () => {
    const traced = (n: number) => Testing.record(Effect.withSpan(Effect.yieldNow, `work ${n}`))
    const all = await Effect.runPromise(
      Effect.all(
        Array.from({ length: 50 }, (_, n) => traced(n)),
        { concurrency: "unbounded" }
      )
    )
    assert.deepStrictEqual(
      all.map(({ trace }) => trace.spans.map(({ name }) => name)),
      Array.from({ length: 50 }, (_, n) => [`work ${n}`])
    )
  })

  it("records what stands in a trace that is not recorded, which is nothing, and lets it ask for its ids", async () => {
    const ids = Effect.map(Effect.currentSpan, ({ spanId, traceId }) => `${traceId} ${spanId}`)
    const program = Effect.withSpan(Effect.withSpan(ids, "inside"), "root", { sampled: false })
    const { exit, traces } = await Effect.runPromise(Testing.record(program))
    assert.match(Exit.isSuccess(exit) ? exit.value : "", /^[0-9a-f]{32} [0-9a-f]{16}$/)
    assert.deepStrictEqual(traces, [])
  })

  it("says why there is not just one trace", async () => {
    const none = await Effect.runPromise(Testing.record(Effect.void))
    assert.throws(() => none.trace, "There is no trace: no span has ended, or it ended outside of the layer")
    const two = await Effect.runPromise(
      Testing.record(Effect.andThen(Effect.withSpan(Effect.void, "a"), Effect.withSpan(Effect.void, "b")))
    )
    assert.throws(
      () => two.trace,
      'There are 2 traces, which begin with "a", "b": read them all, put one span around them, or clear what another test of the same layer left'
    )
    assert.deepStrictEqual(
      two.traces.map(({ roots }) => roots[0]?.span.name),
      ["a", "b"]
    )
  })

  it("leaves out what is another each time: a fiber's number and the frames of a stack", async () => {
    const program = Effect.andThen(Effect.logInfo("hello"), Effect.die(new TypeError("boom")))
    const { trace } = await Effect.runPromise(
      Testing.record(Effect.withSpan(program, "work")).pipe(Effect.provide(Logger.layer([Logger.tracerLogger])))
    )
    assert.deepStrictEqual(
      trace.spans[0]?.events.map(({ attributes, name }) => [name, attributes]),
      [
        ["hello", { "effect.logLevel": "INFO" }],
        [
          "exception",
          {
            "exception.type": "TypeError",
            "exception.message": "boom",
            "exception.stacktrace": "TypeError: boom"
          }
        ]
      ]
    )
  })
})

/** How a test ends that does this under the layer. */
const ending = (program: Effect.Effect<unknown, unknown, Testing.Traces>, options: Testing.Options = {}) =>
  Effect.map(Effect.exit(Effect.provide(program, Testing.layerWith(options))), (exit) =>
    Exit.isSuccess(exit) ? "" : (Cause.squash(exit.cause) as Error).message
  )

const child = (name: string, parent: Tracer.AnySpan) => Effect.withSpan(Effect.void, name, { parent })
const foreign = (spanId: string) =>
  Tracer.externalSpan({ traceId: "1".repeat(32), spanId, sampled: true, annotations: Context.empty() })

describe("layer", () => {
  it.effect("uses the clock of the test", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(Effect.withSpan(Effect.sleep("1 minute"), "work"))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      const { endTimeUnixNano } = yield* Testing.trace
      assert.strictEqual(endTimeUnixNano, 60_000_000_000n)
    }).pipe(Effect.provide(Testing.layer))
  )

  it.effect("does not fail a test that obeys all laws, or that has failed by itself", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* ending(reporter(["a"])), "")
      const failing = Effect.andThen(
        Effect.forkDetach(Effect.withSpan(Effect.never, "open")),
        new Busy({ photo: "own" })
      )
      assert.strictEqual(yield* ending(failing), new Busy({ photo: "own" }).message)
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.effect.each<[law: Testing.Law, program: Effect.Effect<unknown, unknown, Testing.Traces>, message: string]>([
    [
      "openSpans",
      Effect.andThen(Effect.forkDetach(Effect.withSpan(Effect.never, "open")), Effect.yieldNow),
      'Span "open" is still open: end it before the test ends'
    ],
    [
      "orphans",
      Effect.flatMap(Effect.makeSpan("lost"), (lost) => child("orphan", lost)),
      'Span "orphan" is an orphan: its parent'
    ],
    ["noopIds", Effect.withSpan(Effect.void, "none", { parent: foreign("noop") }), ""],
    [
      "lateChildren",
      Effect.gen(function* () {
        const parent = yield* Effect.makeSpanScoped("parent").pipe(Effect.scoped)
        yield* TestClock.adjust("1 second")
        yield* child("late", parent)
      }),
      'Span "late" ended after its parent "parent": wait for it inside of its parent'
    ],
    [
      "strayHandoffs",
      Effect.gen(function* () {
        const outside = yield* Effect.makeSpanScoped("outside")
        const stray = Agent.make("stray", { run: () => Effect.void })
        const lost = Pipeline.make("lost", () =>
          Effect.withSpan(Effect.void, "x").pipe(
            Effect.andThen(Effect.provideService(stray(), Tracer.ParentSpan, outside))
          )
        )
        yield* lost()
      }).pipe(Effect.scoped),
      'Handoff "agent_handoff.stray" says that it came from "lost", and stands under "root"'
    ]
  ])("ends a test that breaks the law of %s, unless it may", ([law, program, message]) =>
    Effect.gen(function* () {
      if (message !== "") assert.include(yield* ending(program), `- ${message}`)
      assert.strictEqual(yield* ending(program, { allow: [law, "orphans", "openSpans"] }), "")
    })
  )

  it.effect("does not let a child fiber outlive the span that it was forked in", () =>
    Effect.gen(function* () {
      const forked = Effect.withSpan(Effect.forkChild(Effect.withSpan(Effect.sleep("1 hour"), "background")), "parent")
      const program = Effect.gen(function* () {
        const fiber = yield* forked
        yield* Effect.yieldNow
        yield* TestClock.adjust("1 hour")
        yield* Fiber.join(fiber)
      })
      assert.include(yield* ending(program), '- Span "background" ended after its parent "parent"')
    })
  )

  it.effect("lets a child fiber be, which ends with the test", () =>
    Effect.gen(function* () {
      const left = Effect.andThen(
        Effect.forkChild(Effect.withSpan(Effect.andThen(leaf("done"), Effect.never), "open")),
        Effect.yieldNow
      )
      assert.strictEqual(yield* ending(left), "")
      assert.isTrue(Exit.isSuccess((yield* Testing.record(left)).exit))
    })
  )

  it.effect("holds the laws over what was cleared too", () =>
    Effect.gen(function* () {
      const orphan = Effect.flatMap(Effect.makeSpan("lost"), (lost) => child("orphan", lost))
      const cleared = Effect.andThen(
        orphan,
        Effect.flatMap(Testing.Traces, ({ clear }) => clear)
      )
      assert.include(yield* ending(cleared), '- Span "orphan" is an orphan')
    })
  )

  it.effect("lets a fiber that nobody waits for outlive the span that it was forked in", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.withSpan(
        Effect.forkDetach(Effect.withSpan(Effect.sleep("1 hour"), "background")),
        "parent"
      )
      yield* Effect.yieldNow
      yield* TestClock.adjust("1 hour")
      yield* Fiber.join(fiber)
      assert.strictEqual((yield* Testing.trace).spans.length, 2)
    }).pipe(Effect.provide(Testing.layer))
  )
})

layer(Testing.layer)("a layer that tests share", (it) => {
  it.effect("begins empty", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Testing.traces, [])
      yield* Effect.withSpan(Effect.void, "first")
      assert.strictEqual((yield* Testing.traces).length, 1)
    })
  )

  it.effect("forgets what one test left when the next one asks for it", () =>
    Effect.gen(function* () {
      yield* (yield* Testing.Traces).clear
      assert.deepStrictEqual(yield* Testing.traces, [])
    })
  )
})
