/**
 * Every attribute key, event name and span name that Handspan writes, in one table. Other dialects are views of this
 * table. The `gen_ai.*` names are those of the OpenTelemetry GenAI conventions 1.42.0-dev; they are copied because
 * the published constants are frozen at an older version. No other file spells a key.
 *
 * @since 0.1.0
 */

/**
 * Attribute keys by what they say.
 *
 * @since 0.1.0
 */
export const Key = {
  /** The agent a handoff goes to. */
  agent: "agent",
  /** What sort of work the handoff asks for. */
  handoffType: "handoff_type",
  /** The function that does the agent's work. */
  functionName: "function.name",
  /** `llm`, `tool` or `service`. */
  agentKind: "handspan.agent.kind",
  /** The agent or pipeline that handed off; `root` where none did. */
  handoffFrom: "handspan.handoff.from",
  handoffTo: "handspan.handoff.to",
  /** How many attempts began: 1 without a retry, 0 where the input did not match its Schema. */
  handoffAttempts: "handspan.handoff.attempts",
  /** `input` or `output`: which side of a handoff did not match its Schema. */
  mismatchSide: "handspan.mismatch.side",
  /** The field that did not match, as a path such as `photos[0].path`. */
  mismatchField: "handspan.mismatch.field",
  /** `sequential`, `parallel`, `routed`, `looped` or `raced`. */
  pipelineMode: "pipeline.mode",
  /** `completed`, `terminated`, `failed` or `interrupted`. */
  pipelineOutcome: "pipeline.outcome",
  /** The name of the branch that a routing agent chose. */
  routeDecision: "handspan.route.decision",
  /** Which round of a loop a handoff belongs to, from 1. */
  loopIteration: "handspan.loop.iteration",
  /** Why a pipeline stopped early, on purpose. */
  terminationReason: "termination.reason",
  /** True on a span whose work was interrupted: neither well nor badly ended. */
  interrupted: "handspan.interrupted",
  /** Why a span was ended by the recorder, and not by its own work: `shutdown` or `exit`. */
  abandoned: "handspan.abandoned",
  /** How many texts of the span were cut because they were too long. */
  truncated: "handspan.truncated",
  /**
   * True on the picture of a span that is still open, and on a durable step that was broken off: the span itself follows when
   * it ends, under the same id.
   */
  pending: "handspan.pending",
  /** How long the work may take before it counts as slow, in milliseconds. */
  thresholdMillis: "handspan.threshold_ms",
  /** How long it took, in milliseconds, where that was longer. */
  tookMillis: "handspan.took_ms",
  attemptNumber: "handspan.attempt.number",
  /** Which run of a durable workflow it is, by the id of whoever keeps its state. */
  runId: "handspan.run.id",
  /** How long the retry waited after this attempt, in milliseconds. */
  attemptWaitMillis: "handspan.attempt.wait_ms",
  operationName: "gen_ai.operation.name",
  agentName: "gen_ai.agent.name",
  workflowName: "gen_ai.workflow.name",
  providerName: "gen_ai.provider.name",
  requestModel: "gen_ai.request.model",
  responseModel: "gen_ai.response.model",
  finishReasons: "gen_ai.response.finish_reasons",
  inputTokens: "gen_ai.usage.input_tokens",
  outputTokens: "gen_ai.usage.output_tokens",
  /** What was passed in, as messages in JSON. */
  inputMessages: "gen_ai.input.messages",
  /** What came of it, as messages in JSON. */
  outputMessages: "gen_ai.output.messages",
  toolName: "gen_ai.tool.name",
  toolType: "gen_ai.tool.type",
  promptName: "gen_ai.prompt.name",
  /** A method of the Model Context Protocol, such as `tools/call`. */
  mcpMethod: "mcp.method.name",
  mcpProtocolVersion: "mcp.protocol.version",
  mcpSessionId: "mcp.session.id",
  mcpResourceUri: "mcp.resource.uri",
  jsonRpcRequestId: "jsonrpc.request.id",
  httpMethod: "http.request.method",
  /** The method as it came, where it is none that everybody knows. */
  httpMethodOriginal: "http.request.method_original",
  httpStatus: "http.response.status_code",
  rpcSystem: "rpc.system.name",
  rpcMethod: "rpc.method",
  /** What the other side answered: the name of a gRPC status, such as `OK`, or the code of a JSON-RPC error. */
  rpcStatus: "rpc.response.status_code",
  /** `postgresql`, `sqlite`, `mysql`, `redis`, … */
  dbSystem: "db.system.name",
  /** The database within its server: a name, or Redis's index. */
  dbNamespace: "db.namespace",
  /** `SELECT`, `GET`, … */
  dbOperation: "db.operation.name",
  /** The table that an operation is about; of many, the first. */
  dbCollection: "db.collection.name",
  /** The statement or command, without values. */
  dbQueryText: "db.query.text",
  /** How many commands went as one. */
  dbBatchSize: "db.operation.batch.size",
  dbRows: "db.response.returned_rows",
  /** What the database calls the failure, such as `23505`. */
  dbStatus: "db.response.status_code",
  /** Whether a cache had what was asked for; of many keys, all of them. */
  cacheHit: "handspan.cache.hit",
  /** `tcp` or `pipe`. */
  networkTransport: "network.transport",
  urlFull: "url.full",
  urlPath: "url.path",
  urlQuery: "url.query",
  urlScheme: "url.scheme",
  serverAddress: "server.address",
  serverPort: "server.port",
  clientAddress: "client.address",
  userAgent: "user_agent.original",
  /** The queue, topic or channel that a message goes through. */
  messagingDestination: "messaging.destination.name",
  /** The software that carries it, such as `redis` or `nats`. */
  messagingSystem: "messaging.system",
  /** `send` or `process`. */
  messagingOperation: "messaging.operation.name",
  /** What an agent is asked to do. */
  capability: "capability",
  topic: "topic",
  eventId: "event.id",
  eventType: "event.type",
  threadId: "thread_id",
  correlationId: "correlation_id",
  /** The agent that handles an event. */
  agentId: "agent.id",
  /** What a bridge says of an event: for which agent, and what stood on it. */
  bridgeAgentId: "agent_id",
  bridgeEventId: "event_id",
  bridgeTraceId: "trace_id",
  bridgeSpanId: "span_id",
  /** How long a message was under way before its work began, in milliseconds. */
  messageWaitMillis: "handspan.message.wait_ms",
  /** The fields of a caller that could not be read, or not as a whole. */
  unreadable: "handspan.propagation.unreadable",
  /** One of them. */
  propagationField: "handspan.propagation.field",
  errorType: "error.type",
  errorMessage: "error.message",
  exceptionType: "exception.type",
  exceptionMessage: "exception.message",
  exceptionStacktrace: "exception.stacktrace",
  serviceName: "service.name",
  serviceVersion: "service.version",
  deploymentEnvironment: "deployment.environment",
  deploymentEnvironmentName: "deployment.environment.name",
  sdkName: "telemetry.sdk.name",
  sdkLanguage: "telemetry.sdk.language",
  sdkVersion: "telemetry.sdk.version"
} as const

/**
 * Values of `gen_ai.operation.name`.
 *
 * @since 0.1.0
 */
export const Operation = {
  invokeWorkflow: "invoke_workflow",
  invokeAgent: "invoke_agent",
  executeTool: "execute_tool",
  chat: "chat"
} as const

/**
 * Names of events on spans.
 *
 * @since 0.1.0
 */
export const EventName = {
  pipelineStarted: "pipeline.started",
  pipelineCompleted: "pipeline.completed",
  /** Bears what went in and what came out, where events are to. */
  pipelineContent: "pipeline.content",
  /** The same of an agent. The conventions have no name for it yet; this is the one in use. */
  agentContent: "gen_ai.client.agent.invoke.operation.details",
  handoffAttempt: "handoff.attempt",
  slow: "performance.slow",
  exception: "exception"
} as const

/**
 * The name of the span over a pipeline.
 *
 * @since 0.1.0
 */
export const pipelineSpanName = (pipeline: string): string => `pipeline.${pipeline}`

/**
 * The name of the span over a durable run of a workflow.
 *
 * @since 0.1.0
 */
export const workflowSpanName = (workflow: string): string => `${Operation.invokeWorkflow} ${workflow}`

/**
 * The name of the span over a handoff.
 *
 * @example
 * ```ts
 * import { Conventions } from "handspan"
 *
 * if (Conventions.handoffSpanName("planner") !== "agent_handoff.planner") throw new Error("wrong name")
 * ```
 *
 * @since 0.1.0
 */
export const handoffSpanName = (agent: string): string => `agent_handoff.${agent}`

/**
 * The name of the span over a tool call.
 *
 * @since 0.1.0
 */
export const toolSpanName = (tool: string): string => `${Operation.executeTool} ${tool}`

/**
 * The name of the span over a model call.
 *
 * @since 0.1.0
 */
export const modelSpanName = (model: string): string => `${Operation.chat} ${model}`
