/**
 * Where each span stands in the program, whatever the scheduler does: which fiber forked which, in what order, and the
 * ids that follow from that. Nothing here depends on time or on who happened to run first.
 *
 * A fiber does one thing after the other, so what it forks and opens can be numbered. The numbers of its forks, from the
 * fiber that everything began in, say where a fiber stands; the same program gives the same numbers however its fibers
 * take turns.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Metric from "effect/Metric"
import type * as Tracer from "effect/Tracer"
import * as Hex from "../Hex.ts"
import type { Ids, NewSpan } from "../SpanIds.ts"

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** What is known of a fiber. */
interface Place {
  readonly forker: AnyFiber | undefined
  /** The numbers that lead to it: of forks and spans together, for the order. */
  readonly order: ReadonlyArray<number>
  /** The span in which it was forked, and the numbers of forks since that span, for the ids. */
  readonly within: Tracer.AnySpan | undefined
  readonly branch: ReadonlyArray<number>
  /** The numbers of all forks that lead to it, for the ids below a span that came from elsewhere. */
  readonly forksAll: ReadonlyArray<number>
  /** What it forked and opened so far. */
  steps: number
  readonly forks: Map<Tracer.AnySpan | undefined, number>
  /** How many it forked, in whatever span. */
  forked: number
}

/**
 * Follows the fibers and spans of one test.
 *
 * @since 0.1.0
 */
export class Lineage {
  private readonly places = new Map<number, Place>()
  private readonly orders = new Map<string, ReadonlyArray<number>>()
  private readonly fibers = new Map<string, number>()
  /** Fibers that whoever forked them need not wait for. */
  private readonly detached = new Set<number>()
  /** The fibers that were seen at work and have not ended. */
  private readonly live = new Set<AnyFiber>()
  private readonly forkers = new WeakMap<Context.Context<never>, AnyFiber>()
  private justEnded: AnyFiber | undefined
  private readonly ordinals = new Map<string, number>()

  /** Ids that derive from the parent, the name, the branch, and the number among those that are equal in all of these. */
  readonly ids: Ids = {
    traceId: (name) => {
      const stand = `trace ${this.branchOf(Fiber.getCurrent())} ${name}`
      return idOf(`${stand} ${this.next(stand)}`, 4)
    },
    spanId: (span) => this.spanId(span),
    onOwnId: (id) => this.note(id)
  }

  /** Told by Effect of each fiber that begins, while the one that forks it is running. */
  readonly fiberMetrics: Metric.FiberRuntimeMetricsService = {
    recordFiberStart: (context) => {
      // The fiber itself is not shown, but ids are given one after the other.
      const id = Effect.runFork(Effect.void).id - 1
      const forker = this.forkerOf(context)
      this.places.set(id, forker === undefined ? rootPlace(id) : this.forkedBy(forker))
    },
    recordFiberEnd: () => {
      this.justEnded = Array.from(this.live).find((fiber) => fiber.pollUnsafe() !== undefined)
      if (this.justEnded !== undefined) this.live.delete(this.justEnded)
    }
  }

  /** Compares two spans by where they stand in the program. Those of others come last, as they are. */
  compare(left: string, right: string): number {
    return compareNumbers(this.orders.get(left) ?? [Infinity], this.orders.get(right) ?? [Infinity])
  }

  /** Whether a span's fiber ends with its parent fiber, at the latest: nobody need end the span. */
  isSupervised(span: string): boolean {
    const fiber = this.fibers.get(span)
    return fiber !== undefined && !this.detached.has(fiber) && this.places.get(fiber)?.forker !== undefined
  }

  /** Whether a span runs in a fiber that goes on without the one of another span: nobody waits for it. */
  isDetached(span: string, parent: string): boolean {
    const waits = this.fibers.get(parent)
    let fiber = this.fibers.get(span)
    while (fiber !== undefined && fiber !== waits && !this.detached.has(fiber)) {
      fiber = this.places.get(fiber)?.forker?.id
    }
    return fiber === undefined || fiber !== waits
  }

  private spanId({ name, parentSpanId, traceId }: NewSpan): string {
    const fiber = Fiber.getCurrent()
    const stand = `${parentSpanId ?? traceId} ${this.branchOf(fiber)} ${name}`
    const id = idOf(`span ${stand} ${this.next(stand)}`, 2)
    this.note(id)
    return id
  }

  /** Notes where a span stands that the running fiber opens. */
  private note(id: string): void {
    const fiber = Fiber.getCurrent()
    const place = fiber === undefined ? undefined : this.placeOf(fiber)
    // Plain code has no fiber. It can only be told by its turn, after all that has one.
    this.orders.set(id, place === undefined ? [Infinity, this.orders.size] : [...place.order, place.steps++])
    if (fiber !== undefined) this.fibers.set(id, fiber.id)
    if (fiber !== undefined && !isChild(fiber)) this.detached.add(fiber.id)
  }

  /** The forks between the span that a fiber is in and the fiber itself, where others may have the same name and parent. */
  private branchOf(fiber: AnyFiber | undefined): string {
    if (fiber === undefined) return ""
    const place = this.placeOf(fiber)
    const { span } = fiber.cache
    if (place.within === span) return place.branch.join(".")
    // What is not recorded makes its id when it is asked for it, which may be now.
    if (span?.sampled === false) return ""
    const isOwn = span !== undefined && this.fibers.get(span.spanId) === fiber.id
    return isOwn ? "" : `/${place.forksAll.join(".")}`
  }

  /** Notes that a fiber is at work. */
  see(fiber: AnyFiber): void {
    this.live.add(fiber)
  }

  private next(what: string): number {
    const ordinal = this.ordinals.get(what) ?? 0
    this.ordinals.set(what, ordinal + 1)
    return ordinal
  }

  private placeOf(fiber: AnyFiber): Place {
    this.live.add(fiber)
    const known = this.places.get(fiber.id) ?? rootPlace(fiber.id)
    this.places.set(fiber.id, known)
    return known
  }

  private forkedBy(forker: AnyFiber): Place {
    const place = this.placeOf(forker)
    const within = forker.cache.span
    const fork = place.forks.get(within) ?? 0
    place.forks.set(within, fork + 1)
    return {
      forker,
      order: [...place.order, place.steps++],
      within,
      branch: place.within === within ? [...place.branch, fork] : [fork],
      forksAll: [...place.forksAll, place.forked++],
      steps: 0,
      forks: new Map(),
      forked: 0
    }
  }

  /**
   * Who forks: the fiber that runs, or else one that waits, as who runs so many at once does. That one forks the next when
   * one has ended, with the context that it forked the first ones with.
   */
  private forkerOf(context: Context.Context<never>): AnyFiber | undefined {
    const current = Fiber.getCurrent()
    if (current?.context === context && current.pollUnsafe() === undefined) {
      if (!this.forkers.has(context)) this.forkers.set(context, current)
      return current
    }
    const waiting = this.justEnded === undefined ? undefined : this.places.get(this.justEnded.id)?.forker
    return waiting?.context === context ? waiting : (this.forkers.get(context) ?? current)
  }
}

/** Effect keeps a child with its parent while it runs, and tells nobody else of it. */
const isChild = (fiber: AnyFiber & { readonly _parent?: unknown }): boolean => fiber._parent !== undefined

/** The place of a fiber that nobody forked: those come one after the other. */
const rootPlace = (id: number): Place => ({
  forker: undefined,
  order: [id],
  within: undefined,
  branch: [],
  forksAll: [],
  steps: 0,
  forks: new Map(),
  forked: 0
})

const compareNumbers = (left: ReadonlyArray<number>, right: ReadonlyArray<number>): number => {
  for (const [index, number] of left.entries()) {
    const other = right[index]
    if (other === undefined) return 1
    if (number !== other) return number < other ? -1 : 1
  }
  return left.length === right.length ? 0 : -1
}

/** An id of so many words, made of a text: the same on every machine, and never zero. */
const idOf = (text: string, words: number): string => {
  let id = ""
  for (let word = 1; word <= words; word++) id += Hex.ofWord(hash(text, word) || 1)
  return id
}

/** MurmurHash3's mixing, by characters. */
const hash = (text: string, seed: number): number => {
  let mixed = Math.imul(seed, 0x9e37_79b1)
  for (let index = 0; index < text.length; index++) {
    mixed = Math.imul(mixed ^ text.charCodeAt(index), 0x85eb_ca6b)
    mixed = (mixed << 13) | (mixed >>> 19)
  }
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85eb_ca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35)
  return mixed ^ (mixed >>> 16)
}
