// Looks at photos without asking anybody: decodes the pixels and measures them.
import { Effect, Layer } from "effect"
import jpeg from "jpeg-js"
import type { Analysis, Photo } from "./photo.ts"
import { Vision, VisionError } from "./vision.ts"

export const layerPixels = Layer.succeed(Vision, {
  look: ({ bytes }: Photo) =>
    Effect.try({
      try: () => measure(jpeg.decode(bytes, { useTArray: true })),
      catch: (error) =>
        new VisionError({ message: `Cannot decode pixels: ${(error as Error).message}`, transient: false })
    })
})

interface Pixels {
  readonly width: number
  readonly height: number
  /** Red, green, blue and alpha of each pixel, row by row. */
  readonly data: Uint8Array
}

/** Enough pixels to tell colours by; a big photo has a hundred times more. */
const maxSamples = 50_000

const measure = ({ data, height, width }: Pixels): Analysis => {
  const step = Math.max(1, Math.floor(Math.sqrt((width * height) / maxSamples)))
  const counts = new Map<string, number>()
  let samples = 0
  let light = 0
  let contrast = 0
  const lightAt = (x: number, y: number): number => {
    const at = 4 * (y * width + x)
    return (0.2126 * data[at]! + 0.7152 * data[at + 1]! + 0.0722 * data[at + 2]!) / 255
  }
  for (let y = 0; y < height; y += step) {
    for (let x = 0; x < width; x += step) {
      const at = 4 * (y * width + x)
      const colour = colourOf(data[at]! / 255, data[at + 1]! / 255, data[at + 2]! / 255)
      counts.set(colour, (counts.get(colour) ?? 0) + 1)
      samples += 1
      light += lightAt(x, y)
      // Neighbours that differ are edges: a blurred photo has none.
      contrast += Math.abs(lightAt(x, y) - lightAt(Math.min(x + 1, width - 1), y))
    }
  }
  const colours = [...counts]
    .filter(([, count]) => count > samples / 10)
    .toSorted(([, a], [, b]) => b - a)
    .map(([colour]) => colour)
    .slice(0, 3)
  const brightness = light / samples
  const sharpness = Math.min(1, (10 * contrast) / samples)
  return { description: describe(colours, brightness, sharpness), colours, brightness, sharpness }
}

const describe = (colours: ReadonlyArray<string>, brightness: number, sharpness: number): string => {
  const lightness = brightness < 0.3 ? "dark" : brightness > 0.6 ? "bright" : "evenly lit"
  const focus = sharpness < 0.15 ? "soft" : sharpness > 0.4 ? "rich in detail" : "clear"
  return `${colours.join(", ") || "many colours"}; ${lightness}, ${focus}`
}

const hues = ["red", "orange", "yellow", "green", "green", "teal", "cyan", "blue", "blue", "purple", "pink", "red"]

/** The everyday name of a colour, its parts from 0 to 1. */
const colourOf = (red: number, green: number, blue: number): string => {
  const max = Math.max(red, green, blue)
  const chroma = max - Math.min(red, green, blue)
  if (max < 0.15) return "black"
  if (chroma < 0.12) return max > 0.85 ? "white" : "grey"
  const sixth =
    max === red ? (green - blue) / chroma : max === green ? 2 + (blue - red) / chroma : 4 + (red - green) / chroma
  const hue = hues[Math.floor(2 * sixth + 12.5) % 12]!
  return (hue === "orange" || hue === "yellow") && max < 0.6 ? "brown" : hue
}
