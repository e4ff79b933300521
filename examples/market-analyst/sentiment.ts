// What do the others do? Volume tells: a price that rises on busy days is wanted.
import { Effect, Schema } from "effect"
import { Agent } from "handspan"
import { History, mean, returns } from "./prices.ts"

/** The days that still count as news: a quarter of a year. */
const recentDays = 63

export const Sentiment = Schema.Struct({
  mood: Schema.Literals(["greedy", "neutral", "fearful"]),
  /** The part of the volume that was traded on days the price rose, from 0 to 1. */
  buying: Schema.Finite,
  /** The recent volume over that of the whole history; above 1 there is more interest than usual. */
  interest: Schema.Finite
})

export const sentiment = Agent.make("sentiment", {
  handoffType: "sentiment_analysis",
  input: History,
  output: Sentiment,
  run: (days) =>
    Effect.gen(function* () {
      const recent = days.slice(-recentDays).map(({ volume }) => volume)
      const interest = mean(recent) / mean(days.map(({ volume }) => volume))
      // Arithmetic blocks the only thread there is; the other analysts get a turn in between.
      yield* Effect.yieldNow
      const rises = returns(days).slice(-recentDays)
      const bought = recent.filter((_, index) => rises[index]! > 0)
      const buying = (mean(bought) * bought.length) / (mean(recent) * recent.length)
      return { mood: buying > 0.55 ? "greedy" : buying < 0.45 ? "fearful" : "neutral", buying, interest }
    })
})
