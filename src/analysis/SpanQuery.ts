/**
 * Answers queries over the spans of a trace. A query is plain JSON with the keys of pydantic-evals' `SpanQuery` and some
 * more, so the same one asks a test, a file and a store of traces. What it may say lives in SpanQueryDecode.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import type { Attributes, AttributeValue } from "../SpanRecord.ts"
import { durationNanos } from "../SpanRecord.ts"
import * as TraceTree from "../TraceTree.ts"
import { decode, type EventQuery, type Json, regexOf, type SpanQuery } from "./SpanQueryDecode.ts"

export { decode, type EventQuery, type Json, type SpanQuery, SpanQueryError } from "./SpanQueryDecode.ts"

/**
 * Finds the spans of a trace that answer a query, in the order of `TraceTree.walk`, for whoever asks what happened.
 *
 * **Details**: keys mean what they mean in pydantic-evals, except that an empty query is one that every span answers,
 * wherever it stands, and an empty `or_` one that none answers; pydantic passes over both. Regular expressions are
 * JavaScript's, with the flag `u`. Takes time in proportion to the spans and the query, at any depth of the trace.
 *
 * What ended at the very instant in which another span began was before it, where both took time. Where one took none,
 * as on a test clock that stands still, it was before the other where it stands before it in the trace and not around it.
 *
 * **Throws** `SpanQueryError` for a query that `decode` would refuse.
 *
 * @example
 * ```ts
 * import { SpanRecord, TraceTree } from "handspan"
 * import * as SpanQuery from "handspan/analysis/SpanQuery"
 *
 * const [trace] = TraceTree.fromSpans([
 *   SpanRecord.make({ name: "agent_handoff.planner", spanId: "0000000000000001" }),
 *   SpanRecord.make({ name: "chat gpt-4o", spanId: "0000000000000002", parentSpanId: "0000000000000001" })
 * ])
 * const found = trace && SpanQuery.find(trace, { some_child_has: { name_matches_regex: "chat " } })
 * if (found?.[0]?.span.name !== "agent_handoff.planner") throw new Error("expected the planner")
 * ```
 *
 * @since 0.1.0
 */
export const find = (trace: TraceTree.Trace, query: SpanQuery): ReadonlyArray<TraceTree.Node> =>
  Array.from(TraceTree.walk(trace.roots)).filter(compile(trace, query))

/**
 * Says whether some span of a trace answers a query, for tests and filters. Throws as `find` does.
 *
 * @since 0.1.0
 */
export const any = (trace: TraceTree.Trace, query: SpanQuery): boolean => {
  const test = compile(trace, query)
  for (const node of TraceTree.walk(trace.roots)) if (test(node)) return true
  return false
}

/**
 * Says whether one span of a trace answers a query, for whoever has the span already. Throws as `find` does, and is
 * slower than it for many spans.
 *
 * @since 0.1.0
 */
export const matches = (trace: TraceTree.Trace, node: TraceTree.Node, query: SpanQuery): boolean =>
  compile(trace, query)(node)

type Test<A> = (subject: A) => boolean
type NodeTest = Test<TraceTree.Node>

const compile = (trace: TraceTree.Trace, query: SpanQuery): NodeTest =>
  // Types cannot tell an invalid regular expression, or `or_` beside others.
  nodeTest(Result.getOrThrow(decode(query)), surroundings(trace))

const nodeTest = (query: SpanQuery, around: Surroundings): NodeTest => {
  const stop = query.stop_recursing_when
  const self = { around, stop: stop === undefined ? never : nodeTest(stop, around) }
  const named = namedTest(query)
  const tests = testsOf(nodeKeys, query, self)
  return (node) => named(node.span) && tests.every((test) => test(node))
}

interface Named {
  readonly name: string
  readonly attributes: Attributes
}

const namedTest = (query: EventQuery): Test<Named> => {
  const tests = testsOf(namedKeys, query, undefined)
  return (subject) => tests.every((test) => test(subject))
}

/** For each key of a query, how to make a test of what it asks. */
type Keys<Query, Subject, Self> = {
  readonly [Key in keyof Query]-?: (asked: NonNullable<Query[Key]>, self: Self) => Test<Subject>
}

// In the order of the table, so that what is cheap to answer is asked first.
const testsOf = <Query, Subject, Self>(
  keys: Keys<Query, Subject, Self>,
  query: Query,
  self: Self
): ReadonlyArray<Test<Subject>> =>
  (Object.keys(keys) as Array<keyof Query>).flatMap((key) => {
    const asked = query[key]
    return asked === undefined || asked === null ? [] : [keys[key](asked, self)]
  })

const never = (): boolean => false

const not =
  <A>(test: Test<A>): Test<A> =>
  (subject) =>
    !test(subject)

const namedKeys: Keys<EventQuery, Named, undefined> = {
  name_equals: (asked) => (subject) => subject.name === asked,
  name_contains: (asked) => (subject) => subject.name.includes(asked),
  name_matches_regex: (asked) => {
    const regex = regexOf(asked)
    return (subject) => subject.name.search(regex) === 0
  },
  has_attribute_keys: (asked) => (subject) => asked.every((key) => Object.hasOwn(subject.attributes, key)),
  has_attributes: (asked) => {
    const entries = Object.entries(asked)
    return ({ attributes }) =>
      entries.every(([key, value]) => Object.hasOwn(attributes, key) && holds(attributes[key]!, value))
  }
}

// Objects, and lists that are not of one kind, are attributes as JSON text.
const holds = (found: AttributeValue, asked: Json): boolean =>
  isEqual(found, asked) ||
  (typeof found === "string" && typeof asked === "object" && isEqual(Result.getOrUndefined(parsed(found)), asked))

const parsed = (text: string): Result.Result<unknown, unknown> => Result.try(() => JSON.parse(text) as unknown)

// Goes no deeper than what was asked, and that is bounded.
const isEqual = (found: unknown, asked: Json): boolean => {
  // A whole number is a bigint where the program used one, and a number again after a way through OTLP.
  if (typeof found === "bigint") return Number.isInteger(asked) && BigInt(asked as number) === found
  if (typeof found !== "object" || found === null || typeof asked !== "object" || asked === null) return found === asked
  if (Array.isArray(found) !== Array.isArray(asked)) return false
  const entries = Object.entries(asked)
  return (
    entries.length === Object.keys(found).length &&
    entries.every(([key, value]) => Object.hasOwn(found, key) && isEqual(Reflect.get(found, key), value))
  )
}

interface Self {
  readonly around: Surroundings
  /** Where to look no further among descendants and ancestors. */
  readonly stop: NodeTest
}

type NodeKeys = Omit<SpanQuery, keyof EventQuery | "stop_recursing_when">

const seconds = ({ span }: TraceTree.Node): number => Number(durationNanos(span)) / 1e9

const nodeKeys: Keys<NodeKeys, TraceTree.Node, Self> = {
  has_status: (asked) => (node) => node.span.status.code === asked,
  status_equals: (asked) => (node) => node.span.status.code === asked,
  status_message_contains:
    (asked) =>
    ({ span }) =>
      span.status.code === "error" && span.status.message.includes(asked),
  kind_equals: (asked) => (node) => node.span.kind === asked,
  min_duration: (asked) => (node) => seconds(node) >= asked,
  max_duration: (asked) => (node) => seconds(node) <= asked,
  min_depth: (asked) => (node) => node.depth >= asked,
  max_depth: (asked) => (node) => node.depth <= asked,
  min_child_count: (asked) => (node) => node.children.length >= asked,
  max_child_count: (asked) => (node) => node.children.length <= asked,
  min_event_count: (asked) => (node) => node.span.events.length >= asked,
  max_event_count: (asked) => (node) => node.span.events.length <= asked,
  min_link_count: (asked) => (node) => node.span.links.length >= asked,
  max_link_count: (asked) => (node) => node.span.links.length <= asked,
  some_event_has: (asked) => someEvent(namedTest(asked)),
  no_event_has: (asked) => not(someEvent(namedTest(asked))),
  not_: (asked, { around }) => not(nodeTest(asked, around)),
  and_: (asked, { around }) => {
    const tests = asked.map((query) => nodeTest(query, around))
    return (node) => tests.every((test) => test(node))
  },
  or_: (asked, { around }) => {
    const tests = asked.map((query) => nodeTest(query, around))
    return (node) => tests.some((test) => test(node))
  },
  some_child_has: (asked, { around }) => someChild(nodeTest(asked, around)),
  all_children_have: (asked, { around }) => not(someChild(not(nodeTest(asked, around)))),
  no_child_has: (asked, { around }) => not(someChild(nodeTest(asked, around))),
  min_descendant_count:
    (asked, { around }) =>
    (node) =>
      around.descendants().get(node)! >= asked,
  max_descendant_count:
    (asked, { around }) =>
    (node) =>
      around.descendants().get(node)! <= asked,
  some_descendant_has: (asked, self) => someDescendant(nodeTest(asked, self.around), self),
  all_descendants_have: (asked, self) => not(someDescendant(not(nodeTest(asked, self.around)), self)),
  no_descendant_has: (asked, self) => not(someDescendant(nodeTest(asked, self.around), self)),
  some_ancestor_has: (asked, self) => someAncestor(nodeTest(asked, self.around), self),
  all_ancestors_have: (asked, self) => not(someAncestor(not(nodeTest(asked, self.around)), self)),
  no_ancestor_has: (asked, self) => not(someAncestor(nodeTest(asked, self.around), self)),
  some_link_to: (asked, { around }) => someLinked(nodeTest(asked, around), around),
  no_link_to: (asked, { around }) => not(someLinked(nodeTest(asked, around), around)),
  starts_after: (asked, { around }) => {
    const { begins, ends } = edges(around)
    return someBefore(nodeTest(asked, around), around, ends, begins)
  },
  ends_before: (asked, { around }) => {
    // Time turned around, so that what comes after goes before.
    const { begins, ends } = edges(around)
    return someBefore(
      nodeTest(asked, around),
      around,
      (node) => turned(begins(node)),
      (node) => turned(ends(node))
    )
  },
  overlaps: (asked, { around }) => someBeside(nodeTest(asked, around), around)
}

const someEvent =
  (test: Test<Named>): NodeTest =>
  (node) =>
    node.span.events.some(test)

const someChild =
  (test: NodeTest): NodeTest =>
  (node) =>
    node.children.some(test)

/** What a query may need to know of a trace: each found once, when first asked for, for all spans at once. */
interface Surroundings {
  readonly traceId: string
  /** All spans, parents before their children. */
  readonly order: () => ReadonlyArray<TraceTree.Node>
  readonly places: () => ReadonlyMap<TraceTree.Node, number>
  /** How many each has. */
  readonly descendants: () => ReadonlyMap<TraceTree.Node, number>
  readonly byId: () => ReadonlyMap<string, TraceTree.Node>
}

const surroundings = (trace: TraceTree.Trace): Surroundings => {
  const order = once(() => Array.from(TraceTree.walk(trace.roots)))
  return {
    traceId: trace.traceId,
    order,
    places: once(() => new Map(order().map((node, place) => [node, place]))),
    descendants: once(() => {
      const counts = new Map<TraceTree.Node, number>()
      for (const node of order().toReversed()) {
        counts.set(
          node,
          node.children.reduce((count, child) => count + 1 + counts.get(child)!, 0)
        )
      }
      return counts
    }),
    // Of several with one id the first, as for children: the last to be set wins.
    byId: once(
      () =>
        new Map(
          order()
            .toReversed()
            .map((node) => [node.span.spanId, node])
        )
    )
  }
}

const once = <A>(make: () => A): (() => A) => {
  let made: { readonly value: A } | undefined
  return () => (made ??= { value: make() }).value
}

// Children before parents, each asking only its children, as walking down from every span would take the square of them.
const someDescendant = (test: NodeTest, { around, stop }: Self): NodeTest => {
  const found = once(() => {
    const above = new Set<TraceTree.Node>()
    for (const node of around.order().toReversed()) {
      if (node.children.some((child) => test(child) || (above.has(child) && !stop(child)))) above.add(node)
    }
    return above
  })
  return (node) => found().has(node)
}

const someAncestor = (test: NodeTest, { around, stop }: Self): NodeTest => {
  const found = once(() => {
    const below = new Set<TraceTree.Node>()
    for (const node of around.order()) {
      if (node.children.length === 0 || !(test(node) || (below.has(node) && !stop(node)))) continue
      for (const child of node.children) below.add(child)
    }
    return below
  })
  return (node) => found().has(node)
}

const someLinked = (test: NodeTest, around: Surroundings): NodeTest => {
  const answers = once(() => new Set(around.order().filter(test)))
  return ({ span }) =>
    span.links.some((link) => {
      const linked = link.traceId === around.traceId ? around.byId().get(link.spanId) : undefined
      return linked !== undefined && answers().has(linked)
    })
}

/** Where a span begins or ends: when, and between which spans of the trace. */
interface Edge {
  readonly time: bigint
  readonly place: number
}

const turned = ({ place, time }: Edge): Edge => ({ time: -time, place: -place })

const edges = (around: Surroundings) => ({
  begins: (node: TraceTree.Node): Edge => ({
    time: node.span.startTimeUnixNano,
    place: around.places().get(node)!
  }),
  ends: (node: TraceTree.Node): Edge => ({
    time: node.span.endTimeUnixNano,
    place: around.places().get(node)! + around.descendants().get(node)! + 1
  })
})

const takesTime = ({ span }: TraceTree.Node): boolean => span.endTimeUnixNano > span.startTimeUnixNano

/** Whether some span that passes the test has its edge before this span's. No span's end is before its own beginning. */
const someBefore = (
  test: NodeTest,
  around: Surroundings,
  theirs: (node: TraceTree.Node) => Edge,
  its: (node: TraceTree.Node) => Edge
): NodeTest => {
  const found = once(() => {
    const firstPlaces = new Map<bigint, number>()
    const lasting = new Set<bigint>()
    let first: bigint | undefined
    for (const node of around.order()) {
      if (!test(node)) continue
      const { place, time } = theirs(node)
      firstPlaces.set(time, Math.min(place, firstPlaces.get(time) ?? place))
      if (takesTime(node)) lasting.add(time)
      if (first === undefined || time < first) first = time
    }
    return { first, firstPlaces, lasting }
  })
  return (node) => {
    const { first, firstPlaces, lasting } = found()
    const { place, time } = its(node)
    if (first === undefined || first > time) return false
    return first < time || (takesTime(node) && lasting.has(time)) || firstPlaces.get(time)! <= place
  }
}

/** Whether some other span that passes the test began before this one ended, and ended after it began. */
const someBeside = (test: NodeTest, around: Surroundings): NodeTest => {
  const found = once(() => {
    const byStart = around
      .order()
      .filter(test)
      .toSorted((a, b) => compareBigInt(a.span.startTimeUnixNano, b.span.startTimeUnixNano))
    // For each count of them, those two that end last: one of them may be the span itself.
    const last: Array<ReadonlyArray<TraceTree.Node>> = [[]]
    for (const node of byStart) {
      const longest = [...last.at(-1)!, node].toSorted((a, b) =>
        compareBigInt(b.span.endTimeUnixNano, a.span.endTimeUnixNano)
      )
      last.push(longest.slice(0, 2))
    }
    return { byStart, last }
  })
  return (node) => {
    const { byStart, last } = found()
    const begun = countBefore(byStart, node.span.endTimeUnixNano)
    return last[begun]!.some((other) => other !== node && other.span.endTimeUnixNano > node.span.startTimeUnixNano)
  }
}

/** How many of these began before a time, by halving. */
const countBefore = (byStart: ReadonlyArray<TraceTree.Node>, time: bigint): number => {
  let [low, high] = [0, byStart.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (byStart[middle]!.span.startTimeUnixNano < time) low = middle + 1
    else high = middle
  }
  return low
}

const compareBigInt = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0)
