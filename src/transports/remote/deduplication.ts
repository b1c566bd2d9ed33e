import { isOwnId } from "../../shared/message_id.ts";

/** A time in which messages were accepted. */
export interface AckPeriod {
  /** Whether the broker or home may not know of the acceptances, since the connection was lost, and lends the messages again. */
  readonly isLost: boolean;
}

/** A message that was delivered. */
export interface DeliveredMessage {
  readonly message: { readonly id?: string };
  /** How often its sender had sent it before, without learning whether it had arrived; each time makes a copy. */
  readonly copy: number;
  /** Whether this copy was lent before. */
  readonly wasLent: boolean;
  /** The period in which an ack for it is sent. */
  readonly ackPeriod: AckPeriod;
}

/** A delivered message that a claimant of this process holds. */
export interface HeldMessage extends DeliveredMessage {
  /** Whether its connection or AMQP channel has ended, so that the message is lent again. */
  readonly isStale: boolean;
}

/**
 * Remembers, by their ids, the messages of one channel that this process has accepted or holds, over all connections.
 * So it finds the copies that the loss of a connection makes. They arise in two ways only: the sender sends an
 * unconfirmed message again, and counts the copies; or the broker or home lends a message again, once, because the
 * acceptance did not reach it.
 *
 * Any other message with the id of an accepted one is another message: somebody has moved it back from the dead-letter
 * queue, or has put it again. So is every message whose id another program has made.
 */
export class Deduplication<M extends HeldMessage> {
  readonly #held = new Map<string, M>();
  /** Two generations limit the memory, and forgetting the older one costs nothing. */
  #accepted = new Generation();
  #acceptedBefore = new Generation();

  hold(loan: M): void {
    const { id } = loan.message;
    if (id !== undefined && isOwnId(id)) this.#held.set(id, loan);
  }

  unhold(loan: M): void {
    if (this.#held.size > 0 && this.#held.get(loan.message.id!) === loan) {
      this.#held.delete(loan.message.id!);
    }
  }

  /** Remembers a message that was accepted, or that was a copy of an accepted one. */
  remember({ message: { id }, copy, ackPeriod }: DeliveredMessage): void {
    if (id === undefined) return;
    if (this.#accepted.size === generationSize) {
      this.#acceptedBefore = this.#accepted;
      this.#accepted = new Generation();
    }
    this.#accepted.add(id, copy, ackPeriod);
  }

  /** Returns the held message, or `"accepted"`, if the delivered message is a copy; otherwise undefined. */
  find({ message: { id }, copy, wasLent }: DeliveredMessage): M | "accepted" | undefined {
    if (copy === 0 && !wasLent || id === undefined || !isOwnId(id)) return undefined;
    const held = this.#held.get(id);
    if (held !== undefined) {
      const isCopy = copy !== held.copy || held.isStale && wasLent;
      return isCopy ? held : undefined;
    }
    const found = this.#accepted.find(id, copy);
    const foundBefore = this.#acceptedBefore.find(id, copy);
    if (found === undefined && foundBefore === undefined) return undefined;
    const period = found ?? foundBefore;
    return !period || period.isLost && wasLent ? "accepted" : undefined;
  }
}

/**
 * Accepted messages. Adding one only appends it, and the first look-up makes the index: few programs ever look one up,
 * and the index would cost more than everything else that is done here for a message.
 */
class Generation {
  readonly #ids: string[] = [];
  readonly #copies: number[] = [];
  readonly #periods: AckPeriod[] = [];
  /** The position of the last indexed message with each id. */
  readonly #last = new Map<string, number>();
  /** For each indexed message, the position of the one before it with the same id; -1 if there is none. */
  readonly #previous: number[] = [];

  get size(): number {
    return this.#ids.length;
  }

  add(id: string, copy: number, period: AckPeriod): void {
    this.#ids.push(id);
    this.#copies.push(copy);
    this.#periods.push(period);
  }

  /**
   * Returns the period in which this copy was accepted; null if only other copies of the message were accepted;
   * undefined if none was.
   */
  find(id: string, copy: number): AckPeriod | null | undefined {
    for (let next; (next = this.#previous.length) < this.size;) {
      const each = this.#ids[next]!;
      this.#previous.push(this.#last.get(each) ?? -1);
      this.#last.set(each, next);
    }
    let at = this.#last.get(id);
    if (at === undefined) return undefined;
    while (at >= 0 && this.#copies[at] !== copy) at = this.#previous[at]!;
    return at < 0 ? null : this.#periods[at]!;
  }
}

/** The number of messages in a generation: as many as a publisher may have unconfirmed. */
const generationSize = 2048;
