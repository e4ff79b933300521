// What a span takes of memory while it waits to be sent, held against the bytes that it will be on the wire.
import type { Program } from "../programs/buffered.ts"
import { withReceiver } from "../receiver.ts"
import { runProgram } from "../runtime.ts"
import type { TracerName } from "../tracers/tracer.ts"
import { type Case, inTurns, ratio } from "./case.ts"
import { bytesPerSpan, roomForAll, send } from "./full-speed.ts"

const tracers: ReadonlyArray<TracerName> = ["Handspan", "Effect Otlp", "OtelTracer"]

export const buffered: Case = {
  ids: ["memory.buffered"],
  measure: async (runtime) => {
    const protobuf = bytesPerSpan(await send(runtime, "Handspan", 20_000))
    const measureBuffered = (tracer: TracerName) =>
      withReceiver(
        ({ port }) => runProgram<Program>(runtime, "buffered", { tracer, spans: 100_000, to: { port, ...roomForAll } }),
        "silent"
      )
    // Bytes are the same each time.
    const outputs = await inTurns(tracers, measureBuffered, () => 1)
    return [ratio("memory.buffered", outputs, ({ bytesPerSpan }) => bytesPerSpan / protobuf)]
  }
}
