/**
 * The carrier of messages: a few plain fields on the message itself, which bear trace context and baggage through whatever
 * takes data: a Queue, a PubSub, JSON on a wire, `postMessage`. Headers are `Propagator`'s.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Tracer from "effect/Tracer"
import { Key } from "./Conventions.ts"
import { unreadableValue } from "./PropagationFormat.ts"
import * as Propagator from "./Propagator.ts"
import * as TraceContext from "./TraceContext.ts"

/** What cannot be read is left out: a message must not be lost for its trace. */
const lenient = <A>(schema: Schema.Codec<A>) =>
  Schema.optionalKey(Schema.UndefinedOr(schema).pipe(Schema.catchDecoding(() => Effect.succeedSome(undefined))))

/**
 * The fields, all of them optional, for the Schemas of messages that have their own: `Schema.Struct({ ...Envelope.fields, … })`.
 * Messages of those who know nothing of them decode, and where nothing is to be told none is written.
 *
 * @since 0.1.0
 */
export const fields = {
  /** 32 lower-case hex digits, as in a `traceparent`. */
  trace_id: lenient(Schema.String),
  /** The sender's span, 16 lower-case hex digits. */
  span_id: lenient(Schema.String),
  /** W3C trace flags, two hex digits: `01` is sampled. */
  trace_flags: lenient(Schema.String),
  /** W3C tracestate. */
  tracestate: lenient(Schema.String),
  /** W3C baggage. */
  baggage: lenient(Schema.String),
  /** When the message was sent, in milliseconds since the epoch by the sender's clock. */
  sent_at: lenient(Schema.Finite)
}

/**
 * The fields by themselves.
 *
 * @since 0.1.0
 */
export const Envelope = Schema.Struct(fields)

/**
 * The fields by themselves.
 *
 * @since 0.1.0
 */
export type Envelope = typeof Envelope.Type

/**
 * Gives a message with the fields for the span that is running, those it had before replaced or gone: what is passed on never
 * claims its former sender's span. Never fails.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Envelope } from "handspan"
 *
 * const message = Effect.runSync(Effect.withSpan(Envelope.inject({ photo: "a.jpg" }), "send"))
 * if (message.photo !== "a.jpg" || message.trace_id?.length !== 32) throw new Error("expected the photo and its trace")
 * if ("trace_id" in Effect.runSync(Envelope.inject({ photo: "a.jpg" }))) throw new Error("expected no trace outside of spans")
 * ```
 *
 * @since 0.1.0
 */
export const inject = <A extends object>(message: A): Effect.Effect<Omit<A, keyof Envelope> & Envelope> =>
  Effect.map(Propagator.current, ({ baggage, context }) => {
    const bare: Partial<A> = { ...message }
    for (const name of names) delete bare[name as keyof A]
    return { ...(bare as Omit<A, keyof Envelope>), ...ofContext(context), ...ofBaggage(baggage) }
  })

const names = Object.keys(fields)

const ofContext = (context: TraceContext.TraceContext | undefined): Envelope => {
  if (context === undefined) return {}
  const [, trace_id, span_id, trace_flags] = TraceContext.formatTraceparent(context).split("-")
  const tracestate = TraceContext.parseTraceState(context.traceState)
  return { trace_id, span_id, trace_flags, ...(tracestate !== "" && { tracestate }) }
}

const ofBaggage = (all: TraceContext.Baggage): Envelope => {
  const baggage = TraceContext.formatBaggage(all)
  return baggage === "" ? {} : { baggage }
}

/**
 * Reads what the fields of a message tell, of whatever kind it is: nothing for what has none, or none that are valid. Never
 * fails.
 *
 * @example
 * ```ts
 * import { Envelope } from "handspan"
 *
 * const { context } = Envelope.extract({ trace_id: "0af7651916cd43dd8448eb211c80319c", span_id: "b7ad6b7169203331", trace_flags: "01" })
 * if (context?.flags !== 1) throw new Error("expected a sampled trace")
 * if (Envelope.extract({ trace_id: 7 }).context !== undefined) throw new Error("expected no trace")
 * ```
 *
 * @since 0.1.0
 */
export const extract = (message: unknown): Propagator.Extracted => {
  const { span_id, trace_flags, trace_id } = decode(message)
  const headers: Record<string, string | undefined> = {
    traceparent: isTold(message) ? `00-${trace_id}-${span_id}-${trace_flags || "01"}` : undefined,
    tracestate: textIn(message, "tracestate"),
    baggage: textIn(message, "baggage")
  }
  return Propagator.w3c.extract((name) => {
    const value = headers[name]
    return value === undefined ? [] : [value]
  })
}

const textIn = (message: unknown, field: "tracestate" | "baggage"): string | undefined => {
  const value = Result.getOrUndefined(Result.try((): unknown => Object(message)[field])) ?? undefined
  return value === undefined || typeof value === "string" ? value : unreadableValue
}

/** Whether there is a trace on a message, be it one that can be read: other systems write what they have not as `null` or `""`. */
const isTold = (message: unknown): boolean =>
  Result.getOrElse(
    Result.try(() => {
      const { span_id = "", trace_id = "" } = Object(message) as Record<string, unknown>
      return [span_id, trace_id].some((value) => value !== null && value !== "")
    }),
    () => false
  )

const decode = (message: unknown): Envelope =>
  Result.getOrElse(
    Result.try(() => decodeFields(message)),
    () => ({})
  )

const decodeFields = Schema.decodeUnknownSync(Envelope)

/**
 * Sends a message inside of a span of its own, `send {destination}`, which whoever receives it goes on with.
 *
 * **Details**: `deliver` is given the message with its fields, and does the sending: offers it to a Queue, publishes it, writes
 * it as JSON. **Fails with** what `deliver` fails with.
 *
 * @example
 * ```ts
 * import { Effect, Queue } from "effect"
 * import { Envelope } from "handspan"
 * import * as Testing from "handspan/testing"
 *
 * const program = Effect.gen(function* () {
 *   const photos = yield* Queue.unbounded<Envelope.Envelope & { readonly path: string }>()
 *   yield* Envelope.send("photos", { path: "a.jpg" }, (message) => Queue.offer(photos, message))
 *   const message = yield* Queue.take(photos)
 *   yield* Effect.log(`looking at ${message.path}`).pipe(Envelope.receive("photos", message))
 * })
 * const { trace } = await Effect.runPromise(Testing.record(program))
 * const { span } = Testing.Tree
 * Testing.expectTrace(trace).toMatchTree(span("send photos", [span("process photos", { kind: "consumer", events: ["looking at a.jpg"] })]))
 * ```
 *
 * @since 0.1.0
 */
export const send = <M extends object, A, E, R>(
  destination: string,
  message: M,
  deliver: (message: Omit<M, keyof Envelope> & Envelope) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
  Effect.withSpan(
    Effect.gen(function* () {
      const sent_at = yield* Clock.currentTimeMillis
      return yield* deliver({ ...(yield* inject(message)), sent_at })
    }),
    `send ${destination}`,
    {
      kind: "producer",
      captureStackTrace: false,
      attributes: { [Key.messagingOperation]: "send", [Key.messagingDestination]: destination }
    }
  )

/**
 * Runs an effect as the work that a message asked for: a span `process {destination}` that goes on with its sender's trace, as
 * far as `Propagator.CurrentTrust` allows, and says how long the message was under way.
 *
 * **Details**: a message without fields begins a trace. `handspan.message.wait_ms` is left out where the sender's clock is ahead.
 *
 * @since 0.1.0
 */
export const receive =
  (destination: string, message: unknown) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
    Effect.flatMap(waitOf(message), (wait) =>
      Propagator.receiveFrom(extract(message), {
        name: `process ${destination}`,
        kind: "consumer",
        attributes: { [Key.messagingOperation]: "process", [Key.messagingDestination]: destination, ...wait }
      })(effect)
    )

/**
 * Says as an attribute how long a message was under way until now, in milliseconds: nothing where it does not tell when it was
 * sent, or where its sender's clock is ahead.
 *
 * @since 0.1.0
 */
export const waitOf = (message: unknown): Effect.Effect<Readonly<Record<string, number>>> =>
  Effect.map(Clock.currentTimeMillis, (now): Readonly<Record<string, number>> => {
    const { sent_at = Infinity } = decode(message)
    return now >= sent_at ? { [Key.messageWaitMillis]: now - sent_at } : {}
  })
