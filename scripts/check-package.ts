// The package that people will install: packed, looked at from outside, and used in an empty project.
import { copyFileSync, readFileSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { run } from "./command.ts"
import { scratchFolder } from "./scratch.ts"
import { fromFaults, type Outcome, type Step } from "./steps.ts"

const spanNames = ["pipeline.welcome", "agent_handoff.greeter", "agent_handoff.shouter"]

let packing: Promise<string> | undefined

/** Packs once, by the `prepack` script as for a release, and gives the path of the tarball to all who ask. */
const tarball = () => (packing ??= pack())

const pack = async () => {
  const folder = scratchFolder("pack")
  const { ok, output } = await run("npm", ["pack", "--loglevel=error", "--pack-destination", folder])
  const file = readdirSync(folder)[0]
  if (!ok || file === undefined) throw new Error(`Cannot pack the package:\n${output}`)
  return join(folder, file)
}

const tool = async (script: string, args: ReadonlyArray<string>): Promise<Outcome> => {
  const { ok, output } = await run(process.execPath, [`node_modules/${script}`, ...args])
  return fromFaults(ok ? [] : [output])
}

/** Installs the tarball as a user does, with the Effect that the lockfile names, and uses it. */
const useInEmptyProject = async (): Promise<Outcome> => {
  const project = scratchFolder("consumer")
  copyFileSync("scripts/consumer/main.ts", join(project, "main.ts"))
  writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }))
  // Without skipLibCheck and without @types/node: our declarations have to stand alone.
  const compilerOptions = { strict: true, module: "nodenext", target: "es2024", lib: ["es2024", "dom"], types: [] }
  writeFileSync(
    join(project, "tsconfig.json"),
    JSON.stringify({ compilerOptions: { ...compilerOptions, noEmit: true } })
  )

  const { version } = JSON.parse(readFileSync("node_modules/effect/package.json", "utf8"))
  const packages = [await tarball(), `effect@${version}`]
  const install = ["install", "--loglevel=error", "--no-audit", "--no-fund", "--prefer-offline", ...packages]
  const installed = await run("npm", install, { cwd: project })
  if (!installed.ok) return fromFaults([`Cannot install the package:\n${installed.output}`])

  const typed = await run(process.execPath, ["node_modules/typescript/bin/tsc", "--project", project])
  const onNode = await run(process.execPath, ["main.ts"], { cwd: project })
  const onDeno = await run("deno", ["run", "--no-prompt", "--no-lock", "--allow-env", "main.ts"], { cwd: project })
  return fromFaults([
    ...(typed.ok ? [] : [`The declarations do not check:\n${typed.output}`]),
    ...missingSpans("Node", onNode),
    ...missingSpans("Deno", onDeno)
  ])
}

const missingSpans = (runtime: string, { ok, output }: { readonly ok: boolean; readonly output: string }) => {
  const missing = spanNames.filter((name) => !output.includes(name))
  return ok && missing.length === 0 ? [] : [`On ${runtime}, spans ${missing.join(", ")} are missing in:\n${output}`]
}

/** What `npm run ok` adds to `npm test`. */
export const packageSteps: ReadonlyArray<Step> = [
  {
    name: "package in an empty project",
    remedy: "The program is scripts/consumer/main.ts",
    run: useInEmptyProject
  },
  {
    name: "package as a registry sees it",
    remedy: "See the rule at publint.dev/rules",
    run: async () => tool("publint/src/cli.js", ["run", await tarball(), "--strict"])
  },
  {
    name: "package types for every resolution",
    remedy: "Mend `exports` in package.json",
    run: async () => tool("@arethetypeswrong/cli/dist/index.js", [await tarball(), "--profile", "esm-only"])
  },
  {
    name: "nothing unused",
    remedy: "Remove it, or name it in scripts/knip.jsonc and say why",
    run: () => tool("knip/bin/knip.js", ["--config", "scripts/knip.jsonc", "--no-progress"])
  }
]
