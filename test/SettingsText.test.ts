import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Settings from "../src/Settings.ts"
import * as SettingsText from "../src/SettingsText.ts"

const read = (record: Record<string, string>, code?: Partial<Settings.Values>) =>
  Result.getOrThrow(Settings.fromRecord(record, code))

const record = {
  HANDSPAN_PROFILE: "production",
  OTEL_SERVICE_NAME: "pho\ttos",
  HANDSPAN_OTLP_HEADERS: "api-key=hunter2,x-team=hunter2",
  OTLP_ENDPOINT: "http://ada:hunter2@collector:4318/?key=hunter2",
  HANDSPAN_SHUTDOWN_TIMEOUT: "90 seconds",
  OTEL_BSP_SCHEDULE_DELAY: "1500",
  OTEL_RESOURCE_ATTRIBUTES: "team=a,zone=b"
}

describe("table", () => {
  it("table() has a line for each setting, without secrets", () => {
    const text = SettingsText.table(read(record))
    assert.strictEqual(text, production)
    assert.notInclude(text, "hunter2")
  })
})

const production = `\
setting                value                               source
profile                production                          HANDSPAN_PROFILE
enabled                true                                default
exporters              otlp                                HANDSPAN_PROFILE
sampler                parentbased_traceidratio            HANDSPAN_PROFILE
samplerRatio           0.1                                 HANDSPAN_PROFILE
samplingRules          -                                   default
samplingRulesFile      -                                   default
tailRules              -                                   default
propagators            tracecontext,baggage                default
inboundTrust           follow                              default
context                none                                default
baggageAttributes      -                                   default
redaction              true                                default
captureContent         NAMED_ONLY                          default
contentLength          16384                               default
consoleFormat          pretty                              default
consoleOutput          stderr                              default
consoleColors          -                                   default
otlpEndpoint           http://<redacted>@collector:4318/v1/traces?<redacted>  OTLP_ENDPOINT
otlpProtocol           -                                   default
otlpInsecure           -                                   default
otlpHeaders            api-key=<redacted>,x-team=<redacted>  HANDSPAN_OTLP_HEADERS
otlpTimeout            10 seconds                          default
otlpCompression        none                                default
otlpCertificate        -                                   default
otlpClientCertificate  -                                   default
otlpClientKey          -                                   default
jaegerHost             localhost                           default
jaegerPort             4318                                default
serviceName            pho\\ttos                            OTEL_SERVICE_NAME
serviceVersion         -                                   default
environment            production                          HANDSPAN_PROFILE
resourceAttributes     team=a,zone=b                       OTEL_RESOURCE_ATTRIBUTES
logFormat              annotate                            default
shutdownTimeout        90 seconds                          HANDSPAN_SHUTDOWN_TIMEOUT
exportTimeout          30 seconds                          default
batchDelay             1500 millis                         OTEL_BSP_SCHEDULE_DELAY
queueSize              262144                              default
queueBytes             67108864                            default
queuePolicy            dropNewest                          default
batchSize              4096                                default
spoolDirectory         -                                   default
spoolBytes             268435456                           default
spoolAge               7 days                              default
pendingSpans           false                               default
openSpanWarning        Infinity                            default
spanAttributeCount     128                                 default
attributeValueLength   Infinity                            default
spanEventCount         128                                 default
spanLinkCount          128                                 default
eventAttributeCount    128                                 default
linkAttributeCount     128                                 default`

describe("data", () => {
  it("data() gives each setting with its source, as JSON has it and without secrets", () => {
    const data = SettingsText.data(read(record, { consoleColors: false, openSpanWarning: Duration.minutes(1) }))
    assert.deepStrictEqual(Object.keys(data), Object.keys(Settings.table))
    assert.deepStrictEqual(JSON.parse(JSON.stringify(data)), data)
    assert.notInclude(JSON.stringify(data), "hunter2")
    const { attributeValueLength, consoleColors, exporters, openSpanWarning, otlpEndpoint, otlpHeaders } = data
    assert.deepStrictEqual<unknown>(
      { attributeValueLength, consoleColors, exporters, openSpanWarning, otlpEndpoint, otlpHeaders },
      {
        attributeValueLength: { value: "Infinity", source: "default" },
        consoleColors: { value: false, source: "code" },
        exporters: { value: ["otlp"], source: "HANDSPAN_PROFILE" },
        openSpanWarning: { value: "1 minute", source: "code" },
        otlpEndpoint: {
          value: "http://<redacted>@collector:4318/v1/traces?<redacted>",
          source: "OTLP_ENDPOINT"
        },
        otlpHeaders: {
          value: { "api-key": "<redacted>", "x-team": "<redacted>" },
          source: "HANDSPAN_OTLP_HEADERS"
        }
      }
    )
    assert.deepStrictEqual(SettingsText.data(read({}))["consoleColors"], { value: null, source: "default" })
  })
})

describe("valueText", () => {
  it.each<[unknown, string]>([
    [undefined, ""],
    ["", ""],
    [[], ""],
    [{}, ""],
    [0, "0"],
    [Infinity, "Infinity"],
    [false, "false"],
    [["a", "b"], "a,b"],
    [{ a: "b", c: Redacted.make("hunter2", { label: "key" }) }, "a=b,c=<redacted>"],
    [Redacted.make("hunter2"), "<redacted>"],
    ["\u001b[2J", "\\u001b[2J"],
    [Duration.zero, "0 millis"],
    [Duration.millis(1), "1 milli"],
    [Duration.millis(1500), "1500 millis"],
    [Duration.seconds(90), "90 seconds"],
    [Duration.minutes(60), "1 hour"],
    [Duration.hours(36), "36 hours"],
    [Duration.infinity, "Infinity"]
  ])("valueText() writes %j", (value, text) => {
    assert.strictEqual(SettingsText.valueText(value), text)
  })

  it("valueText() writes durations as Effect reads them", () => {
    for (const millis of [0, 1, 999, 1000, 61_000, 3_600_000, 86_400_000, 2 ** 31 - 1]) {
      const text = SettingsText.valueText(Duration.millis(millis))
      assert.strictEqual(Duration.toMillis(Duration.fromInputUnsafe(text as "1 second")), millis)
    }
  })
})

describe("safeLines", () => {
  it("safeLines() keeps lines, and nothing else that a terminal obeys", () => {
    assert.strictEqual(SettingsText.safeLines("a\u009b2J\nb\r"), "a\\u009b2J\nb\\r")
  })
})
