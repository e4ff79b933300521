// Runs a list of checks, two at a time, and reports one line for each: how `npm test` and `npm run ok` look.

/** What one step found. Steps that run tests count those; any other step counts itself. */
export interface Outcome {
  readonly passed: number
  readonly failed: number
  /** What a person needs to see when it failed. */
  readonly output: string
}

/** A check with a name, and what to do when it fails. */
export interface Step {
  readonly name: string
  readonly remedy: string
  readonly run: () => Promise<Outcome>
}

/** The outcome of a check that lists what is wrong. */
export const fromFaults = (faults: ReadonlyArray<string>): Outcome =>
  faults.length === 0 ? { passed: 1, failed: 0, output: "" } : { passed: 0, failed: 1, output: faults.join("\n") }

/** The outcome of a run of tests. One that failed without a failing test still failed, and so did one without tests. */
export const fromTests = (ok: boolean, passed: number, failed: number, output: string): Outcome => {
  if (passed + failed === 0) return { passed: 0, failed: 1, output: `${output}\nNo tests were found` }
  return { passed, failed: ok ? failed : Math.max(failed, 1), output }
}

/** Runs all steps, also after a failure, and ends the process. The last line is `N passed, N failed`. */
export const runSteps = async (steps: ReadonlyArray<Step>): Promise<void> => {
  const started = performance.now()
  const waiting = [...steps]
  const total = { passed: 0, failed: 0 }
  const worker = async () => {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      const { passed, failed } = await report(step)
      total.passed += passed
      total.failed += failed
    }
  }
  await Promise.all([worker(), worker()])
  console.log(`\n${secondsSince(started)} s in all\n${total.passed} passed, ${total.failed} failed`)
  process.exitCode = total.failed === 0 ? 0 : 1
}

const report = async (step: Step) => {
  const started = performance.now()
  const { passed, failed, output } = await step.run().catch((error: unknown) => fromFaults([String(error)]))
  const tests = passed + failed > 1 ? `, ${passed} passed${failed > 0 ? `, ${failed} failed` : ""}` : ""
  console.log(`${failed === 0 ? "ok  " : "FAIL"} ${step.name} ${secondsSince(started)} s${tests}`)
  if (failed > 0) console.log(`${output.replaceAll(/^/gm, "  ")}\n  -> ${step.remedy}`)
  return { passed, failed }
}

const secondsSince = (start: number) => ((performance.now() - start) / 1000).toFixed(1)
