// Programs that OpenTelemetry's own SDKs trace, in Python and in Go: they call Handspan and are called by it, over HTTP and by
// messages. Whatever way it takes, it is one trace, with its tracestate, its flags and its baggage.
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Result, type Scope } from "effect"
import type { ServerResponse } from "node:http"
import { join } from "node:path"
import * as Envelope from "../../src/Envelope.ts"
import * as Memory from "../../src/exporter/Memory.ts"
import * as Http from "../../src/Http.ts"
import * as OtelTraceState from "../../src/OtelTraceState.ts"
import * as Propagator from "../../src/Propagator.ts"
import * as Sampler from "../../src/Sampler.ts"
import * as Sampling from "../../src/Sampling.ts"
import * as Settings from "../../src/Settings.ts"
import * as Subprocess from "../../src/Subprocess.ts"
import * as TraceContext from "../../src/TraceContext.ts"
import * as Tracing from "../../src/Tracing.ts"
import { question } from "../questions.ts"
import * as Receiver from "../receiver.ts"
import { traceIds } from "../trace-ids.ts"
import * as Programs from "./interop/programs.ts"

/** What a program sees of the span that is running. */
interface Seen {
  readonly trace_id: string
  readonly span_id: string
  /** `""` where there is none. */
  readonly parent_span_id: string
  readonly trace_flags: string
  readonly tracestate: string
  readonly baggage: Readonly<Record<string, string>>
}

/** What we see of it, told as they tell it. */
const seen: Effect.Effect<Seen> = Effect.gen(function* () {
  const { context } = yield* Propagator.current
  const baggage = yield* TraceContext.CurrentBaggage
  const { parent } = yield* Effect.orDie(Effect.currentSpan)
  return {
    trace_id: context?.traceId ?? "",
    span_id: context?.spanId ?? "",
    parent_span_id: parent._tag === "Some" ? parent.value.spanId : "",
    trace_flags: `0${context?.flags}`,
    tracestate: context?.traceState ?? "",
    baggage: Object.fromEntries(Array.from(baggage, ([name, { value }]) => [name, value]))
  }
})

/** A service of ours that answers what it sees. */
const ours = Effect.flatMap(
  Http.nodeListener((_, outgoing: ServerResponse) => Effect.map(seen, (seen) => outgoing.end(JSON.stringify(seen)))),
  Receiver.serve
)

interface Peer {
  readonly url: string
  readonly ask: (command: { readonly do: string; readonly [field: string]: unknown }) => Effect.Effect<any>
}

/** Starts a program that traces by itself, and serves. */
const start = (command: string, args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const { connection } = yield* Subprocess.spawn({ command, args, env })
    const { url } = (yield* connection.receive) as { readonly url: string }
    const peer: Peer = {
      url,
      ask: (command) => Effect.andThen(connection.send(command), connection.receive).pipe(Effect.orDie)
    }
    return peer
  }).pipe(Effect.orDie)

interface Language {
  readonly name: string
  readonly build: () => Promise<string>
  readonly start: (built: string) => Effect.Effect<Peer, never, Scope.Scope>
  /** What it writes where a text of baggage is this one. */
  readonly writes: (text: string) => string
  /** The flags of traces that it begins: whether it says that their ids are random. */
  readonly begins: string
}

const languages: ReadonlyArray<Language> = [
  {
    name: "Python",
    build: Programs.pythonPackages,
    start: (packages) => start("python3", [join(import.meta.dirname, "interop/peer.py")], { PYTHONPATH: packages }),
    // As in a form on the Web; W3C Baggage knows of %20 alone, and a `+` of others is one.
    writes: (text) => text.replaceAll(" ", "+"),
    begins: "03"
  },
  {
    name: "Go",
    build: Programs.goPrograms,
    start: (programs) => start(join(programs, "gopeer"), []),
    writes: (text) => text,
    begins: "01"
  }
]

const traceId = "0af7651916cd43dd8448eb211c80319c"
const caller = { traceparent: `00-${traceId}-b7ad6b7169203331-03`, tracestate: "vendor=1,ot=th:8,b@c=x y" }
const entries = {
  person: "Zoë 日本 🎉",
  sum: "1+1=2",
  share: "100%",
  code: "%20",
  list: 'a,b;c="d"\\',
  empty: ""
}
const baggage: TraceContext.Baggage = new Map(
  Object.entries(entries).map(([name, value]) => [name, { value, metadata: "" }])
)

/** What all spans below the caller are told. */
const told = { trace_id: traceId, trace_flags: "03", tracestate: caller.tracestate, baggage: entries }

/** What a child sees: what its parent does, and who that is. */
const childOf = (parent: Seen, span_id: string, baggage: Seen["baggage"] = parent.baggage): Seen => ({
  ...parent,
  span_id,
  parent_span_id: parent.span_id,
  baggage
})

/** Ids on both sides of a half, whatever part of an id somebody takes for its number. */
const halves = [
  "0".repeat(16),
  `7${"f".repeat(15)}`,
  `8${"0".repeat(15)}`,
  `007${"f".repeat(13)}`,
  `008${"0".repeat(13)}`
]
const edges = halves.flatMap((high) => halves.map((low) => high + low)).slice(1)

describe.each(languages)("$name", ({ begins, build, start, writes }) => {
  let built = ""
  beforeAll(async () => {
    built = await build()
  }, Programs.buildMillis)

  const written = Object.fromEntries(Object.entries(entries).map(([name, value]) => [name, writes(value)]))

  /** Runs a program, and gives what came of it with the spans that we recorded, by their kind. */
  const recorded = <A>(program: (peer: Peer) => Effect.Effect<A, unknown, Scope.Scope>) =>
    Effect.gen(function* () {
      const value = yield* Effect.scoped(Effect.flatMap(start(built), program)).pipe(Effect.orDie)
      const spans = yield* (yield* Memory.Spans).all
      return { value, spans: Object.fromEntries(spans.map((span) => [span.kind, span])) }
    }).pipe(Effect.provide(Tracing.layerInMemory))

  it.live("calls us: its span is the parent of ours", () =>
    Effect.gen(function* () {
      const { spans, value } = yield* recorded((peer) =>
        Effect.flatMap(ours, ({ base }) => peer.ask({ do: "call", headers: caller, entries, url: base }))
      )
      const { answer, client } = value as { readonly client: Seen; readonly answer: Seen }
      assert.deepStrictEqual(client, { ...told, span_id: client.span_id, parent_span_id: client.parent_span_id })
      assert.deepStrictEqual(answer, childOf(client, answer.span_id, written))
      const { flags, parentIsRemote, parentSpanId, spanId, traceState } = spans["server"]!
      assert.deepStrictEqual(
        [spanId, parentSpanId, parentIsRemote, flags, traceState],
        [answer.span_id, client.span_id, true, 3, caller.tracestate]
      )
    })
  )

  it.live("is called by us, and calls us back: four spans in a row, over two processes", () =>
    Effect.gen(function* () {
      const { spans, value } = yield* recorded((peer) =>
        Effect.gen(function* () {
          const { base } = yield* ours
          const fetch = yield* Http.fetch()
          const url = `${peer.url}/?to=${encodeURIComponent(base)}`
          return yield* Effect.promise(async () => (await fetch(url)).json())
        }).pipe(Propagator.withRemoteParent(caller), Effect.provideService(TraceContext.CurrentBaggage, baggage))
      )
      const { answer, client, server } = value as { readonly [side in "server" | "client" | "answer"]: Seen }
      const first = { ...told, span_id: spans["client"]!.spanId, parent_span_id: "b7ad6b7169203331" }
      assert.strictEqual(spans["client"]!.parentSpanId, first.parent_span_id)
      assert.deepStrictEqual(server, childOf(first, server.span_id))
      assert.deepStrictEqual(client, childOf(server, client.span_id))
      assert.deepStrictEqual(answer, childOf(client, answer.span_id, written))
      assert.deepStrictEqual([spans["server"]!.spanId, spans["server"]!.parentSpanId], [answer.span_id, client.span_id])
    })
  )

  it.live("sends us a message, and takes one in", () =>
    Effect.gen(function* () {
      const { spans, value } = yield* recorded((peer) =>
        Effect.gen(function* () {
          const { message, producer } = yield* peer.ask({ do: "send", headers: caller, entries })
          const taken = yield* seen.pipe(Envelope.receive("photos", message))
          const given = yield* Envelope.send("photos", { path: "a.jpg" }, (message) =>
            peer.ask({ do: "receive", message })
          ).pipe(Propagator.withRemoteParent(caller), Effect.provideService(TraceContext.CurrentBaggage, baggage))
          return { producer, taken, consumer: given.consumer }
        })
      )
      const { consumer, producer, taken } = value as { readonly [side in "producer" | "taken" | "consumer"]: Seen }
      assert.deepStrictEqual(taken, childOf(producer, spans["consumer"]!.spanId, written))
      const sender = { ...told, span_id: spans["producer"]!.spanId, parent_span_id: "b7ad6b7169203331" }
      assert.deepStrictEqual(consumer, childOf(sender, consumer.span_id))
    })
  )

  it.live("begins traces that we go on with, and is recorded by us only where its caller is", () =>
    Effect.gen(function* () {
      const unsampled = { traceparent: caller.traceparent.replace(/03$/, "02") }
      const { spans, value } = yield* recorded((peer) =>
        Effect.flatMap(ours, ({ base }) =>
          Effect.forEach([{}, unsampled], (headers) => peer.ask({ do: "call", headers, entries: {}, url: base }))
        )
      )
      const [began, followed] = value as ReadonlyArray<{ readonly client: Seen; readonly answer: Seen }>
      assert.deepStrictEqual(
        [began!.client.parent_span_id, began!.client.trace_flags, began!.answer.trace_flags],
        ["", begins, begins]
      )
      assert.deepStrictEqual([followed!.client.trace_flags, followed!.answer.trace_flags], ["02", "02"])
      assert.deepStrictEqual(Object.keys(spans), ["server"])
      assert.strictEqual(spans["server"]!.traceId, began!.client.trace_id)
    })
  )

  it.live("takes the very traces that we take by ratio, and tells the same of them by probability", () =>
    Effect.gen(function* () {
      const ids = [...traceIds(2_000), ...edges]
      for (const ratio of [0, 0.1, 1 / 3, 0.5, 0.99, 1]) {
        const theirs = yield* Effect.scoped(
          Effect.flatMap(start(built), (peer) => peer.ask({ do: "sample", ratio, ids }))
        )
        const variables = { OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: String(ratio) }
        const sampler = Sampling.fromSettings(Result.getOrThrow(Settings.fromRecord(variables)))!
        const others = ids.filter(
          (id, index) => sampler.decide(question({ traceId: id })).sampled !== theirs.ratio[index]
        )
        assert.deepStrictEqual(others, [], `ratio ${ratio}`)

        if (theirs.probability === undefined) continue
        const told = (id: string) =>
          OtelTraceState.withThreshold("", Sampler.probability(ratio).decide(question({ traceId: id })).threshold)
        const toldOtherwise = ids.filter((id, index) => told(id) !== theirs.probability[index])
        assert.deepStrictEqual(toldOtherwise, [], `probability ${ratio}`)
      }
    })
  )
})
