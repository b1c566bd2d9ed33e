import type { Messages } from "../file/messages.ts";
import type { SqliteLoan } from "./loan.ts";

/** The loans of a link of which the file does not know yet that they are tried, accepted or released. */
export class Settlements {
  /** Loans of consumers whose attempt the file does not count yet. */
  readonly lent: Set<SqliteLoan> = new Set();
  #accepted: SqliteLoan[] = [];
  #released: SqliteLoan[] = [];
  /** The numbers of loans that the transaction writes; others may be settled before it is over. */
  #writing = { accepted: 0, released: 0 };

  /** Whether settled loans are not in the file. */
  get isPending(): boolean {
    return this.#accepted.length + this.#released.length > 0;
  }

  get released(): readonly SqliteLoan[] {
    return this.#released;
  }

  get hasReleased(): boolean {
    return this.#released.length > 0;
  }

  add(loan: SqliteLoan): void {
    this.lent.delete(loan);
    (loan.outcome === "accepted" ? this.#accepted : this.#released).push(loan);
  }

  /** Writes the settled loans. Returns how many messages were accepted. The caller calls `written` after the commit. */
  write(messages: Messages, channel: number): number {
    const ids = this.#accepted.map(({ id }) => id);
    const accepted = ids.length > 0 ? messages.accept(ids) : 0;
    for (const { id, tried } of this.#released) messages.release(channel, id, tried, true);
    this.#writing = { accepted: this.#accepted.length, released: this.#released.length };
    return accepted;
  }

  /** Removes and returns the loans that `write` has written. */
  written(): SqliteLoan[] {
    const { accepted, released } = this.#writing;
    this.#writing = { accepted: 0, released: 0 };
    return [...this.#accepted.splice(0, accepted), ...this.#released.splice(0, released)];
  }

  /** Removes and returns all settled loans. */
  clear(): SqliteLoan[] {
    return [...this.#accepted.splice(0), ...this.#released.splice(0)];
  }
}
