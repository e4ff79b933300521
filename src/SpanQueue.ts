/**
 * The spans that wait for one exporter, in memory and on disk, and the count of all that ever came. A state machine and
 * nothing else: it reads no clock, runs no Effect and sends nothing, so that every step of it can be tested. When to
 * send, and what to do when that fails, is Delivery's.
 *
 * @since 0.1.0
 */
import * as MutableList from "effect/MutableList"
import { type DropReason, noneDropped } from "./Ledger.ts"
import { type Batch, join, SpanBuffer } from "./SpanBuffer.ts"
import type { EncodedSpan } from "./SpanEncoder.ts"
import type { Entry, Journal } from "./Spool.ts"

/**
 * What happens to a span that ends while the queue is full: it is dropped, or the oldest ones are dropped for it.
 *
 * @since 0.1.0
 */
export type FullPolicy = "dropNewest" | "dropOldest"

/**
 * How much a queue holds, and in what pieces it gives it out.
 *
 * @since 0.1.0
 */
export interface Bounds {
  /** Spans that may wait in memory. What is under way comes on top, also when it comes back. */
  readonly spans: number
  /** Bytes that they may have, without those that name their resource and scope. */
  readonly bytes: number
  /** Spans of one request, at most. */
  readonly batchSpans: number
  /** Bytes of the spans of one request, at most, unless one span alone has more. */
  readonly batchBytes: number
  /** Bytes of one span, at most. */
  readonly spanBytes: number
}

/** Spans that were sealed together, as a document of their own. */
interface Chunk {
  /** 0 for what was recovered: nobody waits for that. */
  readonly sequence: number
  readonly count: number
  /** How many bytes it has. */
  readonly size: number
  /** When its first span came, in milliseconds since the epoch. */
  readonly time: number
  /** `undefined` while the chunk is on disk alone. */
  bytes: Uint8Array | undefined
  /** Where it is on disk. */
  readonly entry: Entry | undefined
  /** How often it failed, and how often while others went through. */
  failures: number
  strikes: number
  /** How many requests had succeeded when it failed last. */
  successes: number
  /** When it failed first, in milliseconds since the epoch. */
  failingSince: number
  /** Whether somebody may still be reading its bytes after it was settled, so that nothing may be written over them. */
  isLent: boolean
}

/**
 * What is sent as one request.
 *
 * @since 0.1.0
 */
export interface Parcel {
  readonly batch: Batch
  /** When its first span came, in milliseconds since the epoch. */
  readonly time: number
  readonly chunks: ReadonlyArray<Chunk>
}

/** After so many failures others get their turn; after so many more while those went through, it is given up. */
const failuresBeforeOthers = 5
const maxStrikes = 3
const patienceMillis = 5 * 60_000

/**
 * Holds the spans that wait for one exporter.
 *
 * **Details**: spans gather in a buffer until there are enough of them for a request, or somebody seals it. Sealed
 * chunks wait in memory; where there is a journal they are on disk too, and what is more than half of what memory may
 * hold is on disk alone. The oldest is given out first.
 *
 * @since 0.1.0
 */
export class SpanQueue {
  readonly dropped: Record<DropReason, number> = { ...noneDropped }
  /** How many were dropped, for whatever reason. */
  droppedTotal = 0
  /** Batches on disk that could not be read: how many spans there were in them nobody knows. */
  damagedBatches = 0
  /** How many ever came. */
  taken = 0
  recovered = 0
  exported = 0
  inFlight = 0
  spooled = 0
  private readonly bounds: Bounds
  /** A chunk is as large as a request, but small in a small queue, so that dropping the oldest does not drop all. */
  private readonly chunkSpans: number
  private readonly chunkBytes: number
  private readonly policy: FullPolicy
  private readonly journal: Journal | undefined
  private readonly now: () => number
  private readonly buffer = new SpanBuffer()
  private bufferTime = 0
  private readonly sealed = MutableList.make<Chunk>()
  private sealedSpans = 0
  private sealedBytes = 0
  /** What is on disk alone: of dead processes, and of this one. */
  private readonly inherited = MutableList.make<Chunk>()
  private readonly overflow = MutableList.make<Chunk>()
  private readonly parcels = new Set<Parcel>()
  /** The sequences of the chunks that are still here, lowest first: what comes before the first has left. */
  private readonly unsettled = new Set<number>()
  private sequence = 0
  private successes = 0

  constructor(options: {
    readonly bounds: Bounds
    readonly policy: FullPolicy
    readonly journal: Journal | undefined
    /** Milliseconds since the epoch. */
    readonly now: () => number
  }) {
    this.bounds = options.bounds
    this.chunkSpans = Math.min(options.bounds.batchSpans, Math.ceil(options.bounds.spans / 16))
    this.chunkBytes = Math.min(options.bounds.batchBytes, options.bounds.bytes / 16)
    this.policy = options.policy
    this.journal = options.journal
    this.now = options.now
  }

  /** Spans that wait in memory. */
  get queued(): number {
    return this.buffer.count + this.sealedSpans
  }

  /** Whether enough spans wait for a whole request, or there is little room left. */
  get isUrgent(): boolean {
    const { batchBytes, batchSpans, bytes, spans } = this.bounds
    return this.queued >= Math.min(batchSpans, spans / 2) || this.queuedBytes >= Math.min(batchBytes, bytes / 2)
  }

  /** Whether the next span would find no room. */
  get isFull(): boolean {
    return this.queued >= this.bounds.spans || this.queuedBytes >= this.bounds.bytes
  }

  private get queuedBytes(): number {
    return this.sealedBytes + this.buffer.length
  }

  /** Whether there is anything to send. */
  get isEmpty(): boolean {
    return this.queued === 0 && !this.hasOnDisk
  }

  private get hasOnDisk(): boolean {
    return this.inherited.length > 0 || this.overflow.length > 0
  }

  /** Takes a span, or counts it as dropped. */
  offer(span: EncodedSpan): void {
    this.taken++
    if (span.length > this.bounds.spanBytes) {
      this.countDropped("too_large", 1)
      return
    }
    if (!this.hasRoomFor(span.length)) {
      if (this.policy === "dropOldest") this.makeRoomFor(span.length)
      if (!this.hasRoomFor(span.length)) {
        this.countDropped("queue_full", 1)
        return
      }
    }
    if (this.buffer.length + span.length > this.chunkBytes) this.seal()
    if (this.buffer.count === 0) this.bufferTime = this.now()
    this.buffer.append(span)
    if (this.buffer.count >= this.chunkSpans || this.buffer.length >= this.chunkBytes) this.seal()
  }

  private hasRoomFor(bytes: number): boolean {
    const { queued, queuedBytes } = this
    return queued < this.bounds.spans && (queuedBytes + bytes <= this.bounds.bytes || queued === 0)
  }

  private makeRoomFor(bytes: number): void {
    while (!this.hasRoomFor(bytes)) {
      if (this.sealed.length === 0) this.seal()
      const oldest = this.takeSealed()
      if (oldest === undefined) return
      this.drop(oldest, "queue_full")
    }
  }

  /**
   * Makes a chunk of what has gathered, and writes it to disk where there is a journal. Gives the sequence of the last
   * chunk there is.
   */
  seal(): number {
    if (this.buffer.count === 0) return this.sequence
    const { bytes, count } = this.buffer.take()
    const entry = this.journal?.append({ bytes, count })
    const sequence = ++this.sequence
    this.unsettled.add(sequence)
    const size = bytes.length
    const chunk = { sequence, count, size, time: this.bufferTime, bytes, entry, ...untried }
    const isMuch = this.sealedSpans + count > this.bounds.spans / 2 || this.sealedBytes + size > this.bounds.bytes / 2
    if (entry !== undefined && (isMuch || this.hasOnDisk)) this.leaveOnDisk(chunk, this.overflow)
    else this.putInMemory(chunk, MutableList.append)
    return sequence
  }

  /** Takes over what dead processes left on disk, to be sent before what overflowed. Says whether there is more. */
  recover(): boolean {
    if (this.journal === undefined) return false
    const { damaged, entries, expired, more } = this.journal.recover()
    this.damagedBatches += damaged
    this.recovered += expired
    this.countDropped("expired", expired)
    for (const entry of entries) {
      const { count, size, time } = entry
      this.recovered += count
      this.leaveOnDisk({ sequence: 0, count, size, time, bytes: undefined, entry, ...untried }, this.inherited)
    }
    return more
  }

  /** Gives out what makes up one request, `undefined` when there is nothing sealed. */
  take(alsoFromDisk = true): Parcel | undefined {
    const { batchBytes, batchSpans } = this.bounds
    const chunks: Array<Chunk> = []
    const batches: Array<Batch> = []
    let spans = 0
    let bytes = 0
    for (let next = this.peek(alsoFromDisk); next !== undefined; next = this.peek(alsoFromDisk)) {
      const fits = spans + next.count <= batchSpans && bytes + next.size <= batchBytes
      const alone = this.isSuspect(next)
      if (chunks.length > 0 && (alone || !fits)) break
      const chunk = this.takeSealed() ?? this.takeFromDisk()
      if (chunk?.bytes === undefined) continue
      chunks.push(chunk)
      batches.push({ bytes: chunk.bytes, count: chunk.count })
      spans += chunk.count
      bytes += chunk.size
      if (alone) break
    }
    const [oldest] = chunks
    if (oldest === undefined) return undefined
    const parcel = { batch: join(batches), time: oldest.time, chunks }
    this.parcels.add(parcel)
    this.inFlight += spans
    return parcel
  }

  /**
   * Whether a chunk may be why its requests fail: then it goes alone, and takes no others with it. When others went
   * through since, all may have been the receiver's fault, so it goes with others once more: an outage must not end in
   * as many requests as there are chunks.
   */
  private isSuspect({ failures, strikes, successes }: Chunk): boolean {
    return strikes > 0 || (failures >= failuresBeforeOthers && successes === this.successes)
  }

  /** Whether all up to a sequence have left the queue for good. */
  hasSettled(sequence: number): boolean {
    for (const oldest of this.unsettled) return oldest > sequence
    return true
  }

  /** A parcel was taken, but for so many of its spans. */
  settle(parcel: Parcel, refused: number, reason: DropReason): void {
    if (!this.parcels.delete(parcel)) return
    this.inFlight -= parcel.batch.count
    this.exported += parcel.batch.count - refused
    this.countDropped(reason, refused)
    if (refused < parcel.batch.count) this.successes++
    for (const chunk of parcel.chunks) {
      this.forget(chunk)
      this.release(chunk)
    }
  }

  /** A parcel was not taken, and may be later: it waits again, or is given up. */
  putBack(parcel: Parcel): void {
    if (!this.parcels.delete(parcel)) return
    this.inFlight -= parcel.batch.count
    const again: Array<Chunk> = []
    for (const chunk of parcel.chunks) {
      if (chunk.failures >= failuresBeforeOthers && this.successes > chunk.successes) chunk.strikes++
      chunk.failures++
      chunk.successes = this.successes
      if (chunk.failures === 1) chunk.failingSince = this.now()
      // A receiver that now and then has too much to do fails as often, but not for long.
      const isHopeless = chunk.strikes >= maxStrikes && this.now() - chunk.failingSince >= patienceMillis
      if (isHopeless) this.drop(chunk, "retries_exhausted")
      else if (chunk.failures >= failuresBeforeOthers) this.putLast(chunk)
      else again.push(chunk)
    }
    for (const chunk of again.toReversed()) this.putFirst(chunk)
  }

  /** What is on disk too need not crowd out of memory what is not. */
  private putFirst(chunk: Chunk): void {
    if (chunk.entry === undefined || this.queued + chunk.count <= this.bounds.spans / 2) {
      this.putInMemory(chunk, MutableList.prepend)
      return
    }
    this.release(chunk)
    MutableList.prepend(chunk.sequence === 0 ? this.inherited : this.overflow, chunk)
    this.spooled += chunk.count
  }

  private putLast(chunk: Chunk): void {
    // What is on disk waits for memory to be empty, so the next of it gets its turn here.
    const next = this.sealed.length === 0 ? this.takeFromDisk() : undefined
    if (next !== undefined) this.putInMemory(next, MutableList.append)
    this.putInMemory(chunk, MutableList.append)
  }

  /** Everything that is in memory or under way, for a last attempt to send it. What is being sent may arrive twice. */
  takeAll(): ReadonlyArray<Parcel> {
    this.seal()
    const all = [...this.parcels]
    for (const chunk of all.flatMap(({ chunks }) => chunks)) chunk.isLent = true
    for (let next = this.take(false); next !== undefined; next = this.take(false)) all.push(next)
    return all
  }

  /** Nothing will be sent any more: what is on disk stays there for the next process, the rest is dropped. */
  close(): void {
    this.seal()
    for (const parcel of this.parcels) {
      this.parcels.delete(parcel)
      this.inFlight -= parcel.batch.count
      for (const chunk of parcel.chunks) this.leave(chunk)
    }
    for (let chunk = this.takeSealed(); chunk !== undefined; chunk = this.takeSealed()) this.leave(chunk)
    this.unsettled.clear()
  }

  private leave(chunk: Chunk): void {
    const entry = chunk.entry ?? this.journal?.append({ bytes: chunk.bytes!, count: chunk.count })
    if (entry === undefined) this.drop(chunk, "shutdown")
    else this.spooled += chunk.count
  }

  private drop(chunk: Chunk, reason: DropReason): void {
    this.countDropped(reason, chunk.count)
    this.forget(chunk)
  }

  private countDropped(reason: DropReason, spans: number): void {
    this.dropped[reason] += spans
    this.droppedTotal += spans
  }

  private forget(chunk: Chunk): void {
    this.unsettled.delete(chunk.sequence)
    if (chunk.entry !== undefined) this.journal?.remove(chunk.entry)
  }

  private putInMemory(chunk: Chunk, put: typeof MutableList.append): void {
    put(this.sealed, chunk)
    this.sealedSpans += chunk.count
    this.sealedBytes += chunk.size
  }

  /** Nobody reads the chunk's bytes any more. */
  private release(chunk: Chunk): void {
    if (chunk.bytes !== undefined && !chunk.isLent) this.buffer.release(chunk.bytes)
    chunk.bytes = undefined
  }

  private leaveOnDisk(chunk: Chunk, list: MutableList.MutableList<Chunk>): void {
    this.release(chunk)
    MutableList.append(list, chunk)
    this.spooled += chunk.count
  }

  private peek(alsoOnDisk: boolean): Chunk | undefined {
    return first(this.sealed) ?? (alsoOnDisk ? (first(this.inherited) ?? first(this.overflow)) : undefined)
  }

  private takeSealed(): Chunk | undefined {
    const chunk = MutableList.take(this.sealed)
    if (chunk === MutableList.Empty) return undefined
    this.sealedSpans -= chunk.count
    this.sealedBytes -= chunk.size
    return chunk
  }

  /** Reads the next chunk from disk. One that cannot be read any more is dropped. */
  private takeFromDisk(): Chunk | undefined {
    const chunk = MutableList.take(this.inherited.length > 0 ? this.inherited : this.overflow)
    if (chunk === MutableList.Empty) return undefined
    this.spooled -= chunk.count
    chunk.bytes = chunk.entry === undefined ? undefined : this.journal?.read(chunk.entry)?.bytes
    if (chunk.bytes !== undefined) return chunk
    this.drop(chunk, "damaged")
    return undefined
  }
}

const untried = { failures: 0, strikes: 0, successes: 0, failingSince: 0, isLent: false }

const first = <A>(list: MutableList.MutableList<A>): A | undefined => MutableList.toArrayN(list, 1)[0]
