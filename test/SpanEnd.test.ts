import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as SpanEnd from "../src/SpanEnd.ts"

const withoutStacks = (end: SpanEnd.SpanEnd) => ({
  ...end,
  events: end.events.map((event) => ({
    ...event,
    attributes: Object.fromEntries(Object.entries(event.attributes).filter(([key]) => key !== "exception.stacktrace"))
  }))
})

const failed = (type: string, message: string): SpanEnd.SpanEnd => ({
  status: { code: "error", message },
  attributes: { "error.type": type },
  events: [{ name: "exception", attributes: { "exception.type": type, "exception.message": message } }]
})

class VisionError extends Data.TaggedError("VisionError")<{ readonly message: string; readonly apiKey: string }> {}

const hostile = new Proxy(
  {},
  {
    get: () => {
      throw new Error("hands off")
    }
  }
)

describe("fromExit", () => {
  it("fromExit() of a success is ok and says nothing of the value", () => {
    assert.deepStrictEqual(SpanEnd.fromExit(Exit.succeed({ secret: "s" })), {
      status: { code: "ok" },
      attributes: {},
      events: []
    })
  })

  it("fromExit() of an interruption alone is unset and says so", () => {
    assert.deepStrictEqual(SpanEnd.fromExit(Exit.failCause(Cause.combine(Cause.interrupt(1), Cause.interrupt(2)))), {
      status: { code: "unset" },
      attributes: { "handspan.interrupted": true },
      events: []
    })
  })

  it.each<[string, unknown, string, string]>([
    ["a tagged error", new VisionError({ message: "blurred", apiKey: "k" }), "VisionError", "blurred"],
    ["an Error", new TypeError("no photo"), "TypeError", "no photo"],
    ["an Error without a message", new RangeError(), "RangeError", "error RangeError"],
    ["a plain object with a tag", { _tag: "Denied", password: "hunter2" }, "Denied", "error Denied"],
    ["a plain object with a name", { name: "Denied", password: "hunter2" }, "Denied", "error Denied"],
    ["a plain object with a message", { message: "denied", password: "hunter2" }, "_OTHER", "denied"],
    ["a plain object with neither", { password: "hunter2" }, "_OTHER", "error"],
    ["a plain object whose message is none", { _tag: "Denied", message: { password: "x" } }, "Denied", "error Denied"],
    ["a text", "out of film", "_OTHER", "out of film"],
    ["a number", 404, "_OTHER", "404"],
    ["nothing", undefined, "_OTHER", "error"],
    ["null", null, "_OTHER", "error"],
    ["a symbol", Symbol("s"), "_OTHER", "Symbol(s)"],
    ["a Redacted", Redacted.make("hunter2"), "_OTHER", "error <redacted>"],
    ["an error that throws when read", hostile, "_OTHER", "error"]
  ])("fromExit() of a failure with %s tells its name and message, no other field", (_, error, type, message) => {
    assert.deepStrictEqual(withoutStacks(SpanEnd.fromExit(Exit.fail(error))), failed(type, message))
    assert.deepStrictEqual(withoutStacks(SpanEnd.fromExit(Exit.die(error))), failed(type, message))
    assert.notInclude(JSON.stringify(SpanEnd.fromExit(Exit.fail(error))), "hunter2")
  })

  it("fromExit() of a cause without reasons is an error all the same", () => {
    assert.deepStrictEqual(SpanEnd.fromExit(Exit.failCause(Cause.empty)), { ...failed("_OTHER", "error"), events: [] })
  })

  it("fromExit() of several failures lets the first decide and tells each, not the interruptions", () => {
    const cause = Cause.fromReasons<unknown>([
      Cause.makeInterruptReason(1),
      Cause.makeFailReason({ _tag: "First" }),
      Cause.makeDieReason(new TypeError("second"))
    ])
    assert.deepStrictEqual(withoutStacks(SpanEnd.fromExit(Exit.failCause(cause))), {
      ...failed("First", "error First"),
      events: [...failed("First", "error First").events, ...failed("TypeError", "second").events]
    })
  })

  const stackOf = (error: unknown, limits?: SpanEnd.Limits) =>
    SpanEnd.fromExit(Exit.die(error), limits).events[0]?.attributes["exception.stacktrace"]

  it("fromExit() keeps the stack of an Error", () => {
    const error = new Error("boom")
    assert.strictEqual(stackOf(error), error.stack)
  })

  it("fromExit() tells the causes of a cause, as many as the limit allows", () => {
    const cause = { _tag: "Cause", password: "hunter2" }
    const middle = new Error("middle", { cause })
    const outer = new Error("outer", { cause: middle })
    assert.strictEqual(stackOf(outer), `${outer.stack}\nCaused by: ${middle.stack}\nCaused by: Cause: error Cause`)
    assert.strictEqual(stackOf(outer, { causes: 1 }), `${outer.stack}\nCaused by: ${middle.stack}`)
    const circular = new Error("circular")
    circular.cause = circular
    assert.strictEqual(stackOf(circular)?.toString().split("Caused by").length, 5)
  })

  it("fromExit() bounds texts and exceptions", () => {
    const cause = Cause.fromReasons(
      Array.from({ length: 20 }, () => Cause.makeFailReason(new Error("x".repeat(20_000))))
    )
    const end = SpanEnd.fromExit(Exit.failCause(cause))
    assert.strictEqual(end.events.length, 8)
    assert.strictEqual(end.events[0]?.attributes["exception.message"], "x".repeat(8192))
    assert.strictEqual(String(end.events[0]?.attributes["exception.stacktrace"]).length, 8192)
    const small = SpanEnd.fromExit(Exit.failCause(cause), { textLength: 3, exceptions: 1 })
    assert.deepStrictEqual(small, {
      status: { code: "error", message: "xxx" },
      attributes: { "error.type": "Err" },
      events: [
        {
          name: "exception",
          attributes: { "exception.type": "Err", "exception.message": "xxx", "exception.stacktrace": "Err" }
        }
      ]
    })
  })
})

describe("describe", () => {
  it("describe() bounds what it tells, and outlives an error that throws when read", () => {
    assert.deepStrictEqual(SpanEnd.describe(new VisionError({ message: "x".repeat(9000), apiKey: "k" })), {
      type: "VisionError",
      message: "x".repeat(8192)
    })
    assert.deepStrictEqual(SpanEnd.describe(hostile), { type: "_OTHER", message: "error" })
  })
})
