import type { Row } from "../file/messages.ts";
import { maxBytes, maxMessages } from "../file/transaction_queue.ts";
import type { PendingPoll } from "./claims.ts";
import type { LinkState } from "./link_state.ts";
import type { SqliteLoan } from "./loan.ts";

/**
 * The part of a transaction that takes messages for a link's consumers: `begin` precedes its puts, `take` follows
 * them.
 */
export class TakeStep {
  /** Messages that this step has taken. */
  readonly rows: Row[] = [];
  /** Messages that were given to this session in this transaction. */
  given: Row[] = [];
  /** Loans whose attempt the file counts now. */
  readonly recorded: SqliteLoan[] = [];
  /** Messages of the read-ahead that were returned: all or none. */
  returned: SqliteLoan[] = [];
  /** Polls for which there was no message before the puts. */
  emptyPolls: PendingPoll[] = [];
  /** Whether this session is among the channel's waiters. */
  isWaiting: boolean;
  /** Whether the channel may have more messages than one transaction takes. */
  hasMore = false;
  readonly #link: LinkState;
  /** The number of messages that stay in the read-ahead. */
  #kept = 0;

  constructor(link: LinkState, isWaiting: boolean) {
    this.#link = link;
    this.isWaiting = isWaiting;
  }

  /** The number of messages that the link holds for its consumers. */
  get held(): number {
    return this.#kept + this.given.length + this.rows.length;
  }

  /** The number of polls that still wait for an answer. */
  get polling(): number {
    return this.#link.claims.polling - this.emptyPolls.length;
  }

  /** The largest number of messages that one transaction takes for consumers. */
  get limit(): number {
    return Math.min(maxMessages, this.#link.readAheadSize.fitting(maxBytes));
  }

  /** Records attempts, returns messages of the read-ahead, and serves the polls that precede a put. */
  begin(): void {
    const { channel, session, claims, settlements } = this.#link;
    if (this.isWaiting && claims.size === 0) this.stopWaiting();
    this.#recordLent();
    this.#returnReadAhead();
    if (settlements.hasReleased || this.returned.length > 0) session.store.messages.serve(channel);
    this.#serveEarlyPolls();
  }

  /**
   * Takes messages for the consumers. If there are too few, this session joins the channel's waiters.
   *
   * @param isMeeting whether this session also waits for its polls, as producers wait for room
   * @returns how many messages it has taken
   */
  take(isMeeting: boolean): number {
    const { channel, session, claims, readAheadSize } = this.#link;
    const { messages, waiters } = session.store;
    const { waiting, isCounting } = claims;
    const { polling } = this;
    if (isCounting && this.#kept > 0) this.#recordReadAhead(waiting + polling);
    this.#findGiven();
    const lacking = waiting + polling - this.held;
    const need = Math.min(lacking, this.limit);
    let taken = 0;
    if (need > 0) {
      const ahead = isCounting ? 0 : readAheadSize.next();
      const rows = messages.take(channel, need + ahead, isCounting);
      taken = rows.length;
      this.rows.push(...rows);
      this.hasMore = taken >= need && lacking > need;
    }
    const mustWait = taken < need && (isMeeting || taken < lacking - polling);
    if (mustWait === this.isWaiting) return taken;
    if (mustWait) {
      waiters.join(channel);
      this.isWaiting = true;
    } else this.stopWaiting();
    return taken;
  }

  stopWaiting(): void {
    this.#link.session.store.waiters.leave(this.#link.channel);
    this.isWaiting = false;
  }

  /** Records the attempts of the loans that consumers have. */
  #recordLent(): void {
    const { session, settlements } = this.#link;
    for (const loan of settlements.lent) {
      session.store.messages.markTried(loan.id, loan.attempts);
      this.recorded.push(loan);
    }
  }

  /** Returns messages that no consumer has got in time, or that must not be got before a released message. */
  #returnReadAhead(): void {
    const { channel, session, claims, settlements, readAhead } = this.#link;
    if (settlements.hasReleased) this.returned = [...readAhead];
    else if (claims.size === 0) this.returned = readAhead.overdue;
    for (const { id, tried } of this.returned) {
      session.store.messages.release(channel, id, tried, false);
    }
    if (this.returned.length === 0) this.#kept = readAhead.size;
  }

  /** Serves polls that were made before the link was asked to put a message. */
  #serveEarlyPolls(): void {
    const { channel, session, claims } = this.#link;
    const { early, waiting, isCounting } = claims;
    const need = waiting + early.length - this.#kept;
    if (early.length === 0 || need <= 0) return;
    this.rows.push(...session.store.messages.take(channel, need, isCounting));
    const lacking = Math.min(need - this.rows.length, early.length);
    this.emptyPolls = early.slice(early.length - lacking);
  }

  /** Records the attempts for which the first messages of the read-ahead will be lent. */
  #recordReadAhead(count: number): void {
    const { session, readAhead } = this.#link;
    for (const loan of [...readAhead].slice(0, count)) {
      if (loan.isRecorded) continue;
      session.store.messages.markTried(loan.id, loan.lend(true).attempts);
      this.recorded.push(loan);
    }
  }

  /** Finds the message that was given to this session in this transaction; it precedes all that wait. */
  #findGiven(): void {
    const { channel, session, settlements } = this.#link;
    if (!this.isWaiting || !session.store.isWoken) return;
    const returned = new Set([...settlements.released, ...this.returned].map(({ id }) => id));
    this.given = session.inbox.uncollected(returned).filter((row) => row.channel === channel);
    if (this.given.length > 0) this.isWaiting = false;
  }
}
