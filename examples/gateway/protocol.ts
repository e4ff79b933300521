// What the services speak with each other: jeeves.proto over gRPC, as Effects.
import { type Client, credentials, loadPackageDefinition, Server, ServerCredentials } from "@grpc/grpc-js"
import type { ServiceClientConstructor, ServiceError } from "@grpc/grpc-js"
import { loadSync } from "@grpc/proto-loader"
import { Data, Effect } from "effect"
import * as Grpc from "handspan/Grpc"

/** What each method takes and gives. */
interface Methods {
  readonly ExecutePipeline: {
    readonly request: { readonly message: string }
    readonly response: { readonly text: string }
  }
  readonly Generate: { readonly request: { readonly text: string }; readonly response: { readonly text: string } }
}

const services = { ExecutePipeline: "Orchestrator", Generate: "ModelGateway" } as const

// Read from the file when the program runs.
const { jeeves } = loadPackageDefinition(loadSync(`${import.meta.dirname}/jeeves.proto`)) as unknown as {
  readonly jeeves: Record<(typeof services)[keyof Methods], ServiceClientConstructor>
}

/** A service that did not answer; another one is told the same way. */
export class ServiceFailed extends Data.TaggedError("ServiceFailed")<{
  readonly code: number
  readonly details: string
}> {
  override readonly message = this.details
}

/**
 * Serves a method on a free port of this machine, for as long as the scope lives, and gives its address. There is no interceptor:
 * in this house, what is called begins with a span of its own.
 */
export const serve = <Method extends keyof Methods, E, R>(
  method: Method,
  handle: (request: Methods[Method]["request"]) => Effect.Effect<Methods[Method]["response"], E, R>
) =>
  Effect.gen(function* () {
    const server = new Server()
    server.addService(jeeves[services[method]].service, { [method]: yield* Grpc.handler(handle) })
    yield* Effect.addFinalizer(() => Effect.sync(() => server.forceShutdown()))
    return yield* Effect.callback<string, Error>((resume) =>
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
        resume(error === null ? Effect.succeed(`127.0.0.1:${port}`) : Effect.fail(error))
      )
    )
  })

/** Connects to a service, for as long as the scope lives, and gives a way to call its method, each time in a span. */
export const connect = <Method extends keyof Methods>(
  method: Method,
  options: { readonly address: string; readonly spanName: string }
) =>
  Effect.gen(function* () {
    const trace = yield* Grpc.client({ spanName: () => options.spanName })
    const Service = jeeves[services[method]]
    const client: Client = yield* Effect.acquireRelease(
      Effect.sync(() => new Service(options.address, credentials.createInsecure(), { interceptors: [trace] })),
      (client) => Effect.sync(() => client.close())
    )
    const { path, requestSerialize, responseDeserialize } = Service.service[method]!
    return (request: Methods[Method]["request"]) =>
      Effect.callback<Methods[Method]["response"], ServiceFailed>((resume) => {
        const answered = (error: ServiceError | null, response?: Methods[Method]["response"]) =>
          resume(error === null ? Effect.succeed(response!) : Effect.fail(new ServiceFailed(error)))
        const call = client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, answered)
        return Effect.sync(() => call.cancel())
      })
  })
