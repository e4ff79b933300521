import { assert, describe, it } from "@effect/vitest"
import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer"
import { InMemorySpanExporter } from "@opentelemetry/sdk-trace-base"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as TestConsole from "effect/testing/TestConsole"
import { type Exporter, ExportError } from "../../src/Exporter.ts"
import * as Console from "../../src/exporter/Console.ts"
import * as Memory from "../../src/exporter/Memory.ts"
import * as OpenTelemetry from "../../src/exporter/OpenTelemetry.ts"
import * as OtlpHttp from "../../src/exporter/OtlpHttp.ts"
import * as OtlpJson from "../../src/OtlpJson.ts"
import * as OtlpProtobuf from "../../src/OtlpProtobuf.ts"
import type { Batch } from "../../src/SpanBuffer.ts"
import type { SpanRecord } from "../../src/SpanRecord.ts"
import type * as Contract from "../../src/testing/Contract.ts"
import {
  exporterContract,
  type ExporterContractOptions,
  type ExporterRule
} from "../../src/testing/ExporterContract.ts"
import * as OtlpReceiver from "../../src/testing/OtlpReceiver.ts"

const run = (cases: ReadonlyArray<Contract.Case>) => {
  for (const { check, rule } of cases) it.effect(rule, () => check)
}

describe("Memory", () => {
  let memory = Memory.make()
  const make = (options?: { readonly capacity: number }) =>
    Effect.sync(() => {
      memory = Memory.make(options)
      return memory.exporter
    })
  run(
    exporterContract({
      make: make(),
      makeRefusing: make({ capacity: 2 }),
      received: Effect.suspend(() => memory.spans.all)
    })
  )
})

describe("Console", () => {
  run(
    exporterContract({
      make: Effect.sync(() => Console.make({ format: "json", output: "stdout" })),
      received: Effect.map(TestConsole.logLines, (lines) =>
        lines.flatMap((line) => Result.getOrThrow(OtlpJson.decodeText(String(line))))
      )
    })
  )
})

describe("OtlpHttp", () => {
  for (const compression of ["none", "gzip", "zstd"] as const) {
    let receiver: OtlpReceiver.OtlpReceiver | undefined
    const make = Effect.flatMap(OtlpReceiver.open, (opened) => {
      receiver = opened
      const url = new URL("/v1/traces", opened.url)
      return OtlpHttp.make({ url, headers: {}, timeout: "10 seconds", compression })
    })
    describe(compression, () =>
      run(
        exporterContract({
          make,
          makeRefusing: Effect.andThen(
            make,
            OtlpHttp.make({ url: new URL("http://127.0.0.1:9"), headers: {}, timeout: "1 second", compression })
          ),
          received: Effect.sync(() => receiver?.spans() ?? [])
        })
      )
    )
  }
})

describe("OpenTelemetry", () => {
  let memory = new InMemorySpanExporter()
  const failing: OpenTelemetry.SpanExporter = {
    export: (_, done) => done({ code: 1 }),
    shutdown: () => Promise.resolve()
  }
  // The SDK's forgets all when it is shut down.
  const kept = () =>
    OpenTelemetry.fromSpanExporter("in memory", {
      export: (spans, done) => memory.export(spans, done),
      forceFlush: () => memory.forceFlush(),
      shutdown: () => Promise.resolve()
    })
  run(
    exporterContract({
      make: Effect.sync(() => {
        memory = new InMemorySpanExporter()
        return kept()
      }),
      makeRefusing: Effect.sync(() => OpenTelemetry.fromSpanExporter("in memory", failing)),
      received: Effect.sync(() =>
        Result.getOrThrow(
          OtlpProtobuf.decode(ProtobufTraceSerializer.serializeRequest(memory.getFinishedSpans()) ?? new Uint8Array())
        )
      ),
      skip: { exactNumbers: "OpenTelemetry's attributes hold no integers beyond 2^53" }
    })
  )
})

/** An exporter that keeps spans by the rules, but for what is given. */
const broken = (
  make: (keep: (batch: Batch) => void, spans: () => Array<SpanRecord>) => Partial<Exporter>,
  options: Partial<ExporterContractOptions<never>> = {}
) => {
  let spans: Array<SpanRecord> = []
  const keep = ({ bytes }: Batch) => void spans.push(...Result.getOrThrow(OtlpProtobuf.decode(bytes)))
  const made = Effect.sync((): Exporter => {
    spans = []
    return {
      name: "broken",
      export: (batch) => Effect.sync(() => keep(batch)),
      flush: Effect.void,
      shutdown: Effect.void,
      ...make(keep, () => spans)
    }
  })
  return exporterContract({ make: made, makeRefusing: made, received: Effect.sync(() => spans), ...options })
}

const refusal = (refused: number, exporter = "broken") =>
  new ExportError({ exporter, message: "full", retryable: false, refused })

const seenOf = (id: ExporterRule, cases: ReadonlyArray<Contract.Case>) =>
  Effect.gen(function* () {
    const found = cases.find((one) => one.id === id)
    const error = yield* Effect.flip(found!.check)
    assert.strictEqual(error.rule, found?.rule)
    assert.strictEqual(error.message, `Broken rule: ${error.rule}\nseen: ${error.seen}`)
    return error.seen
  })

describe("exporterContract", () => {
  it.effect("finds nothing wrong with an exporter that keeps the rules, each time that it is asked", () =>
    Effect.gen(function* () {
      for (let round = 0; round < 2; round++) {
        for (const { check, id } of broken(() => ({}))) if (id !== "refused") yield* check
      }
    })
  )

  it.effect("names what is skipped, and why", () =>
    Effect.gen(function* () {
      const cases = exporterContract({
        make: Effect.die("not made"),
        received: Effect.succeed([]),
        skip: { inOrder: "it sorts" }
      })
      const skipped = cases.filter(({ rule }) => rule.includes("skipped"))
      assert.deepStrictEqual(
        skipped.map(({ rule }) => rule.split(" (")[1]),
        ["skipped: there is no makeRefusing)", "skipped: it sorts)"]
      )
      for (const { check } of skipped) yield* check
      assert.strictEqual(yield* seenOf("flush", cases), 'it died of "not made"')
    })
  )

  const exporting = (act: (batch: Batch, keep: (batch: Batch) => void) => unknown) =>
    broken((keep) => ({ export: (batch) => Effect.sync(() => act(batch, keep)) }))

  const cases: ReadonlyArray<
    readonly [rule: ExporterRule, how: string, cases: () => ReadonlyArray<Contract.Case>, seen: string | RegExp]
  > = [
    ["described", "has no name", () => broken(() => ({ name: "" })), 'the name ""'],
    ["described", "has half a concurrency", () => broken(() => ({ concurrency: 0.5 })), "the concurrency 0.5"],
    [
      "lazy",
      "exports when it is called",
      () => broken((keep) => ({ export: (batch) => (keep(batch), Effect.void) })),
      "a span has arrived of an export that was not run"
    ],
    [
      "wholeBatch",
      "takes one span",
      () => broken((keep, spans) => ({ export: (batch) => Effect.sync(() => (keep(batch), spans().splice(1))) })),
      /^span "span \d+": sent once, received 0 times$/
    ],
    [
      "wholeBatch",
      "takes all twice",
      () => exporting((batch, keep) => [keep(batch), keep(batch)]),
      /^span "span \d+": sent once, received 2 times$/
    ],
    [
      "wholeBatch",
      "refuses",
      () => broken(() => ({ export: () => refusal(1) })),
      "export failed with ExportError: full"
    ],
    [
      "wholeBatch",
      "gives no Effect",
      () => broken(() => ({ export: () => undefined as never })),
      "export gave no Effect"
    ],
    [
      "refused",
      "refuses one and takes none",
      () => broken(() => ({ export: () => refusal(1) })),
      "of 3 spans export refused 1, and 0 have arrived"
    ],
    [
      "refused",
      "refuses too many",
      () => broken(() => ({ export: () => refusal(4) })),
      "export of 3 spans failed with refused: 4"
    ],
    [
      "refused",
      "has another name",
      () => broken(() => ({ export: () => refusal(3, "else") })),
      'exporter "broken" failed by the name "else"'
    ],
    [
      "refused",
      "fails otherwise",
      () => broken(() => ({ export: () => Effect.fail(new Error("full") as never) })),
      "export failed with Error: full"
    ],
    [
      "refused",
      "refuses nothing",
      () => broken(() => ({})),
      "export took the whole batch: makeRefusing must refuse some"
    ],
    [
      "allFields",
      "loses a field",
      () =>
        broken((keep, spans) => ({
          export: (batch) =>
            Effect.sync(() => {
              keep(batch)
              for (const [at, span] of spans().entries()) {
                spans()[at] = { ...span, events: span.events.map((event) => ({ ...event, timeUnixNano: 0n })) }
              }
            })
        })),
      'span "chat gpt-5 é🌍": events.0.timeUnixNano: sent 1767225600000000001n, received 0n'
    ],
    [
      "exactNumbers",
      "knows no large numbers",
      () =>
        broken((keep, spans) => ({
          export: (batch) =>
            Effect.sync(() => {
              keep(batch)
              const rounded = spans().map((span) => ({ ...span, attributes: { ...span.attributes, most: 2 ** 63 } }))
              spans().splice(0, spans().length, ...rounded)
            })
        })),
      /^span "span \d+": attributes.most: sent 9223372036854775807n, received 9223372036854776000$/
    ],
    [
      "largeBatch",
      "takes large batches and loses them",
      () => broken((keep) => ({ export: (batch) => Effect.sync(() => batch.bytes.length < 100_000 && keep(batch)) })),
      /^span "span 1": sent once, received 0/
    ],
    [
      "anySpans",
      "dies of an empty name",
      () =>
        broken((keep, spans) => ({
          export: (batch) =>
            Effect.sync(() => {
              keep(batch)
              if (spans().some(({ name }) => name === "")) throw new Error("no name")
            })
        })),
      "export died of Error: no name"
    ],
    [
      "inOrder",
      "puts the last first",
      () =>
        broken((keep, spans) => ({
          export: (batch) => Effect.sync(() => (keep(batch), spans().unshift(...spans().splice(-batch.count))))
        })),
      /^the spans came as span 7, span 8, span 5, .*, span 2$/
    ],
    [
      "bytesNotKept",
      "keeps the bytes",
      () => {
        let kept: Array<Batch> = []
        return broken((keep) => ({
          export: (batch) => Effect.sync(() => void kept.push(batch)),
          flush: Effect.sync(() => {
            for (const batch of kept) keep(batch)
            kept = []
          })
        }))
      },
      /^flush died of OtlpProtobufError: Cannot read OTLP protobuf: byte 0: /
    ],
    [
      "bytesNotChanged",
      "writes to the bytes",
      () => exporting((batch, keep) => [keep(batch), batch.bytes.fill(7, 3)]),
      /^byte 3 was \d+, and is 7$/
    ],
    [
      "concurrency",
      "does one at a time",
      () => {
        let isBusy = false
        return broken((keep) => ({
          concurrency: 4,
          export: (batch) =>
            Effect.gen(function* () {
              if (isBusy) return yield* Effect.die("busy")
              isBusy = true
              yield* Effect.yieldNow
              isBusy = false
              keep(batch)
            })
        }))
      },
      'export died of "busy"'
    ],
    [
      "interruption",
      "holds a lock for good",
      () => {
        let isLocked = false
        return broken(
          (keep) => ({
            export: (batch) =>
              Effect.gen(function* () {
                if (isLocked) return yield* Effect.never
                isLocked = true
                yield* Effect.yieldNow
                isLocked = false
                keep(batch)
              })
          }),
          { timeout: "50 millis" }
        )
      },
      "export has not ended after 50ms"
    ],
    [
      "interruption",
      "cannot be interrupted",
      () => broken(() => ({ export: () => Effect.uninterruptible(Effect.never) }), { timeout: "50 millis" }),
      "an interrupted export has not ended after 50ms"
    ],
    [
      "flush",
      "does not wait for what it holds",
      () => broken((keep) => ({ export: (batch) => Effect.sync(() => void setTimeout(() => keep(batch))) })),
      /^span "span \d+": sent once, received 0 times$/
    ],
    [
      "flush",
      "returns once",
      () => {
        let flushes = 0
        return broken(() => ({ flush: Effect.suspend(() => (++flushes > 1 ? Effect.never : Effect.void)) }), {
          timeout: "50 millis"
        })
      },
      "flush has not ended after 50ms"
    ],
    [
      "nothingSent",
      "waits for something",
      () => {
        let isUsed = false
        return broken(
          (keep) => ({
            export: (batch) => Effect.sync(() => ((isUsed = true), keep(batch))),
            shutdown: Effect.suspend(() => (isUsed ? Effect.void : Effect.never))
          }),
          { timeout: "50 millis" }
        )
      },
      "shutdown has not ended after 50ms"
    ],
    [
      "shutdown",
      "sends all again",
      () =>
        broken((_, spans) => ({
          shutdown: Effect.sync(() => void spans().push(...spans()))
        })),
      /^span "span \d+": sent once, received 2 times$/
    ],
    [
      "atExit",
      "says what did not happen",
      () => broken(() => ({ exportAtExit: (batches) => batches.map(({ count }) => count) })),
      "it says that it took 1 spans, and 0 have arrived"
    ],
    [
      "atExit",
      "says nothing",
      () => broken(() => ({ exportAtExit: () => [] })),
      "of batches of 1, 2 and 3 spans it says []"
    ],
    [
      "atExit",
      "throws",
      () =>
        broken(() => ({
          exportAtExit: () => {
            throw new Error("no")
          }
        })),
      "it died of Error: no"
    ]
  ]

  for (const [id, how, make, seen] of cases) {
    it.effect(`tells by rule ${id} of an exporter that ${how}`, () =>
      Effect.map(seenOf(id, make()), (text) => {
        if (typeof seen === "string") assert.strictEqual(text, seen)
        else assert.match(text, seen)
      })
    )
  }

  it("has a broken exporter for each rule", () => {
    assert.deepStrictEqual(
      new Set(cases.map(([id]) => id)),
      new Set(broken(() => ({})).map(({ id }) => id as ExporterRule))
    )
  })
})
