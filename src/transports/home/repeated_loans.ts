import { isOwnId } from "../../shared/message_id.ts";
import type { HomeLoan } from "./loan.ts";

/**
 * Finds the messages of one link that the home lends again because a connection was lost: those that this process
 * holds, and those that it has accepted as the connection was lost, so that the home may not know. A message whose id
 * another program has made is never one.
 */
export class RepeatedLoans {
  /** The loans that claimants hold, by the ids of their messages. */
  readonly #held = new Map<string, HomeLoan>();
  /** The ids of the messages that were accepted lately. Two generations limit the memory. */
  #accepted: string[] = [];
  #acceptedBefore: string[] = [];
  /** The ids of the messages that were accepted before the last loss. */
  #doubtful = new Set<string>();

  hold(loan: HomeLoan): void {
    const { id } = loan.message;
    if (id !== undefined && isOwnId(id)) this.#held.set(id, loan);
  }

  unhold(loan: HomeLoan): void {
    const { id } = loan.message;
    if (id !== undefined && this.#held.get(id) === loan) this.#held.delete(id);
  }

  /** Remembers a message that was accepted. */
  accepted({ message: { id }, isStale }: HomeLoan): void {
    if (id === undefined) return;
    if (isStale) this.#doubtful.add(id); // until the next loss, before which the home may not lend it
    if (this.#accepted.length === generationSize) {
      this.#acceptedBefore = this.#accepted;
      this.#accepted = [];
    }
    this.#accepted.push(id);
  }

  /** The connection is lost. */
  lost(): void {
    this.#doubtful = new Set([...this.#acceptedBefore, ...this.#accepted]);
  }

  /**
   * Returns the stale loan of a message that is lent again, or `"accepted"` if it was accepted; undefined if it is
   * another message.
   */
  find({ message: { id }, redelivered }: HomeLoan): HomeLoan | "accepted" | undefined {
    if (!redelivered || id === undefined) return undefined;
    const held = this.#held.get(id);
    if (held?.isStale) return held;
    return this.#doubtful.delete(id) && isOwnId(id) ? "accepted" : undefined;
  }
}

/** The number of messages in a generation. */
const generationSize = 2048;
