/**
 * How texts and values of a trace are compared with what is expected, and how both are written where they differ.
 *
 * @since 0.1.0
 */
import * as Printable from "../analysis/Printable.ts"
import { handoffSpanName, pipelineSpanName, toolSpanName } from "../Conventions.ts"
import type { AttributeValue } from "../SpanRecord.ts"
import type { ExpectedValue, Text } from "./Tree.ts"

/**
 * What may stand before an agent's, a pipeline's or a tool's own name in the name of its span.
 *
 * @since 0.1.0
 */
export const prefixes: ReadonlyArray<string> = [handoffSpanName(""), pipelineSpanName(""), toolSpanName("")]

/**
 * Whether a text is the expected one, or the expected pattern finds something in it.
 *
 * @since 0.1.0
 */
export const isText = (expected: Text, seen: string): boolean =>
  // A pattern with the flag "g" or "y" would remember where it stopped.
  typeof expected === "string" ? expected === seen : seen.search(expected) >= 0

/**
 * Whether a value is as expected. Whole numbers are equal as number and as bigint; lists are equal by their items.
 *
 * @since 0.1.0
 */
export const isValue = (expected: ExpectedValue, seen: AttributeValue | undefined): boolean => {
  if (expected instanceof RegExp) return typeof seen === "string" && isText(expected, seen)
  if (typeof expected === "object" && "_tag" in expected) return expected.test(seen)
  return isSame(expected, seen)
}

const isSame = (expected: AttributeValue, seen: AttributeValue | undefined): boolean => {
  if (typeof expected === "object" || typeof seen === "object") {
    return (
      typeof expected === "object" &&
      typeof seen === "object" &&
      expected.length === seen.length &&
      expected.every((item, index) => isSame(item, seen[index]))
    )
  }
  const kinds = `${typeof expected} ${typeof seen}`
  const isMixed = kinds === "bigint number" || kinds === "number bigint"
  return expected === seen || Object.is(expected, seen) || (isMixed && expected == seen)
}

/**
 * Writes an expected text.
 *
 * @since 0.1.0
 */
export const textOf = (text: Text): string => (typeof text === "string" ? format(text) : String(text))

/**
 * Writes an expected value.
 *
 * @since 0.1.0
 */
export const describe = (expected: ExpectedValue): string => {
  if (expected instanceof RegExp) return String(expected)
  return typeof expected === "object" && "_tag" in expected ? expected.description : format(expected)
}

/**
 * Writes a value on one line as a person would in code, `–` where there is none.
 *
 * @since 0.1.0
 */
export const format = (value: AttributeValue | undefined): string => {
  return value === undefined ? "–" : Printable.safe(plain(value))
}

const plain = (value: AttributeValue): string => {
  if (typeof value === "object") return `[${value.map(plain).join(", ")}]`
  return typeof value === "string" ? JSON.stringify(value) : typeof value === "bigint" ? `${value}n` : String(value)
}
