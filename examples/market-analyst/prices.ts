// A history of daily prices, and the arithmetic that the analysts share.
import { Schema } from "effect"

const Day = Schema.Struct({
  /** As `2018-05-11`. */
  date: Schema.String,
  close: Schema.Finite.check(Schema.isGreaterThan(0)),
  volume: Schema.Finite
})

/** Days in order, enough of them for the longest average that an analyst takes. */
export const History = Schema.Array(Day).check(Schema.isMinLength(201))
export type History = typeof History.Type

export const mean = (values: ReadonlyArray<number>): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length

export const standardDeviation = (values: ReadonlyArray<number>): number => {
  const middle = mean(values)
  return Math.sqrt(mean(values.map((value) => (value - middle) ** 2)))
}

/** By how much the price rose each day, as a ratio: 0.01 is one per cent. */
export const returns = (days: History): ReadonlyArray<number> =>
  days.slice(1).map(({ close }, index) => close / days[index]!.close - 1)
