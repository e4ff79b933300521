import { assert, describe, it } from "@effect/vitest"
import * as fc from "fast-check"
import { Clock, Effect, Scope } from "effect"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Spool from "../src/Spool.ts"
import { CurrentMachine, type Files, type Machine } from "../src/SpoolMachine.ts"
import type { Batch } from "../src/SpanBuffer.ts"
import * as Segment from "../src/SpoolSegment.ts"

const folder = "/spool/to-otlp"
const seconds = (n: number) => n * 1000
const days = (n: number) => n * 86_400_000

const batch = (id: number, size = 4): Batch => {
  const bytes = new Uint8Array(Math.max(size, 4)).fill(id)
  new DataView(bytes.buffer).setUint32(0, id)
  return { bytes, count: (id % 3) + 1 }
}
const idOf = ({ bytes }: Batch) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)

type Operation = keyof Files
/** What becomes of an operation: it fails, or the process dies before it, in its midst (a write) or after it. */
type Fate = "EIO" | "ENOSPC" | "EACCES" | "short" | "nothing" | "dies before" | "dies within" | "dies after"
class Failure extends Error {}
const fates: ReadonlyArray<Fate> = [
  "EIO",
  "ENOSPC",
  "EACCES",
  "short",
  "nothing",
  "dies before",
  "dies within",
  "dies after"
]

/** A disk in memory, a clock, and processes that share both. */
class World {
  now = days(20_000)
  capacity = Infinity
  /** Paths whose use is denied. */
  denied: RegExp = /(?!)/
  files = new Map<string, { bytes: Buffer; modified: number }>()
  folders = new Set<string>()
  readonly running = new Map<number, Process>()
  private pids = 0

  start(options: Partial<Spool.Options> & { readonly exporter?: string; readonly host?: string } = {}): Process {
    return new Process(this, ++this.pids, options)
  }

  /** Time goes by, and wakes those who are not asleep. */
  pass(millis: number): void {
    const end = this.now + millis
    while (this.now < end) {
      this.now = Math.min(this.now + 1000, end)
      for (const process of this.running.values()) process.tick()
    }
  }

  copy(): World {
    const copy = new World()
    copy.now = this.now
    copy.pids = this.pids
    copy.folders = new Set(this.folders)
    for (const [path, { bytes, modified }] of this.files) copy.files.set(path, { bytes: Buffer.from(bytes), modified })
    return copy
  }

  names(): ReadonlyArray<string> {
    return [...this.files.keys()].map((path) => path.slice(folder.length + 1)).toSorted()
  }

  /** The one file of this kind. */
  only(end: string): string {
    const found = [...this.files.keys()].filter((path) => path.endsWith(end))
    assert.strictEqual(found.length, 1, this.names().join("\n"))
    return found[0]!
  }

  used(): number {
    return [...this.files.values()].reduce((sum, { bytes }) => sum + bytes.length, 0)
  }
}

class Process {
  readonly journal: Spool.Journal
  readonly entries: Array<Spool.Entry> = []
  asleep = false
  /** In the midst of something: it can do nothing else. */
  isBusy = false
  private readonly open = new Map<number, { file: { bytes: Buffer; modified: number }; appends: boolean }>()
  private readonly timers = new Map<() => void, { millis: number; next: number }>()
  private fate: { after: number; readonly fate: Fate } | undefined
  private plot: { after: number; readonly action: () => void } | undefined
  private files = 0

  readonly world: World
  readonly pid: number

  constructor(
    world: World,
    pid: number,
    options: Partial<Spool.Options> & { readonly exporter?: string; readonly host?: string }
  ) {
    this.world = world
    this.pid = pid
    world.running.set(pid, this)
    const machine: Machine = {
      files: this.machineFiles(),
      host: options.host ?? "abc",
      pid,
      isGone: (pid) => !world.running.has(pid),
      every: (millis, action) => {
        this.timers.set(action, { millis, next: world.now + millis })
        return () => void this.timers.delete(action)
      }
    }
    const millis = () => world.now
    const nanos = () => BigInt(world.now) * 1_000_000n
    const clock: Clock.Clock = {
      currentTimeMillisUnsafe: millis,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanosUnsafe: nanos,
      currentTimeNanos: Effect.sync(nanos),
      monotonicTimeNanosUnsafe: nanos,
      monotonicTimeNanos: Effect.sync(nanos),
      sleep: () => Effect.never
    }
    this.journal = Effect.flatMap(Spool.Spool, (spool) => spool.open(options.exporter ?? "otlp")).pipe(
      Effect.provide(Spool.layer({ directory: "/spool", ...options })),
      Effect.provideService(CurrentMachine, machine),
      Effect.provideService(Clock.Clock, clock),
      Effect.provideService(Scope.Scope, Scope.makeUnsafe()),
      Effect.runSync
    )
  }

  tick(): void {
    for (const [action, timer] of this.timers) {
      if (this.asleep || this.world.now < timer.next) continue
      timer.next = this.world.now + timer.millis
      action()
    }
  }

  /** Of the operations on files from now on, this one fails. */
  fail(after: number, fate: Fate): void {
    this.fate = { after, fate }
  }

  /** Before one of the operations on files from now on, something else happens. */
  meanwhile(after: number, action: () => void): void {
    this.plot = { after, action }
  }

  heal(): void {
    this.fate = undefined
    this.plot = undefined
  }

  kill(): void {
    this.world.running.delete(this.pid)
    this.timers.clear()
  }

  get isDead(): boolean {
    return !this.world.running.has(this.pid)
  }

  append(id: number, size?: number): Spool.Entry | undefined {
    const entry = this.journal.append(batch(id, size))
    if (entry !== undefined) this.entries.push(entry)
    return entry
  }

  /** Recovers all there is, and gives the ids. */
  recover(): { readonly ids: ReadonlyArray<number>; readonly expired: number; readonly damaged: number } {
    const ids: Array<number> = []
    let expired = 0
    let damaged = 0
    for (let more = true; more;) {
      const recovered = this.journal.recover()
      this.entries.push(...recovered.entries)
      ids.push(...recovered.entries.map((entry) => this.id(entry) ?? -1))
      expired += recovered.expired
      damaged += recovered.damaged
      more = recovered.more
    }
    return { ids, expired, damaged }
  }

  id(entry: Spool.Entry): number | undefined {
    const read = this.journal.read(entry)
    if (read === undefined) return undefined
    const id = idOf(read)
    assert.deepStrictEqual(read, batch(id, read.bytes.length))
    return id
  }

  private machineFiles(): Files {
    const { world } = this
    const fail = (code: string): never => {
      throw new Failure(code)
    }
    const step = <A>(operation: Operation, path: string, action: (part: number) => A): A => {
      if (this.plot !== undefined && this.plot.after-- <= 0) {
        const { action } = this.plot
        this.plot = undefined
        this.isBusy = true
        action()
        this.isBusy = false
      }
      if (this.isDead) fail("dead")
      if (world.denied.test(path)) fail("EACCES: permission denied")
      const fate = this.fate !== undefined && this.fate.after-- <= 0 ? this.fate.fate : undefined
      if (fate === undefined) return action(1)
      this.fate = undefined
      if (fate === "short") return action(0.5)
      if (fate === "nothing") return action(0)
      if (fate === "dies before") this.kill()
      if (fate === "dies within" && operation === "write") action(0.5)
      if (fate === "dies within" || fate === "dies after") {
        if (fate === "dies after") action(1)
        this.kill()
      }
      return fail(fate)
    }
    const at = (path: string) => world.files.get(path) ?? fail("ENOENT: no such file or directory")
    const opened = (file: number) => this.open.get(file) ?? fail("EBADF: bad file descriptor")
    const parent = (path: string) => path.slice(0, path.lastIndexOf("/"))
    return {
      makeFolder: (path) => step("makeFolder", path, () => void world.folders.add(path)),
      list: (path) =>
        step("list", path, () => {
          if (!world.folders.has(path)) fail("ENOENT: no such file or directory")
          return [...world.files.keys()]
            .filter((file) => parent(file) === path)
            .map((file) => file.slice(path.length + 1))
        }),
      open: (path, how) =>
        step("open", path, () => {
          if (how === "create") {
            if (!world.folders.has(parent(path))) fail("ENOENT: no such file or directory")
            if (world.files.has(path)) fail("EEXIST: file already exists")
            world.files.set(path, { bytes: Buffer.alloc(0), modified: world.now })
          }
          this.open.set(++this.files, { file: at(path), appends: how !== "read" })
          return this.files
        }),
      write: (file, bytes) =>
        step("write", "", (part) => {
          const { appends, file: to } = opened(file)
          if (!appends) fail("EBADF: bad file descriptor")
          const room = Math.max(world.capacity - world.used(), 0)
          const some = bytes.subarray(0, Math.min(room, Math.trunc(bytes.length * part)))
          if (room === 0) fail("ENOSPC: no space left on device, write")
          to.bytes = Buffer.concat([to.bytes, some])
          to.modified = world.now
          return some.length
        }),
      read: (file, into, position) =>
        step("read", "", (part) => {
          const end = position + Math.trunc(into.length * part)
          const bytes = opened(file).file.bytes.subarray(position, end)
          into.set(bytes)
          return bytes.length
        }),
      close: (file) => step("close", "", () => void (this.open.delete(file) || fail("EBADF: bad file descriptor"))),
      exists: (path) => {
        try {
          return step("exists", path, () => world.files.has(path))
        } catch {
          return false
        }
      },
      stat: (path) =>
        step("stat", path, () => {
          const { bytes, modified } = at(path)
          return { size: bytes.length, modified }
        }),
      touch: (path, modified) => step("touch", path, () => void (at(path).modified = modified)),
      rename: (from, to) =>
        step("rename", from, () => {
          const file = at(from)
          world.files.delete(from)
          assert.isFalse(world.files.has(to), `${from} replaced ${to}`)
          world.files.set(to, file)
        }),
      unlink: (path) => step("unlink", path, () => void world.files.delete((at(path), path)))
    }
  }
}

describe("Journal", () => {
  it("keeps what was appended, for this process and the next", () => {
    const world = new World()
    const first = world.start()
    const entry = first.append(7, 100)!
    assert.deepStrictEqual(
      { count: entry.count, size: entry.size, time: entry.time },
      { count: 2, size: 100, time: world.now }
    )
    assert.strictEqual(first.id(entry), 7)
    first.append(8)
    first.append(9)
    first.journal.remove(first.entries[1]!)
    assert.strictEqual(first.id(first.entries[1]!), undefined)
    first.journal.close()
    const second = world.start()
    assert.deepStrictEqual(second.recover(), { ids: [7, 9], expired: 0, damaged: 0 })
    assert.deepStrictEqual(second.recover(), { ids: [], expired: 0, damaged: 0 })
    for (const entry of second.entries) second.journal.remove(entry)
    second.journal.close()
    assert.deepStrictEqual(world.names(), [])
  })

  it("gives what a killed process left at once, and what one of another machine left after its lease", () => {
    const world = new World()
    world.start().append(1)
    world.start({ host: "def" }).append(2)
    for (const process of world.running.values()) process.kill()
    const next = world.start()
    assert.deepStrictEqual(next.recover().ids, [1])
    world.pass(seconds(15))
    assert.deepStrictEqual(next.recover().ids, [])
    world.pass(1)
    assert.deepStrictEqual(next.recover().ids, [2])
  })

  it("leaves alone what a living process has", () => {
    const world = new World()
    const [one, other] = [world.start(), world.start()]
    one.append(1)
    world.pass(days(1))
    assert.deepStrictEqual(other.recover().ids, [])
    assert.deepStrictEqual(one.recover().ids, [])
    assert.strictEqual(one.id(one.entries[0]!), 1)
  })

  it("gives each batch to one process only, oldest segment first", () => {
    const world = new World()
    for (const id of [1, 2, 3]) {
      world.start().append(id)
      world.pass(1)
    }
    for (const process of world.running.values()) process.kill()
    const [one, other] = [world.start(), world.start()]
    let others: ReadonlyArray<number> = []
    // Once it has looked at the folder, and taken over the first.
    one.meanwhile(11, () => {
      others = other.recover().ids
    })
    assert.deepStrictEqual([one.recover().ids, others], [[1], [2, 3]])
  })

  it("notices that its segment was taken over while it slept, and goes on with another", () => {
    const world = new World()
    const sleeper = world.start()
    sleeper.append(1)
    sleeper.asleep = true
    world.pass(seconds(16))
    const other = world.start({ host: "def" })
    assert.deepStrictEqual(other.recover().ids, [1])
    sleeper.asleep = false
    assert.strictEqual(sleeper.id(sleeper.entries[0]!), undefined)
    sleeper.journal.remove(sleeper.entries[0]!)
    assert.strictEqual(sleeper.id(sleeper.append(2)!), 2)
    assert.strictEqual(other.id(other.entries[0]!), 1)
    assert.deepStrictEqual(other.recover().ids, [])
    sleeper.recover()
    assert.strictEqual(sleeper.journal.status().bytes, world.used())
    sleeper.journal.close()
    assert.deepStrictEqual(other.recover().ids, [2])
  })

  for (const after of [0, 1, 2, 3]) {
    it(`loses nothing to one that takes its segment over in the midst of append(), before operation ${after}`, () => {
      const world = new World()
      const [one, other] = [world.start(), world.start({ host: "def" })]
      one.append(1)
      one.asleep = true
      other.asleep = true
      world.pass(seconds(16))
      let taken: ReadonlyArray<number> = []
      one.meanwhile(after, () => {
        taken = other.recover().ids
      })
      one.append(2)
      assert.include([...taken, ...one.entries.map((entry) => one.id(entry))], 2)
      assert.include([...taken, ...one.entries.map((entry) => one.id(entry))], 1)
      one.kill()
      other.kill()
      world.pass(seconds(16))
      assert.include(
        [
          [1, 2],
          [1, 2, 2]
        ].map(String),
        String(world.start().recover().ids)
      )
    })
  }

  it("takes back what was taken over, when that process is gone too", () => {
    const world = new World()
    const [one, other] = [world.start(), world.start()]
    one.append(1)
    one.asleep = true
    world.pass(seconds(16))
    assert.deepStrictEqual(other.recover().ids, [1])
    other.kill()
    assert.deepStrictEqual(one.recover().ids, [1])
    assert.strictEqual(one.id(one.entries[0]!), undefined)
    one.append(2)
    for (const entry of one.entries.slice(0, 2)) one.journal.remove(entry)
    assert.strictEqual(one.id(one.entries[2]!), 2)
    one.kill()
    assert.deepStrictEqual(world.start().recover().ids, [2])
  })

  it("deletes what is too old, and counts its spans", () => {
    const world = new World()
    const first = world.start()
    first.append(1)
    world.pass(seconds(1))
    first.append(2)
    first.kill()
    world.now += days(7) - seconds(1)
    const next = world.start()
    world.now += 1
    assert.deepStrictEqual(next.recover(), { ids: [2], expired: 2, damaged: 0 })
    next.kill()
    world.now += days(1)
    assert.deepStrictEqual(world.start().recover(), { ids: [], expired: 5, damaged: 0 })
  })

  it("keeps what is from the future, but not for ever", () => {
    const world = new World()
    const today = world.now
    world.now += days(1000)
    const future = world.start()
    future.append(1)
    future.kill()
    world.now = today
    const next = world.start()
    assert.deepStrictEqual(next.recover().ids, [1])
    assert.strictEqual(next.entries[0]!.time, today)
    next.kill()
    world.now += days(7) + 1
    assert.deepStrictEqual(world.start().recover(), { ids: [], expired: 2, damaged: 0 })
  })

  it("refuses what does not fit, until there is room", () => {
    const world = new World()
    const maxBytes = 10_000
    const [one, other] = [world.start({ maxBytes }), world.start({ maxBytes })]
    const problem = `Cannot keep spans in "${folder}": 10000 bytes are full`
    let id = 0
    while (one.append(++id, 900) !== undefined);
    assert.strictEqual(id, 11)
    assert.strictEqual(one.journal.status().problem, problem)
    assert.strictEqual(other.append(id, 900), undefined)
    assert.strictEqual(other.journal.status().problem, problem)
    assert.deepStrictEqual(one.journal.status(), { bytes: world.used(), problem, setAside: 0 })
    one.journal.remove(one.entries[0]!)
    assert.notStrictEqual(one.append(id, 900), undefined)
    assert.deepStrictEqual(one.journal.status(), { bytes: world.used(), problem: undefined, setAside: 0 })
    one.journal.remove(one.entries[1]!)
    world.pass(seconds(1))
    assert.notStrictEqual(other.append(id, 900), undefined)
    assert.isAtMost(world.used(), maxBytes)
  })

  it("can be full of itself alone, and empties", () => {
    const world = new World()
    const { journal } = world.start({ maxBytes: 1000 })
    for (let id = 0; id < 1000; id++) {
      const entry = journal.append(batch(id, 900))
      assert.isDefined(entry)
      journal.remove(entry)
    }
    assert.strictEqual(journal.append(batch(0, 1000)), undefined)
  })

  it("gives what was appended in order, also when the clock was set back meanwhile", () => {
    const world = new World()
    const process = world.start()
    process.append(1, 5 << 20)
    world.now -= seconds(10)
    process.append(2)
    process.kill()
    assert.deepStrictEqual(world.start().recover().ids, [1, 2])
  })

  it("tries again to take over what it could not, whatever failed", () => {
    for (let after = 0; after < 12; after++) {
      const world = new World()
      const process = world.start({ host: "def" })
      process.append(1)
      process.kill()
      world.pass(seconds(16))
      const next = world.start()
      next.fail(after, "EIO")
      const { entries } = next.journal.recover()
      next.heal()
      assert.deepStrictEqual(
        [...entries, ...next.journal.recover().entries].map((entry) => next.id(entry)),
        [1]
      )
    }
  })

  it("tries again to delete what it could not", () => {
    const world = new World()
    const process = world.start()
    process.append(1, 5 << 20)
    process.fail(0, "EACCES")
    process.journal.remove(process.entries[0]!)
    world.only(".spool1")
    process.recover()
    assert.deepStrictEqual(process.journal.status(), { bytes: 0, problem: undefined, setAside: 0 })
  })

  it("may give what was removed again when the disk is full, and damages nothing else", () => {
    const world = new World()
    const process = world.start()
    process.append(1)
    process.append(2)
    world.capacity = world.used() + 10
    process.journal.remove(process.entries[0]!)
    world.capacity = Infinity
    process.append(3)
    process.kill()
    const next = world.start()
    assert.deepStrictEqual(next.recover(), { ids: [1, 2, 3], expired: 0, damaged: 1 })
    for (const entry of next.entries) next.journal.remove(entry)
    assert.deepStrictEqual(next.journal.status(), { bytes: 0, problem: undefined, setAside: 0 })
  })

  it("fails when nothing can be written, and no error comes", () => {
    const process = new World().start()
    process.append(1)
    process.fail(0, "nothing")
    assert.strictEqual(process.append(2), undefined)
    assert.match(process.journal.status().problem ?? "", /nothing more can be written/)
  })

  it("deletes a segment once nothing is left in it", () => {
    const world = new World()
    const process = world.start()
    for (let id = 0; id < 10; id++) process.append(id, 1 << 20)
    assert.strictEqual(world.names().filter((name) => name.endsWith(".spool1")).length, 3)
    for (const entry of process.entries.slice(0, 8)) process.journal.remove(entry)
    assert.strictEqual(world.names().filter((name) => name.endsWith(".spool1")).length, 1)
    for (const entry of process.entries.slice(8)) process.journal.remove(entry)
    assert.deepStrictEqual(process.journal.status(), { bytes: 0, problem: undefined, setAside: 0 })
  })

  it("takes over so much at a time", () => {
    const world = new World()
    const process = world.start()
    for (let id = 0; id < 30; id++) process.append(id, 1 << 20)
    process.kill()
    const next = world.start()
    const { entries, more } = next.journal.recover()
    assert.deepStrictEqual([entries.length, more], [4, true])
    assert.strictEqual(next.recover().ids.length, 26)
  })

  it("says that the disk is full, and goes on a second after it is not", () => {
    const world = new World()
    const process = world.start()
    process.append(1, 100)
    world.capacity = world.used() + 50
    assert.strictEqual(process.append(2, 100), undefined)
    const problem = `Cannot keep spans in "${folder}": ENOSPC: no space left on device, write`
    assert.strictEqual(process.journal.status().problem, problem)
    world.capacity = Infinity
    world.pass(seconds(1) - 1)
    assert.strictEqual(process.append(3, 100), undefined)
    world.pass(1)
    assert.strictEqual(process.id(process.append(4, 100)!), 4)
    assert.strictEqual(process.journal.status().problem, undefined)
    process.kill()
    assert.deepStrictEqual(world.start().recover(), { ids: [1, 4], expired: 0, damaged: 1 })
    assert.strictEqual(world.names().filter((name) => name.endsWith(".damaged")).length, 0)
  })

  it("leaves no files behind while the disk is full", () => {
    const world = new World()
    const process = world.start()
    world.capacity = 20
    for (let id = 0; id < 100; id++) {
      assert.strictEqual(process.append(id, 100), undefined)
      world.pass(seconds(1))
    }
    assert.deepStrictEqual(world.names(), [world.only(".owner").slice(folder.length + 1)])
  })

  it("does not wait longer when the clock is set back after a failure", () => {
    const world = new World()
    const process = world.start()
    process.append(1)
    process.fail(0, "EIO")
    assert.strictEqual(process.append(2), undefined)
    world.now -= days(1)
    assert.isDefined(process.append(3))
  })

  it("goes on when its folder was deleted", () => {
    const world = new World()
    const process = world.start()
    process.append(1)
    world.files.clear()
    world.folders.clear()
    assert.strictEqual(process.id(process.append(2)!), 2)
    assert.strictEqual(process.id(process.entries[0]!), undefined)
    assert.deepStrictEqual(process.recover().ids, [])
    process.kill()
    assert.deepStrictEqual(world.start().recover().ids, [2])
  })

  it("says when its folder cannot be made, and goes on once it can", () => {
    const world = new World()
    world.denied = /./
    const process = world.start()
    const problem = `Cannot keep spans in "${folder}": EACCES: permission denied`
    assert.deepStrictEqual(process.journal.status(), { bytes: 0, problem, setAside: 0 })
    assert.strictEqual(process.append(1), undefined)
    assert.deepStrictEqual(process.recover(), { ids: [], expired: 0, damaged: 0 })
    assert.deepStrictEqual(process.journal.status(), { bytes: 0, problem, setAside: 0 })
    process.journal.close()
    world.denied = /(?!)/
    assert.strictEqual(process.append(1), undefined)
    assert.isDefined(world.start().append(1))
  })

  it("sets a file aside that is none of its segments, and leaves others' alone", () => {
    const world = new World()
    const process = world.start()
    process.append(1)
    process.kill()
    const segment = world.only(".spool1")
    world.files.get(segment)!.bytes = Buffer.from("somebody wrote something else here")
    world.files.set(`${folder}/notes.txt`, { bytes: Buffer.from("mine"), modified: 0 })
    world.files.set(`${folder}/x.spool1`, { bytes: Buffer.from("mine"), modified: 0 })
    world.files.set(segment.replace("spool1", "spool2"), { bytes: Buffer.from("newer"), modified: 0 })
    const next = world.start()
    assert.deepStrictEqual(next.recover(), { ids: [], expired: 0, damaged: 1 })
    assert.deepStrictEqual(next.journal.status(), { bytes: 34 + 5, problem: undefined, setAside: 2 })
    assert.strictEqual(world.files.get(world.only(".damaged"))!.bytes.toString(), "somebody wrote something else here")
    world.pass(days(7))
    next.recover()
    assert.strictEqual(next.journal.status().setAside, 2)
    world.pass(1)
    next.recover()
    assert.deepStrictEqual(next.journal.status(), { bytes: 0, problem: undefined, setAside: 0 })
    assert.deepStrictEqual(world.names().slice(-2), ["notes.txt", "x.spool1"])
  })

  it("gives up what was set aside when it needs the room", () => {
    const world = new World()
    const process = world.start({ maxBytes: 1000 })
    process.append(1, 500)
    process.kill()
    world.files.get(world.only(".spool1"))!.bytes[0] = 0
    const next = world.start({ maxBytes: 1000 })
    assert.deepStrictEqual(next.recover().ids, [1])
    next.journal.remove(next.entries[0]!)
    assert.strictEqual(next.journal.status().setAside, 1)
    world.pass(seconds(1))
    assert.isDefined(next.append(2, 500))
    assert.strictEqual(next.journal.status().setAside, 0)
  })

  it("does not read a file that is far too large", () => {
    const world = new World()
    const process = world.start()
    process.append(1)
    process.kill()
    world.files.get(world.only(".spool1"))!.bytes = Buffer.alloc(80 << 20)
    assert.deepStrictEqual(world.start().recover(), { ids: [], expired: 0, damaged: 1 })
    world.only(".damaged")
  })

  it("refuses a batch that is far too large", () => {
    const world = new World()
    assert.strictEqual(world.start().append(1, (64 << 20) + 1), undefined)
  })
})

/** What can happen in a world with three processes; a dead one is followed by another in its place. */
type Step =
  | { readonly do: "append"; readonly who: number; readonly size: number }
  | { readonly do: "remove" | "read"; readonly who: number; readonly which: number }
  | { readonly do: "recover" | "close" | "kill" | "sleep" | "wake"; readonly who: number }
  | { readonly do: "pass"; readonly millis: number }
  | { readonly do: "set clock"; readonly millis: number }
  | { readonly do: "fail"; readonly who: number; readonly after: number; readonly fate: Fate }
  | { readonly do: "rob"; readonly who: number; readonly after: number; readonly robber: number }

const who = fc.nat(2)
const peaceful: ReadonlyArray<fc.WeightedArbitrary<Step>> = [
  { weight: 8, arbitrary: fc.record({ do: fc.constant("append" as const), who, size: fc.constantFrom(4, 50, 2000) }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constantFrom("remove" as const, "read" as const), who, which: fc.nat() })
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constantFrom("recover" as const, "close" as const, "kill" as const), who })
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("pass" as const), millis: fc.nat(40_000) }) }
]
const hostile: ReadonlyArray<fc.WeightedArbitrary<Step>> = [
  ...peaceful,
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom("sleep" as const, "wake" as const), who }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("set clock" as const), millis: fc.integer({ min: -1e6, max: 1e6 }) })
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("fail" as const), who, after: fc.nat(12), fate: fc.constantFrom(...fates) })
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("rob" as const), who, after: fc.nat(8), robber: who }) }
]

/** Plays the steps, and gives the ids that must come back: those that were kept, and that nobody removed. */
const play = (world: World, steps: ReadonlyArray<Step>, maxBytes: number) => {
  const processes: Array<Process> = []
  const at = (index: number): Process => {
    const process = processes[index]
    const host = index === 2 ? "def" : "abc"
    return process === undefined || process.isDead ? (processes[index] = world.start({ maxBytes, host })) : process
  }
  const kept = new Map<number, Process>()
  let lastId = 0
  for (const step of steps) {
    if (step.do === "pass") world.pass(step.millis)
    else if (step.do === "set clock") world.now += step.millis
    else {
      const process = at(step.who)
      if (step.do === "append" && process.append(++lastId, step.size) !== undefined) kept.set(lastId, process)
      if (step.do === "recover") process.recover()
      if (step.do === "close") {
        process.journal.close()
        process.kill()
      }
      if (step.do === "kill") process.kill()
      if (step.do === "sleep" || step.do === "wake") process.asleep = step.do === "sleep"
      if (step.do === "fail") process.fail(step.after, step.fate)
      if (step.do === "rob") {
        process.meanwhile(step.after, () => {
          for (const [path, file] of world.files) if (path.endsWith(".owner")) file.modified = 0
          const robber = at(step.robber)
          if (!robber.isBusy) robber.recover()
        })
      }
      if (step.do === "remove" || step.do === "read") {
        const entry = process.entries[step.which % process.entries.length]
        if (entry !== undefined) {
          const id = process.id(entry)
          if (step.do === "remove" && id !== undefined) {
            process.journal.remove(entry)
            kept.delete(id)
          }
        }
      }
    }
  }
  return { kept, processes: processes.filter((process) => process !== undefined) }
}

describe("Journal, whatever happens", () => {
  const script = (steps: ReadonlyArray<fc.WeightedArbitrary<Step>>) =>
    fc.array(fc.oneof(...steps), { minLength: 1, maxLength: 60, size: "max" })
  const maxBytes = fc.constantFrom(8000, 50_000, 1 << 28)

  it("gives back just what was kept and not removed, once, in order, while no disk fails", () => {
    fc.assert(
      fc.property(script(peaceful), maxBytes, (steps, maxBytes) => {
        const world = new World()
        const { kept, processes } = play(world, steps, maxBytes)
        for (const process of processes) process.kill()
        world.pass(seconds(16))
        const { damaged, expired, ids } = world.start().recover()
        for (const process of processes) {
          const own = ids.filter((id) => kept.get(id) === process)
          assert.deepStrictEqual(
            own,
            own.toSorted((a, b) => a - b)
          )
        }
        assert.deepStrictEqual(
          { ids: ids.toSorted((a, b) => a - b), expired, damaged },
          { ids: [...kept.keys()], expired: 0, damaged: 0 }
        )
      }),
      { numRuns: 300 }
    )
  })

  it("loses nothing that was kept, and takes batches again, when disks fail, processes die and clocks jump", () => {
    fc.assert(
      fc.property(script(hostile), maxBytes, (steps, maxBytes) => {
        const world = new World()
        const { kept, processes } = play(world, steps, maxBytes)
        for (const process of processes) {
          process.heal()
          process.asleep = false
        }
        const alive = processes.filter((process) => !process.isDead)
        // Twice: a clock that was set back can come upon the second after a failure again.
        world.pass(seconds(1))
        const refused = alive.filter((process) => process.append(1_000_000) === undefined)
        world.pass(seconds(1))
        if (maxBytes > 1e6) for (const process of refused) assert.isDefined(process.append(1_000_000))
        for (const process of alive) process.kill()
        const last = world.start({ maxBytes: 1 << 28 })
        const ids: Array<number> = []
        // Whatever was done to the clock: one of these is more than a lease away from the last that a process said.
        for (const millis of [0, seconds(31)]) {
          world.pass(millis)
          ids.push(...last.recover().ids)
        }
        assert.deepStrictEqual(
          [...kept.keys()].filter((id) => !ids.includes(id)),
          []
        )
        assert.isDefined(last.append(1_000_001))
        for (const entry of last.entries) last.journal.remove(entry)
        last.kill()
        assert.deepStrictEqual(world.start().recover(), { ids: [], expired: 0, damaged: 0 })
      }),
      { numRuns: 600 }
    )
  })
})

describe("Journal, of a damaged segment", () => {
  const sizes = [4, 30, 0, 11, 25]
  const removed = 1
  /** A folder that a process left, and where each record in its only segment begins and ends. */
  const left = () => {
    const world = new World()
    const process = world.start()
    for (const [id, size] of sizes.entries()) process.append(id, size)
    process.journal.remove(process.entries[removed]!)
    process.kill()
    let end = Segment.header.length
    const records = sizes.map((size, id) => {
      const begin = end
      end += Segment.encodeSpans(0, batch(id, size)).length
      return { id, begin, end }
    })
    const removal = { begin: end, end: end + Segment.encodeRemoved(0).length }
    assert.strictEqual(world.files.get(world.only(".spool1"))!.bytes.length, removal.end)
    return { world, records, removal }
  }

  it("gives all that was whole, wherever it was cut off", () => {
    const { records, removal, world } = left()
    for (let length = 0; length <= removal.end; length++) {
      const copy = world.copy()
      const file = copy.files.get(copy.only(".spool1"))!
      file.bytes = file.bytes.subarray(0, length)
      const next = copy.start()
      const whole = records.filter(({ end, id }) => end <= length && (id !== removed || length < removal.end))
      const isBoundary = [0, Segment.header.length, removal.end, ...records.map(({ end }) => end)].includes(length)
      assert.deepStrictEqual(next.recover(), {
        ids: whole.map(({ id }) => id),
        expired: 0,
        damaged: isBoundary ? 0 : 1
      })
      for (const entry of next.entries) next.journal.remove(entry)
      next.journal.close()
      assert.deepStrictEqual(copy.names(), [])
    }
  })

  it("gives all that was untouched, whichever bit flipped, and sets the segment aside after that", () => {
    const { records, removal, world } = left()
    for (let bit = 0; bit < removal.end * 8; bit++) {
      const copy = world.copy()
      const { bytes } = copy.files.get(copy.only(".spool1"))!
      const at = bit >> 3
      bytes[at]! ^= 1 << (bit & 7)
      const next = copy.start()
      const isTouched = ({ begin, end }: { readonly begin: number; readonly end: number }) => begin <= at && at < end
      const untouched = records.filter((record) => !isTouched(record) && (record.id !== removed || isTouched(removal)))
      const { damaged, expired, ids } = next.recover()
      assert.deepStrictEqual({ expired, ids }, { expired: 0, ids: untouched.map(({ id }) => id) })
      assert.strictEqual(damaged, at < Segment.header.length ? 0 : 1)
      for (const entry of next.entries) next.journal.remove(entry)
      next.journal.close()
      const isSetAside = at < records.at(-1)!.begin
      assert.deepStrictEqual(
        copy.names().map((name) => name.split(".").at(-1)),
        isSetAside ? ["damaged"] : []
      )
    }
  })

  it("never throws or hangs, whatever the bytes, and goes on", () => {
    const record = fc.uint8Array({ maxLength: 40 }).map((bytes) => Segment.encodeSpans(0, { bytes, count: 1 }))
    const pieces = fc.oneof(
      record,
      fc.constantFrom(Segment.header, Segment.encodeRemoved(8)),
      record.chain((record) => fc.nat(record.length).map((length) => record.subarray(0, length))),
      fc.uint8Array({ maxLength: 40 })
    )
    fc.assert(
      fc.property(fc.array(pieces), (pieces) => {
        const { world } = left()
        world.files.get(world.only(".spool1"))!.bytes = Buffer.concat(pieces)
        const next = world.start()
        const { entries } = next.journal.recover()
        for (const entry of entries) {
          assert.isDefined(next.journal.read(entry))
          next.journal.remove(entry)
        }
        assert.isDefined(next.append(1))
        next.kill()
        assert.deepStrictEqual(world.start().recover(), { ids: [1], expired: 0, damaged: 0 })
      })
    )
  })

  it("takes time in proportion to its size, however it was made", () => {
    const { world } = left()
    // Each of these claims all that follows.
    const bytes = Buffer.alloc(13 * 50_000)
    for (let at = 0; at < bytes.length; at += 13) {
      bytes.set(Segment.encodeRemoved(0).subarray(0, 4), at)
      bytes.writeUInt32LE(bytes.length - at - 13, at + 8)
    }
    world.files.get(world.only(".spool1"))!.bytes = Buffer.concat([Segment.header, bytes])
    const next = world.start()
    assert.deepStrictEqual(next.recover().ids, [])
    assert.strictEqual(next.journal.status().setAside, 1)
  })

  it("read() gives nothing that was damaged meanwhile, and the segment is set aside", () => {
    const world = new World()
    const process = world.start()
    process.append(1)
    process.append(2)
    const { bytes } = world.files.get(world.only(".spool1"))!
    bytes[40]! ^= 1
    assert.deepStrictEqual(
      process.entries.map((entry) => process.id(entry)),
      [1, undefined]
    )
    for (const entry of process.entries) process.journal.remove(entry)
    process.journal.close()
    assert.deepStrictEqual(
      world.names().map((name) => name.split(".").at(-1)),
      ["damaged"]
    )
  })
})

describe("layer", () => {
  const temporary = Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(join(tmpdir(), "handspan-spool-"))),
    (path) => Effect.sync(() => fs.rmSync(path, { recursive: true, force: true }))
  )

  it.live("keeps batches in real files that are the user's alone", () =>
    Effect.gen(function* () {
      const directory = join(yield* temporary, "state", "spool")
      const layer = Spool.layer({ directory })
      const keep = Effect.gen(function* () {
        const journal = yield* (yield* Spool.Spool).open("otlp")
        const first = journal.append(batch(1, 300))!
        journal.remove(journal.append(batch(2, 300))!)
        journal.append(batch(3, 300))
        assert.deepStrictEqual(journal.read(first), batch(1, 300))
        assert.strictEqual(journal.status().problem, undefined)
        const folder = join(directory, "to-otlp")
        if (globalThis.process.platform === "win32") return
        for (const path of [directory, folder]) assert.strictEqual(fs.statSync(path).mode & 0o777, 0o700)
        for (const name of fs.readdirSync(folder))
          assert.strictEqual(fs.statSync(join(folder, name)).mode & 0o777, 0o600)
      })
      yield* Effect.scoped(keep).pipe(Effect.provide(layer))
      const replay = Effect.gen(function* () {
        const journal = yield* (yield* Spool.Spool).open("otlp")
        const { entries } = journal.recover()
        const batches = entries.map(journal.read)
        for (const entry of entries) journal.remove(entry)
        return batches
      })
      assert.deepStrictEqual(yield* Effect.scoped(replay).pipe(Effect.provide(layer)), [batch(1, 300), batch(3, 300)])
      assert.deepStrictEqual(fs.readdirSync(join(directory, "to-otlp")), [])
    })
  )

  it.live("keeps exporters apart, and in its folder, whatever they are called", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const names = [
        "otlp",
        "OTLP",
        "..",
        ".",
        "",
        "/",
        "../../otlp",
        "a/b",
        "a\\b",
        "con",
        "%002e",
        "\0",
        "é\ud800",
        "x".repeat(5000)
      ]
      const open = Effect.gen(function* () {
        const spool = yield* Spool.Spool
        for (const name of names) {
          const { append, recover } = yield* spool.open(name)
          assert.deepStrictEqual(recover().entries, [])
          assert.isDefined(append(batch(1)))
        }
      })
      yield* Effect.scoped(open).pipe(Effect.provide(Spool.layer({ directory: join(directory, "spool") })))
      assert.deepStrictEqual(fs.readdirSync(directory), ["spool"])
      assert.strictEqual(fs.readdirSync(join(directory, "spool")).length, names.length)
    })
  )

  it.live("degrades where no folder can be made", () =>
    Effect.gen(function* () {
      const directory = join(yield* temporary, "file")
      fs.writeFileSync(directory, "")
      const open = Effect.flatMap(Spool.Spool, (spool) => spool.open("otlp"))
      const journal = yield* Effect.provide(open, Spool.layer({ directory }))
      assert.strictEqual(journal.append(batch(1)), undefined)
      assert.match(journal.status().problem ?? "", /^Cannot keep spans in ".*to-otlp": (ENOTDIR|EEXIST)/)
    })
  )
})
