import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as Printable from "../../src/analysis/Printable.ts"
import { Key } from "../../src/Conventions.ts"
import * as SpanRecord from "../../src/SpanRecord.ts"

describe("safe", () => {
  it("shows as escapes what a terminal could obey or hide", () => {
    const texts = [
      "\u001b[31mred",
      "a\nb\r\tc",
      "\u009b2J",
      "\u202egnp.exe",
      "zero\u200bwidth",
      "\ud800",
      "\u{e0041}",
      "\u2028"
    ]
    expect(texts.map(Printable.safe)).toEqual([
      "\\u001b[31mred",
      "a\\nb\\r\\tc",
      "\\u009b2J",
      "\\u202egnp.exe",
      "zero\\u200bwidth",
      "\\ud800",
      "\\udb40\\udc41",
      "\\u2028"
    ])
  })

  it("keeps letters of all scripts and emoji", () => {
    const text = "résumé 日本語 👩‍🚀 ✓ a\u0301"
    expect(Printable.safe(text)).toBe(text)
  })

  it("leaves nothing but what prints, whatever the text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(Printable.safe(text)).not.toMatch(/[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]/u)
      })
    )
  })
})

describe("duration", () => {
  it("writes three digits that matter, in the unit that suits", () => {
    const nanos = [0n, 1n, 640n, 999n, 1_000n, 12_120n, 999_499n, 999_600n, 1_000_000n, 12_120_000n, 804_400_000n]
    const more = [999_999_999n, 1_243_600_000n, 59_940_000_000n, 59_999_000_000n, 125_000_000_000n, 11_220_000_000_000n]
    expect([...nanos, ...more].map(Printable.duration)).toEqual([
      "0 ms",
      "1 ns",
      "640 ns",
      "999 ns",
      "1.00 µs",
      "12.1 µs",
      "999 µs",
      "1.00 ms",
      "1.00 ms",
      "12.1 ms",
      "804 ms",
      "1.00 s",
      "1.24 s",
      "59.9 s",
      "1 m 00 s",
      "2 m 05 s",
      "3 h 07 m"
    ])
  })
})

describe("share", () => {
  it("writes percents that never claim more than they know", () => {
    const parts = [0n, 1n, 5n, 983n, 9_830n, 9_994n, 9_995n, 10_000n, 25_000n]
    expect(parts.map((part) => Printable.share(part, 10_000n))).toEqual([
      "0 %",
      "<0.1 %",
      "<0.1 %",
      "9.8 %",
      "98.3 %",
      "99.9 %",
      "100 %",
      "100 %",
      "250 %"
    ])
    expect(Printable.share(5n, 0n)).toBe("-")
  })
})

describe("outcome", () => {
  it("tells an interrupted span from one whose tracer does not say", () => {
    const statuses: ReadonlyArray<Partial<SpanRecord.SpanRecord>> = [
      { status: { code: "ok" } },
      { status: { code: "error", message: "" } },
      { status: { code: "unset" } },
      { status: { code: "unset" }, attributes: { [Key.interrupted]: true } }
    ]
    const outcomes = statuses.map((fields) => Printable.outcome(SpanRecord.make({ name: "s", ...fields })))
    expect(outcomes).toEqual(["ok", "error", "unset", "interrupted"])
    expect(outcomes.map((how) => Printable.mark[how]).join("")).toBe("✓✗·⏹")
  })
})

describe("width", () => {
  it("counts the columns of a terminal", () => {
    expect(["abc", "é", "e\u0301", "日本", "🎉", "👩‍🚀", "✓", "├─ "].map(Printable.width)).toEqual([
      3, 1, 1, 4, 2, 2, 1, 3
    ])
  })
})

describe("pad", () => {
  it("fills on either side and leaves what is too long", () => {
    expect([Printable.pad("日", 4), Printable.pad("日", 4, "left"), Printable.pad("long", 2)]).toEqual([
      "日  ",
      "  日",
      "long"
    ])
  })
})

describe("truncate", () => {
  it("cuts between letters and tells it", () => {
    expect([Printable.truncate("agent", 5), Printable.truncate("agents", 5), Printable.truncate("日本語", 4)]).toEqual([
      "agent",
      "agen…",
      "日…"
    ])
  })
})

describe("palette", () => {
  it("paints only where asked", () => {
    expect([
      Printable.palette(true).red("no"),
      Printable.palette(true).red(""),
      Printable.palette(false).red("no")
    ]).toEqual(["\u001b[31mno\u001b[39m", "", "no"])
  })
})
