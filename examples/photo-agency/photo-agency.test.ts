import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, FileSystem, Layer, Redacted } from "effect"
import { FetchHttpClient } from "effect/http"
import { spanNamed, traced } from "../tree.ts"
import { layerLoopback } from "./document-library.ts"
import { FakeVisionEndpoint, layerFake } from "./fake-vision-endpoint.ts"
import { photoAgency } from "./photo-agency.ts"
import { layerModel } from "./vision-model.ts"
import { layerPixels } from "./vision-pixels.ts"

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

const branch = (photo: string, ...puts: ReadonlyArray<string>) => [
  `  photo ${photo} ✓`,
  "    agent_handoff.schema_extractor ✓",
  "    agent_handoff.vision_analyzer ✓",
  "    agent_handoff.sharepoint_uploader ✓ ⇠ agent_handoff.schema_extractor agent_handoff.vision_analyzer",
  ...puts.map((put) => `      ${put}`)
]

describe("photo-agency", () => {
  it.live("records every handoff in one tree, and the report links to every upload", () =>
    Effect.gen(function* () {
      const { exit, spans, tree } = yield* traced(photoAgency(photos))
      assert.deepStrictEqual(tree.split("\n"), [
        "pipeline.photo_agency ✓",
        "  agent_handoff.photo_fetcher ✓",
        ...branch("Bloated-Hero.jpg", "PUT ✓"),
        ...branch("Bush-dog.jpg", "PUT ✓"),
        ...branch("DSCN0614_small.jpg", "PUT ✓"),
        ...branch("dsc_09827.jpg", "PUT ✓"),
        `  agent_handoff.validation_reporter ✓ ⇠${" agent_handoff.sharepoint_uploader".repeat(4)}`
      ])
      const types = new Set(
        spans.map(({ attributes }) => attributes["handoff_type"]).filter((type) => type !== undefined)
      )
      assert.deepStrictEqual(
        types,
        new Set(["photo_fetching", "schema_extraction", "vision_analysis", "document_upload", "validation_reporting"])
      )
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
      const { exit, spans, tree } = yield* traced(photoAgency(folder))
      assert.deepStrictEqual(tree.split("\n"), [
        "pipeline.photo_agency ✓",
        "  agent_handoff.photo_fetcher ✓",
        "  photo cut.jpg ✗",
        "    agent_handoff.schema_extractor ✓",
        "    agent_handoff.vision_analyzer ✗",
        "  photo fake.jpg ✗",
        "    agent_handoff.schema_extractor ✗",
        ...branch("good.jpg", "PUT ✓"),
        "  agent_handoff.validation_reporter ✓ ⇠ agent_handoff.schema_extractor agent_handoff.vision_analyzer" +
          " agent_handoff.schema_extractor agent_handoff.sharepoint_uploader"
      ])
      assert.strictEqual(spanNamed(spans, "photo cut.jpg").attributes["error.type"], "VisionError")
      assert.strictEqual(spanNamed(spans, "photo fake.jpg").attributes["error.type"], "UnreadableMetadata")
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
      const { spans, tree } = yield* traced(photoAgency(photos))
      assert.deepStrictEqual(tree.split("\n"), [
        "pipeline.photo_agency ✓",
        "  agent_handoff.photo_fetcher ✓",
        ...branch("Bloated-Hero.jpg", "PUT ✗", "PUT ✓"),
        ...branch("Bush-dog.jpg", "PUT ✗", "PUT ✓"),
        ...branch("DSCN0614_small.jpg", "PUT ✗", "PUT ✓"),
        ...branch("dsc_09827.jpg", "PUT ✓"),
        `  agent_handoff.validation_reporter ✓ ⇠${" agent_handoff.sharepoint_uploader".repeat(4)}`
      ])
      const uploads = spans.filter(({ name }) => name === "agent_handoff.sharepoint_uploader")
      const busy = uploads.filter(({ events }) => events.length > 0)
      assert.strictEqual(busy.length, 3)
      for (const { attributes, events } of busy) {
        assert.strictEqual(attributes["handspan.handoff.attempts"], 2)
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
    }).pipe(Effect.provide(agency({ faults: true })))
  )

  it.live("stops where there are no photos, and nothing has failed", () =>
    Effect.gen(function* () {
      const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
      const { spans, tree } = yield* traced(photoAgency(folder))
      assert.strictEqual(tree, "pipeline.photo_agency ✓\n  agent_handoff.photo_fetcher ✓")
      assert.strictEqual(
        spanNamed(spans, "pipeline.photo_agency").attributes["termination.reason"],
        `no photos in ${folder}`
      )
    }).pipe(Effect.scoped, Effect.provide(agency({ faults: false })))
  )

  it.live("asks a model where there is one, as a span of its own", () =>
    Effect.gen(function* () {
      const endpoint = yield* FakeVisionEndpoint
      const folder = yield* folderWith({})
      const apiKey = Redacted.make("fake key")
      const vision = layerModel({ baseUrl: endpoint.baseUrl, apiKey, model: "fake-vision" })
      const { exit, spans, tree } = yield* traced(Effect.provide(photoAgency(folder), vision))
      assert.deepStrictEqual(tree.split("\n"), [
        "pipeline.photo_agency ✓",
        "  agent_handoff.photo_fetcher ✓",
        "  photo good.jpg ✓",
        "    agent_handoff.schema_extractor ✓",
        "    agent_handoff.vision_analyzer ✓",
        "      chat fake-vision ✗",
        "        POST ✗",
        "      chat fake-vision ✓",
        "        POST ✓",
        "    agent_handoff.sharepoint_uploader ✓ ⇠ agent_handoff.schema_extractor agent_handoff.vision_analyzer",
        "      PUT ✓",
        "  agent_handoff.validation_reporter ✓ ⇠ agent_handoff.sharepoint_uploader"
      ])
      const [failed, chat] = spans.filter(({ name }) => name === "chat fake-vision")
      assert.strictEqual(failed?.attributes["error.type"], "VisionError")
      assert.strictEqual(chat?.kind, "client")
      assert.deepStrictEqual(chat?.attributes, {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "fake-vision",
        "gen_ai.response.model": "fake-vision-2026",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 85,
        "gen_ai.usage.output_tokens": 21
      })

      const [, question] = yield* endpoint.questions
      const post = spans.find(({ parentSpanId }) => parentSpanId === chat?.spanId)
      assert.include(question?.headers["traceparent"], `${post?.traceId}-${post?.spanId}`)
      assert.strictEqual(question?.headers["authorization"], "Bearer fake key")
      assert.strictEqual(question?.body.model, "fake-vision")
      assert.match(question?.body.messages[0].content[1].image_url.url, /^data:image\/jpeg;base64,\/9j\//)
      const everything = JSON.stringify(spans, (_, value) => (typeof value === "bigint" ? String(value) : value))
      assert.notInclude(everything, "fake key")
      if (Exit.isSuccess(exit)) assert.include(exit.value.text, "A picture of nothing")
    }).pipe(
      Effect.scoped,
      Effect.provide([layerLoopback({ faults: false }), layerFake([503])]),
      Effect.provide(platform)
    )
  )
})
