// The package that people will install.
import type { Step } from "./steps.ts"
export const packageSteps: ReadonlyArray<Step> = []
