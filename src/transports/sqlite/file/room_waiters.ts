import { lookAgain, type Mailbox } from "./mailbox.ts";
import type { Statements } from "./statements.ts";

/** Who waits for room in channels with a capacity, and how much room there is. */
export class Putters {
  /** Whose they are. */
  session = 0;
  readonly #sql: Statements;
  readonly #mailbox: Mailbox;

  constructor(sql: Statements, mailbox: Mailbox) {
    this.#sql = sql;
    this.#mailbox = mailbox;
  }

  /** So many messages have come, or if negative, left; no matter where a channel has no capacity. */
  resize(channel: number, by: number): void {
    if (by === 0) return;
    const { changes } = this.#sql.run(
      "UPDATE channels SET size = size + ? WHERE id = ? AND capacity NOT NULL",
      by,
      channel,
    );
    if (by < 0 && changes !== 0) this.wake(channel, -by);
  }

  /** How many sessions wait for a message, each for one. */
  takers(channel: number): number {
    return this.#sql.get<{ n: number }>(
      "SELECT count(*) AS n FROM waiters WHERE channel = ?",
      channel,
    )!.n;
  }

  /** Whether other sessions wait. */
  areWaiting(channel: number): boolean {
    return this.#sql.get(
      "SELECT 1 FROM putters WHERE channel = ? AND session <> ? LIMIT 1",
      channel,
      this.session,
    ) !== undefined;
  }

  join(channel: number): void {
    this.#sql.run(
      "INSERT OR IGNORE INTO putters (channel, session) VALUES (?, ?)",
      channel,
      this.session,
    );
  }

  leave(channel: number, session: number = this.session): void {
    this.#sql.run("DELETE FROM putters WHERE channel = ? AND session = ?", channel, session);
  }

  /** Has the first of them look again. */
  wake(channel: number, count: number): void {
    const putters = this.#sql.all<{ session: number }>(
      "DELETE FROM putters WHERE id IN " +
        "(SELECT id FROM putters WHERE channel = ? AND session <> ? ORDER BY id LIMIT ?) RETURNING session",
      channel,
      this.session,
      count,
    );
    for (const { session } of putters) this.#mailbox.sendTo(session, channel, lookAgain);
  }
}
