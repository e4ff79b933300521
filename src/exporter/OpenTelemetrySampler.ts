/**
 * Any sampler of OpenTelemetry JS as one of ours, its own and those of vendors alike.
 *
 * @since 0.1.0
 */
import * as Api from "@opentelemetry/api"
import * as Result from "effect/Result"
import * as Sampler from "../Sampler.ts"
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
 * **Details**: it is asked about every span, as OpenTelemetry does, unless `asksInside` says otherwise. Of its answer only
 * the decision counts; what it would record without sampling it is not recorded. It sees the hints of `Sampler.withHints`
 * as attributes, and no links. One that throws takes what the span's parent took, and the first span of a trace.
 *
 * **Gotchas**: a sampler that counts or throws dice tears traces where it is asked inside of them, here as there. Put it
 * into `Sampler.parentBased` as `root`, or have it asked about first spans alone.
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
export const fromSampler = (
  sampler: OpenTelemetrySampler,
  options: {
    /**
     * Which spans inside of a trace it is asked about: `all` of them; those of traces that are `taken`, which spares work
     * that nobody records; or `none`, which costs nothing there, and is enough for one that goes by the first span or the
     * id of a trace. Default: `all`.
     */
    readonly asksInside?: "all" | "taken" | "none" | undefined
  } = {}
): Sampler.Sampler => {
  const { asksInside = "all" } = options
  return {
    name: sampler.toString(),
    asksInside: asksInside === "none" ? undefined : asksInside,
    decide: (question) => {
      const { hints, kind, name, traceId } = question
      const attributes = Object.fromEntries(
        Object.entries(hints).filter(([, value]) => typeof value !== "bigint")
      ) as Api.Attributes
      const answered = Result.try(
        () =>
          sampler.shouldSample(contextOf(question), traceId, name, spanKinds[kind], attributes, []).decision ===
          recordAndSampled
      )
      return Result.isSuccess(answered)
        ? { sampled: answered.success, threshold: undefined }
        : Sampler.asParent(question)
    }
  }
}

const contextOf = ({ parent, traceId }: Sampler.Question): Api.Context =>
  parent === undefined
    ? Api.ROOT_CONTEXT
    : Api.trace.setSpanContext(Api.ROOT_CONTEXT, {
        traceId,
        spanId: parent.spanId,
        traceFlags: parent.sampled ? Api.TraceFlags.SAMPLED : Api.TraceFlags.NONE,
        isRemote: parent.isRemote,
        ...(parent.traceState === "" ? {} : { traceState: Api.createTraceState(parent.traceState) })
      })

/** `RECORD_AND_SAMPLED` of OpenTelemetry's `SamplingDecision`. */
const recordAndSampled = 2
