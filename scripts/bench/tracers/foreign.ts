// Peers that do not trace Effect programs: what they have in common is that spans are begun and ended by hand, in async
// functions. They do the same work as the Effect programs, as far as there is one.
import { type Attributes, childAttributes, childName, rootAttributes, rootName } from "./content.ts"
import { langfuse } from "./langfuse.ts"
import { mastra } from "./mastra.ts"
import { openaiAgents } from "./openai-agents.ts"
import { rawOpenTelemetry } from "./raw-opentelemetry.ts"
import type { Destination } from "./tracer.ts"

export interface ForeignSpan {
  readonly child: (name: string, attributes: Attributes) => ForeignSpan
  readonly end: () => void
}

/** A peer in place. */
export interface Foreign {
  readonly begin: (name: string, attributes: Attributes) => ForeignSpan
  readonly flush: () => Promise<void>
}

export const foreign = {
  OpenTelemetry: rawOpenTelemetry,
  "OpenAI Agents": openaiAgents,
  Langfuse: langfuse,
  Mastra: mastra
} satisfies Record<string, (to: Destination) => Promise<Foreign>>

export type ForeignName = keyof typeof foreign

export const isForeign = (name: string): name is ForeignName => name in foreign

/** Makes traces of ten spans with five attributes each, as `works.traces` does. */
export const sendTraces = async ({ begin }: Foreign, traces: number): Promise<void> => {
  for (let trace = 0; trace < traces; trace++) {
    const root = begin(rootName, rootAttributes)
    for (let item = 1; item < 10; item++) {
      const span = root.child(childName, childAttributes(item))
      for (let step = 0; step < 5; step++) await Promise.resolve()
      span.end()
    }
    root.end()
    // Effect lets the event loop have a turn about as often.
    if (trace % 5 === 4) await new Promise((resolve) => setImmediate(resolve))
  }
}
