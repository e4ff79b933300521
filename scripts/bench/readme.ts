// The tables of README's "What it costs", as they were measured in this run.
import { formatNumber, type Result } from "./report.ts"
import { type Id, ids, isLoss, rowOf } from "./rows.ts"
import { type RuntimeName, runtimeNames } from "./runtime.ts"

const columns: Record<RuntimeName, string> = { node: "Node", deno: "Deno" }

/** Results as Markdown: what tracing costs, and what is lost. */
export const renderReadme = (results: ReadonlyArray<Result>): string =>
  [table("What it costs", results, (id) => !isLoss(id)), table("What is lost", results, isLoss)]
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join("\n"))
    .join("\n\n")

const table = (title: string, results: ReadonlyArray<Result>, belongs: (id: Id) => boolean): ReadonlyArray<string> => {
  const measured = ids.filter((id) => belongs(id) && results.some((result) => result.id === id))
  if (measured.length === 0) return []
  const runtimes = runtimeNames.filter((name) => results.some(({ runtime }) => runtime === name))
  const of = (id: Id, runtime: RuntimeName) => results.find((result) => result.id === id && result.runtime === runtime)
  const head = [
    title,
    ...runtimes.map((name) => columns[name]),
    "unit",
    "bound",
    `peers (${runtimes.map((name) => columns[name]).join(" / ")})`
  ]
  const rows = measured.map((id) => {
    const { gate, unit, what } = rowOf(id)
    const found = runtimes.map((runtime) => of(id, runtime))
    const bound = gate === undefined ? "" : `${gate.bound} ${formatNumber(gate.value)}`
    return [what].concat(
      found.map((result) => number(result?.handspan)),
      [unit, bound, peers(found)]
    )
  })
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`)
}

const number = (value: number | undefined): string => (value === undefined ? "" : formatNumber(value))

const peers = (found: ReadonlyArray<Result | undefined>): string => {
  const names = new Set(found.flatMap((result) => Object.keys(result?.peers ?? {})))
  return [...names]
    .map((name) => `${name} ${found.map((result) => number(result?.peers[name])).join(" / ")}`)
    .join(", ")
}
