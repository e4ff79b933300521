// The pipeline: five agents over a folder of photos.
import { Effect } from "effect"
import { Pipeline } from "handspan"
import { photoFetcher } from "./photo-fetcher.ts"
import type { Photo } from "./photo.ts"
import { schemaExtractor } from "./schema-extractor.ts"
import { sharepointUploader } from "./sharepoint-uploader.ts"
import { type Outcome, validationReporter } from "./validation-reporter.ts"
import { visionAnalyzer } from "./vision-analyzer.ts"

export const photoAgency = Pipeline.make("photo_agency", (folder: string) =>
  Effect.gen(function* () {
    const { photos, skipped } = yield* photoFetcher(folder)
    const outcomes = yield* Pipeline.forEach(photos, processPhoto, { concurrency: 4 })
    // Joins all branches, failed ones too: its span links to the last handoff of each.
    return yield* Pipeline.fanIn(validationReporter, { folder, outcomes, skipped })
  })
)

/** Two agents look at the photo side by side, the third joins what they found. */
const processPhoto = (photo: Photo) =>
  Pipeline.parallel({ metadata: schemaExtractor, analysis: visionAnalyzer })(photo).pipe(
    Effect.flatMap((facts) =>
      Effect.map(Pipeline.fanIn(sharepointUploader, { photo, ...facts }), (stored) => ({ ...facts, stored }))
    ),
    // An ordinary Effect span, to keep the handoffs of one photo together in the tree.
    Effect.withSpan(`photo ${photo.name}`),
    // A photo that fails takes only its own branch down.
    Effect.match({
      onSuccess: (facts): Outcome => ({ _tag: "Filed", photo, ...facts }),
      onFailure: (error): Outcome => ({ _tag: "Failed", photo, reason: error.message })
    })
  )
