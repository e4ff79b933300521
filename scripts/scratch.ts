// Folders for what a check writes on its way. They are gone when the check ends.
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Makes an empty folder outside the checkout. */
export const scratchFolder = (purpose: string): string => {
  const folder = mkdtempSync(join(tmpdir(), `handspan-${purpose}-`))
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }))
  return folder
}
