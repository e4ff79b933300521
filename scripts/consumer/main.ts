// A program of somebody who installed Handspan. check-package.ts copies it into an empty project, with the packed
// package beside it, and reads the names of the spans in what it prints.
import { Effect } from "effect"
import { Agent, Pipeline, Tracing } from "handspan"
import * as Testing from "handspan/testing"

const greeter = Agent.make("greeter", { run: (name: string) => Effect.succeed(`Hello ${name}`) })
const shouter = Agent.make("shouter", { run: (text: string) => Effect.succeed(text.toUpperCase()) })

const welcome = Pipeline.make("welcome", (name: string) => greeter(name).pipe(Effect.flatMap(shouter)))

console.log(await Effect.runPromise(welcome("Ada").pipe(Effect.provide(Tracing.layerConsole()))))

const { trace } = await Effect.runPromise(Testing.record(welcome("Ada")))
const { handoff, pipeline } = Testing.Tree
Testing.expectTrace(trace).toMatchTree(pipeline("welcome", [handoff("greeter"), handoff("shouter")]))
