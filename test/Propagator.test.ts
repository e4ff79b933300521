import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import * as Tracer from "effect/Tracer"
import * as fc from "fast-check"
import * as Recorder from "../src/Recorder.ts"
import * as Testing from "../src/Testing.ts"
import * as Propagator from "../src/Propagator.ts"
import * as TraceContext from "../src/TraceContext.ts"

const traceId = "12345678901234567890123456789012"
const spanId = "1234567890123456"
const traceparent = `00-${traceId}-${spanId}-03`
const context: TraceContext.TraceContext = { traceId, spanId, flags: 3, traceState: "a=1,b=2" }
const userAlice: TraceContext.Baggage = new Map([["user", { value: "alice b", metadata: "private" }]])
const allHeaders = { traceparent, tracestate: "a=1,b=2", baggage: "user=alice%20b;private" }

const injectAll = (propagator: Propagator.Propagator, propagated: Propagator.Propagated) => {
  const headers: Record<string, string> = {}
  propagator.inject(propagated, (name, value) => (headers[name] = value))
  return headers
}

const extractFrom = (propagator: Propagator.Propagator, headers: Readonly<Record<string, ReadonlyArray<string>>>) =>
  propagator.extract((name) => headers[name] ?? [])

/** What an effect under `withRemoteParent` finds. */
const continued = (carrier: Propagator.Carrier) => Propagator.current.pipe(Propagator.withRemoteParent(carrier))
const nothing: Propagator.Propagated = { context: undefined, baggage: new Map() }

describe("w3c", () => {
  it("w3c injects trace context and baggage", () => {
    assert.deepStrictEqual(injectAll(Propagator.w3c, { context, baggage: userAlice }), allHeaders)
    assert.deepStrictEqual(Propagator.w3c.fields, ["traceparent", "tracestate", "baggage"])
  })

  it("w3c injects nothing for nothing", () => {
    assert.deepStrictEqual(injectAll(Propagator.w3c, nothing), {})
    assert.deepStrictEqual(injectAll(Propagator.w3c, { ...nothing, context: { ...context, traceState: "" } }), {
      traceparent
    })
  })

  it("w3c injects neither ids that are invalid nor a tracestate that would break the header", () => {
    assert.deepStrictEqual(injectAll(Propagator.w3c, { ...nothing, context: { ...context, spanId: "noop" } }), {})
    assert.deepStrictEqual(
      injectAll(Propagator.w3c, { ...nothing, context: { ...context, traceState: "a=1\r\nx: y" } }),
      { traceparent }
    )
  })

  it("w3c extracts what it injects", () => {
    const headers = { traceparent: [traceparent], tracestate: ["a=1", "b=2"], baggage: ["user=alice%20b;private"] }
    assert.deepStrictEqual(extractFrom(Propagator.w3c, headers), { context, baggage: userAlice })
  })

  it("w3c does not read a tracestate without one valid traceparent", () => {
    const tracestate = ["a=1"]
    assert.deepStrictEqual(extractFrom(Propagator.w3c, { tracestate }), {})
    const unreadable = { unreadable: ["traceparent"] }
    assert.deepStrictEqual(extractFrom(Propagator.w3c, { traceparent: ["00-0-0-00"], tracestate }), unreadable)
    const twice = { traceparent: [traceparent, traceparent], tracestate }
    assert.deepStrictEqual(extractFrom(Propagator.w3c, twice), unreadable)
  })

  it.each([
    ["tracestate", { tracestate: ["a=1,a=2"] }, { context: { ...context, traceState: "" } }],
    ["tracestate", { tracestate: [`a=1,b=${"b".repeat(200)},c=${"c".repeat(250)},d=${"d".repeat(200)}`] }, undefined],
    ["baggage", { baggage: ["user=alice, =bob"] }, undefined],
    ["baggage", { baggage: ["user=alice,user=bob"] }, undefined],
    ["baggage", { baggage: [`user=alice,long=${"l".repeat(9000)}`] }, undefined]
  ])("w3c says of a %s that is not whole that it is not: %o", (field, headers, found) => {
    const extracted = extractFrom(Propagator.w3c, { traceparent: [traceparent], ...headers })
    assert.deepStrictEqual(extracted.unreadable, [field])
    if (found !== undefined) assert.deepStrictEqual(extracted, { ...found, unreadable: [field] })
    assert.strictEqual(extracted.context?.traceId, traceId)
    if (field === "baggage") assert.isTrue(extracted.baggage?.has("user"))
  })
})

describe("composite", () => {
  const other: Propagator.Propagator = {
    fields: ["other"],
    inject: (propagated, set) => set("other", propagated.context?.spanId ?? "none"),
    extract: (get) => {
      const [own] = get("other")
      return { context: own === undefined ? undefined : { ...context, spanId: own } }
    }
  }

  it("composite() injects with each", () => {
    const propagator = Propagator.composite(other, Propagator.w3c)
    assert.deepStrictEqual(propagator.fields, ["other", "traceparent", "tracestate", "baggage"])
    assert.deepStrictEqual(injectAll(propagator, { context, baggage: userAlice }), { other: spanId, ...allHeaders })
  })

  it("composite() keeps in either order what one of them found", () => {
    for (const order of [
      [other, Propagator.w3c],
      [Propagator.w3c, other]
    ]) {
      const propagator = Propagator.composite(...order)
      assert.deepStrictEqual(extractFrom(propagator, { other: ["2".repeat(16)] }), {
        context: { ...context, spanId: "2".repeat(16) }
      })
      assert.deepStrictEqual(
        extractFrom(propagator, { traceparent: [traceparent], baggage: ["user=alice%20b;private"] }),
        {
          context: { ...context, traceState: "" },
          baggage: userAlice
        }
      )
    }
  })

  it("composite() lets the later count where both found one", () => {
    const headers = { other: ["2".repeat(16)], traceparent: [traceparent] }
    assert.strictEqual(extractFrom(Propagator.composite(other, Propagator.w3c), headers).context?.spanId, spanId)
    assert.strictEqual(
      extractFrom(Propagator.composite(Propagator.w3c, other), headers).context?.spanId,
      "2".repeat(16)
    )
  })
})

describe("b3", () => {
  const short = "463ac35c9f6413ad"
  const sampled = { traceId, spanId, flags: 1, traceState: "" }

  it.each<[string, Record<string, string>, TraceContext.TraceContext | undefined]>([
    ["one header", { b3: `${traceId}-${spanId}-1` }, sampled],
    ["one header with a parent", { b3: `${traceId}-${spanId}-1-${short}` }, sampled],
    ["a trace that is not sampled", { b3: `${traceId}-${spanId}-0` }, { ...sampled, flags: 0 }],
    ["a trace that is debugged", { b3: `${traceId}-${spanId}-d` }, { ...sampled, flags: 0x101 }],
    ["a decision that is left to us", { b3: `${traceId}-${spanId}` }, sampled],
    ["an id of 64 bits", { b3: `${short}-${spanId}-1` }, { ...sampled, traceId: `0000000000000000${short}` }],
    ["upper case", { b3: `${"AB".repeat(16)}-${spanId}-1` }, { ...sampled, traceId: "ab".repeat(16) }],
    ["several headers", { "x-b3-traceid": traceId, "x-b3-spanid": spanId, "x-b3-sampled": "1" }, sampled],
    ["the flag of old senders", { "x-b3-traceid": traceId, "x-b3-spanid": spanId, "x-b3-sampled": "true" }, sampled],
    [
      "several headers, debugged",
      { "x-b3-traceid": traceId, "x-b3-spanid": spanId, "x-b3-flags": "1" },
      { ...sampled, flags: 0x101 }
    ],
    [
      "both, of which the one counts",
      { b3: `${traceId}-${spanId}-0`, "x-b3-traceid": "1".repeat(32), "x-b3-spanid": spanId },
      { ...sampled, flags: 0 }
    ],
    ["both, of which the one is broken", { b3: "0", "x-b3-traceid": traceId, "x-b3-spanid": spanId }, sampled],
    ["a decision without ids", { b3: "0" }, undefined]
  ])("b3 and b3multi extract %s", (_, headers, context) => {
    const lists = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]]))
    for (const propagator of [Propagator.b3, Propagator.b3multi]) {
      assert.deepStrictEqual(extractFrom(propagator, lists), context === undefined ? {} : { context })
    }
  })

  it.each([
    ["ids of zeros", { b3: [`${"0".repeat(32)}-${spanId}-1`] }, "b3"],
    ["half of it", { "x-b3-traceid": [traceId] }, "x-b3-traceid"],
    ["two of them", { b3: [`${traceId}-${spanId}-1`, `${traceId}-${spanId}-1`] }, "b3"]
  ])("b3 and b3multi say that they cannot read %s", (_, headers, field) => {
    for (const propagator of [Propagator.b3, Propagator.b3multi]) {
      assert.deepStrictEqual(extractFrom(propagator, headers), { unreadable: [field] })
    }
  })

  it("b3 and b3multi inject as OpenTelemetry does", () => {
    const inject = (propagator: Propagator.Propagator, flags: number) =>
      injectAll(propagator, { ...nothing, context: { ...context, flags } })
    assert.deepStrictEqual(
      [0, 3, 0x101].map((flags) => inject(Propagator.b3, flags)["b3"]),
      [`${traceId}-${spanId}-0`, `${traceId}-${spanId}-1`, `${traceId}-${spanId}-d`]
    )
    const ids = { "x-b3-traceid": traceId, "x-b3-spanid": spanId }
    assert.deepStrictEqual(
      [0, 3, 0x101].map((flags) => inject(Propagator.b3multi, flags)),
      [
        { ...ids, "x-b3-sampled": "0" },
        { ...ids, "x-b3-sampled": "1" },
        { ...ids, "x-b3-flags": "1" }
      ]
    )
  })

  it.effect("keeps the debug flag through our own spans, and out of a traceparent", () =>
    Effect.gen(function* () {
      const both = Propagator.composite(Propagator.w3c, Propagator.b3)
      const headers = yield* Effect.withSpan(Effect.withSpan(Propagator.inject(), "inner"), "outer").pipe(
        Propagator.withRemoteParent({ b3: `${traceId}-${spanId}-d` }),
        Effect.provideService(Propagator.CurrentPropagator, both),
        Effect.withTracer(Recorder.make({ onEnd: () => undefined }))
      )
      assert.match(headers["b3"] ?? "", new RegExp(`^${traceId}-[0-9a-f]{16}-d$`))
      assert.match(headers["traceparent"] ?? "", new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`))
    })
  )

  it("leaves tracestate and random flag of a sender that writes both formats", () => {
    const headers = { traceparent: [traceparent], tracestate: ["a=1,b=2"], b3: [`${traceId}-${spanId}-1`] }
    const both = Propagator.composite(Propagator.w3c, Propagator.b3)
    assert.deepStrictEqual(extractFrom(both, headers), { context })
  })
})

describe("receive", () => {
  const caller = { traceparent, baggage: "user=alice" }
  const received = (carrier: Propagator.Carrier, trust?: TraceContext.Trust) =>
    Testing.record(
      Effect.all([TraceContext.CurrentBaggage, Effect.currentSpan]).pipe(
        Propagator.receive(carrier, { name: "handle", kind: "consumer", attributes: { queue: "jobs" } }),
        trust === undefined ? identity : Effect.provideService(Propagator.CurrentTrust, trust),
        Effect.withSpan("around")
      )
    )

  it.effect("follows, links or ignores, as it is told", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      for (const [carrier, trust] of [
        [caller, undefined],
        [caller, "follow"],
        [caller, "link"],
        [caller, "ignore"],
        [{}, "follow"],
        [{ traceparent: "00-00-00-00" }, "link"]
      ] as const) {
        const { exit, traces } = yield* received(carrier, trust)
        const span = traces.flatMap(({ spans }) => spans).find(({ name }) => name === "handle")!
        const [baggage] = Exit.isSuccess(exit) ? exit.value : []
        assert.deepStrictEqual([span.kind, span.attributes["queue"]], ["consumer", "jobs"])
        seen.push([
          span.traceId === traceId,
          span.parentSpanId,
          span.links.map((link) => link.traceId),
          baggage?.get("user")?.value
        ])
      }
      assert.deepStrictEqual(seen, [
        [true, spanId, [], "alice"],
        [true, spanId, [], "alice"],
        [false, undefined, [traceId], undefined],
        [false, undefined, [], undefined],
        [false, undefined, [], undefined],
        [false, undefined, [], undefined]
      ])
    })
  )
})

describe("withRemoteParent", () => {
  it.effect.each<[string, Propagator.Carrier]>([
    ["a record", allHeaders],
    [
      "a record with other cases and lists",
      { TraceParent: [traceparent], TRACESTATE: ["a=1", "b=2"], Baggage: "user=alice%20b;private" }
    ],
    ["a Map", new Map(Object.entries(allHeaders))],
    ["a Fetch Headers", new Headers(allHeaders)],
    ["pairs that come once", new Map(Object.entries(allHeaders)).entries()],
    [
      "pairs of which some are no text",
      [...Object.entries(allHeaders), [7, "a"], ["tracestate", 7]] as unknown as Propagator.Carrier
    ],
    ["pairs", [...Object.entries({ ...allHeaders, tracestate: "a=1" }), ["tracestate", "b=2"]]]
  ])("withRemoteParent() continues the trace of %s", ([, carrier]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* continued(carrier), { context, baggage: userAlice })
    })
  )

  it.effect.each<[string, Propagator.Carrier]>([
    ["empty", {}],
    ["invalid", { traceparent: "00-0-0-00", tracestate: "a=1", baggage: "=" }],
    [
      "repeated",
      [
        ["traceparent", traceparent],
        ["Traceparent", traceparent]
      ]
    ],
    [
      "repeated in Headers",
      new Headers([
        ["traceparent", traceparent],
        ["traceparent", traceparent]
      ])
    ],
    ["not text", { traceparent: undefined, tracestate: null, baggage: [7, {}] } as unknown as Propagator.Carrier]
  ])("withRemoteParent() leaves the effect alone where the carrier is %s", ([, carrier]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* continued(carrier), nothing)
      const local = { context, baggage: userAlice }
      assert.deepStrictEqual(yield* continued(carrier).pipe(Propagator.withRemoteParent(allHeaders)), local)
    })
  )

  it.effect("withRemoteParent() continues the trace each time the effect runs, of pairs that come once", () =>
    Effect.gen(function* () {
      const program = continued(new Map(Object.entries(allHeaders)).entries())
      assert.deepStrictEqual(yield* Effect.all([program, program]), [
        { context, baggage: userAlice },
        { context, baggage: userAlice }
      ])
    })
  )

  it.effect("withRemoteParent() makes the effect's spans children of the remote span", () =>
    Effect.gen(function* () {
      const span = yield* Effect.currentSpan.pipe(Effect.withSpan("handoff"), Propagator.withRemoteParent(allHeaders))
      assert.deepStrictEqual(
        [span.traceId, span.parent.pipe((parent) => parent._tag === "Some" && parent.value.spanId)],
        [traceId, spanId]
      )
    })
  )

  it("withRemoteParent() takes any carrier", () => {
    const fail = () => {
      throw new Error("no")
    }
    const throwing = [
      { [Symbol.iterator]: 5 },
      { [Symbol.iterator]: fail },
      Object.defineProperty({}, "traceparent", { get: fail, enumerable: true }),
      new Proxy({}, { has: fail, ownKeys: fail }),
      [Object.defineProperty(["traceparent"], 1, { get: fail })],
      { traceparent: Object.defineProperty([], 0, { get: fail }) }
    ]
    const names = fc.constantFrom("traceparent", "tracestate", "baggage", "x")
    fc.assert(
      fc.property(fc.array(fc.tuple(names, fc.string({ unit: "binary" }))), (pairs) => {
        assert.isDefined(Effect.runSync(continued(pairs)))
        assert.isDefined(Effect.runSync(continued(Object.fromEntries(pairs))))
      })
    )
    for (const none of [undefined, null, "traceparent", 7, [1, 2], [["traceparent"], null], ...throwing]) {
      assert.deepStrictEqual(Effect.runSync(continued(none as never)), Effect.runSync(Propagator.current))
    }
  })
})

describe("receive", () => {
  it.effect("tells of what is no text, where no other value is", () =>
    Effect.gen(function* () {
      const read = (carrier: object) =>
        Effect.map(Propagator.extract(carrier as Propagator.Carrier), ({ unreadable = [] }) => unreadable)
      assert.deepStrictEqual(
        yield* Effect.forEach([{ traceparent: 5 }, { traceparent: {}, baggage: 5 }, { traceparent: null }], read),
        [["traceparent"], ["traceparent", "baggage"], []]
      )
    })
  )
})

describe("inject", () => {
  it.effect("inject() gives the headers of the running span and baggage", () =>
    Effect.gen(function* () {
      const span = yield* Effect.currentSpan
      assert.deepStrictEqual(
        yield* Propagator.inject({ Accept: "text/plain", TraceParent: "stale", tracestate: "x=1" }),
        {
          Accept: "text/plain",
          ...allHeaders,
          traceparent: `00-${traceId}-${span.spanId}-03`
        }
      )
    }).pipe(Effect.withSpan("handoff"), Propagator.withRemoteParent(allHeaders))
  )

  it.effect("inject() gives nothing without a span and baggage", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Propagator.inject(), {})
      assert.deepStrictEqual(yield* Propagator.inject({ traceparent: "stale", a: "1" }), { a: "1" })
    })
  )

  it.effect("inject() passes over spans that are off for the span above them", () =>
    Effect.gen(function* () {
      const off = Propagator.inject().pipe(
        Effect.withSpan("off"),
        Effect.withSpan("off too"),
        Effect.withTracerEnabled(false)
      )
      assert.deepStrictEqual(yield* off, {})
      assert.deepStrictEqual(yield* off.pipe(Propagator.withRemoteParent(allHeaders)), allHeaders)
      const own = Propagator.inject().pipe(
        Effect.withSpan("own", { annotations: Context.make(Tracer.DisablePropagation, true) })
      )
      assert.deepStrictEqual(yield* own.pipe(Propagator.withRemoteParent(allHeaders)), allHeaders)
    })
  )

  it.effect("inject() and withRemoteParent() use the propagator that the program provides", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Propagator.inject(), { baggage: allHeaders.baggage })
      assert.deepStrictEqual(yield* Propagator.inject().pipe(Propagator.withRemoteParent({ baggage: "run=7" })), {
        baggage: "run=7"
      })
    }).pipe(
      Effect.withSpan("handoff"),
      Effect.provideService(Propagator.CurrentPropagator, Propagator.baggage),
      Propagator.withRemoteParent(allHeaders)
    )
  )
})
