import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as fc from "fast-check"
import * as DurationInput from "../src/DurationInput.ts"
import * as TimeVariable from "../src/TimeVariable.ts"
import type * as Variable from "../src/Variable.ts"

type Time = Variable.Parser<Duration.Duration>

const { duration, durationOrInfinity, millis, timeLimit, timeout } = TimeVariable
const noLimit = Duration.millis(2 ** 31 - 1)

describe("parsers", () => {
  it.each<[string, Time, string, Duration.Duration | undefined]>([
    ["millis takes a number", millis, "250", Duration.millis(250)],
    ["millis refuses a unit", millis, "1 second", undefined],
    ["timeout takes a number", timeout, "250", Duration.millis(250)],
    ["timeout takes 0 for no limit", timeout, "0", noLimit],
    ["timeout takes no more than a timer does", timeout, "3000000000", noLimit],
    ["timeout refuses less", timeout, "-1", undefined],
    ["duration takes a unit", duration, "2 minutes", Duration.minutes(2)],
    ["duration refuses a bare number", duration, "250", undefined],
    ["duration refuses an unknown unit", duration, "2 lightyears", undefined],
    ["duration refuses one without an end", duration, "Infinity", undefined],
    ["durationOrInfinity takes a unit", durationOrInfinity, "2 minutes", Duration.minutes(2)],
    ["durationOrInfinity takes one without an end", durationOrInfinity, "infinity", Duration.infinity],
    ["timeLimit takes a unit", timeLimit, "1.5 seconds", Duration.millis(1500)],
    ["timeLimit takes Infinity for no limit", timeLimit, "Infinity", noLimit],
    ["timeLimit takes nothing for no limit", timeLimit, "0 seconds", noLimit],
    ["timeLimit refuses a bare number", timeLimit, "250", undefined]
  ])("%s", (_, parser, text, expected) => {
    assert.deepStrictEqual(parser.parse(text), expected)
  })

  it.each<[string, Time, value: unknown, Duration.Duration | undefined]>([
    ["duration takes any form", duration, { seconds: 2 }, Duration.seconds(2)],
    ["duration refuses one without an end", duration, Infinity, undefined],
    ["millis takes any form", millis, "2 seconds", Duration.seconds(2)],
    ["durationOrInfinity takes one without an end", durationOrInfinity, Duration.infinity, Duration.infinity],
    ["timeLimit takes Infinity for no limit", timeLimit, "Infinity", noLimit],
    ["timeout takes nothing for no limit", timeout, 0, noLimit]
  ])("from code: %s", (_, parser, value, expected) => {
    assert.deepStrictEqual(parser.accept(value), expected)
  })

  it("OpenTelemetry's rules leave nothing of what is no number, and an error for our own", () => {
    assert.deepStrictEqual([millis.salvage?.("soon"), timeout.salvage?.("soon")], [undefined, undefined])
    assert.deepStrictEqual(
      [duration, durationOrInfinity, timeLimit].map((parser) => parser.salvage),
      [undefined, undefined, undefined]
    )
  })
})

describe("DurationInput.read", () => {
  it.each<[unknown, Duration.Duration | undefined]>([
    [0, Duration.zero],
    [1.5, Duration.millis(1.5)],
    [5n, Duration.nanos(5n)],
    ["2 seconds", Duration.seconds(2)],
    [[1, 5], Duration.nanos(1_000_000_005n)],
    [{ minutes: 1, seconds: 30 }, Duration.seconds(90)],
    [Duration.days(1), Duration.days(1)],
    [Infinity, Duration.infinity],
    [Number.NaN, undefined],
    [-1, undefined],
    ["-1 second", undefined],
    ["soon", undefined],
    [{ seconds: Number.NaN }, undefined],
    [{ seconds: "2" }, undefined],
    [{ secs: 2 }, undefined],
    [[Number.NaN, 0], undefined],
    [["1", 0], undefined],
    [[1], undefined],
    [{}, undefined],
    [null, undefined],
    [undefined, undefined],
    [Symbol("1 second"), undefined],
    [true, undefined]
  ])("read() of %o", (input, expected) => {
    const read = DurationInput.read(input)
    assert.deepStrictEqual(read && Duration.toMillis(read), expected && Duration.toMillis(expected))
  })

  it("read() takes anything", () => {
    fc.assert(
      fc.property(fc.anything(), (input) => {
        const read = DurationInput.read(input)
        assert.isTrue(read === undefined || !Duration.isNegative(read))
      })
    )
  })
})
