/**
 * Calls by name over the event bus, so that who calls and who answers may be of different processes. What a call is, and its
 * spans, are `ActionBroker`'s; what brings the events is whichever `EventBus` there is.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { ActionBroker, ActionError, failure } from "../ActionBroker.ts"
import * as EventBus from "../EventBus.ts"
import * as Propagator from "../Propagator.ts"
import * as SpanEnd from "../SpanEnd.ts"

/** What is asked. */
const Question = Schema.Struct({
  /** Whose call it is, and which of them. */
  caller: Schema.String,
  number: Schema.Int,
  /** When the caller gives up, in milliseconds since the epoch by its clock. */
  until: Schema.Finite,
  /** A call must not be lost for its trace. */
  headers: Schema.Record(Schema.String, Schema.String).pipe(Schema.catchDecoding(() => Effect.succeedSome({}))),
  // JSON leaves out what is undefined.
  input: Schema.optionalKey(Schema.Unknown)
})

/** What comes of it. */
const Answer = Schema.Struct({
  number: Schema.Int,
  output: Schema.optionalKey(Schema.Unknown),
  problem: Schema.optionalKey(Schema.String)
})

const readQuestion = Schema.decodeUnknownEffect(Question)
const readAnswer = Schema.decodeUnknownEffect(Answer)

const questionsTo = (capability: string) => `action.calls.${capability}`
const answersTo = (caller: string) => `action.answers.${caller}`

/** All who take from a topic are one group. */
const group = "action"

/**
 * A broker over the event bus. All who answer a capability, in whichever processes, share its calls, and each handles as many
 * side by side as come.
 *
 * **Details**: a call is an event on the topic `action.calls.{capability}`, its answer one on a topic of the caller's own. Inputs
 * and outputs are whatever JSON can hold, where the bus leads out of the process. A call is acknowledged when it is taken, and
 * never handled twice. Its caller waits for `timeout` (default: 30 seconds), and then fails with the reason `timeout`: the bus does
 * not know whether anybody is able to. A call that is taken later than that, by the clocks of both, is dropped, and so are answers
 * to callers that are gone. Who is interrupted stops waiting, and the handler goes on. A handler that is interrupted, be it that
 * its scope has ended, tells its caller so. Of the trace there are the spans of `ActionBroker` alone; publishing has none here.
 *
 * **Fails with** `EventBusError` where it cannot subscribe to the answers. Answering dies where it cannot subscribe to the calls.
 *
 * **Gotchas**: to the bus, whoever calls is a member of one group, and whoever answers one of another for each capability. A bus
 * that outlives the process keeps the topic of a caller's answers when the caller is gone, for as long as its `maxAge` says.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { ActionBroker, EventBus } from "handspan"
 * import * as Actions from "handspan/bus/Actions"
 *
 * const program = Effect.gen(function* () {
 *   yield* ActionBroker.answer("double", (input) => Effect.succeed(Number(input) * 2))
 *   return yield* ActionBroker.invoke("double", 21)
 * })
 * const broker = Layer.provide(Actions.layer({ timeout: "1 minute" }), EventBus.layerMemory)
 * const answer = await Effect.runPromise(Effect.scoped(Effect.provide(program, broker)))
 * if (answer !== 42) throw new Error("expected 42")
 * ```
 *
 * @since 0.1.0
 */
export const layer = ({
  timeout = "30 seconds"
}: {
  /** How long a caller waits for its answer, the time that the bus takes included. Default: 30 seconds. */
  readonly timeout?: Duration.Input | undefined
} = {}): Layer.Layer<ActionBroker, EventBus.EventBusError, EventBus.EventBus> =>
  Layer.effect(ActionBroker, make(Duration.fromInputUnsafe(timeout)))

const make = (timeout: Duration.Duration) =>
  Effect.gen(function* () {
    const bus = yield* EventBus.EventBus
    const caller = yield* EventBus.newId
    const waiting = new Map<number, Deferred.Deferred<typeof Answer.Type>>()
    let last = 0

    /** A call looks the same over every bus. */
    const publish = (topic: string, type: "action.call" | "action.answer", payload: object) =>
      EventBus.publish(topic, { type, payload }).pipe(
        Effect.provideService(EventBus.EventBus, bus),
        Effect.withTracerEnabled(false)
      )

    const hear = ({ ack, event }: EventBus.Received) =>
      Effect.gen(function* () {
        const answer = yield* readAnswer(event.payload)
        const answered = waiting.get(answer.number)
        if (answered !== undefined) yield* Deferred.succeed(answered, answer)
      }).pipe(Effect.ignoreCause, Effect.andThen(Effect.ignore(ack)))
    const take = yield* bus.subscribe(answersTo(caller), group)
    const hearing = yield* Effect.forkScoped(EventBus.forEach(take, hear))

    const broker: ActionBroker["Service"] = {
      call: ({ capability, headers, input }) =>
        Effect.gen(function* () {
          const number = ++last
          const answered = yield* Deferred.make<typeof Answer.Type>()
          waiting.set(number, answered)
          yield* Effect.addFinalizer(() => Effect.sync(() => waiting.delete(number)))
          // JSON has no infinity.
          const until = Math.min((yield* Clock.currentTimeMillis) + Duration.toMillis(timeout), Number.MAX_SAFE_INTEGER)
          yield* publish(questionsTo(capability), "action.call", { caller, number, until, headers, input })
          // Where the bus is gone, no answer comes any more.
          const { output, problem } = yield* Effect.raceFirst(Deferred.await(answered), Fiber.join(hearing))
          if (problem !== undefined) return yield* new ActionError({ capability, reason: "failed", message: problem })
          return output
        }).pipe(
          Effect.scoped,
          Effect.catchTag("EventBusError", ({ message }) => failure(capability, "failed", message)),
          Effect.timeoutOrElse({
            duration: timeout,
            orElse: () => failure(capability, "timeout", `nobody has answered within ${Duration.format(timeout)}`)
          })
        ),

      answer: (capability, handle) =>
        Effect.gen(function* () {
          const take = yield* bus.subscribe(questionsTo(capability), group)
          const calls = yield* FiberSet.make()
          const failed = (why: string) => ({ problem: failure(capability, "failed", why).message })

          /** Whatever becomes of it, the caller is told. */
          const handled = ({ caller, headers, input, number }: typeof Question.Type) =>
            Effect.uninterruptibleMask((run) => {
              const tell = (answer: object) =>
                Propagator.withRemoteParent(headers)(publish(answersTo(caller), "action.answer", { number, ...answer }))
              return run(handle({ capability, headers, input })).pipe(
                Effect.matchCauseEffect({
                  onSuccess: (output) => tell({ output }),
                  onFailure: (cause) =>
                    tell(
                      Cause.hasInterruptsOnly(cause)
                        ? failed("it was interrupted")
                        : { problem: SpanEnd.describe(Cause.squash(cause)).message }
                    )
                }),
                // The output may be none that can be sent.
                Effect.catch(({ message }) => tell(failed(message))),
                Effect.ignore
              )
            })

          const begin = ({ ack, event }: EventBus.Received) =>
            Effect.gen(function* () {
              // What cannot be acknowledged comes again.
              yield* ack
              const question = yield* readQuestion(event.payload)
              if (question.until >= (yield* Clock.currentTimeMillis)) yield* FiberSet.run(calls, handled(question))
            }).pipe(Effect.ignoreCause)
          yield* Effect.forkScoped(EventBus.forEach(take, begin))
        }).pipe(Effect.orDie)
    }
    return broker
  })
