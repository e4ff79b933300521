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
    const endpoints = ["http://host:4318", "host:4317", "http://host/v1/traces"].map(
      (otlpEndpoint) => read({}, { otlpEndpoint }).otlpEndpoint
    )
    assert.deepStrictEqual(endpoints, [
      setting("http://host:4318/v1/traces", "code"),
      setting("http://host:4317/v1/traces", "code"),
      setting("http://host/v1/traces", "code")
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

  it("fromRecord() knows jaeger by its whole name alone", () => {
    const { exporters, otlpEndpoint } = read({ OTEL_TRACES_EXPORTER: "otlp,xjaegerx", TRACING_JAEGER_PORT: "" })
    assert.deepStrictEqual<unknown>(
      [exporters, otlpEndpoint],
      [setting(["otlp"], "OTEL_TRACES_EXPORTER"), setting("http://localhost:4318/v1/traces", "default")]
    )
  })

  it("fromRecord() says where spans go that were to go by otlp and to jaeger", () => {
    const both = { TRACING_EXPORTER: "otlp,jaeger", TRACING_JAEGER_HOST: "jaeger" }
    const told = (record: Record<string, string>) => {
      const { exporters, notices, otlpEndpoint } = read(record)
      return [exporters.value, otlpEndpoint.value, notices]
    }
    assert.deepStrictEqual<unknown>(told(both), [
      ["otlp"],
      "http://jaeger:4318/v1/traces",
      ["TRACING_EXPORTER: otlp and jaeger are one exporter: spans go to http://jaeger:4318 by OTLP"]
    ])
    assert.deepStrictEqual<unknown>(told({ ...both, OTLP_ENDPOINT: "http://ada:hunter2@collector" }), [
      ["otlp"],
      "http://ada:hunter2@collector/v1/traces",
      ["TRACING_EXPORTER: otlp and jaeger are one exporter: spans go to http://<redacted>@collector/v1/traces"]
    ])
  })

  it.each<[Record<string, string>, source: string, url: string]>([
    [{ TRACING_JAEGER_HOST: "jaeger" }, "TRACING_JAEGER_HOST", "http://jaeger:4318"],
    [{ TRACING_JAEGER_HOST: "jaeger", TRACING_JAEGER_PORT: "6831" }, "TRACING_JAEGER_HOST", "http://jaeger:4318"],
    [{ HANDSPAN_JAEGER_HOST: "[::1]", TRACING_JAEGER_PORT: "4317" }, "HANDSPAN_JAEGER_HOST", "http://[::1]:4317"],
    [{ TRACING_JAEGER_PORT: "6831" }, "TRACING_JAEGER_PORT", "http://localhost:4318"]
  ])("fromRecord() takes Jaeger's host for an endpoint where nobody names one: %j", (record, source, url) => {
    const { exporters, notices, otlpEndpoint } = read(record)
    assert.deepStrictEqual<unknown>(
      [exporters, otlpEndpoint, notices],
      [
        setting(["otlp"], "default"),
        setting(`${url}/v1/traces`, source),
        [`${source}: Jaeger takes OTLP and no longer has the UDP agent: spans go to ${url} by OTLP`]
      ]
    )
    const elsewhere = read({ ...record, JAEGER_ENDPOINT: "http://collector:4318" })
    assert.deepStrictEqual(elsewhere.otlpEndpoint, setting("http://collector:4318/v1/traces", "JAEGER_ENDPOINT"))
    // Nothing is said of a receiver to which nothing goes.
    for (const notSent of [
      read({ ...record, TRACING_EXPORTER: "console" }),
      read({ ...record, HANDSPAN_PROFILE: "test" })
    ]) {
      assert.deepStrictEqual(notSent.notices, [])
      assert.notInclude(notSent.exporters.value, "otlp")
    }
  })

  it.each([
    ["http://jaeger:14268/api/traces", "http://jaeger:4318/v1/traces"],
    ["http://jaeger:14268/api/traces?format=jaeger.thrift", "http://jaeger:4318/v1/traces"],
    ["https://jaeger.example/api/traces/", "https://jaeger.example:4318/v1/traces"],
    ["jaeger:6831", "http://jaeger:4318/v1/traces"],
    ["jaeger:14250", "http://jaeger:4318/v1/traces"]
  ])("fromRecord() takes %s, where Jaeger took its own format, for its OTLP port", (text, url) => {
    const { notices, otlpEndpoint } = read({ JAEGER_ENDPOINT: text })
    assert.deepStrictEqual(otlpEndpoint, setting(url, "JAEGER_ENDPOINT"))
    const told = text.replace(/\?.*/, "?<redacted>")
    assert.deepStrictEqual(notices, [`JAEGER_ENDPOINT: "${told}" took Jaeger's own format: spans go to ${url} by OTLP`])
  })

  it("fromRecord() leaves a base that has the path already as it is", () => {
    for (const url of ["http://h:4318/v1/traces", "http://h:4318/v1/traces/"]) {
      assert.strictEqual(read({ OTEL_EXPORTER_OTLP_ENDPOINT: url }).otlpEndpoint.value, url)
      assert.strictEqual(read({}, { otlpEndpoint: url }).otlpEndpoint.value, url)
    }
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

describe("an endpoint without a scheme", () => {
  const grpc = { OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" }
  const endpointOf = (record: Record<string, string>, code: Partial<Settings.Values> = {}) => {
    const { notices, otlpEndpoint } = read(record, code)
    return [otlpEndpoint.value, ...notices]
  }
  const hint = "set OTEL_EXPORTER_OTLP_INSECURE=true, or write http://, where there is no TLS"

  it.each<[string, Record<string, string>, ReadonlyArray<string>]>([
    [
      "is https for grpc, as OpenTelemetry says, and that is told",
      { ...grpc, OTEL_EXPORTER_OTLP_ENDPOINT: "api.example:443" },
      [
        "https://api.example/v1/traces",
        `OTEL_EXPORTER_OTLP_ENDPOINT: "api.example:443" is taken for https://api.example: ${hint}`
      ]
    ],
    [
      "is http where OpenTelemetry is told so",
      { ...grpc, OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4317", OTEL_EXPORTER_OTLP_INSECURE: "true" },
      ["http://collector:4317/v1/traces"]
    ],
    [
      "goes by the variable for traces first",
      {
        ...grpc,
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "collector:4317",
        OTEL_EXPORTER_OTLP_TRACES_INSECURE: "false",
        OTEL_EXPORTER_OTLP_INSECURE: "true"
      },
      ["https://collector:4317/"]
    ],
    [
      "is http over HTTP, whatever is said",
      { OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4318", OTEL_EXPORTER_OTLP_INSECURE: "false" },
      ["http://collector:4318/v1/traces"]
    ],
    [
      "is http where the port alone means grpc, unless it is said",
      { OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4317" },
      ["http://collector:4317/v1/traces"]
    ],
    [
      "is https where the port alone means grpc, and it is said",
      { OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4317", OTEL_EXPORTER_OTLP_INSECURE: "false" },
      ["https://collector:4317/v1/traces"]
    ],
    ["is http in other variables", { ...grpc, JAEGER_ENDPOINT: "jaeger:4317" }, ["http://jaeger:4317/v1/traces"]],
    [
      "is https in other variables where it is said",
      { ...grpc, JAEGER_ENDPOINT: "jaeger:4317", HANDSPAN_OTLP_INSECURE: "no" },
      ["https://jaeger:4317/v1/traces"]
    ],
    [
      "keeps a scheme that is there",
      { ...grpc, OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4317", OTEL_EXPORTER_OTLP_INSECURE: "false" },
      ["http://collector:4317/v1/traces"]
    ]
  ])("fromRecord() %s", (_, record, expected) => {
    assert.deepStrictEqual(endpointOf(record), expected)
  })

  it("fromRecord() takes code at its word", () => {
    const otlpEndpoint = "collector:4317"
    assert.deepStrictEqual(
      [undefined, true, false].map((otlpInsecure) =>
        endpointOf({}, { otlpEndpoint, ...(otlpInsecure === undefined ? {} : { otlpInsecure }) })
      ),
      [["http://collector:4317/v1/traces"], ["http://collector:4317/v1/traces"], ["https://collector:4317/v1/traces"]]
    )
  })
})

describe("settings from code", () => {
  const list = "a list of"
  const text = "a text"
  const time = 'a duration such as "5 seconds"'
  const limit = "a whole number of at least 0, or Infinity"
  const rules = 'rules such as agent=critic: 0.1; name="chat *": 5/s; *: always'

  it.each<[keyof Settings.Values, value: unknown, told: string, allowed: string]>([
    ["profile", "prod", "prod", "development, production or test"],
    ["enabled", "true", "true", "true or false"],
    ["exporters", ["bogus"], "bogus", `${list} console, otlp, in_memory or none`],
    ["exporters", ["jaeger"], "jaeger", `${list} console, otlp, in_memory or none`],
    ["exporters", ["otlp", "none"], "otlp,none", `${list} console, otlp, in_memory or none`],
    ["exporters", [], "", `${list} console, otlp, in_memory or none`],
    ["exporters", "otlp", "otlp", `${list} console, otlp, in_memory or none`],
    [
      "sampler",
      "bogus",
      "bogus",
      "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio"
    ],
    ["samplerRatio", 2, "2", "a number from 0 to 1"],
    [
      "samplingRules",
      "name=secret never",
      "name=secret never",
      `rule "name=secret never": write it as conditions, a colon and how often; use ${rules}`
    ],
    ["samplingRulesFile", 1, "1", text],
    [
      "tailRules",
      "eror",
      "eror",
      'rule "eror": "eror" is no rule: use errors, unfinished, always, slower, agent, attribute, tokens, cost, share; ' +
        "use rules such as errors; slower: 2 seconds; agent=critic; share: 0.05"
    ],
    ["propagators", ["bogus"], "bogus", `${list} tracecontext, baggage, b3, b3multi or none`],
    ["redaction", null, "null", "true or false"],
    ["captureContent", "all", "all", "NO_CONTENT, NAMED_ONLY, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT"],
    ["contentLength", 1.5, "1.5", limit],
    ["consoleColors", "yes", "yes", "true or false"],
    ["otlpEndpoint", "ftp://ada:hunter2@host", "ftp://<redacted>@host", "an http:// or https:// URL"],
    ["otlpProtocol", "http", "http", "http/json, http/protobuf or grpc"],
    ["otlpInsecure", "true", "true", "true or false"],
    ["otlpHeaders", { key: "hunter2" }, "<redacted>", "an object of headers whose values are Redacted texts"],
    [
      "otlpHeaders",
      { key: Redacted.make("hunter2\n") },
      "<redacted>",
      "an object of headers whose values are Redacted texts"
    ],
    ["otlpTimeout", Number.NaN, "NaN", `${time}, or Infinity for no limit`],
    ["jaegerHost", "a:b", "a:b", "the name or address of a host"],
    ["jaegerPort", 0, "0", "a whole number of at least 1"],
    ["serviceName", 7, "7", text],
    ["resourceAttributes", { team: 7 }, '{"team":7}', "an object of texts"],
    ["resourceAttributes", ["team"], "team", "an object of texts"],
    ["logFormat", "x", "x", "annotate, json or none"],
    ["shutdownTimeout", "soon", "soon", time],
    ["shutdownTimeout", Infinity, "Infinity", time],
    ["exportTimeout", Number.NaN, "NaN", `${time}, or Infinity for no limit`],
    ["exportTimeout", Duration.millis(-1), "-1 millis", `${time}, or Infinity for no limit`],
    ["batchDelay", {}, "{}", time],
    ["batchDelay", { seconds: Number.NaN }, '{"seconds":NaN}', time],
    ["queueSize", Number.NaN, "NaN", "a whole number of at least 1"],
    ["queueSize", 0, "0", "a whole number of at least 1"],
    ["queueSize", -1, "-1", "a whole number of at least 1"],
    ["queueBytes", Number.NaN, "NaN", "a whole number of at least 1"],
    ["queuePolicy", "drop", "drop", "dropNewest, dropOldest or block"],
    ["batchSize", -1, "-1", "a whole number of at least 1"],
    ["spoolBytes", Infinity, "Infinity", "a whole number of at least 1"],
    ["openSpanWarning", -1, "-1", `${time}, or Infinity`],
    ["attributeValueLength", Number.NaN, "NaN", limit],
    ["spanLinkCount", "10", "10", limit]
  ])("fromRecord() refuses %s %j", (name, value, told, allowed) => {
    const use = allowed.includes("; use ") ? allowed : `use ${allowed}`
    assert.strictEqual(
      messageOf({}, { [name]: value }),
      `${name}: ${JSON.stringify(told)} is not allowed: ${use} (from code)`
    )
  })

  it("fromRecord() takes every default, in any form that times have", () => {
    const defaults = Object.fromEntries(Object.entries(Settings.table).map(([name, row]) => [name, row.default]))
    const given: Partial<Settings.Values> = { ...defaults, exporters: ["in_memory"] }
    for (const [name, { source, value }] of Object.entries(read({}, given)) as ReadonlyArray<
      [keyof Settings.Values, Settings.Setting<unknown>]
    >) {
      if (given[name] === undefined) continue
      assert.deepStrictEqual<unknown>([name, source, value], [name, "code", given[name]])
    }
    const times = read(
      {},
      {
        shutdownTimeout: "2 seconds",
        batchDelay: 250,
        exportTimeout: "Infinity",
        otlpTimeout: { minutes: 1 },
        openSpanWarning: [1, 500_000_000],
        spoolAge: "Infinity"
      }
    )
    assert.deepStrictEqual(
      [
        times.shutdownTimeout,
        times.batchDelay,
        times.exportTimeout,
        times.otlpTimeout,
        times.openSpanWarning,
        times.spoolAge
      ].map(({ value }) => Duration.toMillis(value)),
      [2_000, 250, 2 ** 31 - 1, 60_000, 1_500, Infinity]
    )
  })

  it("fromRecord() refuses what throws when it is looked at", () => {
    const gone = Redacted.make("hunter2")
    Redacted.wipeUnsafe(gone)
    const odd = {
      get team(): string {
        throw new Error("no")
      }
    }
    assert.deepStrictEqual(
      messageOf({}, { otlpHeaders: { key: gone }, resourceAttributes: odd })
        .split("\n")
        .map((line) => line.slice(0, 44)),
      ['otlpHeaders: "<redacted>" is not allowed: us', 'resourceAttributes: "{\\"team\\":\\"[property a']
    )
  })

  it("fromRecord() tells of them beside bad variables, all at once", () => {
    assert.deepStrictEqual(
      messageOf({ TRACING_ENABLED: "maybe" }, { queueSize: 0, profile: "prod" as "test" })
        .split("\n")
        .map((line) => line.slice(0, line.indexOf(":"))),
      ["profile", "TRACING_ENABLED", "queueSize"]
    )
  })
})

describe("messages", () => {
  it("fromRecord() says which rules cannot be read, and why, of the first three", () => {
    const bad = (n: number) => `name=a${n}`
    const text = Array.from({ length: 20_000 }, (_, n) => bad(n)).join(";")
    const message = messageOf({ HANDSPAN_SAMPLING_RULES: text })
    const why = "write it as conditions, a colon and how often"
    assert.strictEqual(
      message,
      `HANDSPAN_SAMPLING_RULES: ${JSON.stringify(`${text.slice(0, 200)}…`)} is not allowed: ` +
        `rule "${bad(0)}": ${why}; rule "${bad(1)}": ${why}; rule "${bad(2)}": ${why}; and 19997 more; ` +
        'use rules such as agent=critic: 0.1; name="chat *": 5/s; *: always (from the environment)'
    )
  })

  it("fromRecord() repeats no more of a text than helps", () => {
    const long = "x".repeat(5_000)
    assert.isBelow(messageOf({ HANDSPAN_SAMPLER: long }).length, 500)
    assert.isBelow(messageOf({ HANDSPAN_SAMPLING_RULES: long }).length, 800)
    assert.isBelow(messageOf({}, { sampler: long as "always_on" }).length, 500)
    assert.isBelow(read({ OTEL_PROPAGATORS: long }).notices.join().length, 500)
  })

  it("fromRecord() puts the notices on an error too", () => {
    assert.strictEqual(
      messageOf({ HANDSPAN_PROFILE: "prod", HANDSPAN_SAMPLR: "1", OTEL_PROPAGATORS: "xray" }),
      [
        'HANDSPAN_PROFILE: "prod" is not allowed: use development, production or test (from the environment)',
        'OTEL_PROPAGATORS: "xray" is ignored: use tracecontext, baggage, b3, b3multi or none, or several with commas between',
        "HANDSPAN_SAMPLR is no setting: did you mean HANDSPAN_SAMPLER?"
      ].join("\n")
    )
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
