/**
 * What of the inputs and outputs of agents and pipelines is recorded: nothing, the fields that they name, or all, as the
 * tracing that is in place wants it. How content is made fit to be seen is the Recorder's.
 *
 * @since 0.1.0
 */
import * as Exit from "effect/Exit"
import type * as Tracer from "effect/Tracer"
import { Content, type Wanted } from "./Content.ts"
import { Key } from "./Conventions.ts"
import * as JsonText from "./JsonText.ts"
import * as SpanRecord from "./SpanRecord.ts"

/**
 * Which fields of an input and of an output are recorded, or `true` for all of it. Where it is a list, the fields are those
 * of its items. A side that is not named is never recorded.
 *
 * @since 0.1.0
 */
export interface Capture<in I, in A> {
  readonly input?: true | ReadonlyArray<FieldOf<I>> | undefined
  readonly output?: true | ReadonlyArray<FieldOf<A>> | undefined
}

/**
 * The names of the fields of a value, or of the items of a list.
 *
 * @since 0.1.0
 */
export type FieldOf<T> =
  T extends ReadonlyArray<infer Item> ? FieldOf<Item> : T extends object ? keyof T & string : never

/**
 * Records the input of work that begins on a span; what it gives back is to be called with how the work ended.
 *
 * @since 0.1.0
 */
export type Begin = (
  span: Tracer.Span,
  wanted: Wanted,
  input: unknown
) => ((exit: Exit.Exit<unknown, unknown>, now: bigint) => void) | undefined

/**
 * Makes what records the content of one agent or pipeline.
 *
 * @since 0.1.0
 */
export const make = (options: {
  /** What it names. Default: all, where the tracing wants all. */
  readonly capture: Capture<never, never> | undefined
  /** The event that bears content, where events are to. */
  readonly event: string
  /** What else stands on that event. */
  readonly facts: Readonly<Record<string, string>>
}): Begin => {
  const { event, facts, capture } = options
  const { input: ofInput, output: ofOutput }: Fields = capture ?? { input: true, output: true }
  return (span, { length, mode }, input) => {
    if (mode === "NO_CONTENT" || (mode === "NAMED_ONLY" && capture === undefined)) return undefined
    const onSpan = mode !== "EVENT_ONLY"
    const got = contentOf("user", input, ofInput, length)
    if (onSpan && got !== undefined) span.attribute(Key.inputMessages, got)
    return (exit, now) => {
      const gave = Exit.isSuccess(exit) ? contentOf("assistant", exit.value, ofOutput, length) : undefined
      if (onSpan && gave !== undefined) span.attribute(Key.outputMessages, gave)
      if (mode === "EVENT_ONLY" || mode === "SPAN_AND_EVENT") {
        // What is undefined is no attribute.
        span.event(event, now, { ...facts, [Key.inputMessages]: got, [Key.outputMessages]: gave })
      }
    }
  }
}

interface Fields {
  readonly input?: true | ReadonlyArray<string> | undefined
  readonly output?: true | ReadonlyArray<string> | undefined
}

const contentOf = (
  role: Content["role"],
  value: unknown,
  fields: true | ReadonlyArray<string> | undefined,
  length: number
): Content | undefined => {
  if (fields === undefined || value === undefined) return undefined
  if (fields !== true) return contentOfText(role, JsonText.write(value, length, fields))
  return contentOfText(role, typeof value === "string" ? SpanRecord.cut(value, length) : JsonText.write(value, length))
}

const contentOfText = (role: Content["role"], text: string | undefined): Content | undefined =>
  text === undefined ? undefined : new Content(role, text)
