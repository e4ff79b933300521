/**
 * Every assertion about a trace, once: whether it holds, and what to say where it does not, or where it should not have.
 * `ExpectTrace` and the matchers for vitest are two faces of this table.
 *
 * @since 0.1.0
 */
import * as Handoffs from "../analysis/Handoffs.ts"
import * as SpanQuery from "../analysis/SpanQuery.ts"
import type * as TraceTree from "../TraceTree.ts"
import * as Tree from "./Tree.ts"
import * as Laws from "./Laws.ts"
import * as TreeDiff from "./TreeDiff.ts"
import * as TreeMatch from "./TreeMatch.ts"
import { renderTree } from "./TreeSnapshot.ts"

/**
 * The answer to one assertion.
 *
 * @since 0.1.0
 */
export interface Check {
  readonly holds: boolean
  /** What to say where it does not hold; where it holds, what to say to somebody who expected that it did not. */
  readonly message: () => string
}

/**
 * What stands at the top of a trace: one span, or several.
 *
 * @since 0.1.0
 */
export type ExpectedTree = Tree.Expected | ReadonlyArray<Tree.Expected> | Tree.Group<Tree.Expected>

/**
 * The assertions by their names.
 *
 * @since 0.1.0
 */
export const checks = {
  /** The trace is this tree, and nothing else. */
  toMatchTree: (trace: TraceTree.Trace, expected: ExpectedTree): Check => {
    const isGroup = Array.isArray(expected) || "_tag" in expected
    const roots = isGroup
      ? Tree.groupOf(expected as ReadonlyArray<Tree.Expected> | Tree.Group<Tree.Expected>)
      : Tree.exactly(expected as Tree.Expected)
    const rows = TreeMatch.match(roots, trace)
    return rows.every(({ differences }) => differences === 0)
      ? { holds: true, message: () => `Expected another tree than this:\n${seen(trace)}` }
      : { holds: false, message: () => TreeDiff.render(rows, { colors: isTerminal() }) }
  },

  /** One agent or pipeline handed off to another; `root` is the program itself. */
  toHaveHandoff: (trace: TraceTree.Trace, from: string, to: string): Check =>
    told(Handoffs.handedOff(trace, from, to), `handoff ${from} → ${to}`, () =>
      list("handoffs", Handoffs.handoffs(trace).map(arrow))
    ),

  /** The agents that were handed to, all of them and in this order. */
  toHaveHandoffs: (trace: TraceTree.Trace, agents: ReadonlyArray<string>): Check => {
    const given = Handoffs.handoffs(trace).map(({ to }) => to)
    return told(isSame(agents, given), `handoffs to ${words(agents)}`, () => list("handoffs to", given))
  },

  /** The tools that were called, all of them and in this order. */
  toHaveToolCalls: (trace: TraceTree.Trace, tools: ReadonlyArray<string>): Check => {
    const called = Handoffs.toolCalls(trace)
    return told(isSame(tools, called), `calls of the tools ${words(tools)}`, () => list("tools called", called))
  },

  /** Something ran: an agent, a pipeline, a tool, or a span of that very name. */
  toHaveRun: (trace: TraceTree.Trace, name: string): Check =>
    told(!Handoffs.never(trace, name), `${name} to run`, () => seen(trace)),

  /** How many attempts the handoff to an agent took; each of them, where there are several. */
  toHaveAttempts: (trace: TraceTree.Trace, agent: string, first: number, ...others: ReadonlyArray<number>): Check => {
    const taken = Handoffs.attempts(trace, agent)
    const attempts = [first, ...others]
    const what = `${words(attempts.map(String))} attempts of ${agent}`
    return told(isSame(attempts, taken), what, () => list("attempts", taken.map(String)))
  },

  /** All of one name had ended before any of another began. */
  toRunBefore: (trace: TraceTree.Trace, first: string, second: string): Check =>
    told(Handoffs.before(trace, first, second), `${first} to run before ${second}`, () => times(trace, first, second)),

  /** Two of these names were at work at one time. */
  toOverlap: (trace: TraceTree.Trace, left: string, right: string): Check =>
    told(Handoffs.overlaps(trace, left, right), `${left} to run beside ${right}`, () => times(trace, left, right)),

  /** What a fan-in joined, all of it and in this order. */
  toFanIn: (trace: TraceTree.Trace, agent: string, upstream: ReadonlyArray<string>): Check => {
    const joined = Handoffs.fannedIn(trace, agent)
    const isThere = !Handoffs.never(trace, agent)
    return told(isThere && isSame(upstream, joined), `${agent} to join ${words(upstream)}`, () =>
      list("joined", joined)
    )
  },

  /** Some span of the trace answers a query. */
  toMatchQuery: (trace: TraceTree.Trace, query: SpanQuery.SpanQuery): Check =>
    told(SpanQuery.any(trace, query), `a span with ${JSON.stringify(query)}`, () => seen(trace)),

  /** No law is broken, but for those that are allowed to be. */
  toObeyLaws: (trace: TraceTree.Trace, allow: ReadonlyArray<Laws.Law> = []): Check => {
    const broken = Laws.violations([trace]).filter(({ law }) => !allow.includes(law))
    return told(broken.length === 0, "a trace under all laws", () =>
      broken.map(({ message }) => `- ${message}`).join("\n")
    )
  }
} satisfies Readonly<Record<string, (trace: TraceTree.Trace, ...args: Array<never>) => Check>>

/**
 * The names and arguments of the assertions, for faces of them that give back something else.
 *
 * @since 0.1.0
 */
export type Assertions<Result> = {
  readonly [Name in keyof typeof checks]: (typeof checks)[Name] extends (
    trace: TraceTree.Trace,
    ...args: infer Args
  ) => Check
    ? (...args: Args) => Result
    : never
}

const told = (holds: boolean, what: string, saw: () => string): Check => ({
  holds,
  message: () => `${holds ? "Did not expect" : "Expected"} ${what}\n${saw()}`
})

const isSame = <A>(left: ReadonlyArray<A>, right: ReadonlyArray<A>): boolean =>
  left.length === right.length && left.every((item, index) => item === right[index])

/** Names with commas between; one that comes several times in a row is counted, and a long list is cut. */
const words = (names: ReadonlyArray<string>): string => {
  const runs: Array<{ readonly name: string; times: number }> = []
  for (const name of names) {
    const last = runs.at(-1)
    if (last?.name === name) last.times++
    else runs.push({ name, times: 1 })
  }
  const shown = runs.slice(0, maxNames).map(({ name, times }) => (times === 1 ? name : `${name} ×${times}`))
  const more = runs.length - shown.length
  return names.length === 0 ? "nothing" : [...shown, ...(more > 0 ? [`and ${more} more`] : [])].join(", ")
}

const maxNames = 50

const list = (what: string, names: ReadonlyArray<string>): string => `${what}: ${words(names)}`

const arrow = ({ from, to }: Handoffs.Handoff): string => `${from} → ${to}`

const seen = (trace: TraceTree.Trace): string => renderTree(trace, { details: false })

const times = (trace: TraceTree.Trace, ...names: ReadonlyArray<string>): string =>
  names
    .flatMap((name) => {
      const spans = Handoffs.spansNamed(trace, name)
      if (spans.length === 0) return [`${name}: never`]
      return spans.map(({ endTimeUnixNano, name, startTimeUnixNano }) => {
        const [from, to] = [startTimeUnixNano, endTimeUnixNano].map(
          (time) => Number(time - trace.startTimeUnixNano) / 1e6
        )
        return `${name}: from ${from} to ${to} ms`
      })
    })
    .join("\n")

/** Where the text is read by a person at a terminal that has colours and may use them; a log has no use for them. */
const isTerminal = (): boolean => {
  const { stdout } = globalThis.process ?? {}
  return stdout !== undefined && stdout.isTTY && stdout.hasColors()
}
