// Programs of others that these tests talk with: built once, of sources that are pinned, and kept in the user's cache
// folder. What the tests say to them is in the tests.
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { run } from "../../../scripts/command.ts"

const here = import.meta.dirname
const cache = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "handspan-ci")

/** How long one build may take: of nothing, Jaeger takes two and a half minutes on two idle cores. */
export const buildMillis = 1_200_000

/** Python's packages, for `PYTHONPATH`. */
export const pythonPackages = () =>
  kept("python", [readFileSync(join(here, "requirements.txt"))], async (into) => {
    const flags = ["--quiet", "--disable-pip-version-check", "--no-deps"]
    await must("python3", ["-m", "pip", "install", ...flags, "--target", into, "-r", join(here, "requirements.txt")])
  })

/** A folder with the programs of this folder's Go module, `collector` and `gopeer`. */
export const goPrograms = () => {
  const sources = ["go.mod", "go.sum", "collector/main.go", "gopeer/main.go"]
  return kept(
    "go",
    sources.map((source) => readFileSync(join(here, source))),
    async (into) => void (await must("go", ["build", "-ldflags=-s -w", "-o", `${into}/`, "./..."], here))
  )
}

/** A folder with the program `jaeger`. Its own go.mod and go.sum say of what it is built. */
export const jaeger = () => {
  const version = "github.com/jaegertracing/jaeger@v1.76.0"
  return kept("jaeger", [version], async (into) => {
    const { Dir } = JSON.parse(await must("go", ["mod", "download", "-json", version]))
    await must("go", ["build", "-ldflags=-s -w", "-o", join(into, "jaeger"), "./cmd/all-in-one"], Dir)
  })
}

/** Builds what is not there yet, and tells how long that took. A test whose program cannot be built tries again, and fails. */
export const prepare = async (): Promise<void> => {
  for (const build of [pythonPackages, goPrograms, jaeger]) {
    const started = performance.now()
    const what = await build().catch(String)
    console.log(`${what} (${((performance.now() - started) / 1000).toFixed(1)} s)`)
  }
}

/** Builds into a folder of its own, which takes its place when it is whole. */
const kept = async (
  name: string,
  sources: ReadonlyArray<string | Uint8Array>,
  build: (into: string) => Promise<void>
): Promise<string> => {
  const hash = createHash("sha256")
  for (const source of sources) hash.update(source)
  const place = join(cache, `${name}-${hash.digest("hex").slice(0, 16)}`)
  if (existsSync(place)) return place
  mkdirSync(cache, { recursive: true })
  const fresh = mkdtempSync(`${place}-`)
  try {
    await build(fresh)
    // Somebody else may have built it by now.
    if (!existsSync(place)) renameSync(fresh, place)
    return place
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

const must = async (command: string, args: ReadonlyArray<string>, cwd = here): Promise<string> => {
  const { ok, output, stdout } = await run(command, args, { cwd, timeoutMillis: buildMillis })
  if (!ok) throw new Error(`Cannot run ${[command, ...args].join(" ")}: ${output}`)
  return stdout
}
