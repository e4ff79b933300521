/** Plants secrets wherever a span can hold a text, and looks for them in what each exporter gives out. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import * as fc from "fast-check"
import * as Agent from "../src/Agent.ts"
import * as ConsoleExporter from "../src/exporter/Console.ts"
import * as Memory from "../src/exporter/Memory.ts"
import * as OpenTelemetry from "../src/exporter/OpenTelemetry.ts"
import * as Otlp from "../src/exporter/Otlp.ts"
import type { Exporter } from "../src/Exporter.ts"
import * as Pipeline from "../src/Pipeline.ts"
import * as Tracing from "../src/Tracing.ts"
import * as Receiver from "./receiver.ts"
import { textOf } from "./live.ts"

class Refused extends Schema.TaggedError<Refused>()("Refused", { message: Schema.String, reply: Schema.String }) {}

/** A caller in another process, for a link. */
const elsewhere = Tracer.externalSpan({ traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" })

/** Every place of a span that takes a text, each by itself. */
const places: Readonly<Record<string, (text: string) => Effect.Effect<unknown, unknown>>> = {
  "the name of a span": (text) => Effect.withSpan(Effect.void, `fetch ${text}`),
  "an attribute": (text) => Effect.withSpan(Effect.void, "work", { attributes: { said: `it was ${text}.` } }),
  "an attribute that came later": (text) => Effect.withSpan(Effect.annotateCurrentSpan("said", text), "work"),
  "a list": (text) => Effect.withSpan(Effect.void, "work", { attributes: { said: ["first", text] } }),
  "an object": (text) => Effect.withSpan(Effect.annotateCurrentSpan("said", { deep: { deeper: text } }), "work"),
  "the query of a URL": (text) =>
    Effect.withSpan(Effect.void, "work", {
      attributes: { "url.full": `https://example.com/?q=1&key=${encodeURIComponent(text)}#top` }
    }),
  "the user of a URL": (text) =>
    Effect.withSpan(Effect.void, "work", { attributes: { "url.full": `https://ada:${text}@example.com/` } }),
  "a header": (text) =>
    Effect.withSpan(Effect.void, "work", { attributes: { "http.request.header.authorization": [`Bearer ${text}`] } }),
  "an event": (text) => spanned((span) => span.event(`got ${text}`, 1n, { said: text })),
  "a link": (text) => spanned((span) => span.addLinks([{ span: elsewhere, attributes: { said: text } }])),
  "a log line": (text) => Effect.withSpan(Effect.log(`used ${text}`, { with: text }), "work"),
  "an annotation of a log line": (text) =>
    Effect.withSpan(Effect.log("used it").pipe(Effect.annotateLogs("said", text)), "work"),
  "a typed error": (text) => Effect.withSpan(new Refused({ message: `no ${text}`, reply: text }), "work"),
  "an error that is a text": (text) => Effect.withSpan(Effect.fail(text), "work"),
  "an error that is data": (text) => Effect.withSpan(Effect.fail({ code: 1, message: text }), "work"),
  "a defect": (text) => Effect.withSpan(Effect.die(new Error(`broken by ${text}`)), "work"),
  "the cause of an error": (text) =>
    Effect.withSpan(
      Effect.die(new Error("broken", { cause: new Error("deeper", { cause: new Error(text) }) })),
      "work"
    ),
  "several errors": (text) =>
    Effect.withSpan(Effect.failCause(Cause.combine(Cause.fail("one"), Cause.die(new TypeError(text)))), "work"),
  "an agent": (text) =>
    Agent.make("writer", { run: (reply: string) => Effect.fail(new Refused({ message: reply, reply })) })(text),
  "what an agent gets": (text) =>
    Agent.make("reader", { run: (_: { readonly note: string }) => Effect.void })({ note: text }),
  "what an agent gives": (text) => Agent.make("writer", { run: () => Effect.succeed([{ note: text }]) })(),
  "what a pipeline gives": (text) => Pipeline.make("writers", () => Effect.succeed(`it was ${text}.`))(),
  "the name of a pipeline": (text) => Pipeline.make(`for ${text}`, () => Effect.void)()
}

const spanned = (use: (span: Tracer.Span) => void) =>
  Effect.withSpan(
    Effect.flatMap(Effect.orDie(Effect.currentSpan), (span) => Effect.sync(() => use(span))),
    "work"
  )

/** Runs a program under every exporter, and gives what each gave out. */
const published = (program: Effect.Effect<unknown, unknown>, note: string, redaction: boolean) =>
  Effect.gen(function* () {
    const printed: Array<string> = []
    const print = (...args: ReadonlyArray<unknown>): void => void printed.push(args.join(" "))
    const foreign: Array<string> = []
    const { base, requests } = yield* Receiver.open()
    const memory = Memory.make()
    const exporters: ReadonlyArray<Exporter> = [
      memory.exporter,
      ...(["pretty", "line", "trace", "continuum", "json"] as const).map((format) => ConsoleExporter.make({ format })),
      yield* Otlp.make({ endpoint: base, protocol: "http/json" }),
      yield* Otlp.make({ endpoint: base, protocol: "http/protobuf" }),
      OpenTelemetry.fromSpanExporter("foreign", {
        export: (spans, done) => {
          for (const { attributes, events, links, name, resource, status } of spans)
            foreign.push(textOf({ attributes, events, links, name, status, resource: resource.attributes }))
          done({ code: 0 })
        },
        shutdown: () => Promise.resolve()
      })
    ]
    const resourceAttributes = { "deployment.note": note }
    const tracing = Tracing.layer({
      exporters,
      redaction,
      resourceAttributes,
      serviceName: "photos",
      captureContent: "SPAN_AND_EVENT"
    })
    yield* Effect.exit(program).pipe(
      // Of log lines only what stands on spans is looked at.
      Effect.provide(Layer.merge(tracing, Logger.layer([Logger.tracerLogger]))),
      Effect.provideService(Console.Console, { ...globalThis.console, log: print, error: print })
    )
    const [json = [], protobuf = []] = ["application/json", "application/x-protobuf"].map((type) =>
      requests.filter(({ headers }) => headers["content-type"] === type).map(({ body }) => body.toString())
    )
    return {
      memory: textOf(yield* memory.spans.all),
      console: printed.join("\n"),
      json: json.join("\n"),
      protobuf: protobuf.join("\n"),
      foreign: foreign.join("\n")
    }
  })

const chance = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5bC7dE9fG1hJ4kL6mN8pQ0rS2t"

/** Secrets of their kinds, put together here so that nobody takes this file for a leak. */
const secret = fc.oneof(
  fc.string({ minLength: 40, maxLength: 48, unit: fc.constantFrom(...chance) }).map((rest) => `sk-proj-${rest}`),
  fc.string({ minLength: 36, maxLength: 36, unit: fc.constantFrom(...chance) }).map((rest) => `ghp_${rest}`),
  fc.string({ minLength: 5, maxLength: 12, unit: fc.constantFrom(..."abcdefgh") }).map((user) => `${user}@example.com`),
  fc.constantFrom("4111111111111111", "5555555555554444", "378282246310005")
)

/** A card that stands across the place where texts of this length are cut, or where no more of them is looked at. */
const across = (length: number): ReadonlyArray<string> =>
  [length - 8, length + 4096 - 15].map(
    (before) => `${"x ".repeat(before / 2)}4111111111111111 and more ${"y ".repeat(5000)}`
  )

/** Shrinks by far, so that what stood behind the cut would come before it. */
const keys = Array.from(
  { length: 3 },
  () => `-----BEGIN PRIVATE KEY-----\n${chance.repeat(40)}\n-----END PRIVATE KEY-----`
).join("\n")

describe("what leaves the program", () => {
  it.live("holds no half of a secret, wherever a text is cut", () =>
    Effect.gen(function* () {
      const failing = (message: string) =>
        Agent.make("failing", {
          retry: Agent.retryTransient({ maxAttempts: 2, minWait: 0, maxWait: 0 }),
          run: () => new Refused({ message, reply: "" })
        })()
      const cut: ReadonlyArray<readonly [length: number, (text: string) => Effect.Effect<unknown, unknown>]> = [
        [8192, failing],
        [8192, (text) => Effect.withSpan(Effect.logError(new Error(text)), "work")],
        [8192, (text) => Effect.withSpan(Effect.logError(text, Cause.fail(new Error(text))), "work")],
        [8192, (text) => Effect.withSpan(Effect.void, text)],
        [16_384, (text) => Agent.make("echo", { run: (_: string) => Effect.void })(text)]
      ]
      for (const [length, place] of cut) {
        for (const text of across(length).flatMap((text) => [text, `${keys}${text}`])) {
          const { json, memory } = yield* published(place(text), "", true)
          for (const told of [json, memory]) {
            assert.include(told, "x x x")
            assert.notInclude(told, "41111111")
            assert.include(told, '"handspan.truncated"')
          }
        }
      }
    })
  )

  it.live("holds no secret, wherever it was planted", () =>
    Effect.gen(function* () {
      for (const planted of fc.sample(secret, 20)) {
        const program = Effect.forEach(Object.values(places), (place) => Effect.exit(place(planted)))
        for (const [exporter, text] of Object.entries(yield* published(program, `begun with ${planted}`, true))) {
          assert.include(text, "fetch [", exporter)
          assert.notInclude(text, planted, exporter)
          assert.notInclude(text, encodeURIComponent(planted), exporter)
        }
      }
    })
  )

  for (const [name, place] of Object.entries(places)) {
    it.live(`would hold it without redaction: ${name}`, () =>
      Effect.gen(function* () {
        const planted = `sk-proj-${chance.slice(0, 40)}`
        const { console: _, ...texts } = yield* published(place(planted), "", false)
        for (const [exporter, text] of Object.entries(texts)) assert.include(text, planted, exporter)
      })
    )
  }
})
