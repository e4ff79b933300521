// What stands on the spans that are sent: the same for every client, so that bytes can be compared.

export type Attributes = Readonly<Record<string, string | number>>

export const rootName = "pipeline.photo_agency"

export const rootAttributes: Attributes = {
  item: 0,
  agent: "photo_agency",
  mode: "sequential",
  photo: "photos",
  attempts: 1
}

export const childName = "agent_handoff.vision_analyzer"

export const childAttributes = (item: number): Attributes => ({
  item,
  agent: "vision_analyzer",
  handoff_type: "vision_analysis",
  photo: `photos/${item}.jpg`,
  attempts: 1
})
