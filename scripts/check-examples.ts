// Runs every example as its reader would, and reads the trace that each prints with `--json`.
import { existsSync, readdirSync } from "node:fs"
import { run } from "./command.ts"
import { fromTests, type Outcome } from "./steps.ts"

/** Runs each example twice, plain and with `--json`, through the npm script of that name. */
export const checkExamples = async (script: "example" | "example:deno"): Promise<Outcome> => {
  const names = readdirSync("examples").filter((name) => existsSync(`examples/${name}/main.ts`))
  const faults: Array<string> = []
  for (const name of names) {
    for (const args of [[name], [name, "--json"]]) {
      const { ok, output, stdout } = await run(process.execPath, ["scripts/run.mjs", script, ...args], {
        timeoutMillis: 60_000
      })
      const problems = ok ? (args.length > 1 ? faultsInTrace(stdout) : []) : [output]
      if (problems.length > 0) faults.push(`npm run ${script} -- ${args.join(" ")}\n${problems.join("\n")}`)
    }
  }
  return fromTests(faults.length === 0, 2 * names.length - faults.length, faults.length, faults.join("\n"))
}

interface OtlpSpan {
  readonly name?: string
  readonly traceId?: string
  readonly spanId?: string
  readonly parentSpanId?: string
}

/** What keeps a text from being one OTLP JSON document that holds one whole trace. */
export const faultsInTrace = (text: string): ReadonlyArray<string> => {
  let spans: ReadonlyArray<OtlpSpan>
  try {
    const document: { resourceSpans: Array<{ scopeSpans: Array<{ spans: Array<OtlpSpan> }> }> } = JSON.parse(text)
    spans = document.resourceSpans.flatMap((resource) => resource.scopeSpans.flatMap((scope) => scope.spans))
  } catch (error) {
    return [
      `stdout must be one OTLP JSON document and nothing else: ${String(error)}. It begins: ${text.slice(0, 200)}`
    ]
  }
  if (spans.length === 0) return ["The trace must have a span: it has none"]

  const faults: Array<string> = []
  const spanIds = new Set(spans.map((span) => span.spanId))
  for (const { name, traceId, spanId, parentSpanId } of spans) {
    if (!isHexId(traceId, 32)) faults.push(`Span "${name}": traceId must be 32 hex digits: it is "${traceId}"`)
    if (!isHexId(spanId, 16)) faults.push(`Span "${name}": spanId must be 16 hex digits: it is "${spanId}"`)
    if (parentSpanId && !spanIds.has(parentSpanId)) faults.push(`Span "${name}": its parent ${parentSpanId} is missing`)
  }
  if (spanIds.size < spans.length) faults.push("Span ids must differ: two spans have the same")
  const traceIds = new Set(spans.map((span) => span.traceId))
  if (traceIds.size > 1) faults.push(`All spans must be of one trace: they are of ${[...traceIds].join(", ")}`)
  const roots = spans.filter((span) => !span.parentSpanId).map((span) => span.name)
  if (roots.length !== 1) faults.push(`The trace must have one root: it has ${roots.length} (${roots.join(", ")})`)
  return faults
}

const isHexId = (id: string | undefined, digits: number) =>
  id !== undefined && id.length === digits && /^[0-9a-f]+$/.test(id) && !/^0+$/.test(id)
