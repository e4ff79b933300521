#!/usr/bin/env node
/**
 * The program `handspan`: its verbs, put together. Each is a file beside this one.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import { version } from "../Version.ts"
import { config } from "./Config.ts"
import * as Platform from "./Platform.ts"

const handspan = Command.make("handspan").pipe(
  Command.withDescription("Tracing for agent workflows: look at what is set"),
  Command.withSubcommands([config])
)

Platform.runMain(Effect.provide(Command.run(handspan, { version }), Platform.layer))
