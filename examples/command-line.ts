// What the command lines of the examples share: reading arguments, and telling in one line what went wrong.
import { Console, Data, Effect, Runtime } from "effect"
import { parseArgs, type ParseArgsConfig } from "node:util"

/** The user asked for something that the program cannot do. */
export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

/** Reads these options, and at most one other argument. */
export const parse = <Options extends NonNullable<ParseArgsConfig["options"]>>(options: Options) =>
  Effect.try({
    try: () => {
      const { positionals, values } = parseArgs({ options, allowPositionals: true, strict: true })
      if (positionals.length > 1) throw new Error(`One argument is enough: ${positionals.join(" ")}`)
      return { argument: positionals[0], options: values }
    },
    // Node's first sentence says what is wrong; those after it are long.
    catch: (error) => new UsageError({ message: (error as Error).message.split(". ", 1)[0]! })
  })

/** An error that was told already: `runMain` reads from it that nothing is left to say, and the exit code. */
class Told extends Data.TaggedError("Told")<{ readonly exitCode: number }> {
  override readonly [Runtime.errorReported] = false
  override readonly [Runtime.errorExitCode] = this.exitCode
}

/** Tells typed errors without a stack: they are no bugs. Bugs are left to `runMain`. */
export const orTell =
  (usage: string) =>
  <A, E extends Error, R>(program: Effect.Effect<A, E, R>) =>
    program.pipe(
      Effect.tapError((error) =>
        Console.error(error instanceof UsageError ? `${error.message}. Usage: ${usage}` : error.message)
      ),
      Effect.mapError((error) => new Told({ exitCode: error instanceof UsageError ? 2 : 1 }))
    )
