// The program `handspan`, run as people run it: a process of its own, on Node and on Deno.
import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Result from "effect/Result"
import * as Settings from "../../src/Settings.ts"
import * as SettingsText from "../../src/SettingsText.ts"
import * as Deno from "../deno.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const onDeno = process.versions["deno"] !== undefined

type Command = readonly [file: string, ...args: Array<string>]

const node: Command = [process.execPath]
const deno = (...permissions: ReadonlyArray<string>): Command => [
  Deno.executable,
  "run",
  "--quiet",
  "--no-lock",
  ...permissions
]

const run = ([file, ...runtimeArguments]: Command, args: ReadonlyArray<string>, env: Record<string, string> = {}) =>
  new Promise<{ readonly code: unknown; readonly stdout: string; readonly stderr: string }>((resolve) => {
    // Nothing else of this process may reach it.
    const inherited = { PATH: process.env["PATH"], HOME: process.env["HOME"] }
    execFile(
      file,
      [...runtimeArguments, "src/cli/main.ts", ...args],
      { cwd: root, env: { ...inherited, ...env } },
      (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr })
    )
  })

const tableOf = (env: Record<string, string>) => `${SettingsText.table(Result.getOrThrow(Settings.fromRecord(env)))}\n`

describe.each([...(onDeno ? [] : [["Node", node] as const]), ["Deno", deno("--no-prompt", "--allow-env")] as const])(
  "handspan on %s",
  (_, command) => {
    const secrets = {
      HANDSPAN_PROFILE: "production",
      OTEL_SERVICE_NAME: "photos",
      OTEL_EXPORTER_OTLP_HEADERS: "api-key=hunter2",
      OTLP_ENDPOINT: "http://ada:hunter2@collector:4318?key=hunter2"
    }

    it("config prints every setting, its value and source, without secrets", async () => {
      const { code, stderr, stdout } = await run(command, ["config"], secrets)
      assert.deepStrictEqual([code, stderr, stdout], [0, "", tableOf(secrets)])
      assert.notInclude(stdout, "hunter2")
      assert.match(stdout, /^otlpHeaders +api-key=<redacted> +OTEL_EXPORTER_OTLP_HEADERS$/m)
    })

    it("config --json prints them as data, and nothing else on stdout", async () => {
      const { code, stderr, stdout } = await run(command, ["config", "--json"], secrets)
      assert.deepStrictEqual(
        [code, stderr, JSON.parse(stdout)],
        [0, "", SettingsText.data(Result.getOrThrow(Settings.fromRecord(secrets)))]
      )
      assert.notInclude(stdout, "hunter2")
    })

    it("config ends with 2 and a line for each bad variable", async () => {
      const env = {
        HANDSPAN_SAMPLER: "sometimes",
        TRACING_ENABLED: "maybe\u001b[2J",
        OTEL_TRACES_SAMPLER_ARG: "7",
        OTEL_EXPORTER_OTLP_HEADERS: "hunter2"
      }
      const expected = [
        'TRACING_ENABLED: "maybe\\u001b[2J" is not allowed: use true or false (from the environment)',
        'HANDSPAN_SAMPLER: "sometimes" is not allowed: use always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio (from the environment)',
        'OTEL_TRACES_SAMPLER_ARG: "7" is not allowed: use a number from 0 to 1 (from the environment)',
        'OTEL_EXPORTER_OTLP_HEADERS: "<redacted>" is not allowed: use a list such as name=value,name=value (from the environment)',
        ""
      ].join("\n")
      for (const args of [["config"], ["config", "--json"]]) {
        assert.deepStrictEqual(await run(command, args, env), { code: 2, stdout: "", stderr: expected })
      }
    })

    it("config prints notices beside what is not allowed: they may be why", async () => {
      const env = { HANDSPAN_PROFILE: "prod", HANDSPAN_SAMPLR: "1", OTEL_PROPAGATORS: "xray" }
      const expected = [
        'HANDSPAN_PROFILE: "prod" is not allowed: use development, production or test (from the environment)',
        'OTEL_PROPAGATORS: "xray" is ignored: use tracecontext, baggage, b3, b3multi or none, or several with commas between',
        "HANDSPAN_SAMPLR is no setting: did you mean HANDSPAN_SAMPLER?",
        ""
      ].join("\n")
      assert.deepStrictEqual(await run(command, ["config"], env), { code: 2, stdout: "", stderr: expected })
    })

    it("config tells on stderr what is taken otherwise than written", async () => {
      const env = { OTEL_BSP_SCHEDULE_DELAY: "soon", HANDSPAN_EXPORTR: "otlp" }
      assert.deepStrictEqual(await run(command, ["config"], env), {
        code: 0,
        stdout: tableOf({}),
        stderr:
          'OTEL_BSP_SCHEDULE_DELAY: "soon" is ignored: use a whole number of milliseconds\n' +
          "HANDSPAN_EXPORTR is no setting: did you mean HANDSPAN_EXPORTER?\n"
      })
    })

    it("--version tells the version of the package", async () => {
      const { version } = JSON.parse(readFileSync(`${root}package.json`, "utf8"))
      assert.deepStrictEqual(await run(command, ["--version"]), {
        code: 0,
        stdout: `handspan v${version}\n`,
        stderr: ""
      })
    })

    it("--help names the verbs, and the flags of each", async () => {
      const help = await run(command, ["--help"])
      assert.deepStrictEqual([help.code, help.stderr], [0, ""])
      assert.match(help.stdout, /^ {2}config +Print every setting/m)
      assert.notInclude(help.stdout, "wizard")
      assert.match((await run(command, ["config", "--help"])).stdout, /^ {2}--json +Print JSON/m)
    })

    it("ends with 1 for a verb or flag that is none, and tells which may be meant", async () => {
      for (const [args, meant] of [
        [["conifg"], "config"],
        [["config", "--jsn"], "--json"]
      ] as const) {
        const { code, stderr } = await run(command, args)
        assert.strictEqual(code, 1)
        assert.match(stderr, new RegExp(`Did you mean this\\?\\s+${meant}\\n`))
      }
    })
  }
)

describe("handspan on Deno with few permissions", () => {
  const env = { OTEL_SERVICE_NAME: "photos", HANDSPAN_ENVIRONMENT: "test", HANDSPAN_ENABLD: "false" }

  it.each<[string, ReadonlyArray<string>, Record<string, string>, string]>([
    ["none", ["--no-prompt"], {}, ""],
    ["none, where Deno might prompt", [], {}, ""],
    ["one name", ["--no-prompt", "--allow-env=OTEL_SERVICE_NAME"], { OTEL_SERVICE_NAME: "photos" }, ""],
    [
      "names by their beginning",
      ["--no-prompt", "--allow-env=HANDSPAN_*,OTEL_*"],
      { OTEL_SERVICE_NAME: "photos", HANDSPAN_ENVIRONMENT: "test" },
      ""
    ],
    [
      "all names",
      ["--no-prompt", "--allow-env"],
      { OTEL_SERVICE_NAME: "photos", HANDSPAN_ENVIRONMENT: "test" },
      "HANDSPAN_ENABLD is no setting: did you mean HANDSPAN_ENABLED?\n"
    ]
  ])("config shows what may be read: %s", async (_, permissions, seen, stderr) => {
    assert.deepStrictEqual(await run(deno(...permissions), ["config"], env), { code: 0, stdout: tableOf(seen), stderr })
  })
})
