/**
 * Opens spans over Effect's `Tracer` service by a shorter way than `Effect.withSpan`: agents and pipelines go it, because
 * a handoff should cost next to nothing. Under whatever tracer, the span is the one that `Effect.withSpan` would have
 * opened; a test holds the two against each other. What is left out is the stack frame: the name says where the work is.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Fiber from "effect/Fiber"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import type { Facts } from "./SpanRecord.ts"

const noAnnotations = Context.empty()

/**
 * Opens a span for the work that a fiber is about to do, `undefined` where nobody records it: tracing is off, or the
 * trace is not sampled. That work then stays in the span it is in, whose ids go on to whoever is called.
 *
 * @since 0.1.0
 */
export const open = (
  fiber: Fiber.Fiber<unknown, unknown>,
  name: string,
  ownLinks: ReadonlyArray<Tracer.SpanLink>,
  annotations: Context.Context<never> = noAnnotations
): Tracer.Span | undefined => {
  const { span: current, tracer = Tracer.nativeTracer, tracerEnabled } = fiber.cache
  if (!tracerEnabled) return undefined
  const parent = current === undefined ? undefined : propagated(current)
  if (parent?.sampled === false && !asksBelow(tracer, parent)) return undefined
  const links = fiber.getRef(References.TracerSpanLinks)
  const span = tracer.span({
    name,
    parent: parent === undefined ? Option.none() : Option.some(parent),
    annotations,
    links: links.length === 0 && ownLinks.length === 0 ? [] : [...links, ...ownLinks],
    startTime: now(fiber),
    kind: "internal",
    root: false,
    sampled: parent?.sampled !== false && isOfLevel(fiber)
  })
  const attributes = fiber.getRef(References.TracerSpanAnnotations)
  for (const key in attributes) span.attribute(key, attributes[key])
  return span
}

/**
 * Whether spans of the level that a fiber works at are to be recorded.
 *
 * @since 0.1.0
 */
export const isOfLevel = (fiber: Fiber.Fiber<unknown, unknown>): boolean =>
  !LogLevel.isGreaterThan(fiber.getRef(Tracer.MinimumTraceLevel), fiber.getRef(Tracer.CurrentTraceLevel))

/**
 * Writes facts on a span, all at once where its tracer can.
 *
 * @since 0.1.0
 */
export const addFacts = (
  span: Pick<Tracer.Span, "attribute"> & { readonly addFacts?: (facts: Facts) => void },
  facts: Facts
): void => {
  if (span.addFacts !== undefined) return span.addFacts(facts)
  for (let i = 0; i < facts.length; i += 2) span.attribute(facts[i] as string, facts[i + 1])
}

/**
 * The time of spans, in nanoseconds since the Unix epoch; 0 where their timing is turned off.
 *
 * @since 0.1.0
 */
export const now = (fiber: Fiber.Fiber<unknown, unknown>): bigint =>
  fiber.getRef(References.TracerTimingEnabled) ? fiber.getRef(Clock.Clock).currentTimeNanosUnsafe() : 0n

/** A Recorder may have a sampler that is to decide for itself. */
const asksBelow = (
  tracer: Tracer.Tracer & { readonly asksBelow?: (parent: Tracer.AnySpan) => boolean },
  parent: Tracer.AnySpan
): boolean => tracer.asksBelow?.(parent) === true

/** The nearest span that wants to be a parent: `Tracer.DisablePropagation` says that one does not. */
const propagated = (span: Tracer.AnySpan): Tracer.AnySpan | undefined => {
  if (span.annotations === noAnnotations || !Context.get(span.annotations, Tracer.DisablePropagation)) return span
  const parent = span._tag === "Span" ? Option.getOrUndefined(span.parent) : undefined
  return parent === undefined ? undefined : propagated(parent)
}
