/**
 * Any sampler of OpenTelemetry JS as one of ours, its own and those of vendors alike.
 *
 * @since 0.1.0
 */
import * as Api from "@opentelemetry/api"
import type { Sampler } from "../Sampler.ts"
import { spanKinds } from "./OpenTelemetry.ts"

/**
 * What is used of OpenTelemetry's `Sampler` interface.
 *
 * @since 0.1.0
 */
export interface OpenTelemetrySampler {
  readonly shouldSample: (
    context: Api.Context,
    traceId: string,
    spanName: string,
    spanKind: Api.SpanKind,
    attributes: Api.Attributes,
    links: Array<Api.Link>
  ) => { readonly decision: number }
  readonly toString: () => string
}

/**
 * Asks a sampler of OpenTelemetry JS.
 *
 * **Details**: of its answer only the decision counts; what it would record without sampling it is not recorded. It sees
 * the hints of `Sampler.withHints` as attributes, and no links. One that throws takes the trace.
 *
 * @example
 * ```ts
 * import * as OpenTelemetrySampler from "handspan/exporter/OpenTelemetrySampler"
 *
 * const sampler = OpenTelemetrySampler.fromSampler({ shouldSample: () => ({ decision: 2 }), toString: () => "mine" })
 * if (sampler.name !== "mine") throw new Error("expected its name")
 * ```
 *
 * @since 0.1.0
 */
export const fromSampler = (sampler: OpenTelemetrySampler): Sampler => ({
  name: sampler.toString(),
  decide: ({ hints, kind, name, parent, traceId }) => {
    const context =
      parent === undefined
        ? Api.ROOT_CONTEXT
        : Api.trace.setSpanContext(Api.ROOT_CONTEXT, {
            traceId,
            spanId: parent.spanId,
            traceFlags: parent.sampled ? Api.TraceFlags.SAMPLED : Api.TraceFlags.NONE,
            isRemote: parent.isRemote,
            ...(parent.traceState === "" ? {} : { traceState: Api.createTraceState(parent.traceState) })
          })
    const attributes = Object.fromEntries(
      Object.entries(hints).filter(([, value]) => typeof value !== "bigint")
    ) as Api.Attributes
    return {
      sampled: isSampled(() => sampler.shouldSample(context, traceId, name, spanKinds[kind], attributes, [])),
      threshold: undefined
    }
  }
})

/** `RECORD_AND_SAMPLED` of OpenTelemetry's `SamplingDecision`. */
const recordAndSampled = 2

const isSampled = (decide: () => { readonly decision: number }): boolean => {
  try {
    return decide().decision === recordAndSampled
  } catch {
    return true
  }
}
