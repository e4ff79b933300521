// A program that sends the very document that it is told.
const url = `${process.env["OTEL_EXPORTER_OTLP_ENDPOINT"]}/v1/traces`
const headers = { "content-type": "application/json" }
const { status } = await fetch(url, { method: "POST", headers, body: process.env["TEST_BODY"] ?? "" })
if (status !== 200) throw new Error(`expected 200, got ${status}`)
