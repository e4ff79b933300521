/**
 * Handspan: tracing for agent workflows. Every module is a namespace here and an import of its own, such as
 * `handspan/Agent`.
 *
 * @since 0.1.0
 */
export * as Agent from "./Agent.ts"
export * as Conventions from "./Conventions.ts"
export * as Correlation from "./Correlation.ts"
export * as Delivery from "./Delivery.ts"
export * as Enablement from "./Enablement.ts"
export * as Exporter from "./Exporter.ts"
export * as Handoff from "./Handoff.ts"
export * as Instrument from "./Instrument.ts"
export * as Ledger from "./Ledger.ts"
export * as Memory from "./exporter/Memory.ts"
export * as OtlpJson from "./OtlpJson.ts"
export * as OtlpProtobuf from "./OtlpProtobuf.ts"
export * as Pipeline from "./Pipeline.ts"
export * as Propagator from "./Propagator.ts"
export * as Recorder from "./Recorder.ts"
export * as Sampler from "./Sampler.ts"
export * as Sampling from "./Sampling.ts"
export * as SamplingRules from "./SamplingRules.ts"
export * as Settings from "./Settings.ts"
export * as SpanBuffer from "./SpanBuffer.ts"
export * as SpanEnd from "./SpanEnd.ts"
export * as SpanRecord from "./SpanRecord.ts"
export * as Summary from "./analysis/Summary.ts"
export * as Timeline from "./analysis/Timeline.ts"
export * as TraceContext from "./TraceContext.ts"
export * as TraceTree from "./TraceTree.ts"
export * as Tracing from "./Tracing.ts"
