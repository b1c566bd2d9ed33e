import assert from "node:assert/strict";
import {
  ChannelClosedError,
  ChannelConnectionError,
  ChannelError,
  ChannelTimeoutError,
} from "../../mod.ts";
import type { Channel } from "../../mod.ts";
import { type Cell, eventually } from "./cell.ts";

/** The outcome of a put. Its value may have arrived if the outcome is unknown, and must not have if it is unsent. */
type Outcome = "resolved" | "unknown" | "unsent";

/** Puts during a fault, each with a number of its own, and their outcomes. */
export class PutLog {
  readonly #cell: Cell;
  /** Whether handles are closed while puts are pending. */
  readonly #isClosing: boolean;
  readonly #outcomes = new Map<number, Outcome>();
  readonly #rejections = new Map<string, number>();
  #next = 0;
  #pending = 0;
  #longest = 0;

  constructor(cell: Cell, isClosing = false) {
    this.#cell = cell;
    this.#isClosing = isClosing;
  }

  /** The number of the next put. */
  get next(): number {
    return this.#next;
  }

  get pending(): number {
    return this.#pending;
  }

  /** Reports whether a put with this number or a later one has resolved. */
  hasResolved(from: number): boolean {
    for (let id = from; id < this.#next; id++) {
      if (this.#outcomes.get(id) === "resolved") return true;
    }
    return false;
  }

  /** Puts the next number. Resolves with whether the put resolved. */
  async put(channel: Channel<number>): Promise<boolean> {
    const id = this.#next++;
    const start = performance.now();
    this.#pending++;
    try {
      await channel.put(id);
      this.#outcomes.set(id, "resolved");
      return true;
    } catch (error) {
      this.#outcomes.set(id, this.#rejected(id, error));
      return false;
    } finally {
      this.#pending--;
      this.#longest = Math.max(this.#longest, performance.now() - start);
    }
  }

  #rejected(id: number, error: unknown): Outcome {
    assert.ok(error instanceof ChannelError, `a put rejected with ${error}`);
    const { isOutage = false, isDeletion = false } = this.#cell.meaning;
    const isAllowed = error instanceof ChannelConnectionError
      ? isOutage || this.#isClosing
      : error instanceof ChannelClosedError && (isDeletion || this.#isClosing);
    assert.ok(isAllowed, `a put rejected instead of continuing: ${error}`);
    assert.equal(error.value, id);
    const isUnknown = error.messageId !== undefined;
    if (error instanceof ChannelConnectionError) {
      assert.equal(/unknown outcome/.test(error.message), isUnknown, error.message);
    }
    const kind = `${error.name}${isUnknown ? ", unknown outcome" : ""}`;
    this.#rejections.set(kind, (this.#rejections.get(kind) ?? 0) + 1);
    return isUnknown ? "unknown" : "unsent";
  }

  /** Takes all values that arrived, asserts that they match the outcomes, and returns a summary. */
  async settle(): Promise<string> {
    const limit = this.#cell.retryTimeout + 8000;
    assert.ok(this.#longest < limit, `a put took ${Math.round(this.#longest)} ms`);
    const all = [...this.#outcomes];
    const resolved = all.filter(([, outcome]) => outcome === "resolved").length;
    const parts = [`${resolved} puts resolved`];
    for (const [kind, count] of this.#rejections) parts.push(`${count} rejected (${kind})`);
    if (!this.#cell.meaning.isDeletion) parts.push(await this.#compare(all));
    return parts.join(", ");
  }

  async #compare(all: [number, Outcome][]): Promise<string> {
    const reader = this.#cell.channel();
    const there = await reader.depth();
    const arrived: number[] = [];
    await eventually(async () => {
      while (await this.#takeNext(reader, arrived));
      return await reader.depth() === 0;
    });
    await reader.close();
    const ids = new Set(arrived);
    const copies = arrived.length - ids.size;
    if (!this.#cell.meaning.mayRepeat) assert.equal(copies, 0, "one process got a value twice");
    const lost = all.filter(([id, outcome]) => outcome === "resolved" && !ids.has(id));
    const kept = this.#cell.meaning.isLoss
      ? lost.filter(([id]) => id > Math.min(...arrived)) // what was put before the loss precedes the rest
      : lost;
    assert.deepEqual(kept.map(([id]) => id), [], "puts resolved for values that are lost");
    const late = all.filter(([id, outcome]) => outcome === "unsent" && ids.has(id));
    assert.deepEqual(late.map(([id]) => id), [], "values of unsent puts arrived");
    const first = [...ids]; // a copy may come later
    assert.deepEqual(first, [...first].sort((a, b) => a - b), "values changed their order");
    return `${lost.length} lost, ${there - ids.size} duplicates at the server`;
  }

  /** Takes a value, if there is one. */
  async #takeNext(reader: Channel<number>, arrived: number[]): Promise<boolean> {
    try {
      const delivery = await reader.receive({ timeout: 0 });
      delivery.accept();
      arrived.push(delivery.value);
      return true;
    } catch (error) {
      // A process that does not get a processor for two heartbeats loses its connection again.
      const isAway = error instanceof ChannelConnectionError;
      assert.ok(isAway || error instanceof ChannelTimeoutError, String(error));
      return false;
    }
  }
}
