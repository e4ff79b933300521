// A client of the Model Context Protocol that starts a server as a child process, and talks with it over stdio. Each is Effect's
// or the SDK's. It prints what the server's tool saw.
import * as NodeServices from "@effect/platform-node/NodeServices"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js"
import { Console, Deferred, Effect, Exit, Layer, type Scope } from "effect"
import { McpClient, McpProtocol, McpServer } from "effect/ai"
import { ChildProcess } from "effect/process"
import { Propagator, Tracing } from "../../src/index.ts"
import * as Mcp from "../../src/Mcp.ts"
import * as Peers from "../mcp-peers.ts"

const [role = "client", ofClient = "effect", ofServer = "effect"] = process.argv.slice(2)
const runtimeArguments = process.versions["deno"] === undefined ? [] : ["run", "--allow-all", "--no-lock"]
const args = [...runtimeArguments, import.meta.filename, "server", ofClient, ofServer]

const effectTransport = McpClient.stdio({
  command: ChildProcess.make(process.execPath, args),
  protocol: McpProtocol.v2025_11_25
})
const sdkTransport = Effect.sync(
  () => new StdioClientTransport({ command: process.execPath, args, env: process.env as Record<string, string> })
)

const client = Effect.gen(function* () {
  const { callTool, listTools } = yield* ofClient === "effect"
    ? Peers.effectClient(effectTransport)
    : Peers.sdkClient(sdkTransport)
  yield* listTools
  const { text } = yield* callTool("look", { path: "secret.jpg" })
  const { isError } = yield* callTool("break")
  yield* Console.log(JSON.stringify({ ...JSON.parse(text), isError }))
}).pipe(
  Effect.withSpan("agency"),
  Propagator.withRemoteParent({
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
    tracestate: "vendor=1",
    baggage: "user=alice"
  })
)

const effectServer = Layer.launch(
  McpServer.layerStdio({
    name: "photos",
    version: "1.0.0",
    protocols: [Mcp.server(McpProtocol.v2025_11_25)],
    registrations: Peers.registrations
  })
)
const sdkServer = Effect.gen(function* () {
  const sdk = yield* Mcp.sdk()
  const closed = yield* Deferred.make<void>()
  process.stdin.once("end", () => Deferred.doneUnsafe(closed, Exit.void))
  yield* Effect.promise(() => Peers.sdkServer(sdk).connect(sdk.transport(new StdioServerTransport())))
  yield* Deferred.await(closed)
})

const program: Effect.Effect<void, unknown, NodeServices.NodeServices | Scope.Scope> =
  role === "client" ? client : ofServer === "effect" ? effectServer : sdkServer
const services = Layer.merge(NodeServices.layer, Tracing.layerFromEnv)
const exit = await Effect.runPromiseExit(Effect.scoped(program).pipe(Effect.provide(services)))
// A server of Effect's is interrupted when nobody is left to ask it.
process.exit(role === "server" || Exit.isSuccess(exit) ? 0 : 1)
