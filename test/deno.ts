/** Runs programs in a real Deno process with the least permissions, for what only Deno can show. */
import { execFile } from "node:child_process"
import { createRequire } from "node:module"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import * as Effect from "effect/Effect"

const root = fileURLToPath(new URL("..", import.meta.url))
const require = createRequire(import.meta.url)
const platform = { darwin: "darwin", win32: "windows" }[process.platform as string] ?? "linux"
const file = process.platform === "win32" ? "deno.exe" : "deno"

/** Where it is, from the root of the repository. */
export const executable =
  ["", "-glibc", "-musl"].flatMap((libc) => {
    try {
      const folder = dirname(require.resolve(`@deno/${platform}-${process.arch}${libc}/package.json`))
      // Relative: Deno runs the program with all of its own permissions when it is told to spawn its very path.
      return [join(relative(root, folder), file)]
    } catch {
      return []
    }
  })[0] ?? file

/** Gives what a program printed; `./src` in its imports is this package's. */
export const run = (
  program: string,
  options: { readonly env: Record<string, string>; readonly permissions: ReadonlyArray<string> }
): Effect.Effect<{ readonly stdout: string; readonly stderr: string }> =>
  Effect.promise(() => {
    const running = promisify(execFile)(
      executable,
      ["run", "--quiet", "--no-lock", "--ext=ts", ...options.permissions, "-"],
      {
        cwd: root,
        // Deno needs a place for its cache; nothing else of this process may reach the program.
        env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...options.env }
      }
    )
    running.child.stdin?.end(program)
    return running
  })
