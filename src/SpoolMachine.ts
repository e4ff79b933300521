/**
 * What the spool needs of the machine it runs on: a file system, and which processes there are. Tests bring machines that
 * fail, sleep and die.
 *
 * @since 0.1.0
 */
import * as fs from "node:fs"
import * as os from "node:os"
import { crc32 } from "node:zlib"
import * as Context from "effect/Context"

/**
 * What the spool needs of a file system, all of it synchronous; tests bring one that fails. Everything may throw, except
 * `exists`.
 *
 * @since 0.1.0
 */
export interface Files {
  /** Makes a folder, and those above it, for the user alone (0700). One that is there is left as it is. */
  readonly makeFolder: (path: string) => void
  /** The names in a folder, in any order. */
  readonly list: (path: string) => ReadonlyArray<string>
  /**
   * Opens a file, for the user alone (0600) when it is made: `create` to append to one that must not be there yet,
   * `append` and `read` one that must.
   */
  readonly open: (path: string, how: "create" | "append" | "read") => number
  /** Appends what it can, and says how many bytes that were. */
  readonly write: (file: number, bytes: Uint8Array) => number
  /** Fills bytes from a position on, as far as the file goes, and says how many there were. */
  readonly read: (file: number, into: Uint8Array, position: number) => number
  readonly close: (file: number) => void
  readonly exists: (path: string) => boolean
  readonly stat: (path: string) => { readonly size: number; /** ms since epoch */ readonly modified: number }
  /** Sets when a file was modified, in ms since epoch. */
  readonly touch: (path: string, modified: number) => void
  readonly rename: (from: string, to: string) => void
  readonly unlink: (path: string) => void
}

/**
 * What the spool uses of the machine it runs on, for tests to replace.
 *
 * @since 0.1.0
 */
export interface Machine {
  readonly files: Files
  /** Which machine this is, in lower-case hex digits; empty when that is unknown. */
  readonly host: string
  readonly pid: number
  /** Whether there surely is no process of this id on this machine. Throws nothing. */
  readonly isGone: (pid: number) => boolean
  /** Does something again and again until it is told to stop. Does not hold the process open. */
  readonly every: (millis: number, action: () => void) => () => void
}

/**
 * The machine that the spool runs on: the real one, unless a test provides another.
 *
 * @since 0.1.0
 */
export const CurrentMachine: Context.Reference<Machine> = Context.Reference("handspan/Spool/CurrentMachine", {
  defaultValue: (): Machine => ({
    files: {
      makeFolder: (path) => void fs.mkdirSync(path, { recursive: true, mode: 0o700 }),
      list: (path) => fs.readdirSync(path),
      open: (path, how) => fs.openSync(path, flags[how], 0o600),
      write: (file, bytes) => fs.writeSync(file, bytes),
      read: (file, into, position) => fs.readSync(file, into, 0, into.length, position),
      close: (file) => fs.closeSync(file),
      exists: (path) => fs.existsSync(path),
      stat: (path) => {
        const { mtimeMs, size } = fs.statSync(path)
        return { size, modified: mtimeMs }
      },
      touch: (path, modified) => fs.utimesSync(path, modified / 1000, modified / 1000),
      rename: (from, to) => fs.renameSync(from, to),
      unlink: (path) => fs.unlinkSync(path)
    },
    host: readHost(),
    pid: process.pid,
    isGone: (pid) => {
      try {
        process.kill(pid, 0)
        return false
      } catch (error) {
        return (error as { readonly code?: unknown }).code === "ESRCH"
      }
    },
    every: (millis, action) => {
      const timer = setInterval(action, millis)
      timer.unref()
      return () => clearInterval(timer)
    }
  })
})

const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_WRONLY } = fs.constants
const flags = { create: O_WRONLY | O_APPEND | O_CREAT | O_EXCL, append: O_WRONLY | O_APPEND, read: O_RDONLY }

// Containers can share a host's name and a folder without seeing each other's processes. Deno would prompt for what it was
// not granted: there it is all or nothing.
const readHost = (): string => {
  const { Deno: deno } = globalThis as {
    readonly Deno?: {
      readonly permissions: { readonly querySync: (_: { readonly name: string }) => { state: string } }
    }
  }
  try {
    const granted = ["run", "sys", "read"].every(
      (name) => (deno?.permissions.querySync({ name }).state ?? "granted") === "granted"
    )
    if (!granted) return ""
    const namespace = process.platform === "linux" ? fs.readlinkSync("/proc/self/ns/pid") : ""
    return crc32(`${os.hostname()} ${namespace}`).toString(16)
  } catch {
    return ""
  }
}
