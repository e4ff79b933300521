// The command lines of programs that the examples start as processes of their own, on either runtime.

export type Runtime = "node" | "deno"

/** On Deno a program may do what it needs, and no more. */
export const commandOf = (runtime: Runtime, program: string, ...programArguments: ReadonlyArray<string>) => {
  const node = ["--disable-warning=ExperimentalWarning"]
  const deno = ["run", "--quiet", "--no-prompt", "--no-lock", "--allow-env", "--allow-read", "--allow-net=127.0.0.1"]
  // The other runtime than this program's own is found on the PATH.
  const isOurs = runtime === ("Deno" in globalThis ? "deno" : "node")
  const command = isOurs ? process.execPath : runtime
  return { command, args: [...(runtime === "deno" ? deno : node), program, ...programArguments] }
}
