// How results are told: a table for people, and JSON for tools.
import type { Measurement } from "./cases/case.ts"
import { isLoss, isMet, rowOf } from "./rows.ts"
import type { RuntimeName } from "./runtime.ts"

/** What one row gave on one runtime. */
export interface Result extends Measurement {
  readonly runtime: RuntimeName
}

/** A number with about three digits, as many as these measurements are good for. */
export const formatNumber = (number: number): string => {
  const size = Math.abs(number)
  if (Number.isInteger(number) || size >= 1_000) return Math.round(number).toLocaleString("en-US")
  if (size >= 100) return number.toFixed(0)
  if (size >= 10) return number.toFixed(1)
  if (size >= 0.1) return number.toFixed(2)
  return number.toPrecision(2)
}

/** The bound of a row in words, with whether a number is within it. */
const formatGate = ({ handspan, id }: Measurement): string => {
  const { gate, reachFor } = rowOf(id)
  if (gate === undefined) return ""
  const ambition = reachFor === undefined ? "" : ` (reach for ${formatNumber(reachFor)})`
  return `${isMet(id, handspan) ? "pass" : "MISS"}: ${gate.bound} ${formatNumber(gate.value)}${ambition}`
}

/** Peers with their numbers, in the order in which they were measured. */
const formatPeers = (peers: Measurement["peers"]): string =>
  Object.entries(peers)
    .map(([name, number]) => `${name} ${formatNumber(number)}`)
    .join(", ")

/** Results as lines of aligned columns, remarks below theirs. */
export const renderTable = (results: ReadonlyArray<Result>): string => {
  const head = ["id", "runtime", "Handspan", "", "gate", "peers"]
  const lines = results.map((result) => {
    const { handspan, id, peers, runtime } = result
    return [id, runtime, formatNumber(handspan), rowOf(id).unit, formatGate(result), formatPeers(peers)]
  })
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column]?.length ?? 0)))
  const render = (line: ReadonlyArray<string>) =>
    line
      .map((cell, column) => (column === 2 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd()
  const rendered = results.flatMap(({ remark }, row) => {
    const line = render(lines[row] ?? [])
    return remark === undefined ? [line] : [line, `  ! ${remark}`]
  })
  return [render(head), ...rendered].join("\n")
}

/** What losses come to: the sum over all that was measured, and whether every ledger told the truth. */
export const renderLosses = (results: ReadonlyArray<Result>): string => {
  const losses = results.filter(({ id }) => isLoss(id))
  const lost = losses.reduce((sum, { handspan }) => sum + handspan, 0)
  const wrong = losses.filter(({ ledgerIsRight }) => ledgerIsRight === false).length
  const ledgers = wrong === 0 ? "every ledger matches its receiver" : `${wrong} ledgers do NOT match their receivers`
  return `Handspan lost ${lost.toLocaleString("en-US")} spans in ${losses.length} cases; ${ledgers}`
}

/** Results as a JSON array. */
export const renderJson = (results: ReadonlyArray<Result>): string =>
  JSON.stringify(
    results.map(({ handspan, id, peers, ratio, runtime }) => ({
      id,
      runtime,
      unit: rowOf(id).unit,
      handspan,
      peers,
      ratio
    })),
    null,
    2
  )
