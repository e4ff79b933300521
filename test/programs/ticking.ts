// Talks to the process that started it for as long as that listens, and then ends as it likes.
import { Effect } from "effect"
import * as Subprocess from "../../src/Subprocess.ts"

const main = Effect.flatMap(Subprocess.parent, ({ send }) => Effect.forever(Effect.delay(send("tick"), "5 millis")))
const error = await Effect.runPromise(Effect.scoped(Effect.flip(main)))
process.exitCode = error._tag === "ConnectionError" ? 3 : 1
