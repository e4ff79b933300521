// A program without traces that behaves as its first argument says.
import { spawn } from "node:child_process"
import { writeSync } from "node:fs"
import { connect } from "node:net"

const endings: Readonly<Record<string, () => void>> = {
  "ends badly": () => process.exit(7),
  "is killed": () => process.kill(process.pid, "SIGTERM"),
  "says much": () => {
    for (let n = 0; n < 40; n++) writeSync(1, "é".repeat(32_768))
  },
  "leaves a daemon": () => {
    // It holds this program's output open, and ends by itself.
    spawn(process.execPath, ["-e", "setTimeout(() => {}, 5000)"], { detached: true, stdio: "inherit" }).unref()
    writeSync(1, "done\n")
    process.exit(3)
  },
  "goes on": () => {
    writeSync(1, "working\n")
    writeSync(2, `${process.pid}\n`)
    setInterval(() => undefined, 1000)
  },
  "holds a connection": () => void connect(Number(process.argv[3]), "127.0.0.1"),
  "sends nonsense": () =>
    void fetch(`${process.env["OTEL_EXPORTER_OTLP_ENDPOINT"]}/v1/traces`, { method: "POST", body: "nonsense" })
}

endings[process.argv[2] ?? ""]?.()
