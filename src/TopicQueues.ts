/**
 * What waits for whom in the memory of a process: for each group of a topic a queue, which its members share. A topic is bounded; how
 * many there are is up to who names them.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { Key } from "./Conventions.ts"

/** How much waits for a group, at most. */
const maxWaiting = 10_000

/** How many groups of a topic are kept that have no members, at most. */
const maxLeft = 100

interface Group<A> {
  readonly queue: Queue.Queue<A>
  members: number
}

interface Topic<A> {
  /** What waits for the first group. */
  readonly backlog: Array<A>
  readonly groups: Map<string, Group<A>>
}

/**
 * The metric that counts the events that a bus in memory had no room for, by `topic`.
 *
 * @since 0.1.0
 */
export const droppedMetric = "handspan.eventbus.dropped"

const dropped = Metric.counter(droppedMetric, { incremental: true })

/**
 * Topics that nothing is on yet. What has to go is counted, and of the first of each topic the log tells.
 *
 * @since 0.1.0
 */
export class TopicQueues<A> {
  private readonly topics = new Map<string, Topic<A>>()
  private readonly told = new Set<string>()

  /** Puts it there for each group, or for the first one. */
  offer(topic: string, waiting: A): Effect.Effect<void> {
    return this.telling(topic, () => {
      const { backlog, groups } = this.of(topic)
      let dropped = 0
      for (const { queue } of groups.values()) dropped += offerLast(queue, waiting)
      if (groups.size > 0) return dropped
      backlog.push(waiting)
      return backlog.length > maxWaiting ? backlog.splice(0, 1).length : 0
    })
  }

  /** Puts it there for one group, unless that has gone meanwhile. */
  offerTo(topic: string, name: string, waiting: A): Effect.Effect<void> {
    return this.telling(topic, () => {
      const group = this.of(topic).groups.get(name)
      return group === undefined ? 1 : offerLast(group.queue, waiting)
    })
  }

  /** Makes a member of a group, for as long as the scope lives, and gives what waits for the group. */
  join(topic: string, name: string): Effect.Effect<Queue.Queue<A>, never, Scope.Scope> {
    return Effect.flatMap(Queue.sliding<A>(maxWaiting), (made) => {
      const joined = Effect.acquireRelease(
        Effect.sync(() => this.enter(topic, name, made)),
        (group) => this.telling(topic, () => this.leave(topic, name, group))
      )
      return Effect.map(joined, ({ queue }) => queue)
    })
  }

  private telling(topic: string, drop: () => number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const count = drop()
      if (count === 0) return Effect.void
      const counted = Metric.update(Metric.withAttributes(dropped, { [Key.topic]: topic }), count)
      if (this.told.has(topic)) return counted
      this.told.add(topic)
      const remedy = `${droppedMetric} counts them. Handle them faster, or use a bus that keeps more`
      return Effect.andThen(counted, Effect.logWarning(`The bus in memory drops events of "${topic}": ${remedy}`))
    })
  }

  private of(name: string): Topic<A> {
    const topic = this.topics.get(name) ?? { backlog: [], groups: new Map<string, Group<A>>() }
    this.topics.set(name, topic)
    return topic
  }

  private enter(topic: string, name: string, queue: Queue.Queue<A>): Group<A> {
    const { backlog, groups } = this.of(topic)
    const group = groups.get(name) ?? { queue, members: 0 }
    groups.set(name, group)
    group.members++
    for (const waiting of backlog.splice(0)) Queue.offerUnsafe(group.queue, waiting)
    return group
  }

  private leave(topic: string, name: string, group: Group<A>): number {
    if (--group.members > 0) return 0
    const { groups } = this.of(topic)
    // Those without members stand in the order in which they were left.
    groups.delete(name)
    groups.set(name, group)
    const left = [...groups].filter(([, { members }]) => members === 0)
    const first = left.length > maxLeft ? left[0] : undefined
    if (first === undefined) return 0
    groups.delete(first[0])
    return Queue.sizeUnsafe(first[1].queue)
  }
}

/** Puts it there after the others, in the place of the first where there is no room. */
const offerLast = <A>(queue: Queue.Queue<A>, waiting: A): number => {
  const dropped = Queue.isFullUnsafe(queue) ? 1 : 0
  Queue.offerUnsafe(queue, waiting)
  return dropped
}
