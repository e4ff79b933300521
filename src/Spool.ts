/**
 * Keeps batches of finished spans on disk until they are delivered, by this process or the next: what was appended
 * survives the process, `kill -9` included (not a power cut: nothing waits for the disk itself). When to spool, and when
 * and how fast to replay, is Delivery's; what is in a file, SpoolSegment's.
 *
 * Each exporter has a folder, which any number of processes may share. In it are
 * - segments, `<born>-<sequence>-<origin>.<owner>.spool1`: a process writes only to its own, and takes over those of dead
 *   ones by renaming them, which only one can. One in which nothing is left is deleted;
 * - `<owner>.owner`, touched every 5 seconds. A process is taken for dead when this is gone or 15 seconds off, to either
 *   side, or when there is no such process on this machine;
 * - `*.damaged`: segments that were corrupt, set aside for people, once all that could be read has left.
 *
 * One that is alive can be taken for dead: it slept, or the clock jumped. So after each write it looks whether the segment
 * still has its name. If so, whoever takes it over later reads what was written; if not, the batch is written again, to a
 * new one. That way spans may come twice, but are never lost, whatever the clocks say.
 *
 * @since 0.1.0
 */
import { Buffer } from "node:buffer"
import { join } from "node:path"
import { crc32 } from "node:zlib"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Batch } from "./SpanBuffer.ts"
import * as SpanEnd from "./SpanEnd.ts"
import { CurrentMachine, type Machine } from "./SpoolMachine.ts"
import * as Segment from "./SpoolSegment.ts"

/**
 * A batch that is kept. Which journal it is of, and where it lies, is the journal's to know.
 *
 * @since 0.1.0
 */
export interface Entry {
  /** How many spans it has. */
  readonly count: number
  /** How many bytes. */
  readonly size: number
  /** When it was appended, in ms since epoch. */
  readonly time: number
}

/**
 * The spool of one exporter. Synchronous, so that a span is on disk before the program goes on, also in an exit handler.
 * Nothing in it throws.
 *
 * @since 0.1.0
 */
export interface Journal {
  /**
   * Keeps a batch. `undefined` when it could not be kept: `status().problem` says why. Once the disk has failed, it is
   * tried again no sooner than a second later.
   */
  readonly append: (batch: Batch) => Entry | undefined
  /** Reads a batch. `undefined` when it was removed, is damaged, or another process has taken it over. */
  readonly read: (entry: Entry) => Batch | undefined
  /**
   * Lets go of a batch that was delivered or given up, so that it does not come back after a restart. When the disk fails,
   * it may.
   */
  readonly remove: (entry: Entry) => void
  /** Takes over what dead processes left: at the start, and every now and then, as others die. */
  readonly recover: () => Recovered
  readonly status: () => Status
  /** Ends it. What was not removed may be taken over at once. `read` and `remove` go on working until it is. */
  readonly close: () => void
}

/**
 * What was taken over from dead processes.
 *
 * @since 0.1.0
 */
export interface Recovered {
  /** Oldest segment first, and in each as they were appended. */
  readonly entries: ReadonlyArray<Entry>
  /** How many spans were older than `maxAge`; they are gone. */
  readonly expired: number
  /** How many batches could not be read, as far as that can be told. */
  readonly damaged: number
  /** Whether there may be more: one call takes some 4 MiB, which holds the program for 10 to 50 ms. */
  readonly more: boolean
}

/**
 * How a journal is.
 *
 * @since 0.1.0
 */
export interface Status {
  /** What all processes have in the folder, in bytes; others' as of when this one looked last. */
  readonly bytes: number
  /** Why the last batch could not be kept, for the person who reads the logs. */
  readonly problem: string | undefined
  /** How many files are there that nobody replays: damaged ones, and those of a newer version. */
  readonly setAside: number
}

/**
 * Where spans are kept that cannot go out now. `layer` makes it.
 *
 * @since 0.1.0
 */
export class Spool extends Context.Service<
  Spool,
  {
    /** Opens the journal of an exporter by its name, and closes it with the scope. Never fails: see `status().problem`. */
    readonly open: (exporter: string) => Effect.Effect<Journal, never, Scope.Scope>
  }
>()("handspan/Spool") {}

/**
 * Where and how much a spool keeps.
 *
 * @since 0.1.0
 */
export interface Options {
  /** A folder on a local disk. It is made, for this user alone. On Deno it needs permission to read and write. */
  readonly directory: string
  /**
   * How many bytes an exporter's files may have, those of all processes together. Processes look at each other's every few
   * MiB, so it can be some more. What does not fit is not kept. Default: 256 MiB.
   */
  readonly maxBytes?: number | undefined
  /** How old spans may be when they are taken over; older ones are deleted. What is from the future is kept. Default: 7 days. */
  readonly maxAge?: Duration.Input | undefined
}

/**
 * Makes a spool of the files in a folder. Nothing is written before a journal is opened.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import * as Spool from "handspan/Spool"
 * import { mkdtempSync } from "node:fs"
 * import { tmpdir } from "node:os"
 *
 * const directory = mkdtempSync(`${tmpdir()}/spool-`)
 * const journal = Effect.flatMap(Spool.Spool, (spool) => spool.open("otlp"))
 * const before = Effect.map(journal, ({ append }) => append({ bytes: new Uint8Array([1, 2, 3]), count: 1 })?.count)
 * const after = Effect.map(journal, ({ read, recover }) => recover().entries.map((entry) => read(entry)?.count))
 *
 * const program = Effect.all([Effect.scoped(before), Effect.scoped(after)])
 * const counts = await Effect.runPromise(Effect.provide(program, Spool.layer({ directory })))
 * if (JSON.stringify(counts) !== "[1,[1]]") throw new Error(`lost: ${counts}`)
 * ```
 *
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Spool> => {
  const { directory, maxBytes = 256 * 1024 * 1024 } = options
  const maxAge = Duration.toMillis(Duration.fromInputUnsafe(options.maxAge ?? "7 days"))
  const open = (exporter: string) =>
    Effect.gen(function* () {
      const machine = yield* CurrentMachine
      const clock = yield* Clock.Clock
      const place = { folder: join(directory, folderName(exporter)), maxAge, maxBytes }
      return openJournal(place, machine, () => clock.currentTimeMillisUnsafe())
    })
  return Layer.succeed(Spool, {
    open: (exporter) => Effect.acquireRelease(open(exporter), ({ close }) => Effect.sync(close))
  })
}

/** No two names may give one folder, on disks that ignore case either; and none may lead elsewhere, or be too long. */
const folderName = (exporter: string): string => {
  const name = exporter.replaceAll(/[^a-z0-9_-]/g, (char) => `%${char.charCodeAt(0).toString(16).padStart(4, "0")}`)
  return `to-${name.length <= 100 ? name : `${name.slice(0, 100)}~${crc32(name)}`}`
}

// In ms: how often a process says that it is alive, and after how long of silence it is taken for dead; how long a disk
// that failed is left alone, and one that is full is not looked through again.
const beatEvery = 5000
const lease = 15_000
const pause = 1000

/** A segment of this run. */
interface Held {
  readonly name: string
  size: number
  corrupt: boolean
  /** What was not removed. */
  readonly live: Set<Entry>
}

interface HeldEntry extends Entry {
  readonly offset: number
  readonly segment: Held
}

type Place = { readonly folder: string; readonly maxAge: number; readonly maxBytes: number }

const openJournal = ({ folder, maxAge, maxBytes }: Place, machine: Machine, now: () => number): Journal => {
  const { files } = machine
  const origin = Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString("hex")
  const run = `${machine.host}-${machine.pid}-${origin}`
  const segmentBytes = Math.min(Segment.maxSegmentBytes, maxBytes / 16)
  const held = new Map<string, Held>()
  let current: { readonly segment: Held; readonly file: number } | undefined
  let sequence = 0
  let born = 0
  let othersBytes = 0
  let setAside = 0
  let beatAt = -Infinity
  let lookedAt = -Infinity
  let failedAt = -Infinity
  let problem: string | undefined
  let closed = false

  // Not for longer, when the clock was set back meanwhile.
  const isWithin = (millis: number, since: number) => now() >= since && now() - since < millis
  const at = (name: string) => join(folder, name)
  const ownerPath = (owner: string) => at(`${owner}.owner`)
  const bytes = () => [...held.values()].reduce((sum, { size }) => sum + size, othersBytes)
  const fits = (needed: number) => bytes() + needed <= maxBytes
  const refuse = (why: string): undefined => void (problem = `Cannot keep spans in "${folder}": ${why}`)

  const beat = (): void => {
    beatAt = now()
    if (succeeds(() => files.touch(ownerPath(run), beatAt))) return
    files.makeFolder(folder)
    files.close(files.open(ownerPath(run), "create"))
    files.touch(ownerPath(run), beatAt)
  }

  const closeFile = (): void => {
    const file = current?.file
    current = undefined
    if (file !== undefined) attempt(() => files.close(file))
  }

  /** Deletes a segment in which nothing is left, and says whether that is done. */
  const discard = (segment: Held): boolean => {
    if (current?.segment === segment) closeFile()
    const path = at(segment.name)
    const done = succeeds(() => (segment.corrupt ? files.rename(path, Segment.aside(path)) : files.unlink(path)))
    // One that is not there any more is another's now.
    if (!done && files.exists(path)) return false
    if (done && segment.corrupt) {
      setAside++
      othersBytes += segment.size
    }
    return held.delete(segment.name)
  }

  /** Ends a segment: the next batch begins another. */
  const seal = (): void => {
    const segment = current?.segment
    closeFile()
    if (segment?.live.size === 0) discard(segment)
  }

  /** Leaves a segment to whom it went. Deletes nothing: if it is here after all, `recover` finds it. */
  const forget = (segment: Held): void => {
    if (current?.segment === segment) closeFile()
    segment.live.clear()
    held.delete(segment.name)
  }

  /** Looks at all that is in the folder and not held, and deletes what was set aside when it is old or room is needed. */
  const look = (needed = 0) => {
    lookedAt = now()
    for (const segment of held.values()) {
      if (!files.exists(at(segment.name))) forget(segment)
      else if (segment.live.size === 0 && segment !== current?.segment) discard(segment)
    }
    const owners = new Map<string, number>()
    const left: Array<{ readonly id: Segment.Id; readonly name: string; readonly size: number }> = []
    for (const name of (attempt(() => files.list(folder)) ?? []).toSorted()) {
      const id = held.has(name) ? undefined : Segment.parseName(name)
      const stat = id && attempt(() => files.stat(at(name)))
      if (id === undefined || stat === undefined) continue
      if (id.kind === "owner") owners.set(id.owner, stat.modified)
      else left.push({ id, name, size: stat.size })
    }
    othersBytes = left.reduce((sum, { size }) => sum + size, 0)
    setAside = 0
    for (const { id, name, size } of left) {
      if (id.kind === "segment") continue
      const age = lookedAt - id.born
      // What is only evidence need not outlive a clock that was wrong, nor be in the way of spans.
      const isOld = id.kind === "damaged" ? Math.abs(age) > maxAge || !fits(needed) : age > maxAge
      if (isOld && succeeds(() => files.unlink(at(name)))) othersBytes -= size
      else setAside++
    }
    return { owners, segments: left.filter(({ id }) => id.kind === "segment") }
  }

  const begin = () => {
    beat()
    born = Math.max(now(), born)
    const name = Segment.segmentName({ owner: run, born, sequence: sequence++, origin })
    const segment: Held = { name, size: 0, corrupt: false, live: new Set() }
    current = { segment, file: files.open(at(name), "create") }
    held.set(name, segment)
    return current
  }

  /** Writes a batch to the current segment: `undefined` when that went to another process meanwhile. */
  const put = (batch: Batch): Entry | undefined => {
    const time = now()
    const { file, segment } = current ?? begin()
    const record = Segment.encodeSpans(time, batch)
    const offset = Math.max(segment.size, Segment.header.length)
    Segment.write(files, file, segment.size === 0 ? Buffer.concat([Segment.header, record]) : record)
    segment.size = offset + record.length
    if (!files.exists(at(segment.name))) {
      forget(segment)
      return undefined
    }
    const entry: HeldEntry = { count: batch.count, size: batch.bytes.length, time, offset, segment }
    segment.live.add(entry)
    if (segment.size >= segmentBytes) seal()
    return entry
  }

  /** Takes over a segment, if no other process is faster, and says what is in it. */
  const claim = ({ id, name, size }: ReturnType<typeof look>["segments"][number]) => {
    // A time in the future was a mistake of the clock. From here on it counts as now, or it would never be old.
    const since = Math.min(id.born, now())
    const newName = Segment.segmentName({ ...id, owner: run, born: since })
    const stale = held.get(newName)
    if (stale !== undefined) forget(stale)
    const contents = attempt(() => {
      files.rename(at(name), at(newName))
      return Segment.load(files, at(newName))
    })
    // One that cannot be read now is this run's, but not held: the next `recover` tries again.
    if (contents === undefined) return undefined
    const { corrupt, damaged, found } = contents
    const segment: Held = { name: newName, size: contents.size, corrupt, live: new Set() }
    held.set(newName, segment)
    othersBytes -= size
    let expired = 0
    for (const spans of found) {
      const entry: HeldEntry = { ...spans, time: spans.time <= now() ? spans.time : since, segment }
      if (now() - entry.time > maxAge) expired += spans.count
      else segment.live.add(entry)
    }
    const entries = [...segment.live]
    if (entries.length === 0) discard(segment)
    return { entries, expired, damaged }
  }

  const isAlive = (owner: string, modified: number): boolean => {
    if (Math.abs(now() - modified) > lease) return false
    const [host, pid] = owner.split("-")
    return host === "" || host !== machine.host || !machine.isGone(Number(pid))
  }

  attempt(beat, refuse)
  const stopBeating = machine.every(beatEvery, () => attempt(beat))

  return {
    append: (batch) => {
      if (closed) return refuse("it is closed")
      if (batch.bytes.length > Segment.maxBatchBytes) return refuse(`${batch.bytes.length} bytes are too many at once`)
      if (isWithin(pause, failedAt)) return undefined
      const needed = batch.bytes.length + Segment.overheadBytes
      if ((current === undefined || !fits(needed)) && !isWithin(pause, lookedAt)) look(needed)
      if (!fits(needed)) return refuse(`${maxBytes} bytes are full`)
      return attempt(
        () => {
          if (!isWithin(beatEvery, beatAt)) beat()
          const entry = put(batch) ?? put(batch)
          problem = undefined
          return entry ?? refuse("its files are gone as soon as they are written")
        },
        (why) => {
          failedAt = now()
          seal()
          refuse(why)
        }
      )
    },

    read: (entry) => {
      const { offset, segment } = entry as HeldEntry
      if (!segment.live.has(entry)) return undefined
      const batch = attempt(() => Segment.readSpans(files, at(segment.name), { ...entry, offset }))
      // Not to be deleted with the rest, if the segment is still here.
      if (batch === undefined) segment.corrupt = true
      return batch
    },

    remove: (entry) => {
      const { offset, segment } = entry as HeldEntry
      if (!segment.live.delete(entry)) return
      // To begin a segment costs more than to write to one: not for every batch, when each is delivered soon.
      const isWorthIt = current?.segment !== segment || segment.size >= segmentBytes / 64
      if (segment.live.size === 0 && isWorthIt && discard(segment)) return
      const record = Segment.encodeRemoved(offset)
      const file = current?.segment === segment ? current.file : undefined
      const done = succeeds(() =>
        file === undefined ? Segment.append(files, at(segment.name), record) : Segment.write(files, file, record)
      )
      if (done) segment.size += record.length
      else if (file !== undefined) seal()
    },

    recover: () => {
      const recovered = { entries: new Array<Entry>(), expired: 0, damaged: 0, more: false }
      if (closed) return recovered
      attempt(beat)
      const { owners, segments } = look()
      const dead = [...owners.keys()].filter((owner) => owner !== run && !isAlive(owner, owners.get(owner)!))
      for (const owner of dead) owners.delete(owner)
      let taken = 0
      for (const left of segments) {
        if (left.id.owner !== run && owners.has(left.id.owner)) continue
        recovered.more = taken >= Segment.maxSegmentBytes
        const claimed = recovered.more ? undefined : claim(left)
        if (claimed === undefined) continue
        taken += left.size
        for (const entry of claimed.entries) recovered.entries.push(entry)
        recovered.expired += claimed.expired
        recovered.damaged += claimed.damaged
      }
      // What is left of theirs has no owner now, which is as good as a dead one.
      for (const owner of dead) attempt(() => files.unlink(ownerPath(owner)))
      return recovered
    },

    status: () => ({ bytes: bytes(), problem, setAside }),

    close: () => {
      if (closed) return
      closed = true
      stopBeating()
      seal()
      attempt(() => files.unlink(ownerPath(run)))
    }
  }
}

const attempt = <A>(action: () => A, otherwise?: (why: string) => void): A | undefined => {
  try {
    return action()
  } catch (error) {
    otherwise?.(SpanEnd.describe(error).message)
    return undefined
  }
}

const succeeds = (action: () => void): boolean => attempt(() => [action()]) !== undefined
