import { isOwnId } from "../../message_id.ts";

/** A loan that somebody here holds. */
export interface Held {
  /** Whether the broker has lent the message anew, as it does when a connection is lost. */
  readonly isStale: boolean;
}

/**
 * Which messages of one channel this process has taken, or holds, by their ids: over all connections, so
 * that what the loss of one duplicates is noticed. An unconfirmed message is sent again after a loss, and
 * one whose acceptance did not reach the broker is lent again.
 *
 * Ids that others made up may occur twice by right, and are not looked at.
 */
export class Receipts<L extends Held> {
  readonly #held = new Map<string, L>();
  /** Two generations, so that there is a limit, and forgetting costs nothing. */
  #taken = new Set<string>();
  #takenBefore = new Set<string>();

  hold(id: string | undefined, loan: L): void {
    if (id !== undefined && isOwnId(id)) this.#held.set(id, loan);
  }

  /** The loan is settled. */
  unhold(id: string | undefined, loan: L): void {
    if (this.#held.size > 0 && this.#held.get(id!) === loan) this.#held.delete(id!);
  }

  take(id: string | undefined): void {
    if (id === undefined) return;
    if (this.#taken.size === generation) {
      this.#takenBefore = this.#taken;
      this.#taken = new Set();
    }
    this.#taken.add(id);
  }

  /** Who holds the message of this id; `"taken"` where it was accepted; undefined where it is new. */
  find(id: string | undefined): L | "taken" | undefined {
    if (id === undefined || !isOwnId(id)) return undefined;
    if (this.#taken.has(id) || this.#takenBefore.has(id)) return "taken";
    return this.#held.get(id);
  }
}

/** At least so many are remembered, and twice as many at most: as many as a publisher has on its way. */
const generation = 2048;
