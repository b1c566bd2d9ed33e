import { isOwnId } from "../../message_id.ts";

/** What was settled on one AMQP channel within a while. */
export interface Passage {
  /** Whether the AMQP channel was lost soon after: the broker may not know of it, and lend the messages again. */
  isLost: boolean;
}

/** A message as it has come. */
export interface Arrival {
  readonly message: { readonly id?: string };
  /** How often its sender had sent it before, in doubt whether it had arrived: each time makes a copy. */
  readonly copy: number;
  /** Whether the broker has lent this copy before. */
  readonly wasLent: boolean;
  /** In which it is settled. */
  readonly passage: Passage;
}

/** A loan that somebody here holds. */
export interface Held extends Arrival {
  /** Whether the broker has lent the message anew, as it does when a connection is lost. */
  readonly isStale: boolean;
}

/**
 * Which messages of one channel this process has taken, or holds, by their ids: over all connections, so
 * that what the loss of one duplicates is noticed. That happens in two ways only: an unconfirmed message is sent
 * again, and says how often it was; and one whose acceptance did not reach the broker is lent again, once.
 *
 * All else that comes under an id that was taken is another message: somebody has moved it back from the dead
 * letters, or has put it again. So are all those whose ids others made up.
 */
export class Receipts<L extends Held> {
  readonly #held = new Map<string, L>();
  /** Two generations, so that there is a limit, and forgetting costs nothing. */
  #taken = new Map<string, Passage | Copies>();
  #takenBefore = new Map<string, Passage | Copies>();

  hold(loan: L): void {
    const { id } = loan.message;
    if (id !== undefined && isOwnId(id)) this.#held.set(id, loan);
  }

  /** The loan is settled. */
  unhold(loan: L): void {
    if (this.#held.size > 0 && this.#held.get(loan.message.id!) === loan) {
      this.#held.delete(loan.message.id!);
    }
  }

  /** The message was accepted, or was a copy of one that was. */
  take({ message: { id }, copy, passage }: Arrival): void {
    if (id === undefined) return;
    const before = this.#find(id);
    if (this.#taken.size === generation) {
      this.#takenBefore = this.#taken;
      this.#taken = new Map();
    }
    if (before === undefined && copy === 0) {
      this.#taken.set(id, passage);
      return;
    }
    const copies: Copies = before instanceof Map ? before : new Map();
    if (before !== undefined && before !== copies) copies.set(0, before as Passage);
    copies.set(copy, passage);
    this.#taken.set(id, copies);
  }

  /** Who holds the message that has come; `"taken"` where it was accepted; undefined where it is another. */
  find({ message: { id }, copy, wasLent }: Arrival): L | "taken" | undefined {
    if (copy === 0 && !wasLent || id === undefined || !isOwnId(id)) return undefined;
    const held = this.#held.get(id);
    if (held !== undefined) {
      const isCopy = copy !== held.copy || held.isStale && wasLent;
      return isCopy ? held : undefined;
    }
    const taken = this.#find(id);
    if (taken === undefined) return undefined;
    const known = taken instanceof Map ? taken.get(copy) : copy === 0 ? taken : undefined;
    return known === undefined || known.isLost && wasLent ? "taken" : undefined;
  }

  #find(id: string): Passage | Copies | undefined {
    return this.#taken.get(id) ?? this.#takenBefore.get(id);
  }
}

/** In which each copy was settled, by its number; a single one without a number is only its passage. */
type Copies = Map<number, Passage>;

/** At least so many are remembered, and twice as many at most: as many as a publisher has on its way. */
const generation = 2048;
