import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Propagator from "../../src/Propagator.ts"
import * as TraceContext from "../../src/TraceContext.ts"
import {
  propagatorContract,
  type PropagatorContractOptions,
  type PropagatorRule
} from "../../src/testing/PropagatorContract.ts"

/** A format of one header, which knows neither tracestate nor more flags than one. */
const single: Propagator.Propagator = {
  fields: ["x-trace"],
  inject: ({ context }, set) => {
    if (context === undefined || !TraceContext.isTraceId(context.traceId) || !TraceContext.isSpanId(context.spanId)) {
      return
    }
    set("X-Trace", `${context.traceId}/${context.spanId}/${context.flags & 1}`)
  },
  extract: (get) => {
    const [value, ...others] = get("X-Trace")
    const [traceId = "", spanId = "", flag = ""] = value?.split("/") ?? []
    if (others.length > 0 || !TraceContext.isTraceId(traceId) || !TraceContext.isSpanId(spanId)) return {}
    return { context: { traceId, spanId, flags: Number(flag) & 1, traceState: "" } }
  }
}

const ofSingle: PropagatorContractOptions = {
  propagator: single,
  carriesBaggage: false,
  carriesRandomFlag: false,
  carriesTraceState: false
}

const suites: Readonly<Record<string, PropagatorContractOptions>> = {
  w3c: { propagator: Propagator.w3c },
  traceContext: { propagator: Propagator.traceContext, carriesBaggage: false },
  baggage: { propagator: Propagator.baggage, carriesContext: false },
  "composite of w3c and another": { propagator: Propagator.composite(single, Propagator.w3c) },
  b3: { propagator: Propagator.b3, carriesBaggage: false, carriesRandomFlag: false, carriesTraceState: false },
  b3multi: {
    propagator: Propagator.b3multi,
    carriesBaggage: false,
    carriesRandomFlag: false,
    carriesTraceState: false
  },
  "composite of w3c and b3": { propagator: Propagator.composite(Propagator.w3c, Propagator.b3) },
  "composite of none": { propagator: Propagator.composite(), carriesContext: false, carriesBaggage: false },
  "a format of one header": ofSingle
}

for (const [name, options] of Object.entries(suites)) {
  describe(name, () => {
    for (const { check, rule } of propagatorContract(options)) it.effect(rule, () => check)
  })
}

const w3c = Propagator.w3c
const empty: Propagator.Propagated = { context: undefined, baggage: new Map() }
const traceparent = `00-${"1".repeat(32)}-${"2".repeat(16)}-01`

describe("propagatorContract", () => {
  it("names what is skipped, and why", () => {
    const skipped = propagatorContract({ ...ofSingle, skip: { repeated: "it takes the first" } }).flatMap(
      ({ id, rule }) => (rule.includes(" (skipped: ") ? [`${id}: ${rule.split(" (skipped: ")[1]}`] : [])
    )
    assert.deepStrictEqual(skipped, [
      "traceState: its format has no room for it)",
      "baggage: its format has no room for it)",
      "repeated: it takes the first)"
    ])
  })

  const cases: ReadonlyArray<
    readonly [rule: PropagatorRule, how: string, propagator: Partial<Propagator.Propagator>, seen: string]
  > = [
    ["fields", "has names in upper case", { fields: ["Traceparent"] }, 'the field "Traceparent"'],
    ["fields", "sets what it does not name", { fields: ["traceparent", "baggage"] }, 'inject set "tracestate"'],
    [
      "fields",
      "sets one field in two cases",
      {
        inject: (propagated, set) => {
          w3c.inject(propagated, set)
          w3c.inject(propagated, (name, value) => set(name.toUpperCase(), value))
        }
      },
      'inject set "traceparent" twice'
    ],
    [
      "context",
      "takes all for sampled",
      { extract: (get) => ({ context: { ...w3c.extract(get).context!, flags: 1 } }) },
      "context.flags: sent 0, received 1"
    ],
    [
      "traceState",
      "forgets the tracestate",
      { extract: (get) => w3c.extract((name) => (name === "tracestate" ? [] : get(name))) },
      'context.traceState: sent "a=1", received ""'
    ],
    [
      "baggage",
      "forgets what the baggage has besides values",
      {
        inject: ({ baggage, context }, set) => {
          const entries = Array.from(baggage, ([name, { value }]) => [name, { value, metadata: "" }] as const)
          w3c.inject({ context, baggage: new Map(entries) }, set)
        }
      },
      'baggage.user.metadata: sent "private", received ""'
    ],
    ["nothing", "sets empty fields", { inject: (_, set) => set("traceparent", "") }, 'inject set traceparent: ""'],
    [
      "nothing",
      "invents a context",
      {
        inject: ({ baggage, context }, set) => {
          if (baggage.size > 0 || context) w3c.inject({ baggage, context }, set)
          if (baggage.size > 0 && !context) set("traceparent", traceparent)
        }
      },
      `the context {"traceId":"${"1".repeat(32)}","spanId":"${"2".repeat(16)}","flags":1,"traceState":""}`
    ],
    [
      "invalid",
      "lets ids pass that are none",
      {
        inject: ({ baggage, context }, set) => {
          if (context?.traceId === "noop") set("traceparent", TraceContext.formatTraceparent(context))
          else w3c.inject({ baggage, context }, set)
        }
      },
      'inject set traceparent: "00-noop-1234567890123456-03" for {"traceId":"noop","spanId":"1234567890123456","flags":3,"traceState":""}'
    ],
    [
      "safeValues",
      "lets a tracestate break out",
      { inject: ({ context }, set) => context && set("tracestate", context.traceState) },
      'inject set tracestate: "a=1\\r\\nx: y"'
    ],
    [
      "anyCase",
      "tells fields by their case",
      {
        fields: ["x", "x-a"],
        inject: ({ context }, set) => {
          if (context === undefined) return
          set("x", context.traceId)
          set("X", context.spanId)
        },
        extract: (get) => {
          const [traceId, spanId] = [get("x")[0], get("X")[0]]
          return traceId === undefined || spanId === undefined
            ? {}
            : { context: { traceId, spanId, flags: 0, traceState: "" } }
        }
      },
      'context.spanId: sent "b7ad6b7169203331", received "0af7651916cd43dd8448eb211c80319c"'
    ],
    [
      "notFound",
      "finds an empty baggage",
      { extract: (get) => ({ ...empty, ...w3c.extract(get) }) },
      "baggage: Map([])"
    ],
    [
      "unreadable",
      "takes what it cannot read",
      {
        extract: (get) =>
          get("traceparent").length > 0 ? { context: { traceId: "", spanId: "", flags: 0, traceState: "" } } : {}
      },
      'the context {"traceId":"","spanId":"","flags":0,"traceState":""} of ""'
    ],
    [
      "unreadable",
      "throws",
      {
        extract: (get) => ({
          baggage: new Map(get("baggage").map((text) => [decodeURIComponent(text), { value: "", metadata: "" }]))
        })
      },
      "it died of URIError: URI malformed"
    ],
    [
      "repeated",
      "takes the first of two",
      { extract: (get) => w3c.extract((name) => get(name).slice(0, 1)) },
      'the context {"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","flags":0,"traceState":""}'
    ],
    [
      "sameAnswer",
      "remembers where it was",
      {
        extract: (get) => (pattern.test(get("traceparent")[0] ?? "") ? w3c.extract(get) : {})
      },
      `context: sent {"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","flags":0,"traceState":""}, received nothing`
    ]
  ]
  const pattern = /^00-/g

  for (const [id, how, parts, seen] of cases) {
    it.effect(`tells by rule ${id} of a propagator that ${how}`, () =>
      Effect.gen(function* () {
        const found = propagatorContract({ propagator: { ...w3c, ...parts } }).find((one) => one.id === id)
        const error = yield* Effect.flip(found!.check)
        assert.strictEqual(error.message, `Broken rule: ${found?.rule}\nseen: ${seen}`)
      })
    )
  }

  it("has a broken propagator for each rule", () => {
    const rules = propagatorContract({ propagator: w3c }).map(({ id }) => id as PropagatorRule)
    assert.deepStrictEqual(new Set(cases.map(([id]) => id)), new Set(rules))
  })
})
