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
import * as Excerpt from "./Excerpt.ts"
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
 * **Details**: it is a `Sampling`, and one that a program brings itself outweighs the file that settings name. Looking does not
 * hold the process. Only regular files are read, and links to such. On Deno it needs `--allow-read` for the file.
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
      // Before the file is read: what changes in between must be seen later.
      let seen = stampOf(path)
      const sampler = yield* SubscriptionRef.make(yield* Effect.fromResult(read(path, otherwise)))
      const look = Effect.suspend(() => {
        const stamp = stampOf(path)
        if (stamp === seen) return Effect.void
        seen = stamp
        return Result.match(read(path, otherwise), {
          onFailure: ({ message }) => Effect.logWarning(`${message}; the sampling rules before it hold`),
          onSuccess: (changed) => SubscriptionRef.set(sampler, changed)
        })
      })
      yield* Effect.forkScoped(
        // Nothing that goes wrong once, not even in a logger, may keep it from looking again.
        Effect.forever(Effect.andThen(Effect.sleep(pause), Effect.exit(look))).pipe(
          Effect.provideService(References.TracerEnabled, false),
          BackgroundClock.provide
        )
      )
      return { sampler }
    })
  )

const pause = Duration.seconds(1)

const read = (path: string, otherwise: Sampler.Sampler): Result.Result<Sampler.Sampler, SamplingFileError> => {
  const failed = (problem: string) =>
    new SamplingFileError({ path, message: `Cannot read sampling rules from "${path}": ${problem}` })
  return textOf(path).pipe(
    Result.flatMap(arrayOf),
    Result.flatMap(SamplingRules.parseJson),
    Result.flatMap((rules) => attempt(() => SamplingRules.make(rules, otherwise))),
    Result.mapError((problem) => failed(typeof problem === "string" ? problem : Excerpt.ofProblems(problem.problems)))
  )
}

const attempt = <A>(evaluate: () => A): Result.Result<A, string> =>
  Result.try({ try: evaluate, catch: (cause) => Excerpt.cut((cause as Error).message) })

/** Reading a pipe would wait until somebody writes to it, and the whole process with it. */
const textOf = (path: string): Result.Result<string, string> =>
  Result.flatMap(
    attempt(() => Fs.statSync(path)),
    (stat) =>
      stat.isFile()
        ? attempt(() => Fs.readFileSync(path, "utf8").replace(/^\uFEFF/, ""))
        : Result.fail("it is no regular file")
  )

/** What is no JSON, or no array, is told as what it is, and not as a rule. */
const arrayOf = (text: string): Result.Result<string, string> =>
  Result.flatMap(
    attempt((): unknown => JSON.parse(text)),
    (document) => (Array.isArray(document) ? Result.succeed(text) : Result.fail("it must be a JSON array of rules"))
  )

/** Another text for another state of the file, of which one is that it cannot be looked at. */
const stampOf = (path: string): string =>
  Result.merge(
    Result.map(
      attempt(() => Fs.statSync(path)),
      ({ ino, mtimeMs, size }) => `${mtimeMs} ${size} ${ino}`
    )
  )
