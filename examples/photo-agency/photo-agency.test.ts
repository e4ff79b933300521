import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, FileSystem, Layer, Redacted } from "effect"
import { FetchHttpClient } from "effect/http"
import * as Testing from "handspan/testing"
import { layerLoopback } from "./document-library.ts"
import { FakeVisionEndpoint, layerFake } from "./fake-vision-endpoint.ts"
import { photoAgency } from "./photo-agency.ts"
import { layerModel } from "./vision-model.ts"
import { layerPixels } from "./vision-pixels.ts"

const { expectTrace } = Testing
const { anyOrder, chat, handoff, only, pipeline, span } = Testing.Tree

const photos = "node_modules/exif-js/example"
const platform = Layer.merge(NodeServices.layer, FetchHttpClient.layer)
const agency = (options: { readonly faults: boolean }) => Layer.mergeAll(layerPixels, layerLoopback(options), platform)

/** A folder with one photo, and these files. */
const folderWith = (files: Readonly<Record<string, Uint8Array>>) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.makeTempDirectoryScoped()
    yield* fs.copyFile(`${photos}/dsc_09827.jpg`, `${folder}/good.jpg`)
    for (const [name, bytes] of Object.entries(files)) yield* fs.writeFile(`${folder}/${name}`, bytes)
    return folder
  })

/** Runs the agency as it is: with real files and a document library that answers over HTTP. */
const record = <A, E, R>(program: Effect.Effect<A, E, R>) => Testing.record(program, { clock: "live" })

const put = span("PUT")

/** What becomes of one photo: three agents, of whom the last one links to both before it. */
const branch = (photo: string, ...puts: ReadonlyArray<Testing.Tree.Expected>) =>
  span(`photo ${photo}`, [
    handoff("schema_extractor", { attributes: { handoff_type: "schema_extraction" } }),
    handoff("vision_analyzer", { attributes: { handoff_type: "vision_analysis" } }),
    handoff("sharepoint_uploader", {
      attributes: { handoff_type: "document_upload" },
      links: anyOrder("schema_extractor", "vision_analyzer"),
      children: puts
    })
  ])

describe("photo-agency", () => {
  it.live("records every handoff in one tree, and the report links to every upload", () =>
    Effect.gen(function* () {
      const { exit, trace } = yield* record(photoAgency(photos))
      expectTrace(trace).toMatchTree(
        pipeline("photo_agency", [
          handoff("photo_fetcher", { attributes: { handoff_type: "photo_fetching" } }),
          branch("Bloated-Hero.jpg", put),
          branch("Bush-dog.jpg", put),
          branch("DSCN0614_small.jpg", put),
          branch("dsc_09827.jpg", put),
          handoff("validation_reporter", {
            attributes: { handoff_type: "validation_reporting" },
            links: Array.from({ length: 4 }, () => "sharepoint_uploader")
          })
        ])
      )
      const [analysis] = Testing.spansNamed(trace, "vision_analyzer")
      assert.deepStrictEqual(JSON.parse(String(analysis?.attributes["gen_ai.input.messages"])), [
        { role: "user", parts: [{ type: "text", content: '{"name":"Bloated-Hero.jpg"}' }] }
      ])
      assert.isTrue(Exit.isSuccess(exit))
      if (Exit.isSuccess(exit)) {
        assert.deepStrictEqual(exit.value.text.split("\n"), [
          `Photos of ${photos}: 4 stored, 0 failed, 0 skipped`,
          "",
          "! stored  Bloated-Hero.jpg    1024×576  no camera, no date       white, orange, red; bright, clear",
          "! stored  Bush-dog.jpg        400×398   no camera, no date       grey, brown; evenly lit, clear",
          "✓ stored  DSCN0614_small.jpg  400×300   NIKON E4600, 2006-06-13  grey, black, orange; evenly lit, soft",
          "✓ stored  dsc_09827.jpg       400×266   NIKON D100, 2004-05-22   grey, black, brown; evenly lit, rich in detail"
        ])
      }
    }).pipe(Effect.provide(agency({ faults: false })))
  )

  it.live("lets a broken photo fail its own branch alone", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const whole = yield* fs.readFile(`${photos}/dsc_09827.jpg`)
      const folder = yield* folderWith({
        "cut.jpg": whole.slice(0, 30_000),
        "fake.jpg": new TextEncoder().encode("no photo at all"),
        "notes.txt": new TextEncoder().encode("not even called one")
      })
      yield* fs.makeDirectory(`${folder}/album.jpg`)
      const { exit, trace } = yield* record(photoAgency(folder))
      const failed = (type: string) => ({ status: "error", attributes: { "error.type": type } }) as const
      expectTrace(trace)
        .toMatchTree(
          pipeline("photo_agency", [
            handoff("photo_fetcher"),
            span("photo cut.jpg", {
              ...failed("VisionError"),
              children: [handoff("schema_extractor"), handoff("vision_analyzer", failed("VisionError"))]
            }),
            span("photo fake.jpg", {
              ...failed("UnreadableMetadata"),
              children: [handoff("schema_extractor", failed("UnreadableMetadata"))]
            }),
            branch("good.jpg", put),
            handoff("validation_reporter")
          ])
        )
        .toFanIn("validation_reporter", [
          "schema_extractor",
          "vision_analyzer",
          "schema_extractor",
          "sharepoint_uploader"
        ])
      assert.isTrue(Exit.isSuccess(exit))
      if (Exit.isSuccess(exit)) {
        const { failed, skipped, stored, text } = exit.value
        assert.deepStrictEqual({ failed, skipped, stored }, { failed: 2, skipped: 1, stored: 1 })
        assert.match(text, /✗ failed +fake\.jpg +Cannot read metadata: Invalid image format/)
        assert.match(text, /– skipped +album\.jpg/)
      }
    }).pipe(Effect.scoped, Effect.provide(agency({ faults: false })))
  )

  it.live("tries again where the library is busy, inside of the one handoff", () =>
    Effect.gen(function* () {
      const { trace } = yield* record(photoAgency(photos))
      const busy = span("PUT", { status: "error" })
      expectTrace(trace)
        .toMatchTree(
          pipeline("photo_agency", [
            handoff("photo_fetcher"),
            branch("Bloated-Hero.jpg", busy, put),
            branch("Bush-dog.jpg", busy, put),
            branch("DSCN0614_small.jpg", busy, put),
            branch("dsc_09827.jpg", put),
            handoff("validation_reporter")
          ])
        )
        .toHaveAttempts("sharepoint_uploader", 2, 2, 2, 1)
      const uploads = Testing.spansNamed(trace, "sharepoint_uploader").filter(({ events }) => events.length > 0)
      for (const { events } of uploads) {
        assert.deepStrictEqual(
          events.map((event) => [event.name, event.attributes]),
          [
            [
              "handoff.attempt",
              {
                "handspan.attempt.number": 1,
                "handspan.attempt.wait_ms": 100,
                "error.type": "UploadError",
                "error.message": "The document library answered 503"
              }
            ],
            ["handoff.attempt", { "handspan.attempt.number": 2 }]
          ]
        )
      }
      assert.strictEqual(uploads.length, 3)
    }).pipe(Effect.provide(agency({ faults: true })))
  )

  it.live("stops where there are no photos, and nothing has failed", () =>
    Effect.gen(function* () {
      const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
      const { trace } = yield* record(photoAgency(folder))
      expectTrace(trace).toMatchTree(
        pipeline("photo_agency", {
          attributes: { "termination.reason": `no photos in ${folder}` },
          children: [handoff("photo_fetcher")]
        })
      )
    }).pipe(Effect.scoped, Effect.provide(agency({ faults: false })))
  )

  it.live("asks a model where there is one, as a span of its own", () =>
    Effect.gen(function* () {
      const endpoint = yield* FakeVisionEndpoint
      const folder = yield* folderWith({})
      const apiKey = Redacted.make("fake key")
      const vision = layerModel({ baseUrl: endpoint.baseUrl, apiKey, model: "fake-vision" })
      const { exit, trace } = yield* record(Effect.provide(photoAgency(folder), vision))
      expectTrace(trace).toMatchTree(
        pipeline("photo_agency", [
          handoff("photo_fetcher"),
          span("photo good.jpg", [
            handoff("schema_extractor"),
            handoff("vision_analyzer", [
              chat("fake-vision", {
                status: "error",
                attributes: { "error.type": "VisionError" },
                children: [span("POST", { status: "error" })]
              }),
              chat("fake-vision", {
                kind: "client",
                attributes: only({
                  "gen_ai.operation.name": "chat",
                  "gen_ai.provider.name": "openai",
                  "gen_ai.request.model": "fake-vision",
                  "gen_ai.response.model": "fake-vision-2026",
                  "gen_ai.response.finish_reasons": ["stop"],
                  "gen_ai.usage.input_tokens": 85,
                  "gen_ai.usage.output_tokens": 21
                }),
                children: [span("POST")]
              })
            ]),
            handoff("sharepoint_uploader", { links: ["schema_extractor", "vision_analyzer"], children: [put] })
          ]),
          handoff("validation_reporter", { links: ["sharepoint_uploader"] })
        ])
      )

      const [, question] = yield* endpoint.questions
      const [, post] = Testing.spansNamed(trace, "POST")
      assert.include(question?.headers["traceparent"], `${post?.traceId}-${post?.spanId}`)
      assert.strictEqual(question?.headers["authorization"], "Bearer fake key")
      assert.strictEqual(question?.body.model, "fake-vision")
      assert.match(question?.body.messages[0].content[1].image_url.url, /^data:image\/jpeg;base64,\/9j\//)
      const everything = JSON.stringify(trace.spans, (_, value) => (typeof value === "bigint" ? String(value) : value))
      assert.notInclude(everything, "fake key")
      if (Exit.isSuccess(exit)) assert.include(exit.value.text, "A picture of nothing")
    }).pipe(
      Effect.scoped,
      Effect.provide([layerLoopback({ faults: false }), layerFake([503])]),
      Effect.provide(platform)
    )
  )
})
