import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Polls from "../../src/bus/Polls.ts"

/** Polls whose server answers when it is told to. */
const setUp = Effect.gen(function* () {
  const scope = yield* Scope.make()
  const givenBack: Array<string> = []
  const polls = yield* Scope.provide(
    Polls.make<string>((brought) => Effect.sync(() => void givenBack.push(brought))),
    scope
  )
  const leftAs: Array<number> = []
  const asked: Array<Deferred.Deferred<string, string>> = []
  const poll = (left: Effect.Effect<void>) =>
    Effect.gen(function* () {
      const answer = yield* Deferred.make<string, string>()
      asked.push(answer)
      yield* Effect.forkDetach(
        Effect.andThen(
          left,
          Effect.sync(() => leftAs.push(asked.indexOf(answer)))
        )
      )
      return yield* Deferred.await(answer)
    })
  const begin = (name: string) => Effect.forkDetach(polls.wait(name, poll), { startImmediately: true })
  return { asked, begin, givenBack, leftAs, close: Scope.close(scope, Exit.void) }
})

describe("Polls", () => {
  it.effect("gives what was left waiting to the next of the same name, and to one alone", () =>
    Effect.gen(function* () {
      const { asked, begin, close, givenBack } = yield* setUp
      yield* Fiber.interrupt(yield* begin("a"))
      const [other, next, another] = [yield* begin("b"), yield* begin("a"), yield* begin("a")]
      assert.strictEqual(asked.length, 3)
      yield* Effect.forEach(asked, (answer, at) => Deferred.succeed(answer, String(at)))
      assert.deepStrictEqual(yield* Effect.forEach([next, other, another], Fiber.join), ["0", "1", "2"])
      yield* close
      assert.deepStrictEqual(givenBack, [])
    })
  )

  it.effect("gives back what comes while it is nobody's, however often it was left", () =>
    Effect.gen(function* () {
      const { asked, begin, givenBack, leftAs } = yield* setUp
      for (let times = 0; times < 3; times++) yield* Fiber.interrupt(yield* begin("a"))
      yield* TestClock.adjust(0)
      assert.deepStrictEqual([asked.length, leftAs], [1, [0]])
      yield* Deferred.succeed(asked[0]!, "event")
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(givenBack, ["event"])
      // Nobody gets what is given back.
      yield* begin("a")
      assert.strictEqual(asked.length, 2)
    })
  )

  it.effect("has nothing of a poll that failed while it was nobody's", () =>
    Effect.gen(function* () {
      const { asked, begin, close, givenBack } = yield* setUp
      yield* Fiber.interrupt(yield* begin("a"))
      yield* Deferred.fail(asked[0]!, "gone")
      yield* TestClock.adjust(0)
      yield* begin("a")
      assert.strictEqual(asked.length, 2)
      yield* close
      assert.deepStrictEqual(givenBack, [])
    })
  )

  it.effect("does not close before what was left has ended, or is overdue", () =>
    Effect.gen(function* () {
      const first = yield* setUp
      yield* Fiber.interrupt(yield* first.begin("a"))
      const closing = yield* Effect.forkChild(first.close, { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.isUndefined(closing.pollUnsafe())
      yield* Deferred.succeed(first.asked[0]!, "event")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(first.givenBack, ["event"])
      const second = yield* setUp
      yield* Fiber.interrupt(yield* second.begin("a"))
      const overdue = yield* Effect.forkChild(second.close, { startImmediately: true })
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(overdue)
    })
  )
})
