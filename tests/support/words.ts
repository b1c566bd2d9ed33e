import assert from "node:assert/strict";
import { inspect } from "node:util";
import type { Logger } from "../../mod.ts";

/** Everything that was said: to loggers, and by the texts that a test adds. */
export class Words {
  readonly all: string[] = [];
  readonly logger: Required<Logger>;
  readonly #hidden: readonly string[];

  /** @param hidden what must not be seen, in any way to write it */
  constructor(hidden: readonly string[]) {
    this.#hidden = hidden;
    const add = (text: string) => void this.all.push(text);
    this.logger = { error: add, warn: add, info: add, debug: add };
  }

  /** Adds each way in which a program shows a value. */
  add(...values: unknown[]): void {
    for (const value of values) {
      this.all.push(inspect(value, { depth: 10, showHidden: true }), String(value));
      if (value instanceof Error) {
        this.all.push(value.message, String(value.stack), inspect(value.cause));
      }
      try {
        this.all.push(JSON.stringify(value) ?? "");
      } catch {
        // a channel cannot be written
      }
    }
  }

  check(): void {
    for (const text of this.all) {
      for (const part of this.#hidden) assert.ok(!text.includes(part), `${part} is in ${text}`);
    }
  }
}
