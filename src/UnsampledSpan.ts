/**
 * The spans of traces that nobody records.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import type * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import * as Hex from "./Hex.ts"
import type { IdWords, SpanWords } from "./SpanIds.ts"
import { begin, parentOf, type SpanOptions, type Trace } from "./SpanTrace.ts"

/**
 * A span that is not recorded: what others need to go on with its trace, and nothing else. Its own id is made when
 * somebody asks for it, which mostly nobody does.
 *
 * @since 0.1.0
 */
export class UnsampledSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly name: string
  readonly trace: Trace
  readonly parent: Option.Option<Tracer.AnySpan>
  readonly annotations: Context.Context<never>
  readonly kind: Tracer.SpanKind
  readonly sampled = false
  readonly links: ReadonlyArray<Tracer.SpanLink> = noLinks
  readonly attributes: ReadonlyMap<string, unknown> = noAttributes
  status: Tracer.SpanStatus
  private readonly ids: IdWords
  private ownId: SpanWords | undefined

  constructor(ids: IdWords, options: SpanOptions, trace?: Trace) {
    this.ids = ids
    this.name = options.name
    this.trace = (trace ?? parentOf(options.parent)?.trace ?? begin(ids, options.name)).turnedDown()
    this.parent = options.parent
    this.annotations = options.annotations
    this.kind = options.kind
    this.status = { _tag: "Started", startTime: options.startTime }
  }

  get traceId(): string {
    return this.trace.id
  }

  get id0(): number {
    return (this.ownId ??= this.makeId()).id0
  }

  get id1(): number {
    return (this.ownId ??= this.makeId()).id1
  }

  /** Made when somebody asks for it: most unsampled spans are never told to anybody. */
  private makeId(): SpanWords {
    return this.ids.span(this.name, this.trace, parentOf(this.parent))
  }

  get spanId(): string {
    return Hex.ofWord(this.id0) + Hex.ofWord(this.id1)
  }

  get flags(): number {
    return this.trace.flags
  }

  get traceState(): string {
    return this.trace.traceState
  }

  attribute(): void {}
  event(): void {}
  addLinks(): void {}

  end(endTime: bigint): void {
    if (this.status._tag === "Ended") return
    this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit: Exit.void }
  }
}

const noAttributes: ReadonlyMap<string, unknown> = new Map()
const noLinks: ReadonlyArray<Tracer.SpanLink> = []
