/**
 * The span over a request of the Model Context Protocol, for who sends one and for who answers it: what it says and how it ends,
 * by OpenTelemetry's MCP conventions, and how `params._meta` bears trace context (SEP-414). What sends and answers is `Mcp`'s.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Tracer from "effect/Tracer"
import { Key, Operation } from "./Conventions.ts"
import * as Exchange from "./Exchange.ts"
import * as Propagator from "./Propagator.ts"

/**
 * What both sides know of a request.
 *
 * @since 0.1.0
 */
export interface Request {
  readonly method: string
  readonly id: string | number
  readonly params?: unknown
  readonly protocolVersion?: string | undefined
  readonly sessionId?: string | undefined
  readonly transport?: "pipe" | "tcp" | undefined
}

/**
 * Why a request has failed: the code of a JSON-RPC error, or `tool_error`. What an error says besides may quote arguments.
 *
 * @since 0.1.0
 */
export type Problem = number | "tool_error" | undefined

/**
 * Reads off a JSON-RPC response why its request has failed.
 *
 * @since 0.1.0
 */
export const problemOfResponse = (
  exit: Exit.Exit<{ readonly result?: unknown; readonly error?: unknown }, unknown>
): Problem => (Exit.isSuccess(exit) ? (codeOf(exit.value.error) ?? problemOfResult(exit.value.result)) : undefined)

/**
 * Reads off the end of what answers a request why that has failed.
 *
 * @since 0.1.0
 */
export const problemOfExit = (exit: Exit.Exit<unknown, unknown>): Problem =>
  Exit.isSuccess(exit) ? problemOfResult(exit.value) : codeOf(exit.cause.reasons.find(Cause.isFailReason)?.error)

const problemOfResult = (result: unknown): Problem =>
  isRecord(result) && result["isError"] === true ? "tool_error" : undefined

const codeOf = (error: unknown): number | undefined =>
  isRecord(error) && typeof error["code"] === "number" ? error["code"] : undefined

/**
 * Runs what sends a request, with the parameters that it is given, inside of a span. Where the span of a tool is running already,
 * the span says it all, and there is no second one.
 *
 * @since 0.1.0
 */
export const sent = <A, E, R>(
  request: Request,
  send: (params: unknown) => Effect.Effect<A, E, R>,
  problemOf: (exit: Exit.Exit<A, E>) => Problem
): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
  Effect.withFiber((fiber) => {
    const { attributes, name } = describe(request)
    const work = Effect.flatMap(inject(request.params), send)
    const around = fiber.cache.span
    if (request.method !== "tools/call" || !isOfTool(around)) {
      return exchange(work, problemOf, (effect: Effect.Effect<unknown, unknown, R>) =>
        Effect.withSpan(effect, name, { kind: "client", captureStackTrace: false, attributes })
      )
    }
    // How the tool is called here may differ from its name over there.
    for (const [key, value] of Object.entries(attributes)) {
      if (!around.attributes.has(key)) around.attribute(key, value)
    }
    return exchange(
      work,
      problemOf,
      (effect) => effect as Effect.Effect<unknown, unknown, Exclude<R, Tracer.ParentSpan>>
    )
  })

/**
 * Runs what answers a request inside of a span, which goes on with the caller's trace as far as `Propagator.CurrentTrust` allows.
 *
 * **Details**: `bearer` is the span of the HTTP request that brought it; see `Propagator.ReceiveOptions`.
 *
 * @since 0.1.0
 */
export const received = <A, E, R>(
  request: Request,
  work: Effect.Effect<A, E, R>,
  problemOf: (exit: Exit.Exit<A, E>) => Problem,
  bearer: Tracer.AnySpan | undefined
): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
  Effect.flatMap(Propagator.extract(metaOf(request.params) as Propagator.Carrier), (sent) => {
    const { attributes, name } = describe(request)
    return exchange(
      work,
      problemOf,
      Propagator.receiveFrom(sent, { name, kind: "server", attributes, bearer })<unknown, unknown, R>
    )
  })

/**
 * Gives the parameters of a request with what is to be told of the running span and the baggage, what they told before replaced.
 *
 * @since 0.1.0
 */
export const inject = (params: unknown): Effect.Effect<unknown> => {
  // Parameters by position have no room for it.
  if (params !== undefined && !isRecord(params)) return Effect.succeed(params)
  // What else there is, it passes on as it is.
  const carrier = metaOf(params) as Record<string, string>
  return Effect.map(Propagator.inject(carrier), (meta) =>
    params?.["_meta"] === undefined && Object.keys(meta).length === 0 ? params : { ...params, _meta: meta }
  )
}

const metaOf = (params: unknown): Readonly<Record<string, unknown>> =>
  isRecord(params) && isRecord(params["_meta"]) ? params["_meta"] : {}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isOfTool = (span: Tracer.AnySpan | undefined): span is Tracer.Span =>
  span?._tag === "Span" && span.kind === "internal" && span.attributes.get(Key.operationName) === Operation.executeTool

const describe = ({ id, method, params, protocolVersion, sessionId, transport }: Request) => {
  const { name, uri } = isRecord(params) ? params : {}
  const target = typeof name === "string" ? name : undefined
  const isTool = method === "tools/call"
  const isPrompt = method === "prompts/get"
  const version = metaOf(params)["io.modelcontextprotocol/protocolVersion"] ?? protocolVersion
  return {
    name: target !== undefined && (isTool || isPrompt) ? `${method} ${target}` : method,
    attributes: {
      [Key.mcpMethod]: method,
      [Key.jsonRpcRequestId]: String(id),
      ...(isTool && { [Key.operationName]: Operation.executeTool }),
      ...(isTool && target !== undefined && { [Key.toolName]: target }),
      ...(isPrompt && target !== undefined && { [Key.promptName]: target }),
      ...(typeof uri === "string" && { [Key.mcpResourceUri]: uri }),
      ...(typeof version === "string" && { [Key.mcpProtocolVersion]: version }),
      ...(sessionId !== undefined && { [Key.mcpSessionId]: sessionId }),
      ...(transport !== undefined && { [Key.networkTransport]: transport })
    }
  }
}

const exchange = <A, E, R, R2>(
  work: Effect.Effect<A, E, R>,
  problemOf: (exit: Exit.Exit<A, E>) => Problem,
  span: (effect: Effect.Effect<unknown, unknown, R>) => Effect.Effect<unknown, unknown, R2>
): Effect.Effect<A, E, R2> =>
  Exchange.within(
    work,
    (exit): Effect.Effect<unknown, unknown> => {
      const problem = problemOf(exit)
      if (problem === undefined) return exit
      return Effect.annotateCurrentSpan({
        [Key.errorType]: String(problem),
        ...(typeof problem === "number" && { [Key.rpcStatus]: String(problem) })
      }).pipe(Effect.andThen(Exit.fail(new McpProblem(problem))))
    },
    span
  )

/** An answer that stands for an error, by what the conventions want as its type. */
class McpProblem {
  readonly _tag: string
  readonly message: string

  constructor(problem: number | "tool_error") {
    this._tag = String(problem)
    this.message = typeof problem === "number" ? `JSON-RPC error ${problem}` : "The tool says that it has failed"
  }
}
