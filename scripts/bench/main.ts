// `npm run bench`: what tracing costs with Handspan and with its peers, on Node and on Deno. Everything that is printed
// was measured in this run; what is compared took turns, so that the machine's other load hit all alike.
import { writeFileSync } from "node:fs"
import { cases } from "./cases/all.ts"
import { parseOptions, type Options } from "./options.ts"
import { renderReadme } from "./readme.ts"
import { ids as allIds, isLoss } from "./rows.ts"
import { type RuntimeName, runtimeNames } from "./runtime.ts"
import { renderJson, renderLosses, renderTable, type Result } from "./report.ts"

/** Measures what is asked for. A case that breaks is told, and costs no other its results. */
const measure = async ({ ids, runtimes }: Options): Promise<ReadonlyArray<Result>> => {
  const results: Array<Result> = []
  for (const { atOnce = false, ids: own, measure } of cases) {
    const wanted = new Set(own.filter((id) => ids.has(id)))
    if (wanted.size === 0) continue
    const measureOn = async (runtime: RuntimeName) => {
      process.stderr.write(`${[...wanted].join(", ")} on ${runtime}…\n`)
      try {
        for (const measurement of await measure(runtime, wanted)) results.push({ ...measurement, runtime })
      } catch (error) {
        fail(error)
      }
    }
    if (atOnce) await Promise.all(runtimes.map(measureOn))
    else for (const runtime of runtimes) await measureOn(runtime)
  }
  return results.toSorted((a, b) => place(a) - place(b))
}

const place = ({ id, runtime }: Result): number =>
  allIds.indexOf(id) * runtimeNames.length + runtimeNames.indexOf(runtime)

const fail = (error: unknown): void => {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}

try {
  const options = parseOptions(process.argv.slice(2))
  const results = await measure(options)
  console.log(options.readme ? renderReadme(results) : renderTable(results))
  if (!options.readme && results.some(({ id }) => isLoss(id))) console.log(renderLosses(results))
  if (options.json !== undefined) writeFileSync(options.json, `${renderJson(results)}\n`)
} catch (error) {
  fail(error)
}
