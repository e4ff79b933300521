// How much can be lost? Measures how far the price has swung, and fallen.
import { Effect, Schema } from "effect"
import { Agent } from "handspan"
import { History, returns, standardDeviation } from "./prices.ts"

/** The days in which there is trading, in a year. */
const tradingDays = 252

export const Risk = Schema.Struct({
  /** The standard deviation of a year's return, as a ratio. */
  volatility: Schema.Finite,
  /** What nineteen of twenty days did not lose, as a ratio. */
  valueAtRisk: Schema.Finite,
  /** The deepest fall from a high, as a ratio, and the day it ended on. */
  maxDrawdown: Schema.Finite,
  bottomOn: Schema.String
})

export const risk = Agent.make("risk", {
  handoffType: "risk_analysis",
  input: History,
  output: Risk,
  run: (days) =>
    Effect.gen(function* () {
      const lastYear = returns(days).slice(-tradingDays)
      const volatility = standardDeviation(lastYear) * Math.sqrt(tradingDays)
      const valueAtRisk = -lastYear.toSorted((a, b) => a - b)[Math.floor(lastYear.length / 20)]!
      // Arithmetic blocks the only thread there is; the other analysts get a turn in between.
      yield* Effect.yieldNow
      return { volatility, valueAtRisk, ...deepestFall(days) }
    })
})

const deepestFall = (days: History) => {
  let high = 0
  let deepest = { maxDrawdown: 0, bottomOn: days[0]!.date }
  for (const { close, date } of days) {
    high = Math.max(high, close)
    const fall = 1 - close / high
    if (fall > deepest.maxDrawdown) deepest = { maxDrawdown: fall, bottomOn: date }
  }
  return deepest
}
