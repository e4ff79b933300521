/**
 * Names as rules have them, with `*` for any text.
 *
 * @since 0.1.0
 */
import * as RegExp from "effect/RegExp"

/**
 * Makes the expression that is met by whole names.
 *
 * @since 0.1.0
 */
export const toRegExp = (pattern: string): globalThis.RegExp =>
  new globalThis.RegExp(`^${pattern.split(/\*+/).map(RegExp.escape).join(".*")}$`, "s")
