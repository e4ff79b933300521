// Delivers what it finds in the spool, then keeps batches until somebody kills it. Says each number that it has kept, and
// each that it has delivered, before it is removed: what was said to be kept must be delivered by a process after it.
import * as Effect from "effect/Effect"
import { writeSync } from "node:fs"
import * as Spool from "../../src/Spool.ts"

const [directory = "", first = "0", count = "0"] = process.argv.slice(2)
const say = (text: string) => writeSync(1, `${text}\n`)

const deliver = (journal: Spool.Journal) => {
  for (let more = true; more;) {
    const recovered = journal.recover()
    for (const entry of recovered.entries) {
      const batch = journal.read(entry)
      say(`delivered ${batch === undefined ? "nothing" : new TextDecoder().decode(batch.bytes)}`)
      journal.remove(entry)
    }
    more = recovered.more
  }
}

const keep = (journal: Spool.Journal) => {
  for (let number = Number(first); number < Number(first) + Number(count); number++) {
    const entry = journal.append({ bytes: new TextEncoder().encode(String(number)), count: 1 })
    say(entry === undefined ? `refused ${number}: ${journal.status().problem}` : `kept ${number}`)
  }
}

Effect.gen(function* () {
  const journal = yield* (yield* Spool.Spool).open("otlp")
  deliver(journal)
  keep(journal)
}).pipe(Effect.scoped, Effect.provide(Spool.layer({ directory })), Effect.runSync)
