// Spans that use all that a span can hold, for what writes and reads them.
import * as SpanRecord from "../src/SpanRecord.ts"

const resource: SpanRecord.Resource = { attributes: { "service.name": "photos", "process.pid": 42 } }

export const sampleSpans: ReadonlyArray<SpanRecord.SpanRecord> = [
  SpanRecord.make({
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    spanId: "00f067aa0ba902b7",
    name: "pipeline.photo_agency",
    startTimeUnixNano: 1_795_225_539_184_899_250n,
    endTimeUnixNano: 1_795_225_539_189_391_082n,
    status: { code: "ok" },
    resource
  }),
  SpanRecord.make({
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    spanId: "00f067aa0ba902b8",
    parentSpanId: "00f067aa0ba902b7",
    parentIsRemote: true,
    flags: 3,
    traceState: "vendor=1",
    name: "chat gpt-4o",
    kind: "client",
    startTimeUnixNano: 1_795_225_539_184_899_251n,
    endTimeUnixNano: 1_795_225_539_189_391_081n,
    attributes: {
      text: "héllo 🌍",
      long: "a long text ".repeat(500),
      whole: 7,
      negative: -7,
      large: 2 ** 53 - 1,
      part: 1.5,
      yes: true,
      list: ["a", "b"],
      mixed: [1, 2.5],
      none: []
    },
    events: [
      { name: "token", timeUnixNano: 1_795_225_539_185_000_000n, attributes: { n: 1 }, droppedAttributesCount: 2 }
    ],
    links: [
      {
        traceId: "0af7651916cd43dd8448eb211c80319c",
        spanId: "b7ad6b7169203331",
        flags: 1,
        traceState: "a=b",
        attributes: { why: "fan-in" },
        droppedAttributesCount: 1
      }
    ],
    status: { code: "error", message: "rate limited" },
    droppedAttributesCount: 3,
    droppedEventsCount: 4,
    droppedLinksCount: 2 ** 32 - 1,
    resource,
    scope: { name: "handspan", version: "0.1.0" }
  }),
  SpanRecord.make({ name: "other service", kind: "consumer", resource: { attributes: { "service.name": "other" } } })
]
