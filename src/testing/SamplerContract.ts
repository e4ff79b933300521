/**
 * The contract of `Sampler` as tests, for whoever writes a sampler: ours pass it, and any other that a Recorder is to ask
 * should.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Sampler from "../Sampler.ts"
import * as Contract from "./Contract.ts"

/**
 * The rules of the contract, by the names that skip them.
 *
 * @since 0.1.0
 */
export type SamplerRule = "name" | "always answers" | "same answer" | "threshold" | "share" | "whole"

/**
 * The sampler under test.
 *
 * @since 0.1.0
 */
export interface SamplerContractOptions {
  /** Makes one that was not asked before. */
  readonly make: () => Sampler.Sampler
  /** Whether it counts, so that the same question may get another answer. Default: false. */
  readonly counts?: boolean | undefined
  /** The share of new traces that it takes, from 0 to 1. Default: nobody looks. */
  readonly share?: number | undefined
  /** Rules that do not hold, with the reason. Default: none. */
  readonly skip?: { readonly [Rule in SamplerRule]?: string | undefined } | undefined
}

/**
 * Gives the contract of `Sampler` as cases for a test runner.
 *
 * **Details**: each rule asks about spans with and without parents, names and hints of all kinds, awkward ones among them,
 * in 10,000 traces whose ids are always the same. A sampler that is to leave some spans out of a trace, by their names or
 * hints, breaks the rule `whole` where it is asked about such: skip that one.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Sampler } from "handspan"
 * import * as Testing from "handspan/testing"
 *
 * const cases = Testing.samplerContract({ make: () => Sampler.probability(0.1), share: 0.1 })
 * // With vitest: for (const { rule, check } of cases) it.effect(rule, () => check)
 * for (const { check } of cases) Effect.runSync(check)
 * if (cases.length !== 6) throw new Error("expected six rules")
 * ```
 *
 * @since 0.1.0
 */
export const samplerContract = (options: SamplerContractOptions): ReadonlyArray<Contract.Case> => {
  const { counts = false, make, share } = options
  return Contract.make<SamplerRule>(
    {
      name: [
        "the name says in a few words what it does",
        check(() => {
          const { name } = make()
          return typeof name === "string" && /^\S.{0,199}$/s.test(name) ? undefined : `the name ${Contract.tell(name)}`
        })
      ],
      "always answers": [
        "decide answers every question, at once, and never throws",
        check(() => {
          const sampler = make()
          for (const question of questions) {
            const { sampled } = decide(sampler, question)
            if (typeof sampled !== "boolean") return `sampled is ${Contract.tell(sampled)} for ${show(question)}`
          }
          return undefined
        })
      ],
      "same answer": [
        "the same question gets the same answer, whatever was asked in between, unless it counts",
        check(() => {
          if (counts) return undefined
          const sampler = make()
          const first = questions.map((question) => decide(sampler, question).sampled)
          const again = questions
            .toReversed()
            .map((question) => decide(sampler, question).sampled)
            .toReversed()
          const at = first.findIndex((sampled, index) => sampled !== again[index])
          return at < 0 ? undefined : `${first[at]}, and then ${again[at]}, for ${show(questions[at]!)}`
        })
      ],
      threshold: [
        "threshold is from 0 to below 2^56 where a trace is taken, or not known",
        check(() => {
          const sampler = make()
          for (const question of questions) {
            const { sampled, threshold } = decide(sampler, question)
            if (!sampled || threshold === undefined) continue
            if (typeof threshold !== "bigint" || threshold < 0n || threshold >= 2n ** 56n) {
              return `the threshold ${Contract.tell(threshold)}`
            }
          }
          return undefined
        })
      ],
      share: [
        "it takes the share of new traces that it says",
        check(() => {
          if (share === undefined) return undefined
          const sampler = make()
          const taken = traceIds.filter((traceId) => decide(sampler, { ...plain, traceId }).sampled).length
          // Four standard deviations of as many coins.
          const room = 4 * Math.sqrt(traceIds.length * share * (1 - share))
          return Math.abs(taken - traceIds.length * share) <= room ? undefined : `${taken} of ${traceIds.length}`
        })
      ],
      whole: [
        "a trace that is taken is taken as a whole: no span inside of it is turned down, whatever came in between",
        check(() => {
          const sampler = make()
          let before: ReadonlyArray<Sampler.Question> = []
          for (const { first, inside } of wholeTraces()) {
            const { sampled } = decide(sampler, first)
            const torn = before.find((question) => ask(sampler, question).sampled !== true)
            if (torn !== undefined) return `a span that is turned down inside of a trace that was taken: ${show(torn)}`
            before = sampled === true ? inside : []
          }
          return undefined
        })
      ]
    },
    options.skip
  )
}

const check = (look: () => string | undefined): Effect.Effect<void, unknown> =>
  Effect.suspend(() => {
    const seen = look()
    return seen === undefined ? Effect.void : Contract.saw(seen)
  })

/** A sampler may answer anything, whatever its type says. */
const decide = (sampler: Sampler.Sampler, question: Sampler.Question): Partial<Sampler.Decision> =>
  sampler.decide(question) ?? {}

const ask = (sampler: Sampler.Sampler, question: Sampler.Question): Partial<Sampler.Decision> =>
  Sampler.ask(sampler, question) ?? {}

const show = ({ hints: _hints, memory: _memory, ...question }: Sampler.Question): string => Contract.tell(question)

/** Ids of chance that are the same each time (a linear congruential generator, its high bits mixed in). */
const traceIds: ReadonlyArray<string> = (() => {
  let state = 1
  const word = (): string => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return ((state ^ (state >>> 15)) >>> 0).toString(16).padStart(8, "0")
  }
  return Array.from({ length: 10_000 }, () => word() + word() + word() + word())
})()

const plain: Sampler.Question = {
  traceId: traceIds[0]!,
  name: "agent_handoff.planner",
  kind: "internal",
  startTimeUnixNano: 0n,
  parent: undefined,
  hints: {},
  baggage: new Map()
}

const parents: ReadonlyArray<Sampler.Parent | undefined> = [
  undefined,
  ...[true, false].flatMap((sampled) =>
    [true, false].flatMap((isRemote) =>
      ["", "a=1,ot=th:8;rv:00000000000001", "ot=th:zz;rv:1", "=,;:"].map((traceState) => ({
        spanId: "b7ad6b7169203331",
        sampled,
        isRemote,
        flags: sampled ? 3 : 2,
        traceState
      }))
    )
  )
]

const asking = (fields: Partial<Sampler.Question>): Sampler.Question => ({ ...plain, ...fields })

const questions: ReadonlyArray<Sampler.Question> = [
  ...parents.flatMap((parent) =>
    traceIds
      .slice(0, 20)
      .map((traceId, index) => asking({ traceId, parent, startTimeUnixNano: BigInt(index) * 10n ** 8n }))
  ),
  ...[`${"0".repeat(31)}1`, "f".repeat(32)].map((traceId) => asking({ traceId })),
  ...["", " ", "\u0000", "名前 🌍", "*.+?^${}()|[]\\", "x".repeat(10_000)].map((name) => asking({ name })),
  asking({ hints: { text: "a", number: 1, list: ["a"], ["__proto__"]: "x", constructor: "y" } })
]

const at = (index: number): bigint => BigInt(index) * 10n ** 8n

/** Traces of a span each and five inside of it, which are asked about when the next trace has begun, 0.1 s later. */
const wholeTraces = () =>
  traceIds.slice(0, 200).map((traceId, index) => {
    const shared = { traceId, memory: new Map() }
    const parent = { spanId: "b7ad6b7169203331", sampled: true, isRemote: false, flags: 3, traceState: "" }
    return {
      first: asking({ ...shared, startTimeUnixNano: at(index), name: names[index % names.length]! }),
      inside: names.map((name) => asking({ ...shared, startTimeUnixNano: at(index + 1), name, parent }))
    }
  })

const names = ["pipeline.studio", "agent_handoff.planner", "agent_handoff.critic", "chat gpt-5", "work"]
