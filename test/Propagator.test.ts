import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"
import * as fc from "fast-check"
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
    assert.deepStrictEqual(extractFrom(Propagator.w3c, { traceparent: ["00-0-0-00"], tracestate }), {})
    assert.deepStrictEqual(extractFrom(Propagator.w3c, { traceparent: [traceparent, traceparent], tracestate }), {})
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
    const names = fc.constantFrom("traceparent", "tracestate", "baggage", "x")
    fc.assert(
      fc.property(fc.array(fc.tuple(names, fc.string({ unit: "binary" }))), (pairs) => {
        assert.isDefined(Effect.runSync(continued(pairs)))
        assert.isDefined(Effect.runSync(continued(Object.fromEntries(pairs))))
      })
    )
  })
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
