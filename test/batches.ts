// Spans in the form in which deliveries and exporters take them.
import { Result } from "effect"
import * as OtlpProtobuf from "../src/OtlpProtobuf.ts"
import type { Batch } from "../src/SpanBuffer.ts"
import { fromRecord } from "../src/EncodableSpan.ts"
import { type EncodedSpan, SpanEncoder } from "../src/SpanEncoder.ts"
import type { SpanRecord } from "../src/SpanRecord.ts"

export const encoded = (span: SpanRecord): EncodedSpan => new SpanEncoder().encode(fromRecord(span))

export const batchOf = OtlpProtobuf.encode

export const spansOf = (batch: Batch): ReadonlyArray<SpanRecord> => Result.getOrThrow(OtlpProtobuf.decode(batch.bytes))
