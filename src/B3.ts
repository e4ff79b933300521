/**
 * Zipkin's B3 as values: reading and writing its one header, `b3`, and its headers of their own, `x-b3-traceid` and so on. Which
 * of them a boundary uses is `Propagator`'s.
 *
 * @since 0.1.0
 */
import * as TraceContext from "./TraceContext.ts"

const many = ["x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags", "x-b3-parentspanid"] as const

/**
 * The headers of both forms.
 *
 * @since 0.1.0
 */
export const fields: ReadonlyArray<string> = ["b3", ...many]

/**
 * Reads either form, the one header first (OpenTelemetry Context API §B3 Extract).
 *
 * **Details**: trace ids of 16 digits get zeros on their left. Gives `undefined` where neither form can be read; never fails.
 *
 * @since 0.1.0
 */
export const parse = (get: (name: string) => ReadonlyArray<string>): TraceContext.TraceContext | undefined => {
  const one = (name: string): string | undefined => {
    const [value, ...others] = get(name)
    return others.length === 0 ? value?.trim() : undefined
  }
  const [traceId, spanId, sampled] = one("b3")?.split("-") ?? []
  const [traceIdName, spanIdName, sampledName, flagsName] = many
  return (
    contextOf(traceId, spanId, sampled) ??
    contextOf(one(traceIdName), one(spanIdName), one(flagsName) === "1" ? "d" : one(sampledName))
  )
}

/**
 * The headers that are there and should name a span. A decision may come by itself.
 *
 * @since 0.1.0
 */
export const naming = (get: (name: string) => ReadonlyArray<string>): ReadonlyArray<string> =>
  ["b3", ...many.slice(0, 2)].filter((name) => get(name).some((value) => !/^[01d]$/.test(value.trim())))

const contextOf = (
  traceId = "",
  spanId = "",
  // Left to us, which is to take it: samplers see that its parent is sampled.
  sampled = "1"
): TraceContext.TraceContext | undefined => {
  const ids = {
    traceId: traceId.toLowerCase().padStart(traceId.length === 16 ? 32 : 0, "0"),
    spanId: spanId.toLowerCase()
  }
  if (!TraceContext.isTraceId(ids.traceId) || !TraceContext.isSpanId(ids.spanId)) return undefined
  const flags =
    sampled === "d"
      ? TraceContext.flagSampled | TraceContext.flagDebug
      : /^(1|true)$/i.test(sampled)
        ? TraceContext.flagSampled
        : 0
  return { ...ids, flags, traceState: "" }
}

const decision = ({ flags }: TraceContext.TraceContext): "d" | "1" | "0" =>
  flags & TraceContext.flagDebug ? "d" : flags & TraceContext.flagSampled ? "1" : "0"

/**
 * Writes the one header of a context with valid ids. It has no room for a tracestate, nor for the random flag.
 *
 * @since 0.1.0
 */
export const formatOne = (
  context: TraceContext.TraceContext
): ReadonlyArray<readonly [name: string, value: string]> => [
  ["b3", `${context.traceId}-${context.spanId}-${decision(context)}`]
]

/**
 * Writes the headers of their own of a context with valid ids.
 *
 * @since 0.1.0
 */
export const formatMany = (
  context: TraceContext.TraceContext
): ReadonlyArray<readonly [name: string, value: string]> => {
  const sampled = decision(context)
  return [
    ["x-b3-traceid", context.traceId],
    ["x-b3-spanid", context.spanId],
    sampled === "d" ? ["x-b3-flags", "1"] : ["x-b3-sampled", sampled]
  ]
}
