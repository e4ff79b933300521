/**
 * The verb `handspan config`: what tracing is set to here, and by which variable.
 *
 * @since 0.1.0
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Settings from "../Settings.ts"
import * as SettingsText from "../SettingsText.ts"
import * as Platform from "./Platform.ts"

const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print JSON: for each setting its value and source"),
  Flag.withDefault(false)
)

/**
 * Prints every setting with its value and source: on stdout as a table or as JSON, without secrets. What there is to be
 * told about them goes to stderr.
 *
 * **Fails with** `Failed` with exit code 2 when variables are not allowed; stderr has a line for each, and what else there
 * is to be told.
 *
 * @since 0.1.0
 */
export const config = Command.make("config", { json }, ({ json }) =>
  Effect.gen(function* () {
    const settings = yield* Settings.fromEnv()
    for (const notice of settings.notices) yield* Console.error(SettingsText.safeLines(notice))
    const text = json ? JSON.stringify(SettingsText.data(settings), undefined, 2) : SettingsText.table(settings)
    yield* Console.log(SettingsText.safeLines(text))
  }).pipe(
    Effect.catchTag("SettingsError", ({ message }) =>
      Effect.andThen(Console.error(SettingsText.safeLines(message)), new Platform.Failed({ exitCode: 2 }))
    )
  )
).pipe(Command.withDescription("Print every setting of tracing with its value, and the variable that set it"))
