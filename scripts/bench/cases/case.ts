// What a case of the bench is: some rows that are measured together, on one runtime at a time.
import type { Id } from "../rows.ts"
import type { RuntimeName } from "../runtime.ts"
import { median } from "../statistics.ts"

/** One number of Handspan, with those of its peers that were measured beside it. */
export interface Measurement {
  readonly id: Id
  /** In the unit of the row, as are those of the peers. */
  readonly handspan: number
  readonly peers: Readonly<Record<string, number>>
  /** Handspan's number over what it is held against. Of a row whose unit is such a ratio already, the number itself. */
  readonly ratio: number
  /** What else there is to say. */
  readonly remark?: string
  /** Whether Handspan's ledger adds up and says what the receiver says, where that is a question. */
  readonly ledgerIsRight?: boolean
}

export interface Case {
  readonly ids: ReadonlyArray<Id>
  /** Whether the runtimes may be measured at the same time. Default: one after the other. */
  readonly atOnce?: boolean
  /** Measures those of its rows that are asked for. */
  readonly measure: (runtime: RuntimeName, wanted: ReadonlySet<Id>) => Promise<ReadonlyArray<Measurement>>
}

/** How often each candidate is measured, unless it says otherwise. */
const usualRounds = 3

/** Lets the candidates take turns, so that none has the quieter minute, and gives all outputs of each. */
export const inTurns = async <Candidate, Output>(
  candidates: Iterable<Candidate>,
  run: (candidate: Candidate) => Promise<Output>,
  rounds: (candidate: Candidate) => number = () => usualRounds
): Promise<ReadonlyMap<Candidate, ReadonlyArray<Output>>> => {
  const outputs = new Map(Array.from(candidates, (candidate) => [candidate, [] as Array<Output>]))
  for (let round = 0; round < usualRounds; round++) {
    for (const [candidate, all] of outputs) {
      if (round < rounds(candidate)) all.push(await run(candidate))
    }
  }
  return outputs
}

/** Handspan's number, and those of its peers by name. */
export type Numbers = Pick<Measurement, "handspan" | "peers">

/** The medians of one number over all rounds. */
export const medians = <Output>(
  outputs: ReadonlyMap<string, ReadonlyArray<Output>>,
  number: (output: Output) => number
): Numbers => {
  const { Handspan: handspan = Number.NaN, ...peers } = Object.fromEntries(
    [...outputs].map(([name, all]) => [name, median(all.map(number))])
  )
  return { handspan, peers }
}

/** A measurement whose unit is a ratio. */
export const ratio = <Output>(
  id: Id,
  outputs: ReadonlyMap<string, ReadonlyArray<Output>>,
  number: (output: Output) => number
): Measurement => {
  const { handspan, peers } = medians(outputs, number)
  return { id, handspan, peers, ratio: handspan }
}

/** A measurement whose unit is a ratio to one of the peers, which is then no peer of the row any more. */
export const over = (id: Id, base: string, numbers: Numbers): Measurement => {
  const { [base]: divisor = Number.NaN, ...others } = numbers.peers
  const ratio = numbers.handspan / divisor
  const peers = Object.fromEntries(Object.entries(others).map(([name, number]) => [name, number / divisor]))
  return { id, handspan: ratio, peers, ratio }
}
