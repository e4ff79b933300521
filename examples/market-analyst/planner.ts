// The last agent: joins the three analyses in a plan.
import { Effect, Schema } from "effect"
import { Agent } from "handspan"
import { Risk } from "./risk.ts"
import { Sentiment } from "./sentiment.ts"
import { Trend } from "./trend.ts"

const Analyses = Schema.Struct({ trend: Trend, risk: Risk, sentiment: Sentiment })

const Plan = Schema.Struct({
  action: Schema.Literals(["buy", "hold", "sell"]),
  /** The part of the money to have in it, from 0 to 1. */
  position: Schema.Finite,
  /** The plan itself, for people. */
  text: Schema.String
})

export const planner = Agent.make("planner", {
  handoffType: "planning",
  input: Analyses,
  output: Plan,
  run: ({ risk, sentiment, trend }) =>
    Effect.sync(() => {
      const score =
        { up: 1, sideways: 0, down: -1 }[trend.direction] + { greedy: 0.5, neutral: 0, fearful: -0.5 }[sentiment.mood]
      const action = score >= 1 ? "buy" : score <= -1 ? "sell" : "hold"
      // So much that a day as bad as one in twenty costs a hundredth of the money.
      const position = action === "sell" ? 0 : Math.min(1, 0.01 / risk.valueAtRisk)
      const stop = Math.min(trend.average200, trend.average50)
      const text = [
        `Plan of ${trend.asOf}, at ${money(trend.price)}: ${action}, with ${percent(position)} of the money`,
        "",
        `trend      ${trend.direction}: the average of 50 days is ${money(trend.average50)}, that of 200 days ${money(trend.average200)}` +
          (trend.crossedOn === undefined ? "" : `; they crossed on ${trend.crossedOn}`),
        `risk       one day in twenty loses ${percent(risk.valueAtRisk)} or more; a year swings by ${percent(risk.volatility)};` +
          ` the deepest fall was ${percent(risk.maxDrawdown)}, until ${risk.bottomOn}`,
        `sentiment  ${sentiment.mood}: ${percent(sentiment.buying)} of the volume bought; ${percent(sentiment.interest)} of the usual interest`,
        ...(action === "sell" ? [] : [`stop       sell if the price closes below ${money(stop)}`])
      ].join("\n")
      return { action, position, text }
    })
})

const percent = (ratio: number): string => `${(100 * ratio).toFixed(1)} %`
const money = (amount: number): string => amount.toFixed(2)
