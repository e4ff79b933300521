// The tests that need more than npm: they talk with servers of Debian, and with programs of others that are built of Go's and
// Python's packages. Some read real traces, from a folder beside the checkout that HANDSPAN_SHARED names; they alone are skipped
// where it is absent.
import { existsSync } from "node:fs"
import { resolve } from "node:path"
import { runSteps } from "./steps.ts"
import { suite } from "./suite.ts"
import { installServers } from "../test/ci/debian.ts"
import { prepare } from "../test/ci/interop/programs.ts"

const shared = resolve(process.env["HANDSPAN_SHARED"] ?? "../shared")
if (existsSync(shared)) process.env["HANDSPAN_SHARED"] = shared
else console.log(`Real traces are skipped: the folder ${shared} is not there. Set HANDSPAN_SHARED`)

process.env["HANDSPAN_SOAK_SECONDS"] ??= "60"
// Beforehand: a build beside the tests would slow down those that measure time, and Node's and Deno's would both do it.
try {
  installServers()
} catch (error) {
  // The tests whose servers are not there try again, and fail.
  console.log(String(error))
}
await prepare()
await runSteps([
  suite("CI-only tests on Node", [process.execPath], ["test/ci"]),
  suite("CI-only tests on Deno", ["deno", "run", "-A", "--no-lock"], ["test/ci"])
])
