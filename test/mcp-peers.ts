/** Clients and servers of the Model Context Protocol, of Effect and of the SDK, that have the same things to offer. */
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { McpServer as SdkServer } from "@modelcontextprotocol/sdk/server/mcp.js"
import { Effect, Layer, Schema, type Scope } from "effect"
import { McpClient, McpServer, Tool, Toolkit } from "effect/ai"
import { z } from "zod"
import * as Mcp from "../src/Mcp.ts"
import * as Propagator from "../src/Propagator.ts"
import * as TraceContext from "../src/TraceContext.ts"

/** What a handler sees of who called. */
const seen = Effect.map(Effect.all([TraceContext.CurrentBaggage, Propagator.current]), ([baggage, { context }]) =>
  JSON.stringify({ user: baggage.get("user")?.value, traceState: context?.traceState, flags: context?.flags })
)

const tools = Toolkit.make(
  Tool.make("look", { parameters: Schema.Struct({ path: Schema.String }), success: Schema.String }),
  Tool.make("break", { failure: Schema.String })
)

/** The tools of Effect's server, and a prompt and a resource. */
export const registrations = Layer.mergeAll(
  McpServer.toolkit(tools).pipe(
    Layer.provide(
      tools.toLayer({
        look: () => Effect.withSpan(seen, "looking"),
        break: () => Effect.fail("no such photo: secret.jpg")
      })
    )
  ),
  McpServer.prompt({ name: "describe", content: () => Effect.succeed("Describe it") }),
  McpServer.resource({ uri: "photo://a", name: "a", content: Effect.succeed("a cat") })
)

const text = (text: string) => ({ content: [{ type: "text" as const, text }] })

/** The SDK's server with the same. */
export const sdkServer = ({ handler }: Mcp.Sdk<never>): SdkServer => {
  const server = new SdkServer({ name: "photos", version: "1.0.0" })
  server.registerTool(
    "look",
    { inputSchema: { path: z.string() } },
    handler((_: { readonly path: string }) => Effect.map(Effect.withSpan(seen, "looking"), text))
  )
  server.registerTool("break", {}, () => {
    throw new Error("no such photo: secret.jpg")
  })
  server.registerPrompt("describe", {}, () => ({
    messages: [{ role: "user", content: { type: "text", text: "Describe it" } }]
  }))
  server.registerResource("a", "photo://a", {}, () => ({ contents: [{ uri: "photo://a", text: "a cat" }] }))
  return server
}

/** What a test asks of a client. */
export interface Asking {
  readonly listTools: Effect.Effect<ReadonlyArray<string>, unknown>
  readonly callTool: (name: string, args?: Record<string, unknown>) => Effect.Effect<CallResult, unknown>
}

interface CallResult {
  readonly text: string
  readonly isError: boolean
}

const resultOf = (result: object): CallResult => {
  const { content, isError } = result as {
    readonly content: ReadonlyArray<{ readonly text: string }>
    readonly isError?: boolean
  }
  return { text: content[0]?.text ?? "", isError: isError === true }
}

export const effectClient = <E, R>(
  transport: Effect.Effect<McpClient.Transport, E, R | Scope.Scope>
): Effect.Effect<Asking, unknown, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.gen(function* () {
    const layer = Layer.effect(McpClient.McpClient, McpClient.make({ name: "agency", version: "1.0.0" })).pipe(
      Layer.provide(Mcp.layerClient),
      Layer.provide(Layer.effect(McpClient.Transport, transport))
    )
    const client = yield* Effect.provide(McpClient.McpClient, yield* Layer.build(layer))
    return {
      listTools: Effect.map(client.listTools(), (tools) => tools.map(({ name }) => name)),
      callTool: (name, args) =>
        Effect.map(client.callTool({ tool: { name, inputSchema: { type: "object" } }, arguments: args }), resultOf)
    }
  })

type Connectable = Parameters<Client["connect"]>[0]

export const sdkClient = (transport: Effect.Effect<Connectable, never, Scope.Scope>) =>
  Effect.gen(function* () {
    const { transport: traced } = yield* Mcp.sdk()
    const client = new Client({ name: "agency", version: "1.0.0" })
    const wire = traced(yield* transport)
    yield* Effect.promise(() => client.connect(wire))
    yield* Effect.addFinalizer(() => Effect.promise(() => client.close()))
    const asking: Asking = {
      listTools: Effect.map(
        Effect.promise(() => client.listTools()),
        ({ tools }) => tools.map(({ name }) => name)
      ),
      callTool: (name, args) =>
        Effect.map(
          Effect.promise(() => client.callTool({ name, ...(args && { arguments: args }) })),
          resultOf
        )
    }
    return asking
  })
