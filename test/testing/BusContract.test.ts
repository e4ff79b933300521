import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Queue } from "effect"
import * as Bridge from "../../src/Bridge.ts"
import type { Connection } from "../../src/Connection.ts"
import * as EventBus from "../../src/EventBus.ts"
import { busContract, type BusContractOptions, type BusRule } from "../../src/testing/BusContract.ts"

/** Two connections that are each other's other side, within the process. */
const pair = Effect.gen(function* () {
  const [left, right] = [yield* Queue.unbounded<string>(), yield* Queue.unbounded<string>()]
  const end = (from: Queue.Queue<string>, to: Queue.Queue<string>): Connection => ({
    send: (message) => Effect.asVoid(Queue.offer(to, JSON.stringify(message))),
    receive: Effect.map(Queue.take(from), (text): unknown => JSON.parse(text))
  })
  return [end(left, right), end(right, left)] as const
})

/** A bus in memory, as it is seen through a bridge. */
const layerBridge = Layer.unwrap(
  Effect.gen(function* () {
    const [here, there] = yield* pair
    yield* Effect.forkScoped(Bridge.serve(there))
    return Bridge.layer("agent", here)
  })
).pipe(Layer.provide(EventBus.layerMemory))

const buses: Readonly<Record<string, BusContractOptions<never>>> = {
  layerMemory: { layer: EventBus.layerMemory },
  "a Bridge": { layer: layerBridge }
}

for (const [name, options] of Object.entries(buses)) {
  describe(`busContract: ${name}`, () => {
    for (const { check, rule } of busContract(options)) it.effect(rule, () => check)
  })
}

/** A bus in memory, of which some is another. */
const layerBroken = (change: (bus: EventBus.Broker) => Partial<EventBus.Broker>) =>
  Layer.effect(
    EventBus.EventBus,
    Effect.map(EventBus.EventBus, (bus) => ({ ...bus, ...change(bus) }))
  ).pipe(Layer.provide(EventBus.layerMemory))

/** A bus that hands out events in another way. */
const handingOut =
  (change: (received: EventBus.Received) => EventBus.Received | Effect.Effect<EventBus.Received>) =>
  ({ subscribe }: EventBus.Broker): Partial<EventBus.Broker> => ({
    subscribe: (topic, group) =>
      Effect.map(
        subscribe(topic, group),
        Effect.flatMap((received) => {
          const changed = change(received)
          return Effect.isEffect(changed) ? changed : Effect.succeed(changed)
        })
      )
  })

/** A bus that publishes something else. */
const publishing =
  (change: (event: EventBus.Event) => EventBus.Event) =>
  ({ publish }: EventBus.Broker): Partial<EventBus.Broker> => ({
    publish: (topic, event) => publish(topic, change(event))
  })

describe("busContract", () => {
  const asIs = () => ({})
  const broken: ReadonlyArray<
    readonly [
      rule: BusRule,
      how: string,
      change: (bus: EventBus.Broker) => Partial<EventBus.Broker>,
      seen: RegExp,
      options?: Partial<BusContractOptions<never>>
    ]
  > = [
    [
      "kept",
      "keeps nothing",
      ({ publish, subscribe }) => {
        const topics = new Set<string>()
        return {
          publish: (topic, event) => (topics.has(topic) ? publish(topic, event) : Effect.void),
          subscribe: (topic, group) => {
            topics.add(topic)
            return subscribe(topic, group)
          }
        }
      },
      /^event 1 of 3 did not come$/
    ],
    [
      "order",
      "lets one event overtake the other",
      ({ publish }) => {
        const held: Array<EventBus.Event> = []
        return {
          publish: (topic, event) =>
            held.push(event) % 2 === 1
              ? Effect.void
              : Effect.forEach(held.splice(0).toReversed(), (event) => publish(topic, event), { discard: true })
        }
      },
      /^0: sent 0, received 1$/
    ],
    [
      "groups",
      "knows one group",
      ({ subscribe }) => ({ subscribe: (topic) => subscribe(topic, "all") }),
      /^event 1 of 1 did not come$/
    ],
    [
      "members",
      "takes each member for a group",
      ({ subscribe }) => {
        let last = 0
        return { subscribe: (topic) => subscribe(topic, String(++last)) }
      },
      /^1: sent "b", received "a"$/
    ],
    [
      "topics",
      "takes topics for one another",
      ({ publish, subscribe }) => {
        const nameOf = (topic: string) => topic.replace(/\W/g, "_")
        return {
          publish: (topic, event) => publish(nameOf(topic), event),
          subscribe: (topic, group) => subscribe(nameOf(topic), group)
        }
      },
      /^1\.1: sent nothing, received "é"$/
    ],
    [
      "topics",
      "tells events of all topics apart by their ids",
      ({ publish }) => {
        const ids = new Set<string>()
        return {
          publish: (topic, event) => {
            if (ids.has(event.id)) return Effect.void
            ids.add(event.id)
            return publish(topic, event)
          }
        }
      },
      /^1\.0: sent ".", received nothing$/
    ],
    [
      "payload",
      "cuts what is long",
      publishing((event) => ({
        ...event,
        payload: typeof event.payload === "string" ? event.payload.slice(0, 10) : event.payload
      })),
      /^5\.payload: sent "Grüße, .*…, received "Grüße, 世界 "$/
    ],
    [
      "payload",
      "forgets the thread",
      publishing(({ thread_id: _, ...event }) => event),
      /^0\.thread_id: sent "t-1", received nothing$/
    ],
    [
      "ack",
      "hands out again what was acknowledged",
      handingOut((received) => ({
        ...received,
        ack: received.attempt === 1 ? received.giveBack({ hasFailed: true }) : Effect.void
      })),
      /^0: sent nothing, received 1$/
    ],
    [
      "giveBack",
      "does not count attempts",
      handingOut((received) => ({ ...received, attempt: 1 })),
      /^1\.0: sent 2, received 1$/
    ],
    [
      "interruption",
      "forgets what was given back",
      handingOut((received) => ({ ...received, giveBack: () => Effect.void })),
      /^the event did not come$/
    ],
    [
      "interruption",
      "counts attempts that were interrupted",
      handingOut((received) => ({
        ...received,
        giveBack: (attempt) => received.giveBack({ ...attempt, hasFailed: true })
      })),
      /^the event did not come$/
    ],
    [
      "attempts",
      "forgets the first attempt",
      handingOut((received) => ({ ...received, giveBack: ({ hasFailed }) => received.giveBack({ hasFailed }) })),
      /^1: sent "1 to [0-9a-f]{16}", received "1 to "$/
    ],
    [
      "dead",
      "keeps no dead",
      ({ publish }) => ({
        publish: (topic, event) => (topic.endsWith(".dead") ? Effect.void : publish(topic, event))
      }),
      /^event 1 of 1 did not come$/
    ],
    [
      "trace",
      "forgets the trace",
      handingOut(({ event: { baggage: _, span_id: _id, trace_id: _trace, ...event }, ...received }) => ({
        ...received,
        event
      })),
      /^traceId: sent "0af7651916cd43dd8448eb211c80319c", received "[0-9a-f]{32}"$/
    ],
    [
      "trace",
      "forgets the tracestate",
      handingOut(({ event: { tracestate: _, ...event }, ...received }) => ({ ...received, event })),
      /^traceState: sent "a=1", received ""$/
    ],
    ["sameId", "knows no ids", asIs, /^1: sent nothing, received 2$/, { knowsIds: true }],
    ["lostMember", "waits for ever", asIs, /^event 1 of 1 did not come$/, { ackWait: "20 millis" }],
    [
      "longWork",
      "asks nobody whether they live",
      handingOut((received) =>
        Effect.as(Effect.forkDetach(Effect.delay(received.giveBack({ hasFailed: true }), "20 millis")), received)
      ),
      /^sent nothing, received 2$/,
      { ackWait: "20 millis" }
    ],
    ["poison", "drops it", asIs, /^event 1 of 1 did not come$/, { poison: () => Effect.void }]
  ]

  for (const [id, how, change, seen, options] of broken) {
    it.effect(`tells by rule ${id} of a bus that ${how}`, () =>
      Effect.gen(function* () {
        const cases = busContract({ layer: layerBroken(change), timeout: "200 millis", ...options })
        const error = yield* Effect.flip(cases.find((one) => one.id === id)!.check)
        assert.match(error.seen, seen)
      })
    )
  }

  it("has a broken bus for each rule", () => {
    const rules = busContract({ layer: EventBus.layerMemory }).map(({ id }) => id as BusRule)
    assert.deepStrictEqual(new Set(broken.map(([id]) => id)), new Set(rules))
  })

  it("names what is skipped, and why", () => {
    const skipped = busContract({ layer: EventBus.layerMemory, skip: { order: "it is a heap" } }).flatMap(
      ({ id, rule }) => (rule.includes(" (skipped: ") ? [`${id}: ${rule.split(" (skipped: ")[1]}`] : [])
    )
    assert.deepStrictEqual(skipped, [
      "order: it is a heap)",
      "sameId: it does not know events by their ids)",
      "lostMember: it waits for its members for ever)",
      "longWork: it waits for its members for ever)",
      "poison: nobody says how to put it there)"
    ])
  })
})
