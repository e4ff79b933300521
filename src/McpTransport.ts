/**
 * A transport of `@modelcontextprotocol/sdk` whose requests are spans, both those that are sent and those that come. It is known
 * by its shape alone: nothing of the SDK is imported.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Tracer from "effect/Tracer"
import { contextWithin, ofFiber, ofNow, running, spanWithin } from "./ForeignCall.ts"
import * as McpSpan from "./McpSpan.ts"
import * as TraceContext from "./TraceContext.ts"

/**
 * A transport: what is used of it.
 *
 * @since 0.1.0
 */
export interface Transport {
  readonly send: (message: any, options?: any) => Promise<void>
  onmessage?: ((message: any, extra?: any) => void) | undefined
  onclose?: (() => void) | undefined
  readonly sessionId?: string | undefined
}

/** A message of JSON-RPC, of whatever kind. */
interface Message {
  readonly id?: string | number | undefined
  readonly method?: string | undefined
  readonly params?: any
  readonly result?: any
  readonly error?: any
}

interface Request extends Message {
  readonly id: string | number
  readonly method: string
}

const isRequest = (message: Message): message is Request => message.method !== undefined && message.id !== undefined

/** Requests that have no answer yet, by their id. */
const unanswered = () => {
  const waiting = new Map<
    unknown,
    { readonly request: Request; readonly resume: (answer: Effect.Effect<Message>) => void }
  >()
  /** Ends the wait, and gives the request that it was for. */
  const settle = (id: unknown, answer: Effect.Effect<Message>): Request | undefined => {
    const settled = waiting.get(id)
    waiting.delete(id)
    settled?.resume(answer)
    return settled?.request
  }
  return {
    settle,
    /** Waits for the answer to what `post` asks. An id that comes again is the peer's mistake; its first request is given up. */
    answer: (request: Request, post: () => void = () => {}): Effect.Effect<Message> =>
      Effect.callback((resume) => {
        settle(request.id, Effect.interrupt)
        waiting.set(request.id, { request, resume })
        post()
      }),
    giveUp: (): void => {
      for (const id of waiting.keys()) settle(id, Effect.interrupt)
    }
  }
}

type Unanswered = ReturnType<typeof unanswered>

/** The SDK's transports have nothing better than the names of their classes to tell what they stand on. */
const wayOf = (transport: Transport): McpSpan.Request["transport"] => {
  const name = transport.constructor?.name ?? ""
  return name.startsWith("Stdio") ? "pipe" : /HTTP|SSE|WebSocket/.test(name) ? "tcp" : undefined
}

const withBaggageOf = (bearer: Context.Context<never>, made: Context.Context<never>): Context.Context<never> =>
  Context.add(made, TraceContext.CurrentBaggage, Context.get(bearer, TraceContext.CurrentBaggage))

/**
 * Gives a transport that traces with what an Effect was run with, and is in all else the one that it is given.
 *
 * @since 0.1.0
 */
export const traced = <T extends Transport>(transport: T, made: Context.Context<never>): T => {
  const sent = unanswered()
  const received = unanswered()
  let protocolVersion: string | undefined
  let { onclose, onmessage } = transport
  const around = Context.getOrUndefined(made, Tracer.ParentSpan)

  const described = (message: Request): McpSpan.Request => ({
    ...message,
    protocolVersion,
    sessionId: transport.sessionId,
    transport: wayOf(transport)
  })

  /** Sees a message that goes, or comes, and is no request: it may be the end of one that went the other way. */
  const settle = (message: Message, answered: Unanswered, cancelled: Unanswered): void => {
    if (message.method === "notifications/cancelled") cancelled.settle(message.params?.requestId, Effect.interrupt)
    if (message.method !== undefined) return
    const request = answered.settle(message.id, Effect.succeed(message))
    if (request?.method === "initialize") protocolVersion = message.result?.protocolVersion
  }

  /** Runs plain code as a part of the request whose fiber it is. */
  const runIn = <A>(fiber: Fiber.Fiber<unknown, unknown>, code: () => A): A => {
    const { span } = fiber.cache
    return span?._tag === "Span" ? running.run(ofFiber(fiber, span, around), code) : code()
  }

  const send = (message: Message, options?: unknown): Promise<void> => {
    if (isRequest(message)) return ask(message, options)
    settle(message, received, sent)
    return transport.send(message, options)
  }

  const ask = (message: Request, options: unknown): Promise<void> =>
    new Promise((resolve, reject) => {
      const parent = spanWithin(around)()
      const work = McpSpan.sent(
        described(message),
        (params) =>
          Effect.withFiber((fiber) => {
            const post = async () => transport.send({ ...message, params }, options)
            const fail = (error: unknown) => {
              reject(error)
              sent.settle(message.id, Effect.die(error))
            }
            // It may be answered before it is known to have been sent.
            return sent.answer(message, () => void runIn(fiber, post).then(resolve, fail))
          }),
        McpSpan.problemOfResponse
      )
      Effect.runForkWith(contextWithin(made))(parent === undefined ? work : Effect.withParentSpan(work, parent))
    })

  const receive = (message: Message, extra?: { readonly requestInfo?: unknown }): void => {
    const deliver = () => onmessage?.(message, extra)
    if (!isRequest(message)) {
      settle(message, sent, received)
      return deliver()
    }
    // Over anything but HTTP, what happens to run here has nothing to do with the request.
    const bearer = extra?.requestInfo === undefined ? undefined : ofNow()
    let inside: () => void = deliver
    const work = Effect.withFiber((fiber) => {
      inside = () => runIn(fiber, deliver)
      return received.answer(message)
    })
    const context = bearer === undefined ? made : withBaggageOf(bearer.context, made)
    Effect.runForkWith(context)(McpSpan.received(described(message), work, McpSpan.problemOfResponse, bearer?.opened()))
    // Not in the fiber: what it throws is the transport's to deal with.
    inside()
  }

  const closed = (): void => {
    sent.giveUp()
    received.giveUp()
    onclose?.()
  }
  Object.assign(transport, { onclose: closed })

  return new Proxy(transport, {
    get: (_, key) => {
      if (key === "send") return send
      if (key === "onmessage") return onmessage
      if (key === "onclose") return onclose
      const value: unknown = Reflect.get(transport, key, transport)
      return typeof value === "function" && key !== "constructor" ? value.bind(transport) : value
    },
    set: (_, key, value) => {
      if (key === "onclose") {
        onclose = value
        return true
      }
      if (key === "onmessage") onmessage = value
      return Reflect.set(transport, key, key === "onmessage" ? receive : value, transport)
    }
  })
}
