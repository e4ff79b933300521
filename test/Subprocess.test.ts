// Real child processes, each of the runtime that runs the test.
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Propagator from "../src/Propagator.ts"
import * as Subprocess from "../src/Subprocess.ts"

const program = fileURLToPath(new URL("programs/subprocess.ts", import.meta.url))
const flags = "Deno" in globalThis ? ["run", "--allow-all", "--no-lock"] : ["--disable-warning=ExperimentalWarning"]
const start = (...args: ReadonlyArray<string>) =>
  Subprocess.spawn({
    command: process.execPath,
    args: [...flags, program, ...args],
    // Of somebody who started this process.
    env: { TRACEPARENT: `00-${"1".repeat(32)}-${"2".repeat(16)}-01`, BAGGAGE: "user=stale" }
  })

const caller = {
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
  tracestate: "vendor=1",
  baggage: "user=alice"
}

describe("Subprocess", () => {
  it.live("tells a child the trace and the baggage, talks with it, and ends it with its stdin", () =>
    Effect.gen(function* () {
      const child = yield* Effect.scoped(
        Effect.gen(function* () {
          const child = yield* Propagator.withRemoteParent(caller)(start())
          const { receive, send } = child.connection
          assert.deepStrictEqual(yield* receive, {
            context: {
              traceId: "0af7651916cd43dd8448eb211c80319c",
              spanId: "b7ad6b7169203331",
              flags: 3,
              traceState: "vendor=1"
            },
            user: "alice"
          })
          yield* send(["hello\n"])
          assert.deepStrictEqual(yield* receive, { message: ["hello\n"] })
          return child
        })
      )
      assert.strictEqual(yield* child.exitCode, 3)
    })
  )

  it.live("tells no trace where there is none, not even one that it was told itself", () =>
    Effect.gen(function* () {
      const { connection } = yield* start()
      assert.deepStrictEqual(yield* connection.receive, {})
    }).pipe(Effect.scoped)
  )

  it.live("says what could not be started", () =>
    Effect.gen(function* () {
      for (const command of ["no-such-program", "no\0program"]) {
        const error = yield* Effect.flip(Effect.scoped(Subprocess.spawn({ command })))
        assert.strictEqual(error.command, command)
        assert.isTrue(error.message.startsWith(`Cannot start ${command}: `), error.message)
      }
    })
  )

  it.live("tells a child that its parent has gone, and leaves to it what then", () =>
    Effect.gen(function* () {
      const ticking = fileURLToPath(new URL("programs/ticking.ts", import.meta.url))
      // Whoever reads leaves after the first line.
      const script = '{ "$@"; echo "it ended with $?" >&2; } | head -n 1'
      const child = ChildProcess.spawn("sh", ["-c", script, "sh", process.execPath, ...flags, ticking], {
        stdio: ["ignore", "ignore", "pipe"]
      })
      let said = ""
      child.stderr.setEncoding("utf8").on("data", (chunk: string) => (said += chunk))
      yield* Effect.promise(() => new Promise((resolve) => child.once("close", resolve)))
      assert.strictEqual(said, "it ended with 3\n")
    })
  )

  it.live("says that a child has gone", () =>
    Effect.gen(function* () {
      const flagsOf = "Deno" in globalThis ? ["eval", "0"] : ["-e", "0"]
      const { connection, exitCode } = yield* Subprocess.spawn({ command: process.execPath, args: flagsOf })
      assert.strictEqual(yield* exitCode, 0)
      assert.match((yield* Effect.flip(connection.receive)).message, /it has ended/)
      assert.strictEqual((yield* Effect.flip(connection.send(1)))._tag, "ConnectionError")
    }).pipe(Effect.scoped)
  )
})
