import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, FileSystem } from "effect"
import * as Testing from "handspan/testing"
import { data } from "./data.ts"
import { marketAnalyst } from "./market-analyst.ts"
import { risk } from "./risk.ts"
import { sentiment } from "./sentiment.ts"
import { trend } from "./trend.ts"

const { expectTrace } = Testing
const { anyOrder, handoff, pipeline } = Testing.Tree

/** As much as the analysts ask for, all on one day. */
const history = Array.from({ length: 250 }, () => ({ date: "2018-05-11", close: 188.59, volume: 26_212_200 }))

const prices = "node_modules/@observablehq/sample-datasets/aapl.csv"

describe("market-analyst", () => {
  it.effect("records one root, three analysts side by side, and a planner that links to them", () =>
    Effect.gen(function* () {
      const { exit, trace } = yield* Testing.record(marketAnalyst(prices), { clock: "live" })
      expectTrace(trace)
        .toMatchTree(
          pipeline("market_analyst", [
            handoff("data"),
            handoff("trend"),
            handoff("risk"),
            handoff("sentiment"),
            handoff("planner", { links: anyOrder("trend", "risk", "sentiment") })
          ])
        )
        .toFanIn("planner", ["trend", "risk", "sentiment"])
        .toOverlap("trend", "risk")
        .toOverlap("risk", "sentiment")
      const plan = Exit.isSuccess(exit) ? exit.value.text.split("\n") : []
      assert.deepStrictEqual(plan, [
        "Plan of 2018-05-11, at 188.59: buy, with 42.3 % of the money",
        "",
        "trend      up: the average of 50 days is 173.34, that of 200 days 166.18; they crossed on 2016-08-30",
        "risk       one day in twenty loses 2.4 % or more; a year swings by 22.2 %; the deepest fall was 30.4 %, until 2016-05-12",
        "sentiment  greedy: 55.0 % of the volume bought; 70.4 % of the usual interest",
        "stop       sell if the price closes below 166.18"
      ])
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("ends where the data does: no analyst begins", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const file = yield* fs.makeTempFileScoped()
      yield* fs.writeFileString(file, "Date,Close\n2018-05-11,188.59\n")
      const { exit, trace } = yield* Testing.record(marketAnalyst(file), { clock: "live" })
      assert.isTrue(Exit.isFailure(exit))
      const failed = { status: "error", attributes: { "error.type": "UnreadablePrices" } } as const
      expectTrace(trace).toMatchTree(pipeline("market_analyst", { ...failed, children: [handoff("data", failed)] }))
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.effect("plans nothing when an analyst fails, and stops the slower ones", () =>
    Effect.gen(function* () {
      const stubbed = Testing.pipeline(marketAnalyst("any file"), [
        Testing.stub(data, { output: history }),
        Testing.stub(trend, (days) => Effect.delay(Effect.die(`no trend in ${days.length} days`), "1 second")),
        Testing.stub(risk, { delay: "1 minute", defect: "never comes to this" }),
        Testing.stub(sentiment, { delay: "1 minute", defect: "nor to this" })
      ])
      const { trace } = yield* Testing.record(stubbed, { advance: "1 hour" })
      const interrupted = { attributes: { "handspan.interrupted": true } }
      expectTrace(trace)
        .toMatchTree(
          pipeline("market_analyst", {
            status: "error",
            children: [
              handoff("data"),
              handoff("trend", { status: { error: "no trend in 250 days" } }),
              handoff("risk", interrupted),
              handoff("sentiment", interrupted)
            ]
          })
        )
        .not.toHaveRun("planner")
      assert.strictEqual(trace.endTimeUnixNano, 1_000_000_000n)
    })
  )
})
