/**
 * Which Handspan this is; a test holds it against package.json.
 *
 * @since 0.1.0
 */

/**
 * The version of this package.
 *
 * @since 0.1.0
 */
export const version = "0.1.0"
