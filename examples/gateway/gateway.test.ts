import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Testing from "handspan/testing"
import { chat } from "./jeeves.ts"

const { expectTrace } = Testing
const { span } = Testing.Tree

/** What stands on every span below the gateway's own, because it came along as baggage. */
const ids = {
  "jeeves.request.id": "request-1",
  "jeeves.user.id": "alice",
  "jeeves.envelope.id": "envelope-of-request-1"
}

const agent = (name: string, kind: string, children: ReadonlyArray<Testing.Tree.Expected> = []) =>
  span("agent.process", {
    attributes: { "gen_ai.agent.name": name, "handspan.agent.kind": kind, ...ids },
    children
  })

describe("gateway", () => {
  it.live("takes a chat through HTTP, gRPC and three processes as one trace", () =>
    Effect.gen(function* () {
      const { reply, status, traces } = yield* chat(import.meta.dirname, "How many hours has a week?", { fails: false })
      assert.deepStrictEqual([status, reply], [200, { answer: "168" }])
      // One trace, with nothing odd about it: no orphan, no second root.
      assert.deepStrictEqual(
        traces.map(({ problems }) => problems),
        [[]]
      )
      const [trace] = traces
      expectTrace(trace!).toMatchTree(
        span("http.request", {
          kind: "server",
          attributes: { "url.path": "/api/v1/chat", "http.response.status_code": 200, ...ids },
          children: [
            span("grpc.ExecutePipeline", {
              kind: "client",
              attributes: { "rpc.method": "jeeves.Orchestrator/ExecutePipeline", ...ids },
              children: [
                span("pipeline.execute", {
                  attributes: ids,
                  children: [
                    agent("Router", "service"),
                    agent("Planner", "llm", [
                      span("llm.generate", {
                        kind: "client",
                        attributes: { "rpc.method": "jeeves.ModelGateway/Generate", ...ids },
                        children: [
                          span("llm.provider.call", {
                            kind: "client",
                            attributes: {
                              "gen_ai.response.model": "fake-planner-2026",
                              "gen_ai.usage.input_tokens": 31,
                              "gen_ai.usage.output_tokens": 12,
                              ...ids
                            }
                          })
                        ]
                      })
                    ]),
                    agent("Executor", "tool")
                  ]
                })
              ]
            }),
            span("http.response", { attributes: ids })
          ]
        })
      )
      assert.deepStrictEqual(
        trace!.spans.map(({ name, resource }) => [
          name,
          resource.attributes["service.name"],
          resource.attributes["service.version"]
        ]),
        [
          ["http.request", "jeeves-gateway", "4.0.0"],
          ["grpc.ExecutePipeline", "jeeves-gateway", "4.0.0"],
          ["pipeline.execute", "jeeves-orchestrator", "4.0.0"],
          ["agent.process", "jeeves-orchestrator", "4.0.0"],
          ["agent.process", "jeeves-orchestrator", "4.0.0"],
          ["llm.generate", "jeeves-orchestrator", "4.0.0"],
          ["llm.provider.call", "jeeves-model-gateway", "4.0.0"],
          ["agent.process", "jeeves-orchestrator", "4.0.0"],
          ["http.response", "jeeves-gateway", "4.0.0"]
        ]
      )
    })
  )

  it.live("shows a provider that fails as one path of errors through all of them", () =>
    Effect.gen(function* () {
      const { reply, status, traces } = yield* chat(import.meta.dirname, "How many hours has a week?", { fails: true })
      assert.deepStrictEqual([status, reply], [502, { error: "The provider of models has failed" }])
      assert.deepStrictEqual(
        traces.map(({ problems }) => problems),
        [[]]
      )
      const failed = (type: string) => ({ status: "error", attributes: { "error.type": type } }) as const
      expectTrace(traces[0]!).toMatchTree(
        span("http.request", {
          ...failed("502"),
          children: [
            span("grpc.ExecutePipeline", {
              ...failed("UNAVAILABLE"),
              children: [
                span("pipeline.execute", {
                  ...failed("ServiceFailed"),
                  children: [
                    span("agent.process", { status: "ok" }),
                    span("agent.process", {
                      ...failed("ServiceFailed"),
                      children: [
                        span("llm.generate", {
                          ...failed("UNAVAILABLE"),
                          children: [span("llm.provider.call", failed("ProviderFailed"))]
                        })
                      ]
                    })
                  ]
                })
              ]
            }),
            span("http.response", { status: "ok" })
          ]
        })
      )
    })
  )
})
