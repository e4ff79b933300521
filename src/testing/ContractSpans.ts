/**
 * The spans that `ExporterContract` sends: ordinary ones, those that use all that a span can hold, and those that no
 * program should make. Their ids are those of no other run, as they may go where others have been.
 *
 * @since 0.1.0
 */
import * as SpanRecord from "../SpanRecord.ts"

/**
 * Makes spans for one run of a contract.
 *
 * @since 0.1.0
 */
export class ContractSpans {
  private made = 0
  private readonly traceIdStart = hex(crypto.getRandomValues(new Uint32Array(1))[0] ?? 0, 8)

  /** So many spans of as many traces, one after the other. */
  some(count: number, fields: Partial<SpanRecord.SpanRecord> = {}): ReadonlyArray<SpanRecord.SpanRecord> {
    return Array.from({ length: count }, () => {
      const n = ++this.made
      return SpanRecord.make({
        name: `span ${n}`,
        traceId: `${this.traceIdStart}${hex(n, 24)}`,
        spanId: hex(n, 16),
        startTimeUnixNano: start + BigInt(n) * 1_000_000n,
        endTimeUnixNano: start + BigInt(n) * 1_000_000n + 999n,
        status: { code: "ok" },
        resource,
        ...fields
      })
    })
  }

  /** A trace, each span before its parent, as spans end. */
  tree(): ReadonlyArray<SpanRecord.SpanRecord> {
    const [root] = this.some(1)
    const below = (parent: SpanRecord.SpanRecord | undefined) =>
      this.some(1, { traceId: parent?.traceId ?? "", parentSpanId: parent?.spanId })
    const child = below(root)
    return [...below(child[0]), ...child, ...below(root), root].filter((span) => span !== undefined)
  }

  /** Spans that use every field, and each in more than one way. */
  full(): ReadonlyArray<SpanRecord.SpanRecord> {
    const [root] = this.some(1, { name: "pipeline.photo_agency", flags: 3, traceState: "vendor=1,other=2" })
    return [
      ...this.some(1, {
        traceId: root?.traceId ?? "",
        parentSpanId: root?.spanId,
        parentIsRemote: true,
        flags: 0,
        name: "chat gpt-5 é🌍",
        kind: "client",
        attributes: {
          text: "héllo 🌍\n\ttab",
          empty: "",
          long: "a long text ".repeat(500),
          zero: 0,
          whole: 7,
          negative: -7,
          large: Number.MAX_SAFE_INTEGER,
          part: 1.5,
          yes: true,
          no: false,
          texts: ["a", "", "b"],
          numbers: [1, 2.5, -3],
          flags: [true, false],
          none: []
        },
        events: [
          { name: "first", timeUnixNano: start + 1n, attributes: { n: 1 }, droppedAttributesCount: 2 },
          { name: "second", timeUnixNano: start + 2n, attributes: {}, droppedAttributesCount: 0 }
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
        droppedLinksCount: 5,
        scope: { name: "photos", version: "0.1.0" }
      }),
      ...kinds.flatMap((kind) => this.some(1, { kind, status: { code: "unset" } })),
      ...this.some(1, { resource: { attributes: { "service.name": "other", "process.pid": 42 } } }),
      ...(root === undefined ? [] : [root])
    ]
  }

  /** Spans that a broken program, or a hostile one, may make. */
  odd(): ReadonlyArray<SpanRecord.SpanRecord> {
    return odd.flatMap((fields) => this.some(1, fields))
  }
}

const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, "0")

// A day like any other, in 2026.
const start = 1_767_225_600_000_000_000n

const resource: SpanRecord.Resource = { attributes: { "service.name": "contract" } }

const kinds = ["internal", "server", "client", "producer", "consumer"] as const

const odd: ReadonlyArray<Partial<SpanRecord.SpanRecord>> = [
  { name: "" },
  { name: "\0\r\n\u001b[31m\ud800" },
  { name: "n".repeat(100_000) },
  { spanId: "000000000000000a", parentSpanId: "000000000000000a" },
  { startTimeUnixNano: 0n, endTimeUnixNano: 2n ** 64n - 1n },
  { traceState: ",=\0;", flags: 255 },
  { attributes: JSON.parse('{"": "", "__proto__": "a", "constructor": [], "toString": 1}') },
  { attributes: { nested: [1, "a", true, 2n] as never, text: "t".repeat(100_000) } },
  { status: { code: "error", message: "" }, droppedAttributesCount: 2 ** 32 - 1 },
  { resource: SpanRecord.emptyResource, scope: { name: "", version: "" } }
]
