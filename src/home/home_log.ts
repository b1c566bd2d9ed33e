import type { Logger } from "../connection/connection_options.ts";
import { now } from "../shared/timers.ts";

/**
 * The log of a home. Strangers cause lines, so no more than `mostLines` of a level are written in a period; the first line
 * of a later period says how many were left out.
 */
export class HomeLog {
  readonly #logger: Logger | undefined;
  readonly #levels = new Map<keyof Logger, { since: number; lines: number }>();

  constructor(logger: Logger | undefined) {
    this.#logger = logger;
  }

  log(level: keyof Logger, text: string): void {
    if (this.#logger?.[level] === undefined) return;
    let written = this.#levels.get(level);
    if (written === undefined || now() - written.since >= period) {
      const left = (written?.lines ?? 0) - mostLines;
      this.#levels.set(level, written = { since: now(), lines: 0 });
      if (left > 0) this.#write(level, `${left} lines like the last ones were left out`);
    }
    if (++written.lines <= mostLines) this.#write(level, text);
  }

  /** Calls the program's code. An error that it throws is reported as an uncaught error and does not end ours. */
  #write(level: keyof Logger, text: string): void {
    try {
      this.#logger?.[level]?.(`ChannelTS: home: ${text}`);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

/** Milliseconds. */
const period = 10_000;

/** The number of lines of a level in a period. */
const mostLines = 100;
