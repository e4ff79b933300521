// What samplers are asked in tests: about the root of a trace, unless a test says otherwise.
import type * as Sampler from "../src/Sampler.ts"

export const question = (fields: Partial<Sampler.Question> = {}): Sampler.Question => ({
  traceId: "0af7651916cd43dd8448eb211c80319c",
  name: "work",
  kind: "internal",
  startTimeUnixNano: 0n,
  parent: undefined,
  hints: {},
  baggage: new Map(),
  ...fields
})
