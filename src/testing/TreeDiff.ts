/**
 * Tells where a trace parts from what a test expected: the two trees side by side, with a mark at each difference and at
 * the first one above all.
 *
 * @since 0.1.0
 */
import * as Printable from "../analysis/Printable.ts"
import * as TraceTree from "../TraceTree.ts"
import type { Fault, Row } from "./TreeMatch.ts"

/**
 * Writes the failure text for rows of which some differ.
 *
 * **Details**: `-` is missing, `+` nobody expected, `~` differs in what stands below it; `>` is the first of them. What
 * is as expected is left out where it would only fill the page. Long values are cut to where they differ.
 *
 * @since 0.1.0
 */
export const render = (rows: ReadonlyArray<Row>, options: { readonly colors: boolean }): string => {
  const colors = Printable.palette(options.colors)
  const all = rows.reduce((sum, { differences }) => sum + differences, 0)
  const first = firstDifference(rows, [])
  const lines = layOut(rows, countRows(rows) > maxRows)
  const widest = Math.min(Printable.widest([expectedTitle, ...lines.map(({ left }) => left)]), maxColumns)
  let isFirst = true
  const body = lines.map((line) => {
    const pointer = line.sign !== " " && isFirst ? ">" : " "
    if (line.sign !== " ") isFirst = false
    const paint = paints[line.sign]
    const left = Printable.pad(Printable.truncate(line.left, maxColumns), widest)
    const right = Printable.truncate(line.right, maxColumns)
    return colors[paint](`${pointer}${line.sign} ${left}   ${right}`.trimEnd())
  })
  const count = all === 1 ? "1 difference" : `${all} differences, the first`
  return [
    `The trace is not as expected: ${count} at ${first.map((name) => Printable.truncate(name, maxNameColumns)).join(" › ")}`,
    "",
    colors.dim(`   ${Printable.pad(expectedTitle, widest)}   seen`),
    ...body
  ].join("\n")
}

const expectedTitle = "expected"
const maxColumns = 76
/** Above so many lines, what is as expected is folded. */
const maxRows = 40

type Sign = " " | "-" | "+" | "~"

const paints = { " ": "dim", "-": "red", "+": "green", "~": "yellow" } as const

interface Line {
  readonly sign: Sign
  readonly left: string
  readonly right: string
}

const nameOf = ({ expected, node }: Row): string =>
  node === undefined ? nameText(expected!.name) : Printable.safe(node.span.name)

const nameText = (name: string | RegExp): string => Printable.safe(String(name))

const firstDifference = (rows: ReadonlyArray<Row>, path: ReadonlyArray<string>): ReadonlyArray<string> => {
  const row = rows.find(({ differences }) => differences > 0)
  if (row === undefined) return path
  const here = [...path, nameOf(row)]
  const isHere = row.kind !== "matched" || row.faults.length > 0
  return isHere ? here : firstDifference(row.children, here)
}

const countRows = (rows: ReadonlyArray<Row>): number =>
  rows.reduce((count, row) => count + 1 + row.faults.length + countRows(row.children), 0)

/** The branches that lead to a row, of each of the two trees. */
interface Branches {
  readonly left: string
  readonly right: string
}

const layOut = (rows: ReadonlyArray<Row>, folds: boolean): ReadonlyArray<Line> => {
  const lines: Array<Line> = []
  const add = (rows: ReadonlyArray<Row>, outer: Branches, isRoot: boolean): void => {
    const lastLeft = rows.findLast(({ expected }) => expected !== undefined)
    const lastRight = rows.findLast(({ node }) => node !== undefined)
    for (const entry of foldRuns(rows, folds)) {
      if ("hidden" in entry) {
        const words = `… ${entry.hidden} ${entry.areExpected ? "as expected" : "allowed"}`
        const at = (outer: string) => (isRoot ? words : `${outer}│  ${words}`)
        lines.push({ sign: " ", left: entry.areExpected ? at(outer.left) : "", right: at(outer.right) })
        continue
      }
      const row = entry
      const { children, differences, faults, kind } = row
      const branch = (outer: string, last: Row | undefined): string =>
        isRoot ? "" : `${outer}${row === last ? "└─ " : "├─ "}`
      const inner = (outer: string, last: Row | undefined): string =>
        isRoot ? "" : `${outer}${row === last ? "   " : "│  "}`
      const next = { left: inner(outer.left, lastLeft), right: inner(outer.right, lastRight) }
      const isFolded = kind === "unclaimed" || kind === "allowed" || (folds && kind === "matched" && differences === 0)
      const hidden = isFolded ? spansBelow(row) : 0
      const more = hidden === 0 ? "" : ` … ${counted(hidden)} below`
      const [left, right] = namesOf(row)
      lines.push({
        sign: signOf(row),
        left: left === "" ? "" : `${branch(outer.left, lastLeft)}${left}${more}`,
        right: right === "" ? "" : `${branch(outer.right, lastRight)}${right}${more}`
      })
      const under = (inner: string) => `${inner}${children.length === 0 ? "   " : "│  "}`
      // Another name can be seen in the line itself.
      for (const fault of faults)
        if (fault.what !== "name") lines.push(faultLine(fault, under(next.left), under(next.right)))
      if (!isFolded) add(children, next, false)
    }
  }
  add(rows, { left: "", right: "" }, true)
  return lines
}

const spansBelow = ({ node }: Row): number => (node === undefined ? 0 : [...TraceTree.walk(node.children)].length)

const counted = (spans: number): string => (spans === 1 ? "1 span" : `${spans} spans`)

const signOf = ({ faults, kind }: Row): Sign => {
  if (kind === "missing") return "-"
  if (kind === "unclaimed") return "+"
  return faults.length > 0 ? "~" : " "
}

/** What stands on both sides, `""` where nothing does. Long names are cut to where they differ. */
const namesOf = ({ expected, isMisplaced, kind, node }: Row): readonly [string, string] => {
  const wanted = expected === undefined ? "" : nameText(expected.name)
  if (node === undefined) return [wanted, ""]
  const name = Printable.safe(node.span.name)
  const [left, right] = wanted === "" ? ["", name] : cutToDifference(wanted, name, maxNameColumns)
  const note = kind === "allowed" ? " (allowed)" : isMisplaced === true ? " (out of order)" : ""
  return [left, `${right} ${Printable.mark[Printable.outcome(node.span)]}${note}`]
}

const maxNameColumns = 60
/** So many siblings in a row that are as they may be are shown, where there are more. */
const maxRun = 5

interface Hidden {
  readonly hidden: number
  readonly areExpected: boolean
}

/** Leaves out the middle of long runs of rows without a difference. */
const foldRuns = (rows: ReadonlyArray<Row>, folds: boolean): ReadonlyArray<Row | Hidden> => {
  const entries: Array<Row | Hidden> = []
  let run: Array<Row> = []
  const close = (): void => {
    const mayFold = folds || run[0]?.kind === "allowed"
    const hidden = mayFold && run.length > maxRun + 1 ? run.length - maxRun : 0
    const stand = { hidden, areExpected: run[0]?.kind === "matched" }
    entries.push(...(hidden === 0 ? run : [...run.slice(0, 2), stand, ...run.slice(2 + hidden)]))
    run = []
  }
  for (const row of rows) {
    if (row.differences === 0) {
      if (run.length > 0 && run[0]?.kind !== row.kind) close()
      run.push(row)
      continue
    }
    close()
    entries.push(row)
  }
  close()
  return entries
}

const faultLine = ({ expected, seen, what }: Fault, left: string, right: string): Line => {
  const label = `${Printable.safe(what)}: `
  const room = maxColumns - Math.max(Printable.width(left), Printable.width(right)) - Printable.width(label)
  const [wanted, found] = cutToDifference(expected, seen, Math.max(room, 20))
  return { sign: " ", left: `${left}${label}${wanted}`, right: `${right}${label}${found}` }
}

/** Cuts two texts to the same part, where they begin to differ. */
const cutToDifference = (left: string, right: string, columns: number): readonly [string, string] => {
  if (Math.max(Printable.width(left), Printable.width(right)) <= columns) return [left, right]
  let same = 0
  while (same < left.length && left[same] === right[same]) same++
  // With some of what they share before it, so that the eye finds the place.
  const from = same < columns / 2 ? 0 : same - Math.floor(columns / 3)
  const cut = (text: string): string =>
    Printable.truncate(from === 0 ? text : `…${text.slice(from).replace(/^[\udc00-\udfff]/, "")}`, columns)
  return [cut(left), cut(right)]
}
