import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as LineText from "../../src/analysis/LineText.ts"
import * as Printable from "../../src/analysis/Printable.ts"
import { Key } from "../../src/Conventions.ts"
import type { AttributeValue } from "../../src/SpanRecord.ts"
import * as Traces from "./traces.ts"

const failed = Traces.span("agent.invoke", 0xdef456, undefined, [0, 12_532_734.5], {
  status: { code: "error", message: 'no "answer"' },
  attributes: {
    component: "teams_bot",
    note: "it's \u001b[31mred\n",
    both: `'"\\`,
    cached: false,
    count: 3,
    ratio: 0.25,
    big: 12345678901234567890n,
    odd: [NaN, -Infinity],
    empty: "",
    "a key=": ["x y", true]
  }
})

describe("readable", () => {
  it("writes time, outcome, name and duration, then logfmt", () => {
    expect(LineText.readable(failed)).toMatchInlineSnapshot(
      `"2026-11-21T06:12:12.532Z ✗ agent.invoke duration=12.5s trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=0000000000def456 error="no \\"answer\\"" component=teams_bot note="it's \\u001b[31mred\\n" both="'\\"\\\\" cached=false count=3 ratio=0.25 big=12345678901234567890 odd=NaN,-Infinity empty="" a_key_="x y,true""`
    )
    expect(LineText.readable(Traces.photoAgency[8]!)).toMatchInlineSnapshot(
      `"2026-11-21T06:12:01.127Z ⏹ agent_handoff.style_analyst duration=310ms trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=0000000000000009 gen_ai.operation.name=invoke_agent gen_ai.agent.name=style_analyst agent=style_analyst handspan.agent.kind=llm handspan.handoff.attempts=1 handspan.interrupted=true"`
    )
  })

  it("lets no attribute stand in for what it tells of the span", () => {
    const attributes = { trace_id: "a", duration: "b", span_id: "c", error: "d", agent: "e" }
    expect(LineText.readable({ ...failed, attributes })).toBe(
      "2026-11-21T06:12:12.532Z ✗ agent.invoke duration=12.5s trace_id=4bf92f3577b34da6a3ce929d0e0e4736 " +
        'span_id=0000000000def456 error="no \\"answer\\"" agent=e'
    )
  })

  it("writes long and empty durations without a space", () => {
    const durationOf = (micros: number) =>
      / duration=(\S+) /.exec(LineText.readable(Traces.span("s", 1, undefined, [0, micros])))?.[1]
    expect([0, 12_100, 125_000_000].map(durationOf)).toEqual(["0ms", "12.1ms", "2m05s"])
  })

  it("paints on request", () => {
    const painted = LineText.readable(Traces.span("s", 1, undefined, [0, 1]), Printable.palette(true))
    expect(painted.replaceAll("\u001b[", "^")).toMatchInlineSnapshot(
      `"^2m2026-11-21T06:12:00.000Z^22m ^32m✓^39m ^1ms^22m duration=1.00µs ^2mtrace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=0000000000000001^22m"`
    )
  })

  it("writes a date for any 64 bits of nanoseconds", () => {
    const late = { ...failed, attributes: {}, startTimeUnixNano: 2n ** 64n - 1n, endTimeUnixNano: 2n ** 64n - 1n }
    expect(LineText.readable(late).slice(0, 24)).toBe("2554-07-21T23:34:33.709Z")
  })
})

describe("trace", () => {
  it("writes the line of GoalGen", () => {
    expect(LineText.trace(failed)).toMatchInlineSnapshot(
      `"[TRACE] agent.invoke | trace_id=4bf92f3577b34da6a3ce929d0e0e4736 | span_id=0000000000def456 | duration=12532.73ms | {'component': 'teams_bot', 'note': "it's \\x1b[31mred\\n", 'both': '\\'"\\\\', 'cached': False, 'count': 3, 'ratio': 0.25, 'big': 12345678901234567890, 'odd': ['NaN', '-Infinity'], 'empty': '', 'a key=': ['x y', True]}"`
    )
  })

  it("writes metadata that Python reads back, whatever the attributes", () => {
    const scalar = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom("'", '"', `'"`, "\\", "\\'", "\u2028", "\u{1f389}"),
      fc.boolean(),
      fc.double({ noDefaultInfinity: true, noNaN: true }).map((value) => (value === 0 ? 0 : value)),
      fc.integer(),
      fc.bigInt()
    )
    const attributes = fc
      .array(fc.tuple(fc.string({ unit: "binary" }), fc.oneof(scalar, fc.array(scalar))))
      .map((entries) => Object.fromEntries(entries))
    fc.assert(
      fc.property(attributes, (any) => {
        const line = LineText.trace({ ...failed, attributes: any })
        const literal = line.slice(line.indexOf("{"))
        expect(line).not.toMatch(/[\p{Cc}\u2028]/u)
        expect(readPython(literal)).toEqual(
          Object.fromEntries(
            Object.entries(any).map(([key, value]) => [
              key,
              Array.isArray(value) ? value.map(comparable) : comparable(value)
            ])
          )
        )
      })
    )
  })
})

describe("continuum", () => {
  it("writes the line of Continuum, with the real status", () => {
    const spans = [failed, ...Traces.photoAgency.slice(7, 9), Traces.span("rounds up", 1, undefined, [0.4, 999_999.6])]
    expect(spans.map(LineText.continuum)).toEqual([
      "TRACE: agent.invoke (1795241520.000-1795241532.533) status=ERROR",
      "TRACE: agent_handoff.risk_analyst (1795241520.817-1795241521.020) status=ERROR",
      "TRACE: agent_handoff.style_analyst (1795241520.817-1795241521.127) status=UNSET",
      "TRACE: rounds up (1795241520.000-1795241521.000) status=OK"
    ])
  })
})

describe("fields", () => {
  it("quotes what would break logfmt", () => {
    expect(LineText.fields({ [Key.agent]: "a b", path: "C:\\x", list: ["a", "b"], 'k "=': 1n })).toBe(
      'agent="a b" path="C:\\\\x" list=a,b k___=1'
    )
  })
})

/** Numbers as text: Python and JavaScript have different ones. */
const comparable = (value: AttributeValue): unknown =>
  typeof value === "number" || typeof value === "bigint" ? { number: String(value) } : value

/** Reads a Python literal, as `ast.literal_eval` does: dict, list, string, number, True, False. */
const readPython = (literal: string): unknown => {
  let at = 0
  const fail = (): never => expect.fail(`not a Python literal at ${at}: ${literal.slice(at, at + 20)}`)
  const take = (pattern: RegExp): string => {
    const sticky = new RegExp(pattern.source, "uy")
    sticky.lastIndex = at
    const found = sticky.exec(literal)?.[0] ?? fail()
    at += found.length
    return found
  }
  const list = <A>(close: string, item: () => A): ReadonlyArray<A> => {
    const values: Array<A> = []
    at++
    while (literal[at] !== close) {
      if (values.length > 0) take(/, /)
      values.push(item())
    }
    at++
    return values
  }
  const escapes: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" }
  const text = (): string =>
    take(/'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"/)
      .slice(1, -1)
      .replace(/\\(?:x(..)|u(....)|U(.{8})|(.))/gu, (_, x?: string, u?: string, long?: string, one?: string) =>
        one === undefined ? String.fromCodePoint(Number.parseInt((x ?? u ?? long)!, 16)) : (escapes[one] ?? one)
      )
  const value = (): unknown => {
    if (literal[at] === "'" || literal[at] === '"') return text()
    if (literal[at] === "[") return list("]", value)
    if (literal[at] === "{") {
      return Object.fromEntries(
        list("}", () => {
          const key = text()
          take(/: /)
          return [key, value()]
        })
      )
    }
    const word = take(/True|False|-?\d[\d.e+-]*/)
    return word === "True" ? true : word === "False" ? false : { number: word }
  }
  const read = value()
  return at === literal.length ? read : fail()
}
