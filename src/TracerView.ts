/**
 * A tracer that is another one, but for what is done in another way.
 *
 * @since 0.1.0
 */
import type * as Tracer from "effect/Tracer"

/**
 * Gives a view of a tracer with other methods in the place of some of its own, or with more. A Recorder is more than a tracer, and
 * stays what it is.
 *
 * @since 0.1.0
 */
export const tracerView = <Methods extends object>(
  tracer: Tracer.Tracer,
  methods: Methods & Partial<Tracer.Tracer>
): Tracer.Tracer & Methods => Object.create(tracer, Object.getOwnPropertyDescriptors(methods))
