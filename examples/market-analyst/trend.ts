// Where is the price going? Compares a quick average with a slow one.
import { Effect, Schema } from "effect"
import { Agent } from "handspan"
import { History, mean } from "./prices.ts"

export const Trend = Schema.Struct({
  /** The last day, and its price. */
  asOf: Schema.String,
  price: Schema.Finite,
  direction: Schema.Literals(["up", "down", "sideways"]),
  average50: Schema.Finite,
  average200: Schema.Finite,
  /** The last day on which the quick average crossed the slow one. */
  crossedOn: Schema.UndefinedOr(Schema.String)
})

export const trend = Agent.make("trend", {
  handoffType: "trend_analysis",
  input: History,
  output: Trend,
  run: (days) =>
    Effect.gen(function* () {
      const quick = averages(days, 50)
      // Arithmetic blocks the only thread there is; the other analysts get a turn in between.
      yield* Effect.yieldNow
      const slow = averages(days, 200)

      const gaps = slow.map((average, index) => quick[index + 150]! / average - 1)
      const gap = gaps.at(-1)!
      const { close: price, date: asOf } = days.at(-1)!
      const crossing = gaps.findLastIndex(
        (today, index) => index > 0 && Math.sign(today) !== Math.sign(gaps[index - 1]!)
      )
      return {
        asOf,
        price,
        direction: gap > 0.01 ? "up" : gap < -0.01 ? "down" : "sideways",
        average50: quick.at(-1)!,
        average200: slow.at(-1)!,
        crossedOn: crossing === -1 ? undefined : days[crossing + 199]!.date
      }
    })
})

/** The average over so many days, for each day that has that many before it. */
const averages = (days: History, length: number): ReadonlyArray<number> =>
  days.slice(length - 1).map((_, index) => mean(days.slice(index, index + length).map(({ close }) => close)))
