// Keeps the house in order: which module may import which, what of Effect it may use, and who touches the outside world.
import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { run } from "./command.ts"
import { scratchFolder } from "./scratch.ts"

type Side = "values" | "recording" | "authoring" | "assembly"

/** The table. An entry names a file of src without `.ts`, or all of a folder by its path and a slash. */
const rows: ReadonlyArray<readonly [row: number, side: Side, modules: ReadonlyArray<string>]> = [
  [12, "assembly", ["cli/", "index", "Testing"]],
  [11, "assembly", ["Tracing", "testing/"]],
  [10, "assembly", ["Recording"]],
  [9, "recording", ["collector/Collector", "collector/Viewer", "viewer/"]],
  [9, "authoring", ["Gateway", "Bridge", "bus/"]],
  [8, "recording", ["Delivery", "exporter/Console", "collector/SqliteStore", "TailSampling", "AsyncContext"]],
  [8, "authoring", ["Pipeline", "EventBus", "ActionBroker", "Subprocess", "Durable", "Mcp"]],
  [
    7,
    "recording",
    [
      "Recorder",
      "SpanQueue",
      "SpoolHealth",
      "GuardedExporter",
      "DeliveryMetrics",
      "TailSampler",
      "SettingsText",
      "Correlation",
      "exporter/",
      "SamplingFile"
    ]
  ],
  [
    7,
    "authoring",
    [
      "Agent",
      "Stage",
      "Instrument",
      "Model",
      "Http",
      "Rpc",
      "Grpc",
      "Worker",
      "McpTransport",
      "JsonLines",
      "Sql",
      "Redis",
      "DurableRun"
    ]
  ],
  [
    6,
    "recording",
    [
      "Exporter",
      "Spool",
      "RecorderSpan",
      "UnsampledSpan",
      "HeadSampling",
      "analysis/",
      "collector/TraceStore",
      "Sampling"
    ]
  ],
  [6, "authoring", ["Envelope", "Handoff", "DatabaseSpan", "HttpSpan", "McpSpan", "Connection", "EnvironmentCarrier"]],
  [
    5,
    "recording",
    ["OtlpProtobuf", "SpoolSegment", "SpanTrace", "SpanValues", "PendingSpans", "Settings", "TailReport"]
  ],
  [5, "authoring", ["HandoffSpan", "Propagator", "Exchange"]],
  [4, "recording", ["TailOptions", "TailTraceState", "HeldSpans", "SpanBuffer", "SettingsTable"]],
  [4, "authoring", ["HandoffMetrics", "HandoffContent"]],
  [
    3,
    "recording",
    [
      "Redaction",
      "SamplingRules",
      "Enablement",
      "SpanEncoder",
      "SpanDecoder",
      "SpanIds",
      "DropWarnings",
      "TailJury",
      "TailRulesText",
      "OtlpSettings"
    ]
  ],
  [
    2,
    "recording",
    [
      "RedactionNames",
      "RedactionKeys",
      "RedactionShapes",
      "Sampler",
      "TailRules",
      "OtlpEndpoint",
      "TraceTree",
      "OtlpJson",
      "EncodableSpan",
      "ProtobufReader",
      "Backoff",
      "BackgroundClock",
      "StackBudget",
      "SpoolMachine",
      "ProcessExit"
    ]
  ],
  [3, "authoring", ["QuietTracer"]],
  [2, "authoring", ["OpenSpan", "SqlText", "RedisText", "DriverView", "TopicQueues"]],
  [3, "values", ["PropagationFormat"]],
  [2, "values", ["SpanEnd", "TimeVariable", "ForeignCall", "B3", "DerivedIds", "PassedSpan"]],
  [
    1,
    "recording",
    [
      "RedactionRules",
      "RedactionText",
      "RedactionWords",
      "RedactionMemory",
      "NamePattern",
      "QuotedText",
      "RecentDurations",
      "SettingsProfiles"
    ]
  ],
  [0, "values", ["JsonText", "DurationInput"]],
  [
    1,
    "values",
    [
      "SpanRecord",
      "TraceContext",
      "Conventions",
      "Variable",
      "Excerpt",
      "Spelling",
      "Ledger",
      "Work",
      "Backpressure",
      "ProtobufWriter",
      "Hex",
      "OtelTraceState",
      "OwnIds",
      "OwnShare",
      "TracerView",
      "Content",
      "Version"
    ]
  ]
]

/** Edge files may use what Effect calls unstable: it is their work to follow it when it changes. */
const edges = [
  "bus/",
  "cli/",
  "collector/",
  "exporter/",
  "Http",
  "HttpSpan",
  "Rpc",
  "Worker",
  "Mcp",
  "Durable",
  "Sql",
  "Redis",
  "testing/"
]
/** Files that stand on what Node and Deno bring (`node:` modules, `process`, `Deno`). The others run anywhere. */
const onRuntime = [
  "cli/",
  "collector/",
  "exporter/",
  "Spool",
  "SpoolMachine",
  "SpoolSegment",
  "ProcessExit",
  "SamplingFile",
  "Worker",
  "ForeignCall",
  "Redis",
  "Subprocess",
  "EnvironmentCarrier",
  "testing/"
]
/**
 * exporter/Otlp reads none: it hides the environment from the exporters it makes, which would read it. testing/Collect
 * and Subprocess hand it on to the processes that they start; EnvironmentCarrier reads the trace that a process was started with.
 */
const readsEnvironment = ["Settings", "exporter/Otlp", "testing/Collect", "Subprocess", "EnvironmentCarrier"]
const writesToTerminal = ["cli/", "exporter/Console"]

/** One import, as a person wrote it. `names` are what it takes from `effect` itself, where each name is a module. */
export interface Import {
  readonly line: number
  readonly specifier: string
  /** The module of src it leads to, when it leads to one. */
  readonly module?: string
  readonly names?: ReadonlyArray<string>
}

/** A file of src: its name there without `.ts`, its text and its imports. */
export interface SourceFile {
  readonly module: string
  readonly text: string
  readonly imports: ReadonlyArray<Import>
}

/** Says what is wrong with src, one line for each fault. */
export const checkLayers = async (): Promise<ReadonlyArray<string>> => faultsInLayers(await readGraph(), isStableEffect)

/** Says what is wrong with these files: a pure function, so that it can be tested on small houses. */
export const faultsInLayers = (
  files: ReadonlyArray<SourceFile>,
  isStable: (effectModule: string) => boolean
): ReadonlyArray<string> => [...files.flatMap((file) => faultsIn(file, isStable)), ...circles(files)]

const faultsIn = (file: SourceFile, isStable: (effectModule: string) => boolean): ReadonlyArray<string> => {
  const from = place(file.module)
  const path = `src/${file.module}.ts`
  if (from === undefined) return [`${path}: is not in the table. Add it to the rows in scripts/check-layers.ts`]
  const faults: Array<string> = []
  const fault = (line: number, text: string) => faults.push(`${path}:${line}: ${text}`)

  for (const { line, module, names = [], specifier } of file.imports) {
    const to = module === undefined ? undefined : place(module)
    if (to !== undefined && module !== undefined) {
      const siblings = folder(module) !== "" && folder(module) === folder(file.module)
      if (to.row > from.row || (to.row === from.row && !siblings)) {
        fault(
          line,
          `row ${from.row} must import from rows below: ${module} is in row ${to.row}. Move what both need down`
        )
      }
      const crossing = `${from.side} to ${to.side}`
      if (crossing === "authoring to recording" || crossing === "recording to authoring") {
        fault(line, `${from.side} must not import ${to.side}: ${module}. Let the two meet in a value`)
      }
    }
    if (specifier.startsWith("node:") && !isIn(onRuntime, file.module)) {
      fault(line, `must run on any runtime: it imports "${specifier}". Take a service, or do it in an edge file`)
    }
    const effectModules = specifier === "effect" ? names : specifier.startsWith("effect/") ? [specifier.slice(7)] : []
    for (const name of effectModules) {
      if (!isIn(edges, file.module) && !isStable(name)) {
        fault(line, `must use stable Effect modules only: ${name} is not. Use it in an edge file and pass a value`)
      }
      if (["Config", "ConfigProvider"].includes(name) && !isIn(readsEnvironment, file.module)) {
        fault(line, `only Settings reads the environment: it imports ${name}. Take the value as an option`)
      }
      if (name === "Console" && !isIn(writesToTerminal, file.module)) {
        fault(line, "only exporter/Console and cli write to the terminal: it imports Console. Use Effect.log")
      }
    }
  }

  for (const [index, line] of file.text.split("\n").entries()) {
    if (/^\s*(\/?\*|\/\/)/.test(line)) continue
    if (/\b(process|Deno)\??\.env\b/.test(line)) {
      if (!isIn(readsEnvironment, file.module))
        fault(index + 1, "only Settings reads the environment. Take the value as an option")
    } else if (/\b(process|Deno)\??\.\w/.test(line) && !isIn(onRuntime, file.module)) {
      fault(index + 1, "must run on any runtime: it uses process or Deno. Take a service, or do it in an edge file")
    }
    if (/\bconsole\??\.\w/.test(line) && !isIn(writesToTerminal, file.module)) {
      fault(index + 1, "only exporter/Console and cli write to the terminal. Use Effect.log")
    }
  }
  return faults
}

/** Files of one folder may import each other, but not in a circle. */
const circles = (files: ReadonlyArray<SourceFile>): ReadonlyArray<string> => {
  const targets = new Map(files.map((file) => [file.module, file.imports.flatMap((import_) => import_.module ?? [])]))
  const leadsTo = (from: string, goal: string, seen = new Set<string>()): boolean =>
    (targets.get(from) ?? []).some((next) => {
      if (next === goal) return true
      if (seen.has(next)) return false
      return leadsTo(next, goal, seen.add(next))
    })
  const inCircle = files.map((file) => file.module).filter((module) => leadsTo(module, module))
  return inCircle.length === 0
    ? []
    : [`src: these modules import each other in a circle: ${inCircle.join(", ")}. Break it`]
}

const place = (module: string): { readonly row: number; readonly side: Side } | undefined => {
  // A file that is named goes before its folder.
  const entry =
    rows.find(([, , modules]) => modules.includes(module)) ?? rows.find(([, , modules]) => isIn(modules, module))
  return entry === undefined ? undefined : { row: entry[0], side: entry[1] }
}

const isIn = (entries: ReadonlyArray<string>, module: string) =>
  entries.some((entry) => entry === module || (entry.endsWith("/") && module.startsWith(entry)))

const folder = (module: string) => module.slice(0, module.lastIndexOf("/") + 1)

interface DenoInfo {
  readonly modules: ReadonlyArray<{ readonly specifier: string; readonly dependencies?: ReadonlyArray<Dependency> }>
}
interface Dependency {
  readonly specifier: string
  readonly code?: Resolved
  readonly type?: Resolved
}
interface Resolved {
  readonly specifier: string
  readonly span: { readonly start: { readonly line: number } }
}

/** Asks Deno, which sees type imports too. It takes one file, so we give it one that imports all. */
const readGraph = async (): Promise<ReadonlyArray<SourceFile>> => {
  const paths = globSync("src/**/*.ts")
  const all = join(scratchFolder("layers"), "all.ts")
  writeFileSync(all, paths.map((path) => `import ${JSON.stringify(pathToFileURL(path).href)}\n`).join(""))
  const { ok, output, stdout } = await run("deno", ["info", "--json", "--no-lock", all])
  if (!ok) throw new Error(`Cannot read the imports of src: ${output}`)
  const info: DenoInfo = JSON.parse(stdout)
  return paths.map((path) => {
    const found = info.modules.find((module) => module.specifier === pathToFileURL(path).href)
    const text = readFileSync(path, "utf8")
    const imports = (found?.dependencies ?? []).map((dependency) => readImport(dependency, text))
    return { module: path.slice("src/".length, -".ts".length).replaceAll("\\", "/"), text, imports }
  })
}

const readImport = ({ code, specifier, type }: Dependency, text: string): Import => {
  const source = pathToFileURL("src/").href
  const target = (code ?? type)?.specifier
  const line = ((code ?? type)?.span.start.line ?? 0) + 1
  if (target?.startsWith(source)) return { line, specifier, module: target.slice(source.length, -".ts".length) }
  if (specifier !== "effect") return { line, specifier }
  const clauses = text.matchAll(/import\s+(?:type\s+)?\{([^}]*)\}\s*from\s*"effect"/g)
  const names = [...clauses].flatMap(([, clause = ""]) => clause.split(","))
  return { line, specifier, names: names.map((name) => name.replace(/\btype\s|\sas\s.*/g, "").trim()).filter(Boolean) }
}

/** Effect writes into the first comment of each module how stable it is. A name without a module is a plain function. */
const isStableEffect = (module: string): boolean => {
  const effect = new URL("../node_modules/effect/src/", import.meta.url)
  const file = [`${module}.ts`, `${module}/index.ts`]
    .map((path) => fileURLToPath(new URL(path, effect)))
    .find(existsSync)
  if (file === undefined) return true
  const header = readFileSync(file, "utf8").split("*/", 1)[0] ?? ""
  return header.includes("@stability stable")
}
