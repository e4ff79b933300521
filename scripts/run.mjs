// Runs every task of this repository: `node scripts/run.mjs <task> [arguments]`, which the npm scripts call.
//
// Plain JavaScript, because it has to run on whatever Node (>= 20) is there, before anything is installed. It installs the
// locked dependencies when they are missing, finds the Node 24 and Deno 2.9 that come with them, builds `dist` when `src`
// has changed, and hands over. Everything it says goes to stderr: stdout belongs to the task.

import { spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const inRoot = (/** @type {string[]} */ ...path) => join(root, ...path)
const vitest = ["node_modules/vitest/vitest.mjs", "run", "--config", "scripts/vitest.config.ts"]
const oxfmt = ["node_modules/oxfmt/bin/oxfmt", "--config", "scripts/oxfmt.json"]
const denoFlags = ["--quiet", "--no-prompt", "--no-lock"]
const isTypeTest = (/** @type {string} */ arg) => arg.includes(".test-d")

/**
 * What each task hands over to: a runtime and its arguments, or nothing when all is done once dist is built. A task may
 * have dependencies of its own, in a folder with a package.json.
 * @typedef {{ runtime: "node" | "deno", args: string[], alsoDeno?: boolean, alsoInstall?: string[] }} Plan
 * @type {Record<string, (args: string[]) => Plan | undefined>}
 */
const tasks = {
  start: (args) => tasks.example(["photo-agency", ...args]),
  // Some examples have parts on the other runtime.
  example: ([name, ...args]) => ({ runtime: "node", args: [exampleFile(name), ...args], alsoDeno: true }),
  "example:deno": ([name, ...args]) => {
    const file = exampleFile(name)
    return { runtime: "deno", args: ["run", ...denoFlags, ...denoPermissions(file), file, ...args] }
  },
  test: (args) =>
    args.length === 0
      ? { runtime: "node", args: ["scripts/check.ts", "test"], alsoDeno: true }
      : {
          runtime: "node",
          args: [...vitest, ...(args.some(isTypeTest) ? ["--typecheck"] : []), ...args],
          alsoDeno: true
        },
  ok: (args) => ({ runtime: "node", args: ["scripts/check.ts", "ok", ...args], alsoDeno: true }),
  "ci-only": () => ({ runtime: "node", args: ["scripts/ci-only.ts"], alsoDeno: true }),
  bench: (args) => ({
    runtime: "node",
    args: ["scripts/bench/main.ts", ...args],
    alsoDeno: true,
    alsoInstall: ["scripts", "bench"]
  }),
  "bench:deno": (args) => tasks.bench(["--runtime", "deno", ...args]),
  format: () => ({ runtime: "node", args: [...oxfmt, "src", "test", "examples", "scripts"] }),
  readme: () => ({ runtime: "node", args: ["scripts/readme-settings.ts"] }),
  build: () => undefined
}

const [taskName = "", ...taskArguments] = process.argv.slice(2)
const task = tasks[taskName]
if (task === undefined) fail(`Unknown task "${taskName}". Tasks: ${Object.keys(tasks).join(", ")}`)

process.chdir(root)
installDependencies(root)
const plan = task(taskArguments)
if (plan?.alsoInstall !== undefined) installDependencies(inRoot(...plan.alsoInstall))
const node = findNode()
const deno = plan?.runtime === "deno" || plan?.alsoDeno ? findDeno() : undefined
buildPackage()
if (plan !== undefined) handOver(plan.runtime === "deno" && deno !== undefined ? deno : node, plan.args)

/** @returns {never} */
function fail(/** @type {string} */ message) {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

function say(/** @type {string} */ line) {
  process.stderr.write(`${line}\n`)
}

function installDependencies(/** @type {string} */ folder) {
  if (dependenciesAreInstalled(folder)) return
  say("Installing dependencies (once)…")
  // `npm run` tells where the npm is that runs us; asked directly, npm is on the PATH.
  const npmCli = process.env.npm_execpath?.endsWith("npm-cli.js") ? process.env.npm_execpath : undefined
  const [command, ...first] = npmCli === undefined ? ["npm"] : [process.execPath, npmCli]
  const flags = "--no-json --loglevel=error --include=dev --include=optional --no-audit --no-fund"
  const args = [...first, "ci", ...flags.split(" ")]
  const result = spawnSync(command, args, {
    cwd: folder,
    encoding: "utf8",
    shell: command === "npm" && process.platform === "win32"
  })
  if (result.error !== undefined) fail(`Cannot start npm: ${result.error.message}. Install npm, or put it on the PATH`)
  if (result.status !== 0)
    fail(`${result.stdout}${result.stderr}\nCannot install the dependencies: see npm's output above`)
}

/** Compares what npm wrote down after installing with the lockfile: right also when npm was run by hand, or was interrupted. */
function dependenciesAreInstalled(/** @type {string} */ folder) {
  const installedFile = join(folder, "node_modules", ".package-lock.json")
  if (!existsSync(installedFile)) return false
  const installed = JSON.parse(readFileSync(installedFile, "utf8")).packages
  const locked = JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8")).packages
  return Object.entries(locked).every(([path, wanted]) => {
    if (path === "") return true
    const found = installed[path]
    // Optional packages of other platforms stay away.
    if (found === undefined) return wanted.optional === true || wanted.devOptional === true || wanted.peer === true
    return found.version === wanted.version && found.integrity === wanted.integrity
  })
}

function findNode() {
  const platform = `${process.platform === "win32" ? "win" : process.platform}-${process.arch}`
  const file = process.platform === "win32" ? "node.exe" : "node"
  const found = firstThatRuns([
    fromToolchain(`node-${platform}`, join("bin", file)),
    fromToolchain(`node-bin-${platform}`, join("bin", file)),
    Number.parseInt(process.versions.node, 10) >= 24 ? process.execPath : undefined
  ])
  return (
    found ?? fail(`Cannot find Node 24 for ${process.platform} ${process.arch}. Install Node 24 and run this again`)
  )
}

function findDeno() {
  const file = process.platform === "win32" ? "deno.exe" : "deno"
  const libc = process.platform === "linux" ? "-glibc" : ""
  const found = firstThatRuns([fromToolchain(`@deno/${process.platform}-${process.arch}${libc}`, file), file])
  return (
    found ?? fail(`Cannot find Deno for ${process.platform} ${process.arch}. Install Deno 2.9 and put it on the PATH`)
  )
}

/** The file of a package that scripts/toolchain/package.json brings, if it is one of this platform. */
function fromToolchain(/** @type {string} */ packageName, /** @type {string} */ file) {
  try {
    const require = createRequire(inRoot("scripts", "toolchain", "package.json"))
    return join(dirname(require.resolve(`${packageName}/package.json`)), file)
  } catch {
    return undefined
  }
}

/** Being there is not enough: a glibc binary does not start on Alpine. */
function firstThatRuns(/** @type {(string | undefined)[]} */ candidates) {
  return candidates.find(
    (file) => file !== undefined && spawnSync(file, ["--version"], { stdio: "ignore" }).status === 0
  )
}

/**
 * Compiles src to dist when a source file has changed. Without checking types, so that an example runs while another file
 * is half written; types are a step of `npm test`. A new dist replaces the old one whole: a program that is running, or
 * a second task that builds at the same time, never sees half of one.
 */
function buildPackage() {
  const sources = readdirSync(inRoot("src"), { recursive: true, encoding: "utf8" }).toSorted()
  const inputs = [
    ...sources.map((path) => join("src", path)),
    "tsconfig.json",
    "scripts/tsconfig.build.json",
    "node_modules/typescript/package.json"
  ]
  const stamps = inputs.map((path) => {
    const stat = statSync(inRoot(path), { throwIfNoEntry: false })
    return [path, stat?.size, stat?.mtimeMs]
  })
  const fingerprint = createHash("sha256").update(JSON.stringify(stamps)).digest("hex")
  const fingerprintFile = inRoot("node_modules", ".cache", "handspan", "dist-fingerprint")
  const built = existsSync(inRoot("dist", "index.js")) && existsSync(fingerprintFile)
  if (built && readFileSync(fingerprintFile, "utf8") === fingerprint) return

  const fresh = inRoot(`.dist-${process.pid}`)
  const tsc = spawnSync(
    node,
    ["node_modules/typescript/bin/tsc", "--project", "scripts/tsconfig.build.json", "--noCheck", "--outDir", fresh],
    { cwd: root, encoding: "utf8" }
  )
  if (tsc.status !== 0) {
    rmSync(fresh, { recursive: true, force: true })
    fail(`${tsc.stdout}${tsc.stderr}\nCannot build dist: src has the syntax errors above`)
  }
  const old = inRoot(`.dist-old-${process.pid}`)
  if (existsSync(inRoot("dist"))) renameSync(inRoot("dist"), old)
  renameSync(fresh, inRoot("dist"))
  rmSync(old, { recursive: true, force: true })
  mkdirSync(dirname(fingerprintFile), { recursive: true })
  writeFileSync(fingerprintFile, fingerprint)
}

/** @returns {string} */
function exampleFile(/** @type {string | undefined} */ name) {
  const file = `examples/${name}/main.ts`
  if (name !== undefined && existsSync(inRoot(file))) return file
  const names = readdirSync(inRoot("examples")).filter((folder) => existsSync(inRoot("examples", folder, "main.ts")))
  const problem = name === undefined ? "Which example?" : `There is no example "${name}".`
  return fail(`${problem} Examples: ${names.join(", ")}\nRun one with: npm run example -- ${names[0]}`)
}

/** An example states what it needs from Deno in a comment near its top: `// deno: --allow-read=examples --allow-env`. */
function denoPermissions(/** @type {string} */ file) {
  const line = readFileSync(inRoot(file), "utf8")
    .split("\n", 30)
    .find((text) => text.startsWith("// deno:"))
  return line === undefined
    ? []
    : line
        .slice("// deno:".length)
        .trim()
        .split(/\s+/)
        .filter((flag) => flag !== "")
}

function handOver(/** @type {string} */ command, /** @type {string[]} */ args) {
  const folders = [dirname(node), ...(deno === undefined || dirname(deno) === "." ? [] : [dirname(deno)])]
  const env = { ...process.env, PATH: [...folders, process.env.PATH].join(delimiter) }
  // Node 24 calls node:sqlite experimental on stderr, at each start; whoever runs an example can do nothing about it.
  const flags = command === node ? ["--disable-warning=ExperimentalWarning"] : []
  const child = spawn(command, [...flags, ...args], { cwd: root, env, stdio: "inherit" })
  // A terminal sends Ctrl-C to the child as well; a second one would read as "now, not later". Without one, we pass it on.
  process.on("SIGINT", () => process.stdin.isTTY || child.kill("SIGINT"))
  process.on("SIGTERM", () => child.kill("SIGTERM"))
  child.on("error", (error) => fail(`Cannot start ${command}: ${error.message}`))
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}
