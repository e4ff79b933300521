/**
 * Sampling rules from a file that may change while the program runs.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as BackgroundClock from "./BackgroundClock.ts"
import type * as Sampler from "./Sampler.ts"
import * as SamplingRules from "./SamplingRules.ts"
import * as Sampling from "./Sampling.ts"

/**
 * A file of sampling rules that cannot be used. The message says what is wrong with it.
 *
 * @since 0.1.0
 */
export class SamplingFileError extends Schema.TaggedError<SamplingFileError>()("SamplingFileError", {
  path: Schema.String,
  message: Schema.String
}) {}

/**
 * Reads rules from a JSON file, as `SamplingRules.parseJson` has them, and looks every second whether they have changed: the
 * next trace goes by the new ones. A change that cannot be read is told in the log, once, and the rules before it hold.
 *
 * **Details**: looking does not hold the process. On Deno it needs `--allow-read` for the file.
 *
 * **Fails with** `SamplingFileError` when the file cannot be read at first.
 *
 * @example
 * ```ts
 * import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
 * import { Effect, Layer } from "effect"
 * import { Memory, Sampler, Tracing } from "handspan"
 * import * as SamplingFile from "handspan/SamplingFile"
 *
 * const folder = mkdtempSync("sampling-")
 * writeFileSync(`${folder}/rules.json`, JSON.stringify([{ name: "health", sample: "never" }]))
 * const program = Effect.gen(function* () {
 *   yield* Effect.withSpan(Effect.void, "health")
 *   yield* Effect.withSpan(Effect.void, "work")
 *   return yield* (yield* Memory.Spans).all
 * })
 * const sampling = SamplingFile.layer(`${folder}/rules.json`, Sampler.always)
 * const spans = await Effect.runPromise(Effect.provide(program, Tracing.layerInMemory.pipe(Layer.provide(sampling))))
 * rmSync(folder, { recursive: true })
 * if (spans.length !== 1) throw new Error("expected the work alone")
 * ```
 *
 * @since 0.1.0
 */
export const layer = (
  path: string,
  /** Decides where no rule is met. */
  otherwise: Sampler.Sampler
): Layer.Layer<Sampling.Sampling, SamplingFileError> =>
  Layer.effect(
    Sampling.Sampling,
    Effect.gen(function* () {
      const rules = yield* Effect.fromResult(read(path))
      const sampler = yield* SubscriptionRef.make(SamplingRules.make(rules, otherwise))
      let seen = stampOf(path)
      const look = Effect.gen(function* () {
        const stamp = stampOf(path)
        if (stamp === seen) return
        seen = stamp
        const changed = read(path)
        if (Result.isSuccess(changed))
          yield* SubscriptionRef.set(sampler, SamplingRules.make(changed.success, otherwise))
        else yield* Effect.logWarning(`${changed.failure.message}; the sampling rules before it hold`)
      })
      yield* Effect.forkScoped(
        Effect.forever(Effect.andThen(Effect.sleep(pause), look)).pipe(
          Effect.provideService(References.TracerEnabled, false),
          BackgroundClock.provide
        )
      )
      return { sampler }
    })
  )

const pause = Duration.seconds(1)

const read = (path: string): Result.Result<ReadonlyArray<SamplingRules.Rule>, SamplingFileError> => {
  const failed = (problem: string) =>
    new SamplingFileError({ path, message: `Cannot read sampling rules from "${path}": ${problem}` })
  return Result.try({
    try: () => Fs.readFileSync(path, "utf8"),
    catch: (cause) => failed((cause as Error).message)
  }).pipe(Result.flatMap((text) => Result.mapError(SamplingRules.parseJson(text), ({ message }) => failed(message))))
}

/** Another text for another state of the file. */
const stampOf = (path: string): string => {
  const stat = Fs.statSync(path, { throwIfNoEntry: false })
  return stat === undefined ? "" : `${stat.mtimeMs} ${stat.size} ${stat.ino}`
}
