import type { Finding, FindingLevel } from "../../connection/inspect.ts";

/** What the checks of `doctor` work with. */
export interface Examination {
  /** The URI of the option `--connection`. */
  readonly uri?: string;
  /** The channel to examine. */
  readonly name?: string;
  /** Milliseconds for each step. */
  readonly timeout: number;
  readonly signal: AbortSignal;
  report(finding: Finding): void;
}

/** The levels, the least serious first. */
export const levels: readonly FindingLevel[] = ["ok", "note", "warning", "problem"];
