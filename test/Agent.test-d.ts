import { Effect, Schema } from "effect"
import type * as Context from "effect/Context"
import { describe, expectTypeOf, it } from "vitest"
import * as Agent from "../src/Agent.ts"
import * as Pipeline from "../src/Pipeline.ts"

const Photo = Schema.Struct({ path: Schema.String })
const Analysis = Schema.Struct({ brightness: Schema.Number })
class VisionError extends Schema.TaggedError<VisionError>()("VisionError", {}) {}
declare const Vision: Context.Service<"Vision", { look: (path: string) => Effect.Effect<number, VisionError> }>

describe("Agent.make", () => {
  it("infers input from the Schema, output, error and requirements from run", () => {
    const agent = Agent.make("vision", {
      input: Photo,
      run: (photo) =>
        Effect.gen(function* () {
          expectTypeOf(photo).toEqualTypeOf<{ readonly path: string }>()
          const vision = yield* Vision
          return yield* vision.look(photo.path)
        })
    })
    expectTypeOf(agent).toEqualTypeOf<
      Agent.Agent<{ readonly path: string }, number, VisionError | Agent.HandoffMismatch, "Vision">
    >()
  })

  it("infers everything from run without Schemas, and adds no error", () => {
    const agent = Agent.make("double", { run: (n: number) => Effect.succeed(n * 2) })
    expectTypeOf(agent).toEqualTypeOf<Agent.Agent<number, number, never, never>>()
  })

  it("takes no input where run takes none", () => {
    const agent = Agent.make("now", { run: () => Effect.succeed("now") })
    expectTypeOf(agent).toEqualTypeOf<Agent.Agent<void, string, never, never>>()
    expectTypeOf(agent()).toEqualTypeOf<Effect.Effect<string, never, never>>()
  })

  it("takes output from its Schema and refuses a run that gives something else", () => {
    const agent = Agent.make("vision", {
      input: Photo,
      output: Analysis,
      run: () => Effect.succeed({ brightness: 1 })
    })
    expectTypeOf(agent).toEqualTypeOf<
      Agent.Agent<{ readonly path: string }, { readonly brightness: number }, Agent.HandoffMismatch, never>
    >()
    // @ts-expect-error: brightness is a number
    Agent.make("vision", { input: Photo, output: Analysis, run: () => Effect.succeed({ brightness: "high" }) })
  })

  it("infers run's input next to a while that names its error", () => {
    const agent = Agent.make("vision", {
      input: Photo,
      output: Analysis,
      retry: Agent.retryTransient({
        maxAttempts: 3,
        minWait: 1,
        maxWait: 2,
        while: (error: VisionError) => error._tag === "VisionError"
      }),
      run: (photo) => (photo.path === "" ? Effect.fail(new VisionError()) : Effect.succeed({ brightness: 1 }))
    })
    expectTypeOf(agent).toEqualTypeOf<
      Agent.Agent<
        { readonly path: string },
        { readonly brightness: number },
        VisionError | Agent.HandoffMismatch,
        never
      >
    >()
  })

  it("gives the error of run to while", () => {
    Agent.make("vision", {
      run: (_: string) => Effect.fail(new VisionError()),
      retry: Agent.retryTransient<VisionError>({
        maxAttempts: 3,
        minWait: "1 seconds",
        maxWait: "2 seconds",
        while: (error) => error._tag === "VisionError"
      })
    })
  })

  it("captures fields of the Schemas by their names, of a list those of its items, and no others", () => {
    Agent.make("vision", {
      input: Schema.Array(Photo),
      output: Analysis,
      capture: { input: ["path"], output: ["brightness"] },
      run: () => Effect.succeed({ brightness: 1 })
    })
    Agent.make("double", { capture: { input: true }, run: (n: number) => Effect.succeed(n * 2) })
    // @ts-expect-error: a photo has no such field
    Agent.make("vision", { input: Photo, capture: { input: ["user"] }, run: () => Effect.void })
    // @ts-expect-error: a number has no fields
    Agent.make("double", { capture: { output: ["size"] }, run: (n: number) => Effect.succeed(n * 2) })
  })

  it("refuses a wrong input", () => {
    const agent = Agent.make("double", { run: (n: number) => Effect.succeed(n * 2) })
    // @ts-expect-error: not a number
    agent("two")
  })
})

const double = Agent.make("double", { run: (n: number) => Effect.succeed(n * 2) })
const show = Agent.make("show", { run: (n: number) => Effect.succeed(String(n)) })
const risky = Agent.make("risky", { run: (_: number) => Effect.fail(new VisionError()) })

describe("Pipeline", () => {
  it("sequence() threads types from stage to stage", () => {
    expectTypeOf(Pipeline.sequence(double, show)).toEqualTypeOf<Pipeline.Stage<number, string, never, never>>()
    // @ts-expect-error: show gives a string, double takes a number
    Pipeline.sequence(show, double)
  })

  it("parallel() keeps the shape of a record and of a tuple", () => {
    expectTypeOf(Pipeline.parallel({ double, show, risky })).toEqualTypeOf<
      Pipeline.Stage<number, { double: number; show: string; risky: never }, VisionError, never>
    >()
    expectTypeOf(Pipeline.parallel([double, show])).toEqualTypeOf<
      Pipeline.Stage<number, [number, string], never, never>
    >()
  })

  it("forEach() and fanIn() work with and without their data", () => {
    expectTypeOf(Pipeline.forEach([1, 2], show)).toEqualTypeOf<Effect.Effect<Array<string>, never, never>>()
    expectTypeOf(Pipeline.forEach(show, { concurrency: 2 })).toEqualTypeOf<
      Pipeline.Stage<Iterable<number>, Array<string>, never, never>
    >()
    expectTypeOf(Pipeline.fanIn(show, 1)).toEqualTypeOf<Effect.Effect<string, never, never>>()
    expectTypeOf(Pipeline.fanIn(show)).toEqualTypeOf<Pipeline.Stage<number, string, never, never>>()
  })

  it("route() takes only keys of its branches", () => {
    expectTypeOf(Pipeline.route((n: number) => (n > 1 ? "double" : "show"), { double, show })).toEqualTypeOf<
      Pipeline.Stage<number, number | string, never, never>
    >()
    // @ts-expect-error: there is no branch "other"
    Pipeline.route((_: number) => "other", { double, show })
  })

  it("make() infers from a stage and from a function", () => {
    expectTypeOf(Pipeline.make("p", Pipeline.sequence(double, show))).toEqualTypeOf<
      Pipeline.Pipeline<number, string, never, never>
    >()
    expectTypeOf(Pipeline.make("p", () => Effect.succeed(1))).toEqualTypeOf<
      Pipeline.Pipeline<void, number, never, never>
    >()
  })

  it("loop() and race() keep errors", () => {
    expectTypeOf(Pipeline.loop(double, { until: (n) => n > 8, maxIterations: 4 })).toEqualTypeOf<
      Pipeline.Stage<number, number, Pipeline.LoopUnfinished, never>
    >()
    expectTypeOf(Pipeline.race(double, risky)).toEqualTypeOf<Pipeline.Stage<number, number, VisionError, never>>()
  })
})
