/**
 * The profiles: which defaults each of them changes. That variables and code count more is Settings' doing.
 *
 * @since 0.1.0
 */

/**
 * Whose defaults to start from.
 *
 * @since 0.1.0
 */
export type ProfileName = "development" | "production" | "test"

/**
 * What each profile changes of the defaults.
 *
 * @since 0.1.0
 */
export const profiles = {
  development: {
    exporters: ["console"],
    consoleFormat: "pretty",
    sampler: "always_on",
    samplerRatio: 1,
    environment: "development"
  },
  production: {
    exporters: ["otlp"],
    sampler: "parentbased_traceidratio",
    samplerRatio: 0.1,
    environment: "production"
  },
  test: { exporters: ["in_memory"], sampler: "always_on", samplerRatio: 1, environment: "test" }
} as const
