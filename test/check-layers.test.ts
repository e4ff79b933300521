// The rules of scripts/check-layers.ts, each on a house of one or two files.
import { assert, describe, it } from "vitest"
import { faultsInLayers, type Import, type SourceFile } from "../scripts/check-layers.ts"

const file = (module: string, ...imports: ReadonlyArray<Omit<Import, "line">>): SourceFile => ({
  module,
  text: "",
  imports: imports.map((import_, index) => ({ ...import_, line: index + 1 }))
})
const to = (module: string) => ({ specifier: `./${module}.ts`, module })
const effect = (...names: ReadonlyArray<string>) => ({ specifier: "effect", names })
const withText = (module: string, ...lines: ReadonlyArray<string>): SourceFile => ({
  module,
  text: lines.join("\n"),
  imports: []
})

const faults = (...files: ReadonlyArray<SourceFile>) => faultsInLayers(files, (name) => name !== "Graph")

describe("faultsInLayers()", () => {
  it("lets a module import from rows below, on its own side", () => {
    assert.deepStrictEqual(
      faults(file("Pipeline", to("Agent"), to("Conventions")), file("Tracing", to("Recorder"))),
      []
    )
  })

  it("lets nobody import upwards", () => {
    assert.deepStrictEqual(faults(file("Sampler", effect("Effect"), to("Delivery"))), [
      "src/Sampler.ts:2: row 2 must import from rows below: Delivery is in row 8. Move what both need down"
    ])
  })

  it("lets nobody import within a row, except inside one folder", () => {
    assert.strictEqual(faults(file("Agent", to("Model"))).length, 1)
    assert.strictEqual(faults(file("exporter/File", to("Delivery"))).length, 1)
    assert.deepStrictEqual(faults(file("analysis/CriticalPath", to("analysis/Summary"))), [])
  })

  it("keeps authoring and recording apart in both directions", () => {
    assert.deepStrictEqual(faults(file("Agent", to("Sampler")), file("Recorder", to("Propagator"))), [
      "src/Agent.ts:1: authoring must not import recording: Sampler. Let the two meet in a value",
      "src/Recorder.ts:1: recording must not import authoring: Propagator. Let the two meet in a value"
    ])
  })

  it("reports a circle inside a folder", () => {
    assert.deepStrictEqual(faults(file("analysis/A", to("analysis/B")), file("analysis/B", to("analysis/A"))), [
      "src: these modules import each other in a circle: analysis/A, analysis/B. Break it"
    ])
  })

  it("asks for a file that is not in the table", () => {
    assert.deepStrictEqual(faults(file("Surprise")), [
      "src/Surprise.ts: is not in the table. Add it to the rows in scripts/check-layers.ts"
    ])
  })

  it("keeps unstable Effect modules and node: modules in edge files", () => {
    assert.deepStrictEqual(faults(file("collector/Collector", effect("Graph"), { specifier: "node:http" })), [])
    assert.deepStrictEqual(faults(file("Delivery", effect("Queue", "Graph"), { specifier: "node:http" })), [
      "src/Delivery.ts:1: must use stable Effect modules only: Graph is not. Use it in an edge file and pass a value",
      'src/Delivery.ts:2: must run on any runtime: it imports "node:http". Take a service, or do it in an edge file'
    ])
  })

  it("lets only Settings read the environment, and only the terminal's files write to it", () => {
    assert.deepStrictEqual(
      faults(withText("Settings", "globalThis.process?.env"), file("Settings", effect("Config"))),
      []
    )
    assert.deepStrictEqual(faults(withText("exporter/Console", "console.log(line)", "process.stdout.write(line)")), [])
    assert.deepStrictEqual(
      faults(
        withText("Agent", " * console.log(1)", "console.log(1)", "process.cwd()", "Deno.env.get('A')"),
        file("Model", effect("Config", "Console"))
      ),
      [
        "src/Agent.ts:2: only exporter/Console and cli write to the terminal. Use Effect.log",
        "src/Agent.ts:3: must run on any runtime: it uses process or Deno. Take a service, or do it in an edge file",
        "src/Agent.ts:4: only Settings reads the environment. Take the value as an option",
        "src/Model.ts:1: only Settings reads the environment: it imports Config. Take the value as an option",
        "src/Model.ts:1: only exporter/Console and cli write to the terminal: it imports Console. Use Effect.log"
      ]
    )
  })
})
