import { type Mailbox, stateChanged } from "./mailbox.ts";
import type { Statements } from "./statements.ts";

/** The sizes of channels with a capacity, and the sessions that wait for room in them (the table `putters`). */
export class RoomWaiters {
  readonly #sql: Statements;
  readonly #mailbox: Mailbox;

  constructor(sql: Statements, mailbox: Mailbox) {
    this.#sql = sql;
    this.#mailbox = mailbox;
  }

  /** Changes the size of a channel that has a capacity. If it shrinks, as many other sessions are woken. */
  resize(channel: number, by: number): void {
    if (by === 0) return;
    const { changes } = this.#sql.run(
      "UPDATE channels SET size = size + ? WHERE id = ? AND capacity NOT NULL",
      by,
      channel,
    );
    if (by < 0 && changes !== 0) this.wake(channel, -by);
  }

  /** Reports whether other sessions wait for room. */
  hasOthers(channel: number): boolean {
    return this.#sql.get(
      "SELECT 1 FROM putters WHERE channel = ? AND session <> ? LIMIT 1",
      channel,
      this.#sql.session,
    ) !== undefined;
  }

  join(channel: number): void {
    this.#sql.run(
      "INSERT OR IGNORE INTO putters (channel, session) VALUES (?, ?)",
      channel,
      this.#sql.session,
    );
  }

  leave(channel: number, session: number = this.#sql.session): void {
    this.#sql.run("DELETE FROM putters WHERE channel = ? AND session = ?", channel, session);
  }

  /** Removes the first `count` other sessions, and asks them to try again. */
  wake(channel: number, count: number): void {
    const removed = this.#sql.all<{ session: number }>(
      "DELETE FROM putters WHERE id IN " +
        "(SELECT id FROM putters WHERE channel = ? AND session <> ? ORDER BY id LIMIT ?) RETURNING session",
      channel,
      this.#sql.session,
      count,
    );
    for (const { session } of removed) this.#mailbox.sendTo(session, channel, stateChanged);
  }
}
