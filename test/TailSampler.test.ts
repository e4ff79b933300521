import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { fromRecord } from "../src/EncodableSpan.ts"
import * as OtelTraceState from "../src/OtelTraceState.ts"
import * as Sampler from "../src/Sampler.ts"
import { SpanBuffer } from "../src/SpanBuffer.ts"
import { type EncodedSpan, SpanEncoder } from "../src/SpanEncoder.ts"
import * as SpanRecord from "../src/SpanRecord.ts"
import * as TailRules from "../src/TailRules.ts"
import { type Decision, type Options, TailSampler } from "../src/TailSampler.ts"
import { spansOf } from "./batches.ts"

// ---------------------------------------------------------------------------------------------------------------------
// Spans that are told apart by numbers, and a tail sampler with all that it kept
// ---------------------------------------------------------------------------------------------------------------------

const resource: SpanRecord.Resource = { attributes: { "service.name": "test" } }
const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, "0")
const numberOf = ({ spanId }: SpanRecord.SpanRecord): number => Number.parseInt(spanId, 16)
const seconds = (n: number): bigint => BigInt(Math.round(n * 1e9))
const failed: SpanRecord.SpanStatus = { code: "error", message: "no" }

interface Fields extends Omit<Partial<SpanRecord.SpanRecord>, "spanId" | "parentSpanId" | "traceId"> {
  readonly trace?: number | string
  readonly parent?: number
  /** In seconds. */
  readonly from?: number
  readonly to?: number
}

const span = (n: number, { from = 0, parent, to = from + 1, trace = 1, ...fields }: Fields = {}) =>
  SpanRecord.make({
    name: "work",
    resource,
    startTimeUnixNano: seconds(from),
    endTimeUnixNano: seconds(to),
    ...fields,
    traceId: typeof trace === "string" ? trace : hex(trace, 32),
    spanId: hex(n, 16),
    parentSpanId: parent === undefined ? undefined : hex(parent, 16)
  })

class Kit {
  readonly tail: TailSampler
  readonly kept: Array<SpanRecord.SpanRecord> = []
  readonly problems: Array<string> = []
  readonly decisions: Array<Decision> = []
  /** As in the Recorder, each span is written over the last one. */
  private readonly encoder = new SpanEncoder()

  constructor(options: Partial<Options> = {}) {
    this.tail = new TailSampler({
      rules: [TailRules.errors()],
      onKeep: (span) => this.keep(span),
      onDecision: (decision) => this.decisions.push(decision),
      onProblem: (rule, problem) => this.problems.push(`${rule}: ${String(problem)}`),
      ...options
    })
  }

  start(...spans: ReadonlyArray<SpanRecord.SpanRecord>): void {
    for (const span of spans) this.tail.start(fromRecord(span))
  }

  end(...spans: ReadonlyArray<SpanRecord.SpanRecord>): void {
    for (const span of spans) this.tail.end(this.encoder.encode(fromRecord(span)), fromRecord(span))
    this.encoder.bytes.fill(0xff)
  }

  /** All start, and end the other way round. */
  run(...spans: ReadonlyArray<SpanRecord.SpanRecord>): this {
    this.start(...spans)
    this.end(...spans.toReversed())
    return this
  }

  get numbers(): ReadonlyArray<number> {
    return this.kept.map(numberOf)
  }

  get counts() {
    const { dropped, held, heldTraces, kept } = this.tail
    const early = { age: 0, overflow: 0, flush: 0 }
    const keptBy: Record<string, number> = {}
    const droppedBy: Record<string, number> = {}
    for (const { early: reason, isKept, rule } of this.decisions) {
      if (reason !== undefined) early[reason]++
      const by = isKept ? keptBy : droppedBy
      by[rule] = (by[rule] ?? 0) + 1
    }
    return { held, heldTraces, kept, dropped, keptBy, droppedBy, early }
  }

  private keep(span: EncodedSpan): void {
    assert.isTrue(span.resource === resource && span.scope === SpanRecord.defaultScope)
    const buffer = new SpanBuffer()
    buffer.append(span)
    this.kept.push(...spansOf(buffer.take()))
  }
}

const counted = (fields: Partial<Kit["counts"]>): Kit["counts"] => ({
  held: 0,
  heldTraces: 0,
  kept: 0,
  dropped: 0,
  keptBy: {},
  droppedBy: {},
  ...fields,
  early: { age: 0, overflow: 0, flush: 0, ...fields.early }
})

/** Trace ids of chance, the same each time. */
const traceIds = (count: number): ReadonlyArray<string> => {
  let state = 7
  const word = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return hex((state ^ (state >>> 15)) >>> 0, 8)
  }
  return Array.from({ length: count }, () => word() + word() + word() + word())
}

// ---------------------------------------------------------------------------------------------------------------------
// Any story
// ---------------------------------------------------------------------------------------------------------------------

type Step =
  | { readonly open: number; readonly below: number; readonly remote: boolean }
  | { readonly close: number; readonly fails: boolean; readonly padding: number }
  | { readonly wait: number }
  | { readonly flush: true }
  | { readonly decideEnded: true }

interface Told {
  readonly n: number
  readonly trace: number
  readonly fields: Fields
}

/** Traces that run side by side, with all that must be true of what becomes of them. */
class Story {
  readonly kit: Kit
  private readonly bounds: Partial<Options>
  private readonly open: Array<Told> = []
  readonly ended: Array<SpanRecord.SpanRecord> = []
  private readonly gone = new Set<number>()
  private count = 0
  private now = 0

  constructor(bounds: Partial<Options>) {
    this.bounds = bounds
    this.kit = new Kit(bounds)
  }

  take(step: Step): void {
    this.now++
    if ("open" in step) this.begin(step.open, step.below, step.remote)
    else if ("close" in step) this.close(step.close, step.fails, step.padding)
    else if ("wait" in step) this.kit.tail.tick(seconds((this.now += step.wait)))
    else if ("flush" in step) this.kit.tail.flush()
    else this.kit.tail.decideEnded()
    this.check()
  }

  finish(): void {
    while (this.open.length > 0) this.take({ close: 0, fails: false, padding: 0 })
    this.kit.tail.tick(seconds(this.now + (this.bounds.settle === undefined ? 0 : 10)))
    assert.strictEqual(this.kit.tail.held, 0, "nothing waits when nothing is open")
  }

  private begin(trace: number, below: number, remote: boolean): void {
    const n = ++this.count
    const above = this.open.filter((other) => other.trace === trace)
    const parent = remote ? 0xffff : above[below % Math.max(above.length, 1)]?.n
    const fields = { trace, parentIsRemote: remote, from: this.now, ...(parent === undefined ? {} : { parent }) }
    this.open.push({ n, trace, fields })
    this.kit.start(span(n, fields))
  }

  private close(index: number, fails: boolean, padding: number): void {
    const [told] = this.open.splice(index % Math.max(this.open.length, 1), 1)
    if (told === undefined) return
    const name = "x".repeat(padding)
    const record = span(told.n, { ...told.fields, name, to: this.now, ...(fails ? { status: failed } : {}) })
    this.ended.push(record)
    this.kit.end(record)
  }

  private check(): void {
    const { kept, tail } = this.kit
    const { maxBytes = Infinity, maxSpans = Infinity, maxTraces = Infinity, remembered } = this.bounds
    assert.strictEqual(tail.kept, kept.length)
    assert.strictEqual(tail.kept + tail.dropped + tail.held, this.ended.length)
    assert.strictEqual(new Set(kept.map(numberOf)).size, kept.length, "each once")
    assert.isTrue(tail.held <= maxSpans && tail.heldBytes <= maxBytes && tail.heldTraces <= maxTraces, "bounds")
    assert.strictEqual(tail.held === 0, tail.heldBytes === 0)
    // A trace that was forgotten is another one when it comes again.
    if (remembered !== undefined) return
    let undecided = 0
    for (const trace of new Set(this.ended.map(({ traceId }) => Number.parseInt(traceId, 16)))) {
      const of = (spans: ReadonlyArray<SpanRecord.SpanRecord>) => spans.filter((s) => s.traceId === hex(trace, 32))
      const all = of(this.ended)
      if (of(kept).length > 0) {
        assert.isFalse(this.gone.has(trace), "what was dropped stays so")
        assert.deepStrictEqual(of(kept), all, "whole, in order, as they were")
      } else if (this.bounds.settle === undefined && this.open.every((other) => other.trace !== trace)) {
        this.gone.add(trace)
      } else if (!this.gone.has(trace)) {
        undecided += all.length
      }
    }
    assert.isAtMost(tail.held, undecided, "what is complete is decided")
  }
}

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ open: fc.integer({ min: 1, max: 6 }), below: fc.nat(9), remote: rarely() }) },
  { weight: 8, arbitrary: fc.record({ close: fc.nat(20), fails: rarely(), padding: fc.nat(200) }) },
  { weight: 2, arbitrary: fc.record({ wait: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.constant({ flush: true } as const) },
  { weight: 1, arbitrary: fc.constant({ decideEnded: true } as const) }
)

function rarely(): fc.Arbitrary<boolean> {
  return fc.nat(5).map((n) => n === 0)
}

const bounds = fc.record(
  {
    maxTraces: fc.integer({ min: 0, max: 4 }),
    maxSpans: fc.integer({ min: 0, max: 8 }),
    maxBytes: fc.integer({ min: 50, max: 2_000 }),
    settle: fc.constant("10 seconds" as const),
    age: fc.constantFrom("0 seconds", "20 seconds" as const),
    openAge: fc.constantFrom("60 seconds" as const, "1 hour" as const),
    overflow: fc.constantFrom("decideOldest" as const, "keepOldest" as const),
    remembered: fc.integer({ min: 1, max: 2 })
  },
  { requiredKeys: [] }
)

describe("TailSampler", () => {
  it("keeps, drops or holds every span, whole traces in order, within its bounds, and the same each time", () => {
    fc.assert(
      fc.property(bounds, fc.array(step, { maxLength: 80 }), (bounds, steps) => {
        const [one, other] = [new Story(bounds), new Story(bounds)]
        for (const story of [one, other]) {
          for (const step of steps) story.take(step)
          story.finish()
        }
        assert.deepStrictEqual([one.kit.kept, one.kit.counts], [other.kit.kept, other.kit.counts])
      }),
      { numRuns: 400 }
    )
  })

  it("keeps exactly the traces that failed, where there is room and time", () => {
    const calm = step.filter((step) => "open" in step || "close" in step)
    fc.assert(
      fc.property(fc.array(calm, { maxLength: 80 }), (steps) => {
        const story = new Story({ openAge: "1 hour" })
        // Each trace once: what comes after its end follows its verdict.
        const begun = new Set<number>()
        for (const step of steps) {
          if (!("open" in step)) story.take(step)
          else if (!begun.has(step.open)) story.take(step)
          if ("open" in step) begun.add(step.open)
        }
        story.finish()
        const bad = new Set(story.ended.filter(({ status }) => status.code === "error").map(({ traceId }) => traceId))
        assert.deepStrictEqual(
          story.kit.kept.map(({ traceId }) => traceId).toSorted(),
          story.ended.flatMap(({ traceId }) => (bad.has(traceId) ? [traceId] : [])).toSorted()
        )
        assert.deepStrictEqual(story.kit.counts.early, { age: 0, overflow: 0, flush: 0 })
      })
    )
  })
})

describe("TailSampler.end", () => {
  const root = span(1, { to: 9 })
  const child = span(2, { parent: 1, to: 5, status: failed })
  const other = span(3, { parent: 1, to: 12 })

  it("decides when the last span of a trace has ended, which need not be its root", () => {
    const kit = new Kit()
    kit.start(root, child, other)
    kit.end(child, root)
    assert.deepStrictEqual(kit.counts, counted({ held: 2, heldTraces: 1 }))
    kit.end(other)
    assert.deepStrictEqual(kit.counts, counted({ kept: 3, keptBy: { errors: 1 } }))
    assert.deepStrictEqual(kit.kept, [child, root, other])
    assert.strictEqual(kit.tail.heldBytes, 0)
  })

  it("lets late spans follow the verdict of their trace", () => {
    const kit = new Kit().run(root).run(span(1, { trace: 2, status: failed }))
    kit.run(child)
    kit.end(span(5, { trace: 2 }))
    assert.deepStrictEqual(kit.numbers, [1, 5])
    assert.deepStrictEqual(kit.counts, counted({ kept: 2, dropped: 2, droppedBy: { none: 1 }, keptBy: { errors: 1 } }))
  })

  it("decides a span by itself whose trace it has forgotten, or was never told of", () => {
    const kit = new Kit({ remembered: 1 })
      .run(root)
      .run(span(1, { trace: 2 }))
      .run(span(1, { trace: 3 }))
    kit.run(child)
    kit.end(span(6, { trace: 9, status: failed }), span(7, { trace: 9 }))
    assert.deepStrictEqual(kit.numbers, [2, 6, 7])
    assert.strictEqual(kit.tail.held, 0)
  })

  it("remembers traces longer whose spans still come", () => {
    const kit = new Kit({ remembered: 2 }).run(span(1, { status: failed }))
    for (let trace = 2; trace < 20; trace++) kit.run(span(1, { trace })).end(span(trace))
    assert.strictEqual(kit.kept.length, 19)
  })

  it("takes a span below one that is not recorded for a local root", () => {
    const kit = new Kit({ rules: [TailRules.slowerThan("5 seconds")] })
    kit.run(span(2, { parent: 1, to: 6 }), span(3, { parent: 2 }))
    assert.deepStrictEqual(kit.numbers, [3, 2])
  })

  it("takes the longest of several local roots", () => {
    const [long, short] = [9, 2].map((to) => span(to, { parent: 99, parentIsRemote: true, to }))
    for (const roots of [
      [long!, short!],
      [short!, long!]
    ]) {
      const kit = new Kit({ rules: [TailRules.slowerThan("5 seconds")] }).run(...roots)
      assert.strictEqual(kit.kept.length, 2)
    }
  })

  it("waits for all local roots of a trace that comes from elsewhere", () => {
    const kit = new Kit()
    const [one, two] = [1, 2].map((n) => span(n, { parent: 9, parentIsRemote: true, to: n * 20 }))
    kit.start(one!, two!)
    kit.end(one!)
    kit.tail.tick(seconds(1_000))
    assert.strictEqual(kit.tail.held, 1)
    kit.end({ ...two!, status: failed })
    assert.deepStrictEqual(kit.numbers, [1, 2])
  })
})

describe("TailSampler.tick", () => {
  const root = span(1, { to: 10 })
  const child = span(2, { parent: 1, to: 15 })
  const detached = span(3, { parent: 1, to: 99, status: failed })

  it("decides a trace when its root has ended for long, and lets the rest follow", () => {
    const kit = new Kit()
    kit.start(root, detached)
    kit.end(root)
    kit.tail.tick(seconds(39.9))
    assert.strictEqual(kit.tail.held, 1)
    kit.tail.tick(seconds(40))
    kit.end(detached)
    assert.deepStrictEqual(
      kit.counts,
      counted({ dropped: 2, droppedBy: { none: 1 }, early: { age: 1, overflow: 0, flush: 0 } })
    )
  })

  it("waits much longer for a root, and knows how long that is", () => {
    const kit = new Kit({ rules: [TailRules.slowerThan("1 hour")], openAge: "61 minutes" })
    kit.start(root, child)
    kit.end(child)
    kit.tail.tick(seconds(3_659))
    assert.strictEqual(kit.tail.held, 1)
    kit.tail.tick(seconds(3_660))
    assert.deepStrictEqual(kit.numbers, [2])
    kit.end(root)
    assert.deepStrictEqual(kit.numbers, [2, 1])
  })

  it("waits for what starts after the end, where it is told to", () => {
    const kit = new Kit({ settle: "5 seconds" })
    const [one, two, late] = [1, 2, 3].map((n) =>
      span(n, { parent: 9, parentIsRemote: true, from: n * 4, to: n * 4 + 1 })
    )
    kit.run(one!)
    kit.tail.tick(seconds(9.9))
    kit.run(two!)
    kit.tail.tick(seconds(10))
    kit.start(late!)
    kit.tail.tick(seconds(30))
    assert.strictEqual(kit.tail.held, 2)
    kit.end({ ...late!, status: failed })
    kit.tail.tick(seconds(18))
    assert.deepStrictEqual(kit.numbers, [1, 2, 3])
    assert.deepStrictEqual(kit.counts.early, { age: 0, overflow: 0, flush: 0 })
  })

  it("decides what is complete by its rules, also where there is no room", () => {
    const kit = new Kit({ settle: "5 seconds", maxSpans: 1, overflow: "keepOldest" })
    kit.run(span(1)).run(span(2, { trace: 2 }))
    kit.tail.flush()
    assert.deepStrictEqual(kit.counts, counted({ dropped: 2, droppedBy: { none: 2 } }))
  })

  it("waits for ever where it is told to", () => {
    const kit = new Kit({ age: "Infinity" })
    kit.start(root, detached)
    kit.end(root)
    kit.tail.tick(seconds(1e8))
    assert.strictEqual(kit.tail.held, 1)
  })
})

describe("TailSampler.flush", () => {
  it("decides all that is there, and waits again for what comes then", () => {
    const kit = new Kit({ rules: [TailRules.unfinished()] })
    const [root, child, next] = [span(1), span(2, { parent: 1 }), span(1, { trace: 2 })]
    kit.start(root, child)
    kit.end(child)
    kit.tail.flush()
    kit.end(root)
    kit.run(next)
    assert.deepStrictEqual(kit.numbers, [2, 1])
    assert.deepStrictEqual(
      kit.counts,
      counted({
        kept: 2,
        dropped: 1,
        droppedBy: { none: 1 },
        keptBy: { unfinished: 1 },
        early: { age: 0, overflow: 0, flush: 1 }
      })
    )
  })
})

describe("TailSampler.decideEnded", () => {
  it("decides the traces whose root has ended, and leaves those whose root is open", () => {
    const kit = new Kit({ settle: "5 seconds" })
    const failing = { status: failed }
    const background = span(22, { trace: 2, parent: 20 })
    kit.run(span(10, { trace: 1, ...failing }), span(11, { trace: 1, parent: 10 }))
    kit.start(span(20, { trace: 2 }), background)
    kit.end(span(20, { trace: 2 }))
    kit.start(span(30, { trace: 3 }), span(31, { trace: 3, parent: 30 }))
    kit.end(span(31, { trace: 3, parent: 30, ...failing }))
    assert.deepStrictEqual(kit.counts, counted({ held: 4, heldTraces: 3 }))
    kit.tail.decideEnded()
    assert.deepStrictEqual(kit.numbers, [11, 10])
    assert.deepStrictEqual(
      kit.counts,
      counted({
        held: 1,
        heldTraces: 1,
        kept: 2,
        dropped: 1,
        keptBy: { errors: 1 },
        droppedBy: { none: 1 },
        early: { age: 0, overflow: 0, flush: 1 }
      })
    )
    kit.end(background, span(30, { trace: 3 }))
    kit.tail.decideEnded()
    assert.deepStrictEqual(kit.numbers, [11, 10, 31, 30])
  })
})

describe("TailSampler's options", () => {
  const wrong: ReadonlyArray<readonly [Partial<Options>, string]> = [
    [{ maxSpans: NaN }, "maxSpans is NaN, and must be a whole number from 0, or Infinity"],
    [{ maxTraces: -1 }, "maxTraces is -1, and must be a whole number from 0, or Infinity"],
    [{ maxBytes: 1.5 }, "maxBytes is 1.5, and must be a whole number from 0, or Infinity"],
    [{ remembered: NaN }, "remembered is NaN, and must be a whole number from 1"],
    [{ remembered: Infinity }, "remembered is Infinity, and must be a whole number from 1"],
    [{ settle: NaN }, "settle is NaN, and must be a duration from 0 up"],
    [{ age: "-1 seconds" }, 'age is "-1 seconds", and must be a duration from 0 up'],
    [{ openAge: "soon" as "1 second" }, 'openAge is "soon", and must be a duration from 0 up'],
    [{ overflow: "drop" as "keepOldest" }, 'overflow is "drop", and must be decideOldest or keepOldest'],
    [{ rules: [{ ...TailRules.always, share: -1 }] }, "probability is -1, and must be from 0 to 1"]
  ]
  for (const [options, problem] of wrong) {
    it(`are refused where ${problem}`, () => {
      assert.throws(() => new Kit(options), RangeError, `Cannot sample: ${problem}`)
    })
  }

  it("may be without a bound where that is said", () => {
    const options = { maxSpans: Infinity, maxTraces: Infinity, maxBytes: Infinity, age: "Infinity" as const }
    assert.deepStrictEqual(new Kit(options).run(span(1)).counts, counted({ dropped: 1, droppedBy: { none: 1 } }))
  })
})

describe("TailSampler.onDecision", () => {
  it("tells which rule dropped a trace, also where it is one that keeps a share", () => {
    const rules = [TailRules.never(TailRules.agent("critic")), TailRules.share(0.5)]
    const kit = new Kit({ rules })
    kit.run(span(1, { name: "agent_handoff.critic" }))
    kit.run(span(2, { trace: 2 })).run(span(3, { trace: "f".repeat(32) }))
    assert.deepStrictEqual(kit.decisions, [
      { isKept: false, rule: "never agent critic", early: undefined },
      { isKept: false, rule: "share 0.5", early: undefined },
      { isKept: true, rule: "share 0.5", early: undefined }
    ])
  })
})

describe("TailSampler without room", () => {
  /** Traces 1, 2 and 3, of which the first fails; of each a child has ended. */
  const crowd = (options: Partial<Options>): Kit => {
    const kit = new Kit(options)
    for (const trace of [1, 2, 3]) {
      kit.start(span(trace * 10, { trace }), span(trace * 10 + 1, { trace, parent: trace * 10 }))
      kit.end(span(trace * 10 + 1, { trace, parent: trace * 10, ...(trace === 1 ? { status: failed } : {}) }))
    }
    return kit
  }
  const early = { age: 0, flush: 0 }

  it("decides the oldest by what is known of it", () => {
    for (const bound of [{ maxSpans: 1 }, { maxTraces: 1 }, { maxBytes: 100 }]) {
      const kit = crowd(bound)
      const expected = { held: 1, heldTraces: 1, droppedBy: { none: 1 }, keptBy: { errors: 1 } }
      assert.deepStrictEqual(
        kit.counts,
        counted({ ...expected, kept: 1, dropped: 1, early: { ...early, overflow: 2 } })
      )
      kit.end(span(10, { trace: 1 }), span(20, { trace: 2, status: failed }))
      assert.deepStrictEqual(kit.numbers, [11, 10])
    }
  })

  it("keeps the oldest where it is told to", () => {
    const kit = crowd({ maxSpans: 1, overflow: "keepOldest" })
    assert.deepStrictEqual(kit.numbers, [11, 21])
    assert.deepStrictEqual(kit.counts.keptBy, { overflow: 2 })
  })

  it("decides a trace that alone has no room", () => {
    const kit = crowd({ maxBytes: 10 })
    assert.deepStrictEqual(kit.numbers, [11])
    assert.strictEqual(kit.tail.heldBytes, 0)
  })

  it("needs no room for traces of which nothing has ended", () => {
    const kit = new Kit({ maxTraces: 1 })
    for (let trace = 1; trace < 9; trace++) kit.start(span(1, { trace }))
    for (let trace = 1; trace < 9; trace++) kit.end(span(1, { trace, status: failed }))
    assert.deepStrictEqual(kit.counts, counted({ kept: 8, keptBy: { errors: 8 } }))
  })
})

describe("TailSampler with rules that fail", () => {
  const no = () => {
    throw new Error("no")
  }
  const rule = (fields: Partial<TailRules.Rule>): TailRules.Rule => ({
    ...TailRules.never(TailRules.always),
    ...fields
  })
  const cases: ReadonlyArray<readonly [string, TailRules.Rule, string]> = [
    ["throw when they count", rule({ name: "a", count: no }), "a: Error: no"],
    ["throw at the end", rule({ name: "b", applies: no }), "b: Error: no"],
    [
      "count what is no number",
      rule({ name: "c", count: () => NaN }),
      "c: TypeError: Cannot add up what count gives: it is no number"
    ]
  ]
  for (const [what, rule, problem] of cases) {
    it(`keeps traces whose rules ${what}, and says so once`, () => {
      const kit = new Kit({ rules: [rule, TailRules.never(TailRules.always)] })
      kit.run(span(1), span(2, { parent: 1 })).run(span(3, { trace: 2 }))
      assert.deepStrictEqual(kit.numbers, [2, 1, 3])
      assert.deepStrictEqual(kit.problems, [problem])
    })
  }

  it("asks the other rules all the same, and keeps all where a share was to be kept", () => {
    let asked = 0
    const counts = rule({ count: () => ++asked })
    const kit = new Kit({ rules: [rule({ name: "a", count: no, verdict: "keep", share: 0 }), counts] })
    kit.run(span(1), span(2, { parent: 1 }))
    assert.deepStrictEqual([kit.numbers, asked], [[2, 1], 2])
  })

  it("goes on where nobody can be told", () => {
    const rules = [rule({ name: "a", count: no, verdict: "keep", applies: no }), TailRules.errors()]
    const kit = new Kit({ rules: rules.toReversed(), onProblem: no })
    kit.run(span(1, { status: failed })).run(span(2, { trace: 2 }))
    assert.deepStrictEqual(kit.counts.keptBy, { errors: 1, a: 1 })
  })

  it("survives rules that record spans themselves", () => {
    let n = 100
    const kit: Kit = new Kit({
      maxSpans: 2,
      rules: [
        rule({
          name: "records",
          verdict: "keep",
          count: () => {
            if (n < 110) kit.run(span(++n, { trace: n }))
            return 0
          },
          applies: () => {
            if (n < 120) kit.run(span(++n, { trace: n }))
            return true
          }
        })
      ]
    })
    kit.run(span(1), span(2, { parent: 1 }), span(3, { parent: 2 }))
    const { dropped, held, heldBytes, kept } = kit.tail
    assert.deepStrictEqual({ dropped, held, heldBytes, kept }, { dropped: 0, held: 0, heldBytes: 0, kept: n - 97 })
    assert.deepStrictEqual(
      kit.kept.filter(({ traceId }) => traceId === hex(1, 32)),
      [span(3, { parent: 2 }), span(2, { parent: 1 }), span(1)]
    )
  })
})

// ---------------------------------------------------------------------------------------------------------------------
// Rules
// ---------------------------------------------------------------------------------------------------------------------

const isKept = (rules: ReadonlyArray<TailRules.Rule>, ...spans: ReadonlyArray<SpanRecord.SpanRecord>): boolean =>
  new Kit({ rules }).run(...spans).kept.length === spans.length

const below = (fields: Fields) => span(2, { parent: 1, ...fields })
const model = (attributes: SpanRecord.Attributes) => below({ name: "chat gpt-5", attributes })
const usage = (input: number, output: number, operation = "chat"): SpanRecord.Attributes => ({
  "gen_ai.operation.name": operation,
  "gen_ai.usage.input_tokens": input,
  "gen_ai.usage.output_tokens": output
})

describe("TailRules", () => {
  const { agent, always, attribute, costAbove, errors, never, share, slowerThan, tokensAbove, unfinished } = TailRules
  const cost = { key: "llm.cost_usd" }
  const cases: ReadonlyArray<readonly [TailRules.Rule, SpanRecord.SpanRecord, boolean]> = [
    [always, below({}), true],
    [never(always), below({ status: failed }), false],
    [errors(), below({ status: failed }), true],
    [errors(), below({ status: { code: "unset" } }), false],
    [slowerThan("2 seconds"), below({ to: 60 }), false],
    [slowerThan("999 millis"), below({}), true],
    [slowerThan("1 second"), below({}), false],
    [slowerThan("Infinity"), below({ to: 1e6 }), false],
    [agent("critic"), below({ name: "agent_handoff.critic" }), true],
    [agent("cr*c"), below({ name: "agent_handoff.critic" }), true],
    [agent("critic"), below({ name: "agent_handoff.critics" }), false],
    [agent("critic"), below({ name: "invoke_agent critic", attributes: { "gen_ai.agent.name": "critic" } }), true],
    [agent("critic"), below({ name: "critic" }), false],
    [attribute("tier"), below({ attributes: { tier: "" } }), true],
    [attribute("tier"), below({ attributes: { tiers: "gold" } }), false],
    [attribute("tier", "g*"), below({ attributes: { tier: "gold" } }), true],
    [attribute("tier", "g*"), below({ attributes: { tier: ["silver", "gold"] } }), true],
    [attribute("tier", "g*"), below({ attributes: { tier: ["silver"] } }), false],
    [attribute("status", "5*"), below({ attributes: { status: 503 } }), true],
    [attribute("status", (status) => Number(status) >= 500), below({ attributes: { status: 503 } }), true],
    [attribute("status", (status) => Number(status) >= 500), below({ attributes: { status: 200 } }), false],
    [tokensAbove(99), model(usage(60, 40)), true],
    [tokensAbove(100), model(usage(60, 40)), false],
    [tokensAbove(99), below({ name: "embed", attributes: usage(60, 40, "embeddings") }), true],
    [tokensAbove(99), below({ attributes: usage(60, 40, "invoke_agent") }), false],
    [tokensAbove(99), model({ "gen_ai.usage.input_tokens": 100n }), true],
    [tokensAbove(99), model({ "gen_ai.usage.input_tokens": "100" }), false],
    [tokensAbove(99), model({ "gen_ai.usage.input_tokens": NaN }), false],
    [tokensAbove(99), below({ attributes: { "gen_ai.usage.input_tokens": 100 } }), false],
    [costAbove(0.5, cost), model({ "llm.cost_usd": 0.6 }), true],
    [costAbove(0.5, cost), model({ "llm.cost_usd": 0.4 }), false],
    [costAbove(0.5, cost), below({ attributes: { "llm.cost_usd": 0.6 } }), false],
    [costAbove(0.5, { ...cost, on: "all" }), below({ attributes: { "llm.cost_usd": 0.6 } }), true],
    [share(1), below({}), true],
    [share(0), below({}), false],
    [share(1, { of: errors() }), below({}), false],
    [share(1, { of: errors() }), below({ status: failed }), true],
    [share(0, { of: errors() }), below({ status: failed }), false],
    [unfinished(), below({}), false]
  ]
  for (const [index, [rule, child, expected]] of cases.entries()) {
    it(`${rule.name} ${expected ? "keeps" : "drops"} a trace (${index})`, () => {
      assert.strictEqual(isKept([rule], span(1), child), expected)
    })
  }

  it("add up what model calls used, once", () => {
    const calls = [2, 3].map((n) => span(n, { parent: 1, attributes: usage(40, 10) }))
    const handoff = span(1, { attributes: usage(80, 20, "invoke_agent") })
    assert.deepStrictEqual(
      [99, 100].map((tokens) => isKept([tokensAbove(tokens)], handoff, ...calls)),
      [true, false]
    )
  })

  it("read the last value of an attribute, and those of the end", () => {
    const kit = new Kit({ rules: [attribute("a", "2"), attribute("error.type", "Timeout")] })
    const record = fromRecord(span(1))
    const encode = (fields: object) => {
      const made = { ...record, ...fields }
      kit.tail.end(new SpanEncoder().encode(made), made)
    }
    encode({ flatAttributes: ["a", "2", "a", "1"] })
    encode({ trace: { word0: 1, word1: 0, word2: 0, word3: 0 }, flatAttributes: ["a", "1", "a", "2"] })
    encode({ trace: { word0: 2, word1: 0, word2: 0, word3: 0 }, endAttributes: ["error.type", "Timeout"] })
    assert.deepStrictEqual(kit.counts.keptBy, { "a=2": 1, "error.type=Timeout": 1 })
    assert.strictEqual(kit.tail.dropped, 1)
  })

  it("are asked in their order", () => {
    const critic = agent("critic")
    const ofCritic = below({ name: "agent_handoff.critic" })
    const failedCritic = { ...ofCritic, status: failed }
    const rules = [errors(), never(critic), always]
    assert.deepStrictEqual(
      [ofCritic, failedCritic, below({})].map((child) => isKept(rules, span(1), child)),
      [false, true, true]
    )
    assert.isFalse(isKept([never(critic), errors(), always], span(1), failedCritic))
  })

  it("come together as what most programs want", () => {
    const rules = TailRules.errorsOrSlower({ than: "2 seconds" })
    assert.deepStrictEqual(
      [span(1), span(1, { to: 3 }), span(1, { status: failed })].map((root) => isKept(rules, root)),
      [false, true, true]
    )
  })

  it("refuse what is no share, no number, no time and no percentile", () => {
    for (const number of [1.1, -1, NaN]) assert.throws(() => share(number), RangeError, `share is ${number}`)
    for (const number of [-1, NaN]) {
      assert.throws(() => tokensAbove(number), RangeError, `tokens is ${number}, and must be a number from 0 up`)
      assert.throws(() => costAbove(number, cost), RangeError, `dollars is ${number}, and must be a number from 0 up`)
      assert.throws(() => slowerThan(number), RangeError, `duration is ${number}, and must be a duration from 0 up`)
    }
    assert.throws(() => slowerThan("soon" as "1 second"), RangeError, 'duration is "soon"')
    // With 0.99999999 it would have to see 500 million of a name.
    for (const percentile of [0, 1, 95, NaN, 0.99999999]) {
      assert.throws(
        () => TailRules.slowerThanPercentile(percentile),
        RangeError,
        `percentile is ${percentile}, and must be above 0 and at most 0.9999`
      )
    }
    for (const window of [199, 200.5, Infinity]) {
      assert.throws(() => TailRules.slowerThanPercentile(0.95, { window }), RangeError)
    }
  })
})

describe("TailRules.slowerThanPercentile", () => {
  /** Runs roots of one name, and says which of them were kept, by their places. */
  const keptOf = (kit: Kit, durations: ReadonlyArray<number>, name = "work"): ReadonlyArray<number> => {
    const before = kit.kept.length
    for (const [index, to] of durations.entries()) kit.run(span(index + 1, { trace: trace++, name, to }))
    return kit.numbers.slice(before).map((n) => n - 1)
  }
  let trace = 1
  const times = (count: number, duration: number) => Array.from({ length: count }, () => duration)
  const make = (percentile: number, window?: number) =>
    new Kit({ rules: [TailRules.slowerThanPercentile(percentile, { window })] })

  it("keeps nothing before it has seen enough of a name", () => {
    const kit = make(0.95)
    assert.deepStrictEqual(keptOf(kit, [...times(99, 0.01), 1]), [])
    assert.deepStrictEqual(keptOf(kit, [0.01, 1, 0.01]), [1])
    assert.deepStrictEqual(keptOf(kit, [1, 100], "other"), [])
  })

  it("keeps about the share that it is asked for", () => {
    const durations = Array.from({ length: 4_000 }, (_, n) => 0.01 * 1.001 ** ((n * 7919) % 4_000))
    assert.closeTo(keptOf(make(0.9), durations).length, 400, 60)
    assert.closeTo(keptOf(make(0.99), durations).length, 35, 15)
  })

  it("keeps none of many that are alike", () => {
    assert.deepStrictEqual(keptOf(make(0.5), times(2_000, 0.5)), [])
  })

  it("forgets what was long ago", () => {
    const kit = make(0.95, 200)
    assert.deepStrictEqual(keptOf(kit, times(300, 0.01)), [])
    assert.isAbove(keptOf(kit, times(300, 1)).length, 0)
    assert.deepStrictEqual(keptOf(kit, [1, 2, 1]), [1])
  })

  it("judges local roots, also those that end after their trace was decided", () => {
    const kit = make(0.95, 200)
    for (let n = 1; n <= 300; n++) {
      const [root, child] = [span(1, { trace: n, to: n > 150 ? 1 : 0.01 }), span(2, { trace: n, parent: 1, to: 9 })]
      kit.start(root, child)
      kit.end(child)
      kit.tail.flush()
      kit.end(root)
    }
    assert.deepStrictEqual(kit.kept, [])
    assert.deepStrictEqual(keptOf(kit, [0.9, 2]), [1])
  })

  it("has a bound for names", () => {
    const kit = make(0.95, 200)
    for (let n = 0; n < 1_000; n++) keptOf(kit, [0.01], `GET /users/${n}`)
    assert.deepStrictEqual(keptOf(kit, [5], "GET /users/1"), [])
    assert.deepStrictEqual(keptOf(kit, [5], "GET /users/1001"), [0])
  })
})

describe("TailRules.share", () => {
  const ids = traceIds(4_000)
  const stateOf = (kit: Kit) => kit.kept.map(({ traceState }) => traceState)
  const taken = "ffffffffffffffffffffffffffffffff"

  it("keeps the traces that a sampler would take at their beginning", () => {
    const kit = new Kit({ rules: [TailRules.share(0.1)] })
    for (const trace of ids) kit.run(span(1, { trace }))
    const sampler = Sampler.probability(0.1)
    const question = { name: "", kind: "internal", startTimeUnixNano: 0n, parent: undefined, hints: {} } as const
    assert.deepStrictEqual(
      kit.kept.map(({ traceId }) => traceId),
      ids.filter((traceId) => sampler.decide({ ...question, traceId, baggage: new Map() }).sampled)
    )
    assert.closeTo(kit.kept.length, 400, 60)
  })

  const cases: ReadonlyArray<readonly [string, string, string]> = [
    ["says how probable it was", "ot=th:0", "ot=th:8"],
    ["leaves what was less probable before", "ot=th:c", "ot=th:c"],
    ["says nothing where nobody knows what was before", "a=1", "a=1"],
    ["goes by the random number that a caller sent", "ot=th:0;rv:80000000000000,a=1", "ot=th:8;rv:80000000000000,a=1"],
    ["leaves long states as they are", `ot=th:0,a=${"x".repeat(300)}`, `ot=th:8,a=${"x".repeat(300)}`]
  ]
  for (const [what, before, after] of cases) {
    it(`${what}, on every span, and nothing else changes`, () => {
      const kit = new Kit({ rules: [TailRules.share(0.5)] })
      const fields = { trace: taken, traceState: before, attributes: { a: 1, b: "two" } }
      const spans = [span(1, fields), span(2, { ...fields, parent: 1, name: "x".repeat(20_000) })]
      kit.run(...spans, span(3, { ...fields, parent: 1, name: "" }))
      kit.end(span(4, fields))
      const told = (n: number, more: Fields) => ({ ...span(n, { ...fields, ...more }), traceState: after })
      assert.deepStrictEqual(kit.kept, [
        told(3, { parent: 1, name: "" }),
        told(2, { parent: 1, name: "x".repeat(20_000) }),
        told(1, {}),
        told(4, {})
      ])
    })
  }

  it("goes by what each span says", () => {
    const kit = new Kit({ rules: [TailRules.share(0.5)] })
    const states = ["ot=th:0", "ot=th:c", "", "ot=th:0"]
    kit.run(
      ...states.map((traceState, n) => span(n + 1, { trace: taken, traceState, ...(n > 0 ? { parent: 1 } : {}) }))
    )
    assert.deepStrictEqual(stateOf(kit), ["ot=th:8", "", "ot=th:c", "ot=th:8"])
  })

  it("goes by the random number that a caller sent also where that turns the trace down", () => {
    const fields = { trace: taken, traceState: "ot=rv:7fffffffffffff" }
    assert.isFalse(isKept([TailRules.share(0.5)], span(1, fields)))
  })

  it("changes nothing on traces that are kept for other reasons", () => {
    const fields = { trace: taken, traceState: "ot=th:0", status: failed }
    for (const rules of [
      [TailRules.share(0.5), TailRules.errors()],
      [TailRules.errors(), TailRules.share(0.5)]
    ]) {
      const kit = new Kit({ rules }).run(span(1, fields))
      assert.deepStrictEqual([stateOf(kit), kit.counts.keptBy], [["ot=th:0"], { errors: 1 }])
    }
  })

  it("lets counts be scaled up rightly, whatever the rules", () => {
    const critic = TailRules.agent("critic")
    const rules = [
      TailRules.errors(),
      TailRules.share(0.25, { of: critic }),
      TailRules.share(0.05, { of: critic }),
      TailRules.never(TailRules.agent("health")),
      TailRules.share(0.1)
    ]
    const kit = new Kit({ rules })
    const agents = ["critic", "writer", "health"]
    for (const [index, trace] of ids.entries()) {
      const name = `agent_handoff.${agents[index % 3]}`
      const status: SpanRecord.SpanStatus = index % 20 === 0 ? failed : { code: "ok" }
      kit.run(span(1, { trace, name, status, traceState: "ot=th:0" }))
    }
    const weights = new Map<string, number>()
    for (const { name, status, traceState } of kit.kept) {
      const weight = 2 ** 56 / Number(2n ** 56n - OtelTraceState.threshold(traceState)!)
      const key = status.code === "error" ? "errors" : name
      weights.set(key, (weights.get(key) ?? 0) + weight)
    }
    assert.closeTo(weights.get("errors")!, 200, 0.001)
    assert.closeTo(weights.get("agent_handoff.critic")!, 1_267, 130)
    assert.closeTo(weights.get("agent_handoff.writer")!, 1_267, 200)
    assert.isUndefined(weights.get("agent_handoff.health"))
  })
})
