/**
 * The contract of `Propagator` as tests, for whoever writes a format of trace context or baggage: ours pass it, and any
 * other that a boundary is to use should.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Propagated, Propagator } from "../Propagator.ts"
import * as TraceContext from "../TraceContext.ts"
import * as Contract from "./Contract.ts"

/**
 * The rules of the contract, by the names that skip them.
 *
 * @since 0.1.0
 */
export type PropagatorRule =
  | "fields"
  | "context"
  | "traceState"
  | "baggage"
  | "nothing"
  | "invalid"
  | "safeValues"
  | "anyCase"
  | "notFound"
  | "unreadable"
  | "repeated"
  | "sameAnswer"

/**
 * The propagator under test, and what its format has room for.
 *
 * @since 0.1.0
 */
export interface PropagatorContractOptions {
  readonly propagator: Propagator
  /** Whether it carries trace and span id, and whether the trace is sampled. Default: true. */
  readonly carriesContext?: boolean | undefined
  /** Whether it carries that trace ids are random. Default: true. */
  readonly carriesRandomFlag?: boolean | undefined
  /** Default: true. */
  readonly carriesTraceState?: boolean | undefined
  /** Default: true. */
  readonly carriesBaggage?: boolean | undefined
  /** Rules that do not hold, with the reason. Default: none. */
  readonly skip?: { readonly [Rule in PropagatorRule]?: string | undefined } | undefined
}

/**
 * Gives the contract of `Propagator` as cases for a test runner.
 *
 * **Details**: each rule goes through a fixed list of contexts, baggage and header values, awkward ones among them. The
 * carriers compare names without regard to case, as those of boundaries do.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Propagator } from "handspan"
 * import * as Testing from "handspan/testing"
 *
 * const cases = Testing.propagatorContract({ propagator: Propagator.w3c })
 * // With vitest: for (const { rule, check } of cases) it.effect(rule, () => check)
 * for (const { check } of cases) Effect.runSync(check)
 * if (cases[0]?.id !== "fields") throw new Error("expected the rules")
 * ```
 *
 * @since 0.1.0
 */
export const propagatorContract = (options: PropagatorContractOptions): ReadonlyArray<Contract.Case> => {
  const { propagator } = options
  const { carriesBaggage = true, carriesContext = true } = options
  const carriesTraceState = carriesContext && (options.carriesTraceState ?? true)
  const carriesRandomFlag = carriesContext && (options.carriesRandomFlag ?? true)

  const carried = (context: TraceContext.TraceContext): TraceContext.TraceContext => ({
    ...context,
    flags: carriesRandomFlag ? context.flags : context.flags & TraceContext.flagSampled,
    traceState: carriesTraceState ? context.traceState : ""
  })

  /** What comes out of what went in, where something is wrong with it. */
  const roundTrip = (sent: Propagated, of = inject(propagator, sent)): string | undefined => {
    const received = propagator.extract(of.get)
    const context = sent.context && carriesContext ? carried(sent.context) : undefined
    const baggage = carriesBaggage && sent.baggage.size > 0 ? Object.fromEntries(sent.baggage) : undefined
    return Contract.difference({ context, baggage }, plain(received))
  }

  const eachRoundTrip = (all: ReadonlyArray<Propagated>) => check(all, (sent) => roundTrip(sent))

  /** Makes headers unreadable, one by one and all together. */
  const withValues = (values: ReadonlyArray<string>) =>
    [...propagator.fields.map((field) => [field]), propagator.fields].map((fields) =>
      carrierOf(fields.flatMap((field) => values.map((value): Header => [field, value])))
    )

  return Contract.make<PropagatorRule>(
    {
      fields: [
        "inject sets each field once at most, and only those that fields names, which are in lower case",
        check(everything, (sent) => {
          const upper = propagator.fields.find((field) => field !== field.toLowerCase())
          if (upper !== undefined) return `the field ${Contract.tell(upper)}`
          const names = inject(propagator, sent).headers.map(([name]) => name.toLowerCase())
          const other = names.find((name) => !propagator.fields.includes(name))
          if (other !== undefined) return `inject set ${Contract.tell(other)}`
          const twice = names.find((name, at) => names.indexOf(name) !== at)
          return twice === undefined ? undefined : `inject set ${Contract.tell(twice)} twice`
        })
      ],
      context: [
        "extract finds the context that inject wrote",
        eachRoundTrip(contexts.map((context) => ({ context, baggage: noBaggage })))
      ],
      traceState: [
        "extract finds the tracestate that inject wrote",
        eachRoundTrip(traceStates.map((traceState) => ({ context: { ...context, traceState }, baggage: noBaggage })))
      ],
      baggage: [
        "extract finds the baggage that inject wrote",
        eachRoundTrip(baggages.map((baggage) => ({ context: undefined, baggage })))
      ],
      nothing: [
        "inject sets nothing where there is nothing, and invents no context for baggage nor baggage for a context",
        check(
          [
            { context: undefined, baggage: noBaggage },
            { context, baggage: noBaggage },
            { context: undefined, baggage: baggages[0]! }
          ],
          (sent) => {
            const { get, headers } = inject(propagator, sent)
            const isEmpty = (!sent.context || !carriesContext) && (sent.baggage.size === 0 || !carriesBaggage)
            if (isEmpty && headers.length > 0) return `inject set ${told(headers)}`
            const found = propagator.extract(get)
            if (sent.context === undefined && found.context) return `the context ${Contract.tell(found.context)}`
            return sent.baggage.size === 0 && found.baggage ? "baggage" : undefined
          }
        )
      ],
      invalid: [
        "inject sets nothing for a context whose ids are not valid",
        check(invalidContexts, (context) => {
          const { headers } = inject(propagator, { context, baggage: noBaggage })
          return headers.length === 0 ? undefined : `inject set ${told(headers)} for ${Contract.tell(context)}`
        })
      ],
      safeValues: [
        "inject sets printable ASCII alone, whatever it is given, so that no value breaks out of its header",
        check(everything.concat(hostile), (sent) => {
          const bad = inject(propagator, sent).headers.find(([, value]) => !/^[\x20-\x7e]*$/.test(value))
          return bad === undefined ? undefined : `inject set ${told([bad])}`
        })
      ],
      anyCase: [
        "extract finds what inject wrote, in whatever case a carrier has the names",
        check(everything, (sent) => {
          const { headers } = inject(propagator, sent)
          const renamed = [upperCase, lowerCase, titleCase].map((rename) =>
            carrierOf(headers.map(([name, value]) => [rename(name), value]))
          )
          return renamed.map((carrier) => roundTrip(sent, carrier)).find((difference) => difference !== undefined)
        })
      ],
      notFound: [
        "extract leaves out what it does not find: an empty baggage would take the place of the program's own",
        check([carrierOf([]), carrierOf([["accept", "text/plain"]])], ({ get }) => {
          const found = Object.entries(propagator.extract(get)).filter(([, value]) => value !== undefined)
          return found.length === 0 ? undefined : `${found[0]?.[0]}: ${Contract.tell(found[0]?.[1])}`
        })
      ],
      unreadable: [
        "extract leaves out a context that it cannot read, and throws nothing whatever the values are",
        check(
          unreadable.flatMap((value) => withValues([value]).map((carrier) => ({ carrier, value }))),
          (each) => {
            const { context } = propagator.extract(each.carrier.get)
            return context === undefined
              ? undefined
              : `the context ${Contract.tell(context)} of ${Contract.tell(each.value)}`
          }
        )
      ],
      repeated: [
        "extract takes no context where a carrier has two, and throws nothing where values come twice",
        check([...withValues(["", ""]), ...withValues(["a=1", "a=2"]), twoContexts(propagator)], ({ get }) => {
          const { context } = propagator.extract(get)
          return context === undefined ? undefined : `the context ${Contract.tell(context)}`
        })
      ],
      sameAnswer: [
        "inject and extract give the same answer each time, and change nothing that they are given",
        check(everything, (sent) => {
          const before = plain(sent)
          const [first, second] = [inject(propagator, sent), inject(propagator, sent)]
          const found = [first, first, second].map(({ get }) => plain(propagator.extract(get)))
          return (
            Contract.difference(first.headers, second.headers) ??
            Contract.difference(found[0], found[1]) ??
            Contract.difference(found[0], found[2]) ??
            Contract.difference(before, plain(sent))
          )
        })
      ]
    },
    {
      context: roomFor(carriesContext),
      traceState: roomFor(carriesTraceState),
      baggage: roomFor(carriesBaggage),
      ...options.skip
    }
  )
}

/** Why a rule is skipped, where it is. */
const roomFor = (isCarried: boolean): string | undefined => (isCarried ? undefined : "its format has no room for it")

/** Goes through inputs until something is wrong with one. */
const check = <A>(inputs: ReadonlyArray<A>, see: (input: A) => string | undefined) =>
  Effect.suspend(() => {
    for (const input of inputs) {
      const seen = see(input)
      if (seen !== undefined) return Contract.saw(seen)
    }
    return Effect.void
  })

type Header = readonly [name: string, value: string]

/** Headers, and how a boundary reads them. */
interface Carrier {
  readonly headers: ReadonlyArray<Header>
  readonly get: (name: string) => ReadonlyArray<string>
}

const carrierOf = (headers: ReadonlyArray<Header>): Carrier => ({
  headers,
  get: (name) => headers.filter(([own]) => own.toLowerCase() === name.toLowerCase()).map(([, value]) => value)
})

const inject = (propagator: Propagator, propagated: Propagated): Carrier => {
  const headers: Array<Header> = []
  propagator.inject(propagated, (name, value) => headers.push([name, value]))
  return carrierOf(headers)
}

const plain = ({ baggage, context }: Partial<Propagated>) => ({
  context: context && { ...context },
  baggage: baggage && Object.fromEntries(baggage)
})

const told = (headers: ReadonlyArray<Header>): string =>
  headers.map(([name, value]) => `${name}: ${Contract.tell(value)}`).join(", ")

const upperCase = (name: string): string => name.toUpperCase()
const lowerCase = (name: string): string => name.toLowerCase()
const titleCase = (name: string): string => name.replaceAll(/\b[a-z]/g, upperCase)

const twoContexts = (propagator: Propagator): Carrier =>
  carrierOf(contexts.slice(0, 2).flatMap((context) => inject(propagator, { context, baggage: noBaggage }).headers))

const noBaggage: TraceContext.Baggage = new Map()

const contexts: ReadonlyArray<TraceContext.TraceContext> = [
  { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", flags: 0, traceState: "" },
  { traceId: `${"0".repeat(31)}1`, spanId: `${"0".repeat(15)}1`, flags: 1, traceState: "" },
  { traceId: "f".repeat(32), spanId: "f".repeat(16), flags: 2, traceState: "" },
  { traceId: "12345678901234567890123456789012", spanId: "1234567890123456", flags: 3, traceState: "" }
]
const context = contexts[3]!

const traceStates = [
  "a=1",
  "vendor=opaque value,other@system=2",
  Array.from({ length: 32 }, (_, n) => `key${n}=${n}`).join(",")
]

const entry = (value: string, metadata = ""): TraceContext.BaggageEntry => ({ value, metadata })

const baggages: ReadonlyArray<TraceContext.Baggage> = [
  new Map([["user", entry("alice b", "private")]]),
  new Map([
    ["empty", entry("")],
    ["signs", entry("a,b;c=d\\\"%20 +'")],
    ["unicode", entry("héllo 🌍")],
    ["lines", entry("a\r\nb: c\0\t")],
    ["long", entry("l".repeat(2000), "ttl=3;private")]
  ]),
  new Map(Array.from({ length: 60 }, (_, n) => [`name${n}`, entry(String(n))]))
]

const everything: ReadonlyArray<Propagated> = [
  ...contexts.map((context) => ({ context, baggage: noBaggage })),
  ...traceStates.map((traceState) => ({ context: { ...context, traceState }, baggage: noBaggage })),
  ...baggages.map((baggage) => ({ context: undefined, baggage })),
  { context: { ...context, traceState: traceStates[0]! }, baggage: baggages[1]! }
]

const notIds = ["noop", "", "0", "g", "A", "\r\nx: y", "é", " "]

const invalidContexts: ReadonlyArray<TraceContext.TraceContext> = [
  ...notIds.flatMap((bad) => [
    { ...context, traceId: bad },
    { ...context, spanId: bad },
    { ...context, traceId: bad.padEnd(32, bad || " ") },
    { ...context, spanId: bad.padEnd(16, bad || " ") }
  ]),
  { ...context, traceId: "1".repeat(100_000) },
  { ...context, spanId: `${context.spanId}00` }
]

const hostile: ReadonlyArray<Propagated> = [
  "a=1\r\nx: y",
  "\0",
  "é=🌍",
  "\ud800",
  "a=1\n",
  "a".repeat(100_000)
].flatMap((text): ReadonlyArray<Propagated> => [
  { context: { ...context, traceState: text }, baggage: noBaggage },
  { context, baggage: new Map([[text, entry(text, text)]]) },
  { context: { ...context, flags: Number.NaN }, baggage: new Map([["a", entry(text, text)]]) }
])

const unreadable = [
  "",
  " ",
  "\0",
  "-",
  ",",
  "=",
  ";=,%",
  "%",
  "%zz",
  "a=%ff%fe",
  "null",
  "constructor",
  "__proto__=1",
  "\ud800",
  "🌍",
  "a\r\nb",
  "00-0-0-00",
  `00-${"0".repeat(32)}-${"0".repeat(16)}-00`,
  `00-${"g".repeat(32)}-${"1".repeat(16)}-01`,
  `ff-${"1".repeat(32)}-${"1".repeat(16)}-01`,
  `00-${"1".repeat(31)}-${"1".repeat(16)}-01`,
  ...["a", " ", "-", ",", "=", "%", "a=1,", "00-"].map((part) => part.repeat(Math.ceil(100_000 / part.length)))
]
