// The work that is measured, in slices of about a thousand steps. A step of `size` primitives is an `Effect.gen` around
// that many less one; what else `size` means stands at each. Spans of `Effect.withSpan` are built once: building
// one takes a stack trace, which costs more than all the rest, and the same under every tracer.
import { Data, Effect, Tracer } from "effect"
import { Agent, Pipeline } from "../handspan.ts"
import { childAttributes, childName, rootAttributes, rootName } from "../tracers/content.ts"

/** An effect, and how many steps it is made of. */
export interface Work {
  readonly effect: Effect.Effect<unknown>
  readonly steps: number
}

const stepsPerSlice = 1_000

let sum = 0
const one = Effect.sync(() => ++sum)

const body = (primitives: number) =>
  Effect.gen(function* () {
    for (let i = 1; i < primitives; i++) yield* one
  })

const twoAttributes = { n: 1, photo: "a.jpg" }

const repeated = (step: () => Effect.Effect<unknown>, steps = stepsPerSlice) =>
  Effect.gen(function* () {
    for (let n = 0; n < steps; n++) yield* step()
  })

/** Steps of agents, in a pipeline that is one more span. */
const agents = (primitives: number): Work => {
  const annotated = Effect.andThen(Effect.annotateCurrentSpan(twoAttributes), body(primitives))
  const agent = Agent.make("step", { run: () => annotated })
  return { effect: Pipeline.make("bench", () => repeated(agent))(), steps: stepsPerSlice }
}

const spans = (step: Effect.Effect<unknown>, steps = stepsPerSlice): Work => ({
  effect: Effect.withSpan(
    repeated(() => step, steps),
    "root"
  ),
  steps
})

class StepFailed extends Data.TaggedError("StepFailed")<{ readonly message: string }> {}

const failure = Effect.suspend(() => Effect.fail(new StepFailed({ message: "no photo" })))

const wide = (size: number) =>
  Object.fromEntries(Array.from({ length: size }, (_, n) => [`attribute.${n}`, `value ${n}`]))

/** A slice with about as many steps whatever the size. */
const slices = (size: number) => Math.max(Math.round(stepsPerSlice / size), 1)

const chain = (depth: number): Effect.Effect<unknown> => {
  let effect: Effect.Effect<unknown> = Effect.void
  for (let level = 0; level < depth; level++) effect = Effect.withSpan(effect, "level")
  return effect
}

const fan = (size: number, child: Effect.Effect<unknown>) =>
  Effect.forEach(Array.from({ length: size }), () => child, { concurrency: "unbounded", discard: true })

const caller = Tracer.externalSpan({
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  sampled: false
})

/** A trace of ten spans with five attributes each, which `tracers/foreign.ts` makes as well. */
const traceOfTen = (() => {
  let item = 0
  const child = Effect.withSpan(
    Effect.suspend(() => {
      item++
      return Effect.annotateCurrentSpan(childAttributes(item))
    }),
    childName
  )
  return Effect.withSpan(
    Effect.gen(function* () {
      item = 0
      yield* Effect.annotateCurrentSpan(rootAttributes)
      for (let n = 0; n < 9; n++) yield* child
    }),
    rootName
  )
})()

/** Every sort of work by its name. */
export const works = {
  plain: (primitives: number): Work => {
    const step = body(primitives)
    return { effect: repeated(() => step), steps: stepsPerSlice }
  },
  agents,
  spans: (primitives: number): Work => spans(Effect.withSpan(body(primitives), "step", { attributes: twoAttributes })),
  /** Agents for a caller who does not sample. */
  unsampled: (primitives: number): Work => {
    const { effect, steps } = agents(primitives)
    return { effect: Effect.withParentSpan(effect, caller), steps }
  },
  plainFailing: (): Work => ({ effect: repeated(() => Effect.exit(failure)), steps: stepsPerSlice }),
  failing: (): Work => spans(Effect.exit(Effect.withSpan(failure, "step"))),
  /** Spans with `size` attributes. */
  attributes: (size: number): Work => {
    const attributes = wide(size)
    return spans(Effect.withSpan(Effect.void, "step", { attributes }))
  },
  /** Spans nested `size` deep. */
  depth: (size: number): Work => {
    const times = slices(size)
    return { effect: spans(chain(size), times).effect, steps: times * size }
  },
  /** One span with `size` children side by side. */
  fanout: (size: number): Work => {
    const times = slices(size)
    return { effect: spans(fan(size, Effect.withSpan(Effect.void, "child")), times).effect, steps: times * size }
  },
  plainFanout: (size: number): Work => {
    const times = slices(size)
    return { effect: repeated(() => fan(size, Effect.void), times), steps: times * size }
  },
  /** `size` traces of ten spans. */
  plainTraces: (size: number): Work => ({ effect: repeated(() => Effect.void, size * 10), steps: size * 10 }),
  traces: (size: number): Work => ({ effect: repeated(() => traceOfTen, size), steps: size * 10 })
} satisfies Record<string, (size: number) => Work>

export type WorkName = keyof typeof works
