// What the bench reports: one row for each thing that tracing can cost, and the number that Handspan holds itself to.
// A gate that is missed is printed, never a failure of the bench.

/** The bound of a row. Those without one are reported for what they are. */
export interface Gate {
  readonly bound: "at most" | "at least"
  readonly value: number
}

export interface Row {
  readonly what: string
  /** The unit of Handspan's number and its peers'; `x native` reads "times what the native tracer takes". */
  readonly unit: string
  readonly gate?: Gate
  readonly reachFor?: number
}

const atMost = (value: number): Gate => ({ bound: "at most", value })
const atLeast = (value: number): Gate => ({ bound: "at least", value })
/** Costs that must not grow with the number: measurements of the same thing differ by up to this. */
const flat = atMost(1.3)
const none = atMost(0)

const rows = {
  record: {
    what: "a handoff, traced and encoded",
    unit: "x native",
    gate: atMost(1.35),
    reachFor: 0.8
  },
  "record.withSpan": { what: "a span of Effect.withSpan, traced and encoded", unit: "x native", gate: atMost(1.35) },
  "share-of-request": { what: "five handoffs in a request of 25,949 ms", unit: "% of it", gate: atMost(0.01) },
  primitive: {
    what: "an Effect primitive inside of a span",
    unit: "x outside",
    gate: atMost(1.15),
    reachFor: 1
  },
  unsampled: { what: "an unsampled handoff", unit: "x no span", gate: atMost(4), reachFor: 1.1 },
  failing: { what: "a span that fails, beyond the failure", unit: "us", gate: atMost(20) },
  "scaling.open": { what: "a span with 1,000,000 others open", unit: "x with 10", gate: flat },
  "scaling.depth": { what: "a span of a chain of 1,000", unit: "x alone", gate: flat },
  "scaling.fanout": { what: "one of 10,000 spans side by side", unit: "x alone", gate: flat },
  "scaling.attributes": { what: "a span with 128 attributes", unit: "x native", gate: atMost(1) },
  cpu: { what: "CPU time of a span, sent and acknowledged", unit: "x native", gate: atMost(1.5), reachFor: 1 },
  throughput: {
    what: "spans a second, received and decoded",
    unit: "x OpenTelemetry",
    gate: atLeast(1.6),
    reachFor: 2.3
  },
  wire: { what: "bytes of a span on the wire, gzipped", unit: "x OTLP JSON", gate: atMost(0.036) },
  "wire.zstd": { what: "the same by zstd, which few receivers take", unit: "x OTLP JSON", gate: atMost(0.036) },
  "memory.buffered": {
    what: "memory of a span that waits",
    unit: "x its protobuf",
    gate: atMost(1.1),
    reachFor: 1
  },
  "memory.rss": { what: "memory added by 2,000,000 spans at full speed", unit: "MB", gate: atMost(30), reachFor: 20 },
  "pipeline.cpu": {
    what: "CPU time added to a realistic pipeline",
    unit: "x native",
    gate: atMost(1.3),
    reachFor: 0.6
  },
  "pipeline.p95": {
    what: "P95 added to it, with 20 ms of thinking",
    unit: "%",
    gate: atMost(3),
    reachFor: 1
  },
  "per-span.console": { what: "CPU time added by a span, printed", unit: "us", gate: atMost(1_000) },
  "per-span.otlp": { what: "CPU time added by a span, sent", unit: "us", gate: atMost(5_000) },
  "loss.fullspeed": { what: "200,000 spans at full speed", unit: "spans lost", gate: none },
  "loss.503": { what: "503 for 10 s", unit: "spans lost", gate: none },
  "loss.down10": { what: "connections refused for 10 s", unit: "spans lost", gate: none },
  "loss.down60": { what: "connections refused for 60 s", unit: "spans lost", gate: none },
  "loss.exit": { what: "process.exit right after the last span", unit: "spans lost", gate: none },
  "loss.kill": { what: "kill -9, with a spool", unit: "spans lost", gate: none }
} satisfies Record<string, Row>

export type Id = keyof typeof rows

export const ids = Object.keys(rows) as ReadonlyArray<Id>

export const isLoss = (id: Id): boolean => id.startsWith("loss.")

export const rowOf = (id: Id): Row => rows[id]

/** Whether a number of Handspan's is within the bound of its row. */
export const isMet = (id: Id, handspan: number): boolean => {
  const { gate } = rowOf(id)
  if (gate === undefined) return true
  return gate.bound === "at most" ? handspan <= gate.value : handspan >= gate.value
}
