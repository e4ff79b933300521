import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import * as Settings from "../src/Settings.ts"
import * as Deno from "./deno.ts"

const read = (record: Record<string, string | undefined>, code?: Partial<Settings.Values>) =>
  Result.getOrThrow(Settings.fromRecord(record, code))

const messageOf = (record: Record<string, string>, code?: Partial<Settings.Values>) =>
  Result.match(Settings.fromRecord(record, code), { onFailure: (error) => error.message, onSuccess: () => "no error" })

const exporterFor = (record: Record<string, string>) => read(record).exporters

const setting = <A>(value: A, source: string) => ({ value, source })

describe("fromRecord", () => {
  it("fromRecord() of nothing gives the defaults", () => {
    const { notices, ...settings } = read({ HANDSPAN_EXPORTER: "", OTEL_SERVICE_NAME: "  ", ENVIRONMENT: undefined })
    assert.deepStrictEqual(notices, [])
    assert.deepStrictEqual(
      settings,
      Object.fromEntries(
        Object.entries(Settings.table).map(([name, row]) => [name, setting(row.default, "default")])
      ) as unknown as typeof settings
    )
    assert.deepStrictEqual(settings.exporters.value, ["console"])
  })

  it.each<[ReadonlyArray<readonly [name: string, text: string]>, keyof Settings.Values, ReadonlyArray<unknown>]>([
    [
      [
        ["HANDSPAN_ENABLED", "1"],
        ["OTEL_SDK_DISABLED", "true"],
        ["TRACING_ENABLED", "on"],
        ["ENABLE_TRACING", "No"],
        ["LOOM_TELEMETRY_AUTO", "0"]
      ],
      "enabled",
      [true, false, true, false, false]
    ],
    [
      [
        ["HANDSPAN_EXPORTER", "none"],
        ["OTEL_TRACES_EXPORTER", "otlp, Console,otlp"],
        ["TRACING_EXPORTER", "in_memory"]
      ],
      "exporters",
      [["none"], ["otlp", "console"], ["in_memory"]]
    ],
    [
      [
        ["HANDSPAN_OTLP_ENDPOINT", "https://a"],
        ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b/as/it/is"],
        ["OTEL_EXPORTER_OTLP_ENDPOINT", "http://c/otlp/"],
        ["OTLP_ENDPOINT", "http://localhost:4317"],
        ["TRACING_OTLP_ENDPOINT", "http://d/v1/traces"],
        ["JAEGER_ENDPOINT", "jaeger:4317"]
      ],
      "otlpEndpoint",
      [
        "https://a/v1/traces",
        "http://b/as/it/is",
        "http://c/otlp/v1/traces",
        "http://localhost:4317/v1/traces",
        "http://d/v1/traces",
        "http://jaeger:4317/v1/traces"
      ]
    ],
    [
      [
        ["HANDSPAN_OTLP_PROTOCOL", "grpc"],
        ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"],
        ["OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"]
      ],
      "otlpProtocol",
      ["grpc", "http/protobuf", "http/json"]
    ],
    [
      [
        ["HANDSPAN_SERVICE_NAME", "a"],
        ["OTEL_SERVICE_NAME", "b"],
        ["OTEL_RESOURCE_ATTRIBUTES", "service.name=c%20d"]
      ],
      "serviceName",
      ["a", "b", "c d"]
    ],
    [
      [
        ["HANDSPAN_ENVIRONMENT", "a"],
        ["OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=b"],
        ["ENVIRONMENT", "c"]
      ],
      "environment",
      ["a", "b", "c"]
    ],
    [
      [
        ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1500"],
        ["OTEL_EXPORTER_OTLP_TIMEOUT", "0"]
      ],
      "otlpTimeout",
      [Duration.millis(1500), Duration.millis(2 ** 31 - 1)]
    ],
    [[["HANDSPAN_SHUTDOWN_TIMEOUT", "1.5 seconds"]], "shutdownTimeout", [Duration.millis(1500)]],
    [
      [
        ["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "0"],
        ["OTEL_ATTRIBUTE_COUNT_LIMIT", "7"]
      ],
      "spanAttributeCount",
      [0, 7]
    ]
  ])("fromRecord() lets the first of %j count, and each of them", (variables, field, values) => {
    for (const index of variables.keys()) {
      const settings = read(Object.fromEntries(variables.slice(index).toReversed()))
      assert.deepStrictEqual<unknown>(settings[field], setting(values[index], variables[index]![0]))
    }
  })

  it("fromRecord() lets code count most, and does not look at what it outweighs", () => {
    const record = { HANDSPAN_EXPORTER: "consle", OTEL_TRACES_EXPORTER: "zipkin", OTEL_SERVICE_NAME: "a" }
    const settings = read(record, { exporters: ["otlp", "console"], serviceName: "b", enabled: false })
    assert.deepStrictEqual(
      [settings.exporters, settings.serviceName, settings.enabled],
      [setting(["otlp", "console"], "code"), setting("b", "code"), setting(false, "code")]
    )
    assert.deepStrictEqual(read({ HANDSPAN_EXPORTER: "none", OTEL_TRACES_EXPORTER: "zipkin" }).exporters.value, [
      "none"
    ])
  })

  it("fromRecord() takes an endpoint from code for a base URL, as from variables", () => {
    const endpoints = ["http://host:4318", "host:4317", "http://host/v1/traces", "ftp://host"].map(
      (otlpEndpoint) => read({}, { otlpEndpoint }).otlpEndpoint
    )
    assert.deepStrictEqual(endpoints, [
      setting("http://host:4318/v1/traces", "code"),
      setting("http://host:4317/v1/traces", "code"),
      setting("http://host/v1/traces", "code"),
      // Whoever makes the exporter says that it is none.
      setting("ftp://host", "code")
    ])
  })

  it("fromRecord() reads no variable that the table does not have", () => {
    const record = { code: "jaeger", default: "jaeger" }
    assert.deepStrictEqual(read(record), read({}))
    assert.deepStrictEqual(read(record, { exporters: ["otlp"] }), read({}, { exporters: ["otlp"] }))
  })

  it("fromRecord() takes any NO_COLOR that is not empty for no colours", () => {
    assert.deepStrictEqual(
      ["1", "0", "false", ""].map((text) => read({ NO_COLOR: text }).consoleColors),
      [...["1", "0", "false"].map(() => setting<boolean | undefined>(false, "NO_COLOR")), setting(undefined, "default")]
    )
    assert.deepStrictEqual(read({ NO_COLOR: "1" }, { consoleColors: true }).consoleColors, setting(true, "code"))
  })

  it("fromRecord() repeats no secret of a URL", () => {
    assert.strictEqual(
      messageOf({
        OTLP_ENDPOINT: "grpc://user:hunter2@host",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "ftp://host/a?key=hunter2",
        TRACING_JAEGER_HOST: "user:hunter2@host"
      }),
      [
        'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "ftp://host/a?<redacted>" is not allowed: use an http:// or https:// URL (from the environment)',
        'TRACING_JAEGER_HOST: "<redacted>@host" is not allowed: use the name or address of a host (from the environment)'
      ].join("\n")
    )
    assert.strictEqual(
      messageOf({ OTLP_ENDPOINT: "grpc://user:hunter2@host" }),
      'OTLP_ENDPOINT: "grpc://<redacted>@host" is not allowed: use an http:// or https:// URL (from the environment)'
    )
  })

  it("fromRecord() reports all that is not allowed at once, a line each", () => {
    assert.strictEqual(
      messageOf(
        {
          HANDSPAN_EXPORTER: "consle",
          TRACING_ENABLED: "maybe",
          HANDSPAN_CONSOLE_FORMAT: "yaml",
          HANDSPAN_PROPAGATORS: "b3,jaeger",
          OTEL_EXPORTER_OTLP_ENDPOINT: "ftp://x",
          OTEL_EXPORTER_OTLP_HEADERS: "api-key=hunter2,x",
          TRACING_JAEGER_HOST: "a b",
          HANDSPAN_SHUTDOWN_TIMEOUT: "500"
        },
        { samplerRatio: 2 }
      ),
      [
        'TRACING_ENABLED: "maybe" is not allowed: use true or false (from the environment)',
        'HANDSPAN_EXPORTER: "consle" is not allowed: use console, otlp, jaeger, in_memory or none, or several with commas between (from the environment)',
        'samplerRatio: "2" is not allowed: use a number from 0 to 1 (from code)',
        'HANDSPAN_PROPAGATORS: "b3,jaeger" is not allowed: use tracecontext, baggage, b3, b3multi or none, or several with commas between (from the environment)',
        'HANDSPAN_CONSOLE_FORMAT: "yaml" is not allowed: use pretty, line, trace, continuum or json (from the environment)',
        'OTEL_EXPORTER_OTLP_ENDPOINT: "ftp://x" is not allowed: use an http:// or https:// URL (from the environment)',
        'OTEL_EXPORTER_OTLP_HEADERS: "<redacted>" is not allowed: use a list such as name=value,name=value (from the environment)',
        'TRACING_JAEGER_HOST: "a b" is not allowed: use the name or address of a host (from the environment)',
        'HANDSPAN_SHUTDOWN_TIMEOUT: "500" is not allowed: use a duration such as "5 seconds" (from the environment)'
      ].join("\n")
    )
    assert.match(messageOf({ HANDSPAN_EXPORTER: "console,none" }), /^HANDSPAN_EXPORTER: "console,none" is not allowed/)
  })

  it("fromRecord() without an exporter takes otlp for a deployed program, console for a person", () => {
    assert.deepStrictEqual(exporterFor({ ENVIRONMENT: "production" }), setting(["otlp"], "default"))
    assert.deepStrictEqual(exporterFor({ ENVIRONMENT: "development" }), setting(["console"], "default"))
    assert.deepStrictEqual(exporterFor({ OTLP_ENDPOINT: "http://x" }), setting(["otlp"], "default"))
    assert.deepStrictEqual(
      exporterFor({ ENVIRONMENT: "development", OTLP_ENDPOINT: "http://x" }),
      setting(["otlp"], "default")
    )
    assert.deepStrictEqual(
      exporterFor({ ENVIRONMENT: "production", TRACING_EXPORTER: "console" }),
      setting(["console"], "TRACING_EXPORTER")
    )
  })

  it("fromRecord() takes jaeger for OTLP to the Jaeger host, and says so", () => {
    const record = { TRACING_EXPORTER: "Jaeger,console", TRACING_JAEGER_HOST: "jaeger", TRACING_JAEGER_PORT: "6831" }
    const settings = read(record)
    assert.deepStrictEqual(
      [settings.exporters, settings.otlpEndpoint, settings.notices],
      [
        setting(["otlp", "console"], "TRACING_EXPORTER"),
        setting("http://jaeger:4318/v1/traces", "TRACING_EXPORTER"),
        ["TRACING_EXPORTER: Jaeger takes OTLP and no longer has the UDP agent: spans go to http://jaeger:4318 by OTLP"]
      ]
    )
    assert.strictEqual(
      read({ ...record, TRACING_JAEGER_PORT: "4317" }).otlpEndpoint.value,
      "http://jaeger:4317/v1/traces"
    )
    const explicit = read({ ...record, OTLP_ENDPOINT: "http://collector" })
    assert.deepStrictEqual(explicit.otlpEndpoint, setting("http://collector/v1/traces", "OTLP_ENDPOINT"))
    assert.deepStrictEqual(explicit.notices, [])
  })

  it("fromRecord() keeps headers as secrets", () => {
    const { otlpHeaders } = read({ OTEL_EXPORTER_OTLP_HEADERS: "Authorization=Bearer%20abc==, x-team = a " })
    assert.notInclude(JSON.stringify(otlpHeaders), "abc")
    assert.deepStrictEqual(
      Object.entries(otlpHeaders.value).map(([name, value]) => [name, Redacted.value(value)]),
      [
        ["Authorization", "Bearer abc=="],
        ["x-team", "a"]
      ]
    )
    assert.include(messageOf({ OTEL_EXPORTER_OTLP_HEADERS: "x=a%0d%0ab" }), "<redacted>")
  })

  it("fromRecord() takes any text", () => {
    const names = Object.values<{ variables: ReadonlyArray<{ name: string }> }>(Settings.table)
      .flatMap((row) => row.variables)
      .map(({ name }) => name)
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.webUrl(),
      fc.string({ unit: fc.constantFrom(..."az09%=,:/.") })
    )
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), text), (record) => {
        assert.isTrue(Result.isResult(Settings.fromRecord(record)))
      })
    )
  })
})

describe("OpenTelemetry's rules", () => {
  it("fromRecord() ignores with a notice what they say to ignore, and looks on", () => {
    const { notices, ...settings } = read({
      OTEL_SDK_DISABLED: "1",
      OTEL_TRACES_EXPORTER: "zipkin",
      TRACING_EXPORTER: "otlp",
      OTEL_TRACES_SAMPLER: "jaeger_remote",
      OTEL_TRACE_SAMPLER: "traceidratio",
      OTEL_TRACES_SAMPLER_ARG: "0.25",
      OTEL_PROPAGATORS: "jaeger, baggage,none,ottrace,Baggage",
      OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: "soon",
      OTEL_EXPORTER_OTLP_TIMEOUT: "250",
      OTEL_RESOURCE_ATTRIBUTES: "service.name=%zz",
      OTEL_BSP_SCHEDULE_DELAY: "-1"
    })
    assert.deepStrictEqual(
      [settings.enabled, settings.exporters, settings.sampler, settings.propagators, settings.otlpTimeout],
      [
        setting(true, "OTEL_SDK_DISABLED"),
        setting(["otlp"], "TRACING_EXPORTER"),
        setting("traceidratio", "OTEL_TRACE_SAMPLER"),
        setting(["baggage"], "OTEL_PROPAGATORS"),
        setting(Duration.millis(250), "OTEL_EXPORTER_OTLP_TIMEOUT")
      ]
    )
    assert.deepStrictEqual(
      [settings.samplerRatio, settings.resourceAttributes, settings.serviceName, settings.batchDelay],
      [
        setting(0.25, "OTEL_TRACES_SAMPLER_ARG"),
        setting({}, "default"),
        setting("unknown_service", "default"),
        setting(Duration.seconds(5), "default")
      ]
    )
    assert.deepStrictEqual(notices, [
      'OTEL_SDK_DISABLED: "1" is taken for "false": use true or false',
      'OTEL_TRACES_EXPORTER: "zipkin" is ignored: use console, otlp, jaeger, in_memory or none, or several with commas between',
      'OTEL_TRACES_SAMPLER: "jaeger_remote" is ignored: use always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio',
      'OTEL_PROPAGATORS: "jaeger, baggage,none,ottrace,Baggage" is taken for "baggage": use tracecontext, baggage, b3, b3multi or none, or several with commas between',
      'OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: "soon" is ignored: use a whole number of milliseconds, 0 for no limit',
      'OTEL_RESOURCE_ATTRIBUTES: "service.name=%zz" is ignored: use a list such as name=value,name=value',
      'OTEL_BSP_SCHEDULE_DELAY: "-1" is ignored: use a whole number of milliseconds'
    ])
  })

  const sampling = (record: Record<string, string>, code?: Partial<Settings.Values>) =>
    Result.match(Settings.fromRecord(record, code), {
      onFailure: (error) => error.problems.map(({ variable }) => variable),
      onSuccess: ({ notices, sampler, samplerRatio }) => [sampler.value, samplerRatio.value, ...notices]
    })

  it.each<[string, Record<string, string>, Partial<Settings.Values>, ReadonlyArray<unknown>]>([
    [
      "rejects a ratio out of range",
      { OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "1.01" },
      {},
      ["OTEL_TRACES_SAMPLER_ARG"]
    ],
    [
      "rejects a ratio that is no number",
      { OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "10%" },
      {},
      ["OTEL_TRACES_SAMPLER_ARG"]
    ],
    ["rejects it where no sampler is named", { HANDSPAN_SAMPLER_ARG: "-0.1" }, {}, ["HANDSPAN_SAMPLER_ARG"]],
    ["rejects it from code", {}, { samplerRatio: Number.NaN }, ["samplerRatio"]],
    [
      "takes all where no ratio is given",
      { OTEL_TRACES_SAMPLER: "parentbased_traceidratio" },
      {},
      ["parentbased_traceidratio", 1]
    ],
    [
      "does not look at what is meant for another sampler",
      { OTEL_TRACES_SAMPLER: "jaeger_remote", OTEL_TRACES_SAMPLER_ARG: "endpoint=http://localhost:14250" },
      {},
      [
        "parentbased_always_on",
        1,
        'OTEL_TRACES_SAMPLER: "jaeger_remote" is ignored: use always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio',
        "OTEL_TRACES_SAMPLER_ARG is not used: the sampler parentbased_always_on takes no ratio"
      ]
    ],
    [
      "tells that a ratio is not used",
      { HANDSPAN_SAMPLER_ARG: "0.1" },
      {},
      [
        "parentbased_always_on",
        0.1,
        "HANDSPAN_SAMPLER_ARG is not used: the sampler parentbased_always_on takes no ratio"
      ]
    ]
  ])("fromRecord() %s", (_, record, code, expected) => {
    assert.deepStrictEqual<unknown>(sampling(record, code), expected)
  })

  it("fromRecord() makes no batch larger than the queue", () => {
    const { batchSize, notices } = read({ OTEL_BSP_MAX_QUEUE_SIZE: "100", OTEL_BSP_MAX_EXPORT_BATCH_SIZE: "512" })
    assert.deepStrictEqual<unknown>(
      [batchSize, notices],
      [
        setting(100, "OTEL_BSP_MAX_QUEUE_SIZE"),
        ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE: 512 is taken for 100: a batch is no larger than the queue"]
      ]
    )
    const small = read({ OTEL_BSP_MAX_QUEUE_SIZE: "100" })
    assert.deepStrictEqual<unknown>([small.batchSize, small.notices], [setting(100, "OTEL_BSP_MAX_QUEUE_SIZE"), []])
  })
})

describe("profiles", () => {
  const profiled = (record: Record<string, string>, code?: Partial<Settings.Values>) => {
    const { consoleFormat, environment, exporters, notices, profile, sampler, samplerRatio } = read(record, code)
    return { consoleFormat, environment, exporters, notices, profile, sampler, samplerRatio }
  }
  const source = "HANDSPAN_PROFILE"

  it.each<[Settings.ProfileName, Settings.ExporterName, Settings.SamplerName, number]>([
    ["development", "console", "always_on", 1],
    ["production", "otlp", "parentbased_traceidratio", 0.1],
    ["test", "in_memory", "always_on", 1]
  ])("fromRecord() starts from the defaults of %s", (profile, exporter, sampler, ratio) => {
    assert.deepStrictEqual<unknown>(profiled({ HANDSPAN_PROFILE: profile }), {
      profile: setting(profile, source),
      exporters: setting([exporter], source),
      consoleFormat: setting("pretty", profile === "development" ? source : "default"),
      sampler: setting(sampler, source),
      samplerRatio: setting(ratio, source),
      environment: setting(profile, source),
      notices: []
    })
  })

  it("fromRecord() lets all that is more specific win", () => {
    assert.deepStrictEqual<unknown>(
      profiled(
        {
          HANDSPAN_PROFILE: "production",
          TRACING_EXPORTER: "console",
          OTEL_TRACES_SAMPLER_ARG: "0.2",
          ENVIRONMENT: "eu"
        },
        { sampler: "traceidratio" }
      ),
      {
        profile: setting("production", source),
        exporters: setting(["console"], "TRACING_EXPORTER"),
        consoleFormat: setting("pretty", "default"),
        sampler: setting("traceidratio", "code"),
        samplerRatio: setting(0.2, "OTEL_TRACES_SAMPLER_ARG"),
        environment: setting("eu", "ENVIRONMENT"),
        notices: []
      }
    )
  })

  it("fromRecord() takes a profile from code, and lets variables win over what it sets", () => {
    const { environment, exporters, profile } = profiled({ HANDSPAN_EXPORTER: "none" }, { profile: "test" })
    assert.deepStrictEqual<unknown>(
      [profile, exporters, environment],
      [setting("test", "code"), setting(["none"], "HANDSPAN_EXPORTER"), setting("test", "code")]
    )
  })

  it("fromRecord() keeps to the profile where only an endpoint is set", () => {
    const record = { HANDSPAN_PROFILE: "development", OTLP_ENDPOINT: "http://x" }
    assert.deepStrictEqual<unknown>(profiled(record).exporters, setting(["console"], source))
  })

  it("fromRecord() refuses another one", () => {
    assert.strictEqual(
      messageOf({ HANDSPAN_PROFILE: "prod" }),
      'HANDSPAN_PROFILE: "prod" is not allowed: use development, production or test (from the environment)'
    )
  })
})

describe("names that are no setting", () => {
  it("fromRecord() tells which one may be meant", () => {
    const record = { HANDSPAN_SAMPLR: "always_on", HANDSPAN_SPOOL_DIR: "/x", HANDSPAN_COLOUR: "red", HANDSPAN_X: " " }
    assert.deepStrictEqual(read({ ...record, HANDSPANX: "1", OTEL_SAMPLER: "x" }).notices, [
      "HANDSPAN_COLOUR is no setting: `handspan config` shows those there are",
      "HANDSPAN_SAMPLR is no setting: did you mean HANDSPAN_SAMPLER?",
      "HANDSPAN_SPOOL_DIR is no setting: did you mean HANDSPAN_SPOOL_DIRECTORY?"
    ])
  })
})

describe("resource", () => {
  it("resource() names service, version and environment, and the other attributes", () => {
    const OTEL_RESOURCE_ATTRIBUTES = "team=a,service.name=ignored,deployment.environment.name=ignored"
    const record = { OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME: "photos", HANDSPAN_SERVICE_VERSION: "1.0.0" }
    assert.deepStrictEqual(Settings.resource(read({ ...record, HANDSPAN_ENVIRONMENT: "staging" })), {
      attributes: {
        team: "a",
        "service.name": "photos",
        "service.version": "1.0.0",
        "deployment.environment": "staging",
        "deployment.environment.name": "staging"
      }
    })
    assert.deepStrictEqual(Settings.resource(read({})), {
      attributes: {
        "service.name": "unknown_service",
        "deployment.environment": "production",
        "deployment.environment.name": "production"
      }
    })
  })
})

describe("fromEnv", () => {
  it.effect("fromEnv() reads the environment of this process", () =>
    Effect.gen(function* () {
      process.env["OTEL_SERVICE_NAME"] = "photos"
      process.env["HANDSPAN_EXPORTR"] = "none"
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          delete process.env["OTEL_SERVICE_NAME"]
          delete process.env["HANDSPAN_EXPORTR"]
        })
      )
      const settings = yield* Settings.fromEnv({ serviceVersion: "2" })
      assert.include(settings.notices, "HANDSPAN_EXPORTR is no setting: did you mean HANDSPAN_EXPORTER?")
      assert.deepStrictEqual(settings.serviceName, setting("photos", "OTEL_SERVICE_NAME"))
      assert.deepStrictEqual(settings.serviceVersion, setting("2", "code"))
    })
  )

  const program = `
    import * as Effect from "effect/Effect"
    import { fromEnv } from "./src/Settings.ts"
    console.log(JSON.stringify(Effect.runSync(Effect.match(fromEnv(), {
      onFailure: (error) => error.message,
      onSuccess: ({ notices, serviceName, serviceVersion }) => [serviceName.value, serviceVersion.value, ...notices]
    }))))`
  const env = { OTEL_SERVICE_NAME: "photos", OTEL_SERVICE_VERSION: "3", HANDSPAN_ENABLD: "false" }
  const told = "HANDSPAN_ENABLD is no setting: did you mean HANDSPAN_ENABLED?"

  it.live.each<[string, ReadonlyArray<string>, unknown]>([
    ["none", ["--no-prompt"], ["unknown_service", ""]],
    ["none, where Deno might prompt", [], ["unknown_service", ""]],
    ["one name", ["--no-prompt", "--allow-env=OTEL_SERVICE_NAME"], ["photos", ""]],
    [
      "a prefix without one name",
      ["--no-prompt", "--allow-env=OTEL_*", "--deny-env=OTEL_SERVICE_NAME"],
      ["unknown_service", "3"]
    ],
    ["all", ["--no-prompt", "--allow-env"], ["photos", "3", told]],
    ["all but one name", ["--no-prompt", "--allow-env", "--deny-env=HOME"], ["photos", "3"]]
  ])(
    "fromEnv() on Deno reads what is permitted, and asks for nothing: %s",
    ([, permissions, expected]) =>
      Effect.gen(function* () {
        const { stderr, stdout } = yield* Deno.run(program, { env, permissions })
        assert.deepStrictEqual([JSON.parse(stdout), stderr], [expected, ""])
      }),
    30_000
  )
})
