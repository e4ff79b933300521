// The model that the realistic pipeline asks: a process of its own, that thinks for as long as it is asked to, and then
// answers with about a kilobyte of JSON.
import { createServer } from "node:http"

const answer = JSON.stringify({
  model: "mock",
  choices: [{ message: { role: "assistant", content: "It is a photo of the sea, taken at dusk. ".repeat(20) } }],
  usage: { input_tokens: 512, output_tokens: 256 }
})

const server = createServer((request, response) => {
  const think = Number(new URL(request.url ?? "/", "http://localhost").searchParams.get("think"))
  const reply = () => response.writeHead(200, { "content-type": "application/json" }).end(answer)
  request.resume().on("end", () => (think > 0 ? setTimeout(reply, think) : reply()))
})

server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  if (address !== null && typeof address === "object")
    process.stdout.write(`${JSON.stringify({ port: address.port })}\n`)
})
process.stdin.resume().on("end", () => process.exit(0))
