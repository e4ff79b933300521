// Every case of the bench, in the order in which they run.
import type { Case } from "./case.ts"
import { buffered } from "./buffered.ts"
import * as fullSpeed from "./full-speed.ts"
import { losses, lossAtFullSpeed } from "./loss.ts"
import { perSpan } from "./per-span.ts"
import * as pipeline from "./pipeline.ts"
import * as scaling from "./scaling.ts"
import * as steps from "./steps.ts"

export const cases: ReadonlyArray<Case> = [
  steps.handoffs,
  steps.spans,
  steps.primitives,
  steps.unsampled,
  steps.failing,
  scaling.openSpans,
  scaling.depth,
  scaling.fanout,
  scaling.attributes,
  fullSpeed.sending,
  fullSpeed.wire,
  buffered,
  fullSpeed.memoryAtFullSpeed,
  pipeline.cpu,
  pipeline.p95,
  perSpan,
  lossAtFullSpeed,
  losses
]
