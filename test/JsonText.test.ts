import { assert, describe, it } from "@effect/vitest"
import { Formatter, HashMap, Option, Redactable, Redacted } from "effect"
import * as fc from "fast-check"
import * as JsonText from "../src/JsonText.ts"

const write = (value: unknown, fields?: ReadonlyArray<string>) => JsonText.write(value, Infinity, fields)

describe("JsonText.write", () => {
  it("writes what Effect's own JSON says, of a large value the beginning", () => {
    const value = fc.anything({ withDate: true, withNullPrototype: true, withBoxedValues: true, maxDepth: 5 })
    fc.assert(
      fc.property(value, fc.nat(100), (value, length) => {
        const whole = Formatter.formatJson(value)
        assert.strictEqual(write(value) ?? "null", whole)
        assert.strictEqual((JsonText.write(value, length) ?? "null").slice(0, length), whole.slice(0, length))
      })
    )
  })

  it("writes Maps and Sets as lists, big numbers as texts, and errors with what they say", () => {
    const value = {
      map: new Map<unknown, unknown>([["a", new Set([1, 2])]]),
      big: 7n,
      error: Object.assign(new TypeError("no"), { code: 3 })
    }
    assert.strictEqual(
      write(value),
      '{"map":[["a",[1,2]]],"big":"7n","error":{"code":3,"name":"TypeError","message":"no"}}'
    )
  })

  it("never writes what is Redacted, however deep, nor what knows itself how it is to be seen", () => {
    const key = Redacted.make("hunter2", { label: "key" })
    class Customer {
      readonly name = "hunter2";
      [Redactable.symbolRedactable]() {
        return "a customer"
      }
    }
    for (const value of [
      key,
      { key },
      [[key]],
      Option.some({ key }),
      HashMap.make(["a", key]),
      new Map([["a", key]]),
      new Set([key]),
      Object.assign(new Error("no"), { key }),
      {
        get key() {
          return key
        }
      },
      { toJSON: () => ({ key }) },
      { customer: new Customer() },
      [new Customer()]
    ]) {
      assert.match(write(value) ?? "", /<redacted|a customer/)
      assert.notInclude(write(value), "hunter2")
    }
  })

  it("looks at no more of a huge value than it needs", () => {
    let looks = 0
    const item = {
      get size() {
        return ++looks
      }
    }
    const items = Array.from({ length: 100_000 }, () => item)
    for (const value of [
      { items },
      { items: new Set(items.map((one) => Object.create(one, {}))) },
      Object.assign(new Error(""), { items })
    ]) {
      looks = 0
      assert.include(JsonText.write(value, 100), '"items":[{')
      assert.isBelow(looks, 60)
    }
    looks = 0
    assert.match(JsonText.write(items, 100, ["size"]) ?? "", /^\[\{"size":1\},\{"size":2\},/)
    assert.isBelow(looks, 60)
  })

  it("tells how much binary data there is, and where it goes deeper than it will", () => {
    let deep: object = {}
    for (let i = 0; i < 100_000; i++) deep = { deep }
    const text = write(deep) ?? ""
    assert.strictEqual(text.match(/deep/g)?.length, 64)
    assert.include(text, '"…"')
    assert.strictEqual(
      write({ bytes: new Uint8Array(3), buffer: new ArrayBuffer(4), view: new DataView(new ArrayBuffer(5)) }),
      '{"bytes":"<3 bytes>","buffer":"<4 bytes>","view":"<5 bytes>"}'
    )
  })

  it("loses no field to another that throws, and keeps fields of any name", () => {
    const value = {
      good: 1,
      get bad(): string {
        throw new Error("no")
      },
      list: [{ toJSON: () => assert.fail() }, 2]
    }
    assert.strictEqual(write(value), '{"good":1,"bad":"!UNENCODABLE","list":["!UNENCODABLE",2]}')
    assert.strictEqual(write(JSON.parse('{"__proto__":{"a":1}}')), '{"__proto__":{"a":1}}')
    const revoked = Proxy.revocable({}, {})
    revoked.revoke()
    assert.strictEqual(write(revoked.proxy), "!UNENCODABLE")
    assert.strictEqual(write({ inner: revoked.proxy, other: 1 }), '{"inner":"!UNENCODABLE","other":1}')
  })

  it("writes the named fields alone, of a list those of its items, and nothing where there are none", () => {
    const photo = { path: "a.jpg", user: "ada", at: { path: "b.jpg" } }
    assert.strictEqual(write(photo, ["path", "size"]), '{"path":"a.jpg"}')
    assert.strictEqual(write([photo, [photo]], ["path"]), '[{"path":"a.jpg"},[{"path":"a.jpg"}]]')
    for (const value of ["text", 7, null, undefined, 7n, true]) assert.isUndefined(write(value, ["path"]))
  })
})
