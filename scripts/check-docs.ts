// Keeps the sources readable: every export says what it is and since when, files stay short and begin by saying what
// lives in them. That examples in the docs are true is for `deno test --doc`.
import { globSync, readFileSync } from "node:fs"
import { relative } from "node:path"
import { fileURLToPath } from "node:url"
import { run } from "./command.ts"

const linesAimedAt = 400
const linesAllowed = 450

interface DenoDoc {
  readonly nodes: Readonly<Record<string, { readonly symbols: ReadonlyArray<DocumentedSymbol> }>>
}
interface DocumentedSymbol {
  readonly name: string
  readonly declarations: ReadonlyArray<{
    readonly kind: string
    readonly declarationKind: string
    readonly location: { readonly filename: string; readonly line: number }
    readonly jsDoc?: { readonly doc?: string; readonly tags?: ReadonlyArray<{ readonly kind: string }> }
  }>
}

/** Says what is missing in src, one line for each fault. */
export const checkDocs = async (): Promise<ReadonlyArray<string>> => {
  const paths = globSync("src/**/*.ts").toSorted()
  const { ok, output, stdout } = await run("deno", ["doc", "--json", "--quiet", "--no-lock", ...paths])
  if (!ok) return [output]
  const doc: DenoDoc = JSON.parse(stdout)
  return [
    ...paths.flatMap(faultsInFile),
    ...Object.values(doc.nodes).flatMap(({ symbols }) => symbols.flatMap(faultsInSymbol))
  ]
}

const faultsInFile = (path: string): ReadonlyArray<string> => {
  const text = readFileSync(path, "utf8")
  const lines = text.trimEnd().split("\n").length
  return [
    ...(lines > linesAllowed
      ? [`${path}: has ${lines} lines; aim at ${linesAimedAt}. Split it where it has two ideas`]
      : []),
    // A program begins with the line that names its runtime.
    ...(/^(#!.*\n)?\/[/*]/.test(text) ? [] : [`${path}:1: begins without a comment. Say what lives in this file`])
  ]
}

const faultsInSymbol = ({ declarations, name }: DocumentedSymbol): ReadonlyArray<string> => {
  // What is only passed on (`export * as Agent`, `export { make }`) is documented where it is made. Overloads, and a value
  // and type of one name, are one thing to the reader: one docstring serves.
  const exported = declarations.filter(
    ({ declarationKind, kind }) => declarationKind === "export" && kind !== "namespace" && kind !== "reference"
  )
  const first = exported[0]
  if (first === undefined) return []
  const at = `${relative(".", fileURLToPath(first.location.filename))}:${first.location.line + 1}`
  const docs = exported.flatMap((declaration) => declaration.jsDoc ?? [])
  if (!docs.some((doc) => doc.doc?.trim()))
    return [`${at}: ${name} has no docstring. Say in a sentence what it does, and for whom`]
  const hasSince = docs.some((doc) => doc.tags?.some((tag) => tag.kind === "since"))
  return hasSince ? [] : [`${at}: ${name} does not say @since which version it exists`]
}
