import { test } from "node:test"
import { check } from "./studio.ts"

void test("the studio writes, then criticises", () => check("writer", "critic"))
void test("a tree that it is not", () => check("writer"))
