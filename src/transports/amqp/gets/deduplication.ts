import { isOwnId } from "../../../shared/message_id.ts";

/** What was settled on one AMQP channel within a while. */
export interface AckPeriod {
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
  readonly ackPeriod: AckPeriod;
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
export class Deduplication<L extends Held> {
  readonly #held = new Map<string, L>();
  /** Two generations, so that there is a limit, and forgetting costs nothing. */
  #taken = new Generation();
  #takenBefore = new Generation();

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
  take({ message: { id }, copy, ackPeriod }: Arrival): void {
    if (id === undefined) return;
    if (this.#taken.size === generation) {
      this.#takenBefore = this.#taken;
      this.#taken = new Generation();
    }
    this.#taken.add(id, copy, ackPeriod);
  }

  /** Who holds the message that has come; `"taken"` where it was accepted; undefined where it is another. */
  find({ message: { id }, copy, wasLent }: Arrival): L | "taken" | undefined {
    if (copy === 0 && !wasLent || id === undefined || !isOwnId(id)) return undefined;
    const held = this.#held.get(id);
    if (held !== undefined) {
      const isCopy = copy !== held.copy || held.isStale && wasLent;
      return isCopy ? held : undefined;
    }
    const taken = this.#taken.find(id, copy);
    const takenBefore = this.#takenBefore.find(id, copy);
    if (taken === undefined && takenBefore === undefined) return undefined;
    const known = taken ?? takenBefore;
    return !known || known.isLost && wasLent ? "taken" : undefined;
  }
}

/**
 * Messages that were taken. Taking one only writes it down; looking for one makes the index. Most programs look for
 * few, and the index costs more than anything else that is done here for a message.
 */
class Generation {
  readonly #ids: string[] = [];
  readonly #copies: number[] = [];
  readonly #passages: AckPeriod[] = [];
  /** Where each of the first messages with an index was written down last, by its id. */
  readonly #last = new Map<string, number>();
  /** For each message with an index, where the same id was written down before; -1: nowhere. */
  readonly #before: number[] = [];

  get size(): number {
    return this.#ids.length;
  }

  add(id: string, copy: number, ackPeriod: AckPeriod): void {
    this.#ids.push(id);
    this.#copies.push(copy);
    this.#passages.push(ackPeriod);
  }

  /** In which this copy was settled; null where only others of its message were; undefined where none was. */
  find(id: string, copy: number): AckPeriod | null | undefined {
    for (let next; (next = this.#before.length) < this.size;) {
      const each = this.#ids[next]!;
      this.#before.push(this.#last.get(each) ?? -1);
      this.#last.set(each, next);
    }
    let at = this.#last.get(id);
    if (at === undefined) return undefined;
    while (at >= 0 && this.#copies[at] !== copy) at = this.#before[at]!;
    return at < 0 ? null : this.#passages[at]!;
  }
}

/** At least so many are remembered, and twice as many at most: as many as a publisher has on its way. */
const generation = 2048;
