// How vitest runs the suite, on Node and on Deno.
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const root = fileURLToPath(new URL("..", import.meta.url))

export default defineConfig({
  root,
  cacheDir: "node_modules/.cache/vite",
  resolve: {
    // Tests import ../src; the examples they run import the package by name. Both must get the same modules.
    alias: [
      { find: /^handspan$/, replacement: `${root}src/index.ts` },
      { find: /^handspan\/testing$/, replacement: `${root}src/Testing.ts` },
      { find: /^handspan\/(.+)$/, replacement: `${root}src/$1.ts` }
    ]
  },
  test: {
    include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
    // These need more than npm, and run where they are named: scripts/ci-only.ts does so.
    exclude: process.argv.some((argument) => argument.startsWith("test/ci")) ? [] : ["test/ci/**"],
    // Errors outside of type tests are for the step that checks all types.
    typecheck: { include: ["test/**/*.test-d.ts"], ignoreSourceErrors: true },
    reporters: ["dot"],
    // Node and Deno run side by side on small machines, where a property test may have to wait for its turn.
    maxWorkers: 2,
    testTimeout: 30_000
  }
})
