/**
 * The tracer under which a workflow engine works: its spans, which stand for nothing that a program does, are left out.
 *
 * @since 0.1.0
 */
import type * as Tracer from "effect/Tracer"
import { PassedSpan } from "./PassedSpan.ts"
import { tracerView } from "./TracerView.ts"

/**
 * Makes a tracer whose spans are left out, always or whenever that is said.
 *
 * @since 0.1.0
 */
export const quiet = (tracer: Tracer.Tracer, isQuiet: () => boolean = () => true): Tracer.Tracer => {
  const loud = loudOf(tracer)
  const span: Tracer.Tracer["span"] = (options) => (isQuiet() ? new PassedSpan(options) : loud.span(options))
  return tracerView(loud, { span, loud })
}

/**
 * The tracer that records, where the one in place may be one that leaves out.
 *
 * @since 0.1.0
 */
export const loudOf = (tracer: Tracer.Tracer & { readonly loud?: Tracer.Tracer }): Tracer.Tracer =>
  tracer.loud ?? tracer
