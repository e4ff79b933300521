/**
 * The testing kit, imported as `handspan/testing`: deterministic tracing for a test, and what to say of the trace. Each
 * part has a module in `testing/`; matchers for vitest are `handspan/testing/vitest`.
 *
 * @since 0.1.0
 */
export {
  attempts,
  before,
  fannedIn,
  type Handoff,
  handedOff,
  handoffs,
  never,
  overlaps,
  spansNamed,
  toolCalls
} from "./analysis/Handoffs.ts"
export * as SpanQuery from "./analysis/SpanQuery.ts"
export { busContract, type BusContractOptions, type BusRule } from "./testing/BusContract.ts"
export { collect, type Collected, CollectError, type CollectOptions } from "./testing/Collect.ts"
export { type Case, ContractError } from "./testing/Contract.ts"
export { expectTrace, TraceAssertionError, type TraceExpectation } from "./testing/ExpectTrace.ts"
export { exporterContract, type ExporterContractOptions, type ExporterRule } from "./testing/ExporterContract.ts"
export { type Law, type Violation, violations } from "./testing/Laws.ts"
export {
  propagatorContract,
  type PropagatorContractOptions,
  type PropagatorRule
} from "./testing/PropagatorContract.ts"
export * as OtlpReceiver from "./testing/OtlpReceiver.ts"
export { samplerContract, type SamplerContractOptions, type SamplerRule } from "./testing/SamplerContract.ts"
export { type Behaviour, pipeline, type Stub, stub } from "./testing/Stubs.ts"
export {
  clear,
  layer,
  layerWith,
  type Options,
  record,
  type Recorded,
  type RecordOptions,
  trace,
  Traces,
  traces
} from "./testing/TestTracing.ts"
export * as Tree from "./testing/Tree.ts"
export { renderTree } from "./testing/TreeSnapshot.ts"
