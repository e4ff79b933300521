// Starts programs that serve until they are told to stop.
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"

/** What a program writes to its log: JSON, a line for each. */
export type Log = ReadonlyArray<Readonly<Record<string, unknown>>>

/**
 * Starts a program and waits until its log tells what is looked for, such as the ports that it chose. When the scope closes
 * it is told to stop by SIGTERM, and has ended.
 */
export const start = <A>(
  command: string,
  args: ReadonlyArray<string>,
  look: (log: Log) => A | undefined
): Effect.Effect<A, never, Scope.Scope> =>
  Effect.gen(function* () {
    const child = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] })
    const ended = new Promise<void>((resolve) => {
      child.once("close", () => resolve())
      child.once("error", () => resolve())
    })
    const kill = () => child.kill("SIGKILL")
    process.once("exit", kill)
    const stopped = Effect.promise(() => {
      child.kill("SIGTERM")
      return ended
    })
    const killed = Effect.promise(() => {
      kill()
      return ended
    })
    yield* Effect.addFinalizer(() =>
      Effect.timeoutOrElse(stopped, { duration: "10 seconds", orElse: () => killed }).pipe(
        Effect.andThen(Effect.sync(() => process.off("exit", kill)))
      )
    )
    return yield* Effect.callback<A>((resume) => {
      const lines: Array<string> = []
      const log: Array<Readonly<Record<string, unknown>>> = []
      child.once("error", (error) => resume(Effect.die(error)))
      child.once("close", () => resume(Effect.die(new Error(`${command} has ended:\n${lines.join("\n")}`))))
      createInterface({ input: child.stderr }).on("line", (line) => {
        lines.push(line)
        const entry = Result.getOrUndefined(Result.try((): unknown => JSON.parse(line)))
        if (typeof entry !== "object" || entry === null) return
        log.push(entry as Readonly<Record<string, unknown>>)
        const found = look(log)
        if (found !== undefined) resume(Effect.succeed(found))
      })
    })
  })
