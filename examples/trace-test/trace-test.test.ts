import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Testing from "handspan/testing"
import { traceTest } from "./trace-test.ts"

const { expectTrace } = Testing
const { span } = Testing.Tree

/** The way from one agent over the bridge to the bus, and from there over the bridge to the next. */
const hop = (from: string, topic: string, to: string, ...then: ReadonlyArray<Testing.Tree.Expected>) =>
  span("bridge.publish", {
    attributes: { agent_id: from, topic },
    children: [
      span("eventbus.publish", {
        attributes: { topic },
        children: [
          span("bridge.forward", {
            attributes: { agent_id: to, topic },
            children: [span("agent.on_event", { attributes: { "agent.id": to, topic }, children: then })]
          })
        ]
      })
    ]
  })

describe("trace-test", () => {
  it.live("takes each reading through three processes as one trace, of which no span is an orphan", () =>
    Effect.gen(function* () {
      const traces = yield* traceTest(import.meta.dirname, 2)
      assert.strictEqual(traces.length, 2)
      for (const trace of traces) {
        assert.deepStrictEqual(trace.problems, [])
        expectTrace(trace).toMatchTree(
          span("sensor.emit_data", [
            hop("sensor", "sensor.data", "processor", hop("processor", "processed.data", "output"))
          ])
        )
        const services = new Set(trace.spans.map(({ resource }) => resource.attributes["service.name"]))
        assert.deepStrictEqual(
          [...services].toSorted((a, b) => (String(a) < String(b) ? -1 : 1)),
          ["agent-output", "agent-processor", "agent-sensor", "trace-test"]
        )
      }
      const results = traces.map(({ spans }) => spans.find(({ events }) => events.length > 0)?.events[0]?.name)
      assert.deepStrictEqual(results, ['result {"value":30}', 'result {"value":31.5}'])
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
