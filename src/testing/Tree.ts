/**
 * What a test expects of a trace, as plain data made by a few small functions. `TreeMatch` holds it against a trace,
 * `TreeDiff` says where the two part.
 *
 * @since 0.1.0
 */
import * as Conventions from "../Conventions.ts"
import type { AttributeValue, SpanKind } from "../SpanRecord.ts"

/**
 * A text: that very one, or one that a pattern finds something in.
 *
 * @since 0.1.0
 */
export type Text = string | RegExp

/**
 * Some things in a list, by how they must stand in it.
 *
 * |               | in this order | in any order |
 * | ------------- | ------------- | ------------ |
 * | and no others | `exactly`     | `anyOrder`   |
 * | among others  | `inOrder`     | `contains`   |
 *
 * A plain array is `exactly`.
 *
 * @since 0.1.0
 */
export interface Group<out A> {
  readonly _tag: "Group"
  readonly ordered: boolean
  readonly complete: boolean
  readonly items: ReadonlyArray<A>
}

const group =
  (ordered: boolean, complete: boolean) =>
  <const Items extends ReadonlyArray<unknown>>(...items: Items): Group<Items[number]> => ({
    _tag: "Group",
    ordered,
    complete,
    items
  })

/**
 * Just these, in this order.
 *
 * @since 0.1.0
 */
export const exactly = group(true, true)

/**
 * Just these, in any order.
 *
 * @since 0.1.0
 */
export const anyOrder = group(false, true)

/**
 * These in this order, with or without others among them.
 *
 * @since 0.1.0
 */
export const inOrder = group(true, false)

/**
 * These in any order, with or without others among them; with nothing in it: whatever there is.
 *
 * @since 0.1.0
 */
export const contains = group(false, false)

/**
 * A rule for a value that has no other words. `description` stands in the failure text.
 *
 * @since 0.1.0
 */
export interface Rule {
  readonly _tag: "Rule"
  readonly description: string
  readonly test: (value: AttributeValue | undefined) => boolean
}

/**
 * A value for which a test of one's own is true.
 *
 * @since 0.1.0
 */
export const where = (description: string, test: (value: AttributeValue | undefined) => boolean): Rule => ({
  _tag: "Rule",
  description,
  test
})

/**
 * Any value, as long as there is one.
 *
 * @since 0.1.0
 */
export const present: Rule = where("any value", (value) => value !== undefined)

/**
 * No value.
 *
 * @since 0.1.0
 */
export const absent: Rule = where("no value", (value) => value === undefined)

/**
 * What an attribute must be: that value, a text that a pattern finds something in, or what a rule says.
 *
 * @since 0.1.0
 */
export type ExpectedValue = AttributeValue | RegExp | Rule

/**
 * Attributes that must be there, and maybe no others.
 *
 * @since 0.1.0
 */
export interface ExpectedAttributes {
  readonly _tag: "Only"
  readonly attributes: Readonly<Record<string, ExpectedValue>>
}

/**
 * These attributes and no others; without it others may be there too.
 *
 * @since 0.1.0
 */
export const only = (attributes: Readonly<Record<string, ExpectedValue>>): ExpectedAttributes => ({
  _tag: "Only",
  attributes
})

/**
 * An event that a span must have: its name, or its name and attributes.
 *
 * @since 0.1.0
 */
export type ExpectedEvent =
  | Text
  | { readonly name: Text; readonly attributes?: Readonly<Record<string, ExpectedValue>> | ExpectedAttributes }

/**
 * What is expected of a span. What is not said is not looked at, but for two things: a span without `children` has none,
 * and a span without `status` has not failed.
 *
 * @since 0.1.0
 */
export interface Expectations {
  readonly kind?: SpanKind | undefined
  /** `error` with any message, or `{ error: message }`. Default: anything but an error. */
  readonly status?: "ok" | "unset" | "error" | { readonly error: Text } | undefined
  readonly attributes?: Readonly<Record<string, ExpectedValue>> | ExpectedAttributes | undefined
  readonly events?: ReadonlyArray<ExpectedEvent> | Group<ExpectedEvent> | undefined
  /** The names of the spans that it links to: agents' own names will do. */
  readonly links?: ReadonlyArray<Text> | Group<Text> | undefined
  readonly children?: ReadonlyArray<Expected> | Group<Expected> | undefined
}

/**
 * A span that a trace must have.
 *
 * @since 0.1.0
 */
export interface Expected extends Expectations {
  readonly name: Text
}

/**
 * What a span, or its children, must be.
 *
 * @since 0.1.0
 */
export type Details = Expectations | ReadonlyArray<Expected> | Group<Expected>

/**
 * Expects a span of that name. What it must be besides is said by `Expectations`, or by its children alone.
 *
 * @example
 * ```ts
 * import * as Testing from "handspan/testing"
 *
 * const { handoff, pipeline } = Testing.Tree
 * const expected = pipeline("photo_agency", [
 *   handoff("photo_fetcher"),
 *   handoff("validation_reporter", { links: ["photo_fetcher"] })
 * ])
 * if (expected.name !== "pipeline.photo_agency") throw new Error("expected the pipeline's span")
 * ```
 *
 * @since 0.1.0
 */
export const span = (name: Text, details: Details = {}): Expected =>
  Array.isArray(details) || "_tag" in details
    ? { name, children: details as ReadonlyArray<Expected> | Group<Expected> }
    : { name, ...(details as Expectations) }

/**
 * Expects the handoff to an agent.
 *
 * @since 0.1.0
 */
export const handoff = (agent: string, details?: Details): Expected => span(Conventions.handoffSpanName(agent), details)

/**
 * Expects a pipeline.
 *
 * @since 0.1.0
 */
export const pipeline = (name: string, details?: Details): Expected => span(Conventions.pipelineSpanName(name), details)

/**
 * Expects the call of a tool.
 *
 * @since 0.1.0
 */
export const tool = (name: string, details?: Details): Expected => span(Conventions.toolSpanName(name), details)

/**
 * Expects the call of a model.
 *
 * @since 0.1.0
 */
export const chat = (model: string, details?: Details): Expected => span(Conventions.modelSpanName(model), details)

/**
 * What was given, as a group: an array is `exactly`.
 *
 * @since 0.1.0
 */
export const groupOf = <A>(items: ReadonlyArray<A> | Group<A>): Group<A> =>
  "_tag" in items ? items : { _tag: "Group", ordered: true, complete: true, items }
