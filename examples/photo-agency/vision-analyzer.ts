// The third agent: says what is to be seen.
import { Agent } from "handspan"
import { Analysis, Photo } from "./photo.ts"
import { Vision, type VisionError } from "./vision.ts"

export const visionAnalyzer = Agent.make("vision_analyzer", {
  handoffType: "vision_analysis",
  input: Photo,
  output: Analysis,
  // What is recorded of both. The picture itself stays here.
  capture: { input: ["name"], output: ["description", "colours"] },
  // A model that is busy now may answer soon.
  retry: Agent.retryTransient({
    maxAttempts: 3,
    minWait: "1 second",
    maxWait: "10 seconds",
    while: (error: VisionError) => error.transient
  }),
  run: (photo) => Vision.use((vision) => vision.look(photo))
})
