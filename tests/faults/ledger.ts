import assert from "node:assert/strict";
import {
  ChannelClosedError,
  ChannelConnectionError,
  ChannelError,
  ChannelTimeoutError,
} from "../../mod.ts";
import type { Channel } from "../../mod.ts";
import type { Cell } from "./cell.ts";

/** What became of a put: it may have arrived where its outcome is unknown, and must not where it is unsent. */
type Outcome = "resolved" | "unknown" | "unsent";

/** Puts that a fault strikes, each under a number of its own, and what must come of them. */
export class Ledger {
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

  /** Whether a put from this number on has resolved. */
  hasResolved(from: number): boolean {
    for (let id = from; id < this.#next; id++) {
      if (this.#outcomes.get(id) === "resolved") return true;
    }
    return false;
  }

  /** Puts the next number; resolves with whether that resolved. */
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
    assert.ok(isAllowed, `a put rejected, and should go on: ${error}`);
    assert.equal(error.value, id);
    const isUnknown = error.messageId !== undefined;
    if (error instanceof ChannelConnectionError) {
      assert.equal(/unknown outcome/.test(error.message), isUnknown, error.message);
    }
    const kind = `${error.name}${isUnknown ? ", unknown outcome" : ""}`;
    this.#rejections.set(kind, (this.#rejections.get(kind) ?? 0) + 1);
    return isUnknown ? "unknown" : "unsent";
  }

  /** Takes all that arrived, and compares. Says what came of the puts. */
  async settle(): Promise<string> {
    const limit = this.#cell.retryTimeout + 3000;
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
    while (await this.#takeNext(reader, arrived));
    await reader.close();
    const ids = new Set(arrived);
    assert.equal(ids.size, arrived.length, "values came twice to one process");
    const lost = all.filter(([id, outcome]) => outcome === "resolved" && !ids.has(id));
    assert.deepEqual(lost.map(([id]) => id), [], "puts resolved for values that are lost");
    const late = all.filter(([id, outcome]) => outcome === "unsent" && ids.has(id));
    assert.deepEqual(late.map(([id]) => id), [], "puts were withdrawn for values that arrived");
    assert.deepEqual(arrived, [...arrived].sort((a, b) => a - b), "values changed their order");
    return `0 lost, ${there - arrived.length} duplicates at the broker`;
  }

  /** Takes a value, where there is one. */
  async #takeNext(reader: Channel<number>, arrived: number[]): Promise<boolean> {
    try {
      const delivery = await reader.receive({ timeout: 0 });
      delivery.accept();
      arrived.push(delivery.value);
      return true;
    } catch (error) {
      assert.ok(error instanceof ChannelTimeoutError, String(error));
      return false;
    }
  }
}
