import { type Mailbox, stateChanged } from "./mailbox.ts";
import type { Statements } from "./statements.ts";

/** The sessions that wait for a message of a channel, each for one, in the order in which they are served. */
export class Waiters {
  readonly #sql: Statements;
  readonly #mailbox: Mailbox;

  constructor(sql: Statements, mailbox: Mailbox) {
    this.#sql = sql;
    this.#mailbox = mailbox;
  }

  join(channel: number): void {
    this.#sql.run(
      "INSERT INTO waiters (channel, session) VALUES (?, ?)",
      channel,
      this.#sql.session,
    );
  }

  leave(channel: number, session: number = this.#sql.session): void {
    this.#sql.run("DELETE FROM waiters WHERE channel = ? AND session = ?", channel, session);
  }

  /** Removes the first waiter, and returns its session. */
  shift(channel: number): number | undefined {
    return this.#sql.get<{ session: number }>(
      "DELETE FROM waiters WHERE id = " +
        "(SELECT id FROM waiters WHERE channel = ? ORDER BY id LIMIT 1) RETURNING session",
      channel,
    )?.session;
  }

  /** Returns the number of waiters, this session included. */
  count(channel: number): number {
    return this.#sql.get<{ n: number }>(
      "SELECT count(*) AS n FROM waiters WHERE channel = ?",
      channel,
    )!.n;
  }

  /** Asks all waiters to look at the channel again; they stay waiters. */
  notify(channel: number): void {
    const sessions = this.#sql.all<{ session: number }>(
      "SELECT DISTINCT session FROM waiters WHERE channel = ?",
      channel,
    );
    for (const { session } of sessions) this.#mailbox.sendTo(session, channel, stateChanged);
  }
}
