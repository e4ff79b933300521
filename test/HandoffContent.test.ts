// What agents and pipelines get and give, and what of it stands on spans under each setting.
import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Schema, Tracer } from "effect"
import * as Agent from "../src/Agent.ts"
import * as Memory from "../src/exporter/Memory.ts"
import * as Pipeline from "../src/Pipeline.ts"
import type { SpanRecord } from "../src/SpanRecord.ts"
import * as Tracing from "../src/Tracing.ts"

const Question = Schema.Struct({ text: Schema.String, user: Schema.String })
const Answer = Schema.Struct({ text: Schema.String, tokens: Schema.Number })

/** Names nothing. */
const plain = Agent.make("plain", {
  input: Question,
  output: Answer,
  run: ({ text }) => Effect.succeed({ text: `${text}!`, tokens: 3 })
})
/** Names a field of each side. */
const careful = Agent.make("careful", {
  input: Question,
  output: Answer,
  capture: { input: ["text"], output: ["text"] },
  run: ({ text }) => Effect.succeed({ text: `${text}!`, tokens: 3 })
})
const question = { text: "why", user: "Ada" }

const recorded = <A, E>(program: Effect.Effect<A, E>, settings: Tracing.Options = {}) => {
  const memory = Memory.make()
  const tracing = Tracing.layer({ exporters: [memory.exporter], ...settings })
  return Effect.andThen(Effect.exit(program).pipe(Effect.provide(tracing)), memory.spans.all)
}

/** Somebody else's tracer, which keeps the attributes it is given. */
const foreign = (attributes: Array<readonly [string, unknown]>) =>
  Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      span.attribute = (key, value) => void attributes.push([key, value])
      return span
    }
  })

const keys = ["gen_ai.input.messages", "gen_ai.output.messages"] as const

/** The texts of input and output among attributes. */
const textsOf = (attributes: SpanRecord["attributes"]) =>
  keys.map((key) => {
    const json = attributes[key]
    return json === undefined ? undefined : JSON.parse(String(json))[0].parts[0].content
  })

/** The same of each span, on itself and on its events. */
const contents = (spans: ReadonlyArray<SpanRecord>) =>
  spans.map(({ attributes, events }) => ({
    span: textsOf(attributes),
    events: events.map(({ attributes }) => textsOf(attributes)).filter((texts) => texts.some(Boolean))
  }))

const whole = ['{"text":"why","user":"Ada"}', '{"text":"why!","tokens":3}']
const named = ['{"text":"why"}', '{"text":"why!"}']
const nothing = [undefined, undefined]

describe("what of inputs and outputs is recorded", () => {
  const both = Effect.andThen(plain(question), careful(question))

  it.effect("is what agents name, and nothing else, unless a setting says otherwise", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(contents(yield* recorded(both)), [
        { span: nothing, events: [] },
        { span: named, events: [] }
      ])
    })
  )

  it.effect("is nothing at all where a setting says so", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(contents(yield* recorded(both, { captureContent: "NO_CONTENT" })), [
        { span: nothing, events: [] },
        { span: nothing, events: [] }
      ])
    })
  )

  it.effect("is all of it where a setting says so, of agents that name fields these", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(contents(yield* recorded(both, { captureContent: "SPAN_ONLY" })), [
        { span: whole, events: [] },
        { span: named, events: [] }
      ])
      assert.deepStrictEqual(contents(yield* recorded(both, { captureContent: "EVENT_ONLY" })), [
        { span: nothing, events: [whole] },
        { span: nothing, events: [named] }
      ])
      assert.deepStrictEqual(contents(yield* recorded(both, { captureContent: "SPAN_AND_EVENT" })), [
        { span: whole, events: [whole] },
        { span: named, events: [named] }
      ])
    })
  )

  it.effect("is written as messages of the GenAI conventions, on the event that bears those of an agent", () =>
    Effect.gen(function* () {
      const [span] = yield* recorded(careful(question), { captureContent: "EVENT_ONLY" })
      assert.deepStrictEqual(
        span!.events.map(({ attributes, name }) => ({ attributes, name })),
        [
          {
            name: "gen_ai.client.agent.invoke.operation.details",
            attributes: {
              "gen_ai.operation.name": "invoke_agent",
              "gen_ai.agent.name": "careful",
              "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"{\\"text\\":\\"why\\"}"}]}]',
              "gen_ai.output.messages":
                '[{"role":"assistant","parts":[{"type":"text","content":"{\\"text\\":\\"why!\\"}"}],"finish_reason":"stop"}]'
            }
          }
        ]
      )
    })
  )

  it.effect("is that of pipelines too, which may name fields like agents", () =>
    Effect.gen(function* () {
      const open = Pipeline.make("open", careful)
      const closed = Pipeline.make("closed", careful, { capture: { output: ["tokens"] } })
      const spans = yield* recorded(Effect.andThen(open(question), closed(question)), {
        captureContent: "SPAN_AND_EVENT"
      })
      const ofPipelines = spans.filter(({ name }) => name.startsWith("pipeline."))
      const tokens = [undefined, '{"tokens":3}']
      assert.deepStrictEqual(contents(ofPipelines), [
        { span: whole, events: [whole] },
        { span: tokens, events: [tokens] }
      ])
      assert.deepStrictEqual(
        ofPipelines[0]!.events.map(({ name }) => name),
        ["pipeline.started", "pipeline.content", "pipeline.completed"]
      )
    })
  )

  it.effect("of work that fails is its input", () =>
    Effect.gen(function* () {
      const failing = Agent.make("failing", { run: (_: string) => Effect.fail("no") })
      assert.deepStrictEqual(contents(yield* recorded(failing("why"), { captureContent: "SPAN_AND_EVENT" })), [
        { span: ["why", undefined], events: [["why", undefined]] }
      ])
    })
  )

  it.effect("is a text as it is, the named fields of the items of a list, and whatever else as JSON", () =>
    Effect.gen(function* () {
      const write = <A>(value: A) => Agent.make("write", { run: (_: A) => Effect.succeed(value) })(value)
      const list = Agent.make("list", {
        input: Schema.Array(Question),
        capture: { input: ["text"] },
        run: () => Effect.void
      })
      const circle: { self?: unknown } = {}
      circle.self = circle
      const broken = {
        get note(): string {
          throw new Error("no")
        }
      }
      const texts: Array<unknown> = []
      for (const value of ["plain", 42, ["a", "b"], { n: 7n }, null, undefined, circle, broken, new Map([[1, 2]])]) {
        texts.push(contents(yield* recorded(write(value), { captureContent: "SPAN_ONLY" }))[0]!.span[1])
      }
      assert.deepStrictEqual(texts, [
        "plain",
        "42",
        '["a","b"]',
        '{"n":"7n"}',
        "null",
        undefined,
        "{}",
        '{"note":"!UNENCODABLE"}',
        "[[1,2]]"
      ])
      assert.deepStrictEqual(contents(yield* recorded(list([question, { text: "how", user: "Bob" }]))), [
        { span: ['[{"text":"why"},{"text":"how"}]', undefined], events: [] }
      ])
    })
  )

  it.effect("is not even read where the trace is not recorded", () =>
    Effect.gen(function* () {
      let reads = 0
      const input = {
        get text() {
          return `${++reads}`
        },
        user: "Ada"
      }
      const { text } = yield* careful(input).pipe(
        Effect.provide(Tracing.layer({ exporters: [], captureContent: "SPAN_AND_EVENT", sampler: "always_off" }))
      )
      // Once by the Schema that checks it, once by the agent.
      assert.deepStrictEqual([text, reads], ["2!", 2])
    })
  )

  it.effect("shows what was passed, whatever becomes of it afterwards", () =>
    Effect.gen(function* () {
      const input = { text: "why", user: "Ada" }
      const changing = Agent.make("changing", {
        capture: { input: ["text"] },
        run: (question: typeof input) => Effect.sync(() => void (question.text = "changed"))
      })
      assert.deepStrictEqual(contents(yield* recorded(changing(input), { captureContent: "SPAN_AND_EVENT" })), [
        { span: ['{"text":"why"}', undefined], events: [['{"text":"why"}', undefined]] }
      ])
    })
  )

  it.effect("has no secrets in it, and nothing that is Redacted", () =>
    Effect.gen(function* () {
      const login = Agent.make("login", {
        capture: { input: ["note", "password", "key"], output: true },
        run: (input: { note: string; password: string; key: Redacted.Redacted; other: string }) =>
          Effect.succeed(`sent to ${input.note}`)
      })
      const input = { note: "ada@example.com", password: "hunter2", key: Redacted.make("k-1"), other: "o-1" }
      assert.deepStrictEqual(contents(yield* recorded(login(input))), [
        {
          span: ['{"note":"[EMAIL_1]","password":"[PASSWORD_1]","key":"<redacted>"}', "sent to [EMAIL_1]"],
          events: []
        }
      ])
    })
  )

  it.effect("is shown to no tracer but a Recorder", () =>
    Effect.gen(function* () {
      const inside: Array<readonly [string, unknown]> = []
      yield* recorded(Effect.withTracer(careful(question), foreign(inside)))
      assert.include(JSON.stringify(inside), '["gen_ai.input.messages","<content>"]')
      assert.notInclude(inspect(inside, { depth: 9, showHidden: true }) + inside.flat().join(), "why")
      const outside: Array<readonly [string, unknown]> = []
      yield* Effect.withTracer(careful(question), foreign(outside))
      assert.deepStrictEqual(
        outside.filter(([key]) => key === "agent" || key.endsWith(".messages")),
        [["agent", "careful"]]
      )
    })
  )

  it.effect("is cut where it is too long, as whole JSON, and the span says so", () =>
    Effect.gen(function* () {
      const echo = Agent.make("echo", {
        capture: { input: true, output: true },
        run: (text: string) => Effect.succeed(text)
      })
      const [span] = yield* recorded(echo("ab\u{1f600}cd"), { contentLength: 3 })
      assert.deepStrictEqual(textsOf(span!.attributes), ["ab", "ab"])
      assert.strictEqual(span!.attributes["handspan.truncated"], 2)
      const [whole] = yield* recorded(echo("a".repeat(20_000)))
      assert.deepStrictEqual(textsOf(whole!.attributes), ["a".repeat(16_384), "a".repeat(16_384)])
      const [short] = yield* recorded(echo("a".repeat(20_000)), { attributeValueLength: 100 })
      assert.strictEqual(String(short!.attributes["gen_ai.input.messages"]).length, 100)
    })
  )
})
