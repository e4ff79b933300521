/**
 * What the program `handspan` needs of its process: the services that `effect/cli` asks for, its arguments, how it ends.
 *
 * They are made here, and not taken from `@effect/platform-node`, so that whoever installs Handspan gets no second HTTP
 * client and no Redis with it: our verbs read arguments and write lines, on Node and Deno alike.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Runtime from "effect/Runtime"
import * as Sink from "effect/Sink"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Terminal from "effect/Terminal"
import * as CliConfig from "effect/cli/CliConfig"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import { TerminalCapabilities } from "effect/cli/TerminalCapabilities"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"

/**
 * Ends the program with an exit code. Whoever fails with it has said why.
 *
 * @since 0.1.0
 */
export class Failed extends Data.TaggedError("Failed")<{ readonly exitCode: number }> {
  override readonly [Runtime.errorExitCode] = this.exitCode
  override readonly [Runtime.errorReported] = false
}

const unused = Effect.die(new Error("Cannot ask a terminal, or start a program: no verb of handspan does"))

/**
 * The services of `effect/cli` for verbs that ask nothing: a file system without files, a terminal without keys.
 *
 * **Details**: colours are off, so that no variable has to be read for them; the wizard, which asks, is not offered.
 *
 * @since 0.1.0
 */
export const layer = Layer.mergeAll(
  FileSystem.layerNoop({}),
  Path.layer,
  Layer.succeed(
    Stdio.Stdio,
    Stdio.make({
      args: Effect.sync(() => process.argv.slice(2)),
      stdin: Stream.empty,
      stdout: () => Sink.drain,
      stderr: () => Sink.drain
    })
  ),
  Layer.succeed(
    Terminal.Terminal,
    Terminal.make({
      columns: Effect.succeed(80),
      rows: Effect.succeed(24),
      size: unused,
      readInput: unused,
      readLine: unused,
      display: () => unused
    })
  ),
  Layer.succeed(
    ChildProcessSpawner.ChildProcessSpawner,
    ChildProcessSpawner.make(() => unused)
  ),
  Layer.succeed(TerminalCapabilities, { canColor: false, canAnimate: false, canPrompt: false }),
  CliConfig.layer({ builtIns: GlobalFlag.BuiltIns.filter((flag) => flag !== GlobalFlag.Wizard) })
)

/**
 * Runs the program: SIGINT and SIGTERM interrupt it, and its end says the exit code.
 *
 * **Details**: the process is left to end by itself, so that what it wrote into a pipe arrives.
 *
 * @since 0.1.0
 */
export const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
  const interrupt = () => fiber.interruptUnsafe(fiber.id)
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt)
  fiber.addObserver((exit) => {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt)
    teardown(exit, (code) => {
      process.exitCode = code
    })
  })
})
