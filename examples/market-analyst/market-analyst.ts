// The pipeline: one reads, three analyse side by side, one plans with what all three found.
import { Pipeline } from "handspan"
import { data } from "./data.ts"
import { planner } from "./planner.ts"
import { risk } from "./risk.ts"
import { sentiment } from "./sentiment.ts"
import { trend } from "./trend.ts"

export const marketAnalyst = Pipeline.make(
  "market_analyst",
  // The planner's span links to those of all three analysts: they are what it had to wait for.
  Pipeline.sequence(data, Pipeline.parallel({ trend, risk, sentiment }), Pipeline.fanIn(planner))
)
