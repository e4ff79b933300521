// A program that exports once, does not shut its exporter down, and has nothing left to do.
import { Effect } from "effect"
import * as OtlpHttp from "../../src/exporter/OtlpHttp.ts"
import * as SpanRecord from "../../src/SpanRecord.ts"
import { batchOf } from "../batches.ts"

const [url = ""] = process.argv.slice(2)
const exporter = await Effect.runPromise(
  OtlpHttp.make({ url: new URL(url), headers: {}, timeout: "10 seconds", compression: "none" })
)
await Effect.runPromise(exporter.export(batchOf([SpanRecord.make({ name: "idle" })])))
