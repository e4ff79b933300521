/**
 * What agents and pipelines get and give, on its way to a span: prompts, answers, whatever they pass on. Authoring says that
 * something is content, and the Recorder takes secrets out of it, bounds it and writes it down; no other tracer gets to see it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"

/**
 * Which content is recorded, and where: none; the fields that agents name, on spans; or all of it on spans, on events of
 * spans, or on both. All but `NAMED_ONLY` are what `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` may say.
 *
 * @since 0.1.0
 */
export type CaptureMode = "NO_CONTENT" | "NAMED_ONLY" | "SPAN_ONLY" | "EVENT_ONLY" | "SPAN_AND_EVENT"

/**
 * Which content tracing wants.
 *
 * @since 0.1.0
 */
export interface Wanted {
  readonly mode: CaptureMode
  /** How many characters of each text are looked at. */
  readonly length: number
}

/**
 * Which content the tracing that is in place wants. Only a Recorder makes content fit to be seen, so nobody else asks for any.
 *
 * @since 0.1.0
 */
export const WantedContent: Context.Reference<Wanted> = Context.Reference<Wanted>("handspan/Content/WantedContent", {
  defaultValue: () => ({ mode: "NO_CONTENT", length: 0 })
})

/**
 * A text that was passed on. Whoever writes values down without knowing of it shows nothing of it.
 *
 * @since 0.1.0
 */
export class Content {
  readonly role: "user" | "assistant"
  readonly #text: string

  constructor(role: "user" | "assistant", text: string) {
    this.role = role
    this.#text = text
  }

  get text(): string {
    return this.#text
  }

  toString(): string {
    return "<content>"
  }

  toJSON(): string {
    return "<content>"
  }
}

/**
 * Writes a text as the one message of a conversation (GenAI conventions, JSON schemas of `gen_ai.input.messages` and
 * `gen_ai.output.messages`).
 *
 * @since 0.1.0
 */
export const toMessages = (role: Content["role"], text: string): string => {
  const parts = [{ type: "text", content: text }]
  return JSON.stringify([role === "user" ? { role, parts } : { role, parts, finish_reason: "stop" }])
}
