import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema, type Scope } from "effect"
import * as ActionBroker from "../src/ActionBroker.ts"
import * as Propagator from "../src/Propagator.ts"
import * as Testing from "../src/Testing.ts"
import * as TraceContext from "../src/TraceContext.ts"

const { Tree, expectTrace } = Testing
const { span } = Tree

class Busy extends Schema.TaggedError<Busy>()("Busy", { message: Schema.String }) {}

const record = <A, E>(program: Effect.Effect<A, E, ActionBroker.ActionBroker | Scope.Scope>) =>
  Testing.record(Effect.scoped(Effect.provide(program, ActionBroker.layerMemory)))

const asked = { kind: "client", attributes: { capability: "double" } } as const

describe("ActionBroker", () => {
  it.effect("goes on with the caller's trace, and brings its baggage", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        yield* ActionBroker.answer("double", (input) =>
          Effect.map(TraceContext.CurrentBaggage, (baggage) => [Number(input) * 2, baggage.get("user")?.value])
        )
        return yield* Effect.withSpan(ActionBroker.invoke("double", 21), "plan").pipe(
          Propagator.withRemoteParent({ baggage: "user=alice" })
        )
      })
      const { exit, trace } = yield* record(program)
      assert.deepStrictEqual(exit, Exit.succeed([42, "alice"]))
      expectTrace(trace).toMatchTree(
        span("plan", [span("action.invoke", { ...asked, children: [span("action.handle", { kind: "server" })] })])
      )
    })
  )

  it.effect("tells the caller what went wrong, and whether anybody is able to", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        const messages: Array<string> = []
        const ask = Effect.flatMap(Effect.flip(ActionBroker.invoke("double", 1)), ({ message, reason }) =>
          Effect.sync(() => messages.push(`${reason}: ${message}`))
        )
        yield* ask
        yield* Effect.scoped(
          Effect.andThen(
            ActionBroker.answer("double", () => new Busy({ message: "try later" })),
            ask
          )
        )
        yield* ActionBroker.answer("triple", () => Effect.die("no"))
        yield* ask
        return messages
      })
      const { exit, traces } = yield* record(program)
      assert.deepStrictEqual(
        exit,
        Exit.succeed([
          'unknown: Cannot do "double": nobody is able to; there is nothing',
          'failed: Cannot do "double": try later',
          'unknown: Cannot do "double": nobody is able to; there is triple'
        ])
      )
      assert.deepStrictEqual(
        traces[1]?.spans.map(({ attributes, name }) => [name, attributes["error.type"]]),
        [
          ["action.invoke", "ActionError"],
          ["action.handle", "Busy"]
        ]
      )
    })
  )

  it.effect("is interrupted with its caller", () =>
    Effect.gen(function* () {
      const program = Effect.gen(function* () {
        yield* ActionBroker.answer("wait", () => Effect.never)
        return yield* Effect.timeoutOption(ActionBroker.invoke("wait", 1), "1 second")
      })
      const { trace } = yield* Testing.record(Effect.scoped(Effect.provide(program, ActionBroker.layerMemory)), {
        advance: "1 second"
      })
      expectTrace(trace).toMatchTree(
        span("action.invoke", { status: "unset", children: [span("action.handle", { status: "unset" })] })
      )
    })
  )
})
