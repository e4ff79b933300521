// A server of Effect's RPC in a worker, which tells the spans that it has recorded.
import * as NodeWorkerRunner from "@effect/platform-node/NodeWorkerRunner"
import { Effect, Layer } from "effect"
import { RpcServer } from "effect/rpc"
import { parentPort, workerData } from "node:worker_threads"
import * as Memory from "../../src/exporter/Memory.ts"
import * as OtlpJson from "../../src/OtlpJson.ts"
import * as Rpc from "../../src/Rpc.ts"
import * as Tracing from "../../src/Tracing.ts"
import * as Peers from "../rpc-peers.ts"

// The port of a worker of Deno has no `close`, which NodeWorkerRunner ends it by.
if (parentPort !== null && !("close" in parentPort)) {
  Object.assign(parentPort, { close: () => (globalThis as unknown as { close: () => void }).close() })
}

const spans = Peers.Reporting.toLayerHandler("Spans", () =>
  Effect.flatMap(Memory.Spans, ({ all }) => Effect.map(all, (spans) => JSON.stringify(OtlpJson.encode(spans))))
)
const server = RpcServer.layer(Peers.Reporting, workerData as Peers.ServerOptions).pipe(
  Layer.provide([Peers.handlers, spans, Rpc.layerServer]),
  Layer.provide(Layer.provide(RpcServer.layerProtocolWorkerRunner, NodeWorkerRunner.layer)),
  Layer.provide(Tracing.layerInMemory)
)
await Effect.runPromiseExit(Layer.launch(server))
