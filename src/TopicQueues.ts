/**
 * What waits for whom in the memory of a process: for each group of a topic a queue, which its members share. A topic is bounded; how
 * many there are is up to who names them.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"

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
 * Topics that nothing is on yet.
 *
 * @since 0.1.0
 */
export class TopicQueues<A> {
  private readonly topics = new Map<string, Topic<A>>()

  /** Puts it there for each group, or for the first one. */
  offer(topic: string, waiting: A): void {
    const { backlog, groups } = this.of(topic)
    for (const { queue } of groups.values()) Queue.offerUnsafe(queue, waiting)
    if (groups.size > 0) return
    backlog.push(waiting)
    if (backlog.length > maxWaiting) backlog.shift()
  }

  /** Makes a member of a group, for as long as the scope lives, and gives what waits for the group. */
  join(topic: string, name: string): Effect.Effect<Queue.Queue<A>, never, Scope.Scope> {
    return Effect.flatMap(Queue.sliding<A>(maxWaiting), (made) => {
      const joined = Effect.acquireRelease(
        Effect.sync(() => this.enter(topic, name, made)),
        (group) => Effect.sync(() => this.leave(topic, name, group))
      )
      return Effect.map(joined, ({ queue }) => queue)
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

  private leave(topic: string, name: string, group: Group<A>): void {
    if (--group.members > 0) return
    const { groups } = this.of(topic)
    // Those without members stand in the order in which they were left.
    groups.delete(name)
    groups.set(name, group)
    const left = [...groups].filter(([, { members }]) => members === 0)
    if (left.length > maxLeft) groups.delete(left[0]![0])
  }
}
