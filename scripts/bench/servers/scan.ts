// Finds the span ids in what exporters send. Of protobuf it reads every field down to the spans' own and copies nothing;
// every sender of protobuf is read by it, and every sender of JSON by `JSON.parse`.

/** What is told of each span: its id in two unsigned halves. */
export type OnSpan = (high: number, low: number) => void

/** Reads an OTLP ExportTraceServiceRequest. Throws on bytes that are none. */
export const scanProtobuf = (bytes: Buffer, onSpan: OnSpan): void =>
  fields(bytes, 0, bytes.length, (field, start, end) => {
    if (field === requestResourceSpans) resourceSpans(bytes, start, end, onSpan)
  })

// Field numbers of opentelemetry/proto/trace/v1/trace.proto.
const requestResourceSpans = 1
const resourceScopeSpans = 2
const scopeSpans = 2
const spanId = 2

const resourceSpans = (bytes: Buffer, start: number, end: number, onSpan: OnSpan): void =>
  fields(bytes, start, end, (field, start, end) => {
    if (field !== resourceScopeSpans) return
    fields(bytes, start, end, (field, start, end) => {
      if (field === scopeSpans) span(bytes, start, end, onSpan)
    })
  })

const span = (bytes: Buffer, start: number, end: number, onSpan: OnSpan): void => {
  let found = false
  fields(bytes, start, end, (field, start, end) => {
    if (field !== spanId || end - start !== 8) return
    found = true
    onSpan(bytes.readUInt32BE(start), bytes.readUInt32BE(start + 4))
  })
  if (!found) throw new Error("Cannot read a span: it has no id of 8 bytes")
}

type OnField = (field: number, start: number, end: number) => void

/** Goes over the fields of a message. Where each one's content is, is told of those that have a length. */
const fields = (bytes: Buffer, start: number, end: number, onField: OnField): void => {
  let at = start
  const varint = (): number => {
    let value = 0
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++] ?? 0
      value += (byte & 127) * shift
      if (byte < 128) return value
    }
  }
  while (at < end) {
    const tag = varint()
    const wireType = tag & 7
    if (wireType === 0) varint()
    else if (wireType === 1) at += 8
    else if (wireType === 5) at += 4
    else if (wireType === 2) {
      const length = varint()
      onField(tag >>> 3, at, at + length)
      at += length
    } else throw new Error(`Cannot read a message: wire type ${wireType} is none`)
  }
  if (at !== end) throw new Error("Cannot read a message: a field goes beyond its end")
}

/** Reads OTLP JSON, or what the exporters of OpenAI and Mastra send. */
export const scanJson = (text: string, onSpan: OnSpan): void => {
  for (const id of jsonIds(JSON.parse(text) as Body)) {
    // OpenAI's ids are longer than OpenTelemetry's, and begin with a word.
    onSpan(Number.parseInt(id.slice(-16, -8), 16), Number.parseInt(id.slice(-8), 16))
  }
}

interface Body {
  /** OTLP's. */
  readonly resourceSpans?: ReadonlyArray<{
    readonly scopeSpans: ReadonlyArray<{ readonly spans: ReadonlyArray<{ readonly spanId: string }> }>
  }>
  /** OpenAI's, in which a trace is an item too. */
  readonly data?: ReadonlyArray<{ readonly object: string; readonly id: string }>
  /** Mastra's. */
  readonly spans?: ReadonlyArray<{ readonly spanId: string }>
}

const jsonIds = ({ data = [], resourceSpans = [], spans = [] }: Body): ReadonlyArray<string> => [
  ...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans.map(({ spanId }) => spanId))),
  ...data.filter(({ object }) => object === "trace.span").map(({ id }) => id),
  ...spans.map(({ spanId }) => spanId)
]
