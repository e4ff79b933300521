import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, FileSystem } from "effect"
import { SpanRecord } from "handspan"
import { spanNamed, traced } from "../tree.ts"
import { marketAnalyst } from "./market-analyst.ts"

const prices = "node_modules/@observablehq/sample-datasets/aapl.csv"

describe("market-analyst", () => {
  it.live("records one root, three analysts side by side, and a planner that links to them", () =>
    Effect.gen(function* () {
      const { exit, spans, tree } = yield* traced(marketAnalyst(prices))
      assert.strictEqual(
        tree,
        [
          "pipeline.market_analyst ✓",
          "  agent_handoff.data ✓",
          "  agent_handoff.trend ✓",
          "  agent_handoff.risk ✓",
          "  agent_handoff.sentiment ✓",
          "  agent_handoff.planner ✓ ⇠ agent_handoff.trend agent_handoff.risk agent_handoff.sentiment"
        ].join("\n")
      )
      const analysts = ["trend", "risk", "sentiment"].map((name) => spanNamed(spans, `agent_handoff.${name}`))
      for (const analyst of analysts) {
        for (const other of analysts) assert.isTrue(analyst.startTimeUnixNano < other.endTimeUnixNano, "overlap")
      }
      assert.isTrue(Exit.isSuccess(exit))
      if (Exit.isSuccess(exit)) {
        assert.deepStrictEqual(exit.value.text.split("\n"), [
          "Plan of 2018-05-11, at 188.59: buy, with 42.3 % of the money",
          "",
          "trend      up: the average of 50 days is 173.34, that of 200 days 166.18; they crossed on 2016-08-30",
          "risk       one day in twenty loses 2.4 % or more; a year swings by 22.2 %; the deepest fall was 30.4 %, until 2016-05-12",
          "sentiment  greedy: 55.0 % of the volume bought; 70.4 % of the usual interest",
          "stop       sell if the price closes below 166.18"
        ])
      }
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("ends where the data does: no analyst begins", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const file = yield* fs.makeTempFileScoped()
      yield* fs.writeFileString(file, "Date,Close\n2018-05-11,188.59\n")
      const { exit, spans, tree } = yield* traced(marketAnalyst(file))
      assert.strictEqual(tree, "pipeline.market_analyst ✗\n  agent_handoff.data ✗")
      assert.isTrue(Exit.isFailure(exit))
      assert.deepStrictEqual(
        spans.map((span): SpanRecord.AttributeValue | undefined => span.attributes["error.type"]),
        ["UnreadablePrices", "UnreadablePrices"]
      )
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
