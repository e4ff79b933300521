// Traces that the tests of analysis and of the console draw: small, made by hand, with everything that can happen.
import {
  EventName,
  handoffSpanName,
  Key,
  modelSpanName,
  Operation,
  pipelineSpanName,
  toolSpanName
} from "../../src/Conventions.ts"
import * as SpanRecord from "../../src/SpanRecord.ts"

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736"

/** 2026-11-21T06:12:00Z, so that times in texts look as they do in life. */
const epoch = 1_795_241_520_000_000_000n

const spanId = (n: number): string => n.toString(16).padStart(16, "0")

/** Microseconds after the epoch. */
const at = (micros: number): bigint => epoch + BigInt(Math.round(micros * 1000))

type Times = readonly [startMicros: number, endMicros: number]

export const span = (
  name: string,
  id: number,
  parent: number | undefined,
  [start, end]: Times,
  fields: Partial<SpanRecord.SpanRecord> = {}
): SpanRecord.SpanRecord =>
  SpanRecord.make({
    traceId,
    spanId: spanId(id),
    parentSpanId: parent === undefined ? undefined : spanId(parent),
    name,
    startTimeUnixNano: at(start),
    endTimeUnixNano: at(end),
    status: { code: "ok" },
    ...fields
  })

export const pipeline = (
  name: string,
  id: number,
  parent: number | undefined,
  times: Times,
  mode = "sequential",
  attributes: SpanRecord.Attributes = {}
): SpanRecord.SpanRecord =>
  span(pipelineSpanName(name), id, parent, times, {
    attributes: {
      [Key.operationName]: Operation.invokeWorkflow,
      [Key.workflowName]: name,
      [Key.pipelineMode]: mode,
      ...attributes
    },
    events: [
      { name: EventName.pipelineStarted, timeUnixNano: at(times[0]), attributes: {}, droppedAttributesCount: 0 },
      { name: EventName.pipelineCompleted, timeUnixNano: at(times[1]), attributes: {}, droppedAttributesCount: 0 }
    ]
  })

export const handoff = (
  agent: string,
  id: number,
  parent: number | undefined,
  times: Times,
  kind = "service",
  fields: Partial<SpanRecord.SpanRecord> = {}
): SpanRecord.SpanRecord =>
  span(handoffSpanName(agent), id, parent, times, {
    ...fields,
    attributes: {
      [Key.operationName]: Operation.invokeAgent,
      [Key.agentName]: agent,
      [Key.agent]: agent,
      [Key.agentKind]: kind,
      [Key.handoffAttempts]: 1,
      ...fields.attributes
    }
  })

export const chat = (model: string, id: number, parent: number, times: Times): SpanRecord.SpanRecord =>
  span(modelSpanName(model), id, parent, times, {
    kind: "client",
    attributes: { [Key.operationName]: Operation.chat, [Key.providerName]: "openai", [Key.requestModel]: model }
  })

export const tool = (name: string, id: number, parent: number, times: Times): SpanRecord.SpanRecord =>
  span(toolSpanName(name), id, parent, times, {
    attributes: { [Key.operationName]: Operation.executeTool, [Key.toolName]: name }
  })

export const link = (id: number): SpanRecord.SpanLink => ({
  traceId,
  spanId: spanId(id),
  flags: 1,
  traceState: "",
  attributes: {},
  droppedAttributesCount: 0
})

export const event = (name: string, micros: number, attributes: SpanRecord.Attributes = {}): SpanRecord.SpanEvent => ({
  name,
  timeUnixNano: at(micros),
  attributes,
  droppedAttributesCount: 0
})

/** A run in which an analyst's model was busy twice, one analyst failed and the slowest was interrupted. */
export const photoAgency: ReadonlyArray<SpanRecord.SpanRecord> = [
  pipeline("photo_agency", 1, undefined, [0, 1_243_600], "parallel"),
  handoff("photo_fetcher", 2, 1, [210, 12_330]),
  tool("read_folder", 3, 2, [300, 11_900]),
  handoff("vision_analyzer", 4, 1, [12_500, 816_900], "llm", {
    attributes: { [Key.handoffAttempts]: 3, [Key.loopIteration]: 2 },
    events: [
      event(EventName.handoffAttempt, 112_500, {
        [Key.attemptNumber]: 1,
        [Key.attemptWaitMillis]: 100,
        [Key.errorType]: "RateLimited",
        [Key.errorMessage]: "429 Too Many Requests"
      }),
      event(EventName.handoffAttempt, 312_500, {
        [Key.attemptNumber]: 2,
        [Key.attemptWaitMillis]: 200,
        [Key.errorType]: "RateLimited",
        [Key.errorMessage]: "429 Too Many Requests"
      }),
      event(EventName.handoffAttempt, 816_900, { [Key.attemptNumber]: 3 })
    ]
  }),
  chat("gpt-4o", 5, 4, [512_700, 816_000]),
  handoff("trend_analyst", 6, 1, [817_000, 1_127_000], "llm"),
  chat("gpt-4o", 7, 6, [817_400, 1_126_000]),
  handoff("risk_analyst", 8, 1, [817_100, 1_020_400], "llm", {
    status: { code: "error", message: "risk score is missing\nat score" },
    attributes: { [Key.errorType]: "ValidationError" }
  }),
  handoff("style_analyst", 9, 1, [817_200, 1_127_100], "llm", {
    status: { code: "unset" },
    attributes: { [Key.interrupted]: true }
  }),
  handoff("reporter", 10, 1, [1_127_300, 1_243_100], "tool", {
    links: [link(4), link(6), link(8)],
    events: [event("draft.saved", 1_130_000, { path: "report draft.md", bytes: 1204 })],
    attributes: { [Key.terminationReason]: "enough for a report" }
  })
]
