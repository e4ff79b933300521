import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { type DropReason, noneDropped } from "../src/Ledger.ts"
import type { EncodedSpan } from "../src/SpanEncoder.ts"
import { type Bounds, type FullPolicy, type Parcel, SpanQueue } from "../src/SpanQueue.ts"
import { type Batch, join } from "../src/SpanBuffer.ts"
import * as SpanRecord from "../src/SpanRecord.ts"
import type { Entry, Journal } from "../src/Spool.ts"
import { batchOf, encoded, spansOf } from "./batches.ts"

/** A clock by which ten minutes pass between any two looks: what has no hope is given up after five. */
let looks = 0
const passing = () => ++looks * 600_000

// ---------------------------------------------------------------------------------------------------------------------
// Spans that are told apart by a number, and a disk that fails as it is told
// ---------------------------------------------------------------------------------------------------------------------

const record = (n: number, padding = 0) =>
  SpanRecord.make({ name: "x".repeat(padding), spanId: n.toString(16).padStart(16, "0") })

const span = (n: number, padding = 0): EncodedSpan => encoded(record(n, padding))

const numbers = (batch: Batch): ReadonlyArray<number> => spansOf(batch).map(({ spanId }) => Number.parseInt(spanId, 16))

/** How many bytes a span has, as `span` makes it. */
const spanSize = span(1).length

class FakeDisk implements Journal {
  readonly kept = new Map<Entry, Batch>()
  isFull = false
  readonly damaged = new Set<Entry>()
  /** What dead processes left, by how much of it one call finds. */
  readonly left: Array<{ readonly batches: ReadonlyArray<Batch>; readonly expired: number }> = []

  append(batch: Batch) {
    return this.isFull ? undefined : this.keep(batch)
  }
  read(entry: Entry) {
    return this.damaged.has(entry) ? undefined : this.kept.get(entry)
  }
  remove(entry: Entry) {
    this.kept.delete(entry)
  }
  recover() {
    const { batches, expired } = this.left.shift() ?? { batches: [], expired: 0 }
    return { entries: batches.map((batch) => this.keep(batch)), expired, damaged: 0, more: this.left.length > 0 }
  }
  status() {
    return { bytes: 0, problem: undefined, setAside: 0 }
  }
  close() {}

  private keep(batch: Batch): Entry {
    const entry = { count: batch.count, size: batch.bytes.length, time: 0 }
    this.kept.set(entry, batch)
    return entry
  }
}

const roomy: Bounds = { spans: 1_000, bytes: 1_000_000, batchSpans: 4, batchBytes: 100_000, spanBytes: 10_000 }

const queueOf = (options: {
  readonly bounds?: Partial<Bounds>
  readonly policy?: FullPolicy
  readonly journal?: Journal
}): SpanQueue =>
  new SpanQueue({
    bounds: { ...roomy, ...options.bounds },
    policy: options.policy ?? "dropNewest",
    journal: options.journal,
    now: passing
  })

const offerAll = (queue: SpanQueue, ...all: ReadonlyArray<number>): void => {
  for (const n of all) queue.offer(span(n))
}

/** Offers spans, each as a chunk of its own. */
const offerEach = (queue: SpanQueue, ...all: ReadonlyArray<number>): void => {
  for (const n of all) {
    queue.offer(span(n))
    queue.seal()
  }
}

const takesAll = (): boolean => true
const takesNone = (): boolean => false
const takesAllBut =
  (poison: number) =>
  (sent: ReadonlyArray<number>): boolean =>
    !sent.includes(poison)

/** Takes the next parcel, lets a receiver answer, and says what was in it. */
const send = (queue: SpanQueue, isTaken: (sent: ReadonlyArray<number>) => boolean = takesAll) => {
  const parcel = queue.take()
  if (parcel === undefined) return []
  const sent = numbers(parcel.batch)
  if (isTaken(sent)) queue.settle(parcel, 0, "refused")
  else queue.putBack(parcel)
  return sent
}

const sendTimes = (times: number, ...args: Parameters<typeof send>) =>
  Array.from({ length: times }, () => send(...args))

/** Takes all parcels there are, as a receiver would that takes everything. */
const drain = (queue: SpanQueue): ReadonlyArray<ReadonlyArray<number>> => {
  queue.seal()
  const all: Array<ReadonlyArray<number>> = []
  while (!queue.isEmpty) all.push(send(queue))
  return all
}

const dropped = (fields: Partial<Record<DropReason, number>>): Record<DropReason, number> => ({
  ...noneDropped,
  ...fields
})

/** Where all spans are. */
const places = ({ dropped, exported, inFlight, queued, recovered, spooled, taken }: SpanQueue) => ({
  taken,
  recovered,
  queued,
  inFlight,
  spooled,
  exported,
  dropped: { ...dropped }
})

const placed = (fields: Partial<ReturnType<typeof places>>): ReturnType<typeof places> => ({
  taken: 0,
  recovered: 0,
  queued: 0,
  inFlight: 0,
  spooled: 0,
  exported: 0,
  dropped: dropped({}),
  ...fields
})

const range = (from: number, to: number): ReadonlyArray<number> =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i)

// ---------------------------------------------------------------------------------------------------------------------
// Any story
// ---------------------------------------------------------------------------------------------------------------------

interface Setting {
  readonly bounds: Bounds
  readonly policy: FullPolicy
  readonly hasDisk: boolean
}

/** A queue in use, with all that must be true of it whatever happens. */
class Story {
  readonly disk = new FakeDisk()
  readonly queue: SpanQueue
  readonly under: Array<Parcel> = []
  readonly over: Array<Parcel> = []
  readonly setting: Setting
  private readonly sizes = new Map<number, number>()
  private readonly others: Array<number> = []
  private expired = 0
  /** The spans that a receiver saw for the last time, taken or refused. */
  private readonly settled: Array<number> = []
  private refused = 0
  private isOrderly = true
  private lastTaken = 0
  private mostInFlight = 0
  /** Which spans had come when a sequence was given, and whether it has settled. */
  private readonly marks: Array<{ readonly sequence: number; readonly last: number; settled: boolean }> = []

  constructor(setting: Setting) {
    this.setting = setting
    this.queue = new SpanQueue({
      bounds: setting.bounds,
      policy: setting.policy,
      journal: setting.hasDisk ? this.disk : undefined,
      now: passing
    })
  }

  offer(padding: number): void {
    const n = this.sizes.size + 1
    const made = span(n, padding)
    this.sizes.set(n, made.length)
    this.queue.offer(made)
  }

  seal(): void {
    this.marks.push({ sequence: this.queue.seal(), last: this.sizes.size, settled: false })
  }

  take(alsoFromDisk: boolean): void {
    const parcel = this.queue.take(alsoFromDisk)
    if (parcel !== undefined) this.receive(parcel)
  }

  takeAll(): void {
    for (const parcel of this.queue.takeAll()) {
      if (!this.under.includes(parcel)) this.receive(parcel)
    }
  }

  settle(index: number, refusedRatio: number): void {
    const [parcel] = this.under.splice(index % this.under.length, 1)
    if (parcel === undefined) return
    const refused = Math.round(parcel.batch.count * refusedRatio)
    this.queue.settle(parcel, refused, "refused")
    this.settled.push(...numbers(parcel.batch))
    this.refused += refused
    this.over.push(parcel)
  }

  putBack(index: number): void {
    const [parcel] = this.under.splice(index % this.under.length, 1)
    if (parcel === undefined) return
    this.queue.putBack(parcel)
    this.over.push(parcel)
    this.isOrderly = false
  }

  /** A request that was long given up answers after all. */
  answerTwice(index: number): void {
    const parcel = this.over[index % this.over.length]
    if (parcel === undefined) return
    const before = places(this.queue)
    this.queue.settle(parcel, 0, "refused")
    this.queue.putBack(parcel)
    assert.deepStrictEqual(places(this.queue), before)
  }

  leave(counts: ReadonlyArray<number>, expired: number): void {
    const batches = counts.map((count) => {
      const made = Array.from({ length: count }, (_, i) => 1_000_000 + this.others.length + i)
      this.others.push(...made)
      return batchOf(made.map((n) => record(n)))
    })
    this.disk.left.push({ batches, expired })
    this.expired += expired
  }

  recover(): void {
    assert.strictEqual(this.queue.recover(), this.setting.hasDisk && this.disk.left.length > 0)
    this.isOrderly = false
  }

  fillDisk(isFull: boolean): void {
    this.disk.isFull = isFull
    if (isFull) this.isOrderly = false
  }

  damage(index: number): void {
    const entries = [...this.disk.kept.keys()]
    const entry = entries[index % entries.length]
    if (entry !== undefined) this.disk.damaged.add(entry)
  }

  /** The receiver takes everything and the disk works: all that is there must leave, and what comes next too. */
  recoverFully(): void {
    this.fillDisk(false)
    while (this.setting.hasDisk && this.disk.left.length > 0) this.recover()
    this.settleAll()
    for (let round = 0; !this.queue.isEmpty || round === 0; round++) {
      assert.isBelow(round, 1_000, "it never becomes empty")
      this.seal()
      this.take(true)
      this.settleAll()
      this.check()
    }
    const { exported } = this.queue
    this.queue.offer(span(0xffff))
    assert.deepStrictEqual(drain(this.queue), [[0xffff]])
    assert.strictEqual(this.queue.exported, exported + 1)
    this.checkOnceEach([], this.setting.hasDisk ? this.others : [])
    assert.isTrue(this.marks.every(({ sequence }) => this.queue.hasSettled(sequence)))
  }

  /** The process ends: what a disk has taken is the next one's, and the rest is counted. */
  close(): void {
    this.seal()
    this.queue.close()
    this.over.push(...this.under.splice(0))
    this.check()
    assert.strictEqual(this.queue.queued, 0)
    for (const index of this.over.keys()) this.answerTwice(index)
    const kept = this.setting.hasDisk ? numbers(join([...this.disk.kept.values()])) : []
    assert.strictEqual(kept.length, this.queue.spooled)
    const waiting = new Set(this.disk.left.flatMap(({ batches }) => batches).flatMap(numbers))
    this.checkOnceEach(kept, this.setting.hasDisk ? this.others.filter((n) => !waiting.has(n)) : [])
    assert.isTrue(this.marks.every(({ sequence }) => this.queue.hasSettled(sequence)))
  }

  check(): void {
    const { droppedTotal, exported, inFlight, queued, recovered, spooled, taken } = this.queue
    const { bounds } = this.setting
    assert.strictEqual(
      Object.values(this.queue.dropped).reduce((sum, n) => sum + n, 0),
      droppedTotal
    )
    assert.strictEqual(taken + recovered, queued + inFlight + spooled + exported + droppedTotal)
    assert.strictEqual(taken, this.sizes.size)
    assert.deepStrictEqual(
      { exported, refused: this.queue.dropped.refused },
      { exported: this.settled.length - this.refused, refused: this.refused }
    )
    assert.strictEqual(
      inFlight,
      this.under.reduce((sum, { batch }) => sum + batch.count, 0)
    )
    // What is under way comes on top; where that fails, so does one chunk from disk.
    assert.isAtMost(queued + inFlight, bounds.spans + this.mostInFlight + Math.max(bounds.batchSpans, 3))
    for (const mark of this.marks) {
      const settled = this.queue.hasSettled(mark.sequence)
      assert.isTrue(settled || !mark.settled, "what has settled stays so")
      mark.settled = settled
    }
    const waited = this.marks.findLast(({ settled }) => settled)?.last ?? 0
    assert.isTrue(this.under.flatMap(({ batch }) => numbers(batch)).every((n) => n > waited))
  }

  private receive(parcel: Parcel): void {
    const { batchBytes, batchSpans } = this.setting.bounds
    const received = numbers(parcel.batch)
    const bytes = received.reduce((sum, n) => sum + (this.sizes.get(n) ?? 0), 0)
    assert.strictEqual(parcel.batch.count, received.length)
    assert.isTrue(received.length <= batchSpans || parcel.chunks.length === 1, "too many spans")
    assert.isTrue(bytes <= batchBytes || received.length === 1, "too many bytes")
    for (const n of received) {
      if (this.isOrderly) assert.isAbove(n, this.lastTaken)
      this.lastTaken = n
    }
    this.under.push(parcel)
    this.mostInFlight = Math.max(this.mostInFlight, this.queue.inFlight)
  }

  private settleAll(): void {
    while (this.under.length > 0) this.settle(0, 0)
  }

  /** Every span is in one place and no other: seen by a receiver, kept on disk, or counted as dropped. */
  private checkOnceEach(kept: ReadonlyArray<number>, others: ReadonlyArray<number>): void {
    const seen = new Set([...this.settled, ...kept])
    assert.strictEqual(seen.size, this.settled.length + kept.length, "a span came twice")
    const all = [...this.sizes.keys(), ...others]
    const { droppedTotal, dropped } = this.queue
    assert.strictEqual(all.filter((n) => !seen.has(n)).length, droppedTotal - dropped.refused - dropped.expired)
    assert.strictEqual([...seen].filter((n) => !all.includes(n)).length, 0)
    assert.isAtMost(dropped.expired, this.expired)
  }
}

type Command = fc.Command<object, Story>

const commandsOf = <A>(arbitrary: fc.Arbitrary<A>, name: string, run: (story: Story, value: A) => void) =>
  arbitrary.map((value): Command => ({
    check: () => true,
    run: (_, story) => {
      run(story, value)
      story.check()
    },
    toString: () => `${name}(${fc.stringify(value)})`
  }))

const nothing = fc.constant(undefined)
const padding = fc.oneof(fc.constant(0), fc.nat({ max: 300 }))
const offers = commandsOf(padding, "offer", (story, size) => story.offer(size))
const commands = fc.commands(
  [
    offers,
    offers,
    commandsOf(fc.array(padding, { minLength: 5, maxLength: 20 }), "offer many", (story, sizes) => {
      for (const size of sizes) story.offer(size)
    }),
    commandsOf(nothing, "seal", (story) => story.seal()),
    commandsOf(fc.boolean(), "take", (story, alsoFromDisk) => story.take(alsoFromDisk)),
    commandsOf(nothing, "take", (story) => story.take(true)),
    commandsOf(nothing, "take all", (story) => story.takeAll()),
    commandsOf(fc.tuple(fc.nat(), fc.constantFrom(0, 0.5, 1)), "settle", (story, [index, refused]) =>
      story.settle(index, refused)
    ),
    commandsOf(fc.nat(), "put back", (story, index) => story.putBack(index)),
    commandsOf(fc.nat(), "put back", (story, index) => story.putBack(index)),
    commandsOf(fc.nat(), "answer twice", (story, index) => story.answerTwice(index)),
    commandsOf(fc.boolean(), "fill disk", (story, isFull) => story.fillDisk(isFull)),
    commandsOf(fc.nat(), "damage", (story, index) => story.damage(index)),
    commandsOf(
      fc.tuple(fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 }), fc.nat({ max: 3 })),
      "leave",
      (story, [counts, expired]) => story.leave(counts, expired)
    ),
    commandsOf(nothing, "recover", (story) => story.recover()),
    commandsOf(fc.nat({ max: 30 }), "outage", (story, attempts) => {
      for (let n = 0; n < attempts; n++) {
        story.take(true)
        story.putBack(story.under.length - 1)
        story.check()
      }
    })
  ],
  { maxCommands: 150, size: "max" }
)

const settings: fc.Arbitrary<Setting> = fc.record({
  bounds: fc.record({
    spans: fc.integer({ min: 1, max: 40 }),
    bytes: fc.integer({ min: 100, max: 4_000 }),
    batchSpans: fc.integer({ min: 1, max: 8 }),
    batchBytes: fc.integer({ min: 100, max: 1_000 }),
    spanBytes: fc.constantFrom(200, 1_000)
  }),
  policy: fc.constantFrom("dropNewest", "dropOldest"),
  hasDisk: fc.boolean()
})

describe("SpanQueue, whatever happens", () => {
  it("knows where every span is, keeps its bounds and its order, and goes on when the faults stop", () => {
    fc.assert(
      fc.property(settings, commands, fc.boolean(), (setting, story, ends) => {
        const real = new Story(setting)
        fc.modelRun(() => ({ model: {}, real }), story)
        if (ends) real.close()
        else real.recoverFully()
      }),
      { numRuns: 120 }
    )
  })

  it("gives up what a receiver never takes, and nothing else, after any outage", () => {
    const chunks = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(chunks, fc.nat(), fc.nat({ max: 60 }), fc.nat({ max: 30 }), fc.boolean(), fc.boolean(), (...args) => {
        const [counts, at, attempts, room, hasDisk, diskFills] = args
        const journal = new FakeDisk()
        const queue = queueOf({ bounds: { spans: 50 + room }, ...(hasDisk ? { journal } : {}) })
        const poison = at % counts.length
        let n = 0
        let poisoned: ReadonlyArray<number> = []
        for (const [i, count] of counts.entries()) {
          const chunk = range(n + 1, n + count)
          n += count
          if (i === poison) poisoned = chunk
          journal.isFull = diskFills && i >= poison
          offerAll(queue, ...chunk)
          queue.seal()
        }
        sendTimes(attempts, queue, takesNone)
        for (let round = 0; queue.dropped.retries_exhausted === 0; round++) {
          assert.isBelow(round, 500, "it is never given up")
          send(queue, takesAllBut(poisoned[0]!))
          // Somebody else always has a span.
          if (round % 10 === 0) offerEach(queue, ++n)
        }
        drain(queue)
        assert.deepStrictEqual(
          places(queue),
          placed({
            taken: n,
            exported: n - poisoned.length,
            dropped: dropped({ retries_exhausted: poisoned.length })
          })
        )
      })
    )
  })

  it("keeps the first spans or the last ones, as the policy says, and no more than it may", () => {
    fc.assert(
      fc.property(settings, fc.array(padding, { minLength: 1, maxLength: 60 }), ({ bounds, policy }, paddings) => {
        const queue = queueOf({ bounds, policy })
        const offered = paddings.map((size, i) => ({ n: i + 1, span: span(i + 1, size) }))
        for (const each of offered) queue.offer(each.span)
        const kept = queue.takeAll().flatMap(({ batch }) => numbers(batch))
        const fitting = offered.filter((each) => each.span.length <= bounds.spanBytes)
        const bytes = fitting.filter(({ n }) => kept.includes(n)).reduce((sum, each) => sum + each.span.length, 0)
        assert.isTrue(bytes <= bounds.bytes || kept.length === 1)
        assert.isAtMost(kept.length, bounds.spans)
        const all = fitting.map(({ n }) => n)
        if (policy === "dropOldest") assert.deepStrictEqual(kept, all.slice(all.length - kept.length))
        else assert.deepStrictEqual(kept.slice(0, 1), all.slice(0, 1))
        assert.deepStrictEqual(
          queue.dropped,
          dropped({ queue_full: all.length - kept.length, too_large: offered.length - all.length })
        )
      })
    )
  })
})

describe("SpanQueue.offer", () => {
  it("drops the newest span when there is no room", () => {
    const queue = queueOf({ bounds: { spans: 32 } })
    offerAll(queue, ...range(1, 40))
    assert.isTrue(queue.isFull)
    assert.deepStrictEqual(places(queue), placed({ taken: 40, queued: 32, dropped: dropped({ queue_full: 8 }) }))
    assert.deepStrictEqual(drain(queue).flat(), range(1, 32))
  })

  it("drops the oldest ones instead where it is told to, a few at a time", () => {
    const queue = queueOf({ bounds: { spans: 32, batchSpans: 100 }, policy: "dropOldest" })
    offerAll(queue, ...range(1, 40))
    assert.deepStrictEqual(places(queue), placed({ taken: 40, queued: 32, dropped: dropped({ queue_full: 8 }) }))
    assert.deepStrictEqual(drain(queue).flat(), range(9, 40))
  })

  it("drops a few at a time also where bytes are short", () => {
    const queue = queueOf({ bounds: { bytes: 40 * spanSize, batchSpans: 100 }, policy: "dropOldest" })
    offerAll(queue, ...range(1, 100))
    const kept = drain(queue).flat()
    assert.isAbove(kept.length, 20)
    assert.deepStrictEqual(kept, range(101 - kept.length, 100))
  })

  it("drops a span that is larger than a request may be", () => {
    const queue = queueOf({ bounds: { spanBytes: 500 } })
    queue.offer(span(1, 500))
    queue.offer(span(2, 100))
    assert.deepStrictEqual(places(queue), placed({ taken: 2, queued: 1, dropped: dropped({ too_large: 1 }) }))
  })

  it("takes a span that is larger than all its room where nothing else waits", () => {
    const queue = queueOf({ bounds: { bytes: 300 } })
    queue.offer(span(1, 1_000))
    queue.offer(span(2))
    assert.deepStrictEqual(drain(queue), [[1]])
    queue.offer(span(3))
    queue.offer(span(4, 1_000))
    assert.deepStrictEqual(drain(queue), [[3]])
    assert.strictEqual(queue.dropped.queue_full, 2)
    const dropping = queueOf({ bounds: { bytes: 2_000 }, policy: "dropOldest" })
    dropping.offer(span(1))
    dropping.offer(span(2, 5_000))
    assert.deepStrictEqual(drain(dropping), [[2]])
    assert.strictEqual(dropping.dropped.queue_full, 1)
  })

  it("tells when enough waits for a request, and when there is little room left", () => {
    const urgentAfter = (bounds: Partial<Bounds>): number => {
      const queue = queueOf({ bounds: { batchSpans: 100, ...bounds } })
      for (let n = 1; n < 1_000; n++) {
        queue.offer(span(n))
        if (queue.isUrgent) return n
      }
      return assert.fail("it never was")
    }
    assert.deepStrictEqual([{}, { spans: 20 }, { batchBytes: 10 * spanSize }].map(urgentAfter), [100, 10, 10])
    assert.isAtMost(urgentAfter({ bytes: 20 * spanSize }), 10)
  })
})

describe("SpanQueue.take", () => {
  it("gives out what was sealed, oldest first, in requests of the right size", () => {
    const queue = queueOf({})
    assert.isUndefined(queue.take())
    offerAll(queue, 1)
    assert.isUndefined(queue.take())
    assert.deepStrictEqual([queue.seal(), queue.seal()], [1, 1])
    offerEach(queue, 2, 3, 4, 5)
    offerAll(queue, 6)
    assert.deepStrictEqual([send(queue), send(queue), send(queue)], [[1, 2, 3, 4], [5], []])
    assert.deepStrictEqual(places(queue), placed({ taken: 6, queued: 1, exported: 5 }))
  })

  it("gives out a large span alone", () => {
    const queue = queueOf({ bounds: { batchBytes: 1_000 } })
    offerAll(queue, 1, 2)
    queue.offer(span(3, 900))
    queue.offer(span(4, 5_000))
    offerAll(queue, 5)
    assert.deepStrictEqual(drain(queue), [[1, 2], [3], [4], [5]])
  })

  it("says when the first span of a parcel came", () => {
    let now = 10
    const queue = new SpanQueue({ bounds: roomy, policy: "dropNewest", journal: undefined, now: () => now++ })
    offerAll(queue, 1, 2)
    queue.seal()
    offerAll(queue, 3)
    queue.seal()
    assert.strictEqual(queue.take()?.time, 10)
  })
})

describe("SpanQueue.settle", () => {
  it("counts what was taken and what was refused", () => {
    const queue = queueOf({})
    offerAll(queue, 1, 2, 3, 4)
    queue.settle(queue.take()!, 1, "refused")
    assert.deepStrictEqual(places(queue), placed({ taken: 4, exported: 3, dropped: dropped({ refused: 1 }) }))
  })

  it("lets those go who wait for what came before, and no others", () => {
    const queue = queueOf({ bounds: { batchSpans: 1 } })
    const sequences = [1, 2, 3].map((n) => {
      queue.offer(span(n))
      return queue.seal()
    })
    const settled = () => sequences.map((sequence) => queue.hasSettled(sequence))
    const [first, second, third] = [queue.take()!, queue.take()!, queue.take()!]
    const seen = [settled()]
    queue.settle(second, 0, "refused")
    seen.push(settled())
    queue.putBack(first)
    seen.push(settled())
    queue.settle(queue.take()!, 1, "refused")
    seen.push(settled())
    queue.settle(third, 0, "refused")
    seen.push(settled())
    assert.deepStrictEqual(seen, [
      [false, false, false],
      [false, false, false],
      [false, false, false],
      [true, true, false],
      [true, true, true]
    ])
  })
})

describe("SpanQueue.putBack", () => {
  it("tries the same again, in order, as long as the receiver may only be slow", () => {
    const queue = queueOf({})
    offerEach(queue, 1, 2)
    assert.deepStrictEqual(sendTimes(4, queue, takesNone), [
      [1, 2],
      [1, 2],
      [1, 2],
      [1, 2]
    ])
    assert.deepStrictEqual(places(queue), placed({ taken: 2, queued: 2 }))
    assert.deepStrictEqual(drain(queue), [[1, 2]])
  })

  it("finds what a receiver never takes, sends it alone, and gives it up once others went through", () => {
    const queue = queueOf({ bounds: { batchSpans: 3 } })
    offerEach(queue, 1, 2, 3)
    const sent = sendTimes(11, queue, takesAllBut(2))
    assert.deepStrictEqual(sent, [
      // Five times together, then one after the other.
      [1, 2, 3],
      [1, 2, 3],
      [1, 2, 3],
      [1, 2, 3],
      [1, 2, 3],
      [1],
      // The receiver works again: together once more, and from then on alone.
      [2, 3],
      [2],
      [3],
      [2],
      [2]
    ])
    assert.deepStrictEqual(places(queue), placed({ taken: 3, queued: 1, exported: 2 }))
    offerEach(queue, 4)
    assert.deepStrictEqual(sendTimes(4, queue, takesAllBut(2)), [[2], [4], [2], []])
    assert.deepStrictEqual(places(queue), placed({ taken: 4, exported: 3, dropped: dropped({ retries_exhausted: 1 }) }))
  })

  it("ends an outage with a probe, and whole requests after it", () => {
    const queue = queueOf({})
    offerEach(queue, ...range(1, 9))
    sendTimes(100, queue, takesNone)
    assert.deepStrictEqual(
      drain(queue).map(({ length }) => length),
      [1, 4, 4]
    )
  })

  it("is patient with a receiver that takes some and refuses others", () => {
    const queue = queueOf({ bounds: { batchSpans: 1 } })
    offerEach(queue, 1)
    let failures = 0
    for (; queue.dropped.retries_exhausted === 0; failures++) {
      const parcel = queue.take()!
      offerEach(queue, failures + 2)
      send(queue)
      queue.putBack(parcel)
    }
    assert.strictEqual(failures, 8)
  })

  it("gives up nothing because of what it was sent with", () => {
    const queue = queueOf({ bounds: { batchSpans: 2 } })
    offerEach(queue, 1, 2)
    for (let n = 3; n <= 20; n++) {
      // Two requests at a time, of which the second is answered first.
      const first = queue.take()
      offerEach(queue, n)
      for (const parcel of [queue.take(), first]) {
        if (parcel === undefined) continue
        if (numbers(parcel.batch).includes(1)) queue.putBack(parcel)
        else queue.settle(parcel, 0, "refused")
      }
    }
    assert.deepStrictEqual(
      places(queue),
      placed({ taken: 20, exported: 19, dropped: dropped({ retries_exhausted: 1 }) })
    )
  })
})

describe("SpanQueue with a journal", () => {
  it("leaves on disk what is more than half of its room, and gives it out in order", () => {
    const journal = new FakeDisk()
    const queue = queueOf({ bounds: { spans: 8 }, journal })
    offerEach(queue, ...range(1, 20))
    assert.deepStrictEqual(places(queue), placed({ taken: 20, queued: 4, spooled: 16 }))
    assert.deepStrictEqual(send(queue), [1, 2, 3, 4])
    // Behind those on disk, though there is room in memory.
    offerEach(queue, 21)
    assert.deepStrictEqual(places(queue), placed({ taken: 21, spooled: 17, exported: 4 }))
    assert.deepStrictEqual(drain(queue).flat(), range(5, 21))
    assert.deepStrictEqual([...journal.kept], [])
  })

  it("goes on in memory when the disk is full", () => {
    const journal = new FakeDisk()
    const queue = queueOf({ bounds: { spans: 8 }, journal })
    journal.isFull = true
    offerEach(queue, ...range(1, 10))
    assert.deepStrictEqual(places(queue), placed({ taken: 10, queued: 8, dropped: dropped({ queue_full: 2 }) }))
    assert.deepStrictEqual(drain(queue).flat(), range(1, 8))
  })

  it("counts what it cannot read, and goes on", () => {
    const journal = new FakeDisk()
    const queue = queueOf({ bounds: { spans: 2 }, journal })
    offerEach(queue, 1, 2, 3, 4)
    for (const entry of [...journal.kept.keys()].slice(1, 3)) journal.damaged.add(entry)
    assert.deepStrictEqual(drain(queue).flat(), [1, 4])
    assert.deepStrictEqual(places(queue), placed({ taken: 4, exported: 2, dropped: dropped({ damaged: 2 }) }))
  })

  it("sends what dead processes left in their order, before what it left itself, and nobody waits for it", () => {
    const journal = new FakeDisk()
    const queue = queueOf({ bounds: { batchSpans: 1 }, journal })
    for (const n of [101, 103]) {
      journal.left.push({ batches: [batchOf([record(n)]), batchOf([record(n + 1)])], expired: 2 })
    }
    assert.deepStrictEqual([queue.recover(), queue.recover(), queue.recover()], [true, false, false])
    assert.deepStrictEqual(places(queue), placed({ recovered: 8, spooled: 4, dropped: dropped({ expired: 4 }) }))
    assert.isTrue(queue.hasSettled(queue.seal()))
    offerEach(queue, 1)
    assert.isFalse(queue.hasSettled(queue.seal()))
    assert.deepStrictEqual(drain(queue), [[101], [102], [103], [104], [1]])
    assert.deepStrictEqual([...journal.kept], [])
  })

  it("lets what is on disk go before what a receiver never takes, also when that is not on disk", () => {
    const journal = new FakeDisk()
    const queue = queueOf({ bounds: { spans: 4, batchSpans: 1 }, journal })
    journal.isFull = true
    offerEach(queue, 1)
    journal.isFull = false
    offerEach(queue, ...range(2, 10))
    assert.isAbove(queue.spooled, 0)
    sendTimes(40, queue, takesAllBut(1))
    assert.deepStrictEqual(
      places(queue),
      placed({ taken: 10, exported: 9, dropped: dropped({ retries_exhausted: 1 }) })
    )
  })

  it("gives all that is in memory or under way for a last attempt, and leaves the rest on disk", () => {
    const journal = new FakeDisk()
    const queue = queueOf({ bounds: { spans: 8, batchSpans: 2 }, journal })
    offerEach(queue, ...range(1, 6))
    queue.take()
    offerAll(queue, 7)
    assert.deepStrictEqual(
      queue.takeAll().map(({ batch }) => numbers(batch)),
      [
        [1, 2],
        [3, 4]
      ]
    )
    assert.deepStrictEqual(places(queue), placed({ taken: 7, inFlight: 4, spooled: 3 }))
  })
})

describe("SpanQueue.takeAll", () => {
  /** Offers as much as is worth using its bytes again. */
  const offerMuch = (queue: SpanQueue, n: number): void => {
    for (let i = 0; i < 10; i++) queue.offer(span(n, 9_000))
    queue.seal()
  }
  const bounds = { bytes: 10_000_000, batchSpans: 10, spanBytes: 100_000 }

  it("writes nothing over the bytes of a request under way, whatever became of it in the last attempt", () => {
    const queue = queueOf({ bounds })
    offerMuch(queue, 1)
    const underWay = queue.take()!
    const [again] = queue.takeAll()
    queue.settle(again!, 0, "refused")
    offerMuch(queue, 2)
    assert.deepStrictEqual(
      numbers(underWay.batch),
      Array.from({ length: 10 }, () => 1)
    )
  })

  it("uses the bytes again of a request that is done", () => {
    const queue = queueOf({ bounds })
    offerMuch(queue, 1)
    const done = queue.take()!
    queue.settle(done, 0, "refused")
    offerMuch(queue, 2)
    assert.isTrue(queue.take()!.batch.bytes.buffer === done.batch.bytes.buffer)
  })
})

describe("SpanQueue.close", () => {
  it("leaves to the next process what is on disk, under way or not, and counts what is not", () => {
    const journal = new FakeDisk()
    const queue = queueOf({ bounds: { spans: 8, batchSpans: 2 }, journal })
    offerEach(queue, 1, 2, 3)
    journal.isFull = true
    const last = (offerEach(queue, 4), queue.seal())
    const under = queue.take()!
    queue.close()
    assert.deepStrictEqual(places(queue), placed({ taken: 4, spooled: 3, dropped: dropped({ shutdown: 1 }) }))
    assert.deepStrictEqual([...journal.kept.values()].flatMap(numbers), [1, 2, 3])
    assert.isTrue(queue.hasSettled(last))
    // The receiver had it after all: the next process sends it again.
    queue.settle(under, 0, "refused")
    queue.putBack(under)
    assert.deepStrictEqual(places(queue), placed({ taken: 4, spooled: 3, dropped: dropped({ shutdown: 1 }) }))
  })

  it("tries the disk again for what it would not take before", () => {
    const journal = new FakeDisk()
    const queue = queueOf({ journal })
    journal.isFull = true
    offerEach(queue, 1)
    journal.isFull = false
    queue.close()
    assert.deepStrictEqual([...journal.kept.values()].flatMap(numbers), [1])
  })

  it("drops all without a journal, and what comes later", () => {
    const queue = queueOf({})
    offerAll(queue, 1, 2)
    queue.close()
    offerAll(queue, 3)
    queue.close()
    assert.deepStrictEqual(places(queue), placed({ taken: 3, dropped: dropped({ shutdown: 3 }) }))
  })
})
