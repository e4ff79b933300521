// `npm test`: everything that must hold before a change is kept. Each step is one line of output.
// `npm run ok` adds the package that people will install; `npm run ok -- --package-only` is what it adds,
// and `npm run ok -- --only layers` a single step.
import { globSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { checkDocs } from "./check-docs.ts"
import { checkExamples } from "./check-examples.ts"
import { checkLayers } from "./check-layers.ts"
import { packageSteps } from "./check-package.ts"
import { run } from "./command.ts"
import { scratchFolder } from "./scratch.ts"
import { fromFaults, fromTests, runSteps, type Step } from "./steps.ts"
import { suite } from "./suite.ts"

const folders = ["src", "test", "examples", "scripts"]

const command = (name: string, args: readonly [string, ...Array<string>], remedy: string): Step => ({
  name,
  remedy,
  run: async () => {
    const { ok, output } = await run(args[0], args.slice(1))
    return fromFaults(ok ? [] : [output])
  }
})

const tool = (name: string, script: string, args: ReadonlyArray<string>, remedy: string) =>
  command(name, [process.execPath, `node_modules/${script}`, ...args], remedy)

const documentedExamples: Step = {
  name: "examples in docstrings and README",
  remedy: "Mend the example, or what it is about. A block that cannot run alone starts with ```ts ignore",
  run: async () => {
    const map = join(scratchFolder("docs"), "import-map.json")
    writeFileSync(map, JSON.stringify({ imports: packageNames() }))
    const { ok, output } = await run("deno", [
      "test",
      "-A",
      "--no-lock",
      `--import-map=${map}`,
      "--doc",
      "src",
      "README.md"
    ])
    const summary = /(\d+) passed(?: \(.*?\))? \| (\d+) failed/.exec(output)
    return fromTests(ok, Number(summary?.[1] ?? 0), Number(summary?.[2] ?? 0), output)
  }
}

const source = (path: string): string => pathToFileURL(resolve("src", path)).href

/** The package's own names, led to its sources: Deno checks the types of these, not of a dist outside of node_modules. */
const packageNames = (): Record<string, string> => {
  const modules = globSync("**/*.ts", { cwd: "src" }).map((path) => path.replaceAll("\\", "/"))
  return {
    handspan: source("index.ts"),
    "handspan/testing": source("Testing.ts"),
    ...Object.fromEntries(modules.map((path) => [`handspan/${path.slice(0, -".ts".length)}`, source(path)]))
  }
}

/** Long steps first, so that the two lanes end at about the same time. */
const sourceSteps: ReadonlyArray<Step> = [
  suite("tests on Node", [process.execPath], ["--typecheck"]),
  suite("tests on Deno", ["deno", "run", "-A", "--no-lock"]),
  {
    name: "examples on Node",
    remedy: "Run it alone with: npm run example -- NAME",
    run: () => checkExamples("example")
  },
  {
    name: "examples on Deno",
    remedy: "Run it alone with: npm run example:deno -- NAME. What it may do stands in its main.ts, after `// deno:`",
    run: () => checkExamples("example:deno")
  },
  documentedExamples,
  tool("types", "typescript/bin/tsc", ["--noEmit", "--pretty", "false"], "Mend the types; see npx tsc --noEmit"),
  command("types on Deno", ["deno", "check", "--quiet", "src"], "Mend the types; Deno's TypeScript must agree too"),
  tool(
    "lint",
    "oxlint/bin/oxlint",
    ["--config", "scripts/oxlint.json", "--type-aware", ...folders],
    "Mend the code. If a rule is wrong for this code base, turn it off in scripts/oxlint.json and say why"
  ),
  tool(
    "Effect habits",
    "@effect/tsgo/dist/effect-tsgo.cjs",
    ["diagnostics", "--project", "tsconfig.json", "--strict", "--severity", "error,warning", "--format", "text"],
    "Mend the code; the name of the rule explains itself"
  ),
  tool("format", "oxfmt/bin/oxfmt", ["--config", "scripts/oxfmt.json", "--check", ...folders], "npm run format"),
  {
    name: "layers",
    remedy: "The rows stand in scripts/check-layers.ts",
    run: async () => fromFaults(await checkLayers())
  },
  { name: "docs", remedy: "Write what is missing", run: async () => fromFaults(await checkDocs()) }
]

const allSteps = [...sourceSteps, ...packageSteps]

const only = (name: string): ReadonlyArray<Step> => {
  const steps = allSteps.filter((step) => step.name === name)
  if (steps.length > 0) return steps
  throw new Error(`No step is named "${name}". Steps: ${allSteps.map((step) => step.name).join(", ")}`)
}

const [task, option, name = ""] = process.argv.slice(2)
if (task === "test") await runSteps(sourceSteps)
else if (option === "--package-only") await runSteps(packageSteps)
else if (option === "--only") await runSteps(only(name))
else await runSteps(allSteps)
