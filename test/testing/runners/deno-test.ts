import { check } from "./studio.ts"

declare const Deno: { readonly test: (name: string, run: () => Promise<void>) => void }

Deno.test("the studio writes, then criticises", () => check("writer", "critic"))
Deno.test("a tree that it is not", () => check("writer"))
