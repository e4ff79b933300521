// The command line of the bench. Whatever it does not know is an error that says what it knows.
import { parseArgs } from "node:util"
import { type Id, ids, isLoss } from "./rows.ts"
import { type RuntimeName, runtimeNames } from "./runtime.ts"

export interface Options {
  readonly ids: ReadonlySet<Id>
  readonly runtimes: ReadonlyArray<RuntimeName>
  /** A file for the results as JSON. */
  readonly json: string | undefined
  /** Whether to print README's tables instead of the usual one. */
  readonly readme: boolean
}

const allowed = `Allowed are:
  --loss            the losses, instead of everything else
  --only ID         one row: ${ids.join(", ")}
  --runtime NAME    one runtime: ${runtimeNames.join(", ")}
  --json FILE       writes the results to a file
  --readme          prints the tables of README's "What it costs"`

/** Reads the command line. Throws an error that says what is wrong with it. */
export const parseOptions = (args: ReadonlyArray<string>): Options => {
  const { json, loss, only, readme, runtime } = parse(args)
  return {
    ids: new Set(only === undefined ? ids.filter((id) => isLoss(id) === loss) : [oneOf(ids, only, "row")]),
    runtimes: runtime === undefined ? runtimeNames : [oneOf(runtimeNames, runtime, "runtime")],
    json,
    readme
  }
}

const parse = (args: ReadonlyArray<string>) => {
  try {
    return parseArgs({
      args: [...args],
      options: {
        loss: { type: "boolean", default: false },
        only: { type: "string" },
        runtime: { type: "string" },
        json: { type: "string" },
        readme: { type: "boolean", default: false }
      }
    }).values
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error)
    throw new Error(`Cannot run the bench: ${problem}\n${allowed}`, { cause: error })
  }
}

const oneOf = <Name extends string>(names: ReadonlyArray<Name>, given: string, what: string): Name => {
  const name = names.find((name) => name === given)
  if (name === undefined) throw new Error(`Cannot run the bench: there is no ${what} "${given}"\n${allowed}`)
  return name
}
