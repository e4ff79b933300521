// Adds to package-lock.json what npm left out: binaries for other platforms that the registry at hand does not hold.
// `npm ci` refuses a lockfile that does not name every optional dependency, on every platform. Run it after each change
// of dependencies: `npm run lockfile`. Plain JavaScript, since nothing may be installed yet.
import { readFileSync, writeFileSync } from "node:fs"

const file = new URL("../package-lock.json", import.meta.url)
const lock = JSON.parse(readFileSync(file, "utf8"))

const systems = ["aix", "android", "darwin", "freebsd", "linux", "openharmony", "sunos", "win32"]
const processors = ["arm", "arm64", "ia32", "loong64", "ppc64", "riscv64", "s390x", "x64"]

/** What npm writes of a binary, read from its name: platforms are all that these names say. */
function binary(/** @type {string} */ name, /** @type {string} */ version) {
  const words = name.split(/[-/]/)
  const os = systems.filter((system) => words.includes(system))
  const cpu = processors.filter((processor) => words.includes(processor))
  if (os.length === 0 || cpu.length === 0 || !/^\d/.test(version)) {
    throw new Error(`Cannot complete the lockfile: "${name}@${version}" names no platform or no exact version`)
  }
  const libc = words.includes("musl")
    ? ["musl"]
    : os.includes("linux") && /gnu|glibc/.test(name)
      ? ["glibc"]
      : undefined
  // Everything that brings binaries here is a tool of development.
  return { version, cpu, dev: true, ...(libc === undefined ? {} : { libc }), optional: true, os }
}

/** Whether npm installs what the package at a path asks for, beside it or further up. */
function isLocked(/** @type {string} */ path, /** @type {string} */ name) {
  const parents = path === "" ? [] : path.split("/node_modules/")
  return (
    `node_modules/${name}` in lock.packages ||
    parents.some((_, index) => [...parents.slice(0, index + 1), name].join("/node_modules/") in lock.packages)
  )
}

const added = []
for (const [path, { optionalDependencies = {} }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    if (isLocked(path, name)) continue
    lock.packages[`node_modules/${name}`] = binary(name, version)
    added.push(name)
  }
}

// In npm's own order, so that npm leaves the file alone.
const entries = Object.entries(lock.packages).toSorted(([a], [b]) => a.localeCompare(b, "en"))
lock.packages = Object.fromEntries(entries)
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
console.error(added.length === 0 ? "The lockfile is complete" : `Added ${added.length} binaries: ${added.join(", ")}`)
