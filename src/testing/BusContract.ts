/**
 * The contract of the event bus as tests, for whoever writes a broker: ours pass it, and any other that agents are to live on
 * should.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import { Key } from "../Conventions.ts"
import * as EventBus from "../EventBus.ts"
import * as Hex from "../Hex.ts"
import * as Propagator from "../Propagator.ts"
import type { SpanRecord } from "../SpanRecord.ts"
import * as Contract from "./Contract.ts"
import * as TestTracing from "./TestTracing.ts"

/**
 * The rules of the contract, by the names that skip them.
 *
 * @since 0.1.0
 */
export type BusRule =
  | "kept"
  | "order"
  | "groups"
  | "members"
  | "topics"
  | "payload"
  | "ack"
  | "giveBack"
  | "interruption"
  | "attempts"
  | "dead"
  | "trace"
  | "sameId"
  | "lostMember"
  | "longWork"
  | "poison"

/**
 * The bus under test, and what it is able to do besides.
 *
 * @since 0.1.0
 */
export interface BusContractOptions<E> {
  /** Each rule builds it, and has topics of its own. */
  readonly layer: Layer.Layer<EventBus.EventBus, E>
  /**
   * How long after a member was last alive the bus hands what it held to another. The rules about it wait for three times
   * that. Default: it never does, and they are skipped.
   */
  readonly ackWait?: Duration.Input | undefined
  /** Puts on a topic what is no event, past the bus. Default: the rule `poison` is skipped. */
  readonly poison?: ((topic: string) => Effect.Effect<void, unknown>) | undefined
  /** Whether it knows an event that is published again by its id. Default: false. */
  readonly knowsIds?: boolean | undefined
  /** How long an event may be under way, on the machine's clock. Default: 5 seconds. */
  readonly timeout?: Duration.Input | undefined
  /** Rules that do not hold, with the reason. Default: none. */
  readonly skip?: { readonly [Rule in BusRule]?: string | undefined } | undefined
}

/**
 * Gives the contract of the event bus as cases for a test runner.
 *
 * **Details**: the cases go by the machine's clock, also under a test's.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { EventBus } from "handspan"
 * import * as Testing from "handspan/testing"
 *
 * const cases = Testing.busContract({ layer: EventBus.layerMemory })
 * // With vitest: for (const { rule, check } of cases) it.effect(rule, () => check)
 * for (const { check } of cases) await Effect.runPromise(check)
 * if (cases[0]?.id !== "kept") throw new Error("expected the rules")
 * ```
 *
 * @since 0.1.0
 */
export const busContract = <E>(options: BusContractOptions<E>): ReadonlyArray<Contract.Case> => {
  const { knowsIds = false, layer, poison, timeout = "5 seconds" } = options
  const ackWait = Duration.toMillis(options.ackWait ?? 0)

  /** A rule, and a program on a bus and a topic of its own that gives what the rule says, and what is so. */
  const rule = (
    text: string,
    program: (
      bus: EventBus.Broker,
      topic: string
    ) => Generator<
      Effect.Effect<any, unknown, EventBus.EventBus | TestTracing.Traces | Scope.Scope>,
      readonly [said: unknown, seen: unknown],
      never
    >
  ) => {
    const check = Effect.gen(function* () {
      const topic = `contract ${yield* word}${yield* word}`
      const running = Effect.flatMap(EventBus.EventBus, (bus) => Effect.gen(() => program(bus, topic)))
      const { exit } = yield* TestTracing.record(Effect.scoped(Effect.provide(running, layer)), { clock: "live" })
      const found = Contract.difference(...(yield* exit))
      if (found !== undefined) return yield* Contract.saw(found)
    })
    return [text, check] as const
  }

  const within = <A, F, R>(what: string, effect: Effect.Effect<A, F, R>) =>
    Effect.timeoutOrElse(effect, {
      duration: Duration.toMillis(timeout) + ackWait,
      orElse: () => Contract.saw(`${what} did not come`)
    })

  /** Takes and acknowledges so many events. */
  const takeAll = (take: Take, count: number) =>
    Effect.forEach(Array.from({ length: count }), (_, at) =>
      Effect.tap(within(`event ${at + 1} of ${count}`, take), ({ ack }) => ack)
    )

  /** The payloads of all that a member is handed until the event that was published last. */
  const takeToLast = (take: Take): Effect.Effect<ReadonlyArray<unknown>, unknown> =>
    Effect.flatMap(takeAll(take, 1), ([received]) => {
      const payload = received?.event.payload
      return payload === "last" ? Effect.succeed([]) : Effect.map(takeToLast(take), (more) => [payload, ...more])
    })

  /** An agent whose handler has begun on an event, and is interrupted. */
  const interrupted = (id: string, topic: string) =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const onEvent = () => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)
      const fiber = yield* EventBus.agent(id, { topics: [topic], onEvent })
      yield* within("the event", Deferred.await(begun))
      yield* Fiber.interrupt(fiber)
    })

  return Contract.make<BusRule>(
    {
      kept: rule("what is published before anybody has subscribed waits for the first group", function* (bus, topic) {
        yield* publish(topic, [1, 2, 3])
        return [[1, 2, 3], payloadsOf(yield* takeAll(yield* bus.subscribe(topic, "first"), 3))]
      }),
      order: rule("a member that works alone gets the events of a topic in their order", function* (bus, topic) {
        const take = yield* bus.subscribe(topic, "first")
        yield* publish(topic, numbers)
        return [numbers, payloadsOf(yield* takeAll(take, numbers.length))]
      }),
      groups: rule("each group gets each event once", function* (bus, topic) {
        const groups = [yield* bus.subscribe(topic, "first"), yield* bus.subscribe(topic, "second")]
        yield* publish(topic, [1, 2, "last"])
        const all = [1, 2]
        return [[all, all], yield* Effect.forEach(groups, takeToLast)]
      }),
      members: rule(
        "the members of a group share its events: what one of them holds, no other gets",
        function* (bus, topic) {
          const members = [yield* bus.subscribe(topic, "first"), yield* bus.subscribe(topic, "first")]
          yield* publish(topic, ["a", "b"])
          const held = yield* Effect.forEach(members, (take) => within("an event", take))
          yield* Effect.forEach(held, ({ ack }) => ack)
          return [["a", "b"], payloadsOf(held).map(String).toSorted()]
        }
      ),
      topics: rule(
        "topics and groups may have any name, and an event is on its topic alone, also where others have one of its id",
        function* (bus, topic) {
          const takes = yield* Effect.forEach(names, (name) => bus.subscribe(topic + name, name))
          yield* Effect.forEach(names, (name) => publish(topic + name, [name], topic))
          yield* Effect.forEach(names, (name) => publish(topic + name, ["last"]))
          return [names.map((name) => [name]), yield* Effect.forEach(takes, takeToLast)]
        }
      ),
      payload: rule(
        "an event arrives as it was published, whatever JSON its payload is, and however long",
        function* (bus, topic) {
          const sent = yield* publish(topic, payloads)
          const received = yield* takeAll(yield* bus.subscribe(topic, "first"), payloads.length)
          return [sent.map(bare), received.map(({ event }) => bare(event))]
        }
      ),
      ack: rule("what was acknowledged does not come again", function* (bus, topic) {
        const take = yield* bus.subscribe(topic, "first")
        yield* publish(topic, [1, 2])
        yield* takeAll(take, 2)
        yield* Effect.sleep(ackWait * 2)
        yield* publish(topic, ["last"])
        return [[], yield* takeToLast(take)]
      }),
      giveBack: rule(
        "what was given back comes again as it was, as the next attempt, and with the span of its first",
        function* (bus, topic) {
          const take = yield* bus.subscribe(topic, "first")
          const [sent] = yield* publish(topic, ["job"])
          const first = yield* within("the event", take)
          yield* first.giveBack({ hasFailed: true, firstAttempt: traceparent })
          const second = yield* within("the second attempt", take)
          yield* second.giveBack({ hasFailed: true, firstAttempt: second.firstAttempt })
          const [third] = yield* takeAll(take, 1)
          return [
            [undefined, traceparent, traceparent].map((span, at) => [at + 1, span, bare(sent!)]),
            [first, second, third!].map(({ attempt, event, firstAttempt }) => [attempt, firstAttempt, bare(event)])
          ]
        }
      ),
      interruption: rule(
        "an agent that is interrupted gives back what it had begun, which counts for no attempt, and gets no more",
        function* (bus, topic) {
          yield* publish(topic, ["job"])
          // More often than it may fail.
          for (let times = 0; times < 4; times++) yield* interrupted("worker", topic)
          yield* publish(topic, ["more"])
          const received = yield* takeAll(yield* bus.subscribe(topic, "worker"), 2)
          return [
            ["job: attempt 1", "more: attempt 1"],
            received.map(({ attempt, event }) => `${String(event.payload)}: attempt ${attempt}`).toSorted()
          ]
        }
      ),
      attempts: rule(
        "the span of each further attempt links to that of the first, also where another agent was interrupted in that",
        function* (_, topic) {
          yield* Effect.withSpan(publish(topic, ["job"]), "send")
          yield* interrupted("worker", topic)
          const done = yield* Deferred.make<void>()
          let calls = 0
          const onEvent = () => (++calls === 1 ? Effect.fail("busy") : Deferred.succeed(done, undefined))
          const fiber = yield* EventBus.agent("worker", { topics: [topic], onEvent })
          yield* within("the next attempts", Deferred.await(done))
          yield* Fiber.interrupt(fiber)
          const spans = (yield* spansSoFar)
            .filter(({ name }) => name === "agent.on_event")
            .toSorted((a, b) => numberOf(a) - numberOf(b))
          const first = spans[0]?.spanId
          return [
            ["1 to ", `1 to ${first}`, `2 to ${first}`],
            spans.map((span) => `${numberOf(span)} to ${span.links.map(({ spanId }) => spanId).join()}`)
          ]
        }
      ),
      dead: rule(
        "what no attempt could handle is on {topic}.dead as a whole, and the next event is handled",
        function* (bus, topic) {
          const handled = yield* Queue.unbounded<unknown>()
          const onEvent = ({ payload }: EventBus.Event) =>
            payload === "bad" ? Effect.die(new TypeError("no")) : Queue.offer(handled, payload)
          yield* EventBus.agent("worker", { topics: [topic], onEvent, maxAttempts: 2 })
          const takeDead = yield* bus.subscribe(`${topic}.dead`, "undertaker")
          const [sent] = yield* publish(topic, ["bad", "good"])
          const [dead] = yield* takeAll(takeDead, 1)
          const { event, problem } = dead!.event.payload as { readonly event: EventBus.Event; readonly problem: string }
          return [
            { event: bare(sent!), problem: "no", about: [sent?.id, "t-1"], next: "good" },
            {
              event: bare(event),
              problem,
              about: [dead!.event.correlation_id, dead!.event.thread_id],
              next: yield* within("the next event", Queue.take(handled))
            }
          ]
        }
      ),
      trace: rule(
        "an event is handled in the trace that it was published in, below eventbus.publish, with its tracestate and baggage",
        function* (_, topic) {
          const told = yield* Deferred.make<Propagator.Propagated>()
          const onEvent = () => Effect.flatMap(Propagator.current, (current) => Deferred.succeed(told, current))
          const fiber = yield* EventBus.agent("worker", { topics: [topic], onEvent })
          const sent = Propagator.withRemoteParent({ traceparent, tracestate: "a=1", baggage: "user=Ada" })
          yield* sent(publish(topic, ["job"]))
          const { baggage, context } = yield* within("the event", Deferred.await(told))
          yield* Fiber.interrupt(fiber)
          const above = namesAbove("agent.on_event", yield* spansSoFar)
          return [
            { traceId: traceparent.slice(3, 35), traceState: "a=1", user: "Ada", isBelow: true },
            {
              traceId: context?.traceId,
              traceState: context?.traceState,
              user: baggage.get("user")?.value,
              isBelow: above.includes("eventbus.publish")
            }
          ]
        }
      ),
      sameId: rule("an event that is published again by the same id is not there twice", function* (bus, topic) {
        const take = yield* bus.subscribe(topic, "first")
        yield* publish(topic, [1, 2], "same")
        yield* publish(topic, ["last"])
        return [[1], yield* takeToLast(take)]
      }),
      lostMember: rule("what a member held that is gone comes again, to another of its group", function* (bus, topic) {
        const lost = yield* Scope.make()
        yield* publish(topic, ["job"])
        yield* within("the event", yield* Scope.provide(bus.subscribe(topic, "first"), lost))
        yield* Scope.close(lost, Exit.void)
        const received = yield* takeAll(yield* bus.subscribe(topic, "first"), 1)
        return [[["job", 2]], received.map(({ attempt, event }) => [event.payload, attempt])]
      }),
      longWork: rule(
        "what a member works on for long does not come again as long as the member lives",
        function* (bus, topic) {
          const [take, other] = [yield* bus.subscribe(topic, "first"), yield* bus.subscribe(topic, "first")]
          yield* publish(topic, ["job"])
          const { ack } = yield* within("the event", take)
          const again = yield* Effect.timeoutOption(other, ackWait * 3)
          yield* ack
          return [undefined, Option.getOrUndefined(again)?.attempt]
        }
      ),
      poison: rule("what is no event goes to {topic}.dead, and the next event is handed out", function* (bus, topic) {
        const takeDead = yield* bus.subscribe(`${topic}.dead`, "undertaker")
        const take = yield* bus.subscribe(topic, "first")
        if (poison !== undefined) yield* poison(topic)
        yield* publish(topic, ["last"])
        const found = yield* takeToLast(take)
        const dead = yield* takeAll(takeDead, 1)
        return [
          { found: [], dead: ["dead"] },
          { found, dead: dead.map(({ event }) => event.type) }
        ]
      })
    },
    {
      sameId: knowsIds ? undefined : "it does not know events by their ids",
      lostMember: ackWait > 0 ? undefined : withoutWait,
      longWork: ackWait > 0 ? undefined : withoutWait,
      poison: poison ? undefined : "nobody says how to put it there",
      ...options.skip
    }
  )
}

type Take = Effect.Effect<EventBus.Received, EventBus.EventBusError>

const withoutWait = "it waits for its members for ever"

const word = Effect.map(Random.nextIntBetween(0, 2 ** 32), Hex.ofWord)

const numbers: ReadonlyArray<unknown> = Array.from({ length: 20 }, (_, at) => at)

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

/** Such as a server might take for something else, or for one another. */
const names = [
  "",
  ".",
  "A",
  "é",
  "e\u0301",
  "🌍\n",
  "{a}",
  "a_2Eb",
  "a%2Eb",
  ...Array.from("._ *>:/", (odd) => `a${odd}b`)
]

const payloads: ReadonlyArray<unknown> = [
  null,
  false,
  -1.5e-7,
  "",
  "\u0000 \ud800 \u2028 \r\n",
  "Grüße, 世界 🌍 ".repeat(8000),
  [],
  { a: { b: [{ c: null }] }, "": 1, "a.b": "\\" }
]

const payloadsOf = (received: ReadonlyArray<EventBus.Received>) => received.map(({ event }) => event.payload)

/** An event without its trace, which is another wherever it has been. */
const bare = ({ correlation_id, id, payload, sender, thread_id, type }: EventBus.Event) => ({
  id,
  type,
  payload,
  sender,
  thread_id,
  correlation_id
})

const spansSoFar = Effect.map(TestTracing.traces, (traces) => traces.flatMap(({ spans }) => spans))

const numberOf = ({ attributes }: SpanRecord): number => Number(attributes[Key.attemptNumber])

/** The names of the spans above one of this name, from the next on. */
const namesAbove = (name: string, spans: ReadonlyArray<SpanRecord>): ReadonlyArray<string> => {
  const below = spans.find((span) => span.name === name)
  const parent = spans.find(({ spanId }) => spanId === below?.parentSpanId)
  return parent === undefined ? [] : [parent.name, ...namesAbove(parent.name, spans)]
}

/** Publishes an event for each payload, and gives the events. */
const publish = (topic: string, payloads: ReadonlyArray<unknown>, id?: string) =>
  Effect.forEach(payloads, (payload) =>
    EventBus.publish(topic, { type: "test", payload, thread_id: "t-1", ...(id !== undefined && { id }) })
  )
