import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import * as SpanQuery from "../../src/analysis/SpanQuery.ts"
import * as OtlpJson from "../../src/OtlpJson.ts"
import * as SpanRecord from "../../src/SpanRecord.ts"
import * as TraceTree from "../../src/TraceTree.ts"
import { id, one, spansOf } from "../timed-spans.ts"

/** Of seconds. */
const span = spansOf(1_000_000_000n)

const event = (name: string, attributes: SpanRecord.Attributes = {}): SpanRecord.SpanEvent => ({
  name,
  timeUnixNano: 0n,
  attributes,
  droppedAttributesCount: 0
})

const link = (spanId: number, traceId = "00000000000000000000000000000001"): SpanRecord.SpanLink => ({
  traceId,
  spanId: id(spanId),
  flags: 1,
  traceState: "",
  attributes: {},
  droppedAttributesCount: 0
})

const spans: ReadonlyArray<SpanRecord.SpanRecord> = [
  span("trip", 1, undefined, [0, 10], { status: { code: "ok" } }),
  span("planner", 2, 1, [0, 4], {
    status: { code: "ok" },
    attributes: { agent: "planner", tokens: 12, cost: 0.5, cached: false, big: 5n, "": "no key" }
  }),
  span("chat gpt-4o", 3, 2, [1, 3], { kind: "client" }),
  span("booker", 4, 1, [4, 9], {
    status: { code: "error", message: "no seat left" },
    attributes: { agent: "booker", tags: ["a", "b"], shape: '{"width":3,"sides":[1,null]}', mixed: '["a",1]' },
    events: [event("attempt", { number: 1 }), event("attempt", { number: 2, wait: 100 })]
  }),
  span("tool seats", 5, 4, [5, 8], { events: [event("cache.miss")] }),
  span("GET /seats", 6, 5, [6, 7], { kind: "client", attributes: { tokens: 12 } }),
  span("reporter", 7, 1, [9, 10], { links: [link(2), link(4), link(99), link(6, "f".repeat(32))] })
]

const trip = one(spans)

const all = spans.map(({ name }) => name)

const names = (trace: TraceTree.Trace, query: SpanQuery.SpanQuery): ReadonlyArray<string> =>
  SpanQuery.find(trace, query).map((node) => node.span.name)

type Case = readonly [query: SpanQuery.SpanQuery, answers: ReadonlyArray<string>]

/** For every key, or the types complain. */
const cases: { readonly [Key in keyof SpanQuery.SpanQuery]-?: ReadonlyArray<Case> } = {
  name_equals: [
    [{ name_equals: "booker" }, ["booker"]],
    [{ name_equals: "book" }, []],
    [{ name_equals: "" }, []]
  ],
  name_contains: [
    [{ name_contains: "seats" }, ["tool seats", "GET /seats"]],
    [{ name_contains: "Seats" }, []]
  ],
  name_matches_regex: [
    [{ name_matches_regex: "chat|book" }, ["chat gpt-4o", "booker"]],
    [{ name_matches_regex: "seats" }, []],
    [{ name_matches_regex: ".*seats$" }, ["tool seats", "GET /seats"]],
    [{ name_matches_regex: "seats|tool" }, ["tool seats"]]
  ],
  has_attributes: [
    [{ has_attributes: { tokens: 12 } }, ["planner", "GET /seats"]],
    [{ has_attributes: { tokens: 12, agent: "planner" } }, ["planner"]],
    [{ has_attributes: { tokens: "12" } }, []],
    [{ has_attributes: { cost: 0.5, cached: false, big: 5, "": "no key" } }, ["planner"]],
    [{ has_attributes: { big: 5.5 } }, []],
    [{ has_attributes: { big: true } }, []],
    [{ has_attributes: { tags: ["a", "b"] } }, ["booker"]],
    [{ has_attributes: { tags: ["b", "a"] } }, []],
    [{ has_attributes: { tags: ["a"] } }, []],
    [{ has_attributes: { tags: { 0: "a", 1: "b" } } }, []],
    [{ has_attributes: { shape: { sides: [1, null], width: 3 }, mixed: ["a", 1] } }, ["booker"]],
    [{ has_attributes: { shape: { width: 3 } } }, []],
    [{ has_attributes: { shape: '{"width":3,"sides":[1,null]}' } }, ["booker"]],
    [{ has_attributes: { agent: {} } }, []],
    [{ has_attributes: { toString: "x" } }, []],
    [{ has_attributes: {} }, all]
  ],
  has_attribute_keys: [
    [{ has_attribute_keys: ["agent"] }, ["planner", "booker"]],
    [{ has_attribute_keys: ["agent", "tokens"] }, ["planner"]],
    [{ has_attribute_keys: ["toString"] }, []],
    [{ has_attribute_keys: [] }, all]
  ],
  has_status: [
    [{ has_status: "ok" }, ["trip", "planner"]],
    [{ has_status: "error" }, ["booker"]]
  ],
  status_equals: [
    [{ status_equals: "unset" }, ["chat gpt-4o", "tool seats", "GET /seats", "reporter"]],
    [{ status_equals: "ok", name_contains: "o" }, []]
  ],
  status_message_contains: [
    [{ status_message_contains: "seat" }, ["booker"]],
    [{ status_message_contains: "table" }, []],
    [{ status_message_contains: "" }, ["booker"]]
  ],
  kind_equals: [
    [{ kind_equals: "client" }, ["chat gpt-4o", "GET /seats"]],
    [{ kind_equals: "server" }, []]
  ],
  min_duration: [
    [{ min_duration: 5 }, ["trip", "booker"]],
    [{ min_duration: 10.000000001 }, []],
    [{ min_duration: 0 }, all]
  ],
  max_duration: [
    [{ max_duration: 1 }, ["GET /seats", "reporter"]],
    [{ max_duration: 0.999999999 }, []]
  ],
  not_: [
    [{ not_: { name_contains: "e" } }, ["trip", "chat gpt-4o"]],
    [{ not_: {} }, []]
  ],
  and_: [
    [{ and_: [{ name_contains: "e" }, { name_contains: "k" }] }, ["booker"]],
    [{ and_: [{ name_contains: "e" }, { name_contains: "K" }] }, []],
    [{ and_: [] }, all]
  ],
  or_: [
    [{ or_: [{ name_equals: "trip" }, { kind_equals: "client" }] }, ["trip", "chat gpt-4o", "GET /seats"]],
    [{ or_: [{ name_equals: "x" }] }, []],
    [{ or_: [] }, []]
  ],
  min_child_count: [
    [{ min_child_count: 1 }, ["trip", "planner", "booker", "tool seats"]],
    [{ min_child_count: 4 }, []]
  ],
  max_child_count: [
    [{ max_child_count: 0 }, ["chat gpt-4o", "GET /seats", "reporter"]],
    [{ max_child_count: 2, min_child_count: 2 }, []]
  ],
  some_child_has: [
    [{ some_child_has: { name_contains: "seats" } }, ["booker", "tool seats"]],
    [{ some_child_has: { some_child_has: { kind_equals: "client" } } }, ["trip", "booker"]],
    [{ some_child_has: { name_equals: "trip" } }, []]
  ],
  all_children_have: [
    [{ min_child_count: 1, all_children_have: { kind_equals: "client" } }, ["planner", "tool seats"]],
    [{ all_children_have: { name_equals: "x" } }, ["chat gpt-4o", "GET /seats", "reporter"]]
  ],
  no_child_has: [
    [{ no_child_has: { kind_equals: "internal" } }, ["planner", "chat gpt-4o", "tool seats", "GET /seats", "reporter"]],
    [{ no_child_has: { kind_equals: "internal" }, max_depth: 0 }, []]
  ],
  stop_recursing_when: [
    [
      { some_descendant_has: { name_equals: "GET /seats" }, stop_recursing_when: { name_equals: "tool seats" } },
      ["tool seats"]
    ],
    [
      { some_descendant_has: { name_equals: "tool seats" }, stop_recursing_when: { name_equals: "tool seats" } },
      ["trip", "booker"]
    ],
    [
      { some_ancestor_has: { name_equals: "trip" }, stop_recursing_when: { name_equals: "tool seats" } },
      ["planner", "chat gpt-4o", "booker", "tool seats", "reporter"]
    ],
    [{ min_descendant_count: 6, min_depth: 0, stop_recursing_when: {} }, ["trip"]]
  ],
  min_descendant_count: [
    [{ min_descendant_count: 2 }, ["trip", "booker"]],
    [{ min_descendant_count: 7 }, []]
  ],
  max_descendant_count: [
    [{ max_descendant_count: 1, min_descendant_count: 1 }, ["planner", "tool seats"]],
    [{ max_descendant_count: 5, name_equals: "trip" }, []]
  ],
  some_descendant_has: [
    [{ some_descendant_has: { name_contains: "GET" } }, ["trip", "booker", "tool seats"]],
    [{ some_descendant_has: { name_equals: "trip" } }, []]
  ],
  all_descendants_have: [
    [{ min_child_count: 1, all_descendants_have: { name_contains: "seats" } }, ["booker", "tool seats"]],
    [{ max_depth: 1, all_descendants_have: { name_equals: "x" } }, ["reporter"]]
  ],
  no_descendant_has: [
    [{ max_depth: 1, no_descendant_has: { name_contains: "seats" } }, ["planner", "reporter"]],
    [{ max_depth: 0, no_descendant_has: { name_contains: "seats" } }, []]
  ],
  min_depth: [
    [{ min_depth: 2 }, ["chat gpt-4o", "tool seats", "GET /seats"]],
    [{ min_depth: 4 }, []]
  ],
  max_depth: [
    [{ max_depth: 0 }, ["trip"]],
    [{ max_depth: 1 }, ["trip", "planner", "booker", "reporter"]]
  ],
  some_ancestor_has: [
    [{ some_ancestor_has: { has_status: "error" } }, ["tool seats", "GET /seats"]],
    [{ some_ancestor_has: { kind_equals: "client" } }, []]
  ],
  all_ancestors_have: [
    [{ all_ancestors_have: { has_status: "ok" } }, ["trip", "planner", "chat gpt-4o", "booker", "reporter"]],
    [{ all_ancestors_have: { has_status: "error" } }, ["trip"]]
  ],
  no_ancestor_has: [
    [{ no_ancestor_has: { name_equals: "booker" }, min_depth: 2 }, ["chat gpt-4o"]],
    [{ no_ancestor_has: { name_equals: "trip" }, min_depth: 1 }, []]
  ],
  some_event_has: [
    [{ some_event_has: { name_equals: "attempt" } }, ["booker"]],
    [{ some_event_has: { name_contains: "e" } }, ["booker", "tool seats"]],
    [{ some_event_has: { name_matches_regex: "miss" } }, []],
    [{ some_event_has: { has_attributes: { number: 1 } } }, ["booker"]],
    [{ some_event_has: { has_attributes: { number: 1 }, has_attribute_keys: ["wait"] } }, []]
  ],
  no_event_has: [
    [{ no_event_has: { name_equals: "attempt" }, name_contains: "o" }, ["chat gpt-4o", "tool seats", "reporter"]],
    [{ no_event_has: {}, name_equals: "tool seats" }, []]
  ],
  min_event_count: [
    [{ min_event_count: 2 }, ["booker"]],
    [{ min_event_count: 3 }, []]
  ],
  max_event_count: [
    [{ max_event_count: 1, min_event_count: 1 }, ["tool seats"]],
    [{ max_event_count: 1, name_equals: "booker" }, []]
  ],
  some_link_to: [
    [{ some_link_to: { name_equals: "booker" } }, ["reporter"]],
    [{ some_link_to: { some_child_has: { kind_equals: "client" } } }, ["reporter"]],
    [{ some_link_to: { name_equals: "GET /seats" } }, []]
  ],
  no_link_to: [
    [{ no_link_to: { has_status: "unset" }, min_link_count: 1 }, ["reporter"]],
    [{ no_link_to: { has_status: "ok" }, min_link_count: 1 }, []]
  ],
  min_link_count: [
    [{ min_link_count: 4 }, ["reporter"]],
    [{ min_link_count: 5 }, []]
  ],
  max_link_count: [
    [{ max_link_count: 0 }, all.slice(0, -1)],
    [{ max_link_count: 3, name_equals: "reporter" }, []]
  ],
  starts_after: [
    [{ starts_after: { name_equals: "planner" } }, ["booker", "tool seats", "GET /seats", "reporter"]],
    [{ starts_after: { name_equals: "GET /seats" } }, ["reporter"]],
    [{ starts_after: { name_equals: "trip" } }, []]
  ],
  ends_before: [
    [{ ends_before: { name_equals: "booker" } }, ["planner", "chat gpt-4o"]],
    [{ ends_before: { name_equals: "planner" } }, []]
  ],
  overlaps: [
    [{ overlaps: { name_equals: "tool seats" } }, ["trip", "booker", "GET /seats"]],
    [{ overlaps: { name_equals: "planner" }, min_depth: 1 }, ["chat gpt-4o"]],
    [{ overlaps: {}, max_depth: 0 }, ["trip"]]
  ]
}

describe("find", () => {
  for (const [key, ofKey] of Object.entries(cases)) {
    it(key, () => {
      for (const [query, answers] of ofKey) {
        assert.deepStrictEqual([query, names(trip, query)], [query, answers])
        const read = SpanQuery.decode(JSON.parse(JSON.stringify(query)))
        assert.deepStrictEqual(read, Result.succeed(query))
      }
    })
  }

  it("asks everything at once, and takes undefined for nothing", () => {
    assert.deepStrictEqual(names(trip, {}), all)
    assert.deepStrictEqual(names(trip, { name_contains: "e", min_depth: 1, has_status: "error" }), ["booker"])
    const limits = JSON.parse("{}") as { readonly deepest?: number }
    const query = { or_: [{ max_depth: 0 }], min_depth: limits.deepest }
    assert.deepStrictEqual(names(trip, query as SpanQuery.SpanQuery), ["trip"])
  })

  it("finds nothing in a trace without spans", () => {
    assert.deepStrictEqual(names({ ...trip, roots: [], spans: [] }, {}), [])
  })

  it("orders spans that take no time by their place in the trace", () => {
    const still = one([
      span("root", 1, undefined, [0, 0]),
      span("a", 2, 1, [0, 0]),
      span("in a", 3, 2, [0, 0]),
      span("b", 4, 1, [0, 0])
    ])
    const about = (name_equals: string) => ({
      after: names(still, { starts_after: { name_equals } }),
      before: names(still, { ends_before: { name_equals } }),
      beside: names(still, { overlaps: { name_equals } })
    })
    assert.deepStrictEqual(["root", "a", "in a", "b"].map(about), [
      { after: [], before: [], beside: [] },
      { after: ["b"], before: [], beside: [] },
      { after: ["b"], before: [], beside: [] },
      { after: [], before: ["a", "in a"], beside: [] }
    ])
  })

  it("links to the first of several spans with one id", () => {
    const trace = one([
      span("first", 1, undefined, [0, 9]),
      span("second", 1, undefined, [1, 2]),
      span("joins", 2, undefined, [3, 4], { links: [link(1)] })
    ])
    assert.deepStrictEqual(names(trace, { some_link_to: { name_equals: "first" } }), ["joins"])
    assert.deepStrictEqual(names(trace, { some_link_to: { name_equals: "second" } }), [])
  })

  it("throws what decode says of a query that types cannot refuse", () => {
    const queries: ReadonlyArray<SpanQuery.SpanQuery> = [
      { name_matches_regex: "(" },
      { or_: [], min_depth: 1 },
      { some_event_has: { name_matches_regex: "\\A" } }
    ]
    for (const query of queries) {
      const expected = Result.isFailure(SpanQuery.decode(query)) ? SpanQuery.SpanQueryError : assert.fail("taken")
      assert.throws(() => SpanQuery.find(trip, query), expected)
      assert.throws(() => SpanQuery.any(trip, query), expected)
      assert.throws(() => SpanQuery.matches(trip, trip.roots[0]!, query), expected)
    }
  })

  it("asks spans that were a text of OTLP JSON", () => {
    const attribute = (key: string, value: OtlpJson.AnyValue) => ({ key, value })
    const text = JSON.stringify({
      resourceSpans: [
        {
          scopeSpans: [
            {
              spans: [
                { traceId: "A".repeat(32), spanId: id(1), name: "run", startTimeUnixNano: "0", endTimeUnixNano: "9" },
                {
                  traceId: "A".repeat(32),
                  spanId: id(2),
                  parentSpanId: id(1),
                  name: "execute_tool search",
                  kind: 3,
                  startTimeUnixNano: 2,
                  endTimeUnixNano: 4,
                  attributes: [
                    attribute("gen_ai.tool.name", { stringValue: "search" }),
                    attribute("hits", { intValue: "3" })
                  ],
                  status: { code: 2, message: "timed out" }
                }
              ]
            }
          ]
        }
      ]
    })
    const [trace] = TraceTree.fromSpans(Result.getOrThrow(OtlpJson.decodeText(text)))
    const query = Result.getOrThrow(
      SpanQuery.decode(
        JSON.parse(`{
          "has_attributes": { "gen_ai.tool.name": "search", "hits": 3 },
          "kind_equals": "client",
          "status_message_contains": "timed out",
          "some_ancestor_has": { "name_equals": "run" }
        }`)
      )
    )
    assert.deepStrictEqual(names(trace!, query), ["execute_tool search"])
  })
})

describe("any and matches", () => {
  it("agree with find", () => {
    for (const [query] of Object.values(cases).flat()) {
      const nodes = Array.from(TraceTree.walk(trip.roots))
      const found = SpanQuery.find(trip, query)
      assert.deepStrictEqual(
        nodes.filter((node) => SpanQuery.matches(trip, node, query)),
        found
      )
      assert.strictEqual(SpanQuery.any(trip, query), found.length > 0)
    }
  })
})

describe("decode", () => {
  const told = (input: unknown): ReadonlyArray<string> => {
    const read = SpanQuery.decode(input)
    return Result.isFailure(read) ? read.failure.message.split("\n") : []
  }

  it("tells what is wrong, where, and what is allowed", () => {
    const wrong: ReadonlyArray<readonly [input: unknown, message: string]> = [
      [null, "expected an object, got null"],
      ["trip", 'expected an object, got "trip"'],
      [[{}], "expected an object, got a list"],
      [
        { some_child_has: { name_equls: "x" } },
        '"name_equls" at "some_child_has": unknown key, did you mean "name_equals"?'
      ],
      [{ nameEquals: "x" }, '"nameEquals": unknown key, did you mean "name_equals"?'],
      [{ not: {} }, '"not": unknown key, did you mean "not_"?'],
      [
        { some_event_has: { min_depth: 1 } },
        '"min_depth" at "some_event_has": unknown key, use name_equals, name_contains, name_matches_regex, ' +
          "has_attributes or has_attribute_keys"
      ],
      [{ name_equals: 1 }, '"name_equals": expected a text, got 1'],
      [{ name_equals: null }, '"name_equals": expected a text, got null'],
      [{ min_depth: -1 }, '"min_depth": expected a whole number of at least 0, got -1'],
      [{ max_child_count: 1.5 }, '"max_child_count": expected a whole number of at least 0, got 1.5'],
      [{ min_duration: "5 s" }, '"min_duration": expected a number of seconds of at least 0, got "5 s"'],
      [{ max_duration: Infinity }, '"max_duration": expected a number of seconds of at least 0, got Infinity'],
      [{ has_status: "failed" }, '"has_status": expected "ok", "error" or "unset", got "failed"'],
      [
        { kind_equals: "CLIENT" },
        '"kind_equals": expected "internal", "server", "client", "producer" or "consumer", got "CLIENT"'
      ],
      [{ and_: {} }, '"and_": expected a list, got an object'],
      [{ and_: [{}, "x"] }, '"and_[1]": expected an object, got "x"'],
      [
        { not_: { or_: [{ min_depth: true }] } },
        '"min_depth" at "not_.or_[0]": expected a whole number of at least 0, got true'
      ],
      [{ has_attribute_keys: ["a", 2] }, '"has_attribute_keys[1]": expected a text, got 2'],
      [{ has_attributes: ["a"] }, '"has_attributes": expected an object, got a list'],
      [
        { has_attributes: { a: null } },
        '"a" at "has_attributes": expected a text, a number, true, false, a list or an object, got null'
      ],
      [
        { has_attributes: { a: [1, { b: 2n }] } },
        '"b" at "has_attributes.a[1]": expected what JSON can hold, got a value of type bigint'
      ],
      [
        { name_matches_regex: "(a" },
        '"name_matches_regex": expected a regular expression, got "(a": Unterminated group'
      ],
      [{ name_matches_regex: 1 }, '"name_matches_regex": expected a text, got 1'],
      [
        { some_child_has: { or_: [], name_equals: "x", min_depth: 1 } },
        '"or_" at "some_child_has": allows no other key beside it, put it and "name_equals", "min_depth" into "and_"'
      ],
      ["x".repeat(41), `expected an object, got "${"x".repeat(40)}…"`]
    ]
    for (const [input, message] of wrong) assert.deepStrictEqual(told(input), [`Cannot read the query: ${message}`])
  })

  it("tells all that is wrong at once", () => {
    const input = { or_: [{ min_depth: "two" }, 7], name_matches_regex: "[", mystery: { deep: 1 }, name_equals: "x" }
    assert.deepStrictEqual(told(input), [
      "Cannot read the query:",
      '- "min_depth" at "or_[0]": expected a whole number of at least 0, got "two"',
      '- "or_[1]": expected an object, got 7',
      '- "name_matches_regex": expected a regular expression, got "[": Unterminated character class',
      `- "mystery": unknown key, use ${allKeys}`,
      '- "or_": allows no other key beside it, put it and "name_matches_regex", "mystery", "name_equals" into "and_"'
    ])
  })

  const allKeys =
    "name_equals, name_contains, name_matches_regex, has_attributes, has_attribute_keys, has_status, min_duration, " +
    "max_duration, not_, and_, or_, min_child_count, max_child_count, some_child_has, all_children_have, no_child_has, " +
    "stop_recursing_when, min_descendant_count, max_descendant_count, some_descendant_has, all_descendants_have, " +
    "no_descendant_has, min_depth, max_depth, some_ancestor_has, all_ancestors_have, no_ancestor_has, kind_equals, " +
    "status_equals, status_message_contains, some_event_has, no_event_has, min_event_count, max_event_count, " +
    "some_link_to, no_link_to, min_link_count, max_link_count, starts_after, ends_before or overlaps"

  it("says which key at which place, for programs", () => {
    const read = SpanQuery.decode({ and_: [{ not_: { max_depth: {} } }] })
    assert.deepStrictEqual(Result.isFailure(read) && read.failure.problems, [
      { at: "and_[0].not_", key: "max_depth", problem: "expected a whole number of at least 0, got an object" }
    ])
  })

  it("refuses what nests too deep, and does not go there", () => {
    const nest = (levels: number): unknown =>
      Array.from({ length: levels }).reduce<unknown>((inner) => ({ not_: inner }), { name_equals: "trip" })
    assert.deepStrictEqual(told(nest(64)), [])
    for (const levels of [65, 100_000]) {
      const at = Array.from({ length: 64 }, () => "not_").join(".")
      const place = `"not_" at ${JSON.stringify(`${at.slice(0, 40)}…`)}`
      assert.deepStrictEqual(told(nest(levels)), [`Cannot read the query: ${place}: nests deeper than 64 levels`])
    }
    const list = JSON.parse(`${"[".repeat(5000)}${"]".repeat(5000)}`) as unknown
    assert.strictEqual(told({ has_attributes: { list } })[0]!.endsWith(": nests deeper than 64 levels"), true)
  })

  it("takes names that objects have anyway for what they are", () => {
    const read = Result.getOrThrow(SpanQuery.decode(JSON.parse('{"has_attributes":{"__proto__":1}}')))
    const attributes = JSON.parse('{"__proto__":1}') as SpanRecord.Attributes
    assert.deepStrictEqual(names(one([span("odd", 1, undefined, [0, 1], { attributes })]), read), ["odd"])
    assert.deepStrictEqual(names(trip, read), [])
    assert.deepStrictEqual(
      told(JSON.parse('{"constructor":1}'))[0]!.startsWith('Cannot read the query: "constructor"'),
      true
    )
  })
})

describe("any trace and any query", () => {
  /** Short times and few names, so that queries find something and spans begin and end together. */
  const anySpan = fc.record({
    name: fc.constantFrom("a", "b", "c"),
    parent: fc.nat(),
    start: fc.nat({ max: 4 }),
    length: fc.nat({ max: 2 }),
    links: fc.array(fc.nat({ max: 9 }), { maxLength: 2 })
  })

  const anyTrace = fc.array(anySpan, { minLength: 1, maxLength: 9 }).map((drafts) =>
    one(
      drafts.map(({ length, links, name, parent, start }, index) =>
        // The last that could be a parent is none, so that there are roots.
        span(
          name,
          index + 1,
          parent % (index + 1) === index ? undefined : (parent % (index + 1)) + 1,
          [start, start + length],
          {
            links: links.map((n) => link(n + 1))
          }
        )
      )
    )
  )

  const anyQuery = fc.letrec<{ query: SpanQuery.SpanQuery }>((tie) => {
    const query = tie("query")
    const count = fc.nat({ max: 3 })
    const related = [
      "not_",
      "some_child_has",
      "all_children_have",
      "no_child_has",
      "stop_recursing_when",
      "some_descendant_has",
      "all_descendants_have",
      "no_descendant_has",
      "some_ancestor_has",
      "all_ancestors_have",
      "no_ancestor_has",
      "some_link_to",
      "no_link_to",
      "starts_after",
      "ends_before",
      "overlaps"
    ] as const
    const plain = fc.record(
      {
        name_equals: fc.constantFrom("a", "b", "c"),
        min_duration: count,
        max_depth: count,
        min_child_count: count,
        max_descendant_count: count,
        min_descendant_count: count
      },
      { requiredKeys: [] }
    )
    return {
      query: fc.oneof(
        { maxDepth: 3, depthIdentifier: "query" },
        plain,
        fc.record({ or_: fc.array(query, { maxLength: 2 }) }),
        fc.record({ and_: fc.array(query, { maxLength: 2 }) }),
        fc.dictionary(fc.constantFrom(...related), query, { minKeys: 1, maxKeys: 3 })
      ) as fc.Arbitrary<SpanQuery.SpanQuery>
    }
  }).query

  it("agrees with logic", () => {
    fc.assert(
      fc.property(anyTrace, anyQuery, anyQuery, (trace, left, right) => {
        const answers = (query: SpanQuery.SpanQuery): ReadonlyArray<boolean> => {
          const found = new Set(SpanQuery.find(trace, query))
          return Array.from(TraceTree.walk(trace.roots), (node) => found.has(node))
        }
        const [isLeft, isRight] = [answers(left), answers(right)]
        assert.deepStrictEqual(
          [{ not_: left }, { or_: [left, right] }, { and_: [left, right] }, { not_: left, and_: [right] }].map(answers),
          [
            isLeft.map((is) => !is),
            isLeft.map((is, n) => is || isRight[n]!),
            isLeft.map((is, n) => is && isRight[n]!),
            isLeft.map((is, n) => !is && isRight[n]!)
          ]
        )
      })
    )
  })

  it("is the same query after a way through JSON", () => {
    fc.assert(
      fc.property(anyTrace, anyQuery, (trace, query) => {
        const read = Result.getOrThrow(SpanQuery.decode(JSON.parse(JSON.stringify(query))))
        assert.deepStrictEqual(names(trace, read), names(trace, query))
        assert.deepStrictEqual(JSON.stringify(read), JSON.stringify(query))
      })
    )
  })

  it("answers as going from span to span does", () => {
    fc.assert(
      fc.property(anyTrace, anyQuery, (trace, query) => {
        const nodes = Array.from(TraceTree.walk(trace.roots))
        assert.deepStrictEqual(
          names(trace, query),
          nodes.filter((node) => slowly(nodes, node, query)).map((node) => node.span.name)
        )
      }),
      { numRuns: 1000 }
    )
  })

  /** Written after pydantic's, one span at a time. */
  const slowly = (nodes: ReadonlyArray<TraceTree.Node>, node: TraceTree.Node, query: SpanQuery.SpanQuery): boolean => {
    const ask = (query: SpanQuery.SpanQuery) => (node: TraceTree.Node) => slowly(nodes, node, query)
    const isStop = query.stop_recursing_when === undefined ? () => false : ask(query.stop_recursing_when)
    const parentOf = (node: TraceTree.Node) => nodes.find((other) => other.children.includes(node))
    const below = (node: TraceTree.Node, isStop: (node: TraceTree.Node) => boolean): ReadonlyArray<TraceTree.Node> =>
      node.children.flatMap((child) => [child, ...(isStop(child) ? [] : below(child, isStop))])
    const above = (node: TraceTree.Node): ReadonlyArray<TraceTree.Node> => {
      const parent = parentOf(node)
      return parent === undefined ? [] : [parent, ...(isStop(parent) ? [] : above(parent))]
    }
    const isBefore = (one: TraceTree.Node, other: TraceTree.Node): boolean => {
      const [end, start] = [one.span.endTimeUnixNano, other.span.startTimeUnixNano]
      const bothLast = SpanRecord.durationNanos(one.span) > 0n && SpanRecord.durationNanos(other.span) > 0n
      const inOrder = nodes.indexOf(one) < nodes.indexOf(other) && !below(one, () => false).includes(other)
      return end < start || (end === start && (bothLast || inOrder))
    }
    const linked = node.span.links.flatMap(({ spanId }) => nodes.find((other) => other.span.spanId === spanId) ?? [])
    const all = below(node, () => false)
    const { span } = node
    const parts: { readonly [Key in keyof SpanQuery.SpanQuery]: (asked: never) => boolean } = {
      name_equals: (asked: string) => span.name === asked,
      min_duration: (asked: number) => SpanRecord.durationMillis(span) / 1000 >= asked,
      max_depth: (asked: number) => node.depth <= asked,
      min_child_count: (asked: number) => node.children.length >= asked,
      min_descendant_count: (asked: number) => all.length >= asked,
      max_descendant_count: (asked: number) => all.length <= asked,
      not_: (asked) => !ask(asked)(node),
      and_: (asked: ReadonlyArray<SpanQuery.SpanQuery>) => asked.every((query) => ask(query)(node)),
      or_: (asked: ReadonlyArray<SpanQuery.SpanQuery>) => asked.some((query) => ask(query)(node)),
      some_child_has: (asked) => node.children.some(ask(asked)),
      all_children_have: (asked) => node.children.every(ask(asked)),
      no_child_has: (asked) => !node.children.some(ask(asked)),
      stop_recursing_when: () => true,
      some_descendant_has: (asked) => below(node, isStop).some(ask(asked)),
      all_descendants_have: (asked) => below(node, isStop).every(ask(asked)),
      no_descendant_has: (asked) => !below(node, isStop).some(ask(asked)),
      some_ancestor_has: (asked) => above(node).some(ask(asked)),
      all_ancestors_have: (asked) => above(node).every(ask(asked)),
      no_ancestor_has: (asked) => !above(node).some(ask(asked)),
      some_link_to: (asked) => linked.some(ask(asked)),
      no_link_to: (asked) => !linked.some(ask(asked)),
      starts_after: (asked) => nodes.some((other) => ask(asked)(other) && isBefore(other, node)),
      ends_before: (asked) => nodes.some((other) => ask(asked)(other) && isBefore(node, other)),
      overlaps: (asked) =>
        nodes.some(
          (other) =>
            other !== node &&
            ask(asked)(other) &&
            other.span.startTimeUnixNano < span.endTimeUnixNano &&
            span.startTimeUnixNano < other.span.endTimeUnixNano
        )
    }
    return (Object.keys(query) as Array<keyof SpanQuery.SpanQuery>).every((key) => parts[key]!(query[key] as never))
  }
})

describe("a trace of 20,000 spans inside each other", () => {
  const deep = one(
    Array.from({ length: 20_000 }, (_, n) => span(n === 19_999 ? "last" : "step", n + 1, n || undefined, [0, 1]))
  )

  it("is asked in little time and stack", () => {
    const queries: ReadonlyArray<SpanQuery.SpanQuery> = [
      { some_descendant_has: { name_equals: "last" } },
      { all_descendants_have: { some_ancestor_has: { max_depth: 0 } } },
      { some_ancestor_has: { no_ancestor_has: {} }, min_descendant_count: 1 },
      { min_depth: 1, all_ancestors_have: { some_descendant_has: { some_descendant_has: { name_equals: "last" } } } },
      { some_descendant_has: { name_equals: "last" }, stop_recursing_when: { max_depth: 19_998 } },
      { or_: [{ overlaps: { name_equals: "last" } }, { starts_after: {} }, { ends_before: {} }] }
    ]
    assert.deepStrictEqual(
      queries.map((query) => SpanQuery.find(deep, query).length),
      [19_999, 20_000, 19_998, 19_998, 1, 19_999]
    )
  })
})
