// The first agent: reads a file of daily prices, as exchanges and Yahoo Finance write it.
import { parse } from "csv-parse/sync"
import { Effect, FileSystem, Schema } from "effect"
import { Agent } from "handspan"
import { History } from "./prices.ts"

class UnreadablePrices extends Schema.TaggedError<UnreadablePrices>()("UnreadablePrices", { message: Schema.String }) {}

export const data = Agent.make("data", {
  kind: "tool",
  handoffType: "data_collection",
  input: Schema.NonEmptyString,
  output: History,
  run: (file) =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const text = yield* fs.readFileString(file)
      const rows = yield* Effect.try({
        try: () => parse<Record<string, string>>(text, { columns: true, skip_empty_lines: true, trim: true }),
        catch: (error) => new UnreadablePrices({ message: `Cannot read ${file}: ${(error as Error).message}` })
      })
      const missing = ["Date", "Close", "Volume"].filter((column) => rows[0]?.[column] === undefined)
      if (missing.length > 0) {
        return yield* new UnreadablePrices({ message: `Cannot read ${file}: it has no column ${missing.join(", ")}` })
      }
      return rows.map((row) => ({
        date: row["Date"] ?? "",
        // Splits and dividends are no losses: the adjusted price leaves them out, where there is one.
        close: Number(row["Adj Close"] ?? row["Close"]),
        volume: Number(row["Volume"])
      }))
    })
})
