// Runs the test suite, or a part of it, as one step.
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { run } from "./command.ts"
import { scratchFolder } from "./scratch.ts"
import { fromTests, type Step } from "./steps.ts"

/** A step that runs vitest by this command, such as `node`, and counts the tests by vitest's own report. */
export const suite = (
  name: string,
  runtime: readonly [command: string, ...args: Array<string>],
  vitestArgs: ReadonlyArray<string> = []
): Step => ({
  name,
  remedy: "Run one test file alone with: npm test -- test/NAME.test.ts",
  run: async () => {
    const report = join(scratchFolder("suite"), "report.json")
    const [command, ...args] = runtime
    const vitest = ["node_modules/vitest/vitest.mjs", "run", "--config", "scripts/vitest.config.ts"]
    const reporters = ["--reporter=dot", "--reporter=json", `--outputFile.json=${report}`]
    const { ok, output } = await run(command, [...args, ...vitest, ...reporters, ...vitestArgs])
    const { numFailedTests = 0, numPassedTests = 0 } = readReport(report)
    return fromTests(ok, numPassedTests, numFailedTests, output)
  }
})

/** A run that broke early has left no report: nothing in it was tested. */
const readReport = (file: string): { readonly numPassedTests?: number; readonly numFailedTests?: number } => {
  try {
    return JSON.parse(readFileSync(file, "utf8"))
  } catch {
    return {}
  }
}
