import type { SqliteLoan } from "./loan.ts";
import type { Store } from "../file/store.ts";

/** What became of a link's messages, as long as the file does not know it. */
export class Ledger {
  /** Being tried. */
  readonly lent: Set<SqliteLoan> = new Set();
  #accepted: SqliteLoan[] = [];
  #released: SqliteLoan[] = [];
  /** How many of each are in the transaction: others may follow before it is over. */
  #writing = { accepted: 0, released: 0 };

  get isSettled(): boolean {
    return this.#accepted.length + this.#released.length > 0;
  }

  /** Waits to be given back. */
  get released(): readonly SqliteLoan[] {
    return this.#released;
  }

  get hasReleased(): boolean {
    return this.#released.length > 0;
  }

  settle(loan: SqliteLoan): void {
    this.lent.delete(loan);
    (loan.outcome === "accepted" ? this.#accepted : this.#released).push(loan);
  }

  /** Writes what was settled; `written` must follow. Returns how many were accepted. */
  write(store: Store, channel: number): number {
    const ids = this.#accepted.map(({ id }) => id);
    const accepted = ids.length > 0 ? store.accept(ids) : 0;
    for (const { id, tried } of this.#released) store.release(channel, id, tried, true);
    this.#writing = { accepted: this.#accepted.length, released: this.#released.length };
    return accepted;
  }

  /** The file knows of what was settled before `write`, which this returns. */
  written(): SqliteLoan[] {
    const { accepted, released } = this.#writing;
    this.#writing = { accepted: 0, released: 0 };
    return [...this.#accepted.splice(0, accepted), ...this.#released.splice(0, released)];
  }

  /** Forgets what was settled, which this returns. */
  clear(): SqliteLoan[] {
    return [...this.#accepted.splice(0), ...this.#released.splice(0)];
  }
}
