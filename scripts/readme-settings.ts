// Writes README's table of variables from the descriptions of Settings.table: `npm run readme`. A test holds them equal.
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { table } from "../src/SettingsTable.ts"
import { valueText } from "../src/SettingsText.ts"
import type { Row } from "../src/Variable.ts"

const begin = "<!-- Settings: written by `npm run readme` -->"
const end = "<!-- /Settings -->"

/** Gives a README with the table as it must be. */
export const withSettings = (readme: string): string => {
  const [before, rest] = halves(readme, begin)
  const [, after] = halves(rest, end)
  return `${before}${begin}\n\n${settingsTable()}\n\n${end}${after}`
}

const halves = (text: string, mark: string): readonly [string, string] => {
  const at = text.indexOf(mark)
  if (at < 0) throw new Error(`Cannot find where the table of settings stands: README.md needs a line ${mark}`)
  return [text.slice(0, at), text.slice(at + mark.length)]
}

const settingsTable = (): string =>
  [
    ["Variables", "What they set", "Value", "Default"],
    ["---", "---", "---", "---"],
    ...Object.values<Row<unknown>>(table).map(({ default: value, description, variables }) => [
      variables.map(({ key, name }) => `\`${name}\`${key === undefined ? "" : ` (\`${key}\`)`}`).join(", "),
      description,
      variables[0]?.parser.allowed ?? "",
      valueText(value) === "" ? "" : `\`${valueText(value)}\``
    ])
  ]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`)
    .join("\n")

const readmePath = fileURLToPath(new URL("../README.md", import.meta.url))
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(readmePath, withSettings(readFileSync(readmePath, "utf8")))
}
