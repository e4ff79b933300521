/**
 * Holds what a test expects against a trace, span by span, and finds the way to lay the two side by side that leaves the
 * fewest differences. Telling them is TreeDiff's.
 *
 * @since 0.1.0
 */
import type { SpanEvent, SpanRecord } from "../SpanRecord.ts"
import type * as TraceTree from "../TraceTree.ts"
import * as Tree from "./Tree.ts"
import * as Values from "./Values.ts"

/**
 * One thing about a span that is not as expected, both sides as text.
 *
 * @since 0.1.0
 */
export interface Fault {
  readonly what: string
  readonly expected: string
  readonly seen: string
}

/**
 * What stands in one line of the two trees: a span that was expected, one that was seen, or both.
 *
 * - `matched`: both, and maybe `faults` between them
 * - `missing`: expected, and not there
 * - `unclaimed`: there, and nobody expected it
 * - `allowed`: there among what was expected, as it may be
 *
 * @since 0.1.0
 */
export interface Row {
  readonly kind: "matched" | "missing" | "unclaimed" | "allowed"
  readonly expected: Tree.Expected | undefined
  readonly node: TraceTree.Node | undefined
  readonly faults: ReadonlyArray<Fault>
  readonly children: ReadonlyArray<Row>
  /** How many differences there are here and below. */
  readonly differences: number
  /** Whether an unclaimed span is one that is missing elsewhere among its siblings. */
  readonly isMisplaced?: boolean | undefined
}

/**
 * Lays what is expected beside the roots of a trace.
 *
 * @since 0.1.0
 */
export const match = (expected: Tree.Group<Tree.Expected>, trace: TraceTree.Trace): ReadonlyArray<Row> =>
  new Matcher(trace).group(expected, trace.roots)

const nothing: Tree.Group<Tree.Expected> = Tree.exactly()

class Matcher {
  private readonly spans: ReadonlyMap<string, SpanRecord>
  /** Each pair is looked at once, whatever it is tried beside. */
  private readonly rows = new Map<Tree.Expected, Map<TraceTree.Node, Row>>()

  constructor(trace: TraceTree.Trace) {
    this.spans = new Map(trace.spans.map((span) => [span.spanId, span]))
  }

  group(expected: Tree.Group<Tree.Expected>, nodes: ReadonlyArray<TraceTree.Node>): ReadonlyArray<Row> {
    const { complete, items, ordered } = expected
    const rows = ordered ? this.align(items, nodes, complete) : this.assign(items, nodes, complete)
    return complete ? this.markMisplaced(this.pairRenamed(rows)) : rows
  }

  private pair(expected: Tree.Expected, node: TraceTree.Node): Row {
    const known = this.rows.get(expected)?.get(node)
    if (known !== undefined) return known
    const faults = this.faultsOf(expected, node.span)
    const children = this.group(Tree.groupOf(expected.children ?? nothing), node.children)
    const differences = children.reduce((sum, child) => sum + child.differences, faults.length)
    const row: Row = { kind: "matched", expected, node, faults, children, differences }
    const rows = this.rows.get(expected) ?? new Map<TraceTree.Node, Row>()
    this.rows.set(expected, rows.set(node, row))
    return row
  }

  private isPerfect(expected: Tree.Expected, node: TraceTree.Node): boolean {
    return isNamed(expected, node) && this.pair(expected, node).differences === 0
  }

  /** In order: what is as expected at either end needs no search, and between them the cheapest way is looked for. */
  private align(
    items: ReadonlyArray<Tree.Expected>,
    nodes: ReadonlyArray<TraceTree.Node>,
    complete: boolean
  ): ReadonlyArray<Row> {
    const shorter = Math.min(items.length, nodes.length)
    let start = 0
    while (start < shorter && this.isPerfect(items[start]!, nodes[start]!)) start++
    let end = 0
    while (end < shorter - start && this.isPerfect(items.at(-1 - end)!, nodes.at(-1 - end)!)) end++
    const pairs = (from: number, to: number, shift: number): ReadonlyArray<Row> =>
      items.slice(from, to).map((item, index) => this.pair(item, nodes[from + index + shift]!))
    const middle = this.cheapest(
      items.slice(start, items.length - end),
      nodes.slice(start, nodes.length - end),
      complete
    )
    return [...pairs(0, start, 0), ...middle, ...pairs(items.length - end, items.length, nodes.length - items.length)]
  }

  /** The cheapest way from one list to the other, where only spans of one name are laid side by side. */
  private cheapest(
    items: ReadonlyArray<Tree.Expected>,
    nodes: ReadonlyArray<TraceTree.Node>,
    complete: boolean
  ): ReadonlyArray<Row> {
    const extraCost = complete ? 1 : 0
    const width = nodes.length + 1
    // A search through so many pairs would take minutes, and its outcome nobody could read: what is left is told as it is.
    if (items.length * nodes.length > maxPairs) {
      return [...items.map((item) => missing(item)), ...nodes.map((node) => extra(node, complete))]
    }
    // costs[i * width + j]: of the items from i on and the nodes from j on.
    const costs = new Float64Array((items.length + 1) * width)
    const together = (i: number, j: number): number =>
      isNamed(items[i]!, nodes[j]!) ? pairCost(this.pair(items[i]!, nodes[j]!), complete) : Infinity
    for (let i = items.length; i >= 0; i--) {
      for (let j = nodes.length; j >= 0; j--) {
        if (i === items.length && j === nodes.length) continue
        const missing = i < items.length ? 1 + costs[(i + 1) * width + j]! : Infinity
        const extra = j < nodes.length ? extraCost + costs[i * width + j + 1]! : Infinity
        const both = i < items.length && j < nodes.length ? together(i, j) + costs[(i + 1) * width + j + 1]! : Infinity
        costs[i * width + j] = Math.min(missing, extra, both)
      }
    }
    const rows: Array<Row> = []
    let i = 0
    let j = 0
    while (i < items.length || j < nodes.length) {
      const cost = costs[i * width + j]
      const both = i < items.length && j < nodes.length ? together(i, j) + costs[(i + 1) * width + j + 1]! : Infinity
      const alone = i < items.length ? 1 + costs[(i + 1) * width + j]! : Infinity
      if (both === cost) {
        rows.push(this.pair(items[i++]!, nodes[j++]!))
      } else if (alone === cost) {
        rows.push(missing(items[i++]!))
      } else {
        rows.push(extra(nodes[j++]!, complete))
      }
    }
    return rows
  }

  /** In any order: as many as can be have a span of their own that is just as expected, and the others the next best. */
  private assign(
    items: ReadonlyArray<Tree.Expected>,
    nodes: ReadonlyArray<TraceTree.Node>,
    complete: boolean
  ): ReadonlyArray<Row> {
    // By their places: one expectation may stand in the list several times.
    const holder = new Map<number, number>()
    const placeOf = new Map<number, number>()
    const take = (item: number, node: number): void => {
      holder.set(node, item)
      placeOf.set(item, node)
    }
    let looks = 0
    const fits = (item: number, node: number): boolean =>
      looks++ < maxPairs && this.isPerfect(items[item]!, nodes[node]!)
    // First those that find one which is free, each after the one before it, as they mostly stand.
    let next = 0
    for (const item of items.keys()) {
      for (let step = 0; step < nodes.length; step++) {
        const node = (next + step) % nodes.length
        if (holder.has(node) || !fits(item, node)) continue
        take(item, node)
        next = node + 1
        break
      }
    }
    // Then those that find one only where another moves on.
    const claim = (item: number, tried: Set<number>): boolean => {
      for (const node of nodes.keys()) {
        if (tried.has(node) || !fits(item, node)) continue
        tried.add(node)
        const other = holder.get(node)
        if (other !== undefined && !claim(other, tried)) continue
        take(item, node)
        return true
      }
      return false
    }
    if (holder.size < Math.min(items.length, nodes.length)) {
      for (const item of items.keys()) if (!placeOf.has(item)) claim(item, new Set())
    }
    for (const [index, item] of items.entries()) {
      if (placeOf.has(index)) continue
      let best: number | undefined
      for (const [place, node] of nodes.entries()) {
        if (holder.has(place) || !isNamed(item, node) || looks++ > maxPairs) continue
        const known = best === undefined ? Infinity : this.pair(item, nodes[best]!).differences
        if (this.pair(item, node).differences < known) best = place
      }
      if (best !== undefined) take(index, best)
    }
    return [
      ...items.map((item, index) => {
        const place = placeOf.get(index)
        return place === undefined ? missing(item) : this.pair(item, nodes[place]!)
      }),
      ...nodes.filter((_, place) => !holder.has(place)).map((node) => extra(node, complete))
    ]
  }

  /**
   * What is missing and what nobody expected, between the same neighbours, is most likely the same under other names: the
   * first beside the first.
   */
  private pairRenamed(rows: ReadonlyArray<Row>): ReadonlyArray<Row> {
    const paired: Array<Row> = []
    let run: Array<Row> = []
    const close = (): void => {
      const missing = run.filter(({ kind }) => kind === "missing")
      const unclaimed = run.filter(({ kind }) => kind === "unclaimed")
      const isOther = !missing.some(({ expected }) => unclaimed.some(({ node }) => isNamed(expected!, node!)))
      const count = isOther ? Math.min(missing.length, unclaimed.length) : 0
      for (let at = 0; at < count; at++) paired.push(this.pair(missing[at]!.expected!, unclaimed[at]!.node!))
      const done = new Set([...missing.slice(0, count), ...unclaimed.slice(0, count)])
      paired.push(...run.filter((row) => !done.has(row)))
      run = []
    }
    for (const row of rows) {
      if (row.kind === "missing" || row.kind === "unclaimed") {
        run.push(row)
        continue
      }
      close()
      paired.push(row)
    }
    close()
    return paired
  }

  /** What is missing here may stand there. */
  private markMisplaced(rows: ReadonlyArray<Row>): ReadonlyArray<Row> {
    const missing = rows.flatMap(({ expected, kind }) =>
      kind === "missing" && expected !== undefined ? [expected] : []
    )
    if (missing.length * rows.length > maxPairs) return rows
    return rows.map((row) => {
      const { kind, node } = row
      if (kind !== "unclaimed" || node === undefined) return row
      return missing.some((expected) => this.isPerfect(expected, node)) ? { ...row, isMisplaced: true } : row
    })
  }

  private faultsOf(expected: Tree.Expected, span: SpanRecord): ReadonlyArray<Fault> {
    const { events, kind, links, name } = expected
    return [
      ...(Values.isText(name, span.name) ? [] : [fault("name", Values.textOf(name), Values.format(span.name))]),
      ...(kind === undefined || kind === span.kind ? [] : [fault("kind", kind, span.kind)]),
      ...statusFaults(expected.status, span),
      ...attributeFaults(expected.attributes, span.attributes),
      ...(events === undefined ? [] : listFaults("event", Tree.groupOf(events), span.events, eventWords)),
      ...(links === undefined ? [] : listFaults("link", Tree.groupOf(links), this.linkedNames(span), linkWords))
    ]
  }

  private linkedNames(span: SpanRecord): ReadonlyArray<string> {
    return span.links.map(({ spanId }) => this.spans.get(spanId)?.name ?? `span ${spanId}`)
  }
}

/** How many pairs of siblings are looked at, at most, for the best way to lay them side by side. */
const maxPairs = 1_000_000

const fault = (what: string, expected: string, seen: string): Fault => ({ what, expected, seen })

/** A pair with faults is still likelier than one missing and one too many. */
const pairCost = ({ differences }: Row, complete: boolean): number =>
  differences === 0 ? 0 : (complete ? 1 : 0) + Math.min(differences / 1000, 0.9)

const isNamed = ({ name }: Tree.Expected, { span }: TraceTree.Node): boolean => Values.isText(name, span.name)

/** What should stand below a missing span is missing with it, and is no difference of its own. */
const missing = (expected: Tree.Expected, differences = 1): Row => ({
  kind: "missing",
  expected,
  node: undefined,
  faults: [],
  children: Tree.groupOf(expected.children ?? nothing).items.map((child) => missing(child, 0)),
  differences
})

const extra = (node: TraceTree.Node, complete: boolean): Row => ({
  kind: complete ? "unclaimed" : "allowed",
  expected: undefined,
  node,
  faults: [],
  children: [],
  differences: complete ? 1 : 0
})

const statusFaults = (expected: Tree.Expectations["status"], span: SpanRecord): ReadonlyArray<Fault> => {
  const { status } = span
  const seen = status.code === "error" ? `error ${Values.format(status.message)}` : status.code
  if (expected === undefined) return status.code === "error" ? [fault("status", "no error", seen)] : []
  if (typeof expected === "string") return status.code === expected ? [] : [fault("status", expected, seen)]
  const isIt = status.code === "error" && Values.isText(expected.error, status.message)
  return isIt ? [] : [fault("status", `error ${Values.textOf(expected.error)}`, seen)]
}

const attributeFaults = (
  expected: Tree.Expectations["attributes"],
  seen: SpanRecord["attributes"]
): ReadonlyArray<Fault> => {
  if (expected === undefined) return []
  const isOnly = isOnlyThese(expected)
  const wanted = Object.entries(isOnly ? expected.attributes : expected)
  const known = new Set(wanted.map(([key]) => key))
  const own = (key: string) => (Object.hasOwn(seen, key) ? seen[key] : undefined)
  return [
    ...wanted.flatMap(([key, value]) =>
      Values.isValue(value, own(key)) ? [] : [fault(key, Values.describe(value), Values.format(own(key)))]
    ),
    ...(isOnly ? Object.keys(seen) : []).flatMap((key) =>
      known.has(key) ? [] : [fault(key, Values.format(undefined), Values.format(own(key)))]
    )
  ]
}

const isOnlyThese = (expected: NonNullable<Tree.Expectations["attributes"]>): expected is Tree.ExpectedAttributes =>
  expected["_tag"] === "Only" && typeof expected["attributes"] === "object"

/** How the things of one kind are compared and told. */
interface Words<E, S> {
  readonly isIt: (expected: E, seen: S) => boolean
  readonly expected: (expected: E) => string
  readonly seen: (seen: S) => string
}

const eventWords: Words<Tree.ExpectedEvent, SpanEvent> = {
  isIt: (expected, { attributes, name }) => {
    if (typeof expected === "string" || expected instanceof RegExp) return Values.isText(expected, name)
    return Values.isText(expected.name, name) && attributeFaults(expected.attributes, attributes).length === 0
  },
  expected: (expected) => {
    if (typeof expected === "string" || expected instanceof RegExp) return Values.textOf(expected)
    const { attributes = {} } = expected
    const wanted = Object.entries(isOnlyThese(attributes) ? attributes.attributes : attributes)
    return [Values.textOf(expected.name), ...wanted.map(([key, value]) => `${key}=${Values.describe(value)}`)].join(" ")
  },
  seen: ({ attributes, name }) =>
    [Values.format(name), ...Object.entries(attributes).map(([key, value]) => `${key}=${Values.format(value)}`)].join(
      " "
    )
}

const linkWords: Words<Tree.Text, string> = {
  isIt: (expected, seen) =>
    Values.isText(expected, seen) ||
    (typeof expected === "string" && Values.prefixes.some((prefix) => prefix + expected === seen)),
  expected: Values.textOf,
  seen: Values.format
}

const listFaults = <E, S>(
  what: string,
  { complete, items, ordered }: Tree.Group<E>,
  seen: ReadonlyArray<S>,
  words: Words<E, S>
): ReadonlyArray<Fault> => {
  const { missing, unclaimed } = ordered
    ? compareInOrder(items, seen, words.isIt)
    : compareInAnyOrder(items, seen, words.isIt)
  const extras = complete ? unclaimed : []
  return Array.from({ length: Math.max(missing.length, extras.length) }, (_, index) =>
    fault(
      what,
      index < missing.length ? words.expected(missing[index]!) : Values.format(undefined),
      index < extras.length ? words.seen(extras[index]!) : Values.format(undefined)
    )
  )
}

interface Comparison<E, S> {
  readonly missing: ReadonlyArray<E>
  readonly unclaimed: ReadonlyArray<S>
}

const compareInOrder = <E, S>(
  items: ReadonlyArray<E>,
  seen: ReadonlyArray<S>,
  isIt: (expected: E, seen: S) => boolean
): Comparison<E, S> => {
  const missing: Array<E> = []
  const claimed = new Set<number>()
  let from = 0
  for (const item of items) {
    const at = seen.findIndex((one, index) => index >= from && isIt(item, one))
    if (at < 0) {
      missing.push(item)
    } else {
      claimed.add(at)
      from = at + 1
    }
  }
  return { missing, unclaimed: seen.filter((_, index) => !claimed.has(index)) }
}

const compareInAnyOrder = <E, S>(
  items: ReadonlyArray<E>,
  seen: ReadonlyArray<S>,
  isIt: (expected: E, seen: S) => boolean
): Comparison<E, S> => {
  const holders = new Map<number, E>()
  const claim = (item: E, tried: Set<number>): boolean =>
    seen.some((one, index) => {
      if (tried.has(index) || !isIt(item, one)) return false
      tried.add(index)
      if (holders.has(index) && !claim(holders.get(index)!, tried)) return false
      holders.set(index, item)
      return true
    })
  const missing = items.filter((item) => !claim(item, new Set()))
  return { missing, unclaimed: seen.filter((_, index) => !holders.has(index)) }
}
