// A program that is about to be gone when it has spans to send. How it ends, to whom, and with how many batches, are
// its arguments; it prints how many spans of each were taken.
import { writeSync } from "node:fs"
import { Effect } from "effect"
import * as OtlpHttp from "../../src/exporter/OtlpHttp.ts"
import * as SpanRecord from "../../src/SpanRecord.ts"
import { batchOf } from "../batches.ts"

const [how, url = "", batches = "1", certificate, timeoutMillis = "5000"] = process.argv.slice(2)

const exporter = await Effect.runPromise(
  OtlpHttp.make({
    url: new URL(url),
    headers: { "x-team": "photos" },
    timeout: "10 seconds",
    compression: "gzip",
    ...(certificate === undefined ? {} : { tls: { certificate } })
  })
)
const all = Array.from({ length: Number(batches) }, (_, n) =>
  batchOf(Array.from({ length: 1 + (n % 3) }, () => SpanRecord.make({ name: `batch ${n}` })))
)
const sendNow = () => writeSync(1, JSON.stringify(exporter.exportAtExit?.(all, Number(timeoutMillis))))

if (how === "Deno.exit") {
  const { Deno, addEventListener } = globalThis as unknown as {
    readonly Deno: { readonly exit: (code: number) => never }
    readonly addEventListener: (event: "unload", listener: () => void) => void
  }
  // `Deno.exit` has no event of Node's.
  addEventListener("unload", sendNow)
  Deno.exit(0)
}
process.on("exit", sendNow)
if (how === "process.exit") process.exit(0)
