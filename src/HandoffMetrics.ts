/**
 * How long handoffs and pipelines take and how many fail, as Effect metrics under OpenTelemetry's GenAI names. They count
 * every one, recorded or not: no sampler can make them say something else.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import { Key } from "./Conventions.ts"
import * as SpanEnd from "./SpanEnd.ts"

/**
 * The names of the metrics: histograms of seconds, with `error.type` for those that failed. Agents carry
 * `gen_ai.agent.name`, pipelines `gen_ai.workflow.name`.
 *
 * @since 0.1.0
 */
export const names = {
  agent: "gen_ai.invoke_agent.duration",
  pipeline: "gen_ai.invoke_workflow.duration"
} as const

/** GenAI metrics §invoke_agent.duration. */
const boundaries = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6]

/** An error's type may come from anywhere: beyond so many, others are told together. */
const maxErrorTypes = 100

const errorTypes = new Set<string>()

/**
 * Counts one that has ended.
 *
 * @since 0.1.0
 */
export type Measure = (millis: number, exit: Exit.Exit<unknown, unknown>, context: Context.Context<never>) => void

/**
 * Makes what counts the handoffs to one agent, or the runs of one pipeline.
 *
 * @since 0.1.0
 */
export const make = (kind: keyof typeof names, name: string): Measure => {
  const owner = { [kind === "agent" ? Key.agentName : Key.workflowName]: name }
  const histogram = (attributes: Record<string, string>) => Metric.histogram(names[kind], { attributes, boundaries })
  const well = histogram(owner)
  const failed = new Map<string, Metric.Histogram<number>>()
  const ofError = (error: string): Metric.Histogram<number> => {
    const known = failed.get(error) ?? histogram({ ...owner, [Key.errorType]: error })
    failed.set(error, known)
    return known
  }
  return (millis, exit, context) => {
    const error = Exit.isSuccess(exit) ? "" : errorOf(exit)
    const metric = error === "" ? well : ofError(error)
    metric.updateUnsafe(millis / 1000, context)
  }
}

/** The same word that stands on the span, `""` for what did not fail: an early stop, an interruption. */
const errorOf = (exit: Exit.Failure<unknown, unknown>): string => {
  const { attributes } = SpanEnd.fromExit(exit, { exceptions: 0, textLength: 200, stacks: false })
  const type = attributes[Key.errorType]
  if (typeof type !== "string") return ""
  if (errorTypes.size >= maxErrorTypes && !errorTypes.has(type)) return SpanEnd.otherError
  errorTypes.add(type)
  return type
}
