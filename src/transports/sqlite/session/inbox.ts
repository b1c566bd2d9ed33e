import { isBusy } from "../failure.ts";
import { stateChanged } from "../file/mailbox.ts";
import type { Row } from "../file/messages.ts";
import type { Store } from "../file/store.ts";
import { backgroundTimeout, type TransactionQueue } from "../file/transaction_queue.ts";
import type { SessionLink } from "./session_link.ts";

/**
 * The messages and the mail of other sessions for this session.
 *
 * Invariant: a given message is passed to its link once. The file shows it as given until the link has recorded an
 * attempt or settled it; until then `#collected` has its id.
 */
export class Inbox {
  readonly #store: Store;
  readonly #transactions: TransactionQueue;
  readonly #links: ReadonlyMap<number, SessionLink>;
  /** The given messages that were passed to links, and that the file still shows as given. */
  readonly #collected = new Set<number>();
  /** The number of the last announcement read, by channel, until the file records it. */
  readonly #heard = new Map<number, number>();
  /** Links that have received messages since the current transaction has begun. */
  readonly #receivers = new Set<SessionLink>();
  /** The number of links that are among their channel's waiters. */
  #waiting = 0;
  #lastMail = 0;

  constructor(
    store: Store,
    transactions: TransactionQueue,
    links: ReadonlyMap<number, SessionLink>,
  ) {
    this.#store = store;
    this.#transactions = transactions;
    this.#links = links;
  }

  /** A link has joined its channel's waiters (1), or left them (-1). */
  addWaiting(by: 1 | -1): void {
    this.#waiting += by;
  }

  /** A transaction has begun: passes on the messages that were given before it. */
  transactionBegun(): void {
    if (this.#waiting === 0) return;
    for (const link of this.#collect()) this.#receivers.add(link);
  }

  /** A transaction is over: its links hand over what they have received. */
  transactionDone(): void {
    const receivers = [...this.#receivers];
    this.#receivers.clear();
    for (const link of receivers) link.received();
  }

  /** Passes to the links what other sessions have written. Returns false if the file is locked. */
  check(): boolean {
    try {
      for (const link of this.#collect()) link.received();
      const mail = this.#store.mailbox.read(this.#lastMail);
      for (const { id, channel, kind } of mail) {
        const link = this.#links.get(channel);
        if (link === undefined) this.#heard.set(channel, 0);
        else if (kind === stateChanged) link.stateChanged();
        else this.#readAnnouncements(link);
        this.#lastMail = id;
      }
      if (mail.length > 0) this.#record();
      return true;
    } catch (error) {
      this.#transactions.report(error);
      return !isBusy(error);
    }
  }

  /** Passes the new announcements to a link. */
  readAnnouncements(link: SessionLink): void {
    try {
      this.#readAnnouncements(link);
      this.recordHeard();
    } catch (error) {
      this.#transactions.report(error); // the next mail or the next round tries again
    }
  }

  /** Records in the file which announcements were read, if it has not recorded them all. */
  recordHeard(): void {
    if (this.#heard.size > 0) this.#record();
  }

  /**
   * Returns the messages that were given to this session, and that no link has received.
   *
   * @param returned messages that links have received, and have returned in this transaction
   */
  uncollected(returned: ReadonlySet<number> = new Set()): Row[] {
    return this.#store.messages.given()
      .filter(({ id }) => !this.#collected.has(id) || returned.has(id));
  }

  /** A link has received a given message. */
  addCollected({ id }: Row): void {
    this.#collected.add(id);
  }

  /** The file no longer shows these messages as given. */
  removeCollected(messages: Iterable<{ readonly id: number }>): void {
    for (const { id } of messages) this.#collected.delete(id);
  }

  /** Passes given messages to their links, which it returns. */
  #collect(): Set<SessionLink> {
    const links = new Set<SessionLink>();
    for (const row of this.uncollected()) {
      const link = this.#links.get(row.channel);
      if (link === undefined) continue; // the next round releases the message
      this.addCollected(row);
      link.receive(row);
      links.add(link);
    }
    return links;
  }

  #readAnnouncements(link: SessionLink): void {
    const last = link.readAnnouncements();
    if (last !== undefined) this.#heard.set(link.channel, last);
  }

  /** Records in the file which mail and which announcements were read. */
  #record(): void {
    const heard = [...this.#heard];
    const { mailbox, announcements, channels } = this.#store;
    this.#transactions.do(backgroundTimeout, () => {
      mailbox.discard(this.#lastMail);
      for (const [channel, last] of heard) {
        if (this.#links.has(channel)) announcements.setHeard(channel, last);
        else if (channels.state(channel) === undefined) channels.detach(channel);
      }
    }, () => {
      for (const [channel, last] of heard) {
        if (this.#heard.get(channel) === last) this.#heard.delete(channel);
      }
    }).catch((error) => this.#transactions.report(error)); // the next round tries again
  }
}
